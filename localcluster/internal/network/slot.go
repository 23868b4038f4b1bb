package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// slots is how many whole clusters can run side by side: the third number of
// their addresses.
const slots = 256

// hostLinkPrefix starts the name of the host's end of a cluster's cable. The
// kernel lets one interface have a name, so having it is having the slot.
const hostLinkPrefix = "tenantry-lc"

// Slot numbers a whole cluster of this machine; its addresses follow from it.
type Slot int

// Network is the small network between host and node.
func (s Slot) Network() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 243, byte(s), 0}), 30)
}

// Host is the host's address in that network.
func (s Slot) Host() net.IP { return net.IPv4(10, 243, byte(s), 1).To4() }

// Node is the node's address in that network.
func (s Slot) Node() net.IP { return net.IPv4(10, 243, byte(s), 2).To4() }

// HostLink is the name of the host's end of the cable.
func (s Slot) HostLink() string { return hostLinkPrefix + strconv.Itoa(int(s)) }

// parseHostLink tells the slot from the name of the host's end of the cable.
func parseHostLink(name string) (Slot, error) {
	number, found := strings.CutPrefix(name, hostLinkPrefix)
	slot, err := strconv.Atoi(number)
	if !found || err != nil || slot < 0 || slot >= slots {
		return 0, fmt.Errorf("interface %s is not the end of a cluster's cable", name)
	}
	return Slot(slot), nil
}

// candidates lists the slots to try: the preferred one first, and none whose
// network is a part of what the host uses otherwise.
func candidates(preferred Slot, used []netip.Prefix) []Slot {
	free := func(s Slot) bool {
		return !slices.ContainsFunc(used, func(p netip.Prefix) bool { return p.Overlaps(s.Network()) })
	}
	var list []Slot
	if preferred >= 0 && preferred < slots && free(preferred) {
		list = append(list, preferred)
	}
	for s := Slot(0); s < slots; s++ {
		if s != preferred && free(s) {
			list = append(list, s)
		}
	}
	return list
}
