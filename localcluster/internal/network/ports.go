// Package network gives clusters addresses: ports on loopback for control
// planes, a network namespace with its own small network for whole clusters.
package network

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are picked below the range that the kernel hands out to outgoing
// connections, which could otherwise take one before its server starts.
const (
	firstPort = 20000
	portCount = 12000
	// attempts bounds the search on a machine whose range is nearly used up.
	attempts = 1000
)

// Claims hold ports while their servers start.
type Claims struct{ held []net.Listener }

// Pick finds a free port on loopback and claims it against other runs of this
// program until Release.
func (c *Claims) Pick() (int, error) {
	for range attempts {
		port := firstPort + rand.IntN(portCount)
		if c.Claim(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found between %d and %d on loopback", firstPort, firstPort+portCount)
}

// Claim reports whether the port is free, and claims it if so.
//
// The claim is a socket in the abstract namespace: the kernel lets one process
// have it, and takes it back when that process ends in whatever way.
func (c *Claims) Claim(port int) bool {
	claim, err := net.Listen("unix", fmt.Sprintf("@tenantry-localcluster-port-%d", port))
	if err != nil {
		return false
	}
	probe, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		_ = claim.Close()
		return false
	}
	_ = probe.Close()
	c.held = append(c.held, claim)
	return true
}

// Release ends the claims; by now the servers hold the ports themselves.
func (c *Claims) Release() {
	for _, claim := range c.held {
		_ = claim.Close()
	}
	c.held = nil
}
