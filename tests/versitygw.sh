#!/usr/bin/env bash
# Prints the path of an S3-compatible server, versitygw, and builds it there first if it is missing.
#
# Debian has none. It is built from its Go module, pinned with all that it needs by tests/s3/go.sum, into the cache of who
# runs this, as PostgreSQL 18 is installed: see tests/postgres18.sh.
set -euo pipefail
cd "$(dirname "$0")/s3"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry
# Another version, or another one of anything in it, is another file.
program=$cache/versitygw-$(cat go.mod go.sum | sha256sum | cut -c1-16)

build() {
  mkdir -p "$cache"
  scratch=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -gcflags=all=-dwarf=false -buildvcs=false -ldflags '-s -w' -o "$scratch/versitygw" \
    github.com/versity/versitygw/cmd/versitygw
  # Complete or absent.
  mv "$scratch/versitygw" "$program"
}

[ -x "$program" ] || build >&2
echo "$program"
