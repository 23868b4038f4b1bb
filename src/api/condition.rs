//! Conditions: kstatus' three (`Ready`, `Reconciling`, `Stalled`) plus those of our domain.
//!
//! kstatus reads a resource as Failed when `Stalled` is True, InProgress when `Reconciling` is True, and
//! otherwise by `Ready`. [`Summary`] writes all three together, so that they can never contradict each other.
//! Source: Kubernetes API conventions ("Typical status properties") and cli-utils' kstatus.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The object is as its spec asks.
pub const READY: &str = "Ready";
/// Work towards the spec is under way or will be tried again.
pub const RECONCILING: &str = "Reconciling";
/// No progress is possible until a person changes something.
pub const STALLED: &str = "Stalled";
/// The tenant is suspended: workloads at zero, logins refused.
pub const SUSPENDED: &str = "Suspended";
/// A login of the claim is being replaced; the earlier one still works.
pub const ROTATING: &str = "Rotating";
/// Too much was being deleted: nothing more is released or removed on the server until somebody says that it is meant.
pub const DELETION_BRAKE: &str = "DeletionBrake";
/// The database server can be reached and its admin login works.
pub const SERVER_REACHABLE: &str = "ServerReachable";

/// The plan asks for a server of the tenant's own, and the database is on one that others share.
pub const SHARED_SERVER: &str = "SharedServer";
/// Somebody changed something on a database server that differs from what is declared.
pub const DRIFTED: &str = "Drifted";

/// Others than the claim's logins may enter the database, and it is not ours to keep them out. Of a server: tenants may do
/// something to it that we may not forbid.
pub const EXPOSED: &str = "Exposed";
/// There is a verified archive of the database as it was released or purged.
pub const ARCHIVED: &str = "Archived";

