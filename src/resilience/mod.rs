//! What keeps one bad neighbour from being everybody's trouble: a circuit that stops asking who does not answer, and a
//! bulkhead that lets only so many in at once. And what keeps one bad command from being a disaster: a brake.
//!
//! Pure cores: time and chance come in as values, and nothing here waits. Who uses them holds the lock, reads the clock
//! and wakes whom they name: the operator for its database servers, the gateway for its upstreams.

pub mod brake;
pub mod bulkhead;
pub mod circuit;
