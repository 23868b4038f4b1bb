//! Force-release: the end of a finalizer that waits for what may never come, on an admin's word.
//!
//! `tenantry.dev/force-release: UID` on an object that is being deleted, with its own UID, ends our finalizer and nothing else: what it guards stays as it
//! is. A live read has to say so, and it is recorded before it is done, with who said it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::apply::ApplyError;
use super::context::Context;
use super::object::{Key, dynamic_api};
use super::own::OwnKind;
use super::{publish, said};
use crate::api::condition::reason;
use crate::api::labels::FORCE_RELEASE;

/// Who asks for that of the object that is being deleted, if anybody does.
pub async fn asked<K: OwnKind>(context: &Context, object: &K) -> Result<Option<String>, ApplyError> {
    if !names_itself(object.meta()) {
        return Ok(None);
    }
    let (kind, key) = (K::KIND, Key::of(object.meta()));
    let live = dynamic_api(&context.client, kind, &key).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Api { verb: "get", kind, key, source })?;
    let same = |meta: &ObjectMeta| meta.uid == object.meta().uid && meta.deletion_timestamp.is_some();
    let live = live.filter(|live| same(&live.metadata) && names_itself(&live.metadata));
    Ok(live.map(|live| said::of(&live.metadata, FORCE_RELEASE).by))
}

/// Records that the object is let go of. `kept` is what stays behind.
pub async fn record<K: OwnKind>(context: &Context, object: &K, who: &str, kept: &str) {
    let (key, uid) = (Key::of(object.meta()), object.meta().uid.as_deref().unwrap_or_default());
    let note = format!("let go of by {FORCE_RELEASE}, which {who} has set: {kept}");
    tracing::info!(
        target: "audit",
        {
            object.kind = %K::KIND,
            object.name = %key,
            object.uid = uid,
            object.reason = "force-release",
            object.by = who,
        },
        "{note}"
    );
    publish::warn(context, &object.object_ref(&()), reason::FORCE_RELEASED, "ForceRelease", note).await;
}

/// How that is asked for, behind a message that says what blocks.
pub fn how<K: OwnKind>(resource: &str, object: &K, kept: &str) -> String {
    let (key, uid) = (Key::of(object.meta()), object.meta().uid.as_deref().unwrap_or_default());
    format!(
        "; to let go of the object all the same: kubectl annotate {resource} {} --overwrite {FORCE_RELEASE}={uid}, which {kept}",
        key.name
    )
}

fn names_itself(meta: &ObjectMeta) -> bool {
    let named = meta.annotations.as_ref().and_then(|all| all.get(FORCE_RELEASE));
    named.is_some() && named == meta.uid.as_ref()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_objects_own_uid_lets_it_go() {
        let meta = |value: &str| {
            let meta = json!({"uid": "u-1", "annotations": {"tenantry.dev/force-release": value}});
            serde_json::from_value::<ObjectMeta>(meta).unwrap()
        };
        assert!(names_itself(&meta("u-1")));
        for wrong in ["", "true", "u-2"] {
            assert!(!names_itself(&meta(wrong)), "{wrong}");
        }
        assert!(!names_itself(&ObjectMeta::default()));
    }
}
