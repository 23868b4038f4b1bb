// Package api talks to a cluster's API server as its administrator, with no
// more than is needed to look after a cluster.
package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"tenantry.dev/localcluster/internal/components"
)

// requestTimeout bounds each request, so that a server that hangs is noticed
// within the deadline of whoever waits for it.
const requestTimeout = 5 * time.Second

// answerLimit bounds what is read of an answer.
const answerLimit = 1 << 20

// Client is the administrator of one cluster.
type Client struct {
	server string
	http   *http.Client
}

// ErrNotFound is the answer for an object that does not exist.
var ErrNotFound = errors.New("not found")

// New reads the administrator's certificate, with which readiness can be
// asked for before the API server knows any role.
func New(s components.Settings) (*Client, error) {
	files := s.Admin()
	ca, err := os.ReadFile(files.Authority)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", files.Authority)
	}
	certificate, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate: %w", err)
	}
	return &Client{server: s.Server(), http: &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
	}}, nil
}

// HTTP is the client that trusts the cluster's authority and has the
// administrator's certificate, for the components' own endpoints.
func (c *Client) HTTP() *http.Client { return c.http }

// Get reads the object at path into object.
func (c *Client) Get(ctx context.Context, path string, object any) error {
	answer, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, object); err != nil {
		return fmt.Errorf("answer to GET %s: %w", path, err)
	}
	return nil
}

// Apply makes the object at path be as the YAML says, leaving alone what it
// does not speak of.
func (c *Client) Apply(ctx context.Context, path string, yaml []byte) error {
	_, err := c.do(ctx, http.MethodPatch, path+"?fieldManager=localcluster&force=true", "application/apply-patch+yaml", yaml)
	return err
}

// Delete removes the object at path.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.do(ctx, http.MethodDelete, path, "", nil)
	return err
}

func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "localcluster")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	case response.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s %s: %w", method, path, ErrNotFound)
	case response.StatusCode >= http.StatusBadRequest:
		return nil, fmt.Errorf("%s %s answered %s: %s", method, path, response.Status, message(answer))
	}
	return answer, nil
}

// message is what the API server says for people, where it says something.
func message(answer []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &status) == nil && status.Message != "" {
		return status.Message
	}
	return string(bytes.TrimSpace(answer))
}
