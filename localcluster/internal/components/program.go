package components

import "tenantry.dev/localcluster/internal/state"

// ContainerdPath is where Debian's containerd is.
const ContainerdPath = "/usr/bin/containerd"

// Program is what has to be executed for a component.
type Program struct {
	// Path is empty when the component is a part of this program.
	Path string
	Args []string
	// Env are variables for its environment.
	Env []string
}

// Program says how the component is run.
func (s Settings) Program(component string) Program {
	program := s.program(component)
	if s.Mode == state.ControlPlaneOnly {
		// Tests wait for CPU time and hardly ever for memory: a tenth of what
		// a control plane computes is the collection of garbage.
		program.Env = []string{"GOGC=400"}
	}
	return program
}

func (s Settings) program(component string) Program {
	switch component {
	case Etcd:
		return Program{Args: s.EtcdCommand()}
	case APIServer:
		return Program{Args: s.APIServerCommand()}
	case ControllerManager:
		return Program{Args: s.ControllerManagerCommand()}
	case Scheduler:
		return Program{Args: s.SchedulerCommand()}
	case Containerd:
		return Program{Path: ContainerdPath, Args: s.ContainerdCommand()}
	case Kubelet:
		return Program{Args: s.KubeletCommand()}
	case Proxy:
		return Program{Args: s.ProxyCommand()}
	default:
		panic("no program is known for component " + component)
	}
}

// Components lists what runs in the cluster, in the order it depends on
// one another.
func (s Settings) Components() []string {
	if s.Mode == state.ControlPlaneOnly {
		return []string{Etcd, APIServer, ControllerManager}
	}
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Containerd, Kubelet, Proxy}
}

// Contents lists what is asked how it does without being a process of ours.
func (s Settings) Contents() []string {
	if s.Mode == state.ControlPlaneOnly {
		return nil
	}
	return []string{Node, DNS}
}
