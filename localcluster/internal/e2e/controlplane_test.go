package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tenantry.dev/localcluster/internal/cluster"
	"tenantry.dev/localcluster/internal/state"
)

func up(t *testing.T, c *testCluster) {
	t.Helper()
	if printed := strings.TrimSpace(c.must(t, "up", "--control-plane-only")); printed != c.layout.Kubeconfig() {
		t.Errorf("up prints %q, want %s", printed, c.layout.Kubeconfig())
	}
}

func TestControlPlaneServesHealsAndLeavesNothing(t *testing.T) {
	before := lookAtHost(t)
	c := newCluster(t, "heals")
	up(t, c)
	c.must(t, "status")
	c.kubectl(t, "create", "namespace", "kept")
	kubeconfig, err := os.ReadFile(c.layout.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}

	pids := c.pids(t)
	up(t, c)
	if again := c.pids(t); !maps.Equal(pids, again) {
		t.Errorf("a second up changed processes %v to %v", pids, again)
	}

	for component, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			r := c.localcluster(t, "status", "-o", "json")
			var status cluster.Status
			if err := json.Unmarshal([]byte(r.stdout), &status); err != nil {
				t.Fatal(err)
			}
			for _, s := range status.Components {
				if s.Name == component && s.State == cluster.Stopped && r.code == 1 && !status.Healthy {
					return nil
				}
			}
			return fmt.Errorf("%s was killed, status is exit %d\n%s", component, r.code, r.stdout)
		})
		up(t, c)
		c.kubectl(t, "get", "namespace", "kept")
	}

	c.killAll(t)
	up(t, c)
	c.kubectl(t, "get", "namespace", "kept")
	if after, err := os.ReadFile(c.layout.Kubeconfig()); err != nil || string(after) != string(kubeconfig) {
		t.Errorf("the kubeconfig has changed (%v)", err)
	}

	c.killAll(t)
	c.must(t, "down")
	c.assertNoTrace(t, before)
}

func TestControllersThatTestsRelyOnWork(t *testing.T) {
	c := newCluster(t, "controllers")
	up(t, c)
	c.kubectl(t, "get", "serviceaccount", "default")
	c.kubectl(t, "create", "namespace", "gone")
	c.kubectl(t, "create", "quota", "few", "--namespace", "gone", "--hard", "configmaps=9")
	eventually(t, func() error {
		if used := c.kubectl(t, "get", "quota", "few", "--namespace", "gone", "-o", "jsonpath={.status.used.configmaps}"); used != "1" {
			return fmt.Errorf("quota counts %q config maps, want kube-root-ca.crt", used)
		}
		return nil
	})
	c.kubectl(t, "create", "deployment", "idle", "--image", "none", "--namespace", "gone")
	c.kubectl(t, "delete", "namespace", "gone", "--wait")
}

func TestAuditLogHoldsEveryWriteByTheTimeItIsAnswered(t *testing.T) {
	c := newCluster(t, "audit")
	up(t, c)
	for i := range 5 {
		c.kubectl(t, "create", "configmap", fmt.Sprintf("written-%d", i))
		c.kubectl(t, "get", "configmap", fmt.Sprintf("written-%d", i))
		if writes := auditedWrites(t, c, "admin"); writes != i+1 {
			t.Fatalf("after %d writes the log holds %d", i+1, writes)
		}
	}
}

// auditedWrites counts the requests of a user in the audit log.
func auditedWrites(t *testing.T, c *testCluster, user string) int {
	t.Helper()
	content, err := os.ReadFile(c.layout.AuditLog())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(content)) {
		var event struct {
			Level, Stage, Verb, UserAgent string
			User                          struct{ Username string }
			ObjectRef                     *struct{ Resource, Name string }
			RequestObject                 any
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if event.Level != "Metadata" || event.Stage != "ResponseComplete" || event.Verb == "get" || event.RequestObject != nil {
			t.Errorf("unexpected entry: %s", line)
		}
		if event.User.Username == user && event.ObjectRef != nil && strings.HasPrefix(event.UserAgent, "kubectl") {
			count++
		}
	}
	return count
}

