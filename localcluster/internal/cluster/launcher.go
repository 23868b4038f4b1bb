package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"tenantry.dev/localcluster/internal/api"
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
	client   *api.Client
	prober   *health.Prober
	// self is this program, which most components are a part of.
	self string
	// enter moves a thread into the cluster's namespaces; nil without them.
	enter func() error
	// leaders are the components that ran when the launcher was made.
	leaders map[string]process.Process
	// fail ends all waiting when a component that was started here ends.
	fail context.CancelCauseFunc
	// watchers are the goroutines that wait for such an end.
	watchers sync.WaitGroup
}

// newLauncher looks at what runs already. The context it returns is for all
// that is done with the launcher, which has to be closed in the end.
func newLauncher(parent context.Context, s components.Settings, self string, enter func() error) (*launcher, context.Context, error) {
	client, err := api.New(s)
	if err != nil {
		return nil, nil, err
	}
	processes, err := process.Find(s.Layout.Dir)
	if err != nil {
		return nil, nil, err
	}
	ctx, fail := context.WithCancelCause(parent)
	return &launcher{
		settings: s,
		client:   client,
		prober:   health.NewProber(s, client),
		self:     self,
		enter:    enter,
		leaders:  process.Leaders(processes),
		fail:     fail,
	}, ctx, nil
}

func (l *launcher) close() {
	l.fail(nil)
	l.watchers.Wait()
}

// run makes sure that the component runs and is well.
func (l *launcher) run(ctx context.Context, component string) error {
	if err := l.ensure(ctx, component); err != nil {
		return err
	}
	return l.await(ctx, component)
}

// ensure starts the component unless it runs with this very command line.
func (l *launcher) ensure(ctx context.Context, component string) error {
	layout := l.settings.Layout
	program := l.settings.Program(component)
	spec := process.Spec{
		Component: component,
		Path:      program.Path,
		Args:      program.Args,
		Env:       program.Env,
		Dir:       layout.Dir,
		Log:       layout.Log(component),
		Enter:     l.enter,
	}
	if spec.Path == "" {
		spec.Path = l.self
	}
	leader, runs := l.leaders[component]
	if runs && spec.Matches(leader) {
		l.replace(ctx, spec, leader)
		return nil
	}
	if runs {
		if err := process.End(ctx, leader, layout.Dir); err != nil {
			return err
		}
	}
	return l.start(ctx, spec)
}

// start starts the component, which may not end any more.
func (l *launcher) start(ctx context.Context, spec process.Spec) error {
	running, err := process.Start(spec, l.settings.Layout.Dir)
	if err != nil {
		return err
	}
	l.watchers.Go(func() {
		select {
		case <-running.Exited:
			l.fail(l.failure(spec.Component, fmt.Errorf("its process ended: %w", running.Err)))
		case <-ctx.Done():
		}
	})
	return nil
}

// replace starts the component when the one that runs ends: it may have been
// killed already, and only not have noticed yet.
func (l *launcher) replace(ctx context.Context, spec process.Spec, leader process.Process) {
	l.watchers.Go(func() {
		if process.AwaitExit(ctx, leader) != nil {
			return
		}
		if err := l.start(ctx, spec); err != nil {
			l.fail(err)
		}
	})
}

// await returns when the component is well.
func (l *launcher) await(ctx context.Context, component string) error {
	return l.wait(ctx, component, func(ctx context.Context) error { return l.prober.Check(ctx, component) })
}

// wait turns the failure of a wait into an error that shows its cause.
func (l *launcher) wait(ctx context.Context, component string, check func(context.Context) error) error {
	err := health.Wait(ctx, check)
	if err == nil {
		return nil
	}
	// When another component has ended, that is what there is to say.
	var failed *componentError
	if errors.As(err, &failed) {
		return failed
	}
	return l.failure(component, err)
}

// componentError names the component that keeps a cluster from being ready.
type componentError struct {
	component, log string
	err            error
}

func (l *launcher) failure(component string, err error) error {
	log := component
	if component == components.Node || component == components.DNS {
		log = components.Kubelet
	}
	return &componentError{component: component, log: l.settings.Layout.Log(log), err: err}
}

func (e *componentError) Error() string {
	return fmt.Sprintf("%s is not ready: %v; fix: read %s, which ends with\n%s", e.component, e.err, e.log, tail(e.log))
}

func (e *componentError) Unwrap() error { return e.err }

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
