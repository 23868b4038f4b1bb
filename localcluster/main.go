// Program localcluster is a real Kubernetes for laptops and tests.
//
// The one executable is every component of a cluster, kubectl, and the
// command that starts and stops clusters. It becomes a component when either
// its own name or its first argument is that of one.
package main

import (
	"os"
	"path/filepath"

	"tenantry.dev/localcluster/internal/cli"
	"tenantry.dev/localcluster/internal/embedded"
)

func main() {
	if name := filepath.Base(os.Args[0]); embedded.Known(name) {
		embedded.Main(name, os.Args)
	}
	if len(os.Args) > 1 && embedded.Known(os.Args[1]) {
		embedded.Main(os.Args[1], os.Args[1:])
	}
	os.Exit(cli.Run(os.Args[1:], os.Stdout, os.Stderr))
}
