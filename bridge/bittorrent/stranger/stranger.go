// Package stranger takes out of what BitTorrent peers and nodes of the DHT say whom they name in a local network.
//
// It decides nothing else. Its one idea: who on the internet names an address in a local network cannot mean a peer that we could reach: he has somebody there dialled who is none, or does not know
// better. So such addresses are taken from those alone who are in a local network themselves.
package stranger

import (
	"net"
	"net/netip"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"
	utHolepunch "github.com/anacrolix/torrent/peer_protocol/ut-holepunch"

	"kith/internal/lan"
)

// isLocal reports whether an address is in this computer or its local network.
func isLocal(at string) bool {
	p, err := netip.ParseAddrPort(at)
	return err == nil && lan.Local(p.Addr())
}

// Clean takes out of a message of a peer what a stranger says of the local network. It is called while the library holds its lock.
func Clean(pc *torrent.PeerConn, m *pp.Message) {
	if m.ExtendedID == pp.HandshakeExtendedID || pc.LocalLtepProtocolMap == nil || isLocal(pc.RemoteAddr.String()) {
		return
	}
	name, _, err := pc.LocalLtepProtocolMap.LookupId(m.ExtendedID)
	if err != nil {
		return
	}
	switch name {
	case pp.ExtensionNamePex:
		m.ExtendedPayload = exchanged(m.ExtendedPayload)
	case utHolepunch.ExtensionName:
		var msg utHolepunch.Msg
		if err := msg.UnmarshalBinary(m.ExtendedPayload); err == nil && msg.MsgType == utHolepunch.Connect && lan.Local(msg.AddrPort.Addr()) {
			*m = pp.Message{Keepalive: true}
		}
	}
}

// exchanged returns a message of PEX (BEP 11) without addresses of local networks. What is none stays as it is.
func exchanged(payload []byte) []byte {
	x, err := pp.LoadPexMsg(payload)
	if err != nil {
		return payload
	}
	changed := false
	keep := func(n int, flags []pp.PexPeerFlags, at func(i int) net.IP, move func(to, from int)) (int, []pp.PexPeerFlags) {
		k := 0
		for i := range n {
			if addr, ok := netip.AddrFromSlice(at(i)); !ok || lan.Local(addr) {
				changed = true
				continue
			}
			move(k, i)
			if i < len(flags) {
				flags[k] = flags[i]
			}
			k++
		}
		return k, flags[:min(k, len(flags))]
	}
	n, f := keep(len(x.Added), x.AddedFlags, func(i int) net.IP { return x.Added[i].IP }, func(to, from int) { x.Added[to] = x.Added[from] })
	x.Added, x.AddedFlags = x.Added[:n], f
	n, f = keep(len(x.Added6), x.Added6Flags, func(i int) net.IP { return x.Added6[i].IP }, func(to, from int) { x.Added6[to] = x.Added6[from] })
	x.Added6, x.Added6Flags = x.Added6[:n], f
	if !changed {
		return payload
	}
	return bencode.MustMarshal(x)
}

// Named returns the peers that a node of the DHT names.
func Named(v dht.PeersValues) (list []torrent.PeerInfo) {
	near := isLocal(v.Addr.UDP().String())
	for _, p := range v.Peers {
		if addr, ok := netip.AddrFromSlice(p.IP); ok && p.Port > 0 && p.Port < 1<<16 && (near || !lan.Local(addr)) {
			list = append(list, torrent.PeerInfo{Addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Unmap(), uint16(p.Port))), Source: torrent.PeerSourceDhtGetPeers})
		}
	}
	return list
}

// May reports whether who is at one address may name another: in a local network those alone who are in one.
func May(who, named netip.Addr) bool { return lan.Local(who) || !lan.Local(named) }