func TestDamagedStateIsMendedAndRemoved(t *testing.T) {
	before := lookAtHost(t)
	c := newCluster(t, "damaged")
	up(t, c)
	c.kubectl(t, "create", "namespace", "kept")
	if err := os.WriteFile(c.layout.StateFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.layout.Cert("ca"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.localcluster(t, "status"); r.code != 1 || !strings.Contains(r.stderr, "fix: localcluster up") {
		t.Errorf("status of a damaged cluster: exit %d, %s", r.code, r.stderr)
	}
	up(t, c)
	c.kubectl(t, "get", "namespace", "kept")
	if err := os.RemoveAll(c.layout.Dir); err != nil {
		t.Fatal(err)
	}
	c.must(t, "down")
	c.assertNoTrace(t, before)
}

func TestAPortTakenByAStrangerIsGivenUp(t *testing.T) {
	c := newCluster(t, "port")
	up(t, c)
	c.kubectl(t, "create", "namespace", "kept")
	remembered, err := state.Load(c.layout)
	if err != nil {
		t.Fatal(err)
	}
	c.killAll(t)
	occupy(t, remembered.Ports.APIServer)
	up(t, c)
	c.kubectl(t, "get", "namespace", "kept")
}

// occupy listens on a port of loopback until the test ends.
func occupy(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
}

func TestConcurrentStartsMakeOneCluster(t *testing.T) {
	c := newCluster(t, "concurrent")
	const starts = 3
	results := make(chan result, starts)
	for range starts {
		go func() { results <- c.localcluster(t, "up", "--control-plane-only") }()
	}
	for range starts {
		if r := <-results; r.code != 0 {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	}
	if processes := c.processes(t); len(processes) != 3 {
		t.Errorf("%d processes run: %+v", len(processes), processes)
	}
	c.must(t, "status")
}

func TestSeveralControlPlanesRunSideBySide(t *testing.T) {
	before := lookAtHost(t)
	// Of one name on purpose: the folder tells them apart.
	one, two := newCluster(t, "same"), newCluster(t, "same")
	up(t, one)
	up(t, two)
	one.kubectl(t, "create", "namespace", "only-in-one")
	if names := two.kubectl(t, "get", "namespaces", "-o", "name"); strings.Contains(names, "only-in-one") {
		t.Errorf("the other cluster has %s", names)
	}
	one.must(t, "down")
	one.assertNoTrace(t, before)
	two.must(t, "status")
}

func TestControlPlaneNeedsNoRoot(t *testing.T) {
	folder := t.TempDir()
	c := clusterIn(t, "user", filepath.Join(folder, "cache", "tenantry", "clusters", "user"))
	c.environment = []string{"XDG_CACHE_HOME=" + filepath.Join(folder, "cache")}
	if os.Geteuid() == 0 {
		const nobody = 65534
		c.account = &unix.Ucred{Uid: nobody, Gid: nobody}
		// The folders above belong to root and may be closed to others.
		if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(folder, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	r := c.command(t, "localcluster", "up", "--control-plane-only", "--name", "user")
	if r.code != 0 || strings.TrimSpace(r.stdout) != c.layout.Kubeconfig() {
		t.Fatalf("exit %d, %q, %s", r.code, r.stdout, r.stderr)
	}
	c.kubectl(t, "get", "namespace", "default")
	r = c.command(t, "localcluster", "up", "--name", "other")
	if r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "fix: run as root") {
		t.Errorf("a whole cluster without root: exit %d, %s", r.code, r.stderr)
	}
	if r := c.command(t, "localcluster", "down", "--name", "user"); r.code != 0 {
		t.Errorf("down: exit %d, %s", r.code, r.stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "cache", "tenantry", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestModesOfOneClusterAreNotMixed(t *testing.T) {
	c := newCluster(t, "mixed")
	up(t, c)
	if r := c.localcluster(t, "load", ociArchive(t, "pod", "localhost/test/pod:1")); r.code != 1 || !strings.Contains(r.stderr, "no node") {
		t.Errorf("load without a node: exit %d, %s", r.code, r.stderr)
	}
	if r := c.localcluster(t, "exec", "--", "sh", "-c", `kill -TERM $$`); r.code != -1 {
		t.Errorf("a signal is passed on as exit %d", r.code)
	}
	if r := c.localcluster(t, "exec", "--", "sh", "-c", `test "$KUBECONFIG" = "`+c.layout.Kubeconfig()+`" && exit 7`); r.code != 7 {
		t.Errorf("exec: exit %d, %s", r.code, r.stderr)
	}
	if r := c.localcluster(t, "exec", "no-such-command"); r.code != 127 {
		t.Errorf("exec of nothing: exit %d, %s", r.code, r.stderr)
	}
}

func TestAComponentThatEndsIsNamedWithItsLog(t *testing.T) {
	c := newCluster(t, "broken")
	r := c.localcluster(t, "up", "--control-plane-only", "--apiserver-arg", "no-such-flag=1")
	if r.code != 1 || !strings.Contains(r.stderr, "kube-apiserver is not ready") || !strings.Contains(r.stderr, "unknown flag: --no-such-flag") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
	up(t, c)
}
