-- server
INSERT INTO tenantry.marker (tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, logins, deletion_policy, own_server) VALUES ('0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c11', 'app', 'joh3iuzatw', 't_joh3iuzatw_app', 'tenant-acme', 'app', 'claim-1', 'Creating', 1, (SELECT epoch FROM tenantry.epoch), ARRAY['t_joh3iuzatw_app_app_a']::text[], 'Retain', false);
CREATE ROLE "t_joh3iuzatw_app_owner" NOLOGIN;
CREATE ROLE "t_joh3iuzatw_app_rw" NOLOGIN;
CREATE ROLE "t_joh3iuzatw_app_ro" NOLOGIN;
CREATE ROLE "t_joh3iuzatw_app_app_a" NOLOGIN NOINHERIT CONNECTION LIMIT 10 PASSWORD '********';
GRANT "t_joh3iuzatw_app_owner" TO "t_joh3iuzatw_app_app_a";
-- server
CREATE DATABASE "t_joh3iuzatw_app" TEMPLATE template0 ENCODING 'UTF8' OWNER "tenantry_databases" ALLOW_CONNECTIONS false CONNECTION LIMIT 10;
-- server
REVOKE CONNECT, TEMPORARY ON DATABASE "t_joh3iuzatw_app" FROM PUBLIC CASCADE;
ALTER DATABASE "t_joh3iuzatw_app" ALLOW_CONNECTIONS true;
-- database t_joh3iuzatw_app
REVOKE CREATE, USAGE ON SCHEMA "public" FROM PUBLIC CASCADE;
GRANT CREATE, USAGE ON SCHEMA "public" TO "t_joh3iuzatw_app_owner";
GRANT USAGE ON SCHEMA "public" TO "t_joh3iuzatw_app_rw";
GRANT USAGE ON SCHEMA "public" TO "t_joh3iuzatw_app_ro";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "t_joh3iuzatw_app_rw";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT SELECT ON TABLES TO "t_joh3iuzatw_app_ro";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO "t_joh3iuzatw_app_rw";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT SELECT ON SEQUENCES TO "t_joh3iuzatw_app_ro";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT EXECUTE ON FUNCTIONS TO "t_joh3iuzatw_app_rw";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT EXECUTE ON FUNCTIONS TO "t_joh3iuzatw_app_ro";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT USAGE ON SCHEMAS TO "t_joh3iuzatw_app_rw";
ALTER DEFAULT PRIVILEGES FOR ROLE "t_joh3iuzatw_app_owner" GRANT USAGE ON SCHEMAS TO "t_joh3iuzatw_app_ro";
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer) FROM PUBLIC CASCADE;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_creat(integer) TO "t_joh3iuzatw_app_owner";
GRANT EXECUTE ON FUNCTION pg_catalog.lo_creat(integer) TO "t_joh3iuzatw_app_rw";
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid) FROM PUBLIC CASCADE;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO "t_joh3iuzatw_app_owner";
GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO "t_joh3iuzatw_app_rw";
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_from_bytea(oid,bytea) FROM PUBLIC CASCADE;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_from_bytea(oid,bytea) TO "t_joh3iuzatw_app_owner";
GRANT EXECUTE ON FUNCTION pg_catalog.lo_from_bytea(oid,bytea) TO "t_joh3iuzatw_app_rw";
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(boolean,text,text) FROM PUBLIC CASCADE;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(boolean,text,bytea) FROM PUBLIC CASCADE;
-- server
ALTER ROLE "t_joh3iuzatw_app_app_a" IN DATABASE "t_joh3iuzatw_app" SET role TO "t_joh3iuzatw_app_owner";
ALTER ROLE "t_joh3iuzatw_app_app_a" LOGIN;
GRANT CONNECT ON DATABASE "t_joh3iuzatw_app" TO "t_joh3iuzatw_app_app_a";
GRANT CONNECT, TEMPORARY, CREATE ON DATABASE "t_joh3iuzatw_app" TO "t_joh3iuzatw_app_owner";
GRANT CONNECT ON DATABASE "t_joh3iuzatw_app" TO "t_joh3iuzatw_app_ro";
GRANT CONNECT, TEMPORARY ON DATABASE "t_joh3iuzatw_app" TO "t_joh3iuzatw_app_rw";
UPDATE tenantry.marker SET tenant_uid = '0b6cbd8e-7a0c-4d51-9f0b-2a4f3f3f0c11', name = 'app', claim_namespace = 'tenant-acme', claim_name = 'app', claim_uid = 'claim-1', phase = 'Bound', generation = 1, epoch = (SELECT epoch FROM tenantry.epoch), logins = ARRAY['t_joh3iuzatw_app_app_a']::text[], deletion_policy = 'Retain', own_server = false, changed_at = now() WHERE physical_name = 't_joh3iuzatw_app' AND generation = 1;
