//! What keeps a login without privileges from a whole archive: looked for before anything is stored, and told with the next step. Silence
//! would be a dump in part, or one that nobody restores.

use super::catalog::{declared, own, visible};

/// What keeps a login without privileges from a whole dump: name and reason.
pub const OBSTACLES: &str = concat!(
    "SELECT 'table ' || c.oid::regclass::text, 'has forced row security, which hides rows from its owner too: ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or make an archive with a login of your own' ",
    "FROM pg_class c WHERE c.relrowsecurity AND c.relforcerowsecurity AND ",
    own!("pg_class", "c.oid"),
    " UNION ALL SELECT 'relation ' || c.oid::regclass::text, format('belongs to %s: give it to %I (ALTER … OWNER TO)', c.relowner::regrole, current_user) ",
    "FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND NOT pg_has_role(c.relowner, 'USAGE') AND ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "c.oid"),
    " UNION ALL SELECT 'relation ' || c.oid::regclass::text, format('cannot be read by its owner: GRANT SELECT to %I', current_user) ",
    "FROM pg_class c WHERE c.relkind IN ('r', 'p', 'S') AND pg_has_role(c.relowner, 'USAGE') ",
    "AND NOT has_table_privilege(c.oid, 'SELECT') AND ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "c.oid"),
    " UNION ALL SELECT 'schema ' || quote_ident(n.nspname), format('belongs to %s: give it to %I (ALTER SCHEMA … OWNER TO)', n.nspowner::regrole, current_user) ",
    "FROM pg_namespace n WHERE NOT pg_has_role(n.nspowner, 'USAGE') AND NOT ",
    declared!("n"),
    " AND ",
    visible!("n.oid"),
    " AND ",
    own!("pg_namespace", "n.oid"),
    " UNION ALL SELECT 'function ' || p.oid::regprocedure::text, format('belongs to %s: give it to %I (ALTER ROUTINE … OWNER TO)', p.proowner::regrole, current_user) ",
    // A range brings functions along that belong to the first superuser.
    "FROM pg_proc p WHERE NOT pg_has_role(p.proowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend i ",
    "WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i') AND ",
    visible!("p.pronamespace"),
    " AND ",
    own!("pg_proc", "p.oid"),
    " UNION ALL SELECT 'large object ' || m.oid::text, format('belongs to %s: give it to %I (ALTER LARGE OBJECT … OWNER TO)', m.lomowner::regrole, current_user) ",
    "FROM pg_largeobject_metadata m WHERE NOT pg_has_role(m.lomowner, 'USAGE') ",
    "UNION ALL SELECT 'subscription ' || quote_ident(s.subname), 'is dumped for superusers only: DROP SUBSCRIPTION first' ",
    "FROM pg_subscription s WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) ",
    "UNION ALL SELECT 'extension ' || quote_ident(x.extname), CASE WHEN v.name IS NULL ",
    "THEN format('has version %s, which the server cannot install any more: ALTER EXTENSION … UPDATE', x.extversion) ",
    "ELSE 'is not a trusted one, so no login like this can restore it: DROP EXTENSION, or make an archive with a login of your own' END ",
    "FROM pg_extension x LEFT JOIN pg_available_extension_versions v ON v.name = x.extname AND v.version = x.extversion ",
    "WHERE v.name IS NULL OR v.superuser AND NOT v.trusted ",
    // Also what an extension has dumped by pg_extension_config_dump: nobody but a superuser restores into its tables.
    "UNION ALL SELECT 'relation ' || c.oid::regclass::text, ",
    "format('is a member of extension %I, so what is in it would be in no archive: ALTER EXTENSION … DROP …, or make an archive with a login of your own', x.extname) ",
    "FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' ",
    "JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND x.oid = d.refobjid ",
    "WHERE c.relkind IN ('r', 'p', 'm', 'S', 'f') ",
    "ORDER BY 1",
);
