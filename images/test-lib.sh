# shellcheck shell=bash
# What test.sh is made of: checks, containers under runc, volumes as kubelet makes them, a PostgreSQL client.
# Sourced, never run.

work=$(mktemp -d /tmp/tenantry-images.XXXXXX)
number=0
failed=0
# Container → the runc process that runs it.
declare -A process=()
password='correct horse'

finish() {
  local name
  for name in "${!process[@]}"; do
    runc --root "$work/runc" delete --force "$name" 2>/dev/null || :
    wait "${process[$name]}" 2>/dev/null || :
  done
  rm -rf "$work"
}
trap finish EXIT

# check NAME COMMAND… is one test: it holds when COMMAND succeeds.
check() {
  local name=$1
  shift
  number=$((number + 1))
  if "$@" >"$work/output" 2>&1; then
    echo "ok $number - $name"
  else
    failed=$((failed + 1))
    echo "not ok $number - $name"
    sed 's/^/# /' "$work/output"
    tail -n 10 "$work"/*.log | sed 's/^/# /'
  fi
}

not() { ! "$@"; }

# within SECONDS COMMAND… asks again until COMMAND succeeds.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.02
  done
}

# refused MESSAGE COMMAND… holds when COMMAND fails and says MESSAGE.
refused() {
  local message=$1 output
  shift
  output=$("$@" 2>&1) && return 1
  printf '%s\n' "$output"
  [[ $output == *"$message"* ]]
}

# unpack NAME lays the image of the archive NAME.tar out as a root in $work/NAME.
unpack() {
  local archive=${TENANTRY_IMAGES:-target/images}/$1.tar image=$work/$1.image manifest digest
  [ -e "$archive" ] || { echo "$archive is missing: images/build.sh $1" >&2; exit 1; }
  mkdir "$image" "$work/$1"
  tar -xf "$archive" -C "$image"
  manifest=$(digests <"$image/index.json")
  for digest in $(sed 's/.*"layers"//' "$image/blobs/sha256/$manifest" | digests); do
    tar -xf "$image/blobs/sha256/$digest" -C "$work/$1"
  done
  rm -rf "$image"
}
digests() { grep -o 'sha256:[0-9a-f]*' | cut -d : -f 2; }

# ---- Containers. Their logs are $work/NAME.log.

# start NAME ROOT UID ARGS [ENV [MOUNTS]] runs a container in the background; the last three are insides of JSON lists.
start() {
  local name=$1 bundle=$work/$1.bundle
  mkdir -p "$bundle"
  cat >"$bundle/config.json" <<JSON
{
  "ociVersion": "1.0.2",
  "process": {
    "user": {"uid": $3, "gid": $3, "additionalGids": [$3]}, "args": [$4], "env": [${5:-}], "cwd": "/", "noNewPrivileges": true,
    "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []}
  },
  "root": {"path": "$2", "readonly": true},
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]}
    ${6:-}
  ],
  "linux": {
    "cgroupsPath": "/tenantry-images-$$-$name",
    "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
  }
}
JSON
  runc --root "$work/runc" delete --force "$name" 2>/dev/null || :
  runc --root "$work/runc" run --bundle "$bundle" "$name" >"$work/$name.log" 2>&1 </dev/null &
  process[$name]=$!
}
mount_of() { printf ',{"destination": "%s", "type": "bind", "source": "%s", "options": ["bind", "%s"]}' "$1" "$2" "$3"; }
is_running() { runc --root "$work/runc" state "$1" | grep -q '"status": "running"'; }
inside() { local name=$1; shift; runc --root "$work/runc" exec "$name" "$@"; }
stop() { runc --root "$work/runc" kill "$1" TERM && wait "${process[$1]}"; }
crash() { runc --root "$work/runc" kill "$1" KILL && not wait "${process[$1]}"; }
logged() { grep -q -- "$2" "$work/$1.log"; }

# fails_saying MESSAGE COMMAND… starts container pg with COMMAND; it ends by itself, unsuccessfully, with that one line.
fails_saying() {
  local message=$1
  shift
  "$@"
  not wait "${process[pg]}" && logged pg "$message" && [ "$(wc -l <"$work/pg.log")" -eq 1 ]
}

# ---- Volumes, as kubelet hands them to a pod with fsGroup 26.

new_volume() { rm -rf "$work/data"; volume "$work/data"; }
volume() { mkdir -p "$1"; chown 0:26 "$1"; chmod 2775 "$1"; }

# secret DIR FILE… makes or changes a Secret volume: a new directory, then one rename of a link.
secret() {
  local dir=$1 version file
  shift
  mkdir -p "$dir"
  version=$(mktemp -d "$dir/..version.XXXXXX")
  cp "$@" "$version"
  chown -R 0:26 "$version"
  chmod 0750 "$version"
  chmod 0440 "$version"/*
  ln -s "${version##*/}" "$dir/..data.new"
  mv -T "$dir/..data.new" "$dir/..data"
  for file; do ln -sfn "..data/${file##*/}" "$dir/${file##*/}"; done
}

