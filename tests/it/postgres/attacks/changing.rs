//! What a tenant may do, and what does not help it: either nothing of ours changes, or the next plan undoes it.

use super::{Attack, By, Outcome, healed, in_vain};

/// What a tenant writes to the server's log when it can.
pub const WORD: &str = "a tenant was here";

/// Taken without an error. The functions that are planted leave a row in `tripped` when anybody runs them.
pub const IN_VAIN: &[Attack] = &[
    in_vain("opens its database to everybody", &[&["GRANT CONNECT ON DATABASE {a} TO PUBLIC"]]),
    in_vain("opens its database to another", &[&["GRANT CONNECT ON DATABASE {a} TO {other}"]]),
    in_vain("opens schema public to everybody", &[&["GRANT ALL ON SCHEMA public TO PUBLIC"]]),
    in_vain(
        "passes large objects on to everybody",
        &[&["GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC"]],
    ),
    in_vain(
        "plants functions that our queries name, in schema public",
        &[&[
            "CREATE FUNCTION public.starts_with(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN true; END'",
            "CREATE FUNCTION public.pg_get_userbyid(oid) RETURNS name LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN ''x''::name; END'",
            "CREATE FUNCTION public.unnest(text[]) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN ''x''; END'",
        ]],
    ),
    in_vain(
        "plants an operator that fits better than the built-in one",
        &[&[
            "CREATE FUNCTION public.same(name, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN true; END'",
            "CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same)",
        ]],
    ),
    in_vain(
        "plants functions in a schema named like the operator's login",
        &[&[
            "CREATE SCHEMA postgres",
            "CREATE FUNCTION postgres.starts_with(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN true; END'",
            "CREATE FUNCTION postgres.pg_get_userbyid(oid) RETURNS name LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN ''x''::name; END'",
        ]],
    ),
    in_vain(
        "plants a table in place of a catalog, in a schema named like the operator's login",
        &[&["CREATE VIEW postgres.pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE false"]],
    ),
    in_vain(
        "plants functions for its own temporary schema",
        &[&[
            "CREATE FUNCTION pg_temp.starts_with(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN true; END'",
            "SET search_path = pg_temp, pg_catalog",
        ]],
    ),
    in_vain(
        "plants a table in the temporary schema",
        &[&["CREATE TEMPORARY TABLE pg_namespace (oid oid, nspname name, nspowner oid, nspacl aclitem[])"]],
    ),
    in_vain(
        "plants code in a table, an index and a default",
        &[&[
            "CREATE FUNCTION public.trip(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN 1; END'",
            "CREATE TABLE trap (id int CHECK (trip(id) = 1), one int DEFAULT trip(1))",
            "CREATE VIEW trapped AS SELECT trip(1)",
        ]],
    ),
    in_vain(
        "makes a type, a cast and an aggregate of its own",
        &[&[
            "CREATE TYPE pair AS (one int, two int)",
            "CREATE FUNCTION to_text(pair) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.tripped VALUES (current_user); RETURN 1; END'",
            "CREATE CAST (pair AS text) WITH FUNCTION to_text(pair) AS IMPLICIT",
        ]],
    ),
    in_vain(
        "listens to what others notify",
        &[&["LISTEN everything", "UNLISTEN everything", "NOTIFY everything, 'me'"]],
    ),
    in_vain(
        "writes to the server's log",
        &[&[
            "DO $$ BEGIN RAISE LOG 'a tenant was here'; END $$",
            "DO $$ BEGIN RAISE WARNING 'a tenant was here'; END $$",
        ]],
    ),
    Attack {
        name: "fails, to be written to the server's log",
        by: By::Owner,
        sessions: &[&[
            "SET log_parameter_max_length_on_error = -1",
            "DO $$ BEGIN RAISE EXCEPTION 'a tenant was here'; END $$",
        ]],
        outcome: Outcome::Refused("P0001"),
    },
    in_vain(
        "lifts its timeouts for a session",
        &[&[
            "SET statement_timeout = 0",
            "SET lock_timeout = 0",
            "SET idle_in_transaction_session_timeout = 0",
        ]],
    ),
];

/// What stays when the session is over.
pub const HEALED: &[Attack] = &[
    healed("changes the password of its login", &[&["SET ROLE NONE", "ALTER ROLE {login} PASSWORD 'mine'"]]),
    healed("takes the password of its login away", &[&["SET ROLE NONE", "ALTER ROLE {login} PASSWORD NULL"]]),
    healed(
        "lifts the timeout of its login",
        &[&["SET ROLE NONE", "ALTER ROLE {login} SET statement_timeout = 0"]],
    ),
    healed(
        "lifts the timeout of its login in its database",
        &[&[
            "SET ROLE NONE",
            "ALTER ROLE {login} IN DATABASE {a} SET idle_in_transaction_session_timeout = 0",
        ]],
    ),
    healed(
        "gives its login a lot of memory",
        &[&["SET ROLE NONE", "ALTER ROLE {login} SET work_mem = '1TB'"]],
    ),
    healed(
        "gives its login a path of its own",
        &[&["SET ROLE NONE", "ALTER ROLE {login} SET search_path = evil"]],
    ),
    healed(
        "leaves a setting in another's database",
        &[&["SET ROLE NONE", "ALTER ROLE {login} IN DATABASE {b} SET work_mem = '1MB'"]],
    ),
    healed(
        "leaves a setting in the operator database",
        &[&["SET ROLE NONE", "ALTER ROLE {login} IN DATABASE tenantry SET work_mem = '1MB'"]],
    ),
    healed(
        "does not act as its group any more",
        &[&["SET ROLE NONE", "ALTER ROLE {login} IN DATABASE {a} RESET role"]],
    ),
    healed("acts as itself", &[&["SET ROLE NONE", "ALTER ROLE {login} IN DATABASE {a} SET role = none"]]),
    healed(
        "takes back every setting of its login",
        &[&["SET ROLE NONE", "ALTER ROLE {login} IN DATABASE {a} RESET ALL"]],
    ),
    healed("leaves a setting on its group", &[&["ALTER ROLE {a}_owner SET work_mem = '1TB'"]]),
    healed(
        "keeps what it makes from its readers",
        &[&["ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM {a}_ro"]],
    ),
    healed(
        "keeps its schemas from its writers",
        &[&["ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SCHEMAS FROM {a}_rw"]],
    ),
];
