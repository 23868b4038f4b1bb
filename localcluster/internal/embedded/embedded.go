// Package embedded holds the Kubernetes programs that this one binary can
// become.
//
// Keeping them in one executable means one link step, one file to ship and
// one page cache entry shared by every process of every cluster.
package embedded

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's exec and cloud credentials
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // lets components log JSON when asked
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go metrics in every component
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build_info metric
	"k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Names of the programs inside the binary; also the first argument that
// selects them.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	Kubectl           = "kubectl"
)

var commands = map[string]func() *cobra.Command{
	APIServer:         apiserver.NewAPIServerCommand,
	ControllerManager: controllermanager.NewControllerManagerCommand,
	Scheduler:         func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	Kubelet:           func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	Proxy:             proxy.NewProxyCommand,
}

// Known reports whether name is one of the programs in this binary.
func Known(name string) bool {
	return name == Etcd || name == Kubectl || commands[name] != nil
}

// Main turns the process into the named program and exits with its status.
// args starts with the program's own name, as os.Args does.
func Main(name string, args []string) {
	// The cobra commands and kubectl's plugin lookup read os.Args themselves.
	os.Args = args
	switch name {
	case Etcd:
		etcdmain.Main(args)
		os.Exit(0)
	case Kubectl:
		// Verbosity has to be known before the command line is parsed, for
		// the plug-in lookup that builds the command.
		_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
		command := cmd.NewDefaultKubectlCommand()
		if err := cli.RunNoErrOutput(command); err != nil {
			kubectlutil.CheckErr(err)
		}
		os.Exit(0)
	default:
		os.Exit(cli.Run(commands[name]()))
	}
}
