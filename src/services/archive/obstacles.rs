//! What keeps a login without privileges from a whole archive: looked for before anything is stored, and told with the next step. Silence
//! would be a dump in part, or one that nobody restores.

use super::catalog::{declared, own, visible};

/// Whom a right is granted to, as a statement says it.
macro_rules! who {
    ($grantee:literal) => {
        concat!("CASE ", $grantee, " WHEN 0 THEN 'PUBLIC' ELSE ", $grantee, "::regrole::text END")
    };
}

/// Default rights that another role has set for itself, as every login may: only that role sets them again. What takes them back leaves the
/// usual ones, which are not written down.
macro_rules! default_rights {
    () => {
        concat!(
            "SELECT format('default rights of %s on %s%s', d.defaclrole::regrole, k.word, ' in schema ' || s.name), ",
            "'can be restored by nobody else: ' || concat_ws('; ', ",
            "(SELECT format('%s REVOKE ALL ON %s FROM %s', c.head, k.word, string_agg(DISTINCT ",
            who!("a.grantee"),
            ", ', ')) FROM aclexplode(d.defaclacl) a ",
            "WHERE NOT EXISTS (SELECT FROM aclexplode(c.usual) u WHERE u.grantee = a.grantee) HAVING count(*) > 0), ",
            "(SELECT format('%s GRANT ALL ON %s TO %s', c.head, k.word, string_agg(DISTINCT ",
            who!("u.grantee"),
            ", ', ')) FROM aclexplode(c.usual) u WHERE NOT EXISTS (SELECT FROM aclexplode(d.defaclacl) a ",
            "WHERE a.grantee = u.grantee AND a.privilege_type = u.privilege_type) HAVING count(*) > 0)) ",
            "FROM pg_default_acl d ",
            "JOIN (VALUES ('r'::\"char\", 'TABLES', 'r'::\"char\"), ('S', 'SEQUENCES', 's'), ('f', 'FUNCTIONS', 'f'), ",
            "('T', 'TYPES', 'T'), ('n', 'SCHEMAS', 'n'), ('L', 'LARGE OBJECTS', 'L')) k (type, word, usual) ON k.type = d.defaclobjtype ",
            "CROSS JOIN LATERAL (SELECT nullif(d.defaclnamespace, 0)::regnamespace::text) s (name) ",
            "CROSS JOIN LATERAL (SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s', d.defaclrole::regrole, ' IN SCHEMA ' || s.name), ",
            "CASE WHEN s.name IS NULL THEN acldefault(k.usual, d.defaclrole) END) c (head, usual) ",
            "WHERE NOT pg_has_role(d.defaclrole, 'USAGE')"
        )
    };
}

/// Rights that somebody has passed on who does not own the thing: a restore would have to be that role.
macro_rules! passed_on {
    () => {
        concat!(
            "SELECT DISTINCT 'rights on ' || o.thing, format('were passed on by %s, which nobody else does again: ",
            "REVOKE GRANT OPTION FOR ALL ON %s FROM %s CASCADE', a.grantor::regrole, o.thing, a.grantor::regrole) FROM (",
            "SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, c.relowner, c.relacl ",
            "FROM pg_class c WHERE ",
            own!("pg_class", "c.oid"),
            " UNION ALL SELECT 'TABLE ' || c.oid::regclass, c.relowner, t.attacl ",
            "FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid WHERE ",
            own!("pg_class", "c.oid"),
            " UNION ALL SELECT 'SCHEMA ' || quote_ident(n.nspname), n.nspowner, n.nspacl FROM pg_namespace n WHERE ",
            own!("pg_namespace", "n.oid"),
            " UNION ALL SELECT 'TYPE ' || t.oid::regtype, t.typowner, t.typacl FROM pg_type t WHERE ",
            own!("pg_type", "t.oid"),
            " UNION ALL SELECT 'ROUTINE ' || p.oid::regprocedure, p.proowner, p.proacl FROM pg_proc p WHERE ",
            own!("pg_proc", "p.oid"),
            " UNION ALL SELECT 'FOREIGN SERVER ' || quote_ident(s.srvname), s.srvowner, s.srvacl FROM pg_foreign_server s WHERE ",
            own!("pg_foreign_server", "s.oid"),
            " UNION ALL SELECT 'LARGE OBJECT ' || m.oid, m.lomowner, m.lomacl FROM pg_largeobject_metadata m",
            ") o (thing, owner, acl) CROSS JOIN LATERAL aclexplode(o.acl) a WHERE a.grantor <> o.owner"
        )
    };
}

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
    "UNION ALL ",
    default_rights!(),
    " UNION ALL ",
    passed_on!(),
    " ORDER BY 1",
);
