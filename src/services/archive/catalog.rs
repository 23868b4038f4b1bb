//! What the catalogs say about a database: queries that give kind, name and definition of everything a tenant can have.
//!
//! Read from the catalogs and not from a second `pg_dump --schema-only`: what that program does not know it would leave
//! out on both sides, the order of its text may change, and a function's body may look like any part of it. Definitions
//! are JSON objects; names are printed by PostgreSQL, qualified and quoted, since `search_path` is only `pg_catalog`.
//! Rights are compared by meaning: a right that is not written down is the default. Collation "C" sorts alike everywhere.
//!
//! Left out is what the operator declares (the schema `public` itself, members of extensions, everything in `pg_catalog`)
//! and what only counts in one database: OIDs, names that PostgreSQL gives to what a partition inherits.

/// Rights, by meaning: `acl!(column, type for acldefault, owner)`.
macro_rules! acl {
    ($acl:literal, $kind:literal, $owner:literal) => {
        concat!(
            "(SELECT jsonb_agg(x ORDER BY x::text COLLATE \"C\") FROM (",
            "SELECT jsonb_build_array(a.grantor::regrole, a.grantee::regrole, a.privilege_type, a.is_grantable) AS x ",
            "FROM aclexplode(coalesce(",
            $acl,
            ", acldefault(",
            $kind,
            ", ",
            $owner,
            "))) a) rights)"
        )
    };
}

/// Whether something is the tenant's: `own!(catalog, oid)` is false for members of extensions and what `initdb` made.
macro_rules! own {
    ($catalog:literal, $oid:literal) => {
        concat!(
            $oid,
            " >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '",
            $catalog,
            "'::regclass AND e.objid = ",
            $oid,
            " AND e.deptype = 'e')"
        )
    };
}

/// Whether a schema is one that a tenant can have things in.
macro_rules! visible {
    ($namespace:literal) => {
        concat!(
            $namespace,
            " NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast') ",
            "OR starts_with(nspname, 'pg_temp_') OR starts_with(nspname, 'pg_toast_temp_'))"
        )
    };
}

/// Whether a schema belongs to whoever the database belongs to: nobody else could have given it to that role.
macro_rules! declared {
    ($namespace:literal) => {
        concat!(
            "EXISTS (SELECT FROM pg_database base WHERE base.datname = current_database() AND base.datdba = ",
            $namespace,
            ".nspowner)"
        )
    };
}

/// Whether an index was never finished, as one that was to be made CONCURRENTLY and failed: nobody reads it, and `pg_dump` leaves it out.
/// One of a partitioned table that waits for the partitions' it dumps.
macro_rules! unfinished {
    ($oid:literal) => {
        concat!(
            "EXISTS (SELECT FROM pg_index u JOIN pg_class t ON t.oid = u.indrelid WHERE u.indexrelid = ",
            $oid,
            " AND NOT (u.indisready AND (u.indisvalid OR t.relkind = 'p')))"
        )
    };
}

pub(super) use {declared, own, visible};

const SCHEMAS: &str = concat!(
    "SELECT 'schema', quote_ident(n.nspname), jsonb_build_object('owner', n.nspowner::regrole, 'rights', ",
    acl!("n.nspacl", "'n'", "n.nspowner"),
    ") FROM pg_namespace n WHERE NOT ",
    declared!("n"),
    " AND ",
    visible!("n.oid"),
    " AND ",
    own!("pg_namespace", "n.oid"),
);

