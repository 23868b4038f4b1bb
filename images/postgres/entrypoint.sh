#!/bin/sh
# PID 1 of the PostgreSQL image; the contract is in images/README.md.
#
# It prepares the data directory once, starts the server, hands it new certificates, and stops it. It does not exec the
# server: the postmaster takes every child it reaps for one of its own, so an orphan of `kubectl exec` that died of a
# signal would make it throw out all sessions.
set -eu
umask 077

volume=/var/lib/postgresql/data
admin=/etc/tenantry/admin
tls=/etc/tenantry/tls
private=/run/postgresql/tls
PGDATA=$volume/pgdata
export PGDATA

log() { printf 'tenantry: %s\n' "$*" >&2; }
fail() { log "$*"; exit 1; }

# A signal ends `wait` at once, and a command in the foreground never: so whatever takes long runs behind a wait.
attend() { "$@" & wait "$!"; }

need_file() { [ -s "$1" ] || fail "$1 is missing or empty: the Secret mounted there needs the key ${1##*/}"; }

need_writable() {
  if ! [ -d "$1" ] || ! [ -w "$1" ]; then
    fail "$1 is not writable for $(id -u):$(id -g): mount a volume there, with fsGroup 26"
  fi
}

# Two pods on one volume would destroy it. The lock lives as long as any process of ours, on every mount of the volume
# on this node; the server's own postmaster.pid means nothing across containers.
lock_volume() {
  exec 9>"$volume/.tenantry.lock"
  flock --nonblock 9 && return
  log "waiting: another server has $volume open"
  attend flock 9
}

# Complete or absent: the directory gets its name when everything in it is on disk.
init_once() {
  [ ! -s "$PGDATA/PG_VERSION" ] || return 0
  [ -z "$(ls -A "$PGDATA" 2>/dev/null)" ] || fail "$PGDATA has files but no PG_VERSION: it is not ours to overwrite"
  need_file "$admin/password"
  rm -rf "$volume/pgdata.init"
  attend initdb --pgdata="$volume/pgdata.init" --username=postgres --pwfile="$admin/password" --auth-local=peer \
    --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
  mv -T "$volume/pgdata.init" "$PGDATA"
  # initdb has synced the files. Not the whole file system: a local volume shares that with all of the node.
  sync "$volume"
  log "made a new, empty server in $PGDATA"
}

check_version() {
  version=$(cat "$PGDATA/PG_VERSION")
  [ "$version" = 15 ] || fail "$PGDATA was made by PostgreSQL $version, and this image is PostgreSQL 15"
}

# The server wants a key that nobody else can read, which a Secret volume cannot give.
copy_certificate() {
  mkdir -p "$private"
  cat "$tls/tls.crt" >"$private/tls.crt.new"
  cat "$tls/tls.key" >"$private/tls.key.new"
  mv "$private/tls.crt.new" "$private/tls.crt"
  mv "$private/tls.key.new" "$private/tls.key"
}

# fingerprint DIR → one line that changes with the certificate or its key; nothing while kubelet swaps the files.
fingerprint() { cat "$1/tls.crt" "$1/tls.key" 2>/dev/null | sha256sum; }

# What counts is that our copy equals the mount: a copy made in the middle of an update is made again five seconds later.
follow_certificate() {
  while sleep 5; do
    if ! [ -s "$tls/tls.crt" ] || ! [ -s "$tls/tls.key" ]; then continue; fi
    [ "$(fingerprint "$tls")" != "$(fingerprint "$private")" ] || continue
    copy_certificate || continue
    kill -HUP "$1"
    log "the certificate has changed: reloading"
  done
}

trap 'exit 143' TERM INT
need_writable "$volume"
need_writable /run/postgresql
need_writable /tmp
need_file "$tls/tls.crt"
need_file "$tls/tls.key"
lock_volume
init_once
check_version
copy_certificate
# A mount with fsGroup opens every directory to the group, and the server refuses such a data directory.
chmod 0700 "$PGDATA"
# Left by a killed server. Process numbers start over in every container, so it would often name a process that lives.
rm -f "$PGDATA/postmaster.pid"

postgres -c config_file=/etc/tenantry/postgresql/postgresql.conf \
  -c max_connections="${POSTGRES_MAX_CONNECTIONS:-200}" -c shared_buffers="${POSTGRES_SHARED_BUFFERS:-128MB}" &
server=$!
follow_certificate "$server" &
# SIGINT is PostgreSQL's fast shutdown; its SIGTERM would wait for every client to leave.
trap 'kill -INT "$server" || :' TERM INT
while :; do
  code=0
  wait "$server" || code=$?
  kill -0 "$server" 2>/dev/null || exit "$code"
done
