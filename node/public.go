package node

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/people"
	"kith/rendezvous"
	"kith/transfer"
)

const (
	lostAfter = 15 * time.Minute    // without a device of a contact, when its addresses and its record have been tried in vain more than once
	lostFor   = 60 * 24 * time.Hour // after which a device is no longer looked for on mainline
	maxLost   = 16                  // that are looked for
)

// PublicOut is how the node stands to the public network.
type PublicOut struct {
	Network    string     `json:"network" doc:"name of the network"`
	Private    *Private   `json:"private,omitempty" doc:"how it stands to the private network that it is in; left out: the network is public"`
	Moves      *Move      `json:"moves,omitempty" doc:"the node is about to be in another network"`
	Joined     bool       `json:"joined" doc:"the user joined it"`
	Off        string     `json:"off,omitempty" doc:"why it cannot be joined"`
	Peers      int        `json:"peers"`
	Asking     bool       `json:"asking" doc:"the BitTorrent DHT is being asked for other nodes now"`
	Asked      int        `json:"asked" doc:"nodes of the DHT that were asked in this or the last round"`
	Answered   int        `json:"answered" doc:"of which so many answered"`
	Candidates int        `json:"candidates" doc:"addresses that they named"`
	Found      int        `json:"found" doc:"nodes of this network that were there"`
	Ended      *time.Time `json:"ended,omitempty" doc:"when the last round was over"`
	Told       *time.Time `json:"told,omitempty" doc:"when the DHT was last told where this node is"`
	Nodes      int        `json:"nodes" doc:"nodes of the DHT that are remembered, to begin with"`
	Error      string     `json:"error,omitempty" doc:"why the last round came to nothing"`
	Says       string     `json:"says" doc:"all this in a sentence"`
}

func (n *Node) openPublic(ctx context.Context) (err error) {
	o := rendezvous.Options{
		Name: n.net.Name(), Key: n.me.Key(), Speaks: n.net.OnWire(transfer.Protocol), Hosts: n.mainlineHosts(), Node: outside{n}, Store: n.net.Store(), Log: n.log,
	}
	switch {
	case n.net.Private():
		o.Off = "this network is private: its members invite each other, and nobody else is told of it"
	case !n.o.Mainline:
		o.Off = "the BitTorrent DHT is switched off here (mainline = false, or --no-mainline)"
	}
	if n.meet, err = rendezvous.New(ctx, o); err != nil {
		return err
	}
	if n.borrow, err = n.newBorrower(ctx); err != nil {
		return err
	}
	if n.o.Public {
		return n.meet.Join(ctx)
	}
	return nil
}

// runPublic looks for nodes when it is to be done, until ctx ends; anew when the computer is in another network.
func (n *Node) runPublic(ctx context.Context) error {
	moved, err := n.net.Host().EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("mainline"))
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for range moved.Out() {
			n.meet.Moved()
		}
	})
	defer moved.Close()
	return n.meet.Run(ctx)
}

// outside is the node as rendezvous needs it.
type outside struct{ n *Node }

// Peers implements rendezvous.Node.
func (o outside) Peers() int { return len(o.n.net.Host().Network().Peers()) }

// Reachable implements rendezvous.Node.
func (o outside) Reachable(ip6 bool) (netip.AddrPort, bool, bool) {
	return rendezvous.Outside(o.n.net.Health(), o.n.net.Host().Addrs(), ip6)
}

// Connect implements rendezvous.Node.
func (o outside) Connect(ctx context.Context, p peer.AddrInfo) error { return o.n.net.Connect(ctx, p) }

// Missing implements rendezvous.Node.
func (o outside) Missing() []peer.ID {
	here := func(id peer.ID) bool { _, ok := o.n.net.Peer(id); return ok || id == o.n.net.ID() }
	return lost(o.n.people.All(), here, o.n.started, time.Now())
}

// lost returns the devices of contacts that are worth a look on mainline, those seen last first.
func lost(list []people.Contact, here func(peer.ID) bool, started, now time.Time) (out []peer.ID) {
	var gone []people.Device
	for _, c := range list {
		for _, d := range c.Devices {
			since := started
			if d.Seen.After(since) {
				since = d.Seen
			}
			if away := now.Sub(since); away >= lostAfter && now.Sub(d.Seen) < lostFor && !here(d.Peer) {
				gone = append(gone, d)
			}
		}
	}
	slices.SortFunc(gone, func(a, b people.Device) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.Peer, b.Peer)) })
	for _, d := range gone[:min(len(gone), maxLost)] {
		out = append(out, d.Peer)
	}
	return out
}

func (n *Node) public(context.Context, None) (PublicOut, error) { return n.publicOut(), nil }