# ---- PostgreSQL

# start_postgres NAME [ADMIN [TLS]] starts a server on $work/data with emptyDirs of its own.
start_postgres() {
  local name=$1 mounts
  rm -rf "$work/$name.run" "$work/$name.tmp"
  volume "$work/$name.run"
  volume "$work/$name.tmp"
  mounts=$(mount_of /var/lib/postgresql/data "$work/data" rw; mount_of /run/postgresql "$work/$name.run" rw
    mount_of /tmp "$work/$name.tmp" rw; mount_of /etc/tenantry/admin "${2:-$work/admin}" ro
    mount_of /etc/tenantry/tls "${3:-$work/tls}" ro)
  start "$name" "$work/postgres" 26 '"/usr/local/bin/entrypoint"' \
    '"PATH=/usr/lib/postgresql/15/bin:/usr/bin", "LANG=C.UTF-8", "PGDATA=/var/lib/postgresql/data/pgdata", "PGHOST=/run/postgresql", "POSTGRES_MAX_CONNECTIONS=50"' \
    "$mounts"
}
ready() { inside "$1" pg_isready -q -h /run/postgresql; }

# client [OPTION…] is psql over the network, as the operator comes. Options are those of a connection string.
client() {
  PGPASSWORD=${client_password-$password} psql -X -A -t -q -v ON_ERROR_STOP=1 \
    "host=localhost port=5432 user=postgres dbname=postgres sslmode=verify-full sslrootcert=$work/ca.crt connect_timeout=10 $*"
}
sql() { local query=$1; shift; client "$@" <<<"$query"; }
wrong_password() { client_password=wrong sql "SELECT 1"; }

# gives ANSWER QUERY
gives() {
  local answer
  answer=$(sql "$2")
  [ "$answer" = "$1" ] || { echo "'$answer' instead of '$1'"; return 1; }
}

# answers QUERY ANSWER asks the session that the coprocess `session` holds.
answers() {
  local answer
  # shellcheck disable=SC2154  # the coprocess makes it
  echo "$1;" >&"${session[1]}"
  read -r -t 10 answer <&"${session[0]}"
  [ "$answer" = "$2" ]
}

certificate_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
    -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
}

# certificate DIR writes a new pair for localhost.
certificate() {
  mkdir "$1"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$1/tls.key" -out "$work/request" 2>/dev/null
  openssl x509 -req -in "$work/request" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo subjectAltName=DNS:localhost) -out "$1/tls.crt" 2>/dev/null
}

# serves DIR holds when the server shows the certificate of DIR to new connections.
serves() {
  [ "$(openssl s_client -starttls postgres -connect localhost:5432 </dev/null 2>/dev/null | openssl x509 -noout -serial)" = \
    "$(openssl x509 -noout -serial -in "$1/tls.crt")" ]
}
