//! Why an attempt's pod does not begin, by what Kubernetes shows of it, and how others' words are told. Pure.
//!
//! What is said must not change while nothing changes: names of pods and growing waits are left out.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;

use super::attempt::Attempt;
use super::place::Standing;
use crate::api::labels::SERVERS_NAMESPACE;

/// Longest text of somebody else's in a message.
const LONGEST: usize = 400;
/// What there is to do about an image.
const IMAGE: &str = "; --archive-image of the operator names it";
/// How long a pod may take to begin before that is told, in seconds.
const PATIENCE: i64 = 60;

/// Others' words as a message can have them: one line of bounded length, in which whatever a terminal would act on, or a reader
/// would not see, is written out.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for word in text.split(|c: char| c == ' ' || c.is_ascii_whitespace()).filter(|word| !word.is_empty()) {
        if !plain.is_empty() {
            plain.push(' ');
        }
        for character in word.chars() {
            if is_hidden(character) {
                plain.extend(character.escape_unicode());
            } else {
                plain.push(character);
            }
        }
    }
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// Control characters, and those that change how their neighbours are shown.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What keeps an attempt that is under way from going on, if anything shows.
pub fn held_up(attempt: &Attempt, pods: &[Pod], live: &Standing, now: Timestamp) -> Option<String> {
    if let Some(why) = live.against(&attempt.place) {
        return Some(why);
    }
    let late = now.as_second().saturating_sub(attempt.made) >= PATIENCE;
    let describe = |what: &str| format!("kubectl -n {SERVERS_NAMESPACE} describe {what}");
    let Some(pod) = attempt.own(pods).next() else {
        let told = || {
            format!(
                "it has no pod, which its events tell more of: {}",
                describe(&format!("job {}", attempt.job))
            )
        };
        return late.then(told);
    };
    let status = pod.status.as_ref();
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let containers = || status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    unscheduled(conditions).or_else(|| containers().find_map(waiting)).or_else(|| {
        let begun = containers().any(|it| it.state.as_ref().is_some_and(|it| it.waiting.is_none()));
        let which = format!("pod -l batch.kubernetes.io/job-name={}", attempt.job);
        let told = || format!("its pod does not begin, which its events tell more of: {}", describe(&which));
        (late && !begun).then(told)
    })
}

