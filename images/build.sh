#!/usr/bin/env bash
# Builds our container images as OCI archives: images/build.sh [--fresh] NAME…
#
# NAME is pause, coredns, tenantry, archive or postgres; the result is target/images/NAME.tar. No registry, no container engine.
# What comes from Debian packages is cached by content; --fresh forgets that, for example after a security update.
# Environment: COREDNS_BINARY and TENANTRY_BINARY (default target/bin/coredns, target/release/tenantry), TENANTRY_IMAGES
# (folder of the results, default target/images), TENANTRY_DEBIAN_MIRROR (default: mmdebstrap's own), XDG_CACHE_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."

# Where things are.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry/images
output=${TENANTRY_IMAGES:-target/images}
suite=bookworm
mirror=${TENANTRY_DEBIAN_MIRROR:-}
arch=$(dpkg --print-architecture)
coredns=${COREDNS_BINARY:-target/bin/coredns}
tenantry=${TENANTRY_BINARY:-target/release/tenantry}

# shellcheck source-path=SCRIPTDIR
. images/lib.sh

usage() { die "usage: images/build.sh [--fresh] pause|coredns|tenantry|archive|postgres …"; }

build_pause() {
  local archive
  archive=$(cache_path pause images/lib.sh images/build.sh images/pause/pause.c).tar
  if [ ! -e "$archive" ]; then
    command -v gcc >/dev/null || die "gcc is missing: make deps"
    mkdir "$scratch/pause"
    gcc -Os -Wall -Wextra -Werror -static -s -o "$scratch/pause/pause" images/pause/pause.c
    layer "$scratch/pause" "$scratch/pause.layer"
    oci_archive "$archive" localhost/tenantry/pause:1 '{"User":"65535:65535","Entrypoint":["/pause"]}' "$scratch/pause.layer"
  fi
  publish pause "$archive"
}

build_coredns() {
  [ -x "$coredns" ] || die "$coredns is missing: make $coredns"
  mkdir "$scratch/coredns"
  cp "$coredns" "$scratch/coredns/coredns"
  layer "$scratch/coredns" "$scratch/coredns.layer"
  oci_archive "$output/coredns.tar" localhost/tenantry/coredns:1 \
    '{"User":"65532:65532","Entrypoint":["/coredns"],"Cmd":["-conf","/etc/coredns/Corefile"]}' "$scratch/coredns.layer"
}

build_tenantry() { our_image tenantry localhost/tenantry/tenantry:dev /usr/local/bin; }

# With the two programs of the PostgreSQL client that archives are made with, and the libraries that they need.
build_archive() {
  local client=usr/lib/postgresql/15/bin
  our_image archive localhost/tenantry/archive:15 "/usr/local/bin:/$client" postgresql-client-15 "$client/pg_dump" "$client/pg_restore"
}

