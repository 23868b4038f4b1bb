#!/usr/bin/env bash
# Proves the contract of images/README.md: runs the built archives under runc, with no more rights than the restricted
# Pod Security profile leaves, in a network namespace of its own. Usage: images/test.sh NAME…   (as root, after build.sh)
# Output is TAP; the exit status is 0 when every check held. Environment: TENANTRY_IMAGES, as for build.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != --inside ]; then
  [ $# -gt 0 ] || { echo "usage: images/test.sh pause|coredns|tenantry|archive|postgres …" >&2; exit 2; }
  [ "$(id -u)" -eq 0 ] || { echo "images/test.sh needs root, for runc" >&2; exit 1; }
  exec unshare --net -- "$0" --inside "$@"
fi
shift
ip link set lo up

# shellcheck source-path=SCRIPTDIR
. images/test-lib.sh

test_pause() {
  unpack pause
  start pause "$work/pause" 65535 '"/pause"'
  check "pause: runs" within 10 is_running pause
  check "pause: stops when told" stop pause
}

test_coredns() {
  unpack coredns
  start coredns "$work/coredns" 65532 '"/coredns", "-version"'
  check "coredns: runs as 65532" wait "${process[coredns]}"
}

test_tenantry() {
  unpack tenantry
  start tenantry "$work/tenantry" 65532 '"/usr/local/bin/tenantry", "--help"'
  check "tenantry: runs as 65532" wait "${process[tenantry]}"
  check "tenantry: certificate authorities are there" \
    openssl crl2pkcs7 -nocrl -certfile "$work/tenantry/etc/ssl/certs/ca-certificates.crt" -out "$work/roots"
}

test_archive() {
  local client=/usr/lib/postgresql/15/bin
  unpack archive
  start archive "$work/archive" 65532 '"/usr/local/bin/tenantry", "run", "archive", "--help"'
  check "archive: tenantry runs as 65532" wait "${process[archive]}"
  for tool in pg_dump pg_restore; do
    start "$tool" "$work/archive" 65532 "\"$client/$tool\", \"--version\""
    check "archive: $tool runs as 65532" wait "${process[$tool]}"
    check "archive: $tool is that of the built-in server" logged "$tool" "$tool (PostgreSQL) 15\\."
  done
  start tls "$work/archive" 65532 "\"$client/pg_dump\", \"host=127.0.0.1 port=1 sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt\""
  check "archive: pg_dump finds no server" not wait "${process[tls]}"
  check "archive: pg_dump was built with TLS" logged tls "port 1 failed: Connection refused"
}

test_postgres() {
  unpack postgres
  certificate_authority
  for pair in one two three; do certificate "$work/$pair"; done
  printf '%s' "$password" >"$work/password"
  secret "$work/admin" "$work/password"
  mkdir "$work/nothing"
  secret "$work/tls" "$work/one/tls.crt" "$work/one/tls.key" "$work/ca.crt"

  first_start
  restricted_rights
  authentication
  settings
  certificates
  stops_and_crashes
  one_server_a_volume
  killed_in_first_start
  clear_refusals
}

first_start() {
  local began=$EPOCHREALTIME
  new_volume
  start_postgres pg
  check "first start: ends ready" within 60 ready pg
  echo "# after $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $began }") s"
  check "first start: nothing is missing in the image" not grep -E 'WARNING|not found' "$work/pg.log"
  check "first start: the data directory is private" [ "$(stat -c %a "$work/data/pgdata")" = 2700 ]
}

restricted_rights() {
  check "rights: PID 1 has no capability" inside pg grep -qP '^CapPrm:\t0+$' /proc/1/status
  check "rights: PID 1 can gain no privilege" inside pg grep -qP '^NoNewPrivs:\t1$' /proc/1/status
  check "rights: PID 1 is user 26" inside pg grep -qP '^Uid:\t26\t26\t26\t26$' /proc/1/status
  check "rights: the root is read-only" refused "Read-only file system" inside pg sh -c ': >/usr/bin/new'
}

authentication() {
  check "login: TLS with verify-full and the password" gives 1 "SELECT 1"
  check "login: the session is encrypted" gives t "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
  check "login: a wrong password is refused" refused "password authentication failed" wrong_password
  check "login: a plain connection is refused" refused "pg_hba.conf rejects connection" sql "SELECT 1" sslmode=disable
  check "login: replication is refused" refused "pg_hba.conf rejects replication" sql "IDENTIFY_SYSTEM" replication=true
  check "login: over the socket the superuser comes in as itself" inside pg psql -U postgres -c "SELECT 1"
  check "login: over the socket nobody else does" refused "pg_hba.conf rejects" inside pg psql -U other -d postgres -c "SELECT 1"
  check "login: passwords are stored as SCRAM verifiers" \
    gives t "SELECT rolpassword LIKE 'SCRAM-SHA-256\$%' FROM pg_authid WHERE rolname = 'postgres'"
  check "login: a statement about a password fails" refused "does not exist" sql "ALTER ROLE nobody PASSWORD 'needle'"
  check "login: and stays out of the log" not logged pg needle
}

