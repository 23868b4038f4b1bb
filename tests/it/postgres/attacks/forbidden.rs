//! What the layout and PostgreSQL's own rights forbid: reach out of the own database, take, read, run.

use super::{Attack, By, Outcome, Sessions, blind, refused};

const fn entering(name: &'static str, database: &'static str, state: &'static str) -> Attack {
    let sessions: Sessions = &[&["SELECT 1"]];
    Attack { name, by: By::OwnerIn(database), sessions, outcome: Outcome::Refused(state) }
}

const fn as_reader(name: &'static str, sessions: Sessions) -> Attack {
    Attack { by: By::Reader, ..refused(name, sessions) }
}

/// Entering what is not one's own.
pub const ENTER: &[Attack] = &[
    entering("enters another tenant's database", "{b}", "42501"),
    entering("enters postgres", "postgres", "42501"),
    entering("enters template1", "template1", "42501"),
    entering("enters template0", "template0", "55000"),
    entering("enters the operator database", "tenantry", "42501"),
];

/// What a session in the own database is refused.
pub const REFUSED: &[Attack] = &[
    refused("drops its database", &[&["DROP DATABASE {a}"]]),
    refused("drops another's database", &[&["DROP DATABASE {b}"]]),
    refused("renames its database", &[&["ALTER DATABASE {a} RENAME TO mine"]]),
    refused("takes its database", &[&["ALTER DATABASE {a} OWNER TO {a}_owner"]]),
    refused("lifts the limit of its database", &[&["ALTER DATABASE {a} CONNECTION LIMIT -1"]]),
    refused("sets a path for all who enter its database", &[&["ALTER DATABASE {a} SET search_path = evil"]]),
    refused(
        "sets a path for all who enter another's database",
        &[&["ALTER DATABASE {b} SET search_path = evil"]],
    ),
    refused("comments on its database", &[&["COMMENT ON DATABASE {a} IS 'mine'"]]),
    refused("makes a database", &[&["CREATE DATABASE mine"]]),
    refused("copies a database", &[&["CREATE DATABASE mine TEMPLATE {b}"]]),
    refused("takes schema public", &[&["ALTER SCHEMA public OWNER TO {a}_owner"]]),
    refused("drops schema public", &[&["DROP SCHEMA public CASCADE"]]),
    refused("makes a login", &[&["CREATE ROLE mine LOGIN"]]),
    refused("makes itself a superuser", &[&["SET ROLE NONE", "ALTER ROLE {login} SUPERUSER"]]),
    refused("lets itself make roles", &[&["SET ROLE NONE", "ALTER ROLE {login} CREATEROLE"]]),
    refused("lifts the limit of its login", &[&["SET ROLE NONE", "ALTER ROLE {login} CONNECTION LIMIT -1"]]),
    refused("renames another's login", &[&["ALTER ROLE {other} RENAME TO mine"]]),
    refused("lets its group log in", &[&["ALTER ROLE {a}_owner LOGIN"]]),
    refused("sets another's password", &[&["ALTER ROLE {other} PASSWORD 'mine'"]]),
    refused("sets what another's login does", &[&["ALTER ROLE {other} SET search_path = evil"]]),
    refused("sets what all logins do", &[&["ALTER ROLE ALL SET search_path = evil"]]),
    refused("drops another's login", &[&["DROP ROLE {other}"]]),
    refused("gives its group away", &[&["GRANT {a}_owner TO {other}"]]),
    refused("joins another's group", &[&["GRANT {b}_owner TO {login}"]]),
    refused(
        "joins those who run programs",
        &[&["SET ROLE NONE", "GRANT pg_execute_server_program TO {login}"]],
    ),
    refused("joins those who read files", &[&["SET ROLE NONE", "GRANT pg_read_server_files TO {login}"]]),
    refused("joins those who end sessions", &[&["SET ROLE NONE", "GRANT pg_signal_backend TO {login}"]]),
    refused("acts as the owner of all databases", &[&["SET ROLE tenantry_databases"]]),
    refused("acts as another's group", &[&["SET ROLE {b}_owner"]]),
    refused("acts as another's login", &[&["SET ROLE {other}"]]),
    refused("acts as the operator", &[&["SET ROLE postgres"]]),
    refused("logs in as the operator", &[&["SET SESSION AUTHORIZATION postgres"]]),
    refused("takes another's objects", &[&["REASSIGN OWNED BY {b}_owner TO {a}_owner"]]),
    refused("drops another's objects", &[&["DROP OWNED BY {b}_owner"]]),
    refused("reads stored passwords", &[&["SELECT rolpassword FROM pg_authid"]]),
    refused("reads stored passwords through a view", &[&["SELECT passwd FROM pg_shadow"]]),
    refused("runs a program", &[&["COPY (SELECT 1) TO PROGRAM 'true'"]]),
    refused("reads a program's output", &[&["COPY own FROM PROGRAM 'echo 1'"]]),
    refused("reads a file into a table", &[&["COPY own FROM '/etc/hostname'"]]),
    refused("writes a file", &[&["COPY own TO '/tmp/mine'"]]),
    refused("reads a file", &[&["SELECT pg_read_file('postgresql.conf')"]]),
    refused("lists a folder", &[&["SELECT pg_ls_dir('.')"]]),
    refused("reads a file into a large object", &[&["SELECT lo_import('/etc/hostname')"]]),
    refused("writes a large object to a file", &[&["SELECT lo_export(1, '/tmp/mine')"]]),
    refused("loads a library", &[&["LOAD '/tmp/mine.so'"]]),
    refused(
        "makes a function of machine code",
        &[&["CREATE FUNCTION mine() RETURNS int LANGUAGE c AS '/tmp/mine.so', 'mine'"]],
    ),
    refused(
        "makes a function of the server's own",
        &[&["CREATE FUNCTION mine() RETURNS int LANGUAGE internal AS 'pg_backend_pid'"]],
    ),
    refused("makes a wrapper to the world", &[&["CREATE FOREIGN DATA WRAPPER mine"]]),
    refused("installs dblink", &[&["CREATE EXTENSION dblink"]]),
    refused("installs file_fdw", &[&["CREATE EXTENSION file_fdw"]]),
    refused(
        "is called on every change of the schema",
        &[&[
            "CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION on_ddl()",
        ]],
    ),
    refused("makes a tablespace", &[&["CREATE TABLESPACE mine LOCATION '/tmp'"]]),
    refused(
        "subscribes to a server",
        &[&["CREATE SUBSCRIPTION mine CONNECTION 'dbname=postgres' PUBLICATION p"]],
    ),
    refused("publishes all tables", &[&["CREATE PUBLICATION mine FOR ALL TABLES"]]),
    refused(
        "keeps the log of changes for itself",
        &[&["SELECT pg_create_physical_replication_slot('mine', true)"]],
    ),
    refused("changes the server", &[&["ALTER SYSTEM SET log_statement = 'none'"]]),
    refused("lifts the limit of temporary files", &[&["SET temp_file_limit = -1"]]),
    refused("hides from the log", &[&["SET log_statement = 'none'"]]),
    refused("has every statement logged", &[&["SET log_min_duration_statement = 0"]]),
    refused("has each statement's time logged", &[&["SET log_duration = on"]]),
    refused("has the statements that fail logged", &[&["SET log_min_error_statement = debug5"]]),
    refused("has all that the server does logged", &[&["SET log_min_messages = debug5"]]),
    refused("has the parameters of statements logged", &[&["SET log_parameter_max_length = -1"]]),
    refused(
        "has its login log everything",
        &[&["SET ROLE NONE", "ALTER ROLE {login} SET log_min_messages = debug5"]],
    ),
    refused("loads the server's configuration", &[&["SELECT pg_reload_conf()"]]),
    refused(
        "writes to the log of changes",
        &[&["SELECT pg_logical_emit_message(false, 'mine', repeat('x', 1000000))"]],
    ),
    refused(
        "writes bytes to the log of changes",
        &[&["SELECT pg_logical_emit_message(true, 'mine', '\\x00'::bytea)"]],
    ),
    refused("fills the disk with log segments", &[&["SELECT pg_switch_wal()"]]),
    refused(
        "takes the log of changes back to the beginning",
        &[&["SELECT pg_replication_origin_create('mine')"]],
    ),
    refused(
        "ends the operator's sessions",
        &[&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tenantry'"]],
    ),
    refused(
        "cancels the operator's statements",
        &[&["SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = 'tenantry'"]],
    ),
    refused("forgets what the server counted", &[&["SELECT pg_stat_reset_shared('bgwriter')"]]),
    as_reader("writes as a reader", &[&["INSERT INTO own VALUES (1)"]]),
    as_reader(
        "writes as a reader that says it may",
        &[&["SET default_transaction_read_only = off", "DELETE FROM own"]],
    ),
    as_reader("makes a table as a reader", &[&["CREATE TABLE mine ()"]]),
    as_reader("fills temporary tables as a reader", &[&["CREATE TEMPORARY TABLE mine ()"]]),
    as_reader("stores a large object as a reader", &[&["SELECT lo_create(0)"]]),
    as_reader("becomes the owner as a reader", &[&["SET ROLE {a}_owner"]]),
    blind(
        "reads another's statements",
        &[&[
            "SELECT query FROM pg_stat_activity WHERE datname <> current_database() AND query NOT IN ('', '<insufficient privilege>')",
        ]],
    ),
    blind(
        "reads where others come from",
        &[&[
            "SELECT client_addr::text FROM pg_stat_activity WHERE datname <> current_database() AND client_addr IS NOT NULL",
        ]],
    ),
];
