#!/bin/sh
# Builds localcluster, kubectl (the same file by another name) and coredns.
# usage: build.sh OUTPUT_FOLDER [localcluster|coredns]...
# Go's cache makes a second run quick. GOFLAGS is honoured, for instance -p=2.
# What -s -w leaves out of the program is not even made for each package, which is an eighth of the compiler's time.
set -eu

if [ $# -lt 1 ]; then
	echo "usage: build.sh OUTPUT_FOLDER [localcluster|coredns]..." >&2
	exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- localcluster coredns
cd "$(dirname "$0")"

version=$(sed -n 's|^\tk8s.io/kubernetes v\([0-9.]*\)$|\1|p' go.mod)
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
package=k8s.io/component-base/version
export CGO_ENABLED=0

# Each program is linked under another name and then renamed over the old
# one, so that a cluster that runs it keeps running.
for program in "$@"; do
	case $program in
	localcluster)
		go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w -X $package.gitVersion=v$version -X $package.gitMajor=$major -X $package.gitMinor=$minor" \
			-o "$out/localcluster.new" .
		mv -f "$out/localcluster.new" "$out/localcluster"
		ln -f "$out/localcluster" "$out/kubectl"
		;;
	coredns)
		(cd coredns && go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w" -o "$out/coredns.new" .)
		mv -f "$out/coredns.new" "$out/coredns"
		;;
	*)
		echo "build.sh: unknown program $program" >&2
		exit 2
		;;
	esac
done
