package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/overlay"
	"kith/transfer"
)

// OverlayOut is the overlay as this node sees it.
type OverlayOut struct {
	Name    string         `json:"name" enum:"kad-dht,chord,kademlia,pastry"`
	Mode    string         `json:"mode" enum:"server,client" doc:"server: part of it; client: it only asks"`
	Network string         `json:"network"`
	Self    OverlayPeer    `json:"self"`
	Entries []OverlayEntry `json:"entries" doc:"what is in its tables, table by table; a peer may be in several"`
}

// OverlayPeer is a node of the overlay.
type OverlayPeer struct {
	ID   string `json:"id" doc:"where it is, in hexadecimal: 40 digits, 64 on kad-dht"`
	Peer string `json:"peer" doc:"peer id"`
	Name string `json:"name,omitempty" doc:"what the person calls its owner"`
}

// OverlayEntry is one place of a table, and who is there.
type OverlayEntry struct {
	OverlayPeer
	Part      overlay.Part `json:"part" enum:"successor,predecessor,finger,leaf,row,neighbour,bucket,spare,gate" doc:"of which table: successor, predecessor and finger of Chord; leaf, row of the routing table and neighbour of Pastry; bucket and spare of Kademlia; gate: a client searches through it"`
	Index     int          `json:"index" doc:"successor, neighbour, gate: from 1 on; finger: the first at or after this node + 2^index; leaf: from 1 on clockwise, from -1 on counterclockwise; row: digits of 4 bits that are the same; bucket, spare: bits that are the same"`
	RTT       float64      `json:"rtt_ms" doc:"round trip in milliseconds; -1 if not known"`
	Connected bool         `json:"connected" doc:"there is a connection to it now"`
	Silent    bool         `json:"silent,omitempty" doc:"it has not answered what it was asked last"`
}

// FindIn says what to look up.
type FindIn struct {
	Key string `json:"key" arg:"0" doc:"an identifier in hexadecimal, a peer id, a contact (@anna), a link of Kith or its root; any other text is hashed"`
}

// FindOut is one step of a lookup.
type FindOut struct {
	FindStep
	Steps []FindStep `json:"steps,omitempty" doc:"with ends: all of them, from the first on"`
}

// FindStep is one thing that happens in a lookup.
type FindStep struct {
	What  overlay.What  `json:"what" enum:"begins,asks,answers,silent,late,ends" doc:"silent: it has not answered in time, or cannot be reached; late: it answers after all, which does not count any more"`
	After float64       `json:"after_ms" doc:"milliseconds since the lookup began"`
	Key   string        `json:"key,omitempty" doc:"with begins: where the key is, in hexadecimal"`
	KeyIs string        `json:"key_is,omitempty" enum:"identifier,peer,link,text" doc:"with begins: what was given"`
	Peer  *OverlayPeer  `json:"peer,omitempty" doc:"who is asked, answers, or does not"`
	Took  float64       `json:"took_ms,omitempty" doc:"milliseconds from question to answer"`
	Mine  bool          `json:"mine,omitempty" doc:"it says that the key is its own"`
	Names []OverlayPeer `json:"names,omitempty" doc:"with begins: whom this node itself takes for near; with answers: whom the other one names; with ends: the nearest, nearest first"`
	Asked int           `json:"asked,omitempty" doc:"with ends: how many nodes were asked"`

	Answered int `json:"answered,omitempty" doc:"with ends: and how many of these had answered by then"`
}

// overlayOps returns the operations that show the overlay.
func (n *Node) overlayOps() []app.Op {
	show := query(app.NewOp("overlay", "show the overlay as this node sees it: whom it has in its tables", n.showOverlay))
	show.Long = "The overlay is how nodes find who has what. Each node and each key has a place on it, and each node knows some others: chord has successors, a predecessor and\n" +
		"fingers; pastry a leaf set, a routing table and neighbours; kademlia and kad-dht buckets."
	show.Example = "kith overlay\nkith overlay --json"
	find := query(app.NewStreamOp("overlay find", "look a key up, and show each step: who is asked, who answers, where it ends", n.find))
	find.Long = "KEY is a place in hexadecimal (40 digits; on kad-dht only that of a node in the table), a peer id or a contact, whose own place is looked for, a link of Kith or its\n" +
		"root, for the key under which it is announced; any other text is hashed. It is the same lookup as any of this node: those that are asked see a\n" +
		"hash, and neither the text nor the link. With --json the last step has all of them."
	find.Example = "kith overlay find hello\nkith overlay find @anna\nkith overlay find 00000000000000000000000000000000deadbeef"
	return []app.Op{show, find}
}

func (n *Node) overlayPeer(p peer.ID) OverlayPeer {
	return OverlayPeer{ID: hex.EncodeToString(n.routes.Place([]byte(p))), Peer: p.String(), Name: n.people.Name(p)}
}

