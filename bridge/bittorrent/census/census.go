// Package census says who takes part in a swarm: the peers that a torrent is connected to, what they run and how they are connected, how many copies of it they have together, and what its
// trackers said last. It asks nobody and changes nothing: it reads the books of the BitTorrent library. It is no part of what serves or fetches.
package census

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/anacrolix/torrent"

	"kith/bridge"
	"kith/bridge/bittorrent/books"
	"kith/transfer"
)

// found says in a word by what a peer was found, as people who use BitTorrent know it.
var found = map[torrent.PeerSource]string{
	torrent.PeerSourceTracker: "tracker", torrent.PeerSourceDhtGetPeers: "DHT", torrent.PeerSourceDhtAnnouncePeer: "DHT", torrent.PeerSourcePex: "PEX", torrent.PeerSourceLPD: "local discovery",
	torrent.PeerSourceUtHolepunch: "hole punched",
}

// Peers returns whom a torrent of n pieces (0: not known yet) is connected to, web seeds too, at most max.
func Peers(cl *torrent.Client, t *torrent.Torrent, rates *Rates, n, max int) (list []transfer.OriginPeer) {
	conns := t.PeerConns()
	conns = conns[:min(len(conns), max)]
	add := func(p transfer.OriginPeer, st torrent.PeerStats) {
		p.Down, p.Bytes, p.Sent = st.DownloadRate, st.BytesReadUsefulData.Int64(), st.BytesWrittenData.Int64()
		if n > 0 {
			p.Have = float64(st.RemotePieceCount) / float64(n)
		}
		list = append(list, p)
	}
	for i, stand := range books.Stands(cl, conns) {
		pc := conns[i]
		v, _ := pc.PeerClientName.Load().(string)
		add(transfer.OriginPeer{Name: pc.RemoteAddr.String(), Program: Program(v, pc.PeerID), Via: via(pc.Network), Up: rates.Of(pc), Flags: flags(stand, pc.Discovery)}, pc.Stats())
	}
	for _, p := range t.WebseedPeerConns() {
		if len(list) < max {
			add(transfer.OriginPeer{Name: p.RemoteAddr.String(), Via: "http"}, p.Stats())
		}
	}
	return list
}

// via names a transport.
func via(network string) string {
	switch {
	case strings.HasPrefix(network, "udp"), strings.HasPrefix(network, "utp"): // dialled, and by who dialled
		return "utp"
	case strings.HasPrefix(network, "tcp"):
		return "tcp"
	}
	return network
}

// flags says how a connection stands: who dialled, by what the peer was found, how it is encrypted, and who serves whom. The README of package bittorrent has the letters that qBittorrent shows for them.
func flags(s books.Stand, by torrent.PeerSource) (list []string) {
	if by == torrent.PeerSourceIncoming {
		list = append(list, "incoming")
	} else {
		list = append(list, "outgoing")
	}
	if word := found[by]; word != "" {
		list = append(list, word)
	}
	switch {
	case s.RC4:
		list = append(list, "encrypted")
	case s.Hidden:
		list = append(list, "encrypted handshake")
	}
	switch {
	case s.Interested && s.PeerChokes:
		list = append(list, "it chokes us")
	case s.Interested:
		list = append(list, "it serves us")
	}
	switch {
	case s.PeerInterested && s.Chokes:
		list = append(list, "we choke it")
	case s.PeerInterested:
		list = append(list, "we serve it")
	}
	return list
}

// Copies returns how many copies of a torrent of n pieces its peers have together, as libtorrent counts them: those of the rarest piece, and as a fraction how many pieces are less rare.
func Copies(t *torrent.Torrent, n int) float64 {
	if n == 0 {
		return 0
	}
	whole, counts := 0, make([]int, n)
	for _, pc := range t.PeerConns() {
		if pc.Stats().RemotePieceCount == n {
			whole++
			continue
		}
		for it := pc.PeerPieces().Iterator(); it.HasNext(); {
			if i := int(it.Next()); i < n {
				counts[i]++
			}
		}
	}
	rarest, more := slices.Min(counts), 0
	for _, c := range counts {
		if c > rarest {
			more++
		}
	}
	return float64(whole+rarest) + float64(more)/float64(n)
}

// Trackers returns what was heard of the trackers of a torrent; name returns the address of one of which the library has url.
func Trackers(cl *torrent.Client, t *torrent.Torrent, name func(url string) string) (list []bridge.Tracker) {
	at := map[string]int{}
	for _, tr := range books.Trackers(cl, t) {
		scheme, rest, _ := strings.Cut(tr.URL, "://")
		if scheme == "udp4" || scheme == "udp6" { // the library asks both
			scheme = "udp"
		}
		is := bridge.Tracker{URL: name(scheme + "://" + rest), Asked: tr.Asked, Next: tr.Next, Peers: tr.Peers}
		if tr.Err != nil {
			is.Why = why(tr.Err)
		}
		i, twice := at[is.URL]
		switch {
		case !twice:
			at[is.URL] = len(list)
			list = append(list, is)
		case (list[i].Asked.IsZero() || list[i].Why != "") && !is.Asked.IsZero() && is.Why == "": // udp6 comes second, and counts if it works
			list[i] = is
		}
	}
	for _, tier := range t.Metainfo().AnnounceList {
		for _, url := range tier { // those over a WebSocket are in no such book
			if u := name(url); strings.HasPrefix(url, "ws") {
				list = append(list, bridge.Tracker{URL: u})
			}
		}
	}
	return list
}

// why returns what the library says of a failure without what it says it in.
func why(err error) string {
	const begin = "tracker gave failure reason: "
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	text := err.Error()
	if quoted, ok := strings.CutPrefix(text, begin); ok {
		if said, err := strconv.Unquote(quoted); err == nil {
			text = said
		}
	}
	return strings.TrimPrefix(text, "bittorrent: ask tracker: ")
}
