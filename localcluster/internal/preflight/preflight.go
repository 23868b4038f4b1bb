// Package preflight finds out what is missing on this machine before
// anything on it is changed.
package preflight

import (
	"fmt"

	"tenantry.dev/localcluster/internal/state"
)

// socketPathLimit is the kernel's limit to the path of a socket, and
// longestSocket the longest one that components make below the state folder.
const socketPathLimit = 107

var longestSocket = map[state.Mode]string{
	state.ControlPlaneOnly: "/etcd.sock",
	state.Full:             "/kubelet/pod-resources/kubelet.sock",
}

// Check returns the first thing that is missing, with the way to mend it.
func Check(l state.Layout, mode state.Mode) error {
	if limit := socketPathLimit - len(longestSocket[mode]); len(l.Dir) > limit {
		return fmt.Errorf("state folder %s has a path of more than %d characters, too long for the sockets in it; fix: give a shorter --state-dir", l.Dir, limit)
	}
	return nil
}
