package state

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// Layout names every file of one cluster.
type Layout struct {
	// Name of the cluster.
	Name string
	// Dir is the state folder: absolute and without symbolic links.
	Dir string
	// Default says whether Dir is where a cluster of this name lies unless
	// told otherwise.
	Default bool
}

// ID names what a cluster has outside its state folder. It is the cluster's
// name, and more where the state folder was chosen: two clusters of one name
// in two folders are two clusters.
func (l Layout) ID() string {
	if l.Default {
		return l.Name
	}
	sum := sha256.Sum256([]byte(l.Dir))
	return l.Name + "." + hex.EncodeToString(sum[:4])
}

// Path joins elements below the state folder.
func (l Layout) Path(elements ...string) string {
	return filepath.Join(append([]string{l.Dir}, elements...)...)
}

// StateFile remembers the choices made at the first start, see [State].
func (l Layout) StateFile() string { return l.Path("state.json") }

// Kubeconfig is the administrator's access to the cluster.
func (l Layout) Kubeconfig() string { return l.Path("kubeconfig") }

// ComponentKubeconfig is the access of one component.
func (l Layout) ComponentKubeconfig(component string) string {
	return l.Path("kubeconfigs", component)
}

// Log is the output of one component.
func (l Layout) Log(component string) string { return l.Path("logs", component+".log") }

// AuditLog records each mutating request the API server answered.
func (l Layout) AuditLog() string { return l.Path("audit.log") }

// AuditPolicy is the API server's audit configuration.
func (l Layout) AuditPolicy() string { return l.Path("config", "audit-policy.yaml") }

// Config is one component's configuration file.
func (l Layout) Config(file string) string { return l.Path("config", file) }

// PKI is the folder of certificates and keys.
func (l Layout) PKI() string { return l.Path("pki") }

// Cert is the certificate of the named identity.
func (l Layout) Cert(name string) string { return l.Path("pki", name+".crt") }

// Key is the private key of the named identity.
func (l Layout) Key(name string) string { return l.Path("pki", name+".key") }

// PublicKey is the public half of a key without a certificate.
func (l Layout) PublicKey(name string) string { return l.Path("pki", name+".pub") }

// EtcdData is etcd's database; it outlives every process of the cluster.
func (l Layout) EtcdData() string { return l.Path("etcd") }

// EtcdSocket is where etcd listens. A socket in a private folder needs
// neither a port nor TLS to keep other users out.
func (l Layout) EtcdSocket() string { return l.Path("etcd.sock") }

// EtcdPeerSocket exists because etcd insists on a peer address.
func (l Layout) EtcdPeerSocket() string { return l.Path("peer.sock") }

// ContainerdSocket is where containerd listens.
func (l Layout) ContainerdSocket() string { return l.Path("containerd.sock") }

// ContainerdRoot is where containerd keeps images and containers' files.
func (l Layout) ContainerdRoot() string { return l.Path("containerd") }

// KubeletRoot is where the kubelet keeps the pods' volumes.
func (l Layout) KubeletRoot() string { return l.Path("kubelet") }

// VolumePlugins is where volume plug-ins would lie, had the cluster any.
func (l Layout) VolumePlugins() string { return l.Path("kubelet", "volume-plugins") }

// Volume is the folder of one local volume.
func (l Layout) Volume(name string) string { return l.Path("volumes", name) }

// Lock is held while a command changes the cluster. It lies beside the state
// folder so that it can be held while the folder is removed.
func (l Layout) Lock() string { return l.Dir + ".lock" }
