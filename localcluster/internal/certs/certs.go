// Package certs makes the certificates of a cluster and keeps the ones that
// are still good.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"time"

	"tenantry.dev/localcluster/internal/state"
)

const (
	lifetime = 10 * 365 * 24 * time.Hour
	// margin is how long a kept certificate must still be good for.
	margin = 30 * 24 * time.Hour
	// clockSkew makes a new certificate good for a clock that is behind.
	clockSkew = time.Hour
)

// Identity is one certificate: who it names and where it may serve.
type Identity struct {
	// File is the base name of its files.
	File string
	// Authority is the file of the CA that signs it; empty for a CA.
	Authority string
	// User and Groups are how the API server sees a client.
	User   string
	Groups []string
	// Names and IPs are what a server answers to.
	Names []string
	IPs   []net.IP
	// Server and Client say what it may be used for.
	Server, Client bool
}

// Ensure makes every identity's certificate and key, authorities first,
// keeping the files that already hold exactly what is asked for. It reports
// whether any file changed.
func Ensure(l state.Layout, identities []Identity, now time.Time) (changed bool, err error) {
	made := make(map[string]*pair, len(identities))
	for _, id := range identities {
		authority := made[id.Authority]
		if id.Authority != "" && authority == nil {
			return changed, fmt.Errorf("certificate %s: its authority %s is not made before it", id.File, id.Authority)
		}
		kept, err := load(l, id.File)
		if err == nil && kept.fits(id, authority, now) {
			made[id.File] = kept
			continue
		}
		fresh, err := issue(id, authority, now)
		if err != nil {
			return changed, fmt.Errorf("make certificate %s: %w", id.File, err)
		}
		if err := fresh.save(l, id.File); err != nil {
			return changed, fmt.Errorf("write certificate %s: %w", id.File, err)
		}
		made[id.File], changed = fresh, true
	}
	return changed, nil
}

type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// fits reports whether a kept certificate can stand in for a fresh one.
func (p *pair) fits(id Identity, authority *pair, now time.Time) bool {
	c := p.certificate
	parent := c
	if authority != nil {
		parent = authority.certificate
	}
	return c.CheckSignatureFrom(parent) == nil &&
		p.key.PublicKey.Equal(c.PublicKey) &&
		now.After(c.NotBefore) && now.Add(margin).Before(c.NotAfter) &&
		c.Subject.CommonName == id.User &&
		slices.Equal(c.Subject.Organization, id.Groups) &&
		slices.Equal(c.DNSNames, id.Names) &&
		slices.EqualFunc(c.IPAddresses, id.IPs, net.IP.Equal) &&
		slices.Equal(c.ExtKeyUsage, id.usages()) &&
		c.IsCA == (id.Authority == "")
}

func (id Identity) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if id.Server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if id.Client {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}

func issue(id Identity, authority *pair, now time.Time) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: id.User, Organization: id.Groups},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(lifetime),
		DNSNames:              id.Names,
		IPAddresses:           id.IPs,
		ExtKeyUsage:           id.usages(),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	parent, signer := template, crypto.Signer(key)
	if authority == nil {
		template.IsCA = true
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		parent, signer = authority.certificate, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &pair{certificate: certificate, key: key}, nil
}

func load(l state.Layout, file string) (*pair, error) {
	certificateBytes, err := readPEM(l.Cert(file))
	if err != nil {
		return nil, err
	}
	keyBytes, err := readPEM(l.Key(file))
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(certificateBytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(keyBytes)
	if err != nil {
		return nil, err
	}
	return &pair{certificate: certificate, key: key}, nil
}

func (p *pair) save(l state.Layout, file string) error {
	key, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		return err
	}
	if err := writePEM(l.Key(file), "EC PRIVATE KEY", key); err != nil {
		return err
	}
	return writePEM(l.Cert(file), "CERTIFICATE", p.certificate.Raw)
}

func readPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, bytes []byte) error {
	return state.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600)
}
