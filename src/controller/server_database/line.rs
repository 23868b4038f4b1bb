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
        "which waits for its turn: {AT_ONCE} archives of databases on DatabaseServer {server} are made at a time, and who has \
         waited longest is next"
    )
}

/// Whether the database is on that server.
pub fn is_of(database: &ServerDatabase, server: &str) -> bool {
    database.spec.server_ref.name == server
}

/// Its place in line, if it waits there: since when it has had no archive, and its name.
pub fn place(database: &ServerDatabase) -> Option<(Timestamp, String)> {
    let condition = without(database).filter(|condition| condition.reason == reason::QUEUED)?;
    Some((condition.last_transition_time.0, database.name_any()))
}

/// Whether `other` waits in line on the same server, and has for longer than this one has had no archive.
pub fn is_ahead(other: &ServerDatabase, own: &ServerDatabase) -> bool {
    let since = without(own).map_or(Timestamp::MAX, |condition| condition.last_transition_time.0);
    let own_place = (since, own.name_any());
    is_of(other, &own.spec.server_ref.name) && place(other).is_some_and(|place| place < own_place)
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

    #[test]
    fn whoever_has_waited_longest_is_next_and_only_those_in_line_on_the_server_count() {
        let own = database("m", "main", Some(("False", reason::QUEUED, 50)));
        let ahead = |name, server, said| is_ahead(&database(name, server, said), &own);
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
        let (fresh, again) =
            (database("a", "main", None), database("a", "main", Some(("False", "Archiving", 1))));
        assert_eq!((is_ahead(&own, &fresh), is_ahead(&own, &again)), (true, false));
        assert_eq!(place(&again), None);
        let mut leaving = database("a", "main", Some(("False", "Queued", 1)));
        assert!(is_ahead(&leaving, &fresh));
        leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(!is_ahead(&leaving, &fresh), "nobody works on it");
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
