CREATE SCHEMA app;
CREATE SCHEMA "we ""ird
schema";
CREATE TYPE app.mood AS ENUM ('sad', 'ok');
ALTER TYPE app.mood ADD VALUE 'better' BEFORE 'ok';
CREATE DOMAIN app.mail AS text DEFAULT 'a@b' CHECK (VALUE LIKE '%@%');
CREATE TYPE app.address AS (street text, number integer);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE SEQUENCE app.numbers AS integer INCREMENT 5 START 10 CYCLE;
CREATE SEQUENCE app.untouched;
SELECT nextval('app.numbers'), nextval('app.numbers');

CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email app.mail NOT NULL UNIQUE,
  state varchar(10) NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'old', 'o]d''')),
  mood app.mood,
  home app.address,
  spans app.span[],
  upper_state text GENERATED ALWAYS AS (upper(state)) STORED,
  price money, ratio float8, at timestamptz, "interval" interval, raw bytea, doc jsonb, gone integer
);
ALTER TABLE users DROP COLUMN gone;
ALTER TABLE users ALTER COLUMN doc SET STORAGE EXTERNAL, ALTER COLUMN ratio SET STATISTICS 500;
INSERT INTO users (email, state, mood, home, spans, price, ratio, at, "interval", raw, doc)
  SELECT 'u' || i || E'\n\t\\@x', 'old', 'sad', ('(way,' || i || ')')::app.address, ARRAY['[1,2)'::app.span], i, 0.1 + i, 'epoch', '1 mon -1 day', '\x00ff0a', '{"b": [1, null]}'
  FROM generate_series(1, 500) i;
INSERT INTO users (email) VALUES ('null@x');
CREATE INDEX by_state ON users (lower(state) DESC) INCLUDE (email) WHERE state IN ('new', 'old');
CREATE STATISTICS app.both (dependencies) ON email, state FROM users;
COMMENT ON TABLE users IS 'It''s theirs';
COMMENT ON COLUMN users.email IS E'two\nlines';
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_new ON users AS RESTRICTIVE FOR SELECT TO rw USING (state = 'new');
GRANT SELECT (id, email) ON users TO PUBLIC;

CREATE TABLE hidden (id integer PRIMARY KEY);
REVOKE ALL ON hidden FROM rw, ro;
CREATE TABLE orders (id integer, at date NOT NULL, "user" bigint REFERENCES users ON DELETE CASCADE, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE orders_old PARTITION OF orders FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE orders_new (at date NOT NULL, "user" bigint, id integer NOT NULL);
ALTER TABLE orders ATTACH PARTITION orders_new DEFAULT;
CREATE INDEX ON orders ("user");
INSERT INTO orders SELECT i, date '2025-12-01' + i, 1 FROM generate_series(1, 100) i;
CREATE TABLE parent (a integer, b text);
CREATE TABLE child (c integer, b text, a integer);
ALTER TABLE child INHERIT parent;
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (1, 'c', 2);
CREATE UNLOGGED TABLE fast (id integer) WITH (fillfactor = 50, autovacuum_enabled = off);
INSERT INTO fast VALUES (1), (1), (NULL);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE "we ""ird
schema"."t""able
\restrict x" ("c""ol
umn" text);
INSERT INTO "we ""ird
schema"."t""able
\restrict x" VALUES (E'\\.'), (E'\\N'), (''), (NULL);

CREATE FUNCTION format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'never'; END$$;
CREATE FUNCTION lower(character varying) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.upper($1)';
CREATE FUNCTION sha256(text) RETURNS text LANGUAGE plpgsql SET work_mem = '8MB' COST 7 AS $$BEGIN RAISE 'never'; END$$;
CREATE FUNCTION app.twice(i integer DEFAULT 2) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT i * 2; END;
CREATE PROCEDURE app.nothing() LANGUAGE sql AS '';
CREATE AGGREGATE app.total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE FUNCTION app.text(users) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'a cast of a row'; END$$;
CREATE CAST (users AS text) WITH FUNCTION app.text(users) AS IMPLICIT;
CREATE OPERATOR app.@+@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4pl, COMMUTATOR = OPERATOR(app.@+@));
REVOKE EXECUTE ON FUNCTION app.twice FROM PUBLIC;
CREATE FUNCTION app.changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER changed BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.state IN ('new', 'old')) EXECUTE FUNCTION app.changed();
ALTER TABLE users DISABLE TRIGGER changed;
CREATE RULE no_delete AS ON DELETE TO hidden DO INSTEAD NOTHING;

CREATE VIEW app.endless AS WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r;
CREATE VIEW app.olds WITH (security_barrier) AS SELECT id, email FROM users WHERE state IN ('old', 'new') WITH CHECK OPTION;
CREATE MATERIALIZED VIEW app.counts AS SELECT state, count(*) FROM users GROUP BY state;
CREATE UNIQUE INDEX ON app.counts (state);
CREATE MATERIALIZED VIEW app.empty AS SELECT 1 AS one WITH NO DATA;
CREATE COLLATION app.plain FROM "C";
CREATE TEXT SEARCH DICTIONARY app.words (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION app.search (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR word WITH app.words;
CREATE PUBLICATION changes FOR TABLE hidden WITH (publish = 'insert');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM rw;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;

SELECT lo_from_bytea(4711, '\x00010203');
SELECT lo_from_bytea(4712, convert_to(repeat('0123456789abcdef', 200000), 'UTF8'));
SELECT lo_create(4713);
GRANT SELECT ON LARGE OBJECT 4712 TO ro;
COMMENT ON LARGE OBJECT 4711 IS 'four bytes';
