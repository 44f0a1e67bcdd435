package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/app"
	"kith/config"
	"kith/internal/human"
	"kith/internal/plain"
)

// app is what belongs to the node itself.
func (n *Node) app() app.App {
	a := app.App{
		Name: "node",
		Help: "the node itself: who it is, whom it knows, how it is",
		Root: true,
		UI:   "Network",
		Ops: slices.Concat([]app.Op{
			query(app.NewOp("status", "show how the node is", n.status)),
			doctorOp(n.doctor),
			query(app.NewOp("peers", "list the peers that the node is connected to", n.peers)),
			connectOp(n.connect),
			relayOp(n.setRelay), relayingOp(n.relaying),
			app.NewOp("stop", "stop the node", n.stopOp),
		}, n.networkOps(), n.overlayOps(), n.peopleOps(), idOps(n.me, n.addrs, n.people.Changed, n.people.Trouble), n.deviceOps(), n.o.Ops),
	}
	for i, o := range a.Ops {
		a.Ops[i].Here = o.Here || slices.Contains(atComputer, o.Name)
	}
	return a
}

// atComputer are the operations that show or change who the person is, or show the secret of a network: a phone that has the page, and may
// be lost, cannot do them.
var atComputer = []string{"id phrase", "id confirm", "id restore", "id link", "id revoke", "network link", "network new"}

func query(o app.Op) app.Op {
	o.Query = true
	return o
}

func connectOp(run func(context.Context, ConnectIn) (Peer, error)) app.Op {
	o := app.NewOp("connect", "connect to a peer by its address", run)
	o.Example = "  kith connect /ip4/192.168.1.7/tcp/4747/p2p/12D3KooW…"
	return o
}

func (n *Node) addrs() (all, told []string) { return texts(n.net.Addrs()), texts(n.net.Told()) }

