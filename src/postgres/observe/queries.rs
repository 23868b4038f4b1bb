//! The queries of [`observe`](super). Each is answered from catalogs alone, for any number of databases and roles.
//!
//! `$1` are exact names and `$2` is a prefix, absent for none.
//!
//! A login writes settings and a password of its own as long as it likes, and as many: no answer may grow with them. What is cut is
//! longer than anything that we declare, so it differs from it, and is healed like any other.

/// The server and our login. `$1` are names of settings that not everybody may set.
pub(super) const SERVER: &str = "\
SELECT split_part(current_setting('server_version'), ' ', 1), current_setting('server_version_num')::int, \
       (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery(), \
       (SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = 'template0'), \
       rolname::text, rolsuper, rolcreaterole, rolcreatedb, \
       has_table_privilege('pg_catalog.pg_authid', 'SELECT'), \
       (SELECT coalesce(pg_database_collation_actual_version(oid), '') FROM pg_database WHERE datname = 'template0'), \
       ARRAY(SELECT name FROM unnest($1) AS name WHERE NOT has_parameter_privilege(name, 'SET')) \
FROM pg_roles WHERE rolname = current_user";

/// Databases with one row a privilege.
pub(super) const DATABASES: &str = "\
SELECT d.datname::text, pg_get_userbyid(d.datdba)::text, pg_has_role(d.datdba, 'USAGE'), d.datallowconn, \
       d.datistemplate, d.datconnlimit, pg_encoding_to_char(d.encoding)::text, \
       left(shobj_description(d.oid, 'pg_database'), 256), \
       CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, a.privilege_type, a.is_grantable \
FROM pg_database d \
LEFT JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a ON true \
WHERE d.datname::text = ANY ($1) OR starts_with(d.datname::text, $2)";

/// Roles, for a login that may not read passwords.
pub(super) const ROLES: &str = "\
SELECT rolname::text, rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, \
       coalesce(rolvaliduntil < 'infinity', false), rolconnlimit, NULL::text \
FROM pg_roles WHERE rolname::text = ANY ($1) OR starts_with(rolname::text, $2)";

/// Roles with what is stored as their passwords.
pub(super) const ROLES_WITH_PASSWORDS: &str = "\
SELECT rolname::text, rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, \
       coalesce(rolvaliduntil < 'infinity', false), rolconnlimit, left(rolpassword, 512) \
FROM pg_authid WHERE rolname::text = ANY ($1) OR starts_with(rolname::text, $2)";

/// Settings of roles and, without a role, of databases, one row each. Of a role in a database the first few: we set two there, and a
/// login may set its own in every database of the server.
pub(super) const SETTINGS: &str = "\
SELECT r.rolname::text, d.datname::text, left(c.setting, 256) \
FROM pg_db_role_setting s \
LEFT JOIN pg_roles r ON r.oid = s.setrole \
LEFT JOIN pg_database d ON d.oid = s.setdatabase \
CROSS JOIN LATERAL unnest(s.setconfig[1:CASE WHEN s.setrole = 0 OR s.setdatabase = 0 THEN 64 ELSE 8 END]) AS c (setting) \
WHERE r.rolname::text = ANY ($1) OR starts_with(r.rolname::text, $2) \
   OR s.setrole = 0 AND (d.datname::text = ANY ($3) OR starts_with(d.datname::text, $4))";

/// Memberships in which a role of ours is group or member. From 16 on, who creates a role gets one in it that serves only
/// to grant it: with that our login has nothing of the role and cannot act as it. Before 16 there are no such columns.
pub(super) const MEMBERSHIPS: &str = "\
SELECT g.rolname::text, m.rolname::text, bool_or(a.admin_option), \
       array_agg(DISTINCT pg_get_userbyid(a.grantor)::text) \
FROM pg_auth_members a \
JOIN pg_roles g ON g.oid = a.roleid \
JOIN pg_roles m ON m.oid = a.member \
WHERE (g.rolname::text = ANY ($1) OR starts_with(g.rolname::text, $2) \
   OR m.rolname::text = ANY ($1) OR starts_with(m.rolname::text, $2)) \
  AND (m.rolname <> current_user OR coalesce(to_jsonb(a) ->> 'set_option', 'true') = 'true' \
   OR coalesce(to_jsonb(a) ->> 'inherit_option', 'true') = 'true') \
GROUP BY 1, 2";

/// Sessions by database and login: those on the databases, and those of the roles wherever they are (`$3` and `$4`, as the others). The function and not the view, which waits for locks on shared catalogs. It shows to
/// everybody whose a session is, but not its type to a login that may not read statistics.
pub(super) const SESSIONS: &str = "\
SELECT d.datname::text, r.rolname::text, count(*) \
FROM pg_stat_get_activity(NULL) a \
JOIN pg_database d ON d.oid = a.datid \
JOIN pg_roles r ON r.oid = a.usesysid \
WHERE coalesce(a.backend_type, 'client backend') = 'client backend' AND (d.datname::text = ANY ($1) OR starts_with(d.datname::text, $2) \
   OR r.rolname::text = ANY ($3) OR starts_with(r.rolname::text, $4)) \
GROUP BY 1, 2";

