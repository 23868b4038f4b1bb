//! What the archive decides from values alone: names in the store, what of a dump is restored, and files for libpq.

use std::error::Error;
use std::path::PathBuf;

/// Longest name of an archive.
const NAME_MAX: usize = 512;

/// The name of an archive in its store, without ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(String);

/// Why a value from outside cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// The store.
    #[error("store {0:?} is not valid: it must be file:///a/folder or s3://bucket/prefix")]
    Store(String),
    /// The name in the store.
    #[error(
        "archive name {0:?} is not valid: it must be words of a-z, A-Z, 0-9, _ and - with slashes between them"
    )]
    Name(String),
    /// The scratch database.
    #[error(
        "scratch database {0:?} is not valid: it must match ^[a-z_][a-z0-9_]{{0,62}}$ and not be the database itself"
    )]
    Scratch(String),
}

impl ObjectName {
    /// `words/with/slashes`: nothing that could lead out of the store or hide in it.
    pub fn parse(name: &str) -> Result<Self, InvalidValue> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let word = |word: &str| !word.is_empty() && word.bytes().all(plain);
        if name.len() <= NAME_MAX && name.split('/').all(word) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidValue::Name(name.to_owned()))
        }
    }

    /// The name for that try: `7`, then `7.2`, `7.3`. A finished archive is never written over.
    pub fn attempt(&self, number: u32) -> String {
        if number <= 1 { self.0.clone() } else { format!("{}.{number}", self.0) }
    }
}

/// What a file beside an archive may be that an attempt has left which is dead by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A part of a dump or of a manifest.
    Part,
    /// A dump: it is none if it has a manifest, the file of that name.
    Dump {
        /// Name of the manifest.
        manifest: String,
    },
}

/// What that file may be, if it is one of an attempt at the same archive.
///
/// A name that the operator gives is `GENERATION-ID`, and each attempt has an id of its own: files of such names in its folder are
/// of attempts at an archive of the same database. Files of any other name are left alone, but parts of this very name.
pub fn leftover(name: &ObjectName, file: &str) -> Option<Leftover> {
    let own = name.0.rsplit('/').next().unwrap_or_default();
    let is_attempt =
        |word: &str| is_of_operator(own) && is_of_operator(word.split('.').next().unwrap_or_default());
    if let Some(part) = file.strip_prefix('.').and_then(|file| file.strip_suffix(".part")) {
        let of_own = part.starts_with(&format!("{own}.dump."));
        let (word, _) = part.split_once('.')?;
        return (of_own || is_attempt(word)).then_some(Leftover::Part);
    }
    let word = file.strip_suffix(".dump").filter(|word| is_attempt(word))?;
    Some(Leftover::Dump { manifest: format!("{word}.json") })
}

/// Whether an object in a bucket is a dead attempt's if it is old enough: a mark, or a dump that has no manifest among those `files`, of an
/// attempt at an archive of the same database. Objects of any other name are left alone.
pub fn stale(name: &ObjectName, file: &str, files: &[&str]) -> bool {
    let own = name.0.rsplit('/').next().unwrap_or_default();
    let is_attempt =
        |word: &str| is_of_operator(own) && is_of_operator(word.split('.').next().unwrap_or_default());
    if let Some(word) = file.strip_suffix(".dump") {
        return is_attempt(word) && !files.contains(&&*format!("{word}.json"));
    }
    file.strip_suffix(".part").is_some_and(is_attempt)
}

/// Longest text of a store's own in a message.
const ANSWER_MAX: usize = 300;

/// Why a store did not do what it was asked to, by the text of the error, and the next step. S3 has an XML document for that, of
/// which the code and the message are told.
pub fn refusal(error: &str, endpoint: &str, bucket: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = error.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    let short = |text: &str| text[..text.floor_char_boundary(ANSWER_MAX)].to_owned();
    let Some(code) = element("Code") else {
        if error.contains("Received redirect") {
            return format!("{endpoint} sends it elsewhere: correct spec.archive.s3.region");
        }
        return format!("{endpoint}: {}", short(error));
    };
    let next = match code {
        "NoSuchBucket" => format!(": create bucket {bucket}, or correct spec.archive.s3.bucket"),
        "InvalidAccessKeyId" => ": correct accessKeyId of the credentials' Secret".to_owned(),
        "SignatureDoesNotMatch" => {
            ": secretAccessKey of the credentials' Secret does not belong to accessKeyId".to_owned()
        }
        "AccessDenied" => ": docs/databases.md has the policy that the key needs".to_owned(),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" => ": correct spec.archive.s3.region".to_owned(),
        _ => String::new(),
    };
    let said = element("Message").map(|message| format!(" ({})", short(message))).unwrap_or_default();
    format!("{endpoint} answers {}{said}{next}", short(code))
}

