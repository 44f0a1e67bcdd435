package rendezvous

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
)

const (
	roundTime   = 3 * time.Minute // at most
	resolveTime = 5 * time.Second // for the names of all hosts
	maxHosts    = 16              // addresses of hosts to begin with
	startClose  = 16              // remembered nodes that a walk begins with: the closest,
	startRandom = 8               // and some others
	knocksAtOne = 8               // addresses that are tried at once
	enoughFound = 8               // nodes of the network, after which no more addresses are tried
)

// A search is one infohash of a round.
type search struct {
	at   Infohash
	look bool    // for who is there
	want peer.ID // who must be; "": whoever is of the network
	tell bool    // that this node is

	width int
}

// searches returns what a task consists of.
func (r *Rendezvous) searches(t task, now time.Time) (list []search) {
	for i, day := range around(now) {
		if t.look || t.tell && i == 0 {
			list = append(list, search{at: Public(r.o.Name, day), look: t.look, tell: t.tell && i == 0, width: wide})
		}
	}
	for _, id := range t.meet {
		for i, day := range near(now) {
			if at, err := Meeting(r.o.Key, id, false, r.o.Name, day); err == nil {
				list = append(list, search{at: at, look: true, want: id, width: narrow})
			}
			if at, err := Meeting(r.o.Key, id, true, r.o.Name, day); err == nil && i == 0 {
				list = append(list, search{at: at, tell: true, width: narrow})
			}
		}
	}
	return list
}