# our_image NAME IMAGE PATH [PACKAGE PROGRAM…] is our binary on a root with the C library, the usual certificate authorities
# and these programs of a package. No shell.
our_image() {
  local name=$1 image=$2 path=$3 base root dir libraries
  shift 3
  [ -x "$tenantry" ] || die "$tenantry is missing: cargo build --release"
  base=$(cache_path "$name-base" images/lib.sh images/build.sh).layer
  if [ ! -e "$base" ]; then
    say "unpacking the root of $name (once)"
    dir=$scratch/$name.debian root=$scratch/$name-base
    debian_extract "$dir" libc6 libgcc-s1 ca-certificates ${1:+"$1"}
    base_layout "$root" tenantry 65532
    libraries=$(cd "$dir" && echo usr/lib/*-linux-gnu/lib{gcc_s.so.1,m.so.6})
    # shellcheck disable=SC2086  # two paths
    take_elf "$dir" "$root" $libraries "${@:2}"
    mkdir -p "$root/etc/ssl/certs"
    cat "$dir"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
    copyright_of "$dir" "$root"
    layer "$root" "$base.new" && mv "$base.new" "$base"
  fi
  touch "$base"
  root=$scratch/$name
  mkdir -p "$root/usr/local/bin"
  cp "$tenantry" "$root/usr/local/bin/tenantry"
  chmod 0755 "$root/usr/local/bin/tenantry"
  runs_on_base "$base" "$root/usr/local/bin/tenantry"
  layer "$root" "$scratch/$name.layer"
  oci_archive "$output/$name.tar" "$image" \
    "{\"User\":\"65532:65532\",\"Env\":[\"PATH=$path\"],\"Entrypoint\":[\"/usr/local/bin/tenantry\"]}" "$base" "$scratch/$name.layer"
}

build_postgres() {
  local archive
  archive=$(cache_path postgres images/lib.sh images/build.sh images/postgres/*).tar
  if [ ! -e "$archive" ]; then
    say "unpacking PostgreSQL (once, about a minute)"
    postgres_root "$scratch/postgres"
    layer "$scratch/postgres" "$scratch/postgres.layer"
    oci_archive "$archive" localhost/tenantry/postgres:15 \
      '{"User":"26:26","Env":["PATH=/usr/lib/postgresql/15/bin:/usr/bin","LANG=C.UTF-8","PGDATA=/var/lib/postgresql/data/pgdata","PGHOST=/run/postgresql"],"ExposedPorts":{"5432/tcp":{}},"Entrypoint":["/usr/local/bin/entrypoint"]}' \
      "$scratch/postgres.layer"
  fi
  publish postgres "$archive"
}

# Left out on purpose: LLVM (110 MB; jit is off), Perl and Python bridges, development files, translations, manuals.
postgres_root() {
  local root=$1 dir=$scratch/postgres.debian tools=() tool pg=usr/lib/postgresql/15
  debian_extract "$dir" postgresql-15 postgresql-client-15 dash coreutils util-linux grep procps libc-bin tzdata
  base_layout "$root" postgres 26
  rm -rf "$dir/$pg/lib/bitcode" "$dir/$pg/lib/pgxs" "$dir/$pg"/lib/llvmjit* "$dir/$pg"/lib/*_pl{perl,python}* \
    "$dir"/usr/share/postgresql/15/{man,contrib} "$dir"/usr/share/postgresql/15/extension/*_pl{perl,python}* \
    "$dir"/usr/share/zoneinfo/{right,posix}
  for tool in cat chmod cp df du env flock grep head id locale ls mkdir mv ps rm sha256sum sleep sync tail; do
    if [ -x "$dir/usr/bin/$tool" ]; then tools+=("usr/bin/$tool"); else die "Debian has no /usr/bin/$tool any more"; fi
  done
  (cd "$dir" && printf '%s\n' usr/bin/dash "${tools[@]}" "$pg"/bin/* "$pg"/lib/*.so) >"$scratch/postgres.elf"
  # shellcheck disable=SC2046  # no path has spaces
  take_elf "$dir" "$root" $(cat "$scratch/postgres.elf")
  take "$dir" "$root" usr/share/postgresql/15 usr/share/zoneinfo usr/lib/locale/C.utf8
  ln -s dash "$root/usr/bin/sh"
  mkdir -p "$root"/{run/postgresql,etc/tenantry/admin,etc/tenantry/tls,var/lib/postgresql/data}
  install -D -m 0644 -t "$root/etc/tenantry/postgresql" images/postgres/*.conf
  install -D -m 0755 images/postgres/entrypoint.sh "$root/usr/local/bin/entrypoint"
  copyright_of "$dir" "$root"
}

# runs_on_base LAYER BINARY stops a binary that was linked against a newer C library than the image has.
runs_on_base() {
  local dir=$scratch/check loader
  rm -rf "$dir"
  mkdir "$dir"
  tar --extract --file "$1" --directory "$dir" ./lib ./lib64 ./usr/lib ./usr/lib64
  cp "$2" "$dir/binary"
  loader=$(cd "$dir" && ls usr/lib*/ld-linux-*.so.*)
  chroot "$dir" "/$loader" --list /binary >"$scratch/check.log" 2>&1 ||
    die "$2 does not run on Debian $suite: build it there ($(head -n 1 "$scratch/check.log"))"
}

publish() {
  touch "$2"
  cp --reflink=auto "$2" "$output/$1.tar.new" && mv "$output/$1.tar.new" "$output/$1.tar"
}

fresh=
[ "${1:-}" != --fresh ] || { fresh=1; shift; }
[ $# -gt 0 ] || usage
for name; do
  case $name in pause | coredns | tenantry | archive | postgres) ;; *) usage ;; esac
done

mkdir -p "$cache" "$output"
# One builder at a time: two would unpack the same packages side by side.
exec 8>"$cache/.lock"
flock 8
[ -z "$fresh" ] || find "$cache" -maxdepth 1 -type f ! -name .lock -delete
# Last used a month ago: made by scripts that have changed since.
find "$cache" -maxdepth 1 -type f ! -name .lock -mtime +30 -delete
scratch=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for name; do
  "build_$name"
  say "$output/$name.tar $(stat -c %s "$output/$name.tar" | numfmt --to=si)B"
done