func (n *Node) overlayPeers(ids []peer.ID) (list []OverlayPeer) {
	for _, p := range ids {
		list = append(list, n.overlayPeer(p))
	}
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (n *Node) showOverlay(ctx context.Context, _ None) (OverlayOut, error) {
	entries, err := n.routes.Entries(ctx)
	if err != nil {
		return OverlayOut{}, err
	}
	out := OverlayOut{Name: n.overlay, Mode: n.routes.Mode(), Network: n.net.Name(), Self: n.overlayPeer(n.net.ID()), Entries: []OverlayEntry{}}
	for _, e := range entries {
		v := OverlayEntry{OverlayPeer: n.overlayPeer(e.Peer), Part: e.Part, Index: e.Index, RTT: -1, Silent: e.Silent}
		info, connected := n.net.Peer(e.Peer)
		v.Connected = connected
		if rtt := cmp.Or(info.RTT, e.RTT); rtt > 0 {
			v.RTT = milliseconds(rtt)
		}
		out.Entries = append(out.Entries, v)
	}
	return out, nil
}

// minPlace is the length from which on hexadecimal digits are taken for an identifier, in bytes: that of the shortest.
const minPlace = 20

// target reads what to look up, and says what it was.
func (n *Node) target(ctx context.Context, text string) (t overlay.Target, is string, err error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return t, "", fmt.Errorf("node: no key: %w", kith.Invalid)
	case len(text) > kith.MaxLinkLen:
		return t, "", fmt.Errorf("node: a key of %d bytes, at most %d: %w", len(text), kith.MaxLinkLen, kith.TooLarge)
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		devices := n.people.Devices(name)
		if len(devices) == 0 {
			return t, "", kith.Hint(fmt.Errorf("node: there is no contact %.80q: %w", name, kith.NotFound), "kith people lists them")
		}
		return overlay.Target{Key: []byte(devices[0])}, "peer", nil
	}
	if p, err := peer.Decode(text); err == nil {
		return overlay.Target{Key: []byte(p)}, "peer", nil
	}
	if place, err := hex.DecodeString(text); err == nil && len(place) >= minPlace {
		t, err := n.targetAt(ctx, place)
		return t, "identifier", err
	}
	if l, err := kith.ParseLink(text); err == nil && !l.Ref.IsZero() {
		return overlay.Target{Key: transfer.Rendezvous(l.Ref).Hash()}, "link", nil
	}
	key, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1) // some overlays hand the key on as it is
	return overlay.Target{Key: key}, "text", err
}

// targetAt is a place: that of a node, if one is there that is known.
func (n *Node) targetAt(ctx context.Context, place []byte) (overlay.Target, error) {
	if want := len(n.routes.Place(nil)); len(place) != want {
		return overlay.Target{}, fmt.Errorf("node: an identifier of %d digits; on %s they have %d: %w", 2*len(place), n.overlay, 2*want, kith.Invalid)
	}
	entries, err := n.routes.Entries(ctx)
	if err != nil {
		return overlay.Target{}, err
	}
	for _, e := range append(entries, overlay.Entry{Peer: n.net.ID()}) {
		if bytes.Equal(n.routes.Place([]byte(e.Peer)), place) {
			return overlay.Target{Key: []byte(e.Peer)}, nil
		}
	}
	if n.overlay == usualOverlay {
		return overlay.Target{}, kith.Hint(fmt.Errorf("node: nobody in the table is there: %w", kith.Invalid),
			"on kad-dht others are asked for a key, and hash it themselves, so that not every place can be looked for: give a text, a link or a peer id")
	}
	return overlay.Target{Place: place}, nil
}