// meet does a task: it asks and tells the DHT, and tries the addresses that it hears.
func (r *Rendezvous) meet(ctx context.Context, t task) error {
	if err := r.openLegs(); err != nil {
		return err
	}
	heard := newCandidates(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	knocks, answered, hosts := 0, 0, t.look && r.lonely
	for _, s := range r.searches(t, time.Now()) {
		for _, l := range r.legs {
			at, _, reached := r.o.Node.Reachable(l.ip6)
			if !s.look && !reached {
				continue
			}
			w := r.walk(ctx, l, s, heard, hosts)
			answered += len(w.heard)
			if s.tell && reached && r.Status().Joined && l.tell(ctx, w, at.Port()) {
				r.change(func(st *Status) { st.Told = time.Now() })
			}
		}
		hosts = false
		knocks += r.knock(ctx, heard, maxKnocks-knocks)
		if ctx.Err() != nil {
			return fmt.Errorf("rendezvous: it took too long: %w", kith.Timeout)
		}
	}
	if answered == 0 {
		err := fmt.Errorf("rendezvous: no node of the BitTorrent DHT answered: %w", kith.Unavailable)
		return kith.Hint(err, "something may block UDP here; other nodes to begin with can be given as mainline_hosts in config.toml")
	}
	return nil
}

// openLegs starts the nodes of the DHT, unless they are as they should be. One serves others only where they can reach it: on a computer with a public
// address of its own.
func (r *Rendezvous) openLegs() error {
	at4, own4, ok4 := r.o.Node.Reachable(false)
	at6, own6, ok6 := r.o.Node.Reachable(true)
	serves := r.Status().Joined && (own4 && ok4 || own6 && ok6)
	if r.legs != nil && r.serving == serves {
		return nil
	}
	r.closeLegs()
	for _, ip6 := range []bool{false, true} {
		if ip6 && (!has6() || r.o.Bind.IsValid()) {
			continue
		}
		at, serve := at4.Addr(), own4 && ok4
		if ip6 {
			at, serve = at6.Addr(), own6 && ok6
		}
		if !serve {
			at = netip.Addr{}
		}
		l, err := openLeg(ip6, r.o.Bind, at, serves && serve, r.known)
		if err != nil && !ip6 {
			return err
		}
		if err == nil {
			r.legs = append(r.legs, l)
		}
	}
	r.serving = serves
	return nil
}

// has6 reports whether there is a way to the internet over IPv6. Nothing is sent.
func has6() bool {
	c, err := net.Dial("udp6", "[2000::1]:9")
	if err != nil {
		return false
	}
	defer c.Close()
	return public(netip.AddrPortFrom(addrOf(c.LocalAddr()).Addr(), 443))
}

// begin returns the remembered nodes with which a walk begins.
func (r *Rendezvous) begin(w *walk, ip6 bool) (list []dhtNode) {
	for _, n := range r.known {
		if n.addr.Addr().Is6() == ip6 {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b dhtNode) int { return cmp.Or(w.closer(a.id, b.id), a.addr.Compare(b.addr)) })
	if len(list) > startClose {
		rest := list[startClose:]
		rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	}
	return list[:min(len(list), startClose+startRandom)]
}

// walk asks the DHT about an infohash; what it says goes to heard. It begins with remembered nodes, and with the hosts too if that is wished or none of
// those is there.
func (r *Rendezvous) walk(ctx context.Context, l *leg, s search, heard *candidates, hosts bool) *walk {
	w := newWalk(s.at, s.width, r.o.Bind.IsLoopback())
	w.start(r.begin(w, l.ip6))
	if hosts {
		w.start(resolve(ctx, r.o.Hosts, l.ip6))
	}
	type result struct {
		at  netip.AddrPort
		a   answer
		err error
	}
	results, resolved := make(chan result), hosts
	for {
		if w.over() && len(w.heard) == 0 && !resolved && ctx.Err() == nil {
			resolved = true
			w.start(resolve(ctx, r.o.Hosts, l.ip6))
		}
		for ctx.Err() == nil {
			at, ok := w.next()
			if !ok {
				break
			}
			go func() {
				a, err := l.ask(ctx, at, s.at)
				results <- result{at, a, err}
			}()
		}
		if w.pending == 0 {
			return w
		}
		x := <-results // each question ends, with ctx or askTime after it was sent
		fresh := 0
		if x.err != nil {
			w.silent(x.at)
			r.known = slices.DeleteFunc(r.known, func(n dhtNode) bool { return n.addr == x.at && ctx.Err() == nil })
		} else {
			n := dhtNode{x.a.id, x.at}
			w.answered(x.at, n.id, allowed(n), x.a.token, x.a.nodes)
			if allowed(n) {
				r.remember(n)
			}
			if s.look {
				fresh = heard.hear(slices.DeleteFunc(x.a.values, func(a netip.AddrPort) bool { return !wanted(a, r.o.Bind.IsLoopback()) }), s.want)
			}
		}
		r.change(func(st *Status) {
			st.Asked++
			st.Candidates += fresh
			if x.err == nil {
				st.Answered++
			}
		})
	}
}

// remember puts a node that answered before the others.
func (r *Rendezvous) remember(n dhtNode) {
	r.known = slices.DeleteFunc(r.known, func(k dhtNode) bool { return k.addr == n.addr })
	r.known = slices.Insert(r.known, 0, n)
	r.known = r.known[:min(len(r.known), maxRemember)]
}

// resolve looks the hosts up by DNS, all at once.
func resolve(ctx context.Context, hosts []string, ip6 bool) (list []dhtNode) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	network := "ip4"
	if ip6 {
		network = "ip6"
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, h := range hosts[:min(len(hosts), maxHosts)] {
		host, service, err := net.SplitHostPort(h)
		port, perr := strconv.ParseUint(service, 10, 16)
		if err != nil || perr != nil {
			continue // the configuration was checked
		}
		wg.Go(func() {
			ips, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, ip := range ips {
				if len(list) < maxHosts {
					list = append(list, dhtNode{addr: netip.AddrPortFrom(ip.Unmap(), uint16(port))})
				}
			}
		})
	}
	wg.Wait()
	return list
}

// tell announces to the nodes that a walk ended at, and reports whether one took it.
func (l *leg) tell(ctx context.Context, w *walk, port uint16) bool {
	var wg sync.WaitGroup
	keepers := w.keepers()
	took := make(chan bool, len(keepers))
	for _, s := range keepers {
		if s.token != "" {
			wg.Go(func() { took <- l.announce(ctx, s, w.target, port) == nil })
		}
	}
	wg.Wait()
	close(took)
	for ok := range took {
		if ok {
			return true
		}
	}
	return false
}

// knock tries up to limit of the addresses that were heard, some at once, and connects to the nodes of the network that are there. It returns at how
// many that was.
func (r *Rendezvous) knock(ctx context.Context, heard *candidates, limit int) (knocks int) {
	var k [2]*knocker // over IPv4, IPv6
	defer func() {
		for _, k := range k {
			if k != nil {
				k.close()
			}
		}
	}()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var again []netip.AddrPort
	slots := make(chan struct{}, knocksAtOne)
	for knocks < limit && r.Status().Found < enoughFound && ctx.Err() == nil {
		c, ok := heard.next()
		if !ok {
			break
		}
		if r.own(c.addr) {
			continue
		}
		i := 0
		if c.addr.Addr().Is6() {
			i = 1
		}
		if k[i] == nil {
			if k[i] = r.newKnocker(i == 1); k[i] == nil {
				continue
			}
		}
		if !r.tried.allow(c.addr, time.Now()) {
			continue
		}
		knocks++
		r.change(func(s *Status) { s.Knocked++ })
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if !r.try(ctx, k[i], c) {
				mu.Lock()
				again = append(again, c.addr)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, addr := range again {
		r.tried.again(addr)
	}
	return knocks
}

func (r *Rendezvous) newKnocker(ip6 bool) *knocker {
	network, at := "udp4", &net.UDPAddr{}
	if ip6 {
		network = "udp6"
	}
	if r.o.Bind.IsValid() {
		at.IP = r.o.Bind.AsSlice()
	}
	c, err := net.ListenUDP(network, at)
	if err != nil {
		return nil
	}
	k, err := newKnocker(c)
	if err != nil {
		c.Close()
		return nil
	}
	return k
}

// own reports whether an address is this node's.
func (r *Rendezvous) own(a netip.AddrPort) bool {
	at, own, ok := r.o.Node.Reachable(a.Addr().Is6())
	return ok && (at == a || own && !r.o.Bind.IsValid() && at.Addr() == a.Addr())
}

// try connects to who is at an address, if it is who it should be. It returns false if it is, and the connection failed.
func (r *Rendezvous) try(ctx context.Context, k *knocker, c candidate) bool {
	id, err := k.knock(ctx, c.addr, r.o.Speaks)
	own, _ := peer.IDFromPrivateKey(r.o.Key)
	if err != nil || id == own || c.want != "" && id != c.want {
		return true
	}
	a, err := manet.FromNetAddr(net.UDPAddrFromAddrPort(c.addr))
	if err != nil {
		return true
	}
	err = r.o.Node.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{a.Encapsulate(ma.StringCast("/quic-v1"))}})
	if err != nil {
		r.o.Log.Debug("node found, and not connected", "peer", id, "addr", c.addr, "err", err)
		return false
	}
	r.change(func(s *Status) { s.Found++ })
	return true
}
