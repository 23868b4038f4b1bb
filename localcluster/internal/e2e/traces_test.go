package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"tenantry.dev/localcluster/internal/network"
)

// become has the command run by the cluster's account, if it has one.
func (c *testCluster) become(command *exec.Cmd) {
	if c.account != nil {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.account.Uid, Gid: c.account.Gid}}
	}
}

// hostPlaces are where components would write on the host unless kept from
// it, and which a machine may have for reasons of its own.
var hostPlaces = []string{
	"/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/lib/containerd", "/var/log/containers", "/var/log/pods",
	"/opt/containerd", "/opt/cni", "/etc/cni", "/usr/libexec/kubernetes",
}

// hostState is what a cluster must leave on the host as it was.
type hostState struct {
	places     map[string]bool
	rules      int
	forwarding string
}

func lookAtHost(t *testing.T) hostState {
	t.Helper()
	h := hostState{places: make(map[string]bool)}
	for _, place := range hostPlaces {
		_, err := os.Lstat(place)
		h.places[place] = err == nil
	}
	if os.Geteuid() == 0 {
		rules, err := exec.Command("iptables-save").Output()
		if err != nil {
			t.Fatalf("iptables-save: %v", err)
		}
		h.rules = strings.Count(string(rules), "KUBE-") + strings.Count(string(rules), "CNI-")
	}
	forwarding, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	h.forwarding = string(forwarding)
	return h
}

// assertNoTrace fails for everything that is left of the cluster.
func (c *testCluster) assertNoTrace(t *testing.T, before hostState) {
	t.Helper()
	for _, p := range c.processes(t) {
		t.Errorf("process %d (%s) is left: %q", p.PID, p.Component, p.Args)
	}
	for _, pid := range c.podProcesses(t) {
		t.Errorf("process %d of a pod is left", pid)
	}
	for _, path := range append(c.controlGroups(t), c.layout.Dir, c.layout.Lock(), "/run/netns/"+network.Of(c.layout.ID()).Name()) {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, c.layout.Dir) || strings.Contains(line, network.Of(c.layout.ID()).Name()) {
			t.Errorf("a mount is left: %s", line)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasSuffix(link.Attrs().Alias, " "+c.layout.ID()) {
			t.Errorf("interface %s is left", link.Attrs().Name)
		}
	}
	after := lookAtHost(t)
	for place, existed := range before.places {
		if after.places[place] && !existed {
			t.Errorf("%s was made on the host", place)
		}
	}
	if after.rules != before.rules || after.forwarding != before.forwarding {
		t.Errorf("the host's network was changed: %+v, before %+v", after, before)
	}
}
