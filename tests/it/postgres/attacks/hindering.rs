//! What PostgreSQL leaves open, and the guard ends: to be in everybody's way.

use super::{Attack, ended};

/// Sessions that lock what all share. The last statement of a row waits, or follows what is kept open.
pub const ENDED: &[Attack] = &[
    ended(
        "freezes logins by a rule on pg_database",
        "LocksSharedCatalog",
        &[
            &["BEGIN", "SELECT FROM pg_database"],
            &["CREATE RULE r AS ON INSERT TO pg_catalog.pg_database DO NOTHING"],
        ],
    ),
    ended(
        "freezes logins by a rule on pg_authid",
        "LocksSharedCatalog",
        &[
            &["BEGIN", "SELECT FROM pg_roles"],
            &["CREATE RULE r AS ON INSERT TO pg_catalog.pg_authid DO NOTHING"],
        ],
    ),
    ended(
        "freezes logins by a rule on pg_db_role_setting",
        "LocksSharedCatalog",
        &[
            &["BEGIN", "SELECT FROM pg_db_role_setting"],
            &["CREATE RULE r AS ON INSERT TO pg_catalog.pg_db_role_setting DO NOTHING"],
        ],
    ),
    ended(
        "freezes grants by a rule on pg_auth_members",
        "LocksSharedCatalog",
        &[
            &["BEGIN", "SELECT FROM pg_auth_members"],
            &["CREATE RULE r AS ON INSERT TO pg_catalog.pg_auth_members DO NOTHING"],
        ],
    ),
    ended(
        "freezes changes of the schema by a rule on pg_shdepend",
        "LocksSharedCatalog",
        &[
            &["BEGIN", "SELECT FROM pg_shdepend"],
            &["CREATE RULE r AS ON INSERT TO pg_catalog.pg_shdepend DO NOTHING"],
        ],
    ),
    ended(
        "freezes logins with one session",
        "LocksSharedCatalog",
        &[&["CREATE RULE r AS ON INSERT TO pg_catalog.pg_database DO NOTHING"]],
    ),
    ended(
        "keeps another's database from being renamed or dropped",
        "LocksForeignDatabase",
        &[&["SET ROLE NONE", "BEGIN", "ALTER ROLE {login} IN DATABASE {b} SET work_mem = '1MB'", "SELECT 1"]],
    ),
    ended(
        "keeps another's logins out",
        "LocksForeignDatabase",
        &[
            &["SET ROLE NONE", "BEGIN", "ALTER ROLE {login} IN DATABASE {b} SET work_mem = '1MB'"],
            &["DROP DATABASE {b}"],
        ],
    ),
    ended(
        "keeps the operator out of its database",
        "LocksForeignDatabase",
        &[
            &["SET ROLE NONE", "BEGIN", "ALTER ROLE {login} IN DATABASE tenantry SET work_mem = '1MB'"],
            &["DROP DATABASE tenantry"],
        ],
    ),
    ended(
        "keeps another's group from being dropped",
        "LocksForeignRole",
        &[&["BEGIN", "GRANT SELECT ON own TO {b}_owner", "SELECT 1"]],
    ),
    ended(
        "keeps another's login from being dropped",
        "LocksForeignRole",
        &[&["BEGIN", "GRANT SELECT ON own TO {other}", "SELECT 1"]],
    ),
    ended(
        "fills the lock table with advisory locks",
        "FloodsLocks",
        &[&["SELECT count(pg_advisory_lock(i)) FROM generate_series(1, 6000) AS i", "SELECT 1"]],
    ),
    ended(
        "fills the lock table with advisory locks of a transaction",
        "FloodsLocks",
        &[&[
            "BEGIN",
            "SELECT count(pg_advisory_xact_lock(i)) FROM generate_series(1, 6000) AS i",
            "SELECT 1",
        ]],
    ),
    ended(
        "fills the lock table from several sessions",
        "FloodsLocks",
        &[
            &["SELECT count(pg_advisory_lock(i)) FROM generate_series(1, 2500) AS i"],
            &["SELECT count(pg_advisory_lock(i)) FROM generate_series(10001, 12500) AS i", "SELECT 1"],
        ],
    ),
];