/// Reasons, CamelCase, as programs match them.
pub mod reason {
    /// Everything is as asked.
    pub const RECONCILED: &str = "Reconciled";
    /// Work is under way.
    pub const PROGRESSING: &str = "Progressing";
    /// The object is being deleted.
    pub const TERMINATING: &str = "Terminating";
    /// The spec contradicts itself.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The plan that the tenant names does not exist.
    pub const PLAN_NOT_FOUND: &str = "PlanNotFound";
    /// A blueprint that the tenant names does not exist.
    pub const BLUEPRINT_NOT_FOUND: &str = "BlueprintNotFound";
    /// Two blueprints of one tenant ask for the same name.
    pub const BLUEPRINT_CONFLICT: &str = "BlueprintConflict";
    /// An object, database or login of that name exists and is not ours.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// A released database of this name belongs to an earlier tenant.
    pub const RELEASED_DATABASE_EXISTS: &str = "ReleasedDatabaseExists";
    /// Two objects claim one database.
    pub const CLAIM_CONFLICT: &str = "ClaimConflict";
    /// The database server does not exist.
    pub const SERVER_NOT_FOUND: &str = "ServerNotFound";
    /// No database server fits the plan's selector.
    pub const NO_SERVER: &str = "NoServer";
    /// The database was there before its plan asked for a server of the tenant's own.
    pub const NEVER_MOVED: &str = "NeverMoved";
    /// The database server does not admit this namespace.
    pub const SERVER_NOT_ALLOWED: &str = "ServerNotAllowed";
    /// The database server has no such extension.
    pub const UNKNOWN_EXTENSION: &str = "UnknownExtension";
    /// Nobody has allowed claims that extension.
    pub const EXTENSION_NOT_ALLOWED: &str = "ExtensionNotAllowed";
    /// A bound database cannot change its server.
    pub const SERVER_CHANGE: &str = "ServerChangeNotSupported";
    /// The database server cannot be reached.
    pub const SERVER_UNREACHABLE: &str = "ServerUnreachable";
    /// The database server refuses the admin login.
    pub const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// The database server's certificate is not trusted.
    pub const CERTIFICATE_UNTRUSTED: &str = "CertificateUntrusted";
    /// The admin login lacks a privilege.
    pub const PRIVILEGE_MISSING: &str = "PrivilegeMissing";
    /// The admin Secret does not exist or lacks a key.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// The database server's disk is full.
    pub const DISK_FULL: &str = "DiskFull";
    /// The database server has no memory, or no room for locks, left.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// The database server, or the admin login, has no connections left.
    pub const TOO_MANY_CONNECTIONS: &str = "TooManyConnections";
    /// The database server does not take the value of a setting or a limit.
    pub const SETTING_REFUSED: &str = "SettingRefused";
    /// The server takes no writes.
    pub const READ_ONLY: &str = "ReadOnly";
    /// A database that was bound is gone from its server.
    pub const DATABASE_MISSING: &str = "DatabaseMissing";
    /// The address answers as another server than before.
    pub const SYSTEM_IDENTIFIER_CHANGED: &str = "SystemIdentifierChanged";
    /// Another operator leads on the server.
    pub const FENCED: &str = "Fenced";
    /// The server was restored to an earlier state than the one that is known.
    pub const TIME_TRAVEL: &str = "TimeTravel";
    /// The namespace belongs to no tenant.
    pub const NOT_A_TENANT_NAMESPACE: &str = "NotATenantNamespace";
    /// The namespace belongs to an earlier tenant of that name.
    pub const NAMESPACE_TAKEN: &str = "NamespaceTaken";
    /// The namespace's tenant is gone, and has left all that is in it.
    pub const TENANT_GONE: &str = "TenantGone";
    /// The object was let go by an admin's word, and what it guarded is kept.
    pub const FORCE_RELEASED: &str = "ForceReleased";
    /// A tenant was let go by a cancelled deletion brake.
    pub const LET_GO: &str = "LetGo";
    /// The claim's database is not ready.
    pub const DATABASE_NOT_READY: &str = "DatabaseNotReady";
    /// The claim that the microservice names does not exist.
    pub const DATABASE_NOT_FOUND: &str = "DatabaseNotFound";
    /// The image cannot be pulled.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// A container cannot be started as its image and its spec ask.
    pub const CONTAINER_CONFIG: &str = "CreateContainerConfigError";
    /// Containers end again and again.
    pub const CRASH_LOOP: &str = "CrashLoopBackOff";
    /// The namespace's quota leaves no room.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// No node can take the pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// The tenant is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// Pods still run with a login that was replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// A login that was replaced still works for a while.
    pub const GRACE_PERIOD: &str = "GracePeriod";
    /// The tenant is active.
    pub const ACTIVE: &str = "Active";
    /// The Kubernetes API refused a request of ours.
    pub const FORBIDDEN: &str = "Forbidden";
    /// An unexpected failure; the message has the whole chain.
    pub const FAILED: &str = "ReconcileFailed";
    /// Too much was being deleted at once.
    pub const DELETION_BRAKE: &str = "DeletionBrake";
    /// The tenant is protected from deletion.
    pub const DELETION_PROTECTED: &str = "DeletionProtected";
    /// Objects that still use this one keep it.
    pub const IN_USE: &str = "InUse";
    /// What differs on the server is being brought back.
    pub const CORRECTING: &str = "Correcting";
    /// What differs on the server is left as it is: its driftPolicy is Warn.
    pub const LEFT_ALONE: &str = "LeftAlone";
    /// Roles have elevated rights on the server that nobody has declared.
    pub const PRIVILEGED_ROLES: &str = "PrivilegedRoles";
    /// Tenants may have the server log as much as they like.
    pub const LOG_OPEN: &str = "LogOpen";
    /// The database is bound to its claim.
    pub const BOUND: &str = "Bound";
    /// The database is looked at and never written to.
    pub const OBSERVED: &str = "Observed";
    /// The database is there for a claim that is not.
    pub const WAITING_FOR_CLAIM: &str = "WaitingForClaim";
    /// Every login of the server may connect to the database.
    pub const PUBLIC_MAY_CONNECT: &str = "PublicMayConnect";
    /// The database was renamed out of the way by a purge.
    pub const TOMBSTONED: &str = "Tombstoned";
    /// The database is being dropped: its grace has ended, and an archive of it is verified.
    pub const DROPPING: &str = "Dropping";
    /// The archive of the database may lack something that was written since.
    pub const ARCHIVE_OUTDATED: &str = "ArchiveOutdated";
    /// The volume that the archive of the database was written to is not there any more.
    pub const ARCHIVE_MISSING: &str = "ArchiveMissing";
    /// An archive was restored, and nothing differs.
    pub const VERIFIED: &str = "Verified";
    /// There is no verified archive yet.
    pub const ARCHIVING: &str = "Archiving";
    /// The archive waits until others that waited longer are made.
    pub const QUEUED: &str = "Queued";
    /// The archive of a database that is to be dropped is read again.
    pub const REREADING: &str = "RereadingArchive";
    /// Somebody can still get into a database that is to be archived or dropped.
    pub const STILL_OPEN: &str = "StillOpen";
    /// Something on the server depends on roles that would be dropped.
    pub const ROLES_IN_USE: &str = "RolesInUse";
    /// The database has no claim; it refuses logins and keeps everything.
    pub const RELEASED: &str = "Released";
}

