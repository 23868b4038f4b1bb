package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Mode says how much of a cluster runs.
type Mode string

const (
	// Full is a whole cluster with a node, in a network namespace of its own.
	Full Mode = "full"
	// ControlPlaneOnly is etcd, API server and controller manager on loopback.
	ControlPlaneOnly Mode = "control-plane-only"
)

// Ports of a control plane on loopback. A full cluster has an address of its
// own and uses the customary ports.
type Ports struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager"`
}

// State is what a cluster remembers between runs. Nothing that can be found
// out from the system is read from here: process ids are written for people
// and tests, and never trusted.
type State struct {
	Name string `json:"name"`
	Mode Mode   `json:"mode"`
	// Slot numbers the full clusters of a machine; addresses follow from it.
	Slot int `json:"slot"`
	// Ports are set in control-plane-only mode.
	Ports Ports `json:"ports"`
	// Server is the API server's URL.
	Server string `json:"server"`
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string `json:"kubeconfig"`
	// AuditLog is the path of the API server's audit log.
	AuditLog string `json:"auditLog"`
	// PIDs of the components as they were at the end of the last `up`.
	PIDs map[string]int `json:"pids"`
}

// ErrDamaged marks a state file that exists and cannot be used.
var ErrDamaged = errors.New("state file is damaged")

// Load reads the state file. A missing file is [fs.ErrNotExist], an unusable
// one [ErrDamaged].
func Load(l Layout) (State, error) {
	data, err := os.ReadFile(l.StateFile())
	if err != nil {
		return State{}, err
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("%w: %s: %v", ErrDamaged, l.StateFile(), err)
	}
	if s.Name != l.Name || (s.Mode != Full && s.Mode != ControlPlaneOnly) {
		return State{}, fmt.Errorf("%w: %s is not about cluster %q", ErrDamaged, l.StateFile(), l.Name)
	}
	return s, nil
}

// Save replaces the state file.
func Save(l Layout, s State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	return WriteFile(l.StateFile(), append(data, '\n'), 0o600)
}

// Exists reports whether anything of the cluster lies in its state folder.
func Exists(l Layout) (bool, error) {
	_, err := os.Stat(l.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
