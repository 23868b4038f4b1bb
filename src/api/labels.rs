//! Labels, annotations and finalizers: the strings that other people's tools see.

/// Name of the tenant that an object belongs to; on every child.
pub const TENANT: &str = "tenantry.dev/tenant";
/// Name of the microservice that an object belongs to.
pub const MICROSERVICE: &str = "tenantry.dev/microservice";
/// Name of the tenant database (claim) that an object belongs to.
pub const TENANT_DATABASE: &str = "tenantry.dev/tenant-database";
/// Name of the database server that an object belongs to.
pub const DATABASE_SERVER: &str = "tenantry.dev/database-server";
/// Name of the server database that an object belongs to.
pub const SERVER_DATABASE: &str = "tenantry.dev/server-database";
/// On a tenant's namespace, with the name of a managed database server behind it: `"true"` while it has claims there. The
/// server's network policy lets its pods in.
pub const ON_SERVER: &str = "on-server.tenantry.dev/";
/// On a database server while at least one server database lives on it; admission refuses its deletion.
pub const IN_USE: &str = "tenantry.dev/in-use";

/// On the namespace and the server databases of a tenant that is protected from deletion; admission refuses theirs.
pub const PROTECTED: &str = "tenantry.dev/protected";

/// Recommended label: the application.
pub const NAME: &str = "app.kubernetes.io/name";
/// Recommended label: the instance of the application.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Recommended label: the version of the application.
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// Recommended label: the part that the application plays.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Recommended label: the whole that the application is a part of.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Recommended label: who manages the object. The operator watches only objects whose value is [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Our value of [`MANAGED_BY`] and [`PART_OF`].
pub const MANAGER: &str = "tenantry";

/// UID of the object that a child without owner reference belongs to (across namespaces none is possible).
pub const OWNER_UID: &str = "tenantry.dev/owner-uid";
/// SHA-256 of a binding Secret's content; pods carry it so that new credentials roll them.
pub const BINDING_HASH: &str = "tenantry.dev/binding-hash";
/// On a binding Secret: since when its login is in use, if that is recorded. A Secret from before says another time.
pub const ISSUED_AT: &str = "tenantry.dev/issued-at";
/// On a ServerDatabase: UID of its Tenant, which is gone, and the deletion policy that it said last, if its row said one that
/// keeps less.
pub const KEPT_BY: &str = "tenantry.dev/kept-by";
/// On a ServerDatabase: generation in which the operator has written `spec.purge`, as a deletion policy asks. If that is gone by
/// then, somebody has taken it back.
pub const PURGE_ASKED: &str = "tenantry.dev/purge-asked";
/// On a claim, with the name of a credential behind it: asks for a rotation whenever its value changes.
pub const ROTATE: &str = "rotate.tenantry.dev/";
/// On a claim, with the name of a credential behind it: says, whenever its value changes, that others know the
/// credential. Its logins are refused at once and a new one is issued.
pub const COMPROMISED: &str = "compromised.tenantry.dev/";
/// On a CRD of ours: `"true"` lets admission accept its deletion.
pub const ALLOW_DELETE: &str = "tenantry.dev/allow-delete";

/// On a Tenant or a database server that is being deleted: its own UID ends our finalizer, whatever it waits for, and keeps what it guards.
pub const FORCE_RELEASE: &str = "tenantry.dev/force-release";
/// On a Tenant: UID of an earlier Tenant of its name, whose namespace it takes over with all that is in it. Admission lets only those
/// set it who may `take-over` tenants.
pub const TAKE_OVER: &str = "tenantry.dev/take-over";
/// On a Namespace: UIDs of the Tenants that had it before its owner, with commas. An owner that is among them has let it go.
pub const FORMER_TENANTS: &str = "tenantry.dev/former-tenants";
/// On a database server: `proceed-NONCE` lets what a deletion brake of that nonce holds up go on, `cancel-NONCE` lets the Tenants among
/// it go and keeps their namespaces.
pub const DELETION_BRAKE: &str = "tenantry.dev/deletion-brake";
/// On a claim or a database server: asks the operator to compare it with its server now. Any value that is not yet answered
/// by `status.lastReconcile`, a time by custom.
pub const RECONCILE_REQUESTED_AT: &str = "tenantry.dev/reconcile-requested-at";

/// Guards a tenant's namespace.
pub const TENANT_FINALIZER: &str = "tenantry.dev/tenant";
/// Guards the users of a database server.
pub const DATABASE_SERVER_FINALIZER: &str = "tenantry.dev/database-server";

/// Namespace of the operator and of the platform's services.
pub const SYSTEM_NAMESPACE: &str = "tenantry-system";
/// Namespace of managed servers, of every admin Secret and of every CA.
pub const SERVERS_NAMESPACE: &str = "tenantry-servers";
