package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/state"
)

// needRoot leaves a test out for users who cannot have what it tests; that
// they are told so is tested elsewhere.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a cluster with a node needs root")
	}
}

// upFull starts a whole cluster with the images it needs.
func upFull(t *testing.T, c *testCluster) {
	t.Helper()
	c.must(t, "up",
		"--image", ociArchive(t, "pod", "")+"="+components.PauseImage,
		"--image", ociArchive(t, "coredns", components.DNSImage))
}

// node is the address at which the host finds the cluster's node.
func (c *testCluster) node(t *testing.T) string {
	t.Helper()
	remembered, err := state.Load(c.layout)
	if err != nil {
		t.Fatal(err)
	}
	return network.Slot(remembered.Slot).Node().String()
}

// assertServed checks each way to the pod's server: from the host, from the
// node through the Service's address, and from the pod by name.
func (c *testCluster) assertServed(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() error {
		answer, err := fetch("http://" + c.node(t) + ":30080/")
		if err == nil && answer != want {
			return fmt.Errorf("the node port answers %q, want %q", answer, want)
		}
		return err
	})
	service := c.kubectl(t, "get", "service", "web", "--namespace", "web", "-o", "jsonpath={.spec.clusterIP}")
	// kube-proxy hears of a pod that is ready when everybody else does.
	eventually(t, func() error {
		r := c.localcluster(t, "exec", "--", filepath.Join(programs, "pod"), "get", "http://"+service+"/")
		if r.stdout != want {
			return fmt.Errorf("the Service answers %q, %s", r.stdout, r.stderr)
		}
		return nil
	})
	eventually(t, func() error {
		r := c.command(t, "kubectl", "--kubeconfig", c.layout.Kubeconfig(), "exec", "--namespace", "web", "web", "--", "/pod", "get", "http://web.web.svc.cluster.local/")
		if r.stdout != want {
			return fmt.Errorf("the name answers %q, %s", r.stdout, r.stderr)
		}
		return nil
	})
}

func fetch(url string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

func TestWholeClusterServesHealsAndLeavesNothing(t *testing.T) {
	needRoot(t)
	before := lookAtHost(t)
	c := newCluster(t, "whole")
	upFull(t, c)
	c.must(t, "status")
	for range 2 {
		c.must(t, "load", ociArchive(t, "pod", "")+"=localhost/test/pod:1")
	}
	manifest, err := filepath.Abs("testdata/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "apply", "-f", manifest)
	c.assertServed(t, "started 1 times")
	if log := c.kubectl(t, "logs", "--namespace", "web", "web"); log != "serving\n" {
		t.Errorf("the pod logged %q", log)
	}

	c.killAll(t)
	if r := c.localcluster(t, "status"); r.code != 1 {
		t.Errorf("status of a killed cluster: exit %d\n%s", r.code, r.stdout)
	}
	c.must(t, "up")
	c.assertServed(t, "started 2 times")

	// Every component on its own; the pod lives through it.
	for component, pid := range c.pids(t) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatalf("%s: %v", component, err)
		}
		c.must(t, "up")
	}
	c.assertServed(t, "started 2 times")

	// The namespaces, as after a restart of the machine.
	c.killAll(t)
	if err := network.Of(c.layout.ID()).Remove(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(c.layout.Path("namespaces", "mnt"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	c.must(t, "up")
	c.assertServed(t, "started 3 times")

	c.assertVolumeIsRecycled(t)
	c.killAll(t)
	if err := os.Remove(c.layout.StateFile()); err != nil {
		t.Fatal(err)
	}
	c.must(t, "down")
	c.assertNoTrace(t, before)
}

// assertVolumeIsRecycled gives the web pod's volume up, and expects the next
// up to make an empty one of it.
func (c *testCluster) assertVolumeIsRecycled(t *testing.T) {
	t.Helper()
	volume := c.kubectl(t, "get", "persistentvolumeclaim", "data", "--namespace", "web", "-o", "jsonpath={.spec.volumeName}")
	written := filepath.Join(c.layout.Volume(volume), "starts")
	if _, err := os.Stat(written); err != nil {
		t.Fatal(err)
	}
	phase := func() string {
		return c.kubectl(t, "get", "persistentvolume", volume, "-o", "jsonpath={.status.phase}")
	}
	c.kubectl(t, "delete", "namespace", "web")
	eventually(t, func() error {
		if now := phase(); now != "Released" {
			return fmt.Errorf("volume %s is %s", volume, now)
		}
		return nil
	})
	c.must(t, "up")
	eventually(t, func() error {
		if now := phase(); now != "Available" {
			return fmt.Errorf("volume %s is %s", volume, now)
		}
		return nil
	})
	if _, err := os.Stat(written); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left on the volume: %v", written, err)
	}
}

func TestWholeClustersRunSideBySide(t *testing.T) {
	needRoot(t)
	before := lookAtHost(t)
	one, two := newCluster(t, "same"), newCluster(t, "same")
	images := []string{
		"--image", ociArchive(t, "pod", components.PauseImage),
		"--image", ociArchive(t, "coredns", components.DNSImage),
	}
	done := make(chan result, 2)
	for _, c := range []*testCluster{one, two} {
		go func() { done <- c.localcluster(t, "up", images...) }()
	}
	for range 2 {
		if r := <-done; r.code != 0 {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	}
	if one.node(t) == two.node(t) {
		t.Errorf("both are at %s", one.node(t))
	}
	one.must(t, "down")
	one.assertNoTrace(t, before)
	two.must(t, "status")
}

func TestAMissingImageIsSaidBeforeAnythingIsChanged(t *testing.T) {
	needRoot(t)
	before := lookAtHost(t)
	c := newCluster(t, "imageless")
	for _, arguments := range [][]string{
		nil,
		{"--image", ociArchive(t, "pod", components.PauseImage)},
		{"--image", "/no/such.tar"},
	} {
		r := c.localcluster(t, "up", arguments...)
		if r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "fix: ") {
			t.Errorf("%q: exit %d, %s", arguments, r.code, r.stderr)
		}
		c.assertNoTrace(t, before)
	}
}