/// Whether it is a generation and eight hexadecimal digits.
fn is_of_operator(word: &str) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    word.split_once('-').is_some_and(|(generation, id)| {
        !generation.is_empty()
            && generation.bytes().all(|byte| byte.is_ascii_digit())
            && id.len() == 8
            && id.bytes().all(hexadecimal)
    })
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `file:///a/folder`.
    Folder(PathBuf),
    /// `s3://bucket/prefix`.
    Bucket {
        /// The bucket.
        bucket: String,
        /// Folder in it.
        prefix: Option<ObjectName>,
    },
}

/// Where the store of that URL is.
pub fn parse_store(url: &str) -> Result<Location, InvalidValue> {
    let invalid = || InvalidValue::Store(url.to_owned());
    if let Some(path) = url.strip_prefix("file://") {
        let whole = path.starts_with('/') && !path.split('/').any(|part| part == "..");
        return if whole { Ok(Location::Folder(PathBuf::from(path))) } else { Err(invalid()) };
    }
    let place = url.strip_prefix("s3://").ok_or_else(invalid)?;
    let (bucket, prefix) = match place.split_once('/') {
        Some((bucket, prefix)) => (bucket, Some(ObjectName::parse(prefix).map_err(|_| invalid())?)),
        None => (place, None),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain) && !bucket.contains("..") {
        Ok(Location::Bucket { bucket: bucket.to_owned(), prefix })
    } else {
        Err(invalid())
    }
}

/// Checks the name of the scratch database: it is part of a command line.
pub fn check_scratch(scratch: &str, database: &str) -> Result<(), InvalidValue> {
    let start = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let valid = scratch.len() <= 63
        && scratch.bytes().next().is_some_and(start)
        && scratch.bytes().all(|byte| start(byte) || byte.is_ascii_digit())
        && scratch != database;
    if valid { Ok(()) } else { Err(InvalidValue::Scratch(scratch.to_owned())) }
}

/// A password file for libpq with one line, for every host and database.
pub fn passfile(username: &str, password: &str) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:{}:{}\n", escape(username), escape(password))
}

/// A name between double quotes, for SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tool and its version: `pg_dump (PostgreSQL) 15.18 (Debian …)` is `pg_dump 15.18`.
pub fn tool_version(printed: &str) -> Option<String> {
    let mut words = printed.split_whitespace();
    let (name, _, version) = (words.next()?, words.next()?, words.next()?);
    Some(format!("{name} {version}"))
}

