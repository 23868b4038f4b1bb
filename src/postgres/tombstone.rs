//! Tombstones, their archives, and what of them may be dropped. Pure.
//!
//! The names of what is dropped have types of their own, as those of the warm pool have: a statement that drops a
//! database takes a tombstone's name and no other, so no database that a claim could have is ever in it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::facts::{Database, Marker, Phase};
use super::quote::Ident;
use crate::api::database_server::ArchiveBucket;
use crate::api::names::{Group, PhysicalName};

const PREFIX: &str = "tombstone_";

/// What `pg_database.datconnlimit` is for a database whose DROP DATABASE was cut short: nobody gets in, and it can only be
/// dropped. PostgreSQL says so since 15.4.
pub const CUT_SHORT: i32 = -2;

/// Name of the database while it is a tombstone. No tenant's database has one that begins so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TombstoneName(String);

impl TombstoneName {
    /// The name that the database of that physical name has.
    pub fn of(physical: &PhysicalName) -> Self {
        Self(format!("{PREFIX}{physical}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database, ready for statements.
    pub fn database(&self) -> Ident {
        Ident::from(self)
    }
}

impl fmt::Display for TombstoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A login or group role that was made for the database of a marker row, and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnRole(Ident);

impl OwnRole {
    /// Every role that the row says was made for its database: its logins, as they are recorded, and its three groups.
    /// A recorded name that does not begin with the database's is left out: it is none that we give.
    pub fn of(marker: &Marker, physical: &PhysicalName) -> Vec<Self> {
        let prefix = format!("{physical}_");
        let logins = marker.logins.iter().filter(|login| login.starts_with(&prefix)).cloned();
        let groups = Group::ALL.map(|group| physical.group(group));
        logins.chain(groups).filter_map(|name| Ident::parse(&name).ok()).map(Self).collect()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The role, ready for statements.
    pub const fn role(&self) -> &Ident {
        &self.0
    }
}

/// The claim of a volume that an archive is kept on. One that is made again under the same name is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Name of the PersistentVolumeClaim.
    pub claim: String,
    /// Its UID.
    pub uid: String,
}

/// What an archive is kept in: all that it takes to read it again, whatever becomes of the server's `spec.archive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A volume.
    #[serde(rename = "volume")]
    Volume(Volume),
    /// A bucket, as `spec.archive.s3` said it.
    #[serde(rename = "s3")]
    Bucket(Box<ArchiveBucket>),
}

/// A verified archive of a tombstone: one that was restored and compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Where it is kept.
    pub object: String,
    /// SHA-256 of what is kept there, in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Time of the snapshot that it was made from, by the server's clock.
    pub taken_at: String,
    /// Identifier of the server that it was made on.
    pub system_identifier: String,
    /// Generation that the marker row had. The database has refused logins since before.
    pub generation: i64,
    /// What it is kept in. Absent in what was recorded before this was: nothing is dropped by that.
    #[serde(flatten)]
    pub place: Option<Place>,
}

impl Archive {
    /// The archive as the tombstone's row holds it.
    pub(super) fn text(&self) -> String {
        let Self { object, sha256, bytes, rows, taken_at, system_identifier, generation, place } = self;
        let mut archive = json!({
            "object": object, "sha256": sha256, "bytes": bytes, "rows": rows, "takenAt": taken_at,
            "systemIdentifier": system_identifier, "generation": generation,
        });
        match place {
            Some(Place::Volume(Volume { claim, uid })) => {
                archive["volume"] = json!({"claim": claim, "uid": uid});
            }
            Some(Place::Bucket(bucket)) => archive["s3"] = recorded(bucket),
            None => {}
        }
        archive.to_string()
    }
}

/// A bucket as it is recorded.
pub fn recorded(bucket: &ArchiveBucket) -> Value {
    let ArchiveBucket { bucket, prefix, endpoint, region, credentials_secret_name, ca_secret_name } = bucket;
    json!({
        "bucket": bucket, "prefix": prefix, "endpoint": endpoint, "region": region,
        "credentialsSecretName": credentials_secret_name, "caSecretName": ca_secret_name,
    })
}

/// What the tombstone's row holds of its archive: the archive, which database it is of, and when that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The archive.
    #[serde(flatten)]
    pub archive: Archive,
    /// Number that the server knows the database by: a later database of that name has another.
    pub database: i64,
    /// When it was recorded, by the server's clock.
    pub verified_at: String,
}

