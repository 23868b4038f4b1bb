package components

import (
	"net"

	"tenantry.dev/localcluster/internal/certs"
	"tenantry.dev/localcluster/internal/state"
)

// Files of the identities in the certificate folder.
const (
	caFile             = "ca"
	frontProxyCAFile   = "front-proxy-ca"
	frontProxyFile     = "front-proxy-client"
	apiServerFile      = "apiserver"
	kubeletClientFile  = "apiserver-kubelet-client"
	controllerFile     = "controller-manager"
	schedulerFile      = "scheduler"
	kubeletFile        = "kubelet"
	proxyFile          = "kube-proxy"
	adminFile          = "admin"
	serviceAccountFile = "service-account"
)

// ServiceAccountKey is the base name of the service accounts' key pair.
const ServiceAccountKey = serviceAccountFile

// Identities are the certificates of the cluster, authorities first.
//
// The aggregation layer has an authority of its own, as kubeadm has it: an
// aggregated API server that trusted the cluster's CA for request headers
// would let any client certificate claim to be any user.
func (s Settings) Identities() []certs.Identity {
	ids := []certs.Identity{
		{File: caFile, User: "tenantry-local-" + s.Layout.Name},
		{File: frontProxyCAFile, User: "tenantry-local-" + s.Layout.Name + "-front-proxy"},
		{File: frontProxyFile, Authority: frontProxyCAFile, User: "front-proxy-client", Client: true},
		{File: apiServerFile, Authority: caFile, User: "kube-apiserver", Server: true, Names: apiServerNames(), IPs: s.apiServerIPs()},
		{File: controllerFile, Authority: caFile, User: "system:kube-controller-manager", Client: true, Server: true, IPs: s.serverIPs()},
		{File: adminFile, Authority: caFile, User: "admin", Groups: []string{"system:masters"}, Client: true},
	}
	if s.Mode == state.ControlPlaneOnly {
		return ids
	}
	return append(ids,
		certs.Identity{File: kubeletClientFile, Authority: caFile, User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}, Client: true},
		certs.Identity{File: schedulerFile, Authority: caFile, User: "system:kube-scheduler", Client: true, Server: true, IPs: s.serverIPs()},
		certs.Identity{File: kubeletFile, Authority: caFile, User: "system:node:" + s.NodeName(), Groups: []string{"system:nodes"}, Client: true, Server: true, Names: []string{s.NodeName()}, IPs: s.serverIPs()},
		certs.Identity{File: proxyFile, Authority: caFile, User: "system:kube-proxy", Client: true},
	)
}

func apiServerNames() []string {
	return []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain, "localhost"}
}

// apiServerIPs holds loopback once, also when it is the node's address.
func (s Settings) apiServerIPs() []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(apiServiceIP)}
	if !s.Node.IsLoopback() {
		ips = append(ips, s.Node)
	}
	return ips
}

func (s Settings) serverIPs() []net.IP { return []net.IP{s.Node} }

// Kubeconfigs maps each kubeconfig file to the identity it carries.
func (s Settings) Kubeconfigs() map[string]string {
	files := map[string]string{
		s.Layout.Kubeconfig():                           adminFile,
		s.Layout.ComponentKubeconfig(ControllerManager): controllerFile,
	}
	if s.Mode == state.Full {
		files[s.Layout.ComponentKubeconfig(Scheduler)] = schedulerFile
		files[s.Layout.ComponentKubeconfig(Kubelet)] = kubeletFile
		files[s.Layout.ComponentKubeconfig(Proxy)] = proxyFile
	}
	return files
}