fn unscheduled<'a>(mut conditions: impl Iterator<Item = &'a PodCondition>) -> Option<String> {
    let found = conditions.find(|it| it.type_ == "PodScheduled" && it.status == "False")?;
    Some(format!("no node can take its pod: {}", plain(found.message.as_deref()?)))
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let image = &container.image;
    let (head, next) = match waiting.reason.as_deref()? {
        "InvalidImageName" => (format!("{image} is not the name of an image"), IMAGE),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => (format!("image {image} cannot be pulled"), IMAGE),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            ("its container cannot be started".to_owned(), "")
        }
        _ => return None,
    };
    let message = waiting.message.as_deref().unwrap_or_default();
    // The kubelet says the cause while it pulls and repeats it, behind other words, while it backs off.
    let cause = message.rsplit_once("ErrImagePull: ").map_or(message, |(_, cause)| cause);
    let cause = plain(if cause.starts_with("Back-off pulling image") { "" } else { cause });
    let colon = if cause.is_empty() { "" } else { ": " };
    Some(format!("{head}{colon}{cause}{next}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::volume;
    use super::*;
    use crate::postgres::tombstone::{Place, Volume};

    fn volume(uid: &str) -> Volume {
        Volume { claim: "archives".into(), uid: uid.into() }
    }

    /// How it stands with the claim.
    fn claim(standing: volume::Standing) -> Standing {
        Standing::Volume { claim: "archives".into(), standing }
    }

    fn bound() -> Standing {
        claim(volume::Standing::Bound(volume("u")))
    }

    fn attempt() -> Attempt {
        Attempt {
            job: "archive-t-x-app-1".into(),
            uid: "job-uid".into(),
            number: 1,
            generation: 4,
            archive: "76/t_x_app/4-000000ff".into(),
            place: Place::Volume(volume("u")),
            made: 100,
            ended: None,
            sha256: None,
            meant: false,
            outdated: false,
        }
    }

    fn pod(owner: &str, status: &Value) -> Pod {
        let owner =
            json!({"apiVersion": "batch/v1", "kind": "Job", "name": "n", "uid": owner, "controller": true});
        serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}, "status": status})).unwrap()
    }

    fn waits(reason: &str, message: &str) -> Value {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        json!({"containerStatuses": [{"name": "archive", "image": "r/archive:1", "imageID": "", "ready": false,
            "restartCount": 0, "state": state}]})
    }

    fn says(status: &Value, second: i64) -> Option<String> {
        let now = Timestamp::from_second(second).unwrap();
        held_up(&attempt(), &[pod("job-uid", status)], &bound(), now)
    }

    #[test]
    fn others_words_are_one_line_that_hides_nothing_and_ends() {
        let told = [
            ("ERROR:  no\n\tsuch\r\n table", "ERROR: no such table"),
            ("a\u{1b}[31mred\u{7}\u{0}\u{9b}", "a\\u{1b}[31mred\\u{7}\\u{0}\\u{9b}"),
            ("x\u{202e}gpj\u{200b}\u{2028}\u{feff}", "x\\u{202e}gpj\\u{200b}\\u{2028}\\u{feff}"),
            ("Größe \u{1f600}", "Größe \u{1f600}"),
            (" \n ", ""),
        ];
        for (text, expected) in told {
            assert_eq!(plain(text), expected);
        }
        let long = plain(&"ü".repeat(5000));
        assert_eq!((long.chars().count(), long.ends_with("ü…")), (LONGEST + 1, true));
    }

    #[test]
    fn an_image_that_cannot_be_pulled_reads_the_same_in_both_phases() {
        let expected = "image r/archive:1 cannot be pulled: r/archive:1: not found; --archive-image of the operator names it";
        assert_eq!(says(&waits("ErrImagePull", "r/archive:1: not found"), 100).as_deref(), Some(expected));
        let backing_off = "Back-off pulling image \"r/archive:1\": ErrImagePull: r/archive:1: not found";
        assert_eq!(says(&waits("ImagePullBackOff", backing_off), 900).as_deref(), Some(expected));
        let silent = says(&waits("ImagePullBackOff", "Back-off pulling image \"r/archive:1\""), 900);
        let expected = "image r/archive:1 cannot be pulled; --archive-image of the operator names it";
        assert_eq!(silent.as_deref(), Some(expected));
        let root = says(&waits("CreateContainerConfigError", "image will\nrun as root"), 100);
        assert_eq!(root.as_deref(), Some("its container cannot be started: image will run as root"));
    }

    #[test]
    fn what_keeps_a_pod_from_beginning_is_told_once_it_has_taken_its_time() {
        let nowhere = json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."}]});
        let expected = "no node can take its pod: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        assert_eq!(says(&nowhere, 100).as_deref(), Some(expected));
        let (making, running) = (
            waits("ContainerCreating", ""),
            json!({"containerStatuses": [{"name": "archive",
            "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}}]}),
        );
        assert_eq!([says(&making, 159), says(&running, 9000)], [None, None]);
        let expected = "its pod does not begin, which its events tell more of: kubectl -n tenantry-servers describe pod \
                        -l batch.kubernetes.io/job-name=archive-t-x-app-1";
        assert_eq!(says(&making, 160).as_deref(), Some(expected));
        let at = |pods: &[Pod], second| {
            held_up(&attempt(), pods, &bound(), Timestamp::from_second(second).unwrap())
        };
        let expected = "it has no pod, which its events tell more of: kubectl -n tenantry-servers describe job archive-t-x-app-1";
        assert_eq!((at(&[], 159), at(&[], 160).as_deref()), (None, Some(expected)));
        assert_eq!(
            at(&[pod("another", &running)], 160).as_deref(),
            Some(expected),
            "anybody may label a pod"
        );
    }

    #[test]
    fn a_volume_that_goes_meanwhile_is_named_before_the_pod() {
        let with = |live: volume::Standing| {
            held_up(&attempt(), &[], &claim(live), Timestamp::from_second(100).unwrap())
        };
        let missing = "there is no PersistentVolumeClaim tenantry-servers/archives: create it";
        assert_eq!(with(volume::Standing::Missing).as_deref(), Some(missing));
        let another = "PersistentVolumeClaim archives was made again since it began";
        assert_eq!(with(volume::Standing::Bound(volume("new"))).as_deref(), Some(another));
        assert_eq!(with(volume::Standing::Unbound { volume: volume("u"), lost: false }), None);
    }
}