impl Proof {
    /// The proof that the column holds. `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(Self::is_whole)
    }

    fn is_whole(&self) -> bool {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let Archive { object, sha256, .. } = &self.archive;
        !object.is_empty() && sha256.len() == 64 && sha256.bytes().all(digit)
    }
}

/// What depends on a role, in whatever database of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The role.
    pub role: String,
    /// What depends on it, in words: an object, or the catalog of a database that has such objects.
    pub object: String,
    /// How many entries of that kind there are.
    pub count: i64,
    /// The tenant's database in which it was granted, if it is a grant and nothing else.
    pub granted_in: Option<String>,
}

/// What a server says of a tombstone, beside its marker row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstone {
    /// When its grace ends, in seconds since 1970 by the server's clock.
    pub droppable_at: i64,
    /// Whether it has ended, by the server's clock.
    pub grace_ended: bool,
    /// Proof of its verified archive, as the column holds it. Nothing is dropped without.
    pub archive: Option<String>,
    /// How much of its database there is.
    pub extent: Extent,
}

/// How much of a tombstone's database there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// What a DROP DATABASE that was cut short left.
    CutShort,
    /// None of that name.
    Gone,
}

/// Somebody who can write to a tombstone, or may have since its archive was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insider {
    /// A login that is let in.
    Login(String),
    /// A session that is there, and whose it is.
    Session(String),
}

impl fmt::Display for Insider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(name) => write!(f, "login {name}"),
            Self::Session(name) => write!(f, "a session of {name}"),
        }
    }
}

impl Tombstone {
    /// The verified archive of exactly the database that the row tells of.
    pub fn proof(&self, marker: &Marker) -> Option<Proof> {
        let of_row = |proof: &Proof| Some(proof.archive.generation) == buried(marker);
        self.archive.as_deref().and_then(Proof::parse).filter(of_row)
    }
}

/// The database that an archive is made of for that row: the tombstone, or the released database that is kept.
pub fn source(physical: &PhysicalName, marker: &Marker) -> Ident {
    if marker.is_tombstone() { TombstoneName::of(physical).database() } else { Ident::from(physical) }
}

/// The verified archive of a released database that is kept, by what its row holds: of exactly what was released.
pub fn kept(held: &str, marker: &Marker) -> Option<Proof> {
    let of_row =
        |proof: &Proof| marker.phase == Phase::Released && proof.archive.generation == marker.generation;
    Proof::parse(held).filter(of_row)
}

/// Generation that the row had when its database became a tombstone, if it is one.
pub const fn buried(marker: &Marker) -> Option<i64> {
    match marker.phase {
        Phase::Tombstoned => Some(marker.generation),
        // The intent to drop it is a step of its own.
        Phase::Dropping => Some(marker.generation - 1),
        Phase::Creating | Phase::Bound | Phase::Released => None,
    }
}

