// Package health asks components whether they are well.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"tenantry.dev/localcluster/internal/api"
	"tenantry.dev/localcluster/internal/components"
	"tenantry.dev/localcluster/internal/network"
)

// Poll is how often a condition is looked at while it is waited for.
const Poll = 40 * time.Millisecond

const (
	etcdTimeout = 2 * time.Second
	// lookupTimeout is short, for a packet to a pod that is gone gets no
	// answer, and the next attempt may find it back.
	lookupTimeout = 500 * time.Millisecond
	bodyLimit     = 4096
)

// Prober asks the components of one cluster.
type Prober struct {
	settings components.Settings
	api      *api.Client
	etcd     *http.Client
	resolver *net.Resolver
}

// NewProber prepares to ask, as the administrator.
func NewProber(s components.Settings, client *api.Client) *Prober {
	dialer := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Layout.EtcdSocket())
	}
	return &Prober{
		settings: s,
		api:      client,
		etcd:     &http.Client{Timeout: etcdTimeout, Transport: &http.Transport{DialContext: dialer}},
		resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, protocol, _ string) (net.Conn, error) {
			return network.Of(s.Layout.ID()).Dial(ctx, protocol, net.JoinHostPort(components.DNSServiceIP, "53"))
		}},
	}
}

// Listening returns nil when the API server accepts connections, which is some
// time before it is ready.
func (p *Prober) Listening(ctx context.Context) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", p.settings.Address())
	if err != nil {
		return err
	}
	return connection.Close()
}

// Check returns nil when the component answers that it is well.
func (p *Prober) Check(ctx context.Context, component string) error {
	switch component {
	case components.Etcd:
		return get(ctx, p.etcd, "http://etcd/health")
	case components.ControllerManager:
		return p.controllers(ctx)
	case components.Containerd:
		return containerRuntime(ctx, p.settings.Layout.ContainerdSocket())
	case components.Node:
		return p.node(ctx)
	case components.DNS:
		return p.dns(ctx)
	default:
		return get(ctx, p.api.HTTP(), p.settings.HealthURL(component))
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", url, response.Status, failing(string(body)))
	}
	return nil
}

// failing keeps the failing checks of a readiness report, which are what one
// wants to know from its thirty lines.
func failing(report string) string {
	var lines []string
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "[-]") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return strings.TrimSpace(report)
	}
	return strings.Join(lines, ", ")
}

// controllers are well when they have made the account that every pod in the
// default namespace needs. They say that they are healthy long before.
func (p *Prober) controllers(ctx context.Context) error {
	if err := get(ctx, p.api.HTTP(), p.settings.HealthURL(components.ControllerManager)); err != nil {
		return err
	}
	return p.api.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", &struct{}{})
}

// node is well when its kubelet has said so lately.
func (p *Prober) node(ctx context.Context) error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := p.api.Get(ctx, "/api/v1/nodes/"+p.settings.NodeName(), &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status != "True" {
			return errors.New(condition.Message)
		}
		if condition.Type == "Ready" {
			return nil
		}
	}
	return errors.New("the node has not reported yet")
}

// dns is well when it says so and a name is resolved: after a crash the API
// server holds a pod for ready until its kubelet is back and says otherwise.
func (p *Prober) dns(ctx context.Context) error {
	var deployment struct {
		Metadata struct{ Generation int64 }
		Status   struct {
			ObservedGeneration int64
			ReadyReplicas      int
			UpdatedReplicas    int
		}
	}
	if err := p.api.Get(ctx, components.DNSPath, &deployment); err != nil {
		return err
	}
	status := deployment.Status
	if status.ObservedGeneration < deployment.Metadata.Generation || status.UpdatedReplicas == 0 || status.ReadyReplicas == 0 {
		return errors.New("no pod of it is ready")
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	_, err := p.resolver.LookupHost(ctx, components.KnownHost)
	return err
}

// Wait polls check until it succeeds or ctx is done. The error then holds the
// last answer and wraps the cause of ctx.
func Wait(ctx context.Context, check func(context.Context) error) error {
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		// The answer that tells something is the one before time was up.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-time.After(Poll):
		}
	}
}
