//! How many archives are made on one server at a time, and whose is next. Pure.
//!
//! Who waits says so in its condition, with the time since which it has had no archive: the line is the same after a restart,
//! and whoever waits for something else besides is not in it.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::ServerDatabase;
use crate::api::condition::{self, ARCHIVED, reason};

/// Archives that are made on one server at a time. Each has a scratch database as large as what is archived, a pod, and a
/// snapshot for as long as its dump lasts.
pub const AT_ONCE: usize = 4;

/// Whether there is room for one more beside those that are made, with so many before it in line.
pub const fn has_room(made: usize, ahead: usize) -> bool {
    made.saturating_add(ahead) < AT_ONCE
}

/// What is said of one that waits in line, after "there is no verified archive yet, ".
pub fn words(server: &str) -> String {
    format!(
        "which waits for its turn: {AT_ONCE} archives of databases on DatabaseServer {server} are made at a time; next is who \
         has waited longest of those that there was no attempt at, and then of the others"
    )
}

/// A database that an archive may be wanted of.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its object.
    pub database: &'a ServerDatabase,
    /// Whether there was an attempt at an archive of it.
    pub tried: bool,
}

/// Whether the database is on that server.
pub fn is_of(database: &ServerDatabase, server: &str) -> bool {
    database.spec.server_ref.name == server
}

/// Where one is in line.
pub type Place = (bool, Timestamp, String);

/// Its place in line, if it waits there: whether there was an attempt before, since when it has had no archive, and its name.
pub fn place(candidate: Candidate<'_>) -> Option<Place> {
    let Candidate { database, tried } = candidate;
    let condition = without(database).filter(|condition| condition.reason == reason::QUEUED)?;
    Some((tried, condition.last_transition_time.0, database.name_any()))
}

/// Whether `other` waits in line on the same server, and has for longer than this one has had no archive.
pub fn is_ahead(other: Candidate<'_>, own: Candidate<'_>) -> bool {
    let since = without(own.database).map_or(Timestamp::MAX, |condition| condition.last_transition_time.0);
    let own_place = (own.tried, since, own.database.name_any());
    is_of(other.database, &own.database.spec.server_ref.name)
        && place(other).is_some_and(|place| place < own_place)
}

fn without(database: &ServerDatabase) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    // Nobody makes an archive of one whose object is on its way out: it would hold up all behind it.
    let database = Some(database).filter(|it| it.metadata.deletion_timestamp.is_none())?;
    let conditions = &database.status.as_ref()?.conditions;
    condition::find(conditions, ARCHIVED).filter(|condition| condition.status == "False")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::server_database::{ServerDatabaseSpec, ServerDatabaseStatus};

    fn database(name: &str, server: &str, said: Option<(&str, &str, i64)>) -> ServerDatabase {
        let mut spec = ServerDatabaseSpec::default();
        spec.server_ref.name = server.into();
        let mut database = ServerDatabase::new(name, spec);
        let mut status = ServerDatabaseStatus::default();
        if let Some((is, reason, since)) = said {
            let since = Timestamp::from_second(since).unwrap();
            condition::set(&mut status.conditions, ARCHIVED, is, reason, "m", 1, since);
        }
        database.status = Some(status);
        database
    }

    fn first(database: &ServerDatabase) -> Candidate<'_> {
        Candidate { database, tried: false }
    }

    fn again(database: &ServerDatabase) -> Candidate<'_> {
        Candidate { database, tried: true }
    }

    /// Four that take all the time there is, at each attempt, and have waited longest, would be next for ever.
    #[test]
    fn whoever_was_never_tried_is_before_those_that_were() {
        let queued = |name, since| database(name, "main", Some(("False", reason::QUEUED, since)));
        let (old, young) = (queued("a", 1), queued("z", 99));
        assert!(is_ahead(first(&young), again(&old)));
        assert!(!is_ahead(again(&old), first(&young)));
        assert!(is_ahead(again(&old), again(&young)), "among those that were, who has waited longest");
        let mut line = [again(&old), again(&young), first(&young), first(&old)].map(|it| place(it).unwrap());
        line.sort_unstable();
        assert_eq!(
            line.map(|(tried, _, name)| (tried, name)).each_ref().map(|(tried, name)| (*tried, &**name)),
            [(false, "a"), (false, "z"), (true, "a"), (true, "z")]
        );
        // One that has just come has room made for it too, and waits for nobody who was tried.
        let fresh = database("n", "main", None);
        assert!(!is_ahead(again(&old), first(&fresh)));
    }

    #[test]
    fn whoever_has_waited_longest_is_next_and_only_those_in_line_on_the_server_count() {
        let own = database("m", "main", Some(("False", reason::QUEUED, 50)));
        let ahead = |name, server, said| is_ahead(first(&database(name, server, said)), first(&own));
        assert!(ahead("z", "main", Some(("False", reason::QUEUED, 49))));
        assert!(ahead("a", "main", Some(("False", reason::QUEUED, 50))), "at the same second, by name");
        for (name, server, said) in [
            ("m", "main", Some(("False", reason::QUEUED, 50))),
            ("z", "main", Some(("False", reason::QUEUED, 50))),
            ("a", "other", Some(("False", reason::QUEUED, 1))),
            ("a", "main", Some(("False", reason::ARCHIVING, 1))),
            ("a", "main", Some(("True", reason::QUEUED, 1))),
            ("a", "main", None),
        ] {
            assert!(!ahead(name, server, said), "{name} {server} {said:?}");
        }
        // One that has just come is last, and one that is tried again keeps its place.
        let (fresh, tried) =
            (database("a", "main", None), database("a", "main", Some(("False", "Archiving", 1))));
        assert_eq!(
            (is_ahead(first(&own), first(&fresh)), is_ahead(first(&own), first(&tried))),
            (true, false)
        );
        assert_eq!(place(first(&tried)), None);
        let mut leaving = database("a", "main", Some(("False", "Queued", 1)));
        assert!(is_ahead(first(&leaving), first(&fresh)));
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(!is_ahead(first(&leaving), first(&fresh)), "nobody works on it");
    }

    #[test]
    fn there_is_room_for_four_with_those_who_were_there_before() {
        let room = |made, ahead| has_room(made, ahead);
        assert_eq!(
            [room(0, 0), room(3, 0), room(0, 3), room(4, 0), room(3, 1), room(0, 4)],
            [true, true, true, false, false, false]
        );
        assert!(!room(usize::MAX, 1));
    }
}
