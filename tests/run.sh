#!/usr/bin/env bash
# `make test`: everything, on a machine that has Rust, Go and nothing else of ours.
#
# Runs every suite, also after a failure; each starts the servers that it needs, and ends them.
# Without root, what needs pods is left out, said at the end, and makes the whole fail.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
flaky=()
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

# The crate's tests. In CI those few that failed are run once more, by themselves, and named: what passes then is flaky,
# which is a bug of its own, but none of the change that waits for the answer.
cargo_test() {
  local log failed_once name
  log=$(mktemp)
  cargo test --locked --no-fail-fast -- "$@" 2>&1 | tee "$log" && return
  mapfile -t failed_once < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
  [ -n "${CI:-}" ] && [ ${#failed_once[@]} -ge 1 ] && [ ${#failed_once[@]} -le 3 ] || return 1
  for name in "${failed_once[@]}"; do
    printf '\n==> once more, by itself: %s\n' "$name"
    cargo test --locked -- --exact "$name" 2>&1 | tee "$log"
    # A name that no program knows fails nothing.
    grep -q "^test $name \.\.\. ok$" "$log" || return 1
  done
  flaky+=("${failed_once[@]}")
}

# With the program that the other tests run, which saves building another. They begin while the crate's first tests wait for
# their servers, and a processor has nothing to do.
images_begin() {
  images_log=$(mktemp)
  (
    names=(pause coredns tenantry archive postgres)
    export TENANTRY_IMAGES=target/tmp/images TENANTRY_BINARY=target/debug/tenantry
    images/build.sh "${names[@]}" && images/test.sh "${names[@]}"
  ) </dev/null >"$images_log" 2>&1 &
  images=$!
}

images_end() {
  local status=0
  wait "$images" || status=$?
  cat "$images_log"
  return "$status"
}

make deps || left_out+=("make deps, which installs Debian packages")
# Crates and PostgreSQL 18 are fetched while Go compiles. Who needs them says what went wrong.
{ cargo fetch --locked; tests/postgres18.sh; } </dev/null >/dev/null 2>&1 &
fetched=$!
make target/bin/localcluster target/bin/coredns
wait "$fetched" || :
tests/postgres18.sh >/dev/null
tests/versitygw.sh >/dev/null
cargo test --locked --no-run
if needs_root "images/test.sh (containers)"; then
  images_begin
fi
# Tests wait more than they work: while those with pods wait for theirs, the others go on.
cores=$(nproc)
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((cores < 12 ? 12 : cores))}
if needs_root "tests/it/e2e (pods)"; then
  suite "cargo test" cargo_test
else
  suite "cargo test" cargo_test --skip e2e::
fi
# The build's own settings: with others, Go would compile all of Kubernetes a second time.
needs_root "localcluster/internal/e2e: clusters with a node" || :
# `make lint` vets: to vet ours, Go looks into each package of Kubernetes, which takes minutes the first time.
suite "go test" env -C localcluster CGO_ENABLED=0 GOFLAGS='-trimpath -gcflags=all=-dwarf=false -ldflags=-s' go test -vet=off ./...
if [ -n "$root" ]; then
  suite "images, beside the others" images_end
fi

printf '\n'
[ ${#flaky[@]} -eq 0 ] || printf 'FLAKY, failed once and passed by itself: %s\n' "${flaky[@]}"
[ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[@]}"
[ ${#left_out[@]} -eq 0 ] || printf 'left out, needs root: %s\n' "${left_out[@]}"
[ ${#failed[@]} -eq 0 ] && [ ${#left_out[@]} -eq 0 ]
