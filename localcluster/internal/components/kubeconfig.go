package components

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig renders access to the cluster for one identity. Certificates and
// key are embedded, so the file can be copied to wherever it is needed.
func (s Settings) Kubeconfig(identity string) ([]byte, error) {
	name := "tenantry-local-" + s.Layout.Name
	config := clientcmdapi.NewConfig()
	cluster, user, context := clientcmdapi.NewCluster(), clientcmdapi.NewAuthInfo(), clientcmdapi.NewContext()
	cluster.Server = s.Server()
	context.Cluster, context.AuthInfo = name, identity
	var err error
	if cluster.CertificateAuthorityData, err = os.ReadFile(s.Layout.Cert(caFile)); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", identity, err)
	}
	if user.ClientCertificateData, err = os.ReadFile(s.Layout.Cert(identity)); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", identity, err)
	}
	if user.ClientKeyData, err = os.ReadFile(s.Layout.Key(identity)); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", identity, err)
	}
	config.Clusters[name], config.AuthInfos[identity], config.Contexts[name] = cluster, user, context
	config.CurrentContext = name
	return clientcmd.Write(*config)
}

// Credentials are the files that a TLS client needs.
type Credentials struct{ Authority, Certificate, Key string }

// Admin are the administrator's credentials.
func (s Settings) Admin() Credentials {
	return Credentials{
		Authority:   s.Layout.Cert(caFile),
		Certificate: s.Layout.Cert(adminFile),
		Key:         s.Layout.Key(adminFile),
	}
}
