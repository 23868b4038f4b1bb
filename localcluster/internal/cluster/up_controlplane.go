package cluster

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// upControlPlane brings etcd, API server and controller manager up on
// loopback.
func (c *Cluster) upControlPlane(ctx context.Context, o UpOptions, previous *state.State) (state.State, error) {
	var claims network.Claims
	defer claims.Release()
	ports, err := c.choosePorts(ctx, &claims, previous)
	if err != nil {
		return state.State{}, err
	}
	settings := components.ControlPlaneOnly(c.Layout, ports, o.APIServerArgs)
	next := newState(settings)
	// Written before anything starts, so that an interrupted start is found
	// and continued with the same ports.
	if err := state.Save(c.Layout, next); err != nil {
		return state.State{}, fmt.Errorf("write state: %w", err)
	}
	if err := c.prepare(ctx, settings, o.Now); err != nil {
		return state.State{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return state.State{}, fmt.Errorf("find this program: %w", err)
	}
	launcher, ctx, err := newLauncher(ctx, settings, self, nil)
	if err != nil {
		return state.State{}, err
	}
	defer launcher.close()
	c.progress("starting the control plane of %s at %s", c.Layout.Name, settings.Server())
	return next, launchControlPlane(ctx, launcher)
}

// launchControlPlane starts the controller manager as soon as it can reach
// the API server, for it gives up on one that is not there for ten seconds.
func launchControlPlane(ctx context.Context, l *launcher) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.run(ctx, components.Etcd) })
	group.Go(func() error { return l.run(ctx, components.APIServer) })
	group.Go(func() error {
		if err := l.wait(ctx, components.APIServer, l.prober.Listening); err != nil {
			return err
		}
		return l.run(ctx, components.ControllerManager)
	})
	return group.Wait()
}

// choosePorts keeps the remembered ports where possible, because clients may
// hold them. When a stranger has taken one, or nothing is remembered, new ones
// are picked and what runs is ended, for it would be found at the old ones.
func (c *Cluster) choosePorts(ctx context.Context, claims *network.Claims, previous *state.State) (state.Ports, error) {
	processes, err := process.Find(c.Layout.Dir)
	if err != nil {
		return state.Ports{}, err
	}
	leaders := process.Leaders(processes)
	keep := func(component string, port int) bool {
		_, runs := leaders[component]
		return runs || claims.Claim(port)
	}
	if previous != nil &&
		keep(components.APIServer, previous.Ports.APIServer) &&
		keep(components.ControllerManager, previous.Ports.ControllerManager) {
		return previous.Ports, nil
	}
	if err := process.EndLeaders(ctx, c.Layout.Dir); err != nil {
		return state.Ports{}, err
	}
	var ports state.Ports
	if ports.APIServer, err = claims.Pick(); err != nil {
		return state.Ports{}, err
	}
	if ports.ControllerManager, err = claims.Pick(); err != nil {
		return state.Ports{}, err
	}
	return ports, nil
}
