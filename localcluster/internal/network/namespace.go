package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceFolder is where `ip netns` looks for namespaces, too.
const namespaceFolder = "/run/netns"

// nodeLink is the node's end of the cable.
const nodeLink = "eth0"

// aliasPrefix marks the host's end of a cable with the cluster's name, for
// the case that the namespace with the other end is no longer to be found.
const aliasPrefix = "tenantry-local "

// Namespace is the network of one whole cluster.
type Namespace struct{ cluster string }

// Of is the network of the named cluster, whether it exists or not.
func Of(cluster string) Namespace { return Namespace{cluster: cluster} }

// Name is the name by which `ip netns` knows it.
func (n Namespace) Name() string { return "tenantry-" + n.cluster }

func (n Namespace) path() string { return filepath.Join(namespaceFolder, n.Name()) }

// Exists reports whether the namespace is there. A file that is left of one
// after a crash is not.
func (n Namespace) Exists() bool {
	var stat unix.Statfs_t
	return unix.Statfs(n.path(), &stat) == nil && stat.Type == unix.NSFS_MAGIC
}

// Ensure makes the namespace and the cable into it, or what is missing of
// them, and returns the slot: the preferred one if it is free.
//
// Flow: the namespace is made first and the cable directly into it, so a run
// that is interrupted leaves nothing that cannot be told by the cluster's
// name. From within, the cluster reaches its host's address and nothing else.
func (n Namespace) Ensure(preferred Slot, serviceRange string) (Slot, error) {
	if !n.Exists() {
		if err := n.create(); err != nil {
			return 0, fmt.Errorf("make network namespace %s: %w", n.Name(), err)
		}
	}
	handle, err := netns.GetFromPath(n.path())
	if err != nil {
		return 0, fmt.Errorf("open network namespace %s: %w", n.Name(), err)
	}
	defer handle.Close()
	inside, err := netlink.NewHandleAt(handle)
	if err != nil {
		return 0, fmt.Errorf("configure network namespace %s: %w", n.Name(), err)
	}
	defer inside.Close()
	slot, err := n.cable(inside, handle, preferred)
	if err != nil {
		return 0, fmt.Errorf("connect network namespace %s: %w", n.Name(), err)
	}
	if err := n.configureHost(slot); err != nil {
		return 0, fmt.Errorf("configure the host's end of the cable: %w", err)
	}
	if err := configureNode(inside, slot, serviceRange); err != nil {
		return 0, fmt.Errorf("configure the node's end of the cable: %w", err)
	}
	return slot, n.sysctls()
}

// create makes the named namespace on a thread that is then thrown away.
func (n Namespace) create() error {
	if err := os.Remove(n.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		handle, err := netns.NewNamed(n.Name())
		if err == nil {
			err = handle.Close()
		}
		result <- err
	}()
	return <-result
}

// cable finds the cable into the namespace, or makes one in a free slot.
func (n Namespace) cable(inside *netlink.Handle, handle netns.NsHandle, preferred Slot) (Slot, error) {
	if link, err := inside.LinkByName(nodeLink); err == nil {
		// An interface knows the index of its other end.
		other, err := netlink.LinkByIndex(link.Attrs().ParentIndex)
		if err != nil {
			return 0, err
		}
		return parseHostLink(other.Attrs().Name)
	}
	used, err := hostPrefixes()
	if err != nil {
		return 0, err
	}
	for _, slot := range candidates(preferred, used) {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = slot.HostLink()
		err := netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     attributes,
			PeerName:      nodeLink,
			PeerNamespace: netlink.NsFd(handle),
		})
		if err == nil {
			return slot, nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("all %d networks below 10.243.0.0/16 are in use; fix: take a cluster down", slots)
}

// hostPrefixes are the networks that the host has addresses in or routes to.
func hostPrefixes() ([]netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		// The default route leads everywhere and means nothing here.
		if prefix, err := netip.ParsePrefix(route.Dst.String()); err == nil && prefix.Bits() > 0 {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, nil
}

func (n Namespace) configureHost(slot Slot) error {
	link, err := netlink.LinkByName(slot.HostLink())
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, aliasPrefix+n.cluster); err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, address(slot.Host())); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

func configureNode(inside *netlink.Handle, slot Slot, serviceRange string) error {
	loopback, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(loopback); err != nil {
		return err
	}
	link, err := inside.LinkByName(nodeLink)
	if err != nil {
		return err
	}
	if err := inside.AddrReplace(link, address(slot.Node())); err != nil {
		return err
	}
	if err := inside.LinkSetUp(link); err != nil {
		return err
	}
	_, services, err := net.ParseCIDR(serviceRange)
	if err != nil {
		return err
	}
	// The node's own packets to a Service need some route before kube-proxy's
	// rules can give them their real destination.
	if err := inside.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: services, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route to Services: %w", err)
	}
	_, everything, _ := net.ParseCIDR("0.0.0.0/0")
	if err := inside.RouteReplace(&netlink.Route{Dst: everything, Type: unix.RTN_UNREACHABLE}); err != nil {
		return fmt.Errorf("route to nowhere: %w", err)
	}
	return nil
}

func address(ip net.IP) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(30, 32)}}
}

// sysctls lets the node forward packets, and has packets between pods on the
// bridge pass kube-proxy's rules, which have to see the answers, too.
func (n Namespace) sysctls() error {
	return n.do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0),
		)
	})
}

// Dial connects to an IP address and port from inside the namespace.
func (n Namespace) Dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	var connection net.Conn
	err := n.do(func() (err error) {
		connection, err = new(net.Dialer).DialContext(ctx, protocol, address)
		return err
	})
	return connection, err
}

// do calls f on a thread inside the namespace, which is thrown away then.
func (n Namespace) do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := n.Enter(); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// Enter moves the calling thread into the namespace. The thread must be
// locked and not be used for anything else afterwards.
func (n Namespace) Enter() error {
	handle, err := netns.GetFromPath(n.path())
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", n.Name(), err)
	}
	defer handle.Close()
	if err := netns.Set(handle); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", n.Name(), err)
	}
	return nil
}

// Remove takes the cable out and the namespace's name away. The host's end is
// removed by itself, since somebody may still hold the namespace.
func (n Namespace) Remove() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, link := range links {
		if link.Attrs().Alias != aliasPrefix+n.cluster {
			continue
		}
		var gone netlink.LinkNotFoundError
		if err := netlink.LinkDel(link); err != nil && !errors.As(err, &gone) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove interface %s: %w", link.Attrs().Name, err)
		}
	}
	if err := unix.Unmount(n.path(), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount network namespace %s: %w", n.Name(), err)
	}
	if err := os.Remove(n.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", n.Name(), err)
	}
	return nil
}
