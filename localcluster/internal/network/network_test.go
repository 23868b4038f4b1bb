package network

import (
	"net/netip"
	"slices"
	"testing"
)

func TestAddressesFollowFromTheSlot(t *testing.T) {
	s := Slot(7)
	if s.Host().String() != "10.243.7.1" || s.Node().String() != "10.243.7.2" || s.Network().String() != "10.243.7.0/30" {
		t.Errorf("slot 7: host %s, node %s, network %s", s.Host(), s.Node(), s.Network())
	}
}

func TestEveryHostLinkHasANameThatTheKernelTakesAndTellsItsSlot(t *testing.T) {
	const longest = 15
	for s := Slot(0); s < slots; s++ {
		parsed, err := parseHostLink(s.HostLink())
		if err != nil || parsed != s || len(s.HostLink()) > longest {
			t.Errorf("slot %d: link %s is parsed as %d, %v", s, s.HostLink(), parsed, err)
		}
	}
	for _, name := range []string{"eth0", "tenantry-lc", "tenantry-lc256", "tenantry-lc-1", "tenantry-lcx"} {
		if _, err := parseHostLink(name); err == nil {
			t.Errorf("%s is taken for a cluster's cable", name)
		}
	}
}

func TestPreferredSlotComesFirstAndUsedNetworksNotAtAll(t *testing.T) {
	used := []netip.Prefix{netip.MustParsePrefix("10.243.0.0/30"), netip.MustParsePrefix("10.243.4.0/22"), netip.MustParsePrefix("192.168.0.0/16")}
	list := candidates(2, used)
	if list[0] != 2 || list[1] != 1 || list[2] != 3 || list[3] != 8 {
		t.Errorf("candidates start with %v", list[:4])
	}
	if list := candidates(0, used); list[0] != 1 {
		t.Errorf("a preferred slot in use is tried: %v", list[:2])
	}
	if list := candidates(0, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); len(list) != 0 {
		t.Errorf("candidates inside a used network: %v", list)
	}
	if list := candidates(300, nil); len(list) != slots || slices.Contains(list, 300) {
		t.Errorf("a slot out of range is tried")
	}
}

func TestAPortIsClaimedByOneAtATime(t *testing.T) {
	var first, second Claims
	defer second.Release()
	port, err := first.Pick()
	if err != nil {
		t.Fatal(err)
	}
	if second.Claim(port) {
		t.Error("a claimed port was claimed again")
	}
	first.Release()
	if !second.Claim(port) {
		t.Error("a port that was given up cannot be claimed")
	}
}
