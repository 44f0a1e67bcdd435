package network

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/internal/atomicfile"
)

const (
	lowPort   = 20000 // ports are chosen from here
	highPort  = 60000 // to here
	portTries = 200   // how many in a row are tried
)

// ports is where a node listens.
type ports struct {
	addrs []string     // of libp2p
	bulk  net.Listener // nil: none, for the node listens on no TCP address
}

func (p ports) close() {
	if p.bulk != nil {
		p.bulk.Close()
	}
}

// choosePorts finds a port that is free for TCP and UDP, and one that is free for TCP, for bulk streams. Both are kept in the file
// ports, so that addresses that others know stay good; where one has been taken since, the next free one is used and a note says so.
func (n *Network) choosePorts() (p ports, err error) {
	wasMain, wasBulk := n.keptPorts()
	main, bulk := wasMain, wasBulk
	host, bulkWanted := "", true
	if p.addrs = n.cfg.Listen; len(p.addrs) > 0 {
		if host, bulkWanted, err = bulkHost(p.addrs); err != nil {
			return p, err
		}
	} else {
		if main == 0 {
			main = lowPort + rand.IntN(highPort-lowPort)
		}
		if main, err = nextFree(main, func(p int) bool { return p != wasBulk && freeForAll(p) }); err != nil {
			return p, err
		}
		p.addrs = everyTransport(main, n.Private())
	}
	if bulkWanted {
		p.bulk, bulk, err = listenBulk(host, main, bulk)
		if err != nil {
			return p, err
		}
	}
	if wasMain != 0 && main != wasMain {
		n.note("port %d was taken by another program: peers now reach this node on port %d", wasMain, main)
	}
	if wasBulk != 0 && bulk != wasBulk {
		n.note("port %d was taken by another program: bulk transfers now use port %d", wasBulk, bulk)
	}
	if n.cfg.Dir != "" && (main != wasMain || bulk != wasBulk) {
		if err := atomicfile.Write(n.portsFile(), fmt.Appendf(nil, "%d %d\n", main, bulk), 0o600); err != nil {
			p.close()
			return p, fmt.Errorf("network: keep ports: %w", err)
		}
	}
	return p, nil
}

func (n *Network) portsFile() string { return filepath.Join(n.cfg.Dir, "ports") }

// keptPorts returns the ports of the last start, 0 for those that are not known.
func (n *Network) keptPorts() (main, bulk int) {
	if n.cfg.Dir == "" {
		return 0, 0
	}
	text, err := os.ReadFile(n.portsFile())
	if err != nil {
		return 0, 0
	}
	if k, err := fmt.Sscanf(string(text), "%d %d", &main, &bulk); k != 2 || err != nil || !validPort(main) || !validPort(bulk) {
		return 0, 0
	}
	return main, bulk
}

func validPort(p int) bool { return p >= 0 && p <= 65535 }

// nextFree returns the first port from port on for which free is true.
func nextFree(port int, free func(int) bool) (int, error) {
	for i := range portTries {
		if p := port + i; p <= 65535 && free(p) {
			return p, nil
		}
	}
	err := fmt.Errorf("network: no free port from %d on: %w", port, kith.Unavailable)
	return 0, kith.Hint(err, "choose one yourself with --listen, as in /ip4/0.0.0.0/tcp/4001")
}

// freeForAll reports whether nobody listens on the port, on TCP or UDP. libp2p's own listeners share ports with programs that do as they
// do (SO_REUSEPORT), and would not notice.
func freeForAll(port int) bool {
	addr := ":" + strconv.Itoa(port)
	t, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	t.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

// everyTransport returns the addresses of all transports on one port: TCP and WebSocket share it, and so do QUIC, WebTransport and
// WebRTC. IPv6 is left out where the machine has none, and what browsers use in a private network, for it cannot carry the proof of a member.
func everyTransport(port int, private bool) (addrs []string) {
	forms := []string{"/tcp/%d", "/udp/%d/quic-v1", "/tcp/%d/ws", "/udp/%d/quic-v1/webtransport", "/udp/%d/webrtc-direct"}
	if private {
		forms = forms[:3]
	}
	ips := []string{"/ip4/0.0.0.0"}
	if l, err := net.Listen("tcp6", "[::]:0"); err == nil {
		l.Close()
		ips = append(ips, "/ip6/::")
	}
	for _, ip := range ips {
		for _, form := range forms {
			addrs = append(addrs, ip+fmt.Sprintf(form, port))
		}
	}
	return addrs
}

// bulkHost returns the IP address for bulk streams beside the given addresses: theirs if all TCP addresses have the same, else every one.
func bulkHost(addrs []string) (host string, wanted bool, err error) {
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			err = fmt.Errorf("network: listen on %.200q: %v: %w", s, err, kith.Invalid)
			return "", false, kith.Hint(err, "it looks like /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1")
		}
		if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
			continue
		}
		ip, err := a.ValueForProtocol(ma.P_IP4)
		if err != nil {
			ip, _ = a.ValueForProtocol(ma.P_IP6)
		}
		if wanted && ip != host {
			ip = ""
		}
		host, wanted = ip, true
	}
	return host, wanted, nil
}

// listenBulk listens on the kept port, or on the one after main, or on the next that is free.
func listenBulk(host string, main, kept int) (l net.Listener, port int, err error) {
	if kept == 0 && main != 0 {
		kept = main + 1
	}
	if kept == 0 { // the addresses are the caller's, and nothing is known: any
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return nil, 0, fmt.Errorf("network: listen for bulk streams: %w", err)
		}
		return l, l.Addr().(*net.TCPAddr).Port, nil
	}
	port, err = nextFree(kept, func(p int) bool {
		if p == main {
			return false
		}
		l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		return err == nil
	})
	return l, port, err
}
