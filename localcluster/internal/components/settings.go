// Package components says how each program of a cluster is started: its
// command line and its configuration files. Everything in it is pure.
package components

import (
	"fmt"
	"net"
	"strconv"

	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/state"
)

// Names of the components, which are also the programs inside the binary
// (containerd apart, which comes from its package).
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Containerd        = "containerd"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
)

// Further parts of a whole cluster that are asked how they do, without being
// processes of the host.
const (
	Node = "node"
	DNS  = "coredns"
)

// DNSPath is where the API server has the Deployment of the cluster's DNS.
const DNSPath = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"

// KnownHost is a name that the cluster's DNS can always resolve.
const KnownHost = "kubernetes.default.svc." + clusterDomain + "."

// DNSImage is the image of the cluster's DNS.
const DNSImage = "localhost/tenantry/coredns:1"

// Addresses inside every cluster. They repeat from cluster to cluster, since
// each has a network of its own.
const (
	// ServiceRange is where Services have their addresses.
	ServiceRange = "10.96.0.0/16"
	podRange     = "10.244.0.0/16"
	nodePodRange = "10.244.0.0/24"
	apiServiceIP = "10.96.0.1"
	// DNSServiceIP is where pods find the cluster's DNS.
	DNSServiceIP  = "10.96.0.10"
	clusterDomain = "cluster.local"
)

// The ports of a cluster that has an address of its own.
const (
	apiServerPort         = 6443
	controllerManagerPort = 10257
	schedulerPort         = 10259
	proxyHealthPort       = 10256
	kubeletHealthPort     = 10248
)

// Settings is all that the components' command lines depend on.
type Settings struct {
	Layout state.Layout
	Mode   state.Mode
	// Node is the address of the node, or loopback when there is none.
	Node net.IP
	// NodeNetwork is the small network between host and node.
	NodeNetwork string
	// Ports are where the control plane listens.
	Ports state.Ports
	// APIServerArgs are further flags of the API server.
	APIServerArgs []string
}

// ControlPlaneOnly are the settings of a control plane on loopback.
func ControlPlaneOnly(l state.Layout, ports state.Ports, apiServerArgs []string) Settings {
	return Settings{
		Layout:        l,
		Mode:          state.ControlPlaneOnly,
		Node:          net.IPv4(127, 0, 0, 1),
		Ports:         ports,
		APIServerArgs: apiServerArgs,
	}
}

// Full are the settings of a whole cluster in a slot.
func Full(l state.Layout, slot network.Slot, apiServerArgs []string) Settings {
	return Settings{
		Layout:        l,
		Mode:          state.Full,
		Node:          slot.Node(),
		NodeNetwork:   slot.Network().String(),
		Ports:         state.Ports{APIServer: apiServerPort, ControllerManager: controllerManagerPort},
		APIServerArgs: apiServerArgs,
	}
}

// Server is the API server's URL.
func (s Settings) Server() string { return s.https(s.Ports.APIServer) }

// Address is where the API server listens.
func (s Settings) Address() string { return s.at(s.Ports.APIServer) }

// HealthURL is where a component answers whether it is well, or empty when
// it has to be asked otherwise.
func (s Settings) HealthURL(component string) string {
	switch component {
	case APIServer:
		return s.https(s.Ports.APIServer) + "/readyz"
	case ControllerManager:
		return s.https(s.Ports.ControllerManager) + "/healthz"
	case Scheduler:
		return s.https(schedulerPort) + "/healthz"
	case Kubelet:
		return "http://" + s.at(kubeletHealthPort) + "/healthz"
	case Proxy:
		return "http://" + s.at(proxyHealthPort) + "/healthz"
	default:
		return ""
	}
}

func (s Settings) https(port int) string { return "https://" + s.at(port) }

func (s Settings) at(port int) string {
	return net.JoinHostPort(s.Node.String(), strconv.Itoa(port))
}

// NodeName is the name of the cluster's only node.
func (s Settings) NodeName() string { return s.Layout.Name }

// flags renders a command line with one `--name=value` for each pair.
func flags(program string, pairs ...string) []string {
	if len(pairs)%2 != 0 {
		panic(fmt.Sprintf("flags of %s do not come in pairs", program))
	}
	line := []string{program}
	for i := 0; i < len(pairs); i += 2 {
		line = append(line, "--"+pairs[i]+"="+pairs[i+1])
	}
	return line
}
