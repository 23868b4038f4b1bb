// Package preflight finds out what is missing on this machine before
// anything on it is changed.
package preflight

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tenantry.dev/localcluster/internal/cgroups"
	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/state"
)

// socketPathLimit is the kernel's limit to the path of a socket, and
// longestSocket the longest one that components make below the state folder.
const socketPathLimit = 107

var longestSocket = map[state.Mode]string{
	state.ControlPlaneOnly: "/etcd.sock",
	state.Full:             "/kubelet/pod-resources/kubelet.sock",
}

// program is a file that a package brings.
type program struct{ path, debian string }

// programs are what a whole cluster needs besides this program.
var programs = []program{
	{components.ContainerdPath, "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"/usr/lib/cni/host-local", "containernetworking-plugins"},
	{"/usr/lib/cni/loopback", "containernetworking-plugins"},
	{"/usr/lib/cni/portmap", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"conntrack", "conntrack"},
	{"socat", "socat"},
}

// controllers are the control group controllers that the kubelet needs.
var controllers = []string{"cpu", "cpuset", "memory", "pids"}

// Check returns what is missing for a cluster of this mode, with the way to
// mend it, in one line.
func Check(l state.Layout, mode state.Mode) error {
	if mode == state.Full && os.Geteuid() != 0 {
		return fmt.Errorf("a cluster with a node needs root; fix: run as root, or give --control-plane-only")
	}
	if limit := socketPathLimit - len(longestSocket[mode]); len(l.Dir) > limit {
		return fmt.Errorf("state folder %s has a path of more than %d characters, too long for the sockets in it; fix: give a shorter --state-dir", l.Dir, limit)
	}
	if mode == state.ControlPlaneOnly {
		return nil
	}
	if err := checkPrograms(exec.LookPath); err != nil {
		return err
	}
	return kernel{controllers: cgroups.Controllers, proc: "/proc"}.check()
}

// checkPrograms names every package that lacks a program, each once.
func checkPrograms(lookPath func(string) (string, error)) error {
	var missing, packages []string
	for _, p := range programs {
		if _, err := lookPath(p.path); err == nil {
			continue
		}
		missing = append(missing, filepath.Base(p.path))
		if !slices.Contains(packages, p.debian) {
			packages = append(packages, p.debian)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing programs: %s; fix: apt-get install %s", strings.Join(missing, " "), strings.Join(packages, " "))
}

// kernel is what a node needs of the kernel, as this machine tells it.
type kernel struct {
	controllers func() ([]string, error)
	// proc is where the kernel tells about itself.
	proc string
}

func (k kernel) check() error {
	mounted, err := k.controllers()
	if err != nil {
		return err
	}
	for _, controller := range controllers {
		if !slices.Contains(mounted, controller) {
			return fmt.Errorf("the kernel has no %s control groups mounted; fix: boot with cgroup_enable=%s, or mount them", controller, controller)
		}
	}
	if _, err := os.Stat(filepath.Join(k.proc, "sys/net/bridge/bridge-nf-call-iptables")); err != nil {
		return fmt.Errorf("the kernel does not pass bridged packets to iptables; fix: modprobe br_netfilter")
	}
	return k.checkOverlay()
}

func (k kernel) checkOverlay() error {
	file, err := os.Open(filepath.Join(k.proc, "filesystems"))
	if err != nil {
		return fmt.Errorf("list file systems: %w", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.TrimSpace(strings.TrimPrefix(lines.Text(), "nodev")) == "overlay" {
			return nil
		}
	}
	return fmt.Errorf("the kernel has no overlay file system loaded; fix: modprobe overlay")
}
