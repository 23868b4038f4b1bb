package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/health"
	"tenantry.dev/localcluster/internal/process"
)

// logLines is how much of a component's log an error quotes.
const logLines = 8

// launcher starts the components that do not run as they should, and waits
// for them.
type launcher struct {
	settings components.Settings
	prober   *health.Prober
	// self is this program, which most components are a part of.
	self string
	// enter moves a thread into the cluster's namespaces; nil without them.
	enter func() error
	// leaders are the components that ran when the launcher was made.
	leaders map[string]process.Process
}

// newLauncher looks at what runs already.
func newLauncher(s components.Settings, self string, enter func() error) (*launcher, error) {
	prober, err := health.NewProber(s)
	if err != nil {
		return nil, err
	}
	processes, err := process.Find(s.Layout.Dir)
	if err != nil {
		return nil, err
	}
	return &launcher{settings: s, prober: prober, self: self, enter: enter, leaders: process.Leaders(processes)}, nil
}

// ensure starts the component unless it runs with this very command line. The
// channel is closed when a component that was started here ends.
func (l *launcher) ensure(ctx context.Context, component string) (<-chan struct{}, error) {
	layout := l.settings.Layout
	program := l.settings.Program(component)
	spec := process.Spec{
		Component: component,
		Path:      program.Path,
		Args:      program.Args,
		Dir:       layout.Dir,
		Log:       layout.Log(component),
		Env:       program.Env,
		Enter:     l.enter,
	}
	if spec.Path == "" {
		spec.Path = l.self
	}
	if leader, ok := l.leaders[component]; ok {
		if spec.Matches(leader) {
			return nil, nil
		}
		if err := process.End(ctx, leader, layout.Dir); err != nil {
			return nil, err
		}
	}
	running, err := process.Start(spec, layout.Dir)
	if err != nil {
		return nil, err
	}
	return running.Exited, nil
}

// run makes sure that the component runs and is well.
func (l *launcher) run(ctx context.Context, component string) error {
	ended, err := l.ensure(ctx, component)
	if err != nil {
		return err
	}
	return l.await(ctx, component, ended, func(ctx context.Context) error {
		return l.prober.Check(ctx, component)
	})
}

// await turns the failure of a wait into an error that shows its cause.
func (l *launcher) await(ctx context.Context, component string, ended <-chan struct{}, check func(context.Context) error) error {
	err := health.Wait(ctx, ended, check)
	if err == nil {
		return nil
	}
	log := l.settings.Layout.Log(component)
	return fmt.Errorf("%s did not become ready: %w; fix: read %s, which ends with\n%s", component, err, log, tail(log))
}

// tail returns the last lines of a log, indented.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	lines = lines[max(0, len(lines)-logLines):]
	return "  " + strings.Join(lines, "\n  ")
}
