package process

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// EndAll kills every process of the cluster and returns when none is left.
//
// Processes are killed, not asked: whoever calls this either removes the
// cluster or relies on etcd's log, which is made for sudden ends.
func EndAll(ctx context.Context, stateDir string) error {
	return endWhile(ctx, func() ([]Process, error) { return Find(stateDir) }, stateDir)
}

// EndLeaders kills the components and leaves alone what they have started:
// the containers and their shims outlive containerd.
func EndLeaders(ctx context.Context, stateDir string) error {
	return endWhile(ctx, func() ([]Process, error) {
		processes, err := Find(stateDir)
		return slices.DeleteFunc(processes, func(p Process) bool { return !p.Leader }), err
	}, stateDir)
}

// End kills one process and returns when it is gone.
func End(ctx context.Context, p Process, stateDir string) error {
	return endWhile(ctx, func() ([]Process, error) {
		now, ok := read(p.PID, stateDir)
		if !ok || now.StartTime != p.StartTime {
			return nil, nil
		}
		return []Process{now}, nil
	}, stateDir)
}

// endWhile kills what list returns until it returns nothing: a process may
// have had a child between being listed and being killed.
func endWhile(ctx context.Context, list func() ([]Process, error), stateDir string) error {
	for {
		processes, err := list()
		if err != nil {
			return err
		}
		if len(processes) == 0 {
			return nil
		}
		for _, p := range processes {
			if err := kill(p, stateDir); err != nil {
				return fmt.Errorf("end %s (process %d): %w", p.Component, p.PID, err)
			}
		}
		// All are told first, and waited for then.
		for _, p := range processes {
			if err := AwaitExit(ctx, p); err != nil {
				return fmt.Errorf("%s (process %d) does not end: %w", p.Component, p.PID, err)
			}
		}
	}
}

// kill sends SIGKILL to exactly this process. The descriptor pins the process
// that has the id now; only then is it compared with the one that was found,
// so an id that was reused in between is never signalled.
func kill(p Process, stateDir string) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	now, ok := read(p.PID, stateDir)
	if !ok || now.StartTime != p.StartTime {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