func texts(addrs []ma.Multiaddr) []string {
	out := []string{}
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

func (n *Node) status(ctx context.Context, _ None) (StatusOut, error) {
	stored, err := n.blobs.Stored(ctx)
	if err != nil {
		return StatusOut{}, err
	}
	out := StatusOut{
		Version: n.o.Version, PeerID: n.net.ID().String(), Network: n.net.Name(), Dir: n.o.Dir, Command: config.Command(n.o.Dir), PID: os.Getpid(), Started: n.started, API: n.api,
		Listening: []Listener{{For: "api", Addr: n.api}}, Peers: len(n.net.Host().Network().Peers()),
		Overlay: n.overlayText(),
		Stored:  stored, Quota: n.o.Config.Quota, Memory: resident(), Notes: append(n.Notes(), n.people.Trouble()...),
	}
	for _, l := range n.net.Listening() {
		out.Listening = append(out.Listening, Listener{For: l.For, Addr: l.Addr})
	}
	for _, a := range n.o.Apps {
		if a.Listens == nil {
			continue
		}
		what, addrs := a.Listens()
		for _, addr := range addrs {
			out.Listening = append(out.Listening, Listener{For: what, Addr: addr})
		}
	}
	if text := parted(n.overlay, n.otherOverlays()); text != "" {
		out.Notes = append(out.Notes, text)
	}
	out.Rate, out.UpRate = n.moves.Rates()
	return out, nil
}

// resident returns the memory that the process holds, in bytes: what the system counts, or, where it does not tell, what Go has taken.
func resident() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		var total, pages int64
		if _, err := fmt.Sscan(string(b), &total, &pages); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

func (n *Node) peers(context.Context, None) (PeersOut, error) {
	out := PeersOut{}
	for _, p := range n.net.Peers() {
		v := Peer{ID: p.ID.String(), Name: n.people.Name(p.ID), Addrs: []string{}, Direct: p.Direct, Why: p.Why, Transport: p.Transport, RTT: -1,
			Agent: plain.Text(p.Agent), Up: p.Up, Down: p.Down, Since: p.Since}
		if p.RTT > 0 {
			v.RTT = float64(p.RTT) / float64(time.Millisecond)
		}
		if !p.Direct {
			v.Why = "relayed through " + n.callPeer(p.Relay) + ": " + p.Why
		}
		if other := n.otherOverlay(p.ID); other != "" {
			v.Why += "; it runs on the overlay " + other + ", this node on " + n.overlay
		}
		for _, a := range p.Addrs {
			v.Addrs = append(v.Addrs, a.String())
		}
		out = append(out, v)
	}
	return out, nil
}

func (n *Node) connect(ctx context.Context, in ConnectIn) (Peer, error) {
	info, err := peer.AddrInfoFromString(in.Addr)
	if err != nil {
		return Peer{}, kith.Hint(fmt.Errorf("node: connect %.100q: not an address: %w", in.Addr, kith.Invalid), "it must end in /p2p/ID, as kith id shows it on the other side")
	}
	if info.ID == n.net.ID() {
		return Peer{}, fmt.Errorf("node: connect: that is this node itself: %w", kith.Invalid)
	}
	if err := n.net.Connect(ctx, *info); err != nil {
		return Peer{}, err
	}
	answers := n.net.Answers(ctx, info.ID)
	peers, err := n.peers(ctx, None{})
	for _, p := range peers {
		if p.ID == info.ID.String() && p.Agent != "" && answers { // whom it does not want, it does not speak to, though it may have said once what it is
			return p, nil
		}
	}
	err = errors.Join(err, fmt.Errorf("node: connect: it hung up without a word: %w", kith.Unavailable))
	return Peer{}, kith.Hint(err, "if it is in a private network, ask for its link, or to be put on its list of members; if it blocks you, there is nothing to do")
}

// StopOut is the answer to stop.
type StopOut struct {
	PID int `json:"pid" doc:"process that stops now"`
}

func (n *Node) stopOp(context.Context, None) (StopOut, error) {
	if n.o.Stop == nil {
		return StopOut{}, fmt.Errorf("node: stop: this node is stopped by whoever started it: %w", kith.Denied)
	}
	n.o.Stop()
	return StopOut{PID: os.Getpid()}, nil
}

// WriteText implements app.Texter.
func (o StopOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintln(w, "the node stops; what was under way goes on at the next kith up")
	return err
}

// WriteText implements app.Texter.
func (o StatusOut) WriteText(w io.Writer, _ int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "kith\t%s, process %d, up for %s\n", o.Version, o.PID, human.Duration(time.Since(o.Started)))
	fmt.Fprintf(tw, "peer\t%s\n", o.PeerID)
	fmt.Fprintf(tw, "network\t%s, %s; %s\n", o.Network, human.Count(o.Peers, "peer"), o.Overlay)
	fmt.Fprintf(tw, "folder\t%s\n", o.Dir)
	fmt.Fprintf(tw, "rates\t%s down, %s up\n", human.Rate(o.Rate), human.Rate(o.UpRate))
	stored := human.Bytes(o.Stored)
	if o.Quota > 0 {
		stored += " of " + human.Bytes(o.Quota)
	}
	fmt.Fprintf(tw, "kept\t%s; memory %s\n", stored, human.Bytes(o.Memory))
	for i, l := range o.Listening {
		head := ""
		if i == 0 {
			head = "listens"
		}
		addr, _, _ := strings.Cut(l.Addr, "/certhash/") // which is for programs
		fmt.Fprintf(tw, "%s\t%s\t%s\n", head, l.For, addr)
	}
	for _, note := range o.Notes {
		fmt.Fprintf(tw, "note\t%s\n", plain.Text(note))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (o PeersOut) WriteText(w io.Writer, _ int) error {
	if len(o) == 0 {
		_, err := fmt.Fprintln(w, "no peers yet; connect to one with: kith connect ADDR (kith id shows its address over there)")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "PEER\tNAME\tHOW\tRTT\tDOWN\tUP")
	for _, p := range o {
		rtt := "?"
		if p.RTT >= 0 {
			rtt = fmt.Sprintf("%.1f ms", p.RTT)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, plain.Text(p.Name), p.Why, rtt, human.Bytes(p.Down), human.Bytes(p.Up))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (p Peer) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintf(w, "connected to %s: %s\n", p.ID, p.Why)
	return err
}
