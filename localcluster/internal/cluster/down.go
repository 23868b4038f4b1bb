package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// Down removes the cluster and every trace of it. It reads nothing that the
// cluster has written, so it also works when that is damaged or missing, and
// it succeeds when there is nothing to remove.
func (c *Cluster) Down(ctx context.Context) error {
	exists, err := state.Exists(c.Layout)
	if err != nil {
		return fmt.Errorf("look at state folder: %w", err)
	}
	_, err = os.Stat(c.Layout.Lock())
	locked := err == nil
	processes, err := process.Find(c.Layout.Dir)
	if err != nil {
		return err
	}
	if !exists && !locked && len(processes) == 0 {
		return nil
	}
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

func (c *Cluster) remove(ctx context.Context) error {
	if err := process.EndAll(ctx, c.Layout.Dir); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Layout.Dir); err != nil {
		return fmt.Errorf("remove state folder: %w; fix: run as the user who started the cluster", err)
	}
	return nil
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
