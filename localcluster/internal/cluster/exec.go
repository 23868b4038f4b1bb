package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/state"
)

// ErrCannotExecute and ErrCommandNotFound are how Exec fails for reasons that
// shells have exit codes of their own for.
var (
	ErrCannotExecute   = errors.New("cannot execute")
	ErrCommandNotFound = errors.New("command not found")
)

// Exec becomes the command, in the cluster's network if that has one of its
// own, and with KUBECONFIG set. It returns only when that fails.
//
// This process is replaced, not joined by a child: so the command's exit
// status, its signals and its terminal are simply its own.
func (c *Cluster) Exec(command []string) error {
	remembered, err := c.load()
	if err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrCommandNotFound, command[0])
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannotExecute, err)
	}
	if remembered.Mode == state.Full {
		if os.Geteuid() != 0 {
			return fmt.Errorf("entering the network of cluster %s needs root; fix: run as root", c.Layout.Name)
		}
		// The thread that executes is the one that lives on.
		runtime.LockOSThread()
		if err := network.Of(c.Layout.ID()).Enter(); err != nil {
			return fmt.Errorf("%w; fix: localcluster up --name %s", err, c.Layout.Name)
		}
	}
	const variable = "KUBECONFIG="
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, variable) })
	environment = append(environment, variable+c.Layout.Kubeconfig())
	return fmt.Errorf("%w: %s: %w", ErrCannotExecute, path, unix.Exec(path, command, environment))
}