const RELATIONS: &str = concat!(
    "SELECT CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' ",
    "WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'row type' END, c.oid::regclass::text, ",
    "jsonb_build_object('owner', c.relowner::regrole, 'rights', ",
    acl!("c.relacl", "'r'", "c.relowner"),
    ", 'persistence', c.relpersistence, 'replica identity', c.relreplident, 'row security', c.relrowsecurity, ",
    "'forced row security', c.relforcerowsecurity, 'options', c.reloptions, ",
    "'options of its toast table', (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid), ",
    "'access method', (SELECT m.amname FROM pg_am m WHERE m.oid = c.relam), ",
    "'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace), ",
    "'partition key', pg_get_partkeydef(c.oid), 'partition bound', pg_get_expr(c.relpartbound, c.oid), ",
    "'parents', (SELECT jsonb_agg(i.inhparent::regclass ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid), ",
    "'row type', nullif(c.reloftype, 0)::regtype, 'populated', c.relispopulated, ",
    "'query', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, ",
    "'foreign', (SELECT jsonb_build_array(s.srvname, f.ftoptions) FROM pg_foreign_table f ",
    "JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid), ",
    // A child of a table that is no partition gets its parent's columns first when it is made anew.
    "'columns', (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), ",
    "'not null', a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid), 'generated', a.attgenerated, ",
    "'identity', a.attidentity, 'collation', nullif(a.attcollation, 0)::regcollation, 'storage', a.attstorage, ",
    "'compression', a.attcompression, 'statistics', nullif(a.attstattarget, -1), 'options', a.attoptions, ",
    "'foreign options', a.attfdwoptions, 'rights', (SELECT jsonb_agg(x ORDER BY x::text COLLATE \"C\") FROM (",
    "SELECT jsonb_build_array(r.grantor::regrole, r.grantee::regrole, r.privilege_type, r.is_grantable) AS x ",
    "FROM aclexplode(a.attacl) r) rights)) ",
    "ORDER BY CASE WHEN NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) ",
    "THEN 0 ELSE a.attnum END, a.attname COLLATE \"C\") FROM pg_attribute a ",
    "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum ",
    "WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) ",
    "FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "c.oid"),
);

const SEQUENCES: &str = concat!(
    "SELECT 'sequence', c.oid::regclass::text, jsonb_build_object('owner', c.relowner::regrole, 'rights', ",
    acl!("c.relacl", "'s'", "c.relowner"),
    ", 'persistence', c.relpersistence, 'type', s.seqtypid::regtype, 'start', s.seqstart, 'increment', s.seqincrement, ",
    "'maximum', s.seqmax, 'minimum', s.seqmin, 'cache', s.seqcache, 'cycle', s.seqcycle, 'belongs to', (",
    "SELECT jsonb_agg(jsonb_build_array(d.deptype, d.refobjid::regclass, a.attname)) FROM pg_depend d ",
    "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid ",
    "WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass ",
    "AND d.deptype IN ('a', 'i'))) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "c.oid"),
);

/// A partition's constraint is named anew when it is made anew, and what PostgreSQL 18 stores for NOT NULL is a column's.
const CONSTRAINTS: &str = concat!(
    "SELECT 'constraint', CASE WHEN c.conrelid <> 0 THEN c.conrelid::regclass::text ELSE c.contypid::regtype::text END ",
    "|| CASE WHEN c.conparentid <> 0 OR c.contype = 'n' THEN '' ELSE '.' || quote_ident(c.conname) END, ",
    "jsonb_build_object('definition', pg_get_constraintdef(c.oid), 'validated', c.convalidated, ",
    "'not inherited', CASE WHEN c.contype IN ('c', 'n') THEN c.connoinherit END) FROM pg_constraint c WHERE ",
    visible!("c.connamespace"),
    " AND (c.conrelid = 0 OR ",
    own!("pg_class", "c.conrelid"),
    ") AND (c.contypid = 0 OR ",
    own!("pg_type", "c.contypid"),
    ") AND ",
    own!("pg_constraint", "c.oid"),
);

const INDEXES: &str = concat!(
    "SELECT 'index', c.oid::regclass::text, jsonb_build_object('definition', pg_get_indexdef(c.oid), ",
    "'valid', i.indisvalid, 'clustered', i.indisclustered, 'replica identity', i.indisreplident, ",
    "'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace), ",
    "'parent', (SELECT h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = c.oid), ",
    "'statistics', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum) ",
    "FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0)) ",
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT ",
    unfinished!("c.oid"),
    " AND ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "i.indrelid"),
);

const TRIGGERS: &str = concat!(
    "SELECT 'trigger', t.tgrelid::regclass::text || '.' || quote_ident(t.tgname), ",
    "jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled) ",
    "FROM pg_trigger t WHERE NOT t.tgisinternal AND ",
    own!("pg_class", "t.tgrelid"),
);

const RULES: &str = concat!(
    "SELECT 'rule', r.ev_class::regclass::text || '.' || quote_ident(r.rulename), ",
    "jsonb_build_object('definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled) ",
    "FROM pg_rewrite r WHERE r.rulename <> '_RETURN' AND ",
    own!("pg_class", "r.ev_class"),
);

