package components

import (
	"strconv"
	"strings"

	"tenantry.dev/localcluster/internal/state"
)

// EtcdCommand is etcd's command line.
//
// A control plane for tests does without fsync: the log survives the death of
// any process, and a test's cluster need not survive the machine's.
func (s Settings) EtcdCommand() []string {
	// What it advertises has to be a host and a port. Nobody reads that: there
	// are no peers, and the API server is told the sockets.
	const client, peer = "http://localhost:2379", "http://localhost:2380"
	line := flags(Etcd,
		"name", "local",
		"data-dir", s.Layout.EtcdData(),
		"listen-client-urls", "unix://"+s.Layout.EtcdSocket(),
		"advertise-client-urls", client,
		"listen-peer-urls", "unix://"+s.Layout.EtcdPeerSocket(),
		"initial-advertise-peer-urls", peer,
		"initial-cluster", "local="+peer,
		"log-level", "warn",
		"auto-compaction-mode", "periodic",
		"auto-compaction-retention", "1h",
	)
	if s.Mode == state.ControlPlaneOnly {
		line = append(line, "--unsafe-no-fsync")
	}
	return line
}

// apiServerPairs are the flags that the cluster needs.
func (s Settings) apiServerPairs() []string {
	l := s.Layout
	pairs := []string{
		"etcd-servers", "unix://" + l.EtcdSocket(),
		"secure-port", strconv.Itoa(s.Ports.APIServer),
		"advertise-address", s.Node.String(),
		"service-cluster-ip-range", ServiceRange,
		"authorization-mode", "Node,RBAC",
		"enable-admission-plugins", "NodeRestriction",
		"allow-privileged", "true",
		"profiling", "false",

		"tls-cert-file", l.Cert(apiServerFile),
		"tls-private-key-file", l.Key(apiServerFile),
		"client-ca-file", l.Cert(caFile),

		"service-account-issuer", "https://kubernetes.default.svc." + clusterDomain,
		"service-account-key-file", l.PublicKey(serviceAccountFile),
		"service-account-signing-key-file", l.Key(serviceAccountFile),

		"requestheader-client-ca-file", l.Cert(frontProxyCAFile),
		"requestheader-allowed-names", "front-proxy-client",
		"requestheader-username-headers", "X-Remote-User",
		"requestheader-group-headers", "X-Remote-Group",
		"requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"proxy-client-cert-file", l.Cert(frontProxyFile),
		"proxy-client-key-file", l.Key(frontProxyFile),

		// Blocking mode writes each entry before the request is answered, so
		// whoever saw an answer also finds the entry.
		"audit-policy-file", l.AuditPolicy(),
		"audit-log-path", l.AuditLog(),
		"audit-log-mode", "blocking",
		"audit-log-format", "json",
		"audit-log-maxsize", "1024",
		"audit-log-maxbackup", "1",
	}
	if s.Mode == state.ControlPlaneOnly {
		return append(pairs,
			"bind-address", s.Node.String(),
			// Nothing reaches loopback through a Service, and the API server
			// refuses to publish such an endpoint.
			"endpoint-reconciler-type", "none",
		)
	}
	return append(pairs,
		"bind-address", "0.0.0.0",
		"enable-aggregator-routing", "true",
		"kubelet-preferred-address-types", "InternalIP",
		"kubelet-certificate-authority", l.Cert(caFile),
		"kubelet-client-certificate", l.Cert(kubeletClientFile),
		"kubelet-client-key", l.Key(kubeletClientFile),
	)
}

// APIServerCommand is the API server's command line. Flags given by the user
// come last and win.
func (s Settings) APIServerCommand() []string {
	line := flags(APIServer, s.apiServerPairs()...)
	for _, argument := range s.APIServerArgs {
		line = append(line, "--"+argument)
	}
	return line
}

// testControllers are the controllers that a control plane without a node
// runs: those that end, guard and publish objects. The ones that would run
// workloads are left out, since nothing could run and a test that plays the
// kubelet would find its status writes overwritten.
var testControllers = []string{
	"namespace-controller",
	"garbage-collector-controller",
	"resourcequota-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller",
	"persistentvolumeclaim-protection-controller",
	"persistentvolume-protection-controller",
	"validatingadmissionpolicy-status-controller",
	"certificatesigningrequest-approving-controller",
	"certificatesigningrequest-signing-controller",
	"service-cidr-controller",
}

// ControllerManagerCommand is the controller manager's command line. Its
// request rate is raised well above the customary one, which is meant for
// sharing an API server among many: here it would only be waited for.
func (s Settings) ControllerManagerCommand() []string {
	l := s.Layout
	kubeconfig := l.ComponentKubeconfig(ControllerManager)
	pairs := []string{
		"kubeconfig", kubeconfig,
		"authentication-kubeconfig", kubeconfig,
		"authorization-kubeconfig", kubeconfig,
		"leader-elect", "false",
		"profiling", "false",
		"bind-address", s.Node.String(),
		"secure-port", strconv.Itoa(s.Ports.ControllerManager),
		"tls-cert-file", l.Cert(controllerFile),
		"tls-private-key-file", l.Key(controllerFile),
		"root-ca-file", l.Cert(caFile),
		"client-ca-file", l.Cert(caFile),
		"requestheader-client-ca-file", l.Cert(frontProxyCAFile),
		"cluster-signing-cert-file", l.Cert(caFile),
		"cluster-signing-key-file", l.Key(caFile),
		"service-account-private-key-file", l.Key(serviceAccountFile),
		"use-service-account-credentials", "true",
		"kube-api-qps", "200",
		"kube-api-burst", "400",
	}
	if s.Mode == state.ControlPlaneOnly {
		return flags(ControllerManager, append(pairs, "controllers", strings.Join(testControllers, ","))...)
	}
	return flags(ControllerManager, append(pairs,
		"allocate-node-cidrs", "true",
		"cluster-cidr", podRange,
		"service-cluster-ip-range", ServiceRange,
		// Otherwise a folder outside the cluster's own would be made for it.
		"flex-volume-plugin-dir", l.VolumePlugins(),
	)...)
}

// AuditPolicy has the API server record every mutating request once, when it
// has been answered: who, with which program, did what to which object, and
// nothing of the object's content.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
`
