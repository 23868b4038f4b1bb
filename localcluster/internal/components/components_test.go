package components

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"
	proxyv1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"tenantry.dev/localcluster/internal/certs"
	"tenantry.dev/localcluster/internal/network"
	"tenantry.dev/localcluster/internal/state"
)

func both(t *testing.T) []Settings {
	l := state.Layout{Name: "demo", Dir: t.TempDir(), Default: true}
	return []Settings{
		ControlPlaneOnly(l, state.Ports{APIServer: 20001, ControllerManager: 20002}, []string{"v=1"}),
		Full(l, network.Slot(3), nil),
	}
}

func TestNoFlagIsGivenTwice(t *testing.T) {
	for _, s := range both(t) {
		for _, component := range s.Components() {
			seen := make(map[string]bool)
			for _, argument := range s.Program(component).Args[1:] {
				name, _, _ := strings.Cut(argument, "=")
				if seen[name] {
					t.Errorf("%s: %s has %s twice", s.Mode, component, name)
				}
				seen[name] = true
			}
		}
	}
}

func TestLoopbackControlPlaneIsReachableFromNowhereElse(t *testing.T) {
	s := both(t)[0]
	for _, component := range s.Components() {
		for _, argument := range s.Program(component).Args {
			if strings.Contains(argument, "0.0.0.0") || strings.Contains(argument, "10.243.") {
				t.Errorf("%s: %s", component, argument)
			}
		}
	}
	if !slices.Contains(s.APIServerCommand(), "--bind-address=127.0.0.1") || s.Server() != "https://127.0.0.1:20001" {
		t.Errorf("%s, %q", s.Server(), s.APIServerCommand())
	}
}

func TestGivenFlagsOfTheAPIServerComeLast(t *testing.T) {
	if line := both(t)[0].APIServerCommand(); line[len(line)-1] != "--v=1" {
		t.Errorf("command line ends with %q", line[len(line)-1])
	}
}

func TestOnlyAThrowAwayControlPlaneGoesWithoutFsync(t *testing.T) {
	for _, s := range both(t) {
		if slices.Contains(s.EtcdCommand(), "--unsafe-no-fsync") != (s.Mode == state.ControlPlaneOnly) {
			t.Errorf("%s: %q", s.Mode, s.EtcdCommand())
		}
	}
}

func TestWorkloadControllersRunOnlyWhereWorkloadsCan(t *testing.T) {
	for _, s := range both(t) {
		line := strings.Join(s.ControllerManagerCommand(), " ")
		if strings.Contains(line, "deployment-controller") || strings.Contains(line, "--controllers=") != (s.Mode == state.ControlPlaneOnly) {
			t.Errorf("%s: %s", s.Mode, line)
		}
	}
}

func TestServersAreCertifiedForTheirAddresses(t *testing.T) {
	for _, s := range both(t) {
		ids := s.Identities()
		apiServer := ids[slices.IndexFunc(ids, func(id certs.Identity) bool { return id.File == apiServerFile })]
		for _, name := range []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"} {
			if !slices.Contains(apiServer.Names, name) {
				t.Errorf("%s: no %s in %q", s.Mode, name, apiServer.Names)
			}
		}
		for _, ip := range []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("10.96.0.1"), s.Node} {
			if !slices.ContainsFunc(apiServer.IPs, ip.Equal) {
				t.Errorf("%s: no %s in %v", s.Mode, ip, apiServer.IPs)
			}
		}
		if ids[0].Authority != "" || apiServer.Authority != caFile {
			t.Errorf("%s: authorities are not first", s.Mode)
		}
	}
}

func TestKubeconfigIsCompleteInItself(t *testing.T) {
	for _, s := range both(t) {
		if _, err := certs.Ensure(s.Layout, s.Identities(), time.Now()); err != nil {
			t.Fatal(err)
		}
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(files[s.Layout.Kubeconfig()])
		if err != nil {
			t.Fatal(err)
		}
		if config.Host != s.Server() || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 || config.CertFile != "" {
			t.Errorf("%s: %+v", s.Mode, config)
		}
		for path := range s.Kubeconfigs() {
			if files[path] == nil {
				t.Errorf("%s: %s is not rendered", s.Mode, path)
			}
		}
	}
}

func TestConfigurationFilesHaveNoUnknownFields(t *testing.T) {
	s := both(t)[1]
	var kubelet kubeletv1.KubeletConfiguration
	var proxy proxyv1.KubeProxyConfiguration
	var policy auditv1.Policy
	for content, into := range map[string]any{s.kubeletConfig(): &kubelet, s.proxyConfig(): &proxy, AuditPolicy: &policy} {
		if err := yaml.UnmarshalStrict([]byte(content), into); err != nil {
			t.Errorf("%v\n%s", err, content)
		}
	}
	if kubelet.CgroupRoot != "/tenantry-local/demo" || *kubelet.FailSwapOn || kubelet.ClusterDNS[0] != DNSServiceIP {
		t.Errorf("kubelet: %+v", kubelet)
	}
	if proxy.NodePortAddresses[0] != "10.243.3.0/30" || *proxy.Conntrack.MaxPerCore != 0 {
		t.Errorf("kube-proxy: %+v", proxy)
	}
	if policy.Rules[0].Level != auditv1.LevelMetadata || !slices.Equal(policy.Rules[0].Verbs, []string{"create", "update", "patch", "delete", "deletecollection"}) || policy.Rules[1].Level != auditv1.LevelNone {
		t.Errorf("audit policy: %+v", policy)
	}
}
