//! The user service (`tenantry run user`): the users of one tenant, in the tenant's own database.
//!
//! | file | what is in it |
//! |---|---|
//! | this one | the table of routes, and how the service is put together |
//! | [`handler`] | from request to answer, a few lines each |
//! | [`logic`] | what is a valid user, query or cursor (pure) |
//! | [`store`] | the SQL |
//! | `migrations/` | the schema, applied at start; only ever extended, so that old and new replicas run side by side |
//!
//! Callers are not authenticated yet: the permission of each route is in the table for the layer that will.

pub mod handler;
pub mod logic;
pub mod store;

use axum::http::Method;
use axum::routing::on;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::store::Store;
use super::database::{Database, DatabaseNeeds};
use super::http::Route;
use super::serve::{Listeners, ServeError, Service, ServiceConfig, serve};

/// Every route of the service.
pub const ROUTES: &[Route<UserState>] = &[
    Route {
        method: Method::GET,
        path: "/api/users",
        permission: "users:read",
        handler: |method| on(method, handler::list),
    },
    Route {
        method: Method::POST,
        path: "/api/users",
        permission: "users:create",
        handler: |method| on(method, handler::create),
    },
    Route {
        method: Method::GET,
        path: "/api/users/{id}",
        permission: "users:read",
        handler: |method| on(method, handler::read),
    },
    Route {
        method: Method::PUT,
        path: "/api/users/{id}",
        permission: "users:update",
        handler: |method| on(method, handler::replace),
    },
    Route {
        method: Method::DELETE,
        path: "/api/users/{id}",
        permission: "users:delete",
        handler: |method| on(method, handler::delete),
    },
];

/// What every handler gets.
#[derive(Clone, Debug)]
pub struct UserState {
    /// Where users are kept.
    pub store: Store,
    /// Makes ids of users.
    pub new_id: fn() -> Uuid,
}

/// Opens the ports of `config` and serves until `shutdown` is cancelled.
pub async fn run(config: ServiceConfig, shutdown: CancellationToken) -> Result<(), ServeError> {
    let listeners = Listeners::bind(&config).await?;
    serve_on(config, listeners, shutdown).await
}

/// Serves on ports that are already open.
pub async fn serve_on(
    config: ServiceConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    serve(service(), config, listeners, shutdown).await
}

fn service() -> Service<UserState> {
    Service {
        needs: DatabaseNeeds { service: "user", schema: SCHEMA, migrator: migrator() },
        routes: ROUTES,
        state: |database: Database, config: &ServiceConfig| UserState {
            store: Store::new(database),
            new_id: config.new_id,
        },
    }
}

/// The service's own schema: other services may share the database without meeting our tables.
const SCHEMA: &str = "user_service";

/// Each file of `migrations/`, in its order. Listed by hand: sqlx's macro reads the folder, and to do that compiles the
/// whole of sqlx, its TLS and its runtime a second time for the compiler, a minute of every first build.
const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "users", include_str!("migrations/0001_users.sql"))];

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    migrator.create_schema(SCHEMA);
    // After a rollback the database is ahead of the binary. Migrations only ever extend, so that is fine.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::MIGRATIONS;

    #[test]
    fn every_file_of_migrations_is_applied() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/services/user/migrations");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed = MIGRATIONS.map(|(version, name, _)| format!("{version:04}_{name}.sql"));
        assert_eq!(BTreeSet::from(listed), files);
    }
}
