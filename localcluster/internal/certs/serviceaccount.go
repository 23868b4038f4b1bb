package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"tenantry.dev/localcluster/internal/state"
)

// EnsureServiceAccountKey makes the pair that signs and checks service
// account tokens, and reports whether it is a new one. It is RSA, unlike the
// certificates, so that tokens look like those of other clusters to whoever
// verifies them.
func EnsureServiceAccountKey(l state.Layout, file string) (changed bool, err error) {
	if serviceAccountKeyIsGood(l, file) {
		return false, nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return false, fmt.Errorf("make service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return false, fmt.Errorf("encode service account key: %w", err)
	}
	if err := writePEM(l.Key(file), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)); err != nil {
		return false, fmt.Errorf("write service account key: %w", err)
	}
	if err := writePEM(l.PublicKey(file), "PUBLIC KEY", public); err != nil {
		return false, fmt.Errorf("write service account key: %w", err)
	}
	return true, nil
}

func serviceAccountKeyIsGood(l state.Layout, file string) bool {
	private, err := readPEM(l.Key(file))
	if err != nil {
		return false
	}
	public, err := readPEM(l.PublicKey(file))
	if err != nil {
		return false
	}
	key, err := x509.ParsePKCS1PrivateKey(private)
	if err != nil {
		return false
	}
	published, err := x509.ParsePKIXPublicKey(public)
	return err == nil && key.PublicKey.Equal(published)
}
