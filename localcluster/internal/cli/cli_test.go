package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommandLinesThatAreNotUnderstoodExitTwoWithOneLine(t *testing.T) {
	for _, line := range []string{
		"", "start", "up now", "up --nmae x", "up --name Demo", "status -o yaml", "load", "load a b", "exec", "down --timeout soon",
		"up --control-plane-only --apiserver-arg --v=1", "up --control-plane-only --image x.tar",
	} {
		var stdout, stderr bytes.Buffer
		code := Run(strings.Fields(line), &stdout, &stderr)
		if code != misuse || stdout.Len() > 0 || strings.Count(stderr.String(), "\n") != 1 || !strings.HasPrefix(stderr.String(), "localcluster: ") {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", line, code, &stdout, &stderr)
		}
	}
}

func TestCommandsOnAnAbsentClusterSayHowToMakeIt(t *testing.T) {
	folder := t.TempDir() + "/absent"
	for _, command := range []string{"status", "kubeconfig", "load image.tar", "exec -- true"} {
		var stdout, stderr bytes.Buffer
		before, after, _ := strings.Cut(command, " ")
		code := Run(strings.Fields(before+" --state-dir "+folder+" "+after), &stdout, &stderr)
		if code != failure || !strings.Contains(stderr.String(), "fix: localcluster up --name demo") {
			t.Errorf("%s: exit %d, stderr %q", command, code, &stderr)
		}
	}
}

func TestRemovingAnAbsentClusterSucceedsAndLeavesNothing(t *testing.T) {
	folder := t.TempDir() + "/absent"
	var stdout, stderr bytes.Buffer
	if code := Run([]string{"down", "--state-dir", folder}, &stdout, &stderr); code != success || stderr.Len() > 0 {
		t.Errorf("exit %d, stderr %q", code, &stderr)
	}
}
