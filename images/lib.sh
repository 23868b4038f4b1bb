# shellcheck shell=bash
# What build.sh is made of: the cache, files chosen from Debian packages, and the OCI archive format.
# Sourced, never run. Callers have set -euo pipefail and the variables of "build.sh: where things are".
# shellcheck disable=SC2154  # suite, mirror, arch, cache and scratch are theirs

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# cache_path NAME INPUT… → the path in the cache for what NAME makes of these files and of $suite, $mirror and $arch.
cache_path() {
  local name=$1 key
  shift
  key=$({ printf '%s\n' "$suite" "${mirror:-}" "$arch"; cat -- "$@"; } | sha256sum)
  printf '%s/%s-%s' "$cache" "$name" "${key:0:16}"
}

# debian_extract DIR PACKAGE… unpacks the packages and all they depend on, and configures nothing: we only pick files from it.
debian_extract() {
  local dir=$1 include
  shift
  include=$(IFS=,; printf '%s' "$*")
  [ "$(id -u)" -eq 0 ] || die "unpacking Debian packages needs root: run as root, or with sudo"
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: make deps"
  # One real path for every file: packages that still say /lib write through the link into /usr/lib.
  # The archives stay until copyright_of has read them.
  # shellcheck disable=SC2016  # $1 is for the hook's shell
  mmdebstrap --quiet --mode=root --variant=extract --include="$include" --skip=cleanup/apt \
    --setup-hook='for d in bin lib lib64 sbin; do mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"; done' \
    "$suite" "$dir" ${mirror:+"$mirror"} </dev/null >&2
}

# take FROM TO PATH… copies paths below FROM to the same place below TO, with symbolic links resolved.
take() {
  local from=$1 to=$2
  shift 2
  (cd "$from" && cp -RL --preserve=mode --parents -t "$to" -- "$@")
}

# take_elf FROM TO PATH… is take, and takes the shared libraries that the files need too.
take_elf() {
  local from=$1 to=$2 loader file libraries
  shift 2
  take "$from" "$to" "$@"
  loader=$(cd "$from" && ls usr/lib*/ld-linux-*.so.*)
  libraries=$(for file; do
    chroot "$from" "/$loader" --list "/$file" || die "cannot resolve the libraries of $file"
  done | awk '$2 == "=>" { sub("^/(usr/)?", "usr/", $3); print $3 }')
  # shellcheck disable=SC2046  # library paths have no spaces
  take "$from" "$to" $(printf '%s\n' "$loader" "$libraries" | sort -u)
}

# base_layout DIR USER ID makes what every root has: the merged /usr, mount points, one user.
base_layout() {
  local dir=$1 user=$2 id=$3 link
  mkdir -p "$dir"/{dev,etc,proc,run,sys,tmp,usr/bin,usr/lib,usr/lib64,usr/sbin,var}
  chmod 1777 "$dir/tmp"
  for link in bin lib lib64 sbin; do ln -s "usr/$link" "$dir/$link"; done
  printf 'root:x:0:0:root:/:/sbin/nologin\n%s:x:%s:%s::/tmp:/sbin/nologin\n' "$user" "$id" "$id" >"$dir/etc/passwd"
  printf 'root:x:0:\n%s:x:%s:\n' "$user" "$id" >"$dir/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$dir/etc/nsswitch.conf"
}

# copyright_of FROM TO records the packages that TO has files of: their licences, and their control data where
# vulnerability scanners look for it. Reads and removes the archives that debian_extract left.
copyright_of() {
  local from=$1 to=$2 deb package path paths
  mkdir -p "$to/var/lib/dpkg/status.d"
  for deb in "$from"/var/cache/apt/archives/*.deb; do
    package=$(dpkg-deb -f "$deb" Package)
    paths=$(dpkg-deb --fsys-tarfile "$deb" | tar -t | grep -v -e '/$' -e '^./usr/share/doc/') || continue
    while read -r path; do
      path=${path#./}
      case $path in bin/* | lib/* | lib64/* | sbin/*) path=usr/$path ;; esac
      [ -f "$to/$path" ] || continue
      dpkg-deb -f "$deb" >"$to/var/lib/dpkg/status.d/$package"
      [ ! -e "$from/usr/share/doc/$package/copyright" ] || take "$from" "$to" "usr/share/doc/$package/copyright"
      break
    done <<<"$paths"
  done
  rm -f "$from"/var/cache/apt/archives/*.deb
}

# layer DIR FILE writes DIR as an image layer: the same content gives the same bytes. Not compressed: nothing is sent
# over a network, and unpacking gzip was most of the time that an import took.
layer() {
  tar --create --file "$2" --directory "$1" --format=posix --sort=name --numeric-owner --owner=0 --group=0 \
    --mtime=@0 --pax-option=delete=atime,delete=ctime .
}

# oci_archive FILE IMAGE CONFIG LAYER… writes an OCI archive; CONFIG is the JSON of the image's run configuration.
# https://github.com/opencontainers/image-spec/blob/v1.0.2/image-layout.md
oci_archive() {
  local file=$1 image=$2 config=$3 stage diff_ids='' layers='' digest size path
  shift 3
  stage=$(mktemp -d "$scratch/oci.XXXXXX")
  mkdir -p "$stage/blobs/sha256"
  for path; do
    put_blob "$stage" "$path"
    diff_ids+=${diff_ids:+,}"\"sha256:$digest\""
    layers+=${layers:+,}$(descriptor application/vnd.oci.image.layer.v1.tar)
  done
  printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
    "$arch" "$config" "$diff_ids" >"$stage/config"
  put_blob "$stage" "$stage/config"
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$(descriptor application/vnd.oci.image.config.v1+json)" "$layers" >"$stage/manifest"
  put_blob "$stage" "$stage/manifest"
  rm "$stage/config" "$stage/manifest"
  # Both annotations: containerd takes the first, other tools the second.
  printf '{"schemaVersion":2,"manifests":[%s]}' "$(descriptor application/vnd.oci.image.manifest.v1+json \
    ",\"annotations\":{\"io.containerd.image.name\":\"$image\",\"org.opencontainers.image.ref.name\":\"$image\"}")" >"$stage/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$stage/oci-layout"
  layer "$stage" "$file.new"
  mv "$file.new" "$file"
  rm -rf "$stage"
}

# put_blob STAGE FILE adds a blob; sets digest and size for the descriptor that comes next.
put_blob() {
  digest=$(sha256sum "$2") && digest=${digest%% *}
  size=$(stat -c %s "$2")
  ln "$2" "$1/blobs/sha256/$digest" 2>/dev/null || cp "$2" "$1/blobs/sha256/$digest"
}

# descriptor MEDIA-TYPE [EXTRA] → the JSON descriptor of the blob that put_blob added last.
descriptor() { printf '{"mediaType":"%s","digest":"sha256:%s","size":%s%s}' "$1" "$digest" "$size" "${2:-}"; }
