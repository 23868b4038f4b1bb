// Package e2e tests the program as its users run it: real clusters, really
// killed. `go test -short` leaves these tests out.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tenantry.dev/localcluster/internal/cgroups"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// programs is the folder of the built programs.
var programs string

// patience bounds every command and every wait of a test. It is generous,
// because it only ever passes when something is broken.
const patience = 3 * time.Minute

const poll = 50 * time.Millisecond

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("left out because of -short: all tests of real clusters")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "localcluster-test-"); err == nil {
		defer os.RemoveAll(programs)
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build() error {
	if err := os.Chmod(programs, 0o755); err != nil {
		return err
	}
	command := exec.Command("../../build.sh", programs)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, output)
	}
	command = exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(programs, "pod"), "./testdata/pod")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the test's pod: %w\n%s", err, output)
	}
	return nil
}

// testCluster is a cluster of a test, taken down at its end.
type testCluster struct {
	layout state.Layout
	// environment is added to that of the commands; account, when set, is who
	// runs them.
	environment []string
	account     *unix.Ucred
}

// newCluster is a cluster in a folder of its own, apart from every other of
// its name.
func newCluster(t *testing.T, name string) *testCluster {
	t.Helper()
	return clusterIn(t, name, filepath.Join(t.TempDir(), name))
}

func clusterIn(t *testing.T, name, folder string) *testCluster {
	t.Helper()
	layout, err := state.Resolve(name, folder)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCluster{layout: layout}
	t.Cleanup(func() {
		if t.Failed() {
			c.dumpLogs(t)
		}
		if r := c.localcluster(t, "down"); r.code != 0 {
			t.Errorf("down at the end: %s", r.stderr)
		}
	})
	return c
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// localcluster runs one of the program's commands on the cluster.
func (c *testCluster) localcluster(t *testing.T, command string, arguments ...string) result {
	t.Helper()
	line := append([]string{command, "--name", c.layout.Name, "--state-dir", c.layout.Dir}, arguments...)
	return c.command(t, "localcluster", line...)
}

// must is localcluster for commands that have to succeed.
func (c *testCluster) must(t *testing.T, command string, arguments ...string) string {
	t.Helper()
	r := c.localcluster(t, command, arguments...)
	if r.code != 0 {
		t.Fatalf("%s %q: exit %d\n%s", command, arguments, r.code, r.stderr)
	}
	return r.stdout
}

// kubectl runs kubectl on the cluster; it has to succeed.
func (c *testCluster) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	r := c.command(t, "kubectl", append([]string{"--kubeconfig", c.layout.Kubeconfig()}, arguments...)...)
	if r.code != 0 {
		t.Fatalf("kubectl %q: exit %d\n%s", arguments, r.code, r.stderr)
	}
	return r.stdout
}

func (c *testCluster) command(t *testing.T, program string, arguments ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, program), arguments...)
	command.Env = append(os.Environ(), c.environment...)
	command.Dir = "/"
	c.become(command)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// processes are those that carry the cluster's marker.
func (c *testCluster) processes(t *testing.T) []process.Process {
	t.Helper()
	processes, err := process.Find(c.layout.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return processes
}

// pids maps each component to its process.
func (c *testCluster) pids(t *testing.T) map[string]int {
	t.Helper()
	pids := make(map[string]int)
	for component, p := range process.Leaders(c.processes(t)) {
		pids[component] = p.PID
	}
	return pids
}

// killAll kills every process, and every process of its pods, at once.
func (c *testCluster) killAll(t *testing.T) {
	t.Helper()
	for _, p := range c.processes(t) {
		_ = unix.Kill(p.PID, unix.SIGKILL)
	}
	for _, pid := range c.podProcesses(t) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	eventually(t, func() error {
		if n := len(c.processes(t)) + len(c.podProcesses(t)); n > 0 {
			return fmt.Errorf("%d processes are left", n)
		}
		return process.Settle(context.Background())
	})
}

// podProcesses are those in the cluster's control group.
func (c *testCluster) podProcesses(t *testing.T) []int {
	t.Helper()
	var pids []int
	for _, folder := range c.controlGroups(t) {
		_ = filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Base(path) != "cgroup.procs" {
				return nil // Groups come and go while they are walked.
			}
			content, _ := os.ReadFile(path)
			for field := range strings.FieldsSeq(string(content)) {
				var pid int
				if _, err := fmt.Sscan(field, &pid); err == nil {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// controlGroups are the cluster's groups that exist, in whatever tree.
func (c *testCluster) controlGroups(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		matches, err := filepath.Glob(pattern + cgroups.Of(c.layout.ID()).Path())
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, matches...)
	}
	return found
}

func (c *testCluster) dumpLogs(t *testing.T) {
	logs, _ := filepath.Glob(c.layout.Log("*"))
	for _, log := range logs {
		content, _ := os.ReadFile(log)
		t.Logf("%s ends with\n%s", log, content[max(0, len(content)-1500):])
	}
}

// eventually polls until check succeeds.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(poll) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
