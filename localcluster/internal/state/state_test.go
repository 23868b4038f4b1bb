package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNamesAreShortDNSLabels(t *testing.T) {
	for name, good := range map[string]bool{
		"demo": true, "a": true, "pool-3": true, "0": true, strings.Repeat("a", 20): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a/b": false, "..": false, "a\n": false,
		strings.Repeat("a", 21): false,
	} {
		if err := ValidateName(name); (err == nil) != good {
			t.Errorf("ValidateName(%q) = %v, want good = %v", name, err, good)
		}
	}
}

func TestChosenFolderMakesAnotherCluster(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	standard, err := Resolve("demo", "")
	if err != nil {
		t.Fatal(err)
	}
	if standard.ID() != "demo" {
		t.Errorf("ID in the standard folder = %q, want the name", standard.ID())
	}
	chosen, err := Resolve("demo", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(chosen.ID(), "demo.") {
		t.Errorf("ID in a chosen folder = %q, want demo and more", chosen.ID())
	}
	same, err := Resolve("demo", standard.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if same != standard {
		t.Errorf("choosing the standard folder gives %+v, want %+v", same, standard)
	}
}

func TestStateFolderIsResolvedToItsRealPath(t *testing.T) {
	real := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	layout, err := Resolve("demo", filepath.Join(link, "not", "there"))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(realPath(real), "not", "there"); layout.Dir != want {
		t.Errorf("Dir = %s, want %s", layout.Dir, want)
	}
}

func TestStateIsReadBackAsWritten(t *testing.T) {
	layout := Layout{Name: "demo", Dir: t.TempDir()}
	written := State{Name: "demo", Mode: Full, Slot: 7, Server: "https://10.243.7.2:6443"}
	if err := Save(layout, written); err != nil {
		t.Fatal(err)
	}
	read, err := Load(layout)
	if err != nil {
		t.Fatal(err)
	}
	if read.Slot != 7 || read.Mode != Full || read.Server != written.Server {
		t.Errorf("read %+v, wrote %+v", read, written)
	}
}

func TestDamagedAndMissingStateAreToldApart(t *testing.T) {
	layout := Layout{Name: "demo", Dir: t.TempDir()}
	if _, err := Load(layout); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, want ErrNotExist", err)
	}
	for _, content := range []string{"", "{", `{"name":"other","mode":"full"}`, `{"name":"demo","mode":"half"}`} {
		if err := os.WriteFile(layout.StateFile(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(layout); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v, want ErrDamaged", content, err)
		}
	}
}

func TestUpdateFileWritesOnlyChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "file")
	for _, step := range []struct {
		content string
		changed bool
	}{{"a", true}, {"a", false}, {"b", true}} {
		changed, err := UpdateFile(path, []byte(step.content), 0o600)
		if err != nil || changed != step.changed {
			t.Errorf("%q: changed = %v, %v, want %v", step.content, changed, err, step.changed)
		}
	}
}

func TestLockAdmitsOneAtATime(t *testing.T) {
	layout := Layout{Name: "demo", Dir: filepath.Join(t.TempDir(), "demo")}
	first, err := Acquire(t.Context(), layout, func() { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	// Each waiter gives way to the next by removing the file that others have
	// open, which must not let two in.
	inside := make(chan struct{}, 1)
	inside <- struct{}{}
	waiting, done := make(chan struct{}, 3), make(chan error, 3)
	for range 3 {
		go func() {
			lock, err := Acquire(t.Context(), layout, func() { waiting <- struct{}{} })
			if err != nil {
				done <- err
				return
			}
			select {
			case inside <- struct{}{}:
				<-inside
			default:
				err = errors.New("two hold the lock")
			}
			done <- errors.Join(err, lock.Remove())
		}()
	}
	for range 3 {
		<-waiting
	}
	<-inside
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(layout.Lock()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock's file is left: %v", err)
	}
}

func TestWaitingForTheLockEndsWithTheDeadline(t *testing.T) {
	layout := Layout{Name: "demo", Dir: filepath.Join(t.TempDir(), "demo")}
	held, err := Acquire(t.Context(), layout, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Acquire(ctx, layout, func() {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want the deadline", err)
	}
}
