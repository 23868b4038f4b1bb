package preflight

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tenantry.dev/localcluster/internal/state"
)

func TestMissingProgramsAreReportedInOneLineWithTheirPackages(t *testing.T) {
	absent := []string{"ctr", "/usr/bin/containerd", "runc"}
	err := checkPrograms(func(path string) (string, error) {
		if slices.Contains(absent, path) {
			return "", errors.New("absent")
		}
		return path, nil
	})
	if err == nil || err.Error() != "missing programs: containerd ctr runc; fix: apt-get install containerd runc" {
		t.Errorf("error = %v", err)
	}
	if err := checkPrograms(func(path string) (string, error) { return path, nil }); err != nil {
		t.Errorf("nothing missing: %v", err)
	}
}

func TestStateFolderTooLongForSocketsIsRefused(t *testing.T) {
	long := state.Layout{Name: "demo", Dir: "/" + strings.Repeat("x", 100)}
	if err := Check(long, state.ControlPlaneOnly); err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("error = %v", err)
	}
	if err := Check(state.Layout{Name: "demo", Dir: "/" + strings.Repeat("x", 90)}, state.ControlPlaneOnly); err != nil {
		t.Error(err)
	}
}

func TestMissingKernelFeaturesAreReportedOneByOneWithTheirFix(t *testing.T) {
	proc := t.TempDir()
	mounted := []string{"cpu", "cpuset", "pids"}
	k := kernel{controllers: func() ([]string, error) { return mounted, nil }, proc: proc}
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lacks := func(want string) {
		t.Helper()
		if err := k.check(); err == nil || err.Error() != want {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
	lacks("the kernel has no memory control groups mounted; fix: boot with cgroup_enable=memory, or mount them")
	mounted = append(mounted, "memory")
	lacks("the kernel does not pass bridged packets to iptables; fix: modprobe br_netfilter")
	write("sys/net/bridge/bridge-nf-call-iptables", "1\n")
	write("filesystems", "nodev\tproc\n\text4\n")
	lacks("the kernel has no overlay file system loaded; fix: modprobe overlay")
	write("filesystems", "nodev\tproc\nnodev\toverlay\n\text4\n")
	if err := k.check(); err != nil {
		t.Errorf("nothing missing: %v", err)
	}
}
