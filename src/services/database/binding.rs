//! The database that a service is bound to: a directory of files, as the Service Binding Specification 1.1 says.
//!
//! `$SERVICE_BINDING_ROOT/NAME/` holds one file a key: type, provider, host, port, database, username, password, uri,
//! and `ca.crt` where the server's certificate is not a public one. The files are a mounted Secret, so they change
//! under us when credentials are rotated.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// How to reach a database, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    host: String,
    port: u16,
    database: String,
    username: String,
    password: Secret,
    security: Security,
}

/// How the connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Security {
    /// TLS to the very server that is named, vouched for by this CA (PEM).
    VerifiedBy(Vec<u8>),
    /// What `sslmode` of the uri says, or libpq's default.
    Mode(SslMode),
}

/// The modes of libpq. A type of our own because sqlx's cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Why a binding could not be read. Never shows a value: any file could be the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// The root or a binding in it cannot be listed.
    #[error("failed to list bindings in {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// None or several bindings of type postgresql.
    #[error(
        "failed to find the database: {} must hold exactly one binding of type postgresql, found {}",
        root.display(), if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    )]
    NotOne {
        /// The root.
        root: PathBuf,
        /// Names of the bindings of that type.
        found: Vec<String>,
    },
    /// A key is not there or not text.
    #[error("failed to read key {key:?} of the binding {}", path.display())]
    ReadKey {
        /// The binding.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A key holds something that cannot be used.
    #[error("failed to use key {key:?} of the binding {}: it must be {wanted}", path.display())]
    BadKey {
        /// The binding.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

impl Binding {
    /// Reads the one binding of type postgresql below `root`.
    pub fn read(root: &Path) -> Result<Self, BindingError> {
        let list = |source| BindingError::List { path: root.to_owned(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(root).map_err(list)? {
            let path = entry.map_err(list)?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || !path.is_dir() {
                continue;
            }
            let path = snapshot(&path);
            let kind = fs::read_to_string(path.join("type")).unwrap_or_default();
            if kind.trim().starts_with("postgresql") {
                found.push(path);
            }
        }
        found.sort();
        match found.as_slice() {
            [path] => Self::read_directory(path),
            _ => Err(BindingError::NotOne {
                root: root.to_owned(),
                found: found.iter().map(|path| path.display().to_string()).collect(),
            }),
        }
    }

    /// Reads the binding of that name below `root`.
    pub fn named(root: &Path, name: &str) -> Result<Self, BindingError> {
        Self::read_directory(&snapshot(&root.join(name)))
    }

    fn read_directory(path: &Path) -> Result<Self, BindingError> {
        let key = |key: &'static str| {
            fs::read_to_string(path.join(key))
                .map(|value| value.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|source| BindingError::ReadKey { path: path.to_owned(), key, source })
        };
        let bad = |key, wanted| BindingError::BadKey { path: path.to_owned(), key, wanted };
        let optional = |name| match key(name) {
            Ok(value) => Ok(Some(value)),
            Err(BindingError::ReadKey { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let security = match optional("ca.crt")? {
            Some(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => {
                Security::VerifiedBy(pem.into_bytes())
            }
            Some(_) => return Err(bad("ca.crt", "a certificate in PEM")),
            None => Security::Mode(
                ssl_mode(&optional("uri")?.unwrap_or_default())
                    .ok_or_else(|| bad("uri", "a URI whose sslmode PostgreSQL knows"))?,
            ),
        };
        Ok(Self {
            host: key("host")?,
            port: key("port")?.parse().map_err(|_| bad("port", "a number from 1 to 65535"))?,
            database: key("database")?,
            username: key("username")?,
            password: Secret(key("password")?),
            security,
        })
    }

    /// Host of the server.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of the server.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The login.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The login's password: for a file that only a child of ours reads.
    pub fn password(&self) -> &str {
        &self.password.0
    }

    /// The CA that vouches for the server (PEM), if the binding names one.
    pub fn ca(&self) -> Option<&[u8]> {
        match &self.security {
            Security::VerifiedBy(pem) => Some(pem),
            Security::Mode(_) => None,
        }
    }

    /// Options for connections to it. Their `Debug` shows the password: never log them.
    pub fn connect_options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.database)
            .username(&self.username)
            .password(&self.password.0);
        match &self.security {
            Security::VerifiedBy(pem) => {
                options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(pem.clone())
            }
            Security::Mode(mode) => options.ssl_mode(match mode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Allow => PgSslMode::Allow,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            }),
        }
    }
}

/// A mounted Secret is a directory of links into `..data`, which the kubelet swaps as a whole. Going through the
/// resolved directory keeps keys of two generations from being mixed.
fn snapshot(path: &Path) -> PathBuf {
    fs::canonicalize(path.join("..data")).unwrap_or_else(|_| path.to_owned())
}

/// The mode that a connection URI asks for; libpq's default if it does not say.
fn ssl_mode(uri: &str) -> Option<SslMode> {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let Some(mode) = query.split('&').find_map(|pair| pair.strip_prefix("sslmode=")) else {
        return Some(SslMode::Prefer);
    };
    match mode {
        "disable" => Some(SslMode::Disable),
        "allow" => Some(SslMode::Allow),
        "prefer" => Some(SslMode::Prefer),
        "require" => Some(SslMode::Require),
        "verify-ca" => Some(SslMode::VerifyCa),
        "verify-full" => Some(SslMode::VerifyFull),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 6] = [
        ("type", "postgresql"),
        ("host", "db.example"),
        ("port", "5433\n"),
        ("database", "t_a_main"),
        ("username", "t_a_main_app_a"),
        ("password", "correct horse"),
    ];

    fn write(directory: &Path, keys: &[(&str, &str)]) {
        fs::create_dir_all(directory).unwrap();
        for (key, value) in keys {
            fs::write(directory.join(key), value).unwrap();
        }
    }

    fn wanted() -> Binding {
        Binding {
            host: "db.example".to_owned(),
            port: 5433,
            database: "t_a_main".to_owned(),
            username: "t_a_main_app_a".to_owned(),
            password: Secret("correct horse".to_owned()),
            security: Security::Mode(SslMode::Prefer),
        }
    }

    #[test]
    fn the_one_postgresql_binding_is_found_among_others() {
        let root = tempfile::tempdir().unwrap();
        write(&root.path().join("main"), &KEYS);
        write(&root.path().join("queue"), &[("type", "rabbitmq")]);
        write(&root.path().join(".hidden"), &KEYS);
        fs::write(root.path().join("README"), "not a binding").unwrap();
        assert_eq!(Binding::read(root.path()).unwrap(), wanted());
    }

    #[test]
    fn a_ca_means_verify_full_whatever_the_uri_says() {
        let root = tempfile::tempdir().unwrap();
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";
        write(&root.path().join("main"), &KEYS);
        write(&root.path().join("main"), &[("ca.crt", pem), ("uri", "postgresql://h/d?sslmode=disable")]);
        let binding = Binding::read(root.path()).unwrap();
        assert_eq!(binding, Binding { security: Security::VerifiedBy(pem.into()), ..wanted() });
        assert!(matches!(binding.connect_options().get_ssl_mode(), PgSslMode::VerifyFull));
    }

    #[test]
    fn without_a_ca_the_uri_decides() {
        assert_eq!(ssl_mode("postgresql://u:p@h:1/d"), Some(SslMode::Prefer));
        assert_eq!(ssl_mode("postgresql://h/d?a=b&sslmode=verify-full"), Some(SslMode::VerifyFull));
        assert_eq!(ssl_mode("postgresql://h/d?sslmode=maybe"), None);
    }

    #[test]
    fn keys_come_from_one_generation_of_a_mounted_secret() {
        let root = tempfile::tempdir().unwrap();
        let mount = root.path().join("main");
        write(&mount.join("..2026_01"), &KEYS);
        std::os::unix::fs::symlink("..2026_01", mount.join("..data")).unwrap();
        for (key, _) in KEYS {
            std::os::unix::fs::symlink(format!("..data/{key}"), mount.join(key)).unwrap();
        }
        assert_eq!(Binding::read(root.path()).unwrap(), wanted());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_without_showing_a_value() {
        let shown = |root: &Path| {
            Binding::read(root).unwrap_err().to_string().replace(&root.display().to_string(), "ROOT")
        };
        let root = tempfile::tempdir().unwrap();
        assert_eq!(
            shown(root.path()),
            "failed to find the database: ROOT must hold exactly one binding of type postgresql, found none"
        );
        assert_eq!(
            shown(&root.path().join("absent")),
            "failed to list bindings in ROOT/absent".replace("ROOT/absent", "ROOT")
        );
        write(&root.path().join("main"), &[("type", "postgresql"), ("uri", "")]);
        assert_eq!(shown(root.path()), "failed to read key \"host\" of the binding ROOT/main");
        write(&root.path().join("main"), &KEYS);
        write(&root.path().join("main"), &[("port", "s3cret")]);
        assert_eq!(
            shown(root.path()),
            "failed to use key \"port\" of the binding ROOT/main: it must be a number from 1 to 65535"
        );
        write(&root.path().join("main"), &[("port", "5433"), ("ca.crt", "s3cret")]);
        assert_eq!(
            shown(root.path()),
            "failed to use key \"ca.crt\" of the binding ROOT/main: it must be a certificate in PEM"
        );
        write(&root.path().join("second"), &KEYS);
        assert_eq!(
            shown(root.path()),
            "failed to find the database: ROOT must hold exactly one binding of type postgresql, found ROOT/main, ROOT/second"
        );
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", wanted());
        assert!(!shown.contains("horse"), "{shown}");
    }
}
