-- server
DELETE FROM tenantry.pool WHERE name = 'clone' AND phase = 'Ready';
ALTER DATABASE "clone" RENAME TO "t";
ALTER ROLE "clone_owner" RENAME TO "t_owner";
ALTER ROLE "clone_rw" RENAME TO "t_rw";
ALTER ROLE "clone_ro" RENAME TO "t_ro";
ALTER ROLE "clone_login" RENAME TO "t_app_a";
INSERT INTO tenantry.marker (tenant_uid, name, tenant_id, physical_name, claim_namespace, claim_name, claim_uid, phase, generation, epoch, logins, deletion_policy, own_server) VALUES ('UID', 'app', 'ID', 't', 'tenant-acme', 'app', 'claim', 'Bound', 1, (SELECT epoch FROM tenantry.epoch), ARRAY['t_app_a']::text[], 'Retain', false);
ALTER ROLE "t_app_a" CONNECTION LIMIT 5;
ALTER DATABASE "t" ALLOW_CONNECTIONS true;
ALTER ROLE "t_app_a" IN DATABASE "t" SET role TO "t_owner";
ALTER ROLE "t_app_a" LOGIN;
ALTER DATABASE "t" CONNECTION LIMIT 5;
ALTER DATABASE "t" SET log_min_messages = panic;
GRANT CONNECT ON DATABASE "t" TO "t_app_a";
