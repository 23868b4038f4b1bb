package certs

import (
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"

	"tenantry.dev/localcluster/internal/state"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func identities(ips ...net.IP) []Identity {
	return []Identity{
		{File: "ca", User: "authority"},
		{File: "server", Authority: "ca", User: "server", Server: true, Names: []string{"kubernetes.default.svc"}, IPs: ips},
		{File: "client", Authority: "ca", User: "admin", Groups: []string{"system:masters"}, Client: true},
	}
}

func ensure(t *testing.T, l state.Layout, ids []Identity, at time.Time) bool {
	t.Helper()
	changed, err := Ensure(l, ids, at)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func certificate(t *testing.T, l state.Layout, file string) *x509.Certificate {
	t.Helper()
	pair, err := load(l, file)
	if err != nil {
		t.Fatal(err)
	}
	return pair.certificate
}

func TestCertificatesServeWhatTheyNameAndNothingElse(t *testing.T) {
	l := state.Layout{Name: "demo", Dir: t.TempDir()}
	if !ensure(t, l, identities(net.IPv4(10, 243, 0, 2)), now) {
		t.Error("new certificates are not reported as a change")
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, l, "ca"))
	for name, good := range map[string]bool{"kubernetes.default.svc": true, "10.243.0.2": true, "10.243.0.1": false, "kubernetes": false} {
		_, err := certificate(t, l, "server").Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now})
		if (err == nil) != good {
			t.Errorf("serving as %s: %v, want good = %v", name, err, good)
		}
	}
	client := certificate(t, l, "client")
	if client.Subject.CommonName != "admin" || client.Subject.Organization[0] != "system:masters" {
		t.Errorf("client is %s", client.Subject)
	}
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("a client's certificate may serve")
	}
}

func TestGoodCertificatesAreKept(t *testing.T) {
	l := state.Layout{Name: "demo", Dir: t.TempDir()}
	ids := identities(net.IPv4(10, 243, 0, 2), net.ParseIP("127.0.0.1"))
	ensure(t, l, ids, now)
	if ensure(t, l, ids, now.Add(time.Hour)) {
		t.Error("certificates were made anew for no reason")
	}
}

func TestCertificatesAreMadeAnewWhenTheyNoLongerFit(t *testing.T) {
	ids := identities(net.IPv4(10, 243, 0, 2))
	for name, spoil := range map[string]func(l state.Layout) ([]Identity, time.Time){
		"another address": func(state.Layout) ([]Identity, time.Time) { return identities(net.IPv4(10, 243, 1, 2)), now },
		"nearly expired":  func(state.Layout) ([]Identity, time.Time) { return ids, now.Add(lifetime - margin) },
		"lost authority":  func(l state.Layout) ([]Identity, time.Time) { os.Remove(l.Cert("ca")); return ids, now },
		"damaged key": func(l state.Layout) ([]Identity, time.Time) {
			os.WriteFile(l.Key("server"), []byte("?"), 0o600)
			return ids, now
		},
		"another's key": func(l state.Layout) ([]Identity, time.Time) {
			os.Rename(l.Key("client"), l.Key("server"))
			return ids, now
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := state.Layout{Name: "demo", Dir: t.TempDir()}
			ensure(t, l, ids, now)
			wanted, at := spoil(l)
			if !ensure(t, l, wanted, at) {
				t.Error("nothing was made anew")
			}
			roots := x509.NewCertPool()
			roots.AddCert(certificate(t, l, "ca"))
			if _, err := certificate(t, l, "server").Verify(x509.VerifyOptions{DNSName: wanted[1].IPs[0].String(), Roots: roots, CurrentTime: at}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServiceAccountKeyIsKeptUntilItIsDamaged(t *testing.T) {
	l := state.Layout{Name: "demo", Dir: t.TempDir()}
	for step, want := range []bool{true, false} {
		if changed, err := EnsureServiceAccountKey(l, "sa"); err != nil || changed != want {
			t.Fatalf("step %d: changed = %v, %v", step, changed, err)
		}
	}
	if err := os.Remove(l.PublicKey("sa")); err != nil {
		t.Fatal(err)
	}
	if changed, err := EnsureServiceAccountKey(l, "sa"); err != nil || !changed {
		t.Errorf("without its public half: changed = %v, %v", changed, err)
	}
}
