// Package health asks components whether they are well.
package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"tenantry.dev/localcluster/internal/components"
)

// Poll is how often a condition is looked at while it is waited for.
const Poll = 40 * time.Millisecond

const (
	requestTimeout = 2 * time.Second
	bodyLimit      = 2048
)

// Prober asks the components of one cluster.
type Prober struct {
	settings components.Settings
	https    *http.Client
	etcd     *http.Client
}

// NewProber reads the administrator's certificate, with which readiness can
// be asked for before the API server knows any role.
func NewProber(s components.Settings) (*Prober, error) {
	files := s.Admin()
	ca, err := os.ReadFile(files.Authority)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", files.Authority)
	}
	client, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate: %w", err)
	}
	unixDialer := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Layout.EtcdSocket())
	}
	return &Prober{
		settings: s,
		https: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		}},
		etcd: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			DialContext:       unixDialer,
			DisableKeepAlives: true,
		}},
	}, nil
}

// Check returns nil when the component answers that it is well.
func (p *Prober) Check(ctx context.Context, component string) error {
	switch component {
	case components.Etcd:
		return get(ctx, p.etcd, "http://etcd/health")
	case components.Containerd:
		return dial(ctx, p.settings.Layout.ContainerdSocket())
	default:
		url := p.settings.HealthURL(component)
		if url == "" {
			return nil
		}
		return get(ctx, p.https, url)
	}
}

func dial(ctx context.Context, socket string) error {
	connection, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return connection.Close()
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

// ErrEnded is how a wait ends when what is waited for has died.
var ErrEnded = errors.New("the process ended")

// Wait polls check until it succeeds, ended is closed or ctx is done. The
// error then holds the last answer.
func Wait(ctx context.Context, ended <-chan struct{}, check func(context.Context) error) error {
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%w (%v)", ErrEnded, last)
		case <-ctx.Done():
			return fmt.Errorf("%w (%v)", ctx.Err(), last)
		case <-time.After(Poll):
		}
	}
}
