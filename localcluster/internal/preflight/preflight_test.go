package preflight

import (
	"errors"
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
