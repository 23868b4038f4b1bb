// Package cgroups looks after the control groups that hold a cluster's pods.
package cgroups

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// parent holds the groups of all clusters.
const parent = "tenantry-local"

const poll = 20 * time.Millisecond

// hierarchy is one mounted tree of control groups. Version 1 has one for each
// controller or few, version 2 one for all.
type hierarchy struct {
	mount   string
	unified bool
	// controllers are those of a version 1 tree.
	controllers []string
}

// Group is the control group of one cluster, in every tree.
type Group struct{ cluster string }

// Of is the group of the named cluster, whether it exists or not.
func Of(cluster string) Group { return Group{cluster: cluster} }

// Path is the group below the root of each tree, as the kubelet wants it.
func (g Group) Path() string { return "/" + parent + "/" + g.cluster }

// Ensure makes the group in every tree, ready for the kubelet to make groups
// for pods in it.
func (g Group) Ensure() error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for _, tree := range trees {
		if err := g.ensureIn(tree); err != nil {
			return err
		}
	}
	return nil
}

// ensureIn makes the group in one tree. The group of all clusters goes with
// the last one in it, so another cluster's end may take it away in between.
func (g Group) ensureIn(tree hierarchy) error {
	const attempts = 100
	var err error
	for range attempts {
		err = g.tryIn(tree)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return err
}

func (g Group) tryIn(tree hierarchy) error {
	folder := tree.mount
	for _, element := range []string{parent, g.cluster} {
		if err := tree.delegate(folder); err != nil {
			return fmt.Errorf("let %s be divided: %w", folder, err)
		}
		folder = filepath.Join(folder, element)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make control group: %w", err)
		}
		if err := tree.inherit(folder); err != nil {
			return fmt.Errorf("prepare control group %s: %w", folder, err)
		}
	}
	if err := tree.delegate(folder); err != nil {
		return fmt.Errorf("let %s be divided: %w", folder, err)
	}
	return nil
}

// delegate gives the children of a version 2 group all controllers it has.
func (h hierarchy) delegate(folder string) error {
	if !h.unified {
		return nil
	}
	controllers, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0); err != nil {
			return err
		}
	}
	return nil
}

// inherit fills in the two settings without which a version 1 cpuset takes
// no process.
func (h hierarchy) inherit(folder string) error {
	if h.unified || !slices.Contains(h.controllers, "cpuset") {
		return nil
	}
	for _, setting := range []string{"cpuset.cpus", "cpuset.mems"} {
		current, err := os.ReadFile(filepath.Join(folder, setting))
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(current)) > 0 {
			continue
		}
		inherited, err := os.ReadFile(filepath.Join(filepath.Dir(folder), setting))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, setting), inherited, 0); err != nil {
			return err
		}
	}
	return nil
}

// Remove kills every process in the group and removes it. All that is in it
// was put there by the cluster's kubelet.
func (g Group) Remove(ctx context.Context) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for {
		var problems []error
		for _, tree := range trees {
			folder := filepath.Join(tree.mount, g.Path())
			problems = append(problems, g.kill(folder), removeTree(folder))
			_ = os.Remove(filepath.Dir(folder)) // Stays while other clusters have groups in it.
		}
		problem := errors.Join(problems...)
		if problem == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove control group %s: %w (%w)", g.Path(), ctx.Err(), problem)
		case <-time.After(poll):
		}
	}
}

// kill ends what is in the group now. A process may have ended and its id
// been given away since the list was read, hence the second look.
func (g Group) kill(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return ignoreMissing(err)
		}
		content, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return ignoreMissing(err)
		}
		for _, line := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(line)
			if err != nil {
				return err
			}
			if err := g.killProcess(pid); err != nil {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
		}
		return nil
	})
}

func (g Group) killProcess(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	membership, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil || !bytes.Contains(membership, []byte(":"+g.Path()+"/")) {
		return ignoreMissing(err)
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// removeTree removes a group and those below it. The files in a group go with
// it and cannot be removed.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return ignoreMissing(unix.Rmdir(folder))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Controllers lists the controllers that are mounted, of either version.
func Controllers() ([]string, error) {
	trees, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, tree := range trees {
		all = append(all, tree.controllers...)
		if tree.unified {
			content, err := os.ReadFile(filepath.Join(tree.mount, "cgroup.controllers"))
			if err != nil {
				return nil, fmt.Errorf("read controllers: %w", err)
			}
			all = append(all, strings.Fields(string(content))...)
		}
	}
	return all, nil
}

func hierarchies() ([]hierarchy, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list control group trees: %w", err)
	}
	defer file.Close()
	var trees []hierarchy
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if tree, ok := parseMount(lines.Text()); ok {
			trees = append(trees, tree)
		}
	}
	return trees, lines.Err()
}

// parseMount recognises a tree of control groups in a line of mountinfo:
// seven or more fields, a dash, type, source and the options of the tree.
func parseMount(line string) (hierarchy, bool) {
	const mountPointField = 4
	before, after, found := strings.Cut(line, " - ")
	fields, tail := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) <= mountPointField || len(tail) < 3 {
		return hierarchy{}, false
	}
	switch tail[0] {
	case "cgroup2":
		return hierarchy{mount: fields[mountPointField], unified: true}, true
	case "cgroup":
		return hierarchy{mount: fields[mountPointField], controllers: strings.Split(tail[2], ",")}, true
	default:
		return hierarchy{}, false
	}
}
