package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// Spec describes a component's process.
type Spec struct {
	// Component is the name it is known by.
	Component string
	// Path is the program, Args its command line including the program's name.
	Path string
	Args []string
	// Env is what the program finds in its environment beside what every
	// component does.
	Env []string
	// Dir is the working directory.
	Dir string
	// Log receives the output; what an earlier process wrote is moved aside.
	Log string
	// Enter, when set, moves the calling thread into the namespaces that the
	// process is to live in.
	Enter func() error
}

// Matches reports whether p was started from an equal command line.
func (s Spec) Matches(p Process) bool { return slices.Equal(s.Args, p.Args) }

// Running is a process that this program started and can see the end of.
type Running struct {
	Component string
	PID       int
	// Exited is closed when the process has ended; Err says how.
	Exited chan struct{}
	Err    error
}

// Start runs the component detached: in a session of its own, without
// terminal, surviving this program.
func Start(spec Spec, stateDir string) (*Running, error) {
	if err := os.MkdirAll(filepath.Dir(spec.Log), 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	if err := os.Rename(spec.Log, spec.Log+".previous"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("move log of %s aside: %w", spec.Component, err)
	}
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", spec.Component, err)
	}
	defer log.Close()
	command := &exec.Cmd{
		Path:        spec.Path,
		Args:        spec.Args,
		Dir:         spec.Dir,
		Env:         append(environment(spec.Component, stateDir), spec.Env...),
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := startInside(command, spec.Enter); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Component, err)
	}
	running := &Running{Component: spec.Component, PID: command.Process.Pid, Exited: make(chan struct{})}
	go func() {
		running.Err = command.Wait()
		close(running.Exited)
	}()
	return running, nil
}

// startInside starts the command from a thread that has entered the
// namespaces. The thread ends with its goroutine, because it is never
// unlocked, so no other code can come to run inside the namespaces.
func startInside(command *exec.Cmd, enter func() error) error {
	if enter == nil {
		return command.Start()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(); err != nil {
			result <- err
			return
		}
		result <- command.Start()
	}()
	return <-result
}

// environment is made anew rather than inherited: a proxy setting, a secret
// or a KUBECONFIG of the caller's has no business in a daemon.
func environment(component, stateDir string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + stateDir,
		"LANG=C.UTF-8",
		stateVariable + "=" + stateDir,
		componentVariable + "=" + component,
	}
}