const POLICIES: &str = concat!(
    "SELECT 'policy', p.polrelid::regclass::text || '.' || quote_ident(p.polname), ",
    "jsonb_build_object('command', p.polcmd, 'permissive', p.polpermissive, ",
    "'roles', (SELECT jsonb_agg(r::regrole ORDER BY r::regrole::text COLLATE \"C\") FROM unnest(p.polroles) r), ",
    "'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)) ",
    "FROM pg_policy p WHERE ",
    own!("pg_class", "p.polrelid"),
);

const FUNCTIONS: &str = concat!(
    "SELECT 'function', p.oid::regprocedure::text, jsonb_build_object('owner', p.proowner::regrole, 'rights', ",
    acl!("p.proacl", "'f'", "p.proowner"),
    ", 'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, ",
    "'aggregate', (SELECT jsonb_build_array(g.aggkind, g.aggnumdirectargs, g.aggtransfn, g.aggfinalfn, g.aggcombinefn, ",
    "g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn, g.aggfinalextra, g.aggmfinalextra, ",
    "g.aggfinalmodify, g.aggmfinalmodify, g.aggsortop::regoperator, g.aggtranstype::regtype, g.aggtransspace, ",
    "g.aggmtranstype::regtype, g.aggmtransspace, g.agginitval, g.aggminitval, p.proparallel) ",
    "FROM pg_aggregate g WHERE g.aggfnoid = p.oid)) FROM pg_proc p WHERE ",
    visible!("p.pronamespace"),
    " AND ",
    own!("pg_proc", "p.oid"),
);

/// Not the types that belong to tables, to arrays and to ranges.
const TYPES: &str = concat!(
    "SELECT 'type', t.oid::regtype::text, jsonb_build_object('owner', t.typowner::regrole, 'rights', ",
    acl!("t.typacl", "'T'", "t.typowner"),
    ", 'type', t.typtype, 'base', format_type(nullif(t.typbasetype, 0), t.typtypmod), 'not null', t.typnotnull, ",
    "'default', t.typdefault, 'collation', nullif(t.typcollation, 0)::regcollation, ",
    "'labels', (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), ",
    "'range', (SELECT jsonb_build_array(r.rngsubtype::regtype, r.rngmultitypid::regtype, nullif(r.rngcollation, 0)::regcollation, ",
    "(SELECT o.opcname FROM pg_opclass o WHERE o.oid = r.rngsubopc), r.rngcanonical, r.rngsubdiff) ",
    "FROM pg_range r WHERE r.rngtypid = t.oid)) FROM pg_type t WHERE t.typtype IN ('b', 'c', 'd', 'e', 'p', 'r') ",
    "AND t.typelem = 0 AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND ",
    visible!("t.typnamespace"),
    " AND ",
    own!("pg_type", "t.oid"),
);

const DEFAULT_RIGHTS: &str = concat!(
    "SELECT 'default rights', concat_ws(' ', d.defaclrole::regrole, d.defaclobjtype, nullif(d.defaclnamespace, 0)::regnamespace), ",
    "jsonb_build_object('rights', (SELECT jsonb_agg(x ORDER BY x::text COLLATE \"C\") FROM (",
    "SELECT jsonb_build_array(a.grantor::regrole, a.grantee::regrole, a.privilege_type, a.is_grantable) AS x ",
    "FROM aclexplode(d.defaclacl) a) rights)) FROM pg_default_acl d",
);

/// Of what is the tenant's; `pg_identify_object` knows every kind of thing.
const COMMENTS: &str = concat!(
    "SELECT 'comment', o.type || ' ' || o.identity, jsonb_build_object('text', d.description) ",
    "FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) o ",
    "WHERE (d.objoid >= 16384 OR d.classoid = 'pg_largeobject'::regclass) AND d.classoid <> 'pg_extension'::regclass ",
    "AND NOT EXISTS (",
    "SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e') ",
    "AND NOT (d.classoid = 'pg_class'::regclass AND ",
    unfinished!("d.objoid"),
    ") UNION ALL SELECT 'security label', o.type || ' ' || o.identity, jsonb_build_object('provider', l.provider, 'text', l.label) ",
    "FROM pg_seclabel l CROSS JOIN LATERAL pg_identify_object(l.classoid, l.objoid, l.objsubid) o",
);

