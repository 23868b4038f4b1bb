//! The operator database's own tables, as statements write them.

use super::render::{array, optional};
use crate::postgres::adoption::Adopted;
use crate::postgres::facts::Marker;
use crate::postgres::quote::{Literal, QuoteError};

/// The epoch of whoever writes: it holds the fence.
pub(super) const EPOCH: &str = "(SELECT epoch FROM tenantry.epoch)";

/// Rows can still be read.
pub(super) const LOCK: &str = "LOCK TABLE tenantry.marker IN SHARE ROW EXCLUSIVE MODE";

/// One row if there is room for another database. A statement of its own: the one that waits for the lock has the snapshot
/// from before it.
pub(super) fn require_room(databases: u32) -> String {
    format!("SELECT 1 WHERE (SELECT count(*) FROM tenantry.marker) < {databases}")
}

/// One row if that tenant may have that database on the server: no other tenant has the server for its own, and none has
/// a database there if this one is to be `alone`.
///
/// Of two transactions that add rows at once, one sees the other's: who is to be alone locks the table before, and so
/// waits for those that have added a row; whoever has added one asks afterwards, and so waited for who had locked it.
pub(super) fn require_tenancy(tenant_uid: &str, database: &str, alone: bool) -> Result<String, QuoteError> {
    let others = if alone { "" } else { " AND own_server" };
    Ok(format!(
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM tenantry.marker WHERE tenant_uid <> {} AND physical_name <> {}{others})",
        Literal::new(tenant_uid)?,
        Literal::new(database)?
    ))
}

/// A new row.
pub(super) fn insert(marker: &Marker) -> Result<String, QuoteError> {
    let (columns, values) = match &marker.adopted {
        None => ("", String::new()),
        Some(Adopted { management, object }) => {
            (", management, object_name", format!(", '{}', {}", management.as_str(), Literal::new(object)?))
        }
    };
    let (policy, own_server) = (marker.deletion_policy.as_str(), marker.own_server);
    Ok(format!(
        "INSERT INTO tenantry.marker (tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, \
         claim_uid, phase, generation, epoch, logins, deletion_policy, own_server{columns}) \
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {EPOCH}, {}, '{policy}', {own_server}{values})",
        Literal::new(&marker.tenant_uid)?,
        Literal::new(&marker.name)?,
        Literal::new(&marker.tenant_id)?,
        Literal::new(&marker.physical_name)?,
        Literal::new(&marker.claim.namespace)?,
        Literal::new(&marker.claim.name)?,
        optional(marker.claim.uid.as_deref())?,
        Literal::new(marker.phase.as_str())?,
        marker.generation,
        array(&marker.logins)?
    ))
}

/// The row as it has to be, if nobody was faster.
pub(super) fn update(marker: &Marker, expected_generation: i64) -> Result<String, QuoteError> {
    let adopted = match &marker.adopted {
        None => String::new(),
        Some(Adopted { management, object }) => {
            format!(", management = '{}', object_name = {}", management.as_str(), Literal::new(object)?)
        }
    };
    let (policy, own_server) = (marker.deletion_policy.as_str(), marker.own_server);
    Ok(format!(
        "UPDATE tenantry.marker SET tenant_uid = {}, name = {}, claim_namespace = {}, claim_name = {}, \
         claim_uid = {}, phase = {}, generation = {}, epoch = {EPOCH}, logins = {}, deletion_policy = '{policy}', \
         own_server = {own_server}{adopted}, changed_at = now() WHERE physical_name = {} AND generation = {expected_generation}",
        Literal::new(&marker.tenant_uid)?,
        Literal::new(&marker.name)?,
        Literal::new(&marker.claim.namespace)?,
        Literal::new(&marker.claim.name)?,
        optional(marker.claim.uid.as_deref())?,
        Literal::new(marker.phase.as_str())?,
        marker.generation,
        array(&marker.logins)?,
        Literal::new(&marker.physical_name)?
    ))
}

/// What a row may say of a database's life.
pub(super) const PHASES: &str =
    "CHECK (phase IN ('Creating', 'Bound', 'Released', 'Tombstoned', 'Dropping'))";

/// A row may tell of a database that an admin gave us, of what becomes of one that nobody claims, of the archive of one that is
/// kept, and of a server that its tenant has for its own: a server that was prepared before there was any of it learns it.
pub(super) const WIDEN_MARKER_TABLE: &str = "ALTER TABLE tenantry.marker \
    ADD COLUMN IF NOT EXISTS management text NOT NULL DEFAULT 'Full' CHECK (management IN ('Full', 'Adopt', 'Observe')), \
    ADD COLUMN IF NOT EXISTS object_name text, \
    ADD COLUMN IF NOT EXISTS deletion_policy text NOT NULL DEFAULT 'Retain' \
        CHECK (deletion_policy IN ('Delete', 'Retain', 'Snapshot')), \
    ADD COLUMN IF NOT EXISTS archive text, \
    ADD COLUMN IF NOT EXISTS own_server boolean NOT NULL DEFAULT false";

/// The marker table: one row a database, the truth about it.
pub(super) const CREATE_MARKER_TABLE: &str = "CREATE TABLE tenantry.marker (\
    tenant_uid text NOT NULL, \
    name text NOT NULL, \
    tenant_id text NOT NULL, \
    physical_name text NOT NULL UNIQUE, \
    claim_namespace text NOT NULL, \
    claim_name text NOT NULL, \
    claim_uid text, \
    phase text NOT NULL CHECK (phase IN ('Creating', 'Bound', 'Released', 'Tombstoned', 'Dropping')), \
    generation bigint NOT NULL CHECK (generation > 0), \
    epoch bigint NOT NULL DEFAULT 0, \
    logins text[] NOT NULL DEFAULT '{}', \
    management text NOT NULL DEFAULT 'Full' CHECK (management IN ('Full', 'Adopt', 'Observe')), \
    object_name text, \
    deletion_policy text NOT NULL DEFAULT 'Retain' CHECK (deletion_policy IN ('Delete', 'Retain', 'Snapshot')), \
    archive text, \
    own_server boolean NOT NULL DEFAULT false, \
    created_at timestamptz NOT NULL DEFAULT now(), \
    changed_at timestamptz NOT NULL DEFAULT now(), \
    PRIMARY KEY (tenant_uid, name))";

/// The epoch table and its one row: 0 until a leader changes something.
pub(super) const CREATE_EPOCH_TABLE: &str = "CREATE TABLE tenantry.epoch (\
    single_row boolean PRIMARY KEY DEFAULT true CHECK (single_row), \
    epoch bigint NOT NULL); \
    INSERT INTO tenantry.epoch (epoch) VALUES (0)";
