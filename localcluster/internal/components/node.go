package components

import (
	"fmt"
	"net"
	"strconv"

	"tenantry.dev/localcluster/internal/cgroups"
)

// PauseImage is the image of the process that holds a pod together.
const PauseImage = "localhost/tenantry/pause:1"

// cniFolder is where Debian's containernetworking-plugins are.
const cniFolder = "/usr/lib/cni"

// SchedulerCommand is the scheduler's command line.
func (s Settings) SchedulerCommand() []string {
	kubeconfig := s.Layout.ComponentKubeconfig(Scheduler)
	return flags(Scheduler,
		"kubeconfig", kubeconfig,
		"authentication-kubeconfig", kubeconfig,
		"authorization-kubeconfig", kubeconfig,
		"leader-elect", "false",
		"profiling", "false",
		"bind-address", s.Node.String(),
		"secure-port", strconv.Itoa(schedulerPort),
		"tls-cert-file", s.Layout.Cert(schedulerFile),
		"tls-private-key-file", s.Layout.Key(schedulerFile),
		"client-ca-file", s.Layout.Cert(caFile),
		"requestheader-client-ca-file", s.Layout.Cert(frontProxyCAFile),
		"kube-api-qps", "200",
		"kube-api-burst", "400",
	)
}

// ContainerdCommand is containerd's command line.
func (s Settings) ContainerdCommand() []string {
	return flags(Containerd, "config", s.Layout.Config(containerdFile))
}

// KubeletCommand is the kubelet's command line.
func (s Settings) KubeletCommand() []string {
	return flags(Kubelet,
		"config", s.Layout.Config(kubeletConfigFile),
		"kubeconfig", s.Layout.ComponentKubeconfig(Kubelet),
		"root-dir", s.Layout.KubeletRoot(),
		"cert-dir", s.Layout.Path("kubelet", "pki"),
		"hostname-override", s.NodeName(),
		"node-ip", s.Node.String(),
	)
}

// ProxyCommand is kube-proxy's command line.
func (s Settings) ProxyCommand() []string {
	return flags(Proxy, "config", s.Layout.Config(proxyConfigFile))
}

// Configuration files of the node's components.
const (
	containerdFile    = "containerd.toml"
	kubeletConfigFile = "kubelet.yaml"
	proxyConfigFile   = "kube-proxy.yaml"
	resolvFile        = "resolv.conf"
)

// nodeFiles renders the configuration of the node's components.
func (s Settings) nodeFiles() map[string][]byte {
	l := s.Layout
	return map[string][]byte{
		l.Config(containerdFile):    []byte(s.containerdConfig()),
		l.Config(kubeletConfigFile): []byte(s.kubeletConfig()),
		l.Config(proxyConfigFile):   []byte(s.proxyConfig()),
		l.Config(resolvFile):        []byte("# Nothing outside the cluster can be reached, and so not be looked up.\n"),
		s.cniFile():                 []byte(cniConfig),
	}
}

func (s Settings) cniFile() string { return s.Layout.Config("cni/10-tenantry.conflist") }

// containerdConfig: its state lies in a folder that is private to the
// cluster's mount namespace and gone after a restart of the machine, as
// containerd expects. restrict_oom_score_adj lets sandboxes start where root
// lacks CAP_SYS_RESOURCE. AppArmor is left alone, because containerd would load
// a profile into the kernel that stays behind.
func (s Settings) containerdConfig() string {
	return fmt.Sprintf(`version = 2
root = %q
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = %q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`, s.Layout.ContainerdRoot(), s.Layout.ContainerdSocket(), PauseImage, cniFolder, s.Layout.Config("cni"))
}

// kubeletConfig: images are never pulled nor collected, since they cannot be
// had again, and pods are only evicted when the disk is all but full, as a
// laptop's often is.
func (s Settings) kubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %q}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
address: %q
healthzBindAddress: %q
healthzPort: %d
containerRuntimeEndpoint: %q
podLogsDir: %q
volumePluginDir: %q
resolvConf: %q
clusterDNS: [%q]
clusterDomain: %q
cgroupDriver: cgroupfs
cgroupRoot: %q
failSwapOn: false
oomScoreAdj: 0
maxPods: 200
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard:
  memory.available: 64Mi
  nodefs.available: 64Mi
  imagefs.available: 64Mi
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 0
`,
		s.Layout.Cert(caFile), s.Layout.Cert(kubeletFile), s.Layout.Key(kubeletFile),
		s.Node.String(), s.Node.String(), kubeletHealthPort,
		"unix://"+s.Layout.ContainerdSocket(), s.Layout.Path("pod-logs"), s.Layout.VolumePlugins(),
		s.Layout.Config(resolvFile), DNSServiceIP, clusterDomain,
		cgroups.Of(s.Layout.ID()).Path(),
	)
}

// proxyConfig: connection tracking limits belong to the whole machine and are
// not touched.
func (s Settings) proxyConfig() string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %q}
mode: iptables
iptables: {minSyncPeriod: 200ms}
clusterCIDR: %s
hostnameOverride: %q
bindAddress: %q
healthzBindAddress: %q
metricsBindAddress: "127.0.0.1:10249"
nodePortAddresses: [%q]
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`,
		s.Layout.ComponentKubeconfig(Proxy), podRange, s.NodeName(), s.Node.String(),
		net.JoinHostPort(s.Node.String(), strconv.Itoa(proxyHealthPort)), s.NodeNetwork,
	)
}

// cniConfig connects pods by a bridge. Packets to the outside keep the pod's
// address, for which nobody knows the way back: pods reach the cluster only.
const cniConfig = `{
  "cniVersion": "1.0.0",
  "name": "tenantry",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": false,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "` + nodePodRange + `"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`