/// Whether nobody has been able to connect to it since its archive was recorded.
pub const fn is_sealed(database: &Database) -> bool {
    !database.allow_connections && !database.template
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(phase: Phase) -> Marker {
        Marker {
            phase,
            generation: 3,
            logins: ["t_x_app_app_a", "t_x_apple_app_a", "postgres", "t_x_app_x\"; DROP"]
                .map(str::to_owned)
                .into(),
            ..Marker::sample()
        }
    }

    #[test]
    fn only_roles_of_the_databases_own_name_are_its_own() {
        let physical = PhysicalName::parse("t_x_app").unwrap();
        assert_eq!(TombstoneName::of(&physical).to_string(), "tombstone_t_x_app");
        let roles = OwnRole::of(&marker(Phase::Dropping), &physical);
        let names: Vec<&str> = roles.iter().map(OwnRole::as_str).collect();
        assert_eq!(names, ["t_x_app_app_a", "t_x_app_owner", "t_x_app_rw", "t_x_app_ro"]);
    }

    fn merged(value: &Value, more: &Value) -> Value {
        let mut value = value.clone();
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    }

    #[test]
    fn a_proof_is_of_one_generation_and_whole() {
        let archive = Archive {
            object: "file:///archives/1/t_x_app/3-uid".into(),
            sha256: "0f".repeat(32),
            bytes: 7,
            rows: 1,
            taken_at: "2026-11-21T00:00:00Z".into(),
            system_identifier: "1".into(),
            generation: 3,
            place: Some(Place::Volume(Volume { claim: "archives".into(), uid: "u".into() })),
        };
        let verified_at = "2026-11-21T00:01:00+00:00".to_owned();
        let proof = Proof { archive, database: 16400, verified_at: verified_at.clone() };
        let tombstone = |proof: &Proof| {
            let mut held: serde_json::Value = serde_json::from_str(&proof.archive.text()).unwrap();
            (held["database"], held["verifiedAt"]) = (16400.into(), verified_at.as_str().into());
            Tombstone { archive: Some(held.to_string()), ..Tombstone::default() }
        };
        assert_eq!(tombstone(&proof).proof(&marker(Phase::Tombstoned)), Some(proof.clone()));
        let dropping = Marker { generation: 4, ..marker(Phase::Dropping) };
        assert_eq!(tombstone(&proof).proof(&dropping), Some(proof.clone()));
        for phase in [Phase::Creating, Phase::Bound, Phase::Released, Phase::Dropping] {
            assert_eq!(tombstone(&proof).proof(&marker(phase)), None, "{phase}");
        }
        let with = |change: fn(&mut Archive)| {
            let mut proof = proof.clone();
            change(&mut proof.archive);
            tombstone(&proof).proof(&marker(Phase::Tombstoned))
        };
        assert_eq!(with(|archive| archive.generation = 2), None);
        assert_eq!(with(|archive| archive.object.clear()), None);
        assert_eq!(with(|archive| archive.sha256.truncate(63)), None);
        assert_eq!(with(|archive| archive.sha256 = "X".repeat(64)), None);
        let held = tombstone(&proof).archive.unwrap();
        assert_eq!(kept(&held, &marker(Phase::Released)), Some(proof.clone()));
        assert_eq!(kept(&held, &marker(Phase::Bound)), None);
        assert_eq!(kept(&held, &Marker { generation: 5, ..marker(Phase::Released) }), None);
        // What was recorded before volumes were is shown.
        let mut before: serde_json::Value = serde_json::from_str(&held).unwrap();
        before.as_object_mut().unwrap().remove("volume");
        for nowhere in [before.clone(), merged(&before, &json!({"volume": null}))] {
            let nowhere = kept(&nowhere.to_string(), &marker(Phase::Released)).unwrap();
            assert_eq!(nowhere.archive, Archive { place: None, ..proof.archive.clone() });
        }
        // A bucket is recorded with all that it takes to read it.
        for region in [None, Some("eu-central-1".to_owned())] {
            let bucket = ArchiveBucket {
                bucket: "b".into(),
                prefix: Some("p/q".into()),
                endpoint: Some("https://s3:9000".into()),
                region,
                credentials_secret_name: "keys".into(),
                ca_secret_name: None,
            };
            let mut proof = proof.clone();
            proof.archive.place = Some(Place::Bucket(Box::new(bucket)));
            assert_eq!(tombstone(&proof).proof(&marker(Phase::Tombstoned)), Some(proof));
        }
        let none = Tombstone { archive: Some("verified, I promise".into()), ..Tombstone::default() };
        assert_eq!(none.proof(&marker(Phase::Tombstoned)), None);
    }
}