func (n *Node) publicOut() PublicOut {
	s := n.meet.Status()
	out := PublicOut{
		Network: n.net.Name(), Private: n.privately(), Joined: s.Joined, Off: s.Off, Peers: outside{n}.Peers(), Asking: s.Asking, Asked: s.Asked, Answered: s.Answered,
		Candidates: s.Candidates, Found: s.Found, Ended: when(s.Ended), Told: when(s.Told), Nodes: s.Nodes,
	}
	if s.Err != nil {
		out.Error = strings.TrimSuffix(strings.TrimPrefix(s.Err.Error(), "rendezvous: "), ": "+kith.Unavailable.Error())
		if h := kith.HintOf(s.Err); h != "" {
			out.Error += "; " + h
		}
	}
	out.Says = out.says(time.Now())
	return out
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// seek implements transfer.Options.Seek.
func (n *Node) seek() string {
	n.meet.Seek()
	switch o := n.publicOut(); {
	case o.Asking:
		return "looking for Kith nodes on the BitTorrent DHT: " + o.search()
	case o.Off == "" && o.Ended != nil:
		return "looked on the BitTorrent DHT: " + o.search()
	}
	return ""
}

// search says in words what came of the last round.
func (o PublicOut) search() string {
	return fmt.Sprintf("asked %s, %s, %s found", human.Count(o.Asked, "DHT node"), human.Count(o.Candidates, "candidate"), human.Count(o.Found, "Kith node"))
}

// says puts it in a sentence.
func (o PublicOut) says(now time.Time) string {
	switch {
	case o.Off != "":
		return o.Off
	case o.Asking && o.Joined && o.Found > 0:
		return "joined, and it looks for more: " + o.search()
	case o.Asking:
		return "looking for other nodes: " + o.search()
	case !o.Joined && o.Ended == nil:
		return "not joined: it looks for nobody"
	case o.Error != "" && o.Peers == 0:
		return o.Error
	}
	text := "not joined"
	if o.Joined {
		text = "joined"
	}
	if o.Told != nil && o.Joined {
		text += ", findable (told the BitTorrent DHT " + since(*o.Told, now) + ")"
	}
	if o.Ended != nil {
		text += "; " + since(*o.Ended, now) + ": " + o.search()
	}
	return text
}

// since says how long ago something was.
func since(then, now time.Time) string {
	if d := now.Sub(then); d >= time.Second {
		return human.Duration(d) + " ago"
	}
	return "just now"
}

// joinPublic yields how it goes until others were found, or the DHT has been asked in vain.
func (n *Node) joinPublic(ctx context.Context) iter.Seq2[PublicOut, error] {
	return func(yield func(PublicOut, error) bool) {
		start := time.Now()
		if err := n.meet.Join(ctx); err != nil {
			if n.meet.Status().Off != "" {
				err = kith.Hint(err, "start kith up without it")
			}
			yield(PublicOut{}, err)
			return
		}
		for {
			changed := n.meet.Changed()
			s, out := n.meet.Status(), n.publicOut()
			if !yield(out, nil) || s.Ended.After(start) || s.Asking && s.Found > 0 || !s.Joined {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// finding is what the doctor says of the public network.
func (o PublicOut) finding() Finding {
	switch {
	case o.Off != "":
		return found("public", blank, o.Off, "")
	case !o.Joined:
		return found("public", blank, "not joined: it looks for nobody", "to find others without an invite: kith network join")
	case o.Error != "" && o.Peers == 0:
		return found("public", weak, o.Error, "try again later: kith network; or connect to somebody: kith connect ADDR")
	}
	return found("public", fine, o.Says, "")
}

func (n *Node) leavePublic(ctx context.Context) (PublicOut, error) {
	err := n.meet.Leave(ctx)
	return n.publicOut(), err
}

// Progress implements app.Progresser.
func (o PublicOut) Progress() app.Progress { return app.Progress{Label: "joining", Note: o.Says} }

// WriteText implements app.Texter.
func (o PublicOut) WriteText(w io.Writer, _ int) error {
	switch {
	case o.Moves != nil:
		return o.Moves.write(w)
	case o.Private != nil:
		return o.writePrivate(w)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "network\t%s, %s connected\n", o.Network, human.Count(o.Peers, "peer"))
	fmt.Fprintf(tw, "public\t%s\n", plain.Text(o.Says))
	switch {
	case o.Joined && o.Peers == 0:
		fmt.Fprintf(tw, "\tnobody yet; the search goes on by itself, more rarely each time\n")
	case !o.Joined && o.Off == "":
		fmt.Fprintf(tw, "\tjoin it with: kith network join\n")
	}
	return tw.Flush()
}
