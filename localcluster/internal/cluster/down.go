package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tenantry.dev/localcluster/internal/cgroups"
	"tenantry.dev/localcluster/internal/mountspace"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// Down removes the cluster and every trace of it. It reads nothing that the
// cluster has written, so it also works when that is damaged or missing, and
// it succeeds when there is nothing to remove.
func (c *Cluster) Down(ctx context.Context) error {
	lock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	if err := c.remove(ctx); err != nil {
		lock.Release()
		return err
	}
	if err := lock.Remove(); err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	return c.removeBase()
}

// remove ends what runs first, so that nothing comes back; only then does
// everything else come apart.
func (c *Cluster) remove(ctx context.Context) error {
	if err := process.EndAll(ctx, c.Layout.Dir); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := c.removeIsolation(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(c.Layout.Dir); err != nil {
		return fmt.Errorf("remove state folder: %w; fix: run as the user who started the cluster", err)
	}
	return nil
}

// removeIsolation undoes isolate. Without root nothing of it can exist.
func (c *Cluster) removeIsolation(ctx context.Context) error {
	if err := cgroups.Of(c.Layout.ID()).Remove(ctx); err != nil {
		return err
	}
	if err := mountspace.Of(c.Layout).Remove(); err != nil {
		return err
	}
	return network.Of(c.Layout.ID()).Remove()
}

// removeBase removes the folder of all clusters with the last one in it.
func (c *Cluster) removeBase() error {
	base, err := state.Base()
	if err != nil {
		return nil // Without a base the cluster lay elsewhere.
	}
	entries, err := os.ReadDir(base)
	if errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", base, err)
	}
	// Somebody may start a cluster at this moment, which is as good a reason
	// as any other to leave the folder.
	_ = os.Remove(base)
	return nil
}
