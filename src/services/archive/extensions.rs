//! Extensions: those that a database has are made in the scratch database, as they are.
//!
//! The operator makes them in a schema that belongs to the database's owner, where nobody else can make anything; a tenant may make
//! trusted ones by itself. In the scratch database, which is empty, the tenant's login makes both.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::logic::quoted;
use super::read::ReadError;

/// Extensions in the order in which they were made, so after those that they require: name, version and schema.
const EXTENSIONS_IN_ORDER: &str = "SELECT e.extname::text, e.extversion, n.nspname::text FROM pg_extension e \
    JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid";

/// Schemas that belong to whoever the database belongs to.
const DECLARED: &str = "SELECT n.nspname::text, quote_ident(n.nspname) FROM pg_namespace n JOIN pg_database d \
    ON d.datname = current_database() AND d.datdba = n.nspowner WHERE n.oid >= 16384 AND NOT starts_with(n.nspname, 'pg_')";

/// A schema that the operator has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The same as PostgreSQL prints it.
    pub printed: String,
}

/// An extension of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    name: String,
    version: String,
    schema: String,
}

/// The schemas that the operator has made in the database.
pub async fn declared(session: &mut PgConnection) -> Result<Vec<Declared>, ReadError> {
    let found: Vec<(String, String)> =
        sqlx::query_as(DECLARED).fetch_all(session).await.map_err(ReadError::Catalog)?;
    Ok(found.into_iter().map(|(name, printed)| Declared { name, printed }).collect())
}

/// The extensions of the database, each after those that it requires.
pub async fn extensions(session: &mut PgConnection) -> Result<Vec<Extension>, ReadError> {
    let found: Vec<(String, String, String)> =
        sqlx::query_as(EXTENSIONS_IN_ORDER).fetch_all(session).await.map_err(ReadError::Catalog)?;
    Ok(found.into_iter().map(|(name, version, schema)| Extension { name, version, schema }).collect())
}

/// Makes those of the extensions that an empty scratch database has not, and the schemas that they are in. Returns those schemas:
/// what is restored has them already. Whoever may make things in a database may create trusted extensions there, and what they
/// bring is the server's own.
pub async fn create_extensions(
    session: &mut PgConnection,
    extensions: &[Extension],
) -> Result<Vec<String>, ReadError> {
    let there = self::extensions(session).await?;
    let mut made = vec![];
    for Extension { name, version, schema } in extensions {
        if there.iter().any(|own| own.name == *name) {
            continue;
        }
        let failed = |source| ReadError::Extension { name: name.clone(), source };
        let exists = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
        let exists: bool =
            sqlx::query_scalar(exists).bind(schema).fetch_one(&mut *session).await.map_err(failed)?;
        let (name, schema_name, version) = (quoted(name), quoted(schema), quoted(version));
        if !exists {
            let create = format!("CREATE SCHEMA {schema_name}");
            session.execute(AssertSqlSafe(create)).await.map_err(failed)?;
            made.push(schema.clone());
        }
        let create = format!("CREATE EXTENSION {name} SCHEMA {schema_name} VERSION {version}");
        session.execute(AssertSqlSafe(create)).await.map_err(failed)?;
    }
    Ok(made)
}
