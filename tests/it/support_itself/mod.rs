//! Proves that what tests stand on holds: a harness that cannot fail proves nothing.

mod control_plane;
mod operator;
mod postgres;
