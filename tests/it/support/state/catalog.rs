//! What a server's catalog says about some tenants: databases, roles, memberships, settings, grants, marker rows.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::Postgres;

/// Name of the operator's own database.
const OPERATOR_DATABASE: &str = "tenantry";

/// Things that a whole server has, each with the SQL that yields `name` and `entry`; `$1` is a pattern of names.
const SERVER: [&str; 4] = [
    "select 'database ' || datname as name, to_jsonb(entry) as entry from (
        select datname, pg_get_userbyid(datdba) as owner, datacl::text[] as grants, datallowconn, datconnlimit,
            pg_encoding_to_char(encoding) as encoding, datcollate, shobj_description(oid, 'pg_database') as comment
        from pg_database where datname like $1 or datname like 'tombstone\\_' || $1) as entry",
    "select 'role ' || rolname as name, to_jsonb(entry) as entry from (
        select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
            rolconnlimit, rolvaliduntil, left(rolpassword, 13) as password_kind,
            shobj_description(oid, 'pg_authid') as comment
        from pg_authid where rolname like $1) as entry",
    "select 'member ' || member || ' of ' || role as name, to_jsonb(entry) as entry from (
        select pg_get_userbyid(member) as member, pg_get_userbyid(roleid) as role, admin_option
        from pg_auth_members) as entry where member like $1 or role like $1",
    "select 'settings of ' || coalesce(role, 'all') || ' in ' || coalesce(database, 'all') as name,
        to_jsonb(entry) as entry from (
        select (select rolname from pg_roles where oid = setrole) as role,
            (select datname from pg_database where oid = setdatabase) as database, setconfig
        from pg_db_role_setting) as entry where role like $1 or database like $1",
];

/// Things inside a database.
const INSIDE: [&str; 4] = [
    "select 'schema ' || nspname as name, to_jsonb(entry) as entry from (
        select nspname, pg_get_userbyid(nspowner) as owner, nspacl::text[] as grants
        from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema') as entry",
    "select 'default privileges ' || role || ' ' || schema || ' ' || kind as name, to_jsonb(entry) as entry from (
        select pg_get_userbyid(defaclrole) as role, defaclnamespace::regnamespace::text as schema,
            defaclobjtype::text as kind, defaclacl::text[] as grants
        from pg_default_acl) as entry",
    "select 'relation ' || relation as name, to_jsonb(entry) as entry from (
        select pg_class.oid::regclass::text as relation, relkind, pg_get_userbyid(relowner) as owner,
            relacl::text[] as grants
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where nspname !~ '^pg_' and nspname <> 'information_schema') as entry",
    "select 'extension ' || extname as name, to_jsonb(entry) as entry from (
        select extname, extversion, pg_get_userbyid(extowner) as owner from pg_extension) as entry",
];

/// Everything about the tenants with those ids, and about the databases that were `adopted`.
pub async fn all(postgres: &Postgres, ids: &[String], adopted: &[String]) -> Vec<(String, Value)> {
    let mut found = vec![];
    let mut server = postgres.admin("postgres").await;
    let patterns = ids.iter().map(|id| format!("t\\_{id}\\_%")).chain(adopted.iter().cloned());
    for pattern in patterns {
        for statement in SERVER {
            found.extend(entries(&mut server, statement, Some(&pattern)).await);
        }
    }
    let databases: Vec<String> =
        found.iter().filter_map(|(name, _)| name.strip_prefix("database ").map(str::to_owned)).collect();
    for database in &databases {
        let refuses = found.iter().any(|(name, entry)| {
            name.strip_prefix("database ") == Some(database) && entry["datallowconn"] == false
        });
        // While a session is in it, a tombstone's archive is not recorded.
        if !refuses && !database.starts_with("tombstone_") {
            found.extend(inside(postgres, database).await);
        }
    }
    if has_database(&mut server, OPERATOR_DATABASE).await {
        found.extend(rows_about(postgres, ids).await);
    }
    server.close().await.unwrap();
    found
}

async fn has_database(server: &mut PgConnection, name: &str) -> bool {
    let query = sqlx::query_scalar("select exists (select from pg_database where datname = $1)").bind(name);
    query.fetch_one(server).await.unwrap()
}

async fn inside(postgres: &Postgres, database: &str) -> Vec<(String, Value)> {
    let access = postgres.access();
    // It may be closed, renamed or dropped since the server named it: then this is no end state.
    let Ok(mut connection) = postgres.connect(&access.username, &access.password, database).await else {
        return vec![];
    };
    let mut found = vec![];
    for statement in INSIDE {
        let entries = entries(&mut connection, statement, None).await;
        found.extend(entries.into_iter().map(|(name, entry)| (format!("{database}: {name}"), entry)));
    }
    connection.close().await.unwrap();
    found
}

/// The rows of every table of the operator's database that mention one of the ids, without times.
async fn rows_about(postgres: &Postgres, ids: &[String]) -> Vec<(String, Value)> {
    let mut connection = postgres.admin(OPERATOR_DATABASE).await;
    let tables = "select schemaname || '.' || quote_ident(tablename) from pg_tables
        where schemaname !~ '^pg_' and schemaname <> 'information_schema'";
    let tables = connection.fetch_all(tables).await.unwrap();
    let mut found = vec![];
    for table in tables.iter().map(|row| row.get::<String, _>(0)) {
        let rows = AssertSqlSafe(format!("select to_jsonb(entry) from {table} as entry"));
        for row in connection.fetch_all(sqlx::query(rows)).await.unwrap() {
            let mut entry: Value = row.get(0);
            if !ids.iter().any(|id| entry.to_string().contains(id)) {
                continue;
            }
            // When it was written, and how often the database has been bound and released, is its history.
            let history = |name: &str| name.ends_with("_at") || name == "generation" || name == "epoch";
            entry.as_object_mut().unwrap().retain(|name, _| !history(name));
            // Its name is drawn, and what is in it has times.
            if entry["archive"].is_string() {
                entry["archive"] = "ARCHIVE".into();
            }
            let about = entry["physical_name"].as_str().unwrap_or_default().to_owned();
            found.push((format!("{OPERATOR_DATABASE}: row of {table} {about}"), entry));
        }
    }
    connection.close().await.unwrap();
    found
}

async fn entries(
    connection: &mut PgConnection,
    statement: &'static str,
    pattern: Option<&str>,
) -> Vec<(String, Value)> {
    let query = match pattern {
        Some(pattern) => sqlx::query(statement).bind(pattern.to_owned()),
        None => sqlx::query(statement),
    };
    let rows = query.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get("name"), in_order(row.get("entry")))).collect()
}

/// Grants are a set: in which order they stand tells when each was made.
fn in_order(mut entry: Value) -> Value {
    if let Some(grants) = entry["grants"].as_array_mut() {
        grants.sort_by_cached_key(Value::to_string);
    }
    entry
}
