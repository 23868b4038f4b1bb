// Package process starts, recognises and ends the processes of a cluster.
//
// A cluster's processes are recognised by a marker in the environment they
// were started with, which the kernel keeps for as long as they live and
// their children inherit. Process ids are never stored to be acted upon
// later: a file with ids can be stale, damaged or missing, the marker cannot.
package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The marker: which cluster, by its state folder, and which component of it.
const (
	stateVariable     = "TENANTRY_LOCALCLUSTER_STATE"
	componentVariable = "TENANTRY_LOCALCLUSTER_COMPONENT"
)

// Process is one process that carries a cluster's marker.
type Process struct {
	PID int
	// StartTime, in clock ticks since boot, tells this process from a later
	// one with the same id.
	StartTime uint64
	// Args is the command line, starting with the program.
	Args []string
	// Component is the component that the process belongs to.
	Component string
	// Leader is the component itself, as opposed to a child of it: every
	// component is started as the leader of a session of its own.
	Leader bool
}

// Find lists the living processes marked with stateDir.
func Find(stateDir string) ([]Process, error) {
	pids, err := list()
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, pid := range pids {
		if p, ok := read(pid, stateDir); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// Leaders maps each running component to its process.
func Leaders(processes []Process) map[string]Process {
	leaders := make(map[string]Process)
	for _, p := range processes {
		if p.Leader {
			leaders[p.Component] = p
		}
	}
	return leaders
}

// read returns the process when it exists, may be read and carries the
// marker. Processes of other users and kernel threads are simply not ours.
func read(pid int, stateDir string) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	environment, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil {
		return Process{}, false
	}
	component, ok := marked(environment, stateDir)
	if !ok {
		return Process{}, false
	}
	line, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, false
	}
	stat, err := parseStat(string(line))
	if err != nil {
		return Process{}, false
	}
	commandLine, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return Process{}, false
	}
	return Process{
		PID:       pid,
		StartTime: stat.startTime,
		Args:      strings.Split(strings.TrimSuffix(string(commandLine), "\x00"), "\x00"),
		Component: component,
		Leader:    stat.session == pid,
	}, true
}

func marked(environment []byte, stateDir string) (component string, ok bool) {
	for _, variable := range bytes.Split(environment, []byte{0}) {
		name, value, _ := strings.Cut(string(variable), "=")
		switch name {
		case stateVariable:
			ok = value == stateDir
		case componentVariable:
			component = value
		}
	}
	return component, ok
}
