#!/usr/bin/env bash
# `make test`: everything, on a machine that has Rust, Go and nothing else of ours.
#
# Starts one control plane and one PostgreSQL of each version for all tests and names them in TENANTRY_TEST_KUBECONFIG,
# TENANTRY_TEST_PG15 and TENANTRY_TEST_PG18 (tests/it/support/mod.rs says what the values mean), then runs every suite,
# also after a failure.
# Without root, what needs pods is left out, said at the end, and makes the whole fail.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
left_out=()
root=$([ "$(id -u)" -ne 0 ] || echo yes)

# suite NAME COMMAND… runs one part of the tests.
suite() {
  local name=$1 began=$SECONDS
  shift
  printf '\n==> %s\n' "$name"
  if "$@" </dev/null; then
    printf '==> %s: passed in %d s\n' "$name" $((SECONDS - began))
  else
    failed+=("$name")
    printf '==> %s: FAILED after %d s\n' "$name" $((SECONDS - began))
  fi
}

needs_root() { [ -n "$root" ] || { left_out+=("$1"); return 1; }; }

# With the program that the other tests ran, which saves building another.
images() {
  local names=(pause coredns tenantry archive postgres)
  export TENANTRY_IMAGES=target/tmp/images TENANTRY_BINARY=target/debug/tenantry
  images/build.sh "${names[@]}" && images/test.sh "${names[@]}"
}

# ---- What all tests share.

# One per checkout, so that two checkouts can test side by side. Short: sockets live below.
checkout=$(pwd -P | sha256sum | cut -c 1-8)
cluster=make-test-$checkout
postgres=/tmp/tenantry-$cluster
localcluster=$PWD/target/bin/localcluster

start_control_plane() {
  "$localcluster" up --control-plane-only --name "$cluster" </dev/null
  TENANTRY_TEST_KUBECONFIG=$("$localcluster" kubeconfig --name "$cluster")
  export TENANTRY_TEST_KUBECONFIG TENANTRY_TEST_LOCALCLUSTER=$localcluster
}

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ -n "$root" ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

# start_postgres VERSION PROGRAMS TLS starts a server, which speaks TLS or not, and names it in TENANTRY_TEST_PGVERSION.
start_postgres() {
  local version=$1 bin=$2 tls=$3 home=$postgres/$1 port host=host access
  [ "$tls" = off ] || host=hostssl
  mkdir -p "$postgres"
  mkdir -m 0700 "$home"
  (
    cd "$home"
    openssl rand -hex 16 >password
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tenantry-test-ca -keyout ca.key -out ca.crt
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out request
    openssl x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt \
      -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost)
    chmod 0600 server.key
  ) 2>/dev/null
  [ -z "$root" ] || chown -R postgres "$postgres"
  as_postgres "$bin/initdb" --pgdata="$home/data" --username=postgres --pwfile="$home/password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
  echo "$host all all 127.0.0.1/32 scram-sha-256" >"$home/data/pg_hba.conf"
  port=$(free_port)
  cat >>"$home/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 200
fsync = off
full_page_writes = off
ssl = $tls
ssl_cert_file = '$home/server.crt'
ssl_key_file = '$home/server.key'
CONF
  as_postgres "$bin/pg_ctl" start --wait --silent --pgdata="$home/data" --log="$home/log" || { cat "$home/log"; return 1; }
  access=$(printf '{"host":"127.0.0.1","port":%d,"username":"postgres","password":"%s","ca":"%s/ca.crt"}' \
    "$port" "$(cat "$home/password")" "$home")
  export "TENANTRY_TEST_PG$version=$access"
}

# A port below the range that the kernel hands out for outgoing connections, so that none of those takes it meanwhile.
free_port() {
  local port
  for port in $(shuf -i 20000-29999 -n 50); do
    ss -Hltn "sport = :$port" | grep -q . || { echo "$port"; return; }
  done
  return 1
}

# Also ends what a run left that was killed.
end_shared() {
  [ ! -x "$localcluster" ] || "$localcluster" down --name "$cluster" </dev/null || :
  for data in "$postgres"/*/data; do
    [ ! -e "$data/postmaster.pid" ] ||
      as_postgres /usr/lib/postgresql/15/bin/pg_ctl stop --silent --mode=immediate --pgdata="$data" || :
  done
  rm -rf "$postgres"
}

# ---- The run.

make deps || left_out+=("make deps, which installs Debian packages")
make target/bin/localcluster target/bin/coredns
cargo test --locked --no-run
# Tests wait more than they work.
cores=$(nproc)
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((cores < 6 ? 6 : cores))}
trap end_shared EXIT
# A signal ends the run through the same door.
trap 'exit 130' INT TERM HUP
end_shared
start_control_plane
start_postgres 15 /usr/lib/postgresql/15/bin on
postgres18=$(tests/postgres18.sh)
start_postgres 18 "$postgres18" off

if needs_root "tests/it/e2e (pods)"; then
  suite "cargo test" cargo test --locked --no-fail-fast
else
  suite "cargo test" cargo test --locked --no-fail-fast -- --skip e2e::
fi
# The build's own settings: with others, Go would compile all of Kubernetes a second time.
needs_root "localcluster/internal/e2e: clusters with a node" || :
suite "go test" env -C localcluster CGO_ENABLED=0 GOFLAGS=-trimpath go test ./...
if needs_root "images/test.sh (containers)"; then
  suite "images" images
fi

printf '\n'
[ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
[ ${#left_out[@]} -eq 0 ] || printf 'left out, needs root: %s\n' "${left_out[@]}"
[ ${#failed[@]} -eq 0 ] && [ ${#left_out[@]} -eq 0 ]