// find looks a key up.
func (n *Node) find(ctx context.Context, in FindIn) iter.Seq2[FindOut, error] {
	return func(yield func(FindOut, error) bool) {
		t, is, err := n.target(ctx, in.Key)
		if err != nil {
			yield(FindOut{}, err)
			return
		}
		place := t.Place
		if t.Key != nil {
			place = n.routes.Place(t.Key)
		}
		var all []FindStep
		asked := map[peer.ID]bool{} // and whether it has answered
		for s, err := range n.routes.Search(ctx, t) {
			if err != nil {
				yield(FindOut{}, err)
				return
			}
			v := FindOut{FindStep: FindStep{What: s.What, After: milliseconds(s.After), Took: milliseconds(s.Took), Mine: s.Mine, Names: n.overlayPeers(s.Names)}}
			if s.Peer != "" {
				p := n.overlayPeer(s.Peer)
				v.Peer = &p
			}
			switch s.What {
			case overlay.Begins:
				v.Key, v.KeyIs = hex.EncodeToString(place), is
			case overlay.Asks, overlay.Answers:
				asked[s.Peer] = s.What == overlay.Answers
			case overlay.Ends:
				v.Asked = len(asked)
				for _, ok := range asked {
					if ok {
						v.Answered++
					}
				}
			}
			if all = append(all, v.FindStep); s.What == overlay.Ends {
				v.Steps = all
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// at says in a few words which place of a table it is.
func (e OverlayEntry) at() string {
	switch e.Part {
	case overlay.Predecessor:
		return string(e.Part)
	case overlay.Finger:
		return fmt.Sprintf("finger 2^%d", e.Index)
	case overlay.Leaf:
		return fmt.Sprintf("leaf %+d", e.Index)
	}
	return fmt.Sprintf("%s %d", e.Part, e.Index)
}

func (p OverlayPeer) who() string { return named(p.Name, p.Peer) }

// digits are those of an identifier that a person needs to tell nodes apart.
const digits = 10

func short(id string) string {
	if len(id) <= digits {
		return id
	}
	return id[:digits] + "…"
}

// WriteText implements app.Texter.
func (o OverlayOut) WriteText(w io.Writer, width int) error {
	peers := map[string]bool{}
	for _, e := range o.Entries {
		peers[e.Peer] = true
	}
	fmt.Fprintf(w, "%s on the network %s: this node is %s, a %s, and knows %s\n", o.Name, o.Network, short(o.Self.ID), o.Mode, human.Count(len(peers), "node"))
	if len(o.Entries) == 0 {
		_, err := fmt.Fprintln(w, "It is alone: connect to somebody, and it grows together with the overlay that they are in.")
		return err
	}
	if o.Mode == "client" {
		fmt.Fprintln(w, "It cannot be reached from outside, and so is not part of it: it asks, and answers nobody.")
	}
	if width >= 40 {
		fmt.Fprintf(w, "\n%s\n", o.line(min(width, 100)))
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "TABLE\tIDENTIFIER\tWHO\tRTT\tNOW")
	for _, e := range o.Entries {
		rtt, now := "?", "known"
		if e.RTT >= 0 {
			rtt = fmt.Sprintf("%.1f ms", e.RTT)
		}
		if e.Connected {
			now = "connected"
		}
		if e.Silent {
			now = "does not answer"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.at(), short(e.ID), e.who(), rtt, now)
	}
	return tw.Flush()
}

// line draws all places as a line of so many columns: this node, and whom it knows.
func (o OverlayOut) line(width int) string {
	cells := []rune(strings.Repeat("·", width-4))
	put := func(id string, mark rune) {
		var at float64
		for i := min(8, len(id)); i > 0; i-- {
			digit, _ := hex.DecodeString("0" + id[i-1:i])
			at = (at + float64(digit[0])) / 16
		}
		cells[int(at*float64(len(cells)))] = mark
	}
	for _, e := range o.Entries {
		put(e.ID, '●')
	}
	put(o.Self.ID, '◆')
	return "0 " + string(cells) + " f\n  ◆ this node  ● whom it knows"
}

// WriteText implements app.Texter.
func (o FindOut) WriteText(w io.Writer, _ int) error {
	at := fmt.Sprintf("%8.1f ms  ", o.After)
	var err error
	switch o.What {
	case overlay.Begins:
		fmt.Fprintf(w, "looking for %s (%s)\n", o.Key, o.KeyIs)
		says := "names " + human.Count(len(o.Names), "node")
		if o.Mine {
			says = "holds the key for its own"
		}
		_, err = fmt.Fprintf(w, "%sthis node itself %s\n", at, says)
	case overlay.Asks:
		_, err = fmt.Fprintf(w, "%sasks    %s  %s\n", at, short(o.Peer.ID), o.Peer.who())
	case overlay.Answers:
		says := "names " + human.Count(len(o.Names), "node")
		if o.Mine {
			says = "says that the key is its own"
		}
		_, err = fmt.Fprintf(w, "%sanswer  %s  %s after %.1f ms: %s\n", at, short(o.Peer.ID), o.Peer.who(), o.Took, says)
	case overlay.Silent:
		_, err = fmt.Fprintf(w, "%ssilent  %s  %s\n", at, short(o.Peer.ID), o.Peer.who())
	case overlay.Late:
		_, err = fmt.Fprintf(w, "%slate    %s  %s after %.1f ms\n", at, short(o.Peer.ID), o.Peer.who(), o.Took)
	case overlay.Ends:
		fmt.Fprintf(w, "%sit ends; %s asked, of which %d answered. The nearest:\n", at, human.Count(o.Asked, "node"), o.Answered)
		for i, p := range o.Names {
			_, err = fmt.Fprintf(w, "%8d  %s  %s\n", i+1, p.ID, p.who())
		}
	}
	return err
}
