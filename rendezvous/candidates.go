package rendezvous

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxKnocks   = 48        // addresses that are tried in one round
	maxValues   = 64        // that are taken of one answer
	maxTried    = 4096      // addresses that are remembered as tried
	knockPause  = time.Hour // before an address is tried again, at whatever port
	maxAnswers  = 600       // from which candidates are taken in one round
	maxRemember = 200       // nodes of the DHT
)

// tried remembers at which addresses it was knocked, so that nobody can make Kith nodes flood a third: once an hour (knockPackets), whoever names it how often.
// It is pure: times come in.
type tried struct {
	loopback bool // each port is another home
	at       map[netip.AddrPort]time.Time
}

func (t *tried) key(addr netip.AddrPort) netip.AddrPort {
	if t.loopback {
		return addr
	}
	return netip.AddrPortFrom(home(addr.Addr()), 0)
}

// again takes back that an address was tried: a node of the network is there, and could not be connected to just then.
func (t *tried) again(addr netip.AddrPort) { delete(t.at, t.key(addr)) }

// allow reports whether addr may be tried now, and notes that it is.
func (t *tried) allow(addr netip.AddrPort, now time.Time) bool {
	key := t.key(addr)
	if last, ok := t.at[key]; ok && now.Sub(last) < knockPause {
		return false
	}
	if t.at == nil {
		t.at = map[netip.AddrPort]time.Time{}
	}
	for k, last := range t.at {
		if len(t.at) < maxTried {
			break
		}
		if now.Sub(last) >= knockPause {
			delete(t.at, k)
		}
	}
	if len(t.at) >= maxTried { // so many in an hour: enough
		return false
	}
	t.at[key] = now
	return true
}

// A candidate is an address at which somebody says that a node is.
type candidate struct {
	addr netip.AddrPort
	want peer.ID // who must be there; "": whoever is of the network
}

// candidates are the addresses that one round has heard. They are taken from the answers in turn, one of each, so that whoever says much is not heard
// more than who says little.
type candidates struct {
	answers [][]candidate
	seen    map[candidate]bool // true once it has been taken
	order   *rand.Rand
	turn    int // of the answer that was last taken from
}

func newCandidates(order *rand.Rand) *candidates {
	return &candidates{seen: map[candidate]bool{}, order: order, turn: -1}
}

// hear takes one node's answer, and returns how many addresses of it are new.
func (c *candidates) hear(addrs []netip.AddrPort, want peer.ID) (fresh int) {
	if len(c.answers) >= maxAnswers {
		return 0
	}
	var list []candidate
	addrs = slices.Clone(addrs)
	c.order.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	for _, a := range addrs[:min(len(addrs), maxValues)] {
		x := candidate{plain(a), want}
		if _, ok := c.seen[x]; !ok {
			fresh++
			c.seen[x] = false
		}
		list = append(list, x) // also what others said: whoever says it first must not take it out of an honest answer's turn
	}
	if list != nil {
		c.answers = append(c.answers, list)
	}
	return fresh
}

// next returns the next candidate, each once.
func (c *candidates) next() (candidate, bool) {
	for range len(c.answers) {
		c.turn = (c.turn + 1) % len(c.answers)
		for list := c.answers[c.turn]; len(list) > 0; {
			x := list[0]
			list = list[1:]
			c.answers[c.turn] = list
			if !c.seen[x] {
				c.seen[x] = true
				return x, true
			}
		}
	}
	return candidate{}, false
}
