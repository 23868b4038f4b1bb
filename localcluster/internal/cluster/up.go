package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"tenantry.dev/localcluster/internal/certs"
	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/images"
	"tenantry.dev/localcluster/internal/preflight"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// UpOptions say what cluster is wanted.
type UpOptions struct {
	Mode state.Mode
	// Images are archives to import before workloads start, full mode only.
	Images []string
	// APIServerArgs are further `flag=value` of the API server. They are not
	// remembered: what a run does not give is taken away again.
	APIServerArgs []string
	// Now is the time at which certificates are judged and made.
	Now time.Time

	archives []images.Archive
}

// Up makes the cluster run and be ready, whatever state it is in: absent,
// half started, killed or already running. It returns the kubeconfig's path.
//
// Errors before the lock is taken leave everything as it was.
func (c *Cluster) Up(ctx context.Context, o UpOptions) (string, error) {
	if err := preflight.Check(c.Layout, o.Mode); err != nil {
		return "", err
	}
	var err error
	if o.archives, err = c.openArchives(o); err != nil {
		return "", err
	}
	lock, err := c.lock(ctx)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if err := process.Settle(ctx); err != nil {
		return "", err
	}
	previous, err := c.previous(o)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(c.Layout.Dir, 0o700); err != nil {
		return "", fmt.Errorf("make state folder: %w", err)
	}
	bringUp := c.upFull
	if o.Mode == state.ControlPlaneOnly {
		bringUp = c.upControlPlane
	}
	next, err := bringUp(ctx, o, previous)
	if err != nil {
		return "", err
	}
	if err := c.remember(next); err != nil {
		return "", err
	}
	return c.Layout.Kubeconfig(), nil
}

// previous is what the last run remembered, or nil. A damaged file counts as
// none: then whatever runs is started anew, and etcd's data is kept.
func (c *Cluster) previous(o UpOptions) (*state.State, error) {
	s, err := state.Load(c.Layout)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, state.ErrDamaged):
		c.progress("%v: starting the components anew", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read state: %w", err)
	case s.Mode != o.Mode:
		return nil, fmt.Errorf("cluster %s exists in mode %s; fix: localcluster down --name %s first", s.Name, s.Mode, s.Name)
	}
	return &s, nil
}

// remember writes the state down, with the processes as they are now.
func (c *Cluster) remember(s state.State) error {
	processes, err := process.Find(c.Layout.Dir)
	if err != nil {
		return err
	}
	s.PIDs = make(map[string]int)
	for component, p := range process.Leaders(processes) {
		s.PIDs[component] = p.PID
	}
	if err := state.Save(c.Layout, s); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// newState is what is remembered of a cluster with these settings.
func newState(s components.Settings) state.State {
	return state.State{
		Name:       s.Layout.Name,
		Mode:       s.Mode,
		Ports:      s.Ports,
		Server:     s.Server(),
		Kubeconfig: s.Layout.Kubeconfig(),
		AuditLog:   s.Layout.AuditLog(),
	}
}

// prepare writes the files that components read. When one that runs may have
// read an earlier version, the components are ended, to be started anew.
func (c *Cluster) prepare(ctx context.Context, s components.Settings, now time.Time) error {
	certificates, err := certs.Ensure(c.Layout, s.Identities(), now)
	if err != nil {
		return err
	}
	key, err := certs.EnsureServiceAccountKey(c.Layout, components.ServiceAccountKey)
	if err != nil {
		return err
	}
	changed := certificates || key
	files, err := s.Files()
	if err != nil {
		return err
	}
	for path, content := range files {
		wrote, err := state.UpdateFile(path, content, 0o600)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		changed = changed || wrote
	}
	if !changed {
		return nil
	}
	return process.EndLeaders(ctx, c.Layout.Dir)
}