const EXTENSIONS: &str = concat!(
    "SELECT 'extension', quote_ident(e.extname), ",
    "jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace) FROM pg_extension e ",
    // Whoever owns an extension can add things of his own to it, which are dumped by nobody then.
    "UNION ALL SELECT 'member of extension', quote_ident(e.extname) || ' ' || o.type || ' ' || o.identity, '{}'::jsonb ",
    "FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' ",
    "CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) o",
);

const STATISTICS: &str = concat!(
    "SELECT 'statistics', s.stxnamespace::regnamespace::text || '.' || quote_ident(s.stxname), jsonb_build_object(",
    "'owner', s.stxowner::regrole, 'definition', pg_get_statisticsobjdef(s.oid), 'target', nullif(s.stxstattarget, -1)) ",
    "FROM pg_statistic_ext s WHERE ",
    own!("pg_statistic_ext", "s.oid"),
);

const OPERATORS: &str = concat!(
    "SELECT 'operator', o.oid::regoperator::text, jsonb_build_object('owner', o.oprowner::regrole, 'definition', ",
    "jsonb_build_array(o.oprcode, o.oprresult::regtype, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, ",
    "o.oprjoin, o.oprcanmerge, o.oprcanhash)) FROM pg_operator o WHERE ",
    own!("pg_operator", "o.oid"),
    " UNION ALL SELECT 'cast', format('%s AS %s', c.castsource::regtype, c.casttarget::regtype), jsonb_build_object(",
    "'function', nullif(c.castfunc, 0)::regprocedure, 'context', c.castcontext, 'method', c.castmethod) FROM pg_cast c WHERE ",
    own!("pg_cast", "c.oid"),
);

const TEXT_SEARCH: &str = concat!(
    "SELECT 'collation', c.oid::regcollation::text, to_jsonb(c) - '{oid,collnamespace,collowner,collencoding,collversion}'::text[] ",
    "|| jsonb_build_object('owner', c.collowner::regrole) FROM pg_collation c WHERE ",
    own!("pg_collation", "c.oid"),
    " UNION ALL SELECT 'conversion', c.connamespace::regnamespace::text || '.' || quote_ident(c.conname), ",
    "jsonb_build_object('owner', c.conowner::regrole, 'definition', jsonb_build_array(c.conforencoding, c.contoencoding, ",
    "c.conproc, c.condefault)) FROM pg_conversion c WHERE ",
    own!("pg_conversion", "c.oid"),
    " UNION ALL SELECT 'text search dictionary', d.oid::regdictionary::text, jsonb_build_object('owner', d.dictowner::regrole, ",
    "'template', (SELECT t.tmplname FROM pg_ts_template t WHERE t.oid = d.dicttemplate), 'options', d.dictinitoption) ",
    "FROM pg_ts_dict d WHERE ",
    own!("pg_ts_dict", "d.oid"),
    " UNION ALL SELECT 'text search configuration', c.oid::regconfig::text, jsonb_build_object('owner', c.cfgowner::regrole, ",
    "'parser', (SELECT p.prsname FROM pg_ts_parser p WHERE p.oid = c.cfgparser), 'map', (SELECT jsonb_agg(jsonb_build_array(",
    "m.maptokentype, m.mapseqno, m.mapdict::regdictionary) ORDER BY m.maptokentype, m.mapseqno) ",
    "FROM pg_ts_config_map m WHERE m.mapcfg = c.oid)) FROM pg_ts_config c WHERE ",
    own!("pg_ts_config", "c.oid"),
);

