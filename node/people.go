package node

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
	"kith/app"
	"kith/identity"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/qr"
	"kith/people"
)

// PeopleOut lists the person's contacts.
type PeopleOut struct {
	People []Contact `json:"people"`
}

// Contact is somebody the person knows.
type Contact struct {
	Name    string     `json:"name" doc:"what the person calls them"`
	Profile string     `json:"profile,omitempty" doc:"what they call themselves"`
	Picture string     `json:"picture,omitempty" doc:"changes with their picture, which people-picture gives; left out if there is none"`
	Me      bool       `json:"me,omitempty" doc:"the person's own other devices"`
	Proven  bool       `json:"proven" doc:"they have shown who they are; false: added by a peer id alone, and not met since"`
	Peers   []string   `json:"peers" doc:"ids of their devices"`
	Devices []string   `json:"devices" doc:"names of these devices; empty where not known"`
	Online  bool       `json:"online" doc:"one of them is connected now"`
	Direct  bool       `json:"direct" doc:"it is connected without a relay"`
	How     string     `json:"how,omitempty" doc:"how it is connected, in words"`
	Seen    *time.Time `json:"seen,omitempty" doc:"when one of them was last connected"`
	Added   time.Time  `json:"added"`
}

// ContactIn names a contact to add or change.
type ContactIn struct {
	Name string `json:"name" arg:"0" doc:"what you call them"`
	Peer string `json:"peer" arg:"1" doc:"id of their device, as kith id shows it there"`
}

// NameIn names a contact.
type NameIn struct {
	Name string `json:"name" arg:"0" doc:"what you call them"`
}

// RenameIn gives a contact another name.
type RenameIn struct {
	Name string `json:"name" arg:"0" doc:"what you call them"`
	To   string `json:"to" arg:"1" doc:"what you will call them"`
}

// PictureOut is the picture of a contact.
type PictureOut struct {
	Picture string `json:"picture,omitempty" doc:"data: URL; left out if there is none"`
}

// InviteIn makes an invite.
type InviteIn struct {
	Name string `json:"name,omitempty" doc:"what you call who joins (else as they call themselves)"`
	For  string `json:"for,omitempty" default:"7d" doc:"how long it holds: 24h, 7d"`
}

