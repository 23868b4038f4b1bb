-- server
ALTER ROLE "t_joh3iuzatw_app_app_a" NOLOGIN;
REVOKE CONNECT ON DATABASE "t_joh3iuzatw_app" FROM "t_joh3iuzatw_app_app_a" CASCADE;
-- server
WITH told AS MATERIALIZED (SELECT array_agg(a.pid) AS pids, count(*) FILTER (WHERE pg_terminate_backend(a.pid)) AS ended FROM pg_stat_get_activity(NULL) a JOIN pg_roles r ON r.oid = a.usesysid WHERE r.rolname = ANY (ARRAY['t_joh3iuzatw_app_app_a']::text[])) SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 2000)) FROM told, unnest(told.pids) AS pid;
-- server
ALTER ROLE "t_joh3iuzatw_app_app_a" LOGIN;
GRANT CONNECT ON DATABASE "t_joh3iuzatw_app" TO "t_joh3iuzatw_app_app_a";
