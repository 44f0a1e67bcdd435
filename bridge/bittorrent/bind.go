package bittorrent

import (
	"net"
	"net/netip"

	"github.com/anacrolix/torrent"
)

// bind has all that the library opens itself come from the address of this computer that is listened on: a tracker tells others where an announcement came from, and who
// listens on the address of a tunnel does not want peers to be dialled beside it. The library does it for uTP alone.
func bind(t *torrent.ClientConfig, at netip.Addr) {
	t.ListenHost = func(string) string { return at.String() }
	t.DisableIPv6, t.DisableIPv4 = at.Is4(), !at.Is4()
	t.DialForPeerConns = false // see dialFrom
}

// dialFrom has peers dialled from the address that bind was given.
func dialFrom(cl *torrent.Client, at netip.Addr) {
	for _, l := range cl.Listeners() {
		if network := l.Addr().Network(); network != "tcp" {
			cl.AddDialer(l.(torrent.Dialer)) // a socket of uTP dials from where it listens
			continue
		}
		d := &net.Dialer{
			LocalAddr:     net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 0)),
			FallbackDelay: -1, KeepAlive: -1, // as the library's own: peers keep connections alive by messages
		}
		network := "tcp4"
		if at.Is6() {
			network = "tcp6"
		}
		cl.AddDialer(torrent.NetworkDialer{Network: network, Dialer: d})
	}
}