settings() {
  local setting
  for setting in data_checksums=on password_encryption=scram-sha-256 max_connections=50 shared_buffers=128MB jit=off \
    authentication_timeout=5s max_locks_per_transaction=512 server_encoding=UTF8 lc_collate=C.UTF-8 ssl_min_protocol_version=TLSv1.2 log_statement=none \
    log_min_error_statement=panic logging_collector=off; do
    check "setting: $setting" gives "${setting#*=}" "SHOW ${setting%%=*}"
  done
  # A shared library or a file that the image forgot shows here.
  check "content: every extension of the package can be created" sql "
    DO \$\$ DECLARE extension text; BEGIN
      FOR extension IN SELECT name FROM pg_available_extensions WHERE installed_version IS NULL ORDER BY name LOOP
        EXECUTE format('CREATE EXTENSION %I CASCADE', extension);
        EXECUTE format('DROP EXTENSION %I CASCADE', extension);
      END LOOP;
    END \$\$"
  check "content: time zones and ICU collations are there" gives t \
    "SELECT '2026-07-01 12:00 Europe/Berlin'::timestamptz = '2026-07-01 10:00Z' AND 'a' < 'B' COLLATE \"de-x-icu\""
  check "content: data can be kept" sql "CREATE TABLE kept AS SELECT 42 AS answer"
}

certificates() {
  coproc session { client; }
  check "certificate: the first one is served" serves "$work/one"
  check "certificate: a session is open" answers "SELECT 'before'" before
  secret "$work/tls" "$work/two/tls.crt" "$work/two/tls.key" "$work/ca.crt"
  check "certificate: a new pair is served within 10 s" within 10 serves "$work/two"
  secret "$work/tls" "$work/three/tls.crt" "$work/two/tls.key" "$work/ca.crt"
  check "certificate: a pair that does not fit is logged" within 10 logged pg "configuration was not reloaded"
  check "certificate: and the old one goes on" serves "$work/two"
  secret "$work/tls" "$work/three/tls.crt" "$work/three/tls.key" "$work/ca.crt"
  check "certificate: the corrected pair is served" within 10 serves "$work/three"
  check "certificate: the open session has stayed" answers "SELECT 'after'" after
}

stops_and_crashes() {
  check "stop: SIGTERM ends it with status 0, also with a session open" stop pg
  check "stop: cleanly" logged pg "database system is shut down"
  # What kubelet does to every file of a volume with fsGroup, at every mount.
  find "$work/data" -type d -exec chmod 2775 {} +
  find "$work/data" -type f -exec chmod g+rw {} +
  start_postgres pg "$work/nothing"
  check "restart: ready after fsGroup opened the files, without the password file" within 30 ready pg
  check "restart: nothing is lost" gives 42 "SELECT answer FROM kept"
  check "crash: the container is killed" crash pg
  start_postgres pg
  check "crash: the next start is ready" within 30 ready pg
  check "crash: it recovered" logged pg "was not properly shut down"
  check "crash: nothing is lost" gives 42 "SELECT answer FROM kept"
  # shellcheck disable=SC2016  # for the shell in the container
  check "crash: the server alone is killed" inside pg sh -c 'read -r pid <$PGDATA/postmaster.pid && kill -9 "$pid"'
  check "crash: the container ends with it" not wait "${process[pg]}"
  start_postgres pg
  check "crash: and the next start is ready" within 30 ready pg
}

one_server_a_volume() {
  start_postgres second
  check "lock: a second server says that it waits" within 10 logged second "waiting: another server has"
  check "lock: the first is not disturbed" gives 42 "SELECT answer FROM kept"
  check "lock: the second stops at once when told" not stop second
  start_postgres second
  check "lock: it waits again" within 10 logged second "waiting: another server has"
  check "lock: the first stops" stop pg
  check "lock: now the second starts" within 30 ready second
  check "lock: with the data" gives 42 "SELECT answer FROM kept"
  check "lock: it stops" stop second
}

killed_in_first_start() {
  local seen
  new_volume
  for seen in . PG_VERSION base/1/pg_filenode.map base/5/pg_filenode.map; do
    start_postgres pg
    check "killed first start: pgdata.init/$seen appears" within 30 half_made "$seen"
    check "killed first start: killed" crash pg
    check "killed first start: no data directory has its name" [ ! -e "$work/data/pgdata" ]
    # The next start must begin again, and not go on with this.
    mkdir -p "$work/data/pgdata.init"
    touch "$work/data/pgdata.init/stale"
  done
  start_postgres pg
  check "killed first start: the next one ends ready" within 60 ready pg
  check "killed first start: with the password" gives 1 "SELECT 1"
  check "killed first start: and leaves nothing behind" [ ! -e "$work/data/pgdata.init" ]
  check "killed first start: it stops" stop pg
}

half_made() { [ -e "$work/data/pgdata.init/$1" ] && [ ! -e "$work/data/pgdata.init/stale" ]; }

clear_refusals() {
  echo 14 >"$work/data/pgdata/PG_VERSION"
  check "refusal: data of another version" fails_saying "was made by PostgreSQL 14" start_postgres pg
  rm "$work/data/pgdata/PG_VERSION"
  check "refusal: a directory that is not a server's" fails_saying "has files but no PG_VERSION" start_postgres pg
  new_volume
  check "refusal: no password" fails_saying "/etc/tenantry/admin/password is missing or empty" start_postgres pg "$work/nothing"
  check "refusal: no certificate" fails_saying "/etc/tenantry/tls/tls.crt is missing or empty" start_postgres pg "$work/admin" "$work/nothing"
  chmod 0755 "$work/data"
  check "refusal: a volume it may not write" fails_saying "/var/lib/postgresql/data is not writable for 26:26" start_postgres pg
}

for name; do "test_$name"; done
echo "1..$number"
echo "images: $((number - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
