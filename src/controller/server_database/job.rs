//! The Job that makes an archive, or reads one again. Pure. What it has come to is an [`Attempt`](super::attempt::Attempt).
//!
//! Each attempt is a Job of its own, numbered, with one pod that is never started again. A Job stays until the next attempt is due
//! or the archive is recorded: it is the record of when the last one ended, and of how many there were. Its Secret belongs to it
//! and goes with it; the login that it opens is refused by then.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    self as core, Capabilities, Container, EmptyDirVolumeSource, EnvVar, KeyToPath,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, Secret, SecretProjection, SecretVolumeSource, SecurityContext,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use crate::api::archive;
use crate::api::database_server::ArchiveBucket;
use crate::api::labels;
use crate::api::names::{self, PhysicalName};
use crate::controller::database::archiving;
use crate::postgres::connect::AdminTarget;
use crate::postgres::pool::PoolName;
use crate::postgres::quote::Ident;
use crate::postgres::scram::Password;
use crate::postgres::tombstone::{Archive, Place, Volume, recorded};

/// Where the binding is mounted, in a directory of its name.
const BINDINGS: &str = "/bindings";
/// Where a volume is mounted that archives are kept on.
const STORE: &str = "/archives";
/// Where the credentials for a bucket are mounted, and the CA.
const ACCESS: &str = "/store";
/// User and group of the image.
const USER: i64 = 65_532;
/// Longest run of one attempt.
const DEADLINE: i64 = 6 * 3600;
/// What the names of attempts' Jobs begin with.
pub const ATTEMPTS: &str = "archive-";
/// Annotation of the Job: which generation of the database's row it archives.
pub(super) const GENERATION: &str = "tenantry.dev/generation";
/// Annotation of the Job: which attempt it is.
pub(super) const ATTEMPT: &str = "tenantry.dev/attempt";
/// Annotation of the Job: the archive's name in the store.
pub(super) const ARCHIVE: &str = "tenantry.dev/archive";
/// Annotation of the Job: name of the claim of the volume that it writes to.
pub(super) const CLAIM: &str = "tenantry.dev/volume-claim";
/// Annotation of the Job: UID of that claim.
pub(super) const CLAIM_UID: &str = "tenantry.dev/volume-claim-uid";
/// Annotation of the Job: the bucket that it writes to, and how that is reached, as JSON.
pub(super) const BUCKET: &str = "tenantry.dev/archive-bucket";
/// Annotation of the Job: the SHA-256 that the archive which it reads again has to have.
pub(super) const SHA256: &str = "tenantry.dev/sha256";
/// Annotation of the Job: somebody has answered the deletion brake that the drop is meant which it reads for.
pub(super) const MEANT: &str = "tenantry.dev/deletion-meant";
/// Annotation of the Job: its archive was made while somebody could get in, and proves nothing.
pub(super) const OUTDATED: &str = "tenantry.dev/outdated";

/// What an attempt is made of.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The database.
    pub physical: &'a PhysicalName,
    /// The database by the name that it has now.
    pub source: &'a Ident,
    /// Name of its object.
    pub object: &'a str,
    /// Namespace of its claim.
    pub namespace: &'a str,
    /// Its server.
    pub server: &'a str,
    /// Generation of its row.
    pub generation: i64,
    /// Counts from 1.
    pub attempt: u32,
    /// Name of the archive in the store.
    pub archive: String,
    /// What its pod does.
    pub work: Work<'a>,
    /// What archives are kept in, as it is now.
    pub place: &'a Place,
    /// The image.
    pub image: &'a str,
}

/// What a Job's pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work<'a> {
    /// It makes an archive, with that scratch database.
    Archive(&'a PoolName),
    /// It reads one again. It has nothing but what that is kept in.
    Reread {
        /// The SHA-256 that it has to have.
        sha256: &'a str,
        /// Whether somebody has answered the deletion brake that the drop is meant.
        meant: bool,
    },
}

/// Name in its store of an archive that was recorded, as [`archive_name`] gave it.
pub fn stored_name(archive: &Archive, physical: &PhysicalName) -> Option<String> {
    let folder = format!("/{}/{physical}/", archive.system_identifier);
    let at = archive.object.rfind(&folder)?;
    archive.object[at + 1..].strip_suffix(".dump").map(str::to_owned)
}

