package node

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/network"
	"kith/network/relay"
)

// RelayIn changes what the node carries for others.
type RelayIn struct {
	For     string `json:"for,omitempty" enum:"off,contacts,coordinate,strangers" doc:"for nobody; for contacts and own devices; for them, and for strangers until they have found a direct way; for strangers too"`
	Metered string `json:"metered,omitempty" enum:"yes,no" doc:"whether this connection is paid for by the byte: then nothing is carried for strangers"`
	Data    string `json:"data,omitempty" doc:"how much two peers may send each other in an hour, such as 64MiB"`
	Rate    string `json:"rate,omitempty" doc:"how fast, a second: two of whom one is a contact, and all strangers together"`
	IPFS    string `json:"ipfs,omitempty" enum:"yes,no" doc:"whether relays of the public IPFS network are asked for while this node needs one and nobody known relays for it"`
}

// RelayOut is what the node carries for others.
type RelayOut struct {
	For       string      `json:"for" enum:"off,contacts,coordinate,strangers" doc:"for whom it relays"`
	Metered   bool        `json:"metered" doc:"nothing is carried for strangers"`
	Data      int64       `json:"data" doc:"bytes that two peers may send each other in an hour"`
	Rate      int64       `json:"rate" doc:"bytes a second"`
	IPFS      bool        `json:"ipfs" doc:"relays of the public IPFS network are asked for while this node needs one and nobody known relays for it"`
	Borrowed  string      `json:"borrowed" doc:"how that goes, in words"`
	On        bool        `json:"on" doc:"it can be reached from outside, and relays"`
	Says      string      `json:"says" doc:"all of this in words"`
	Circuits  int         `json:"circuits" doc:"open now"`
	Contacts  int64       `json:"contacts" doc:"bytes carried for contacts since the start"`
	Strangers int64       `json:"strangers" doc:"bytes carried for strangers since the start"`
	Pairs     []RelayPair `json:"pairs" doc:"who used something in the last hour"`
}

// RelayPair is two peers who reach each other through this node.
type RelayPair struct {
	A        string  `json:"a" doc:"a contact's name, or the end of a peer id"`
	B        string  `json:"b"`
	Contact  bool    `json:"contact" doc:"one of the two is a contact or an own device"`
	Used     int64   `json:"used" doc:"bytes in this hour"`
	Limit    int64   `json:"limit" doc:"bytes that they may use in an hour"`
	Circuits int     `json:"circuits" doc:"open now"`
	Anew     float64 `json:"anew" doc:"seconds until the hour is over"`
}

const maxRelayPairs = 100 // that are shown

func relayOp(run func(context.Context, RelayIn) (RelayOut, error)) app.Op {
	o := app.NewOp("relay", "show and set what the node carries for others", run)
	o.Long = "A node that can be reached helps others who cannot: it relays between two of them. Without flags it shows what for whom.\n" +
		"With --ipfs, a node that cannot be reached, and for which nobody known relays, asks the public IPFS network for relays. About fifty of its\n" +
		"nodes then learn this computer's address, and the relays who calls it through them; they carry enough to find a direct way, and no more.\n" +
		"What is set holds until it is set again, unless config.toml says otherwise, in [relay]."
	o.Example = "  kith relay\n  kith relay --for contacts\n  kith relay --for strangers --rate 500K\n  kith relay --metered yes\n  kith relay --ipfs yes"
	return o
}

func relayingOp(run func(context.Context, None) (RelayOut, error)) app.Op {
	o := query(app.NewOp("relaying", "show what the node carries for others", run))
	o.Hidden = true
	return o
}

func (n *Node) setRelay(ctx context.Context, in RelayIn) (RelayOut, error) {
	s := n.net.Relaying().Settings
	if in.For != "" {
		s.For = relay.Mode(in.For)
	}
	if in.Metered != "" {
		s.Metered = in.Metered == "yes"
	}
	for to, text := range map[*int64]string{&s.Data: in.Data, &s.Rate: in.Rate} {
		if text == "" {
			continue
		}
		v, err := human.ParseRate(text)
		if err != nil {
			return RelayOut{}, fmt.Errorf("node: relay: %w", err)
		}
		*to = v
	}
	if in.IPFS != "" {
		if err := n.borrow.set(ctx, in.IPFS == "yes"); err != nil {
			return RelayOut{}, err
		}
	}
	if in.IPFS = ""; in != (RelayIn{}) {
		if err := n.net.SetRelay(s); err != nil {
			return RelayOut{}, err
		}
	}
	return n.relaying(ctx, None{})
}