/// The list of what is restored, out of what `pg_restore --list` prints.
///
/// Left out is what the operator declares in every database, and what a login that owns neither could not make: the
/// schema public itself with its rights and comment, rights on functions of `pg_catalog`, extensions and their
/// comments, which are made before; the schemas `made` for those, which belong to `group`; and those that the operator has
/// `declared` for them, with their rights. A line that a tenant's names make
/// look like one of these is left out too, and then the comparison finds it missing.
pub fn restore_list(printed: &str, group: &str, made: &[String], declared: &[&str]) -> String {
    let made: Vec<String> = made.iter().map(|schema| format!("SCHEMA - {schema} {group}")).collect();
    let of = |schema: &&str| {
        ["SCHEMA -", "ACL - SCHEMA", "COMMENT - SCHEMA"].map(|what| format!("{what} {schema} "))
    };
    let declared: Vec<String> = declared.iter().flat_map(of).collect();
    let is_made = |entry: &str| {
        is_declared(entry)
            || made.iter().any(|made| made == entry)
            || declared.iter().any(|start| entry.starts_with(start))
    };
    let kept = printed.lines().filter(|line| entry(line).is_some_and(|entry| !is_made(entry)));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// What follows the three numbers of a line: `DESCRIPTION SCHEMA NAME OWNER`.
fn entry(line: &str) -> Option<&str> {
    let (id, rest) = line.split_once("; ")?;
    id.parse::<u32>().ok()?;
    rest.splitn(3, ' ').nth(2)
}

fn is_declared(entry: &str) -> bool {
    let declared = [
        "SCHEMA - public ",
        "ACL - SCHEMA public ",
        "COMMENT - SCHEMA public ",
        "EXTENSION - ",
        "COMMENT - EXTENSION ",
        "ACL pg_catalog ",
    ];
    declared.iter().any(|start| entry.starts_with(start))
}

/// What a tool complained about: the entry it was at and its first error, or its last line.
pub fn complaint(stderr: &str) -> String {
    let mut at = None;
    for line in stderr.lines() {
        if line.contains(": from TOC entry ") {
            at = line.split_once("from TOC entry ").map(|(_, entry)| entry);
        }
        if let Some((_, error)) = line.split_once("error: ") {
            return match at {
                Some(entry) => format!("{error} (at entry {entry})"),
                None => error.to_owned(),
            };
        }
    }
    stderr.lines().last().unwrap_or_default().to_owned()
}

/// An error and all that it came of.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        // Libraries repeat their source in their own message.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_inside_its_store() {
        for name in ["7", "7612/t_abc_app/7", "a-B_9"] {
            assert_eq!(ObjectName::parse(name), Ok(ObjectName(name.into())));
        }
        for name in ["", "/a", "a/", "a//b", "..", "a/../b", ".a", "a.b", "a b", "a\n", "ä", &"a".repeat(513)]
        {
            assert_eq!(ObjectName::parse(name), Err(InvalidValue::Name(name.into())));
        }
        let name = ObjectName::parse("a/7").unwrap();
        assert_eq!([name.attempt(1), name.attempt(2), name.attempt(10)], ["a/7", "a/7.2", "a/7.10"]);
    }

    #[test]
    fn a_store_is_a_folder_from_the_root_or_a_bucket() {
        assert_eq!(parse_store("file:///archives/a"), Ok(Location::Folder("/archives/a".into())));
        let bucket = |prefix: Option<&str>| Location::Bucket {
            bucket: "our.archives-1".into(),
            prefix: prefix.map(|prefix| ObjectName(prefix.into())),
        };
        assert_eq!(parse_store("s3://our.archives-1"), Ok(bucket(None)));
        assert_eq!(parse_store("s3://our.archives-1/eu/prod"), Ok(bucket(Some("eu/prod"))));
        for url in [
            "/archives",
            "file://host/a",
            "file:///a/../b",
            "",
            "file://",
            "s3://",
            "s3:///a",
            "s3://bu",
            "s3://Bucket",
            "s3://bucket/",
            "s3://bucket/../other",
            "s3://bucket/a?b",
            "s3://user@bucket",
            "https://bucket/a",
        ] {
            assert_eq!(parse_store(url), Err(InvalidValue::Store(url.into())));
        }
    }

    #[test]
    fn a_scratch_database_is_a_plain_name_and_not_the_database() {
        assert_eq!(check_scratch("t_abc_scratch_1", "t_abc_app"), Ok(()));
        for scratch in ["", "t_abc_app", "host=evil", "A", "1a", "a-b", &"a".repeat(64)] {
            assert_eq!(check_scratch(scratch, "t_abc_app"), Err(InvalidValue::Scratch(scratch.into())));
        }
    }

    #[test]
    fn a_password_file_holds_any_password() {
        assert_eq!(passfile("app", r"a:b\c"), "*:*:*:app:a\\:b\\\\c\n");
    }

    #[test]
    fn a_version_is_name_and_number() {
        let printed = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(tool_version(printed).as_deref(), Some("pg_dump 15.18"));
        assert_eq!(tool_version("pg_dump (PostgreSQL) 18.6\n").as_deref(), Some("pg_dump 18.6"));
        assert_eq!(tool_version("oops"), None);
    }

    #[test]
    fn what_the_operator_declares_is_not_restored() {
        let printed = ";\n; Archive created at 2026-11-21\n;     dbname: t_abc_app\n;\n\
            5; 2615 2200 SCHEMA - public pg_database_owner\n\
            3456; 0 0 ACL - SCHEMA public pg_database_owner\n\
            2; 3079 16384 EXTENSION - hstore \n\
            3400; 0 0 COMMENT - EXTENSION hstore \n\
            3457; 0 0 ACL pg_catalog FUNCTION \"lo_creat\"(integer) postgres\n\
            215; 1259 16386 TABLE public users t_abc_app_owner\n\
            216; 1259 16387 TABLE EXTENSION - t_abc_app_owner\n\
            6; 2615 16400 SCHEMA - public2 t_abc_app_owner\n\
            3458; 0 0 ACL public TABLE users t_abc_app_owner\n";
        let wanted = "215; 1259 16386 TABLE public users t_abc_app_owner\n\
            216; 1259 16387 TABLE EXTENSION - t_abc_app_owner\n\
            6; 2615 16400 SCHEMA - public2 t_abc_app_owner\n\
            3458; 0 0 ACL public TABLE users t_abc_app_owner\n";
        assert_eq!(restore_list(printed, "t_abc_app_owner", &[], &[]), wanted);
        let made = ["public2".to_owned(), "users".to_owned()];
        let without: Vec<&str> = wanted.lines().filter(|line| !line.contains("public2")).collect();
        let list = restore_list(printed, "t_abc_app_owner", &made, &[]);
        assert_eq!(list.lines().collect::<Vec<_>>(), without);
        let operators = "7; 2615 16401 SCHEMA - extensions tenantry_databases\n\
            3460; 0 0 ACL - SCHEMA extensions tenantry_databases\n\
            3461; 0 0 COMMENT - SCHEMA extensions tenantry_databases\n\
            8; 2615 16402 SCHEMA - extensions2 t_abc_app_owner\n";
        let rest = "8; 2615 16402 SCHEMA - extensions2 t_abc_app_owner\n";
        assert_eq!(restore_list(operators, "t_abc_app_owner", &[], &["extensions"]), rest);
    }

    #[test]
    fn only_files_of_the_same_name_or_of_an_operators_attempt_are_leftovers() {
        let found = |name: &str, file: &str| leftover(&ObjectName::parse(name).unwrap(), file);
        let dump = |manifest: &str| Some(Leftover::Dump { manifest: manifest.into() });
        let operator = "76/t_x_app/4-000000ff";
        for part in [".4-0a0a0a0a.dump.019.part", ".12-0a0a0a0a.json.019.part", ".4-000000ff.dump.019.part"] {
            assert_eq!(found(operator, part), Some(Leftover::Part), "{part}");
        }
        assert_eq!(found(operator, "3-0a0a0a0a.dump"), dump("3-0a0a0a0a.json"));
        assert_eq!(found(operator, "3-0a0a0a0a.2.dump"), dump("3-0a0a0a0a.2.json"));
        for file in [
            "3-0a0a0a0a.json",
            "3-0A0A0A0A.dump",
            "mine.dump",
            "-0a0a0a0a.dump",
            "3-0a0a0a0a0.dump",
            ".part",
            ".x.part",
            "3.dump",
        ] {
            assert_eq!(found(operator, file), None, "{file}");
        }
        assert_eq!(found("t/7", ".7.dump.019.part"), Some(Leftover::Part));
        for file in [".8.dump.019.part", "7.dump", "3-0a0a0a0a.dump", ".3-0a0a0a0a.dump.019.part"] {
            assert_eq!(found("t/7", file), None, "{file}");
        }
    }

    #[test]
    fn only_marks_and_dumps_without_manifest_of_an_operators_attempts_are_stale() {
        let found = |name: &str, file: &str| {
            stale(&ObjectName::parse(name).unwrap(), file, &[file, "3-0b0b0b0b.json", "3-0b0b0b0b.2.json"])
        };
        for file in ["3-0a0a0a0a.dump", "3-0a0a0a0a.2.dump", "3-0a0a0a0a.part", "3-0b0b0b0b.part"] {
            assert!(found("76/t_x_app/4-000000ff", file), "{file}");
            assert!(!found("76/t_x_app/7", file), "{file}");
        }
        for file in ["3-0b0b0b0b.dump", "3-0b0b0b0b.2.dump", "3-0a0a0a0a.json", "mine.dump", "3.part", "part"]
        {
            assert!(!found("76/t_x_app/4-000000ff", file), "{file}");
        }
    }

    #[test]
    fn a_stores_refusal_is_told_by_its_code_with_the_next_step_and_bounded() {
        let said = |code: &str| {
            refusal(&format!("x <Error><Code>{code}</Code><Message>No.</Message></Error>"), "https://s3", "b")
        };
        assert_eq!(
            said("NoSuchBucket"),
            "https://s3 answers NoSuchBucket (No.): create bucket b, or correct spec.archive.s3.bucket"
        );
        assert_eq!(said("SlowDown"), "https://s3 answers SlowDown (No.)");
        let long = refusal(&"ü".repeat(5000), "https://s3", "b");
        assert_eq!(long, format!("https://s3: {}", "ü".repeat(150)));
        assert_eq!(refusal("<Code>AccessDenied</Code>", "e", "b").matches("docs/databases.md").count(), 1);
        let elsewhere = refusal("Received redirect without LOCATION", "e", "b");
        assert_eq!(elsewhere, "e sends it elsewhere: correct spec.archive.s3.region");
    }

    #[test]
    fn a_complaint_is_the_first_error_and_where_it_happened() {
        let stderr = "pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 215; 1259 16386 TABLE users o\n\
            pg_restore: error: could not execute query: ERROR:  permission denied\nCommand was: CREATE TABLE x;\n";
        assert_eq!(
            complaint(stderr),
            "could not execute query: ERROR:  permission denied (at entry 215; 1259 16386 TABLE users o)"
        );
        assert_eq!(complaint("pg_dump: warning: a\nKilled\n"), "Killed");
        assert_eq!(complaint(""), "");
    }
}
