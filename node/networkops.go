package node

import (
	"fmt"
	"io"
	"text/tabwriter"

	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/qr"
	"kith/network/member"
)

// NewNetworkIn names a private network.
type NewNetworkIn struct {
	Name string `json:"name" arg:"0" doc:"what it is called: a-z, 0-9 and -, at most 32"`
	Move bool   `json:"move,omitempty" doc:"leave the network that the node is in"`

	Overlay string `json:"overlay,omitempty" doc:"how its nodes find who has what: kad-dht (the default), chord, kademlia or pastry; part of the link, so that all members agree"`
}

// JoinNetworkIn leads into a network.
type JoinNetworkIn struct {
	Link string `json:"link,omitempty" arg:"0" secret:"true" doc:"link of a private network, kith:network:…"`
	Move bool   `json:"move,omitempty" doc:"leave the network that the node is in"`
}

// Move says to which network the node goes.
type Move struct {
	Network  string `json:"network" doc:"its name"`
	Mark     string `json:"mark,omitempty" doc:"of a private one: the same at every member"`
	Already  bool   `json:"already,omitempty" doc:"it is there"`
	Restarts bool   `json:"restarts" doc:"the node starts again by itself, and is there then; else from its next start on"`
}

// NetworkLink is the way into a private network.
type NetworkLink struct {
	Network  string `json:"network" doc:"its name"`
	Link     string `json:"link" doc:"whoever has it is a member"`
	Mark     string `json:"mark" doc:"the same at every member"`
	QR       string `json:"qr" doc:"the link as an SVG image"`
	Command  string `json:"command" doc:"what somebody else types; it asks for the link"`
	Restarts bool   `json:"restarts,omitempty" doc:"the node starts again by itself, and is there then"`
}

// MembersIn names members of a private network.
type MembersIn struct {
	Who []string `json:"who" arg:"0" doc:"contacts (@anna), persons (did:key:…) or devices (12D3Koo…)"`
}

// networkOps returns the operations on the network that the node is in.
func (n *Node) networkOps() []app.Op {
	show := query(app.NewOp("network", "show the network, who is there, and how others are found", n.public))

	create := app.NewOp("network new", "make a private network, and move this node into it", n.newNetwork)
	create.Long = "It prints a link. Whoever has the link gets in; whoever has not is not spoken to, and learns nothing but that a node is there. Pass it on as you\n" +
		"would pass on a key. To bring one person in and be their contact, kith invite is enough: its link leads into the network too."
	create.Example = "kith network new family\nkith network new experiment --overlay chord"

	join := app.NewStreamOp("network join", "join the public network, or the private one whose link you have", n.joinNetwork)
	join.Long = "Without LINK it joins the public network. That needs no invite and no server of Kith's: nodes find each other at a place on the BitTorrent DHT that\n" +
		"changes every day. Nodes of that DHT learn your IP address and that it looks for Kith; and, if this node can be reached, at which port, and tell\n" +
		"that to who asks. It stays so, over restarts, until kith network leave. Who you are, your contacts and what you share are told to nobody by it.\n\n" +
		"With LINK the node moves into a private network, and is there again at the next kith up. If LINK is -, it is asked for, or read from standard\n" +
		"input: other users of this computer can see what is on a command line."
	join.Example = "kith network join\nkith network join -\nkith network join - < link.txt"

	link := app.NewOp("network link", "show the link into the private network that this node is in", n.networkLink)

	leave := app.NewOp("network leave", "leave the public network (look for nobody, tell nobody), or the private one", n.leaveNetwork)
	leave.Long = "Of the public network: what nodes of the BitTorrent DHT were told they forget in half an hour or somewhat more. Peers that are connected stay so.\n" +
		"Of a private one: the node forgets the secret. To come back, somebody must give you the link again."

	members := query(app.NewOp("network members", "show whom this node lets into its private network", n.members))
	add := app.NewOp("network members add", "put somebody on the list of whom this node lets in", n.addMembers)
	add.Long = "With a list, the link alone is not enough: this node speaks with nobody who is not on it, from the moment you add the first. Each member keeps a list of\n" +
		"their own, or none; your own devices need not be on yours."
	add.Example = "kith network members add @anna\nkith network members add did:key:z6Mk… 12D3KooW…"
	rm := app.NewOp("network members rm", "take somebody off the list: they are disconnected at once", n.removeMembers)
	rm.Long = "They still have the link. When the last one is taken off there is no list, and the link is enough again. To shut somebody out everywhere, make a new\n" +
		"network, and give its link to everybody else."
	rm.Example = "kith network members rm @anna"
	return []app.Op{show, create, join, link, leave, members, add, rm}
}

func (n *Node) linkOf(to member.Network, fresh bool) (NetworkLink, error) {
	out := NetworkLink{Network: to.Name, Link: to.Link(), Mark: to.Mark(), Command: "kith network join -", Restarts: fresh && n.o.Restart != nil}
	var err error
	out.QR, err = qr.SVG(out.Link)
	return out, err
}

// WriteText implements app.Texter.
func (o NetworkLink) WriteText(w io.Writer, width int) error {
	fmt.Fprintf(w, "%s\n\nWhoever has this link is in the private network %s. They type %s and paste it when they are asked.\n", o.Link, o.Network, o.Command)
	if width > 0 {
		if code, err := qr.Text(o.Link, width); err == nil {
			fmt.Fprintf(w, "\n%s", code)
		}
	}
	return nil
}

func (m Move) write(w io.Writer) error {
	name := "the public network " + m.Network
	if m.Mark != "" {
		name = fmt.Sprintf("the private network %s (mark %s)", m.Network, m.Mark)
	}
	text := "from the next kith up on, this node is in " + name
	switch {
	case m.Already:
		text = "this node is in " + name + " already"
	case m.Restarts:
		text = "this node moves to " + name + ", and is there in a moment; see: kith network"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// writePrivate writes how the node stands to its private network.
func (o PublicOut) writePrivate(w io.Writer) error {
	p := o.Private
	fmt.Fprintf(w, "%s: a private network, mark %s, %s connected\n", o.Network, p.Mark, human.Count(len(p.Here), "device"))
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, h := range p.Here {
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", named(h.Name, h.Person), h.Why, h.Peer)
	}
	tw.Flush()
	if p.Listed {
		fmt.Fprintln(w, "\nonly who is on the list gets in:")
		for _, m := range p.Members {
			fmt.Fprintf(tw, "  %s\t%s\n", named(m.Name, m.ID), m.ID)
		}
		tw.Flush()
	} else {
		fmt.Fprintln(w, "\nwhoever has the link gets in: kith network link")
	}
	if len(p.Refused) > 0 {
		fmt.Fprintln(w, "\nnot let in:")
		for _, r := range p.Refused {
			fmt.Fprintf(tw, "  %s\t%s\t%s, %s\n", named(r.Name, r.Peer), r.Why, human.Count(r.Times, "time"), r.Last.Local().Format("2 January, 15:04"))
		}
	}
	return tw.Flush()
}

// named returns a name, or the end of an id.
func named(name, id string) string {
	if name != "" {
		return plain.Text(name)
	}
	return "…" + id[max(0, len(id)-6):]
}