func (n *Node) relaying(context.Context, None) (RelayOut, error) {
	r := n.net.Relaying()
	out := RelayOut{
		For: string(r.For), Metered: r.Metered, Data: r.Data, Rate: r.Rate, On: r.On, Says: words(r.Settings), Circuits: r.Circuits,
		IPFS: n.borrow.wanted(), Borrowed: n.borrow.says(), Strangers: r.Carried[0], Contacts: r.Carried[1], Pairs: []RelayPair{},
	}
	for _, p := range r.Pairs[:min(len(r.Pairs), maxRelayPairs)] {
		out.Pairs = append(out.Pairs, RelayPair{
			A: n.callPeer(p.A), B: n.callPeer(p.B), Contact: p.Friend, Used: p.Used, Limit: p.Limit, Circuits: p.Circuits, Anew: p.Anew.Seconds(),
		})
	}
	return out, nil
}

// callPeer returns what the person calls a peer, or the end of its id.
func (n *Node) callPeer(p peer.ID) string {
	if name := n.people.Name(p); name != "" {
		return name
	}
	s := p.String()
	return "…" + s[max(0, len(s)-6):]
}

// heldUp says why a transfer waits for a relay, and who else could relay.
func (n *Node) heldUp(r *network.Refused) string {
	if n.people == nil { // the node is being made
		return r.Error()
	}
	text := r.In(n.callPeer(r.Relay))
	for _, p := range n.net.Helpers() {
		if name := n.people.Name(p); name != "" && p != r.Peer && !slices.Contains(r.Tried, p) {
			return text + "; the node of " + name + " could relay: ask them to keep it up"
		}
	}
	return text
}

// size is human.Bytes, but says limits as they were set: 64 MiB.
func size(n int64) string {
	switch {
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return human.Bytes(n)
}

// words says for whom a node relays.
func words(s relay.Settings) string {
	much := fmt.Sprintf("%s an hour for two peers, at %s", size(s.Data), human.Rate(float64(s.Rate)))
	brief := fmt.Sprintf("strangers %s and %s, to find a direct way", size(relay.StrangerData), human.Duration(relay.StrangerTime))
	switch {
	case s.For == relay.Off:
		return "nobody"
	case s.For == relay.Contacts, s.Metered:
		return "contacts: " + much
	case s.For == relay.Strangers:
		return "contacts and strangers: " + much + ", which all strangers share"
	}
	return "contacts: " + much + "; for " + brief
}

// WriteText implements app.Texter.
func (o RelayOut) WriteText(w io.Writer, _ int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	metered := ""
	if o.Metered {
		metered = ", since the connection is metered"
	}
	fmt.Fprintf(tw, "for\t%s%s\t(--for %s)\n", o.Says, metered, o.For)
	switch {
	case o.On:
		fmt.Fprintf(tw, "now\t%s open\n", human.Count(o.Circuits, "circuit"))
	case o.For != string(relay.Off):
		fmt.Fprintf(tw, "now\tnothing: it has not been found reachable from outside\n")
	}
	fmt.Fprintf(tw, "carried\t%s for contacts, %s for strangers\n", human.Bytes(o.Contacts), human.Bytes(o.Strangers))
	fmt.Fprintf(tw, "IPFS\t%s\t(--ipfs %s)\n", o.Borrowed, map[bool]string{true: "yes", false: "no"}[o.IPFS])
	if err := tw.Flush(); err != nil || len(o.Pairs) == 0 {
		return err
	}
	fmt.Fprintln(tw, "\nBETWEEN\tAND\tUSED\tOF\tNEW HOUR IN")
	for _, p := range o.Pairs {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", plain.Text(p.A), plain.Text(p.B), human.Bytes(p.Used), human.Bytes(p.Limit),
			human.Duration(time.Duration(p.Anew*float64(time.Second)).Round(time.Second)))
	}
	return tw.Flush()
}
