package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// The group of all clusters is removed whenever it is empty, by whichever
// cluster ends; a folder behaves alike.
func TestAGroupIsMadeWhileOthersRemoveTheParent(t *testing.T) {
	tree, group := hierarchy{mount: t.TempDir()}, Of("one")
	folder := filepath.Join(tree.mount, parent)
	var others sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = os.Remove(folder)
				}
			}
		})
	}
	for range 200 {
		if err := group.ensureIn(tree); err != nil {
			t.Error(err)
			break
		}
		if err := os.Remove(filepath.Join(tree.mount, group.Path())); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	others.Wait()
}

func TestTreesOfBothVersionsAreRecognised(t *testing.T) {
	v1, ok := parseMount("29 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct")
	if !ok || v1.unified || v1.mount != "/sys/fs/cgroup/cpu,cpuacct" || !slices.Contains(v1.controllers, "cpu") {
		t.Errorf("version 1: %+v, %v", v1, ok)
	}
	v2, ok := parseMount("29 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate")
	if !ok || !v2.unified || v2.mount != "/sys/fs/cgroup" {
		t.Errorf("version 2: %+v, %v", v2, ok)
	}
	for _, line := range []string{"", "29 25 0:26 / /sys rw - sysfs sysfs rw", "29 25 - cgroup cgroup rw"} {
		if tree, ok := parseMount(line); ok {
			t.Errorf("%q is taken for %+v", line, tree)
		}
	}
}
