package nat

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"kith"
	"kith/lab/space"
)

// setupTime is how long the programs that set up one namespace may take.
const setupTime = 20 * time.Second

// A Net is a running internet with its homes. It ends with its process, also when that is killed.
type Net struct {
	wan   *space.Space
	hosts []*Host
	all   []*space.Space
}

// A Host is a computer in a Net. Its methods may be called at once.
type Host struct {
	Spec
	Addr netip.Addr // its own: public, or that of its home network

	index   int // on the bridge
	space   *space.Space
	routers []*space.Space // from the bridge inwards
}

// New makes the internet and its homes. Without root or nftables, or elsewhere than on Linux, it returns kith.Unavailable.
func New(specs ...Spec) (_ *Net, err error) {
	if err := check(specs); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, kith.Hint(fmt.Errorf("nat: %w: %w", err, kith.Unavailable), "install nftables")
	}
	n := &Net{}
	defer func() {
		if err != nil {
			n.Close()
			err = fmt.Errorf("nat: %w", err)
		}
	}()
	if n.wan, err = n.space("ip link set lo up; ip link add br0 type bridge forward_delay 0 mcast_snooping 0; ip link set br0 up"); err != nil {
		return nil, err
	}
	for i, s := range specs {
		h := &Host{Spec: s, index: i}
		n.hosts = append(n.hosts, h)
		if err := n.build(h); err != nil {
			return nil, fmt.Errorf("host %s: %w", s.Name, err)
		}
	}
	return n, n.route6()
}

// build makes a host and what is between it and the bridge.
func (n *Net) build(h *Host) (err error) {
	if h.Kind == Public {
		h.Addr = wan4(h.index)
		if h.space, err = n.space(""); err != nil {
			return err
		}
		if err := n.plug(h.space, "wan0", h.index); err != nil {
			return err
		}
		return sh(h.space, n.onWAN(h.index)+feed(quiet))
	}
	outer, err := n.space("")
	if err != nil {
		return err
	}
	h.routers = append(h.routers, outer)
	if err := n.plug(outer, "wan0", h.index); err != nil {
		return err
	}
	if err := sh(outer, n.onWAN(h.index)+forward+feed(closed+rules[h.Kind])); err != nil {
		return err
	}
	if h.Kind == Double {
		if outer, err = n.inner(h, outer); err != nil {
			return err
		}
	}
	if err := n.host(h, outer); err != nil || h.Kind != UPnP {
		return err
	}
	return give(outer)
}

// give starts what gives ports on a router, and returns when it listens.
func give(router *space.Space) error {
	if _, err := exec.LookPath("miniupnpd"); err != nil {
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Unavailable), "install miniupnpd")
	}
	cmd := router.Command(context.Background(), "miniupnpd", "-d", "-f", "/dev/stdin", "-P", "/dev/null")
	cmd.Stdin = strings.NewReader(giving)
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines, all := bufio.NewScanner(said), ""
	for lines.Scan() {
		if all += lines.Text() + "\n"; strings.Contains(lines.Text(), "Listening for NAT-PMP/PCP") {
			go func() {
				io.Copy(io.Discard, said)
				cmd.Wait() // Close kills it
			}()
			return nil
		}
	}
	return fmt.Errorf("miniupnpd: %v: %s", cmd.Wait(), all)
}

const forward = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n"

// inner puts a second router of kind Cone behind the first.
func (n *Net) inner(h *Host, outer *space.Space) (*space.Space, error) {
	s, err := n.space("")
	if err != nil {
		return nil, err
	}
	h.routers = append(h.routers, s)
	if err := wire(outer, "lan0", s, "wan0"); err != nil {
		return nil, err
	}
	if err := sh(outer, "ip addr add 100.64.0.1/24 dev lan0; ip link set lan0 up"); err != nil {
		return nil, err
	}
	return s, sh(s, forward+"ip addr add 100.64.0.2/24 dev wan0; ip link set wan0 up; ip route add default via 100.64.0.1\n"+feed(closed+rules[Cone]))
}

// host puts the host itself behind its router.
func (n *Net) host(h *Host, router *space.Space) (err error) {
	if h.space, err = n.space(""); err != nil {
		return err
	}
	if err := wire(router, "lan0", h.space, "eth0"); err != nil {
		return err
	}
	return n.join(h, router)
}

