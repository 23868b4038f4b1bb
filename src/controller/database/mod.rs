//! What a tenant's database has to look like, and how to get there: pure, shared with `tenantry plan`.
//!
//! [`plan::plan`] compares a [`want::DatabaseSpec`] with [`Facts`](crate::postgres::facts::Facts) and returns the
//! statements that make them equal; [`plan::release`] does so for a database that nobody claims any more.
//!
//! # The layout
//! - The database belongs to `tenantry_databases`, which nobody can log in as: no tenant can drop it, rename it,
//!   open it to others or lift its limit. It is made from `template0` in UTF8, with the locale of the server's
//!   `template0` (C.UTF-8 on managed servers) or, if that has another encoding, with C: those two always exist.
//! - Three group roles without login: owner (CONNECT, TEMPORARY, CREATE), rw (CONNECT, TEMPORARY), ro (CONNECT).
//!   PUBLIC has nothing, on schema public neither. Default privileges of the owner group serve rw and ro.
//! - Logins are NOINHERIT members of the one group whose rights they have, and become it by a setting of the database
//!   (`role`), so what one owner makes the others own. A login needs CONNECT of its own, since it inherits none. Those of
//!   the ro group are read-only by setting too.
//! - Large objects can be created by owner and rw only.
//!
//! # The order
//! The marker row comes first, in one transaction with the roles: what exists is recorded as ours. The database is
//! made with ALLOW_CONNECTIONS false, loses what PUBLIC has, and is then opened to our own session, which works
//! inside it. What lets the tenant in, LOGIN and CONNECT, comes last, in one transaction with the marker's `Bound`.
//! When logins have to be refused that comes first, and their sessions are ended after it is committed. A login that gets
//! another group is refused in between: a session keeps the role that it began with, so none may last from before.

mod adopted;
pub mod archiving;
pub mod drift;
pub mod dropping;
pub mod extensions;
pub mod fleet;
pub mod inside;
pub mod look;
pub mod names;
pub mod plan;
pub mod pool;
mod privileges;
pub mod project;
pub mod protection;
pub mod refusal;
pub mod rivals;
mod stages;
mod target;
pub mod tombstone;
pub mod want;