// Invite is a link by which one other person becomes a contact.
type Invite struct {
	ID      string    `json:"id"`
	Link    string    `json:"link"`
	Name    string    `json:"name,omitempty" doc:"what you call who joins"`
	State   string    `json:"state" enum:"open,used,expired,withdrawn"`
	By      string    `json:"by,omitempty" doc:"who used it: what you call them, or their peer id"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// InviteOut is an invite and the ways to hand it on.
type InviteOut struct {
	Invite
	Command string `json:"command" doc:"what the other person types, if they have no page at hand"`
	Network string `json:"network,omitempty" doc:"the private network that it leads into"`
	Listed  bool   `json:"listed,omitempty" doc:"they get in only if they are on the list of members"`
	Near    bool   `json:"near,omitempty" doc:"it leads to addresses of this local network alone: nobody beyond it can reach this node yet"`
	As      string `json:"as,omitempty" doc:"the person has no name yet, and is seen as this one, of the computer"`
	QR      string `json:"qr" doc:"SVG"`
}

// InvitesOut lists invites.
type InvitesOut struct {
	Invites []Invite `json:"invites"`
}

// InviteRef names an invite.
type InviteRef struct {
	ID string `json:"id" arg:"0" doc:"as kith invite ls shows it, or the whole link"`
}

// JoinIn takes an invite up.
type JoinIn struct {
	Link    string `json:"link" arg:"0" doc:"the invite: kith:invite:…"`
	Name    string `json:"name,omitempty" doc:"what you call who invites (else as they call themselves)"`
	Timeout string `json:"timeout,omitempty" default:"10m" doc:"how long to wait for them to come online"`
	Move    bool   `json:"move,omitempty" doc:"if the invite is for a private network, leave the one that the node is in"`
}

// JoinOut says how joining goes.
type JoinOut struct {
	State   string `json:"state" enum:"waiting,joined,moving"`
	Network string `json:"network,omitempty" doc:"the private network that the node is moving to, where it joins by itself"`
	Why     string `json:"why,omitempty" doc:"the reason for waiting"`
	Contact string `json:"contact,omitempty" doc:"what the person calls the new contact"`
	As      string `json:"as,omitempty" doc:"the person has no name yet, and is seen as this one, of the computer"`
}

// peopleOps returns the operations on who the person knows.
func (n *Node) peopleOps() []app.Op {
	picture := query(app.NewOp("people picture", "show the picture of a contact", n.picture))
	picture.Hidden = true

	invite := app.NewOp("invite", "invite somebody to become a contact: a link for one person, once", n.invite)
	invite.Long = "Send the link to one other person. When they open it, you are contacts of each other: each knows who the other is,\n" +
		"and finds them again. Nobody else can use it, and nobody else learns who you are from it."
	invite.Example = "kith invite\nkith invite --name Anna --for 24h"

	join := app.NewStreamOp("join", "become a contact of who sent you an invite", n.join)
	join.Long = "It waits until they are online."
	join.Example = "kith join 'kith:invite:AbQ…'\nkith join 'kith:invite:AbQ…' --name Anna --timeout 1h"

	rename := app.NewOp("people rename", "call a contact otherwise", n.renamePerson)
	rename.Example = "kith people rename 'Anna 2' Annika"

	return []app.Op{
		query(app.NewOp("people", "list your contacts", n.listPeople)),
		app.NewOp("people add", "call the owner of a device by a name: they become a contact", n.addPerson),
		app.NewOp("people rm", "take somebody off your contacts", n.removePerson),
		rename, picture, invite,
		query(app.NewOp("invite ls", "list the invites that you made", n.listInvites)),
		app.NewOp("invite rm", "withdraw an invite that nobody has used", n.revoke),
		join,
	}
}

func (n *Node) listPeople(context.Context, None) (PeopleOut, error) {
	out := PeopleOut{People: []Contact{}}
	for _, c := range n.people.All() {
		if c.Me && len(c.Devices) == 0 { // the last other device was revoked
			continue
		}
		v := Contact{Name: c.Name, Profile: c.Profile, Me: c.Me, Proven: c.Person != nil, Peers: []string{}, Devices: []string{}, Added: c.Added}
		if c.Picture != nil {
			v.Picture = fmt.Sprintf("%x", c.Picture[:8])
		}
		for _, d := range c.Devices {
			v.Peers, v.Devices = append(v.Peers, d.Peer.String()), append(v.Devices, d.Name)
			if d.Seen.After(time.Time{}) && (v.Seen == nil || d.Seen.After(*v.Seen)) {
				v.Seen = &d.Seen
			}
			if info, ok := n.net.Peer(d.Peer); ok && !v.Direct { // a direct way, if there is one
				v.Online, v.Direct, v.How = true, info.Direct, info.Why
			}
		}
		out.People = append(out.People, v)
	}
	return out, nil
}

func (n *Node) addPerson(ctx context.Context, in ContactIn) (PeopleOut, error) {
	id, err := peer.Decode(in.Peer)
	if err != nil {
		return PeopleOut{}, kith.Hint(fmt.Errorf("node: people add: %.80q is no peer id: %w", in.Peer, kith.Invalid), "they find theirs with: kith id")
	}
	if err := n.people.Add(ctx, in.Name, id); err != nil {
		return PeopleOut{}, err
	}
	return n.listPeople(ctx, None{})
}

func (n *Node) removePerson(ctx context.Context, in NameIn) (PeopleOut, error) {
	if err := n.people.Remove(ctx, in.Name); err != nil {
		return PeopleOut{}, err
	}
	return n.listPeople(ctx, None{})
}

func (n *Node) renamePerson(ctx context.Context, in RenameIn) (PeopleOut, error) {
	if err := n.people.Rename(ctx, in.Name, in.To); err != nil {
		return PeopleOut{}, err
	}
	return n.listPeople(ctx, None{})
}

func (n *Node) picture(ctx context.Context, in NameIn) (PictureOut, error) {
	data, err := n.people.Picture(ctx, in.Name)
	if err != nil || data == nil {
		return PictureOut{}, err
	}
	kind := identity.Profile{Picture: data}.MediaType()
	return PictureOut{"data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data)}, nil
}

func (n *Node) invite(ctx context.Context, in InviteIn) (InviteOut, error) {
	life, err := human.ParseDuration(cmp.Or(in.For, "7d"))
	if err != nil {
		return InviteOut{}, err
	}
	i, err := n.people.Invite(ctx, in.Name, life)
	if err != nil {
		return InviteOut{}, err
	}
	out := InviteOut{Invite: n.issued(i), Command: "kith join '" + i.Link + "'", As: n.nameless()}
	if leads, err := people.ParseInvite(i.Link); err == nil {
		out.Near = !slices.ContainsFunc(leads.Addrs, manet.IsPublicAddr)
	}
	if p := n.privately(); p != nil {
		out.Network, out.Listed = n.net.Name(), p.Listed
	}
	out.QR, err = qr.SVG(i.Link)
	return out, err
}

// nameless returns what others see in place of a name while the person has given none; "" if they have.
func (n *Node) nameless() string {
	if n.me.Profile().Name != "" {
		return ""
	}
	return n.me.Certificate().Name
}

// issued returns an invite as it is shown.
func (n *Node) issued(i people.Issued) Invite {
	v := Invite{ID: i.ID, Link: i.Link, Name: i.Name, State: i.State, Created: i.Created, Expires: i.Expires}
	if i.By != "" {
		if v.By = n.people.Name(i.By); v.By == "" {
			v.By = i.By.String()
		}
	}
	return v
}

func (n *Node) listInvites(ctx context.Context, _ None) (InvitesOut, error) {
	list, err := n.people.Invites(ctx)
	out := InvitesOut{Invites: []Invite{}}
	for _, i := range list {
		out.Invites = append(out.Invites, n.issued(i))
	}
	return out, err
}

func (n *Node) revoke(ctx context.Context, in InviteRef) (InvitesOut, error) {
	if err := n.people.Revoke(ctx, in.ID); err != nil {
		return InvitesOut{}, err
	}
	return n.listInvites(ctx, None{})
}

// join yields why it waits whenever that is known anew, and the contact at last.
func (n *Node) join(ctx context.Context, in JoinIn) iter.Seq2[JoinOut, error] {
	return func(yield func(JoinOut, error) bool) {
		limit, err := human.ParseDuration(cmp.Or(in.Timeout, "10m"))
		if err != nil {
			yield(JoinOut{}, err)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		gone := false
		contact, err := n.people.Join(ctx, in.Link, in.Name, func(why string) {
			if !gone && !yield(JoinOut{State: "waiting", Why: why}, nil) {
				gone = true
				cancel()
			}
		})
		if gone {
			return
		}
		var elsewhere people.Elsewhere
		if errors.As(err, &elsewhere) {
			yield(n.moveAndJoin(elsewhere.Network, in))
			return
		}
		if err != nil {
			yield(JoinOut{}, err)
			return
		}
		yield(JoinOut{State: "joined", Contact: contact.Name, As: n.nameless()}, nil)
	}
}

// Progress implements app.Progresser.
func (o JoinOut) Progress() app.Progress { return app.Progress{Label: "joining", Note: o.Why} }

// WriteText implements app.Texter.
func (o JoinOut) WriteText(w io.Writer, _ int) error {
	if o.State == "moving" {
		_, err := fmt.Fprintf(w, "the invite leads into the private network %s: this node moves there, and joins by itself\nsee who is there with: kith network, kith people\n", plain.Text(o.Network))
		return err
	}
	_, err := fmt.Fprintf(w, "%s is a contact of yours now, and you are one of theirs\n", plain.Text(o.Contact))
	return errors.Join(err, seenAs(w, o.As))
}

// seenAs tells how a person without a name is seen.
func seenAs(w io.Writer, as string) error {
	if as == "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nYou have no name yet; they see %s, as this computer is called. Choose one: kith id profile --name NAME\n", plain.Text(as))
	return err
}

// WriteText implements app.Texter.
func (o InviteOut) WriteText(w io.Writer, width int) error {
	fmt.Fprintf(w, "%s\n\nIt is for one person, once, and holds until %s. They open it with:\n  %s\n",
		o.Link, o.Expires.Local().Format("2 January, 15:04"), o.Command)
	if o.Network != "" {
		fmt.Fprintf(w, "\nIt leads into your private network %s too. Give it to nobody else: who sees it has the way in, even once it is used.\n", plain.Text(o.Network))
	}
	if o.Listed {
		fmt.Fprintln(w, "Your network has a list of members: they get in once you have put them on it, with kith network members add.")
	}
	if o.Near {
		fmt.Fprintln(w, "\nIt works in this local network only: nobody beyond it can reach this node yet. Why, and what to do: kith doctor")
	}
	if err := seenAs(w, o.As); err != nil {
		return err
	}
	if width > 0 {
		if code, err := qr.Text(o.Link, width); err == nil {
			fmt.Fprintf(w, "\n%s", code)
		}
	}
	return nil
}

// WriteText implements app.Texter.
func (o InvitesOut) WriteText(w io.Writer, _ int) error {
	if len(o.Invites) == 0 {
		_, err := fmt.Fprintln(w, "no invites; make one with: kith invite")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tFOR\tSTATE\tUNTIL")
	for _, i := range o.Invites {
		state := i.State
		if i.By != "" {
			state += " by " + plain.Text(i.By)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", i.ID, plain.Text(i.Name), state, i.Expires.Local().Format("2 January, 15:04"))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (o PeopleOut) WriteText(w io.Writer, _ int) error {
	if len(o.People) == 0 {
		_, err := fmt.Fprintln(w, "no contacts yet; invite somebody with: kith invite")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tHOW\tDEVICES")
	for _, c := range o.People {
		name := plain.Text(c.Name)
		if c.Profile != "" && c.Profile != c.Name {
			name += " (" + plain.Text(c.Profile) + ")"
		}
		for i, p := range c.Peers {
			how := ""
			if i == 0 {
				how = c.how()
			} else {
				name = ""
			}
			fmt.Fprintf(tw, "%s\t%s\t%s  %s\n", name, how, p, plain.Text(c.Devices[i]))
		}
	}
	return tw.Flush()
}

// how says in words whether they are there.
func (c Contact) how() string {
	switch {
	case c.Online:
		return c.How
	case c.Seen != nil:
		return "not online, last seen " + c.Seen.Local().Format("2 January, 15:04")
	}
	return "never seen"
}