/// What `Ready`, `Reconciling` and `Stalled` say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// As the spec asks.
    Ready {
        /// What stands, for people.
        message: String,
    },
    /// Not there yet, and it goes on by itself.
    Progressing {
        /// CamelCase reason.
        reason: &'static str,
        /// The culprit and the next step.
        message: String,
    },
    /// A person has to change something first.
    Stalled {
        /// CamelCase reason.
        reason: &'static str,
        /// The culprit and the next step.
        message: String,
    },
}

impl Summary {
    /// Whether the object is as its spec asks.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// Writes the three kstatus conditions into `conditions`. Absent means False for the abnormal two.
    pub fn write(&self, conditions: &mut Vec<Condition>, generation: i64, now: Timestamp) {
        let (status, reason, message, abnormal) = match self {
            Self::Ready { message } => ("True", reason::RECONCILED, message, None),
            Self::Progressing { reason, message } => ("False", *reason, message, Some(RECONCILING)),
            Self::Stalled { reason, message } => ("False", *reason, message, Some(STALLED)),
        };
        set(conditions, READY, status, reason, message, generation, now);
        for kind in [RECONCILING, STALLED] {
            if abnormal == Some(kind) {
                set(conditions, kind, "True", reason, message, generation, now);
            } else {
                remove(conditions, kind);
            }
        }
    }
}

/// Sets one condition. The transition time moves only when `status` changes; a message is cut at 1024 characters.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let message = cut(message);
    let before = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let since = before.as_ref().filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
    let next = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: Some(generation),
        // Kubernetes keeps whole seconds: a finer time would differ from what comes back.
        last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(now))),
    };
    match before {
        Some(place) => *place = next,
        None => conditions.push(next),
    }
}

/// A message as long as a condition's may be.
pub fn cut(message: &str) -> String {
    message.chars().take(1024).collect()
}

/// Removes a condition; for the abnormal-true ones absence is False.
pub fn remove(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.type_ != kind);
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of that type is True and was written for `generation`.
pub fn is_true(conditions: &[Condition], kind: &str, generation: Option<i64>) -> bool {
    find(conditions, kind)
        .is_some_and(|c| c.status == "True" && (generation.is_none() || c.observed_generation == generation))
}

fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let mut conditions = vec![];
        set(&mut conditions, READY, "False", "A", "a", 1, at(10));
        set(&mut conditions, READY, "False", "B", "b", 2, at(20));
        assert_eq!(conditions[0].last_transition_time.0, at(10));
        set(&mut conditions, READY, "True", "C", "c", 3, at(30));
        assert_eq!(conditions[0].last_transition_time.0, at(30));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn a_message_is_cut_and_keeps_its_characters_whole() {
        let mut conditions = vec![];
        set(&mut conditions, READY, "False", "A", &"ü".repeat(1025), 1, at(10));
        assert_eq!(conditions[0].message, "ü".repeat(1024));
    }

    #[test]
    fn summary_never_leaves_reconciling_beside_stalled() {
        let mut conditions = vec![];
        let types = |conditions: &[Condition]| -> Vec<(String, String)> {
            conditions.iter().map(|c| (c.type_.clone(), c.status.clone())).collect()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Summary::Progressing { reason: "P", message: "p".into() }.write(&mut conditions, 1, at(1));
        assert_eq!(types(&conditions), [pair(READY, "False"), pair(RECONCILING, "True")]);
        Summary::Stalled { reason: "S", message: "s".into() }.write(&mut conditions, 1, at(2));
        assert_eq!(types(&conditions), [pair(READY, "False"), pair(STALLED, "True")]);
        Summary::Ready { message: "r".into() }.write(&mut conditions, 1, at(3));
        assert_eq!(types(&conditions), [pair(READY, "True")]);
    }
}