// join gives both ends of the cable between a host and its router their addresses.
func (n *Net) join(h *Host, router *space.Space) error {
	var inside, outside string
	if h.Kind == IPv6Only {
		h.Addr = netip.MustParseAddr(lan6(h.index) + ":2")
		outside = fmt.Sprintf("ip addr add %s:1/64 dev lan0 nodad; ip link set lan0 up", lan6(h.index))
		inside = fmt.Sprintf("ip addr add %s/64 dev eth0 nodad; ip link set eth0 up; ip route add default via %s:1", h.Addr, lan6(h.index))
	} else {
		h.Addr = netip.AddrFrom4([4]byte{192, 168, byte(h.index + 1), 2})
		gate := netip.AddrFrom4([4]byte{192, 168, byte(h.index + 1), 1})
		outside = fmt.Sprintf("ip addr add %s/24 dev lan0; ip link set lan0 up", gate)
		inside = fmt.Sprintf("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip addr add %s/24 dev eth0; ip link set eth0 up; ip route add default via %s", h.Addr, gate)
	}
	if err := sh(router, outside); err != nil {
		return err
	}
	return sh(h.space, inside)
}

// route6 tells everybody on the bridge the way to the networks behind IPv6 routers.
func (n *Net) route6() error {
	for _, h := range n.hosts {
		var routes strings.Builder
		for _, to := range n.hosts {
			if to.Kind == IPv6Only && to != h {
				fmt.Fprintf(&routes, "ip route add %s:/64 via %s\n", lan6(to.index), wan6(to.index))
			}
		}
		edge := h.space
		if len(h.routers) > 0 {
			edge = h.routers[0]
		}
		if err := sh(edge, routes.String()); err != nil {
			return err
		}
	}
	return nil
}

// space makes a namespace and runs a script in it.
func (n *Net) space(script string) (*space.Space, error) {
	s, err := space.New(func() error { return nil })
	if err != nil {
		return nil, err
	}
	n.all = append(n.all, s)
	return s, sh(s, "ip link set lo up\n"+script)
}

// plug connects a namespace to the bridge.
func (n *Net) plug(s *space.Space, dev string, i int) error {
	port := fmt.Sprintf("p%d", i)
	if err := wire(n.wan, port, s, dev); err != nil {
		return err
	}
	return sh(n.wan, fmt.Sprintf("ip link set %s master br0; ip link set %s up", port, port))
}

func (n *Net) onWAN(i int) string {
	return fmt.Sprintf("ip addr add %s/8 dev wan0; ip addr add %s/32 dev wan0 nodad; ip link set wan0 up\n", wan4(i), wan6(i))
}

// wire joins two namespaces by a cable.
func wire(a *space.Space, devA string, b *space.Space, devB string) error {
	return sh(a, fmt.Sprintf("ip link add %s type veth peer name %s netns %s", devA, devB, b.Path()))
}

// feed is a command that gives rules to nftables.
func feed(rules string) string { return "nft -f - <<'END'\n" + rules + "\nEND\n" }

// sh runs a script in a namespace, until its first error.
func sh(s *space.Space, script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTime)
	defer cancel()
	out, err := s.Command(ctx, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%q: %w: %.500s", script, err, out)
	}
	return nil
}

// Host returns the host of that name, or nil.
func (n *Net) Host(name string) *Host {
	for _, h := range n.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Hosts returns the hosts in the order in which New was told of them.
func (n *Net) Hosts() []*Host { return n.hosts }

// Close kills what still runs inside, and removes everything.
func (n *Net) Close() error {
	for _, s := range n.all {
		s.Kill()
	}
	for _, s := range n.all {
		s.Close()
	}
	n.all = nil
	return nil
}

// Command is like exec.CommandContext for a program that runs inside the host. It is killed when this process ends.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return h.space.Command(ctx, name, args...)
}

// Do runs f on a thread inside the host: sockets that f opens itself, not through another goroutine, belong to the host for good.
func (h *Host) Do(f func() error) error { return h.space.Do(f) }

// Outside returns the address that the world sees of the host: of its outermost router, or its own.
func (h *Host) Outside() netip.Addr {
	if h.Kind == IPv6Only {
		return h.Addr
	}
	return wan4(h.index)
}