/// Options of servers may be secrets: only whether they differ is of interest, and only a hash leaves the server.
const REPLICATION: &str = concat!(
    "SELECT 'publication', quote_ident(p.pubname), to_jsonb(p) - '{oid,pubowner}'::text[] ",
    "|| jsonb_build_object('owner', p.pubowner::regrole, 'tables', (SELECT jsonb_agg(jsonb_build_array(r.prrelid::regclass, ",
    "pg_get_expr(r.prqual, r.prrelid), r.prattrs::text) ORDER BY r.prrelid::regclass::text COLLATE \"C\") ",
    "FROM pg_publication_rel r WHERE r.prpubid = p.oid), 'schemas', (SELECT jsonb_agg(n.pnnspid::regnamespace ",
    "ORDER BY n.pnnspid::regnamespace::text COLLATE \"C\") FROM pg_publication_namespace n WHERE n.pnpubid = p.oid)) ",
    "FROM pg_publication p WHERE ",
    own!("pg_publication", "p.oid"),
    " UNION ALL SELECT 'server', quote_ident(s.srvname), jsonb_build_object('owner', s.srvowner::regrole, 'rights', ",
    acl!("s.srvacl", "'S'", "s.srvowner"),
    ", 'definition', jsonb_build_array((SELECT f.fdwname FROM pg_foreign_data_wrapper f WHERE f.oid = s.srvfdw), s.srvtype, ",
    "s.srvversion, sha256(convert_to(coalesce(s.srvoptions, '{}')::text, 'UTF8'))::text)) FROM pg_foreign_server s WHERE ",
    own!("pg_foreign_server", "s.oid"),
    " UNION ALL SELECT 'user mapping', format('%I of %I', m.srvname, m.usename), ",
    "jsonb_build_object('options', sha256(convert_to(coalesce(m.umoptions, '{}')::text, 'UTF8'))::text) FROM pg_user_mappings m",
);

/// What only a superuser can make is not restored: where there is some, the comparison says so.
const OTHERS: &str = concat!(
    "SELECT 'object', o.type || ' ' || o.identity, '{}'::jsonb FROM (",
    "SELECT 'pg_opclass'::regclass, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily ",
    "UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am ",
    "UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform ",
    "UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger ",
    "UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper) c (class, id) ",
    "CROSS JOIN LATERAL pg_identify_object(c.class, c.id, 0) o WHERE c.id >= 16384 AND NOT EXISTS (",
    "SELECT FROM pg_depend e WHERE e.classid = c.class AND e.objid = c.id AND e.deptype = 'e')",
);

const LARGE_OBJECTS: &str = concat!(
    "SELECT 'large object', m.oid::text, jsonb_build_object('owner', m.lomowner::regrole, 'rights', ",
    acl!("m.lomacl", "'L'", "m.lomowner"),
    ") FROM pg_largeobject_metadata m",
);

/// Queries for kind, name and definition of all that there is but rows, positions of sequences and bytes.
pub const THINGS: [&str; 19] = [
    SCHEMAS,
    RELATIONS,
    SEQUENCES,
    CONSTRAINTS,
    INDEXES,
    TRIGGERS,
    RULES,
    POLICIES,
    FUNCTIONS,
    TYPES,
    DEFAULT_RIGHTS,
    COMMENTS,
    EXTENSIONS,
    STATISTICS,
    OPERATORS,
    TEXT_SEARCH,
    REPLICATION,
    OTHERS,
    LARGE_OBJECTS,
];

/// Tables with rows of their own: name and columns. Columns that are computed when they are read are no rows.
pub const TABLES: &str = concat!(
    "SELECT c.oid::regclass::text, coalesce((SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE \"C\") ",
    "FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'), '') ",
    "FROM pg_class c WHERE c.relkind = 'r' AND ",
    visible!("c.relnamespace"),
    " AND ",
    own!("pg_class", "c.oid"),
    " ORDER BY 1",
);

/// Statements that take back the default rights of the group that the session is, so that nothing gets them that had
/// other ones. What the dump says of them is restored last.
pub const CLEAR_DEFAULT_RIGHTS: &str = concat!(
    "SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE ALL ON %s FROM %s', d.defaclrole::regrole::text, k.word, ",
    "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) ",
    "FROM pg_default_acl d CROSS JOIN LATERAL (SELECT DISTINCT grantee FROM aclexplode(d.defaclacl)) a ",
    "JOIN (VALUES ('r'::\"char\", 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS'), ",
    "('L', 'LARGE OBJECTS')) k (type, word) ON k.type = d.defaclobjtype ",
    "WHERE d.defaclnamespace = 0 AND a.grantee <> d.defaclrole AND pg_has_role(d.defaclrole, 'USAGE') ",
    "AND NOT (a.grantee = 0 AND d.defaclobjtype IN ('f', 'T'))",
);