/// All marker rows. On a server that was prepared by an earlier version the row has not every column, and is read before it gets
/// them.
pub(super) const MARKERS: &str = "\
SELECT tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, \
       logins, to_jsonb(m) ->> 'management', to_jsonb(m) ->> 'object_name', \
       to_jsonb(m) ->> 'deletion_policy', (to_jsonb(m) ->> 'own_server')::boolean \
FROM tenantry.marker m ORDER BY physical_name";

/// Marker rows that a claim has to know.
pub(super) const MARKERS_OF_CLAIM: &str = "\
SELECT tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, \
       logins, to_jsonb(m) ->> 'management', to_jsonb(m) ->> 'object_name', \
       to_jsonb(m) ->> 'deletion_policy', (to_jsonb(m) ->> 'own_server')::boolean \
FROM tenantry.marker m WHERE (tenant_uid = $1 AND name = $3) OR (claim_namespace = $2 AND claim_name = $3) \
ORDER BY physical_name";

/// Marker row of one database.
pub(super) const MARKER_OF_DATABASE: &str = "\
SELECT tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, \
       logins, to_jsonb(m) ->> 'management', to_jsonb(m) ->> 'object_name', \
       to_jsonb(m) ->> 'deletion_policy', (to_jsonb(m) ->> 'own_server')::boolean \
FROM tenantry.marker m WHERE physical_name = $1";

/// Marker rows of a database that an admin gives to a claim, and of the one that the object of that name has been made for: `$3` is
/// what it is called if it is one of ours.
pub(super) const MARKERS_OF_GIVEN: &str = "\
SELECT tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, \
       logins, to_jsonb(m) ->> 'management', to_jsonb(m) ->> 'object_name', \
       to_jsonb(m) ->> 'deletion_policy', (to_jsonb(m) ->> 'own_server')::boolean \
FROM tenantry.marker m WHERE physical_name IN ($1, $3) OR to_jsonb(m) ->> 'object_name' = $2 ORDER BY physical_name";

/// How many databases the marker rows tell of.
pub(super) const DATABASE_COUNT: &str = "SELECT count(*) FROM tenantry.marker";

/// All rows of the warm pool, and whether who wrote them has come to an end. No statement of ours that makes a database runs for
/// longer than half a minute, and none of an earlier leader's runs any more: the next one could not have raised the epoch.
pub(super) const POOL: &str = "\
SELECT name, layout, phase, \
       changed_at < now() - interval '1 minute' OR epoch < (SELECT epoch FROM tenantry.epoch) \
FROM tenantry.pool ORDER BY created_at, name";

/// Credential rows of one database; times in microseconds.
pub(super) const ISSUES: &str = "\
SELECT name, side, (extract(epoch FROM issued_at) * 1000000)::bigint, earlier, \
       (extract(epoch FROM grace_since) * 1000000)::bigint, rotated_for, compromised_for \
FROM tenantry.credential WHERE physical_name = $1";

/// What the session's own database holds of ours, one row a privilege.
pub(super) const INSIDE: &str = "\
SELECT 'schema', n.nspname::text, '', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, \
       a.privilege_type, a.is_grantable \
FROM pg_namespace n LEFT JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a ON true \
WHERE n.nspname = 'public' \
UNION ALL \
SELECT 'default', pg_get_userbyid(p.defaclrole)::text, p.defaclobjtype::text, \
       CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, a.privilege_type, a.is_grantable \
FROM pg_default_acl p LEFT JOIN LATERAL aclexplode(p.defaclacl) a ON true \
WHERE p.defaclnamespace = 0 \
UNION ALL \
SELECT 'extension', e.extname::text, n.nspname::text, NULL, NULL, o.rolsuper OR o.rolname = current_user \
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_roles o ON o.oid = e.extowner \
UNION ALL \
SELECT 'home', n.nspname::text, pg_get_userbyid(n.nspowner)::text, \
       CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, a.privilege_type, a.is_grantable \
FROM pg_namespace n LEFT JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a ON true \
WHERE n.nspname = 'extensions' OR n.nspowner = (SELECT oid FROM pg_roles WHERE rolname = 'tenantry_databases') \
UNION ALL \
SELECT 'path', split_part(c.setting, '=', 2), '', NULL, NULL, NULL \
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting) \
WHERE s.setrole = 0 AND d.datname = current_database() AND starts_with(c.setting, 'search_path=') \
UNION ALL \
SELECT 'function', f.oid::regprocedure::text, '', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, \
       a.privilege_type, a.is_grantable \
FROM pg_proc f LEFT JOIN LATERAL aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a ON true \
WHERE f.pronamespace = 'pg_catalog'::regnamespace \
  AND f.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'pg_logical_emit_message')";
