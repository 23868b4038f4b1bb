//! A microservice's turn, rehearsed.

use super::rehearsal::Rehearsal;
use crate::api::Microservice;
use crate::api::condition::{Summary, reason};
use crate::controller::apply::ApplyError;
use crate::controller::microservice::{build, fetch, validate};
use crate::controller::object::Kind;
use crate::controller::worker::key_of;

impl Rehearsal<'_> {
    /// Everything that would be done for that microservice.
    pub(super) async fn service(&mut self, microservice: Microservice) -> Result<(), ApplyError> {
        let key = key_of(&microservice);
        let fetched = fetch::fetch(&self.world, microservice);
        if fetched.leaving {
            return Ok(());
        }
        let validated = match validate::validate(&fetched) {
            Ok(validated) => validated,
            Err(problem) => {
                self.problem(Kind::Microservice, &key, &problem);
                return Ok(());
            }
        };
        for declared in build::build(&validated)? {
            self.declare(&declared).await;
        }
        // What passes by itself is no problem; what a database lacks is said where it is missing.
        if let Some(waiting @ Summary::Progressing { reason: reason::DATABASE_NOT_FOUND, .. }) =
            &validated.databases.waiting
        {
            self.problem(Kind::Microservice, &key, waiting);
        }
        Ok(())
    }
}
