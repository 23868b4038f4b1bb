// Package cluster brings clusters up, looks after them and takes them down.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/state"
)

// Cluster is one named cluster of this machine, which may or may not run.
type Cluster struct {
	Layout state.Layout
	// Progress receives a line for a person to read, now and then.
	Progress func(line string)
}

// ErrNotFound says that there is no cluster of that name.
var ErrNotFound = errors.New("no such cluster")

// lock keeps other runs away from this cluster.
func (c *Cluster) lock(ctx context.Context) (*state.Lock, error) {
	return state.Acquire(ctx, c.Layout, func() {
		c.progress("waiting for another localcluster that works on %s", c.Layout.Name)
	})
}

func (c *Cluster) progress(format string, arguments ...any) {
	c.Progress(fmt.Sprintf(format, arguments...))
}

// load returns the remembered state, [ErrNotFound] when there is none.
func (c *Cluster) load() (state.State, error) {
	s, err := state.Load(c.Layout)
	if errors.Is(err, fs.ErrNotExist) {
		return state.State{}, fmt.Errorf("%w: %s; fix: localcluster up --name %s", ErrNotFound, c.Layout.Name, c.Layout.Name)
	}
	if errors.Is(err, state.ErrDamaged) {
		return state.State{}, fmt.Errorf("%w; fix: localcluster up --name %s", err, c.Layout.Name)
	}
	return s, err
}

// settings are what is remembered of them, enough to ask components how they
// do.
func (c *Cluster) settings(s state.State) components.Settings {
	if s.Mode == state.Full {
		return components.Full(c.Layout, network.Slot(s.Slot), nil)
	}
	return components.ControlPlaneOnly(c.Layout, s.Ports, nil)
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() (string, error) {
	if _, err := c.load(); err != nil {
		return "", err
	}
	return c.Layout.Kubeconfig(), nil
}
