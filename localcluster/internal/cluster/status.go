package cluster

import (
	"context"
	"errors"

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
	// Without certificates nobody can be asked, and nothing runs for long.
	prober, proberErr := health.NewProber(settings)
	status := Status{
		Name:       remembered.Name,
		Mode:       remembered.Mode,
		Healthy:    true,
		Server:     settings.Server(),
		Kubeconfig: c.Layout.Kubeconfig(),
	}
	for _, name := range settings.Components() {
		component := ComponentStatus{Name: name, State: Healthy}
		leader, runs := leaders[name]
		component.PID = leader.PID
		switch {
		case !runs:
			component.State = Stopped
		case proberErr != nil:
			component.State, component.Detail = Unhealthy, proberErr.Error()
		default:
			if err := prober.Check(ctx, name); err != nil {
				component.State, component.Detail = Unhealthy, err.Error()
			}
		}
		status.Healthy = status.Healthy && component.State == Healthy
		status.Components = append(status.Components, component)
	}
	return status, nil
}
