package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestStatIsReadPastOddProgramNames(t *testing.T) {
	const rest = " S 1 42 77 0 -1 4194564 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"
	for _, name := range []string{"sh", "a b", "a) S 1 2 3", ") ("} {
		got, err := parseStat("42 (" + name + ")" + rest)
		if want := (stat{session: 77, startTime: 123456, exiting: true}); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, stat := range []string{"", "42 sh S", "42 (sh) S 1 2"} {
		if _, err := parseStat(stat); err == nil {
			t.Errorf("%q was understood", stat)
		}
	}
}

func TestMarkerIsComparedAsAWhole(t *testing.T) {
	environment := []byte("A=1\x00" + stateVariable + "=/x/demo\x00" + componentVariable + "=etcd\x00")
	if component, ok := marked(environment, "/x/demo"); !ok || component != "etcd" {
		t.Errorf("own marker: %q, %v", component, ok)
	}
	for _, other := range []string{"/x/dem", "/x/demo2", "/x", ""} {
		if _, ok := marked(environment, other); ok {
			t.Errorf("marker of /x/demo taken for one of %q", other)
		}
	}
}

const poll = 10 * time.Millisecond

// start runs a program that lives until it is killed.
func start(t *testing.T, stateDir, component string) *Running {
	t.Helper()
	running, err := Start(Spec{
		Component: component,
		Path:      "/bin/sh",
		Args:      []string{"sh", "-c", "sleep 1000 & wait"},
		Dir:       stateDir,
		Log:       filepath.Join(stateDir, "log"),
	}, stateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := EndAll(context.Background(), stateDir); err != nil {
			t.Error(err)
		}
	})
	return running
}

func find(t *testing.T, stateDir string, count int) []Process {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		processes, err := Find(stateDir)
		if err != nil {
			t.Fatal(err)
		}
		if len(processes) == count {
			return processes
		}
		if time.Now().After(deadline) {
			t.Fatalf("found %+v, want %d processes", processes, count)
		}
		time.Sleep(poll)
	}
}

func TestProcessesAreFoundByClusterAndToldFromTheirChildren(t *testing.T) {
	mine, other := t.TempDir(), t.TempDir()
	running := start(t, mine, "etcd")
	start(t, other, "etcd")
	leaders := Leaders(find(t, mine, 2))
	if len(leaders) != 1 || leaders["etcd"].PID != running.PID {
		t.Errorf("leaders = %+v, want process %d", leaders, running.PID)
	}
	spec := Spec{Args: []string{"sh", "-c", "sleep 1000 & wait"}}
	if !spec.Matches(leaders["etcd"]) {
		t.Errorf("command line %q does not match its own", leaders["etcd"].Args)
	}
}

func TestEndingTheLeaderSparesItsChildren(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, "containerd")
	find(t, dir, 2)
	if err := EndLeaders(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if left := find(t, dir, 1); left[0].Leader {
		t.Errorf("left is the leader: %+v", left)
	}
	if err := EndAll(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	find(t, dir, 0)
}

func TestAReusedProcessIDIsNotKilled(t *testing.T) {
	dir := t.TempDir()
	running := start(t, dir, "etcd")
	processes := find(t, dir, 2)
	stale := processes[slices.IndexFunc(processes, func(p Process) bool { return p.Leader })]
	stale.StartTime--
	if err := End(t.Context(), stale, dir); err != nil {
		t.Fatal(err)
	}
	strange := stale
	strange.PID = os.Getpid()
	if err := kill(strange, dir); err != nil {
		t.Fatal(err)
	}
	select {
	case <-running.Exited:
		t.Error("another process was killed for the one that had its id before")
	default:
	}
}

func TestExitIsAwaitedUntilTheDeadline(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, "etcd")
	leader := Leaders(find(t, dir, 2))["etcd"]
	ctx, cancel := context.WithTimeout(t.Context(), poll)
	defer cancel()
	if err := AwaitExit(ctx, leader); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a living process: %v", err)
	}
	if err := EndAll(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(AwaitExit(t.Context(), leader), Settle(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestEnvironmentOwesNothingToTheCaller(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://localhost:1")
	t.Setenv("KUBECONFIG", "/elsewhere")
	for _, variable := range environment("etcd", "/x") {
		if variable == "HTTPS_PROXY=http://localhost:1" || variable == "KUBECONFIG=/elsewhere" {
			t.Errorf("%s is handed on", variable)
		}
	}
}
