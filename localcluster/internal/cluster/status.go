package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tenantry.dev/localcluster/internal/api"
	"tenantry.dev/localcluster/internal/health"
	"tenantry.dev/localcluster/internal/process"
	"tenantry.dev/localcluster/internal/state"
)

// Words for the state of a component.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
	Stopped   = "stopped"
)

// ComponentStatus is how one component does.
type ComponentStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	PID    int    `json:"pid,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Status is how a cluster does.
type Status struct {
	Name       string            `json:"name"`
	Mode       state.Mode        `json:"mode"`
	Healthy    bool              `json:"healthy"`
	Server     string            `json:"server"`
	Kubeconfig string            `json:"kubeconfig"`
	Components []ComponentStatus `json:"components"`
}

// ErrUnhealthy says that not every component is healthy.
var ErrUnhealthy = errors.New("cluster is not healthy")

// Status asks every component how it does.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	remembered, err := c.load()
	if err != nil {
		return Status{}, err
	}
	settings := c.settings(remembered)
	processes, err := process.Find(c.Layout.Dir)
	if err != nil {
		return Status{}, err
	}
	leaders := process.Leaders(processes)
	status := Status{
		Name:       remembered.Name,
		Mode:       remembered.Mode,
		Server:     settings.Server(),
		Kubeconfig: c.Layout.Kubeconfig(),
	}
	// Without certificates nobody can be asked, and nothing runs for long.
	client, err := api.New(settings)
	if err != nil {
		return Status{}, fmt.Errorf("%w; fix: localcluster up", err)
	}
	prober := health.NewProber(settings, client)
	for _, name := range settings.Components() {
		component := ComponentStatus{Name: name, State: Stopped}
		if leader, runs := leaders[name]; runs {
			component.PID = leader.PID
			component.ask(ctx, prober)
		}
		status.Components = append(status.Components, component)
	}
	for _, name := range settings.Contents() {
		component := ComponentStatus{Name: name}
		component.ask(ctx, prober)
		status.Components = append(status.Components, component)
	}
	status.Healthy = !slices.ContainsFunc(status.Components, func(s ComponentStatus) bool { return s.State != Healthy })
	return status, nil
}

func (s *ComponentStatus) ask(ctx context.Context, prober *health.Prober) {
	s.State = Healthy
	if err := prober.Check(ctx, s.Name); err != nil {
		s.State, s.Detail = Unhealthy, err.Error()
	}
}
