package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"tenantry.dev/localcluster/internal/addons"
	"tenantry.dev/localcluster/internal/cgroups"
	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/images"
	"tenantry.dev/localcluster/internal/mountspace"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// required are the images without which no cluster gets ready.
var required = []string{components.PauseImage, components.DNSImage}

// openArchives reads what the archives bring, and refuses early where a new
// cluster would come to lack an image that it needs.
func (c *Cluster) openArchives(o UpOptions) ([]images.Archive, error) {
	if o.Mode == state.ControlPlaneOnly {
		return nil, nil
	}
	paths := o.Images
	archives := make([]images.Archive, 0, len(paths))
	for _, path := range paths {
		archive, err := images.Open(path)
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	if _, err := os.Stat(c.Layout.ContainerdRoot()); err == nil {
		return archives, nil // They may be in the store already.
	}
	for _, reference := range required {
		if !brought(archives, reference) {
			return nil, missingImage(reference)
		}
	}
	return archives, nil
}

func brought(archives []images.Archive, reference string) bool {
	for _, archive := range archives {
		if archive.Brings(reference) {
			return true
		}
	}
	return false
}

func missingImage(reference string) error {
	return fmt.Errorf("image %s is missing; fix: give its archive with --image PATH", reference)
}

// upFull brings a whole cluster up in namespaces of its own.
//
// Flow: network, mount namespace and control group first; then control plane
// and containerd side by side, images into containerd meanwhile; then what
// needs the API server; then what is in the cluster.
func (c *Cluster) upFull(ctx context.Context, o UpOptions, previous *state.State) (state.State, error) {
	self, err := os.Executable()
	if err != nil {
		return state.State{}, fmt.Errorf("find this program: %w", err)
	}
	slot, err := c.isolate(ctx, filepath.Dir(self), previous)
	if err != nil {
		return state.State{}, err
	}
	settings := components.Full(c.Layout, slot, o.APIServerArgs)
	next := newState(settings)
	next.Slot = int(slot)
	if err := state.Save(c.Layout, next); err != nil {
		return state.State{}, fmt.Errorf("write state: %w", err)
	}
	if err := c.prepare(ctx, settings, o.Now); err != nil {
		return state.State{}, err
	}
	launcher, ctx, err := newLauncher(ctx, settings, self, c.enter)
	if err != nil {
		return state.State{}, err
	}
	defer launcher.close()
	c.progress("starting cluster %s at %s", c.Layout.Name, settings.Server())
	return next, c.launchFull(ctx, launcher, o.archives)
}

// enter moves the calling thread to where the cluster's processes live. The
// network goes first: its name is not to be seen from the inside.
func (c *Cluster) enter() error {
	if err := network.Of(c.Layout.ID()).Enter(); err != nil {
		return err
	}
	return mountspace.Of(c.Layout).Enter()
}

// isolate makes the namespaces and the control group, or what is missing of
// them. Processes that live in others by now are of no use and are ended.
func (c *Cluster) isolate(ctx context.Context, programs string, previous *state.State) (network.Slot, error) {
	space, net, group := mountspace.Of(c.Layout), network.Of(c.Layout.ID()), cgroups.Of(c.Layout.ID())
	if !space.Exists() || !net.Exists() {
		if err := errors.Join(process.EndAll(ctx, c.Layout.Dir), group.Remove(ctx)); err != nil {
			return 0, err
		}
	}
	if !net.Exists() {
		// The kernel takes its time to remove the cable of a namespace that is
		// gone; without it the slot is free to be had again.
		if err := net.Remove(); err != nil {
			return 0, err
		}
	}
	var preferred network.Slot
	if previous != nil {
		preferred = network.Slot(previous.Slot)
	}
	slot, err := net.Ensure(preferred, components.ServiceRange)
	if err != nil {
		return 0, err
	}
	if err := space.Ensure(c.Layout.Dir, programs); err != nil {
		return 0, err
	}
	return slot, group.Ensure()
}

func (c *Cluster) launchFull(ctx context.Context, l *launcher, archives []images.Archive) error {
	imported := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	start := func(component string) { group.Go(func() error { return l.run(ctx, component) }) }

	start(components.Etcd)
	start(components.APIServer)
	group.Go(func() error {
		if err := l.run(ctx, components.Containerd); err != nil {
			return err
		}
		return c.importImages(ctx, archives, imported)
	})
	group.Go(func() error {
		if err := l.wait(ctx, components.APIServer, l.prober.Listening); err != nil {
			return err
		}
		start(components.ControllerManager)
		start(components.Scheduler)
		if err := l.await(ctx, components.Containerd); err != nil {
			return err
		}
		start(components.Kubelet)
		start(components.Proxy)
		if err := l.await(ctx, components.APIServer); err != nil {
			return err
		}
		c.progress("the control plane is ready")
		return c.furnish(ctx, l, imported)
	})
	return group.Wait()
}

// furnish makes what is in the cluster from the start, and waits for it. An
// API server that has just got its etcd back fails now and then although it
// is ready, so that objects are applied until it succeeds.
func (c *Cluster) furnish(ctx context.Context, l *launcher, imported <-chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return l.wait(ctx, components.APIServer, func(ctx context.Context) error {
			return addons.ApplyStorage(ctx, l.client, c.Layout, l.settings.NodeName())
		})
	})
	group.Go(func() error {
		if err := l.await(ctx, components.Node); err != nil {
			return err
		}
		c.progress("the node is ready")
		return nil
	})
	group.Go(func() error {
		select {
		case <-imported:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := l.wait(ctx, components.APIServer, func(ctx context.Context) error {
			return addons.ApplyDNS(ctx, l.client)
		})
		if err != nil {
			return err
		}
		return l.await(ctx, components.DNS)
	})
	return group.Wait()
}

// importImages imports the archives, those first that the cluster itself
// needs, and closes imported when it has what it needs.
func (c *Cluster) importImages(ctx context.Context, archives []images.Archive, imported chan<- struct{}) error {
	store := images.Store{Socket: c.Layout.ContainerdSocket()}
	load := func(first bool) error {
		for _, archive := range archives {
			if needed := archive.Brings(components.PauseImage) || archive.Brings(components.DNSImage); needed != first {
				continue
			}
			if err := c.importImage(ctx, store, archive); err != nil {
				return err
			}
		}
		return nil
	}
	if err := load(true); err != nil {
		return err
	}
	present, err := store.List(ctx)
	if err != nil {
		return err
	}
	for _, reference := range required {
		if present[reference] == "" {
			return missingImage(reference)
		}
	}
	close(imported)
	return load(false)
}

func (c *Cluster) importImage(ctx context.Context, store images.Store, archive images.Archive) error {
	imported, err := store.Load(ctx, archive)
	if err != nil {
		return err
	}
	if imported {
		c.progress("imported %s", archive.Path)
	}
	return nil
}

// Load imports an image archive into the cluster, unless it is there already.
func (c *Cluster) Load(ctx context.Context, argument string) error {
	remembered, err := c.load()
	if err != nil {
		return err
	}
	if remembered.Mode != state.Full {
		return fmt.Errorf("cluster %s has no node to load images into; fix: localcluster up without --control-plane-only", c.Layout.Name)
	}
	archive, err := images.Open(argument)
	if err != nil {
		return err
	}
	return c.importImage(ctx, images.Store{Socket: c.Layout.ContainerdSocket()}, archive)
}