/// Name of the archive in its store: of the server, the database, the row's generation and the attempt, whose `id` is drawn.
pub fn archive_name(system: &str, physical: &PhysicalName, generation: i64, id: u32) -> String {
    format!("{system}/{physical}/{generation}-{id:08x}")
}

/// What is written to the Job of an attempt whose archive proves nothing any more.
pub fn outdated() -> Value {
    json!({"metadata": {"annotations": {OUTDATED: "true"}}})
}

impl Wanted<'_> {
    /// Name of the Job of an attempt, and of its Secret.
    pub fn job_name(object: &str, attempt: u32) -> String {
        format!("{ATTEMPTS}{object}-{attempt}")
    }

    /// Name of the Job that reads the archive again.
    pub fn reread_name(object: &str) -> String {
        format!("reread-{object}")
    }

    /// Name of this one.
    pub fn name(&self) -> String {
        match self.work {
            Work::Archive(_) => Self::job_name(self.object, self.attempt),
            Work::Reread { .. } => Self::reread_name(self.object),
        }
    }

    const fn is_archive(&self) -> bool {
        matches!(self.work, Work::Archive(_))
    }

    fn meta(&self) -> ObjectMeta {
        let mut all: BTreeMap<String, String> = [
            (labels::NAME, "archive"),
            (labels::COMPONENT, "archive"),
            (labels::PART_OF, labels::MANAGER),
            (labels::MANAGED_BY, labels::MANAGER),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.insert(labels::SERVER_DATABASE.to_owned(), self.object.to_owned());
        all.insert(labels::DATABASE_SERVER.to_owned(), self.server.to_owned());
        if let Some(tenant) = names::tenant_of_namespace(self.namespace) {
            all.insert(labels::TENANT.to_owned(), tenant.to_owned());
        }
        ObjectMeta {
            name: Some(self.name()),
            namespace: Some(labels::SERVERS_NAMESPACE.to_owned()),
            labels: Some(all),
            ..ObjectMeta::default()
        }
    }

    /// The Job.
    pub fn job(&self) -> Job {
        let annotations = [
            (GENERATION, self.generation.to_string()),
            (ATTEMPT, self.attempt.to_string()),
            (ARCHIVE, self.archive.clone()),
        ];
        let place = match self.place {
            Place::Volume(Volume { claim, uid }) => vec![(CLAIM, claim.clone()), (CLAIM_UID, uid.clone())],
            Place::Bucket(bucket) => vec![(BUCKET, recorded(bucket).to_string())],
        };
        let mut annotations: BTreeMap<_, _> =
            annotations.into_iter().chain(place).map(|(name, value)| (name.to_owned(), value)).collect();
        if let Work::Reread { sha256, meant } = self.work {
            annotations.insert(SHA256.to_owned(), sha256.to_owned());
            annotations.extend(meant.then(|| (MEANT.to_owned(), "true".to_owned())));
        }
        let spec = JobSpec {
            backoff_limit: Some(0),
            active_deadline_seconds: Some(DEADLINE),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: self.meta().labels, ..ObjectMeta::default() }),
                spec: Some(self.pod()),
            },
            ..JobSpec::default()
        };
        let metadata = ObjectMeta { annotations: Some(annotations), ..self.meta() };
        Job { metadata, spec: Some(spec), status: None }
    }

    fn pod(&self) -> PodSpec {
        let volume = |name: &str| core::Volume { name: name.into(), ..core::Volume::default() };
        let secret = SecretVolumeSource {
            secret_name: Some(self.name()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        };
        let store = match self.place {
            Place::Volume(Volume { claim, .. }) => {
                let read_only = (!self.is_archive()).then_some(true);
                let claim = PersistentVolumeClaimVolumeSource { claim_name: claim.clone(), read_only };
                core::Volume { persistent_volume_claim: Some(claim), ..volume("store") }
            }
            Place::Bucket(bucket) => core::Volume { projected: Some(access(bucket)), ..volume("store") },
        };
        let binding = core::Volume { secret: Some(secret), ..volume("binding") };
        PodSpec {
            restart_policy: Some("Never".into()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                fs_group_change_policy: Some("OnRootMismatch".into()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".into(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![self.container()],
            volumes: Some(
                [
                    self.is_archive().then_some(binding),
                    Some(store),
                    Some(core::Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..volume("tmp") }),
                ]
                .into_iter()
                .flatten()
                .collect(),
            ),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        let mount = |name: &str, path: String, read_only: bool| VolumeMount {
            name: name.into(),
            mount_path: path,
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        };
        let mut variables = match self.work {
            Work::Archive(scratch) => vec![
                ("SERVICE_BINDING_ROOT", BINDINGS.to_owned()),
                (archive::SCRATCH, scratch.as_str().to_owned()),
                (archive::RESTORER, archiving::restorer(self.physical)),
            ],
            Work::Reread { sha256, .. } => vec![(archive::REREAD, sha256.to_owned())],
        };
        let (store, told) = match self.place {
            Place::Volume(_) => {
                let told = vec![(archive::STORE, format!("file://{STORE}"))];
                (mount("store", STORE.into(), !self.is_archive()), told)
            }
            Place::Bucket(bucket) => (mount("store", ACCESS.into(), true), variables_of(bucket)),
        };
        variables.extend(told);
        variables.push((archive::NAME, self.archive.clone()));
        let binding = mount("binding", format!("{BINDINGS}/{}", archive::BINDING), true);
        let variable = |(name, value): (&str, String)| EnvVar {
            name: name.into(),
            value: Some(value),
            value_from: None,
        };
        let amounts = |cpu: Option<&str>, memory: &str| {
            let cpu = cpu.map(|cpu| ("cpu".to_owned(), Quantity(cpu.into())));
            Some(cpu.into_iter().chain([("memory".to_owned(), Quantity(memory.into()))]).collect())
        };
        Container {
            name: "archive".into(),
            image: Some(self.image.to_owned()),
            image_pull_policy: Some("IfNotPresent".into()),
            args: Some(vec!["run".into(), "archive".into()]),
            env: Some(variables.into_iter().map(variable).collect()),
            resources: Some(ResourceRequirements {
                requests: amounts(Some("100m"), "128Mi"),
                limits: amounts(None, "512Mi"),
                ..ResourceRequirements::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                read_only_root_filesystem: Some(true),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(
                [self.is_archive().then_some(binding), Some(store), Some(mount("tmp", "/tmp".into(), false))]
                    .into_iter()
                    .flatten()
                    .collect(),
            ),
            ..Container::default()
        }
    }

    /// The Secret that the Job's pod logs in with. It belongs to the Job of that UID.
    pub fn secret(&self, job: &str, server: &AdminTarget, password: &Password) -> Secret {
        let data = [
            ("type", "postgresql".to_owned()),
            ("provider", labels::MANAGER.to_owned()),
            ("host", server.host.clone()),
            ("port", server.port.to_string()),
            ("database", self.source.as_str().to_owned()),
            ("username", archiving::login(self.physical)),
            ("password", password.expose().to_owned()),
            ("ca.crt", server.ca_pem.clone()),
        ];
        let owner = OwnerReference {
            api_version: "batch/v1".into(),
            kind: "Job".into(),
            name: self.name(),
            uid: job.to_owned(),
            controller: None,
            block_owner_deletion: None,
        };
        Secret {
            metadata: ObjectMeta { owner_references: Some(vec![owner]), ..self.meta() },
            type_: Some("servicebinding.io/postgresql".into()),
            data: Some(data.map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).into()),
            ..Secret::default()
        }
    }
}

/// The Secrets that a bucket is reached with, as files: no key of theirs that is not needed, and no copy of them.
fn access(bucket: &ArchiveBucket) -> ProjectedVolumeSource {
    let file = |key: &str| KeyToPath { key: key.into(), path: key.into(), mode: None };
    let of = |name: &str, keys: &[&str], optional| VolumeProjection {
        secret: Some(SecretProjection {
            name: name.into(),
            items: Some(keys.iter().map(|key| file(key)).collect()),
            optional,
        }),
        ..VolumeProjection::default()
    };
    let credentials = &bucket.credentials_secret_name;
    let keys = [archive::S3_ACCESS_KEY_ID, archive::S3_SECRET_ACCESS_KEY];
    let ca = bucket.ca_secret_name.iter().map(|name| of(name, &[archive::S3_CA_KEY], None));
    let sources = [of(credentials, &keys, None), of(credentials, &[archive::S3_SESSION_TOKEN], Some(true))];
    ProjectedVolumeSource {
        sources: Some(sources.into_iter().chain(ca).collect()),
        default_mode: Some(0o440),
    }
}

/// What the role is told of a bucket.
fn variables_of(bucket: &ArchiveBucket) -> Vec<(&'static str, String)> {
    let ArchiveBucket { endpoint, region, ca_secret_name, .. } = bucket;
    let all = [
        (archive::STORE, Some(bucket.url())),
        (archive::S3_ENDPOINT, endpoint.clone()),
        (archive::S3_REGION, region.clone()),
        (archive::S3_CREDENTIALS, Some(ACCESS.to_owned())),
        (archive::S3_CA, ca_secret_name.as_ref().map(|_| format!("{ACCESS}/{}", archive::S3_CA_KEY))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::jiff::Timestamp;

    use super::super::attempt::{Attempt, Unfound};
    use super::super::place::Standing;
    use super::super::volume;
    use super::*;
    use crate::api::archive::{Failed, Lost, Outcome, Report, Snapshot, Stage, Unchanged, Verified};
    use crate::postgres::tombstone::TombstoneName;

    fn physical() -> PhysicalName {
        PhysicalName::parse("t_x_app").unwrap()
    }

    /// What a Wanted borrows.
    fn source() -> Ident {
        TombstoneName::of(&physical()).database()
    }

    struct Parts(PhysicalName, Ident, PoolName, Place);

    fn parts() -> Parts {
        Parts(physical(), source(), PoolName::clone_of(7), on("claim-uid"))
    }

    fn on(uid: &str) -> Place {
        Place::Volume(Volume { claim: "archives".into(), uid: uid.into() })
    }

    fn bucket() -> ArchiveBucket {
        ArchiveBucket {
            bucket: "our-archives".into(),
            prefix: Some("eu".into()),
            endpoint: Some("https://s3:9000".into()),
            region: None,
            credentials_secret_name: "keys".into(),
            ca_secret_name: Some("authority".into()),
        }
    }

    /// How it stands with the claim.
    fn claim(standing: volume::Standing) -> Standing {
        Standing::Volume { claim: "archives".into(), standing }
    }

    fn bound(uid: &str) -> Standing {
        claim(volume::Standing::Bound(Volume { claim: "archives".into(), uid: uid.into() }))
    }

    impl Parts {
        fn wanted(&self) -> Wanted<'_> {
            Wanted {
                physical: &self.0,
                source: &self.1,
                object: "t-x-app",
                namespace: "tenant-acme",
                server: "main",
                generation: 4,
                attempt: 2,
                archive: archive_name("76", &self.0, 4, 255),
                work: Work::Archive(&self.2),
                place: &self.3,
                image: "example.org/archive:1",
            }
        }
    }

    /// The Job as the API server has it.
    fn live(ended: bool) -> Job {
        let mut job = parts().wanted().job();
        job.metadata.uid = Some("job-uid".into());
        if ended {
            let condition =
                json!({"type": "Failed", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"});
            job.status = serde_json::from_value(json!({"conditions": [condition]})).unwrap();
        }
        job
    }

    fn verified() -> Verified {
        Verified {
            object: "file:///archives/76/t_x_app/4-000000ff.dump".into(),
            sha256: "0f".repeat(32),
            bytes: 5,
            database: "tombstone_t_x_app".into(),
            system_identifier: "76".into(),
            snapshot: Snapshot { lsn: "0/1".into(), taken_at: Timestamp::from_second(7).unwrap() },
            tables: 1,
            rows: 2,
            sequences: 0,
            large_objects: 0,
            content_sha256: "aa".into(),
            tool: "pg_dump 15.18".into(),
        }
    }

    fn pod(owner: &str, message: &Value) -> Pod {
        let owners =
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "n", "uid": owner, "controller": true}]);
        let ended = json!({"exitCode": 0, "message": message.to_string()});
        let container = json!({"name": "archive", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended}});
        serde_json::from_value(
            json!({"metadata": {"ownerReferences": owners}, "status": {"containerStatuses": [container]}}),
        )
        .unwrap()
    }

    #[test]
    fn the_job_runs_once_restricted_and_for_a_limited_time_with_what_the_role_is_told() {
        let job = serde_json::to_value(parts().wanted().job()).unwrap();
        let spec = &job["spec"];
        assert_eq!(job["metadata"]["name"], "archive-t-x-app-2");
        assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(0), &json!(21600)));
        let pod = &spec["template"]["spec"];
        assert_eq!(
            (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
            (&json!("Never"), &json!(false))
        );
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        assert_eq!(container["args"], json!(["run", "archive"]));
        let expected = json!([
            {"name": "SERVICE_BINDING_ROOT", "value": "/bindings"},
            {"name": "TENANTRY_ARCHIVE_SCRATCH", "value": "tenantry_pool_0000000007"},
            {"name": "TENANTRY_ARCHIVE_RESTORER", "value": "t_x_app_restore"},
            {"name": "TENANTRY_ARCHIVE_STORE", "value": "file:///archives"},
            {"name": "TENANTRY_ARCHIVE_NAME", "value": "76/t_x_app/4-000000ff"},
        ]);
        assert_eq!(container["env"], expected);
        let mounts =
            container["volumeMounts"].as_array().unwrap().iter().map(|it| it["mountPath"].as_str().unwrap());
        assert_eq!(mounts.collect::<Vec<_>>(), ["/bindings/archive", "/archives", "/tmp"]);
        let longest = Wanted::job_name(&"x".repeat(38), u32::MAX);
        assert!(longest.len() <= 63, "{longest}");
    }

    /// The node of its pod may be gone: the pod is then terminating for good, and the Job's own end never comes.
    #[test]
    fn an_attempt_that_is_to_fail_has_ended() {
        let ended = |conditions: &[(&str, &str, u32)]| {
            let condition = |(kind, status, second): &(&str, &str, u32)| {
                let at = format!("1970-01-01T00:01:{second:02}Z");
                json!({"type": kind, "status": status, "lastTransitionTime": at})
            };
            let conditions: Vec<Value> = conditions.iter().map(condition).collect();
            let mut job = live(false);
            job.status = serde_json::from_value(json!({"conditions": conditions})).unwrap();
            Attempt::of(&job).unwrap().ended
        };
        assert_eq!(ended(&[("FailureTarget", "True", 40)]), Some(100));
        assert_eq!(ended(&[("FailureTarget", "False", 40), ("SuccessCriteriaMet", "True", 40)]), None);
        // What it waits for next is counted from its first word.
        for both in [
            [("FailureTarget", "True", 40), ("Failed", "True", 50)],
            [("Failed", "True", 50), ("FailureTarget", "True", 40)],
        ] {
            assert_eq!(ended(&both), Some(100), "{both:?}");
        }
        assert_eq!(ended(&[("SuccessCriteriaMet", "True", 40), ("Complete", "True", 50)]), Some(110));
    }

    #[test]
    fn the_secret_goes_with_its_job_and_holds_a_binding() {
        let server = AdminTarget {
            host: "db".into(),
            port: 5432,
            username: "postgres".into(),
            password: Password::new("hunter2"),
            ca_pem: "ca".into(),
        };
        let secret = parts().wanted().secret("job-uid", &server, &Password::new("fresh"));
        let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Job", "job-uid"));
        let text = |key: &str| String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
        let keys = ["type", "host", "port", "database", "username", "password", "ca.crt"];
        let expected = ["postgresql", "db", "5432", "tombstone_t_x_app", "t_x_app_archive", "fresh", "ca"];
        assert_eq!(keys.map(text), expected);
    }

    #[test]
    fn only_a_report_of_the_jobs_own_pod_about_this_database_is_an_archive() {
        let attempt = Attempt::of(&live(true)).unwrap();
        assert_eq!((attempt.number, attempt.generation, attempt.ended), (2, 4, Some(100)));
        assert_eq!(Attempt::of(&live(false)).unwrap().ended, None);
        let report = |outcome| Report::new(outcome);
        let live = bound("claim-uid");
        let archive = |report: &Report| attempt.archive(Some(report), &source(), "76", &live);
        let right = archive(&report(Outcome::Verified(verified()))).unwrap();
        assert_eq!((right.generation, right.rows, right.taken_at.as_str()), (4, 2, "1970-01-01T00:00:07Z"));
        assert_eq!(right.place, Some(on("claim-uid")));
        let report_of = Report::new(Outcome::Verified(verified()));
        for live in [
            claim(volume::Standing::Missing),
            claim(volume::Standing::Leaving),
            bound("made again"),
            Standing::Nowhere,
        ] {
            let gone = attempt.archive(Some(&report_of), &source(), "76", &live).unwrap_err();
            assert_eq!(
                gone,
                "PersistentVolumeClaim archives (UID claim-uid), which it was written to, is gone"
            );
        }
        for wrong in [
            Verified { database: "t_x_app".into(), ..verified() },
            Verified { system_identifier: "77".into(), ..verified() },
            Verified { object: "file:///archives/76/t_x_app/4-000000fe.dump".into(), ..verified() },
            Verified { object: "file:///archives/76/t_x_app/4-000000ff.dump\n".into(), ..verified() },
            Verified { object: format!("{}{}", verified().object, "x".repeat(1024)), ..verified() },
        ] {
            archive(&report(Outcome::Verified(wrong))).unwrap_err();
        }
        let failed = Failed { stage: Stage::Compare, message: "rows of t differ".into(), object: None };
        assert_eq!(archive(&report(Outcome::Failed(failed))).unwrap_err(), "Compare: rows of t differ");
        let planted = "table \"a\u{1b}]0;x\u{7}\nb\" is gone".into();
        let planted = Failed { stage: Stage::Dump, message: planted, object: None };
        let told = archive(&report(Outcome::Failed(planted))).unwrap_err();
        assert_eq!(told, "Dump: table \"a\\u{1b}]0;x\\u{7} b\" is gone");
        let outdated = Attempt { outdated: true, ..attempt.clone() };
        let told = outdated.archive(Some(&report(Outcome::Verified(verified()))), &source(), "76", &live);
        assert!(told.unwrap_err().starts_with("somebody could get in"));
        attempt.archive(None, &source(), "76", &live).unwrap_err();
        let told = serde_json::to_value(report(Outcome::Verified(verified()))).unwrap();
        assert_eq!(attempt.report(&[pod("another", &told)]), None);
        assert_eq!(
            attempt.report(&[pod("another", &told), pod("job-uid", &told)]),
            Some(report(Outcome::Verified(verified())))
        );
        assert_eq!(attempt.report(&[pod("job-uid", &json!("out of memory"))]), None);
    }

    #[test]
    fn an_archive_is_read_again_by_a_job_that_has_nothing_but_the_volume() {
        let (parts, sha256) = (parts(), "0f".repeat(32));
        let recorded = Archive {
            object: verified().object,
            sha256: sha256.clone(),
            bytes: 5,
            system_identifier: "76".into(),
            ..Archive::default()
        };
        let name = stored_name(&recorded, &parts.0).unwrap();
        assert_eq!(name, parts.wanted().archive);
        for object in [
            "file:///archives/users",
            "file:///archives/77/t_x_app/4-000000ff.dump",
            "file:///archives/76/t_x_app/4",
        ] {
            assert_eq!(
                stored_name(&Archive { object: object.into(), ..recorded.clone() }, &parts.0),
                None,
                "{object}"
            );
        }
        let wanted =
            Wanted { work: Work::Reread { sha256: &sha256, meant: false }, archive: name, ..parts.wanted() };
        let mut job = wanted.job();
        job.metadata.uid = Some("job-uid".into());
        let attempt = Attempt::of(&job).unwrap();
        assert_eq!((attempt.job.as_str(), attempt.sha256.as_ref()), ("reread-t-x-app", Some(&sha256)));
        let mut meant =
            Wanted { work: Work::Reread { sha256: &sha256, meant: true }, ..wanted.clone() }.job();
        meant.metadata.uid.clone_from(&job.metadata.uid);
        assert_eq!([&attempt, &Attempt::of(&meant).unwrap()].map(|attempt| attempt.meant), [false, true]);
        let pod = serde_json::to_value(&job).unwrap()["spec"]["template"]["spec"].clone();
        assert_eq!(
            pod["volumes"],
            json!([
                {"name": "store", "persistentVolumeClaim": {"claimName": "archives", "readOnly": true}},
                {"name": "tmp", "emptyDir": {}},
            ])
        );
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0], json!({"name": "store", "mountPath": "/archives", "readOnly": true}));
        assert_eq!(
            pod["containers"][0]["env"],
            json!([
                {"name": "TENANTRY_ARCHIVE_REREAD", "value": sha256},
                {"name": "TENANTRY_ARCHIVE_STORE", "value": "file:///archives"},
                {"name": "TENANTRY_ARCHIVE_NAME", "value": "76/t_x_app/4-000000ff"},
            ])
        );
        let found = |outcome| attempt.reread(Some(&Report::new(outcome)), &recorded);
        let unchanged = Unchanged { object: verified().object, sha256: sha256.clone(), bytes: 5 };
        assert_eq!(found(Outcome::Unchanged(unchanged.clone())), Ok(()));
        found(Outcome::Unchanged(Unchanged { bytes: 6, ..unchanged.clone() })).unwrap_err();
        found(Outcome::Unchanged(Unchanged { sha256: "0e".repeat(32), ..unchanged })).unwrap_err();
        found(Outcome::Verified(verified())).unwrap_err();
        let away = Failed { stage: Stage::Fetch, message: "it is\naway".into(), object: None };
        assert_eq!(found(Outcome::Failed(away)), Err(Unfound::Unread("it is away".to_owned())));
        let lost = Lost { message: "it is\ngone".into() };
        assert_eq!(found(Outcome::Lost(lost)), Err(Unfound::Lost("it is gone".to_owned())));
        assert!(matches!(attempt.reread(None, &recorded), Err(Unfound::Unread(_))));
    }

    /// The Job as a whole, both ways: what makes an archive in a bucket, and what reads one again there.
    #[test]
    fn a_job_reaches_a_bucket_by_files_of_its_secrets_and_is_told_the_rest() {
        let (parts, sha256, place) = (parts(), "0f".repeat(32), Place::Bucket(Box::new(bucket())));
        let making = Wanted { place: &place, ..parts.wanted() };
        let labels = json!({
            "app.kubernetes.io/name": "archive", "app.kubernetes.io/component": "archive",
            "app.kubernetes.io/part-of": "tenantry", "app.kubernetes.io/managed-by": "tenantry",
            "tenantry.dev/server-database": "t-x-app", "tenantry.dev/database-server": "main",
            "tenantry.dev/tenant": "acme",
        });
        let file = |key: &str| json!({"key": key, "path": key});
        let keys =
            json!({"secret": {"name": "keys", "items": [file("accessKeyId"), file("secretAccessKey")]}});
        let token = json!({"secret": {"name": "keys", "items": [file("sessionToken")], "optional": true}});
        let ca = json!({"secret": {"name": "authority", "items": [file("ca.crt")]}});
        let store =
            json!({"name": "store", "projected": {"sources": [keys, token, ca], "defaultMode": 0o440}});
        let (tmp, mounted) =
            (json!({"name": "tmp", "emptyDir": {}}), json!({"name": "tmp", "mountPath": "/tmp"}));
        let binding =
            json!({"name": "binding", "secret": {"secretName": "archive-t-x-app-2", "defaultMode": 0o440}});
        let bound = json!({"name": "binding", "mountPath": "/bindings/archive", "readOnly": true});
        let access = json!({"name": "store", "mountPath": "/store", "readOnly": true});
        let where_to = [
            json!({"name": "TENANTRY_ARCHIVE_STORE", "value": "s3://our-archives/eu"}),
            json!({"name": "TENANTRY_ARCHIVE_S3_ENDPOINT", "value": "https://s3:9000"}),
            json!({"name": "TENANTRY_ARCHIVE_S3_CREDENTIALS", "value": "/store"}),
            json!({"name": "TENANTRY_ARCHIVE_S3_CA", "value": "/store/ca.crt"}),
            json!({"name": "TENANTRY_ARCHIVE_NAME", "value": "76/t_x_app/4-000000ff"}),
        ];
        let env = |first: Value| [first.as_array().unwrap().clone(), where_to.to_vec()].concat();
        let made_with = env(json!([
            {"name": "SERVICE_BINDING_ROOT", "value": "/bindings"},
            {"name": "TENANTRY_ARCHIVE_SCRATCH", "value": "tenantry_pool_0000000007"},
            {"name": "TENANTRY_ARCHIVE_RESTORER", "value": "t_x_app_restore"},
        ]));
        let job = |name: &str, annotations: Value, env: Vec<Value>, volumes: Value, mounts: Value| {
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": name, "namespace": "tenantry-servers", "labels": labels, "annotations": annotations},
                "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 21600, "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [{
                            "name": "archive", "image": "example.org/archive:1", "imagePullPolicy": "IfNotPresent",
                            "args": ["run", "archive"], "env": env,
                            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
                            "securityContext": {
                                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": mounts,
                        }],
                        "volumes": volumes,
                    },
                }},
            })
        };
        let said = r#"{"bucket":"our-archives","caSecretName":"authority","credentialsSecretName":"keys","endpoint":"https://s3:9000","prefix":"eu","region":null}"#;
        let annotations = json!({
            "tenantry.dev/generation": "4", "tenantry.dev/attempt": "2",
            "tenantry.dev/archive": "76/t_x_app/4-000000ff", "tenantry.dev/archive-bucket": said,
        });
        assert_eq!(
            serde_json::to_value(making.job()).unwrap(),
            job(
                "archive-t-x-app-2",
                annotations.clone(),
                made_with,
                json!([binding, store, tmp]),
                json!([bound, access, mounted])
            )
        );
        let reading = Wanted { work: Work::Reread { sha256: &sha256, meant: false }, ..making.clone() };
        let mut read = annotations;
        read["tenantry.dev/sha256"] = json!(sha256);
        assert_eq!(
            serde_json::to_value(reading.job()).unwrap(),
            job(
                "reread-t-x-app",
                read,
                env(json!([{"name": "TENANTRY_ARCHIVE_REREAD", "value": sha256}])),
                json!([store, tmp]),
                json!([access, mounted])
            )
        );
    }

    #[test]
    fn an_archive_in_a_bucket_is_the_object_of_that_name_in_that_bucket() {
        let (parts, place) = (parts(), Place::Bucket(Box::new(bucket())));
        let mut live = Wanted { place: &place, ..parts.wanted() }.job();
        live.metadata.uid = Some("job-uid".into());
        let attempt = Attempt::of(&live).unwrap();
        assert_eq!(attempt.place, place);
        // A Secret that is gone by then takes nothing from what is in the bucket; an object elsewhere is another's.
        let standing = Standing::Bucket { bucket: bucket(), lacking: Some("it is gone".into()) };
        let archive = |object: &str| {
            let report = Report::new(Outcome::Verified(Verified { object: object.into(), ..verified() }));
            attempt.archive(Some(&report), &source(), "76", &standing)
        };
        let object = "s3://our-archives/eu/76/t_x_app/4-000000ff.dump";
        let recorded = archive(object).unwrap();
        assert_eq!((recorded.place.as_ref(), recorded.object.as_str()), (Some(&place), object));
        assert_eq!(stored_name(&recorded, &parts.0).as_deref(), Some("76/t_x_app/4-000000ff"));
        for object in [
            "s3://our-archives/76/t_x_app/4-000000ff.dump",
            "s3://other/eu/76/t_x_app/4-000000ff.dump",
            "file:///archives/76/t_x_app/4-000000ff.dump",
        ] {
            archive(object).unwrap_err();
        }
    }

    #[test]
    fn an_attempt_whose_archive_proves_nothing_any_more_says_so_by_its_job() {
        let mut job = serde_json::to_value(live(true)).unwrap();
        assert!(!Attempt::of(&live(true)).unwrap().outdated);
        let patch = outdated();
        for (name, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            job["metadata"]["annotations"][name] = value.clone();
        }
        let read = Attempt::of(&serde_json::from_value(job).unwrap()).unwrap();
        assert_eq!(read, Attempt { outdated: true, ..Attempt::of(&live(true)).unwrap() });
    }

    #[test]
    fn each_further_attempt_waits_twice_as_long_up_to_six_hours() {
        let wait = |number| Attempt { number, ..Attempt::of(&live(true)).unwrap() }.wait().as_secs();
        assert_eq!([1, 2, 3, 9, 10, u32::MAX].map(wait), [60, 120, 240, 15360, 21600, 21600]);
    }
}
