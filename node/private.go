package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
	"kith/network"
	"kith/network/member"
)

const keptName = "private.json" // in the folder network: the private network that the node is in

// openDoor returns the door of the private network that the node is in, nil for none, and the folder for what it remembers of the network: each private
// network has one of its own, so that peers of another are not dialled from it.
func (n *Node) openDoor(dir string) (_ *member.Door, folder string, err error) {
	path := filepath.Join(dir, keptName)
	kept, err := member.Load(path)
	switch text := n.o.Config.Network; {
	case err != nil:
		return nil, "", err
	case n.o.Join != "":
		kept, err = n.enter(path, kept, n.o.Join)
	case member.IsLink(text):
		kept = &member.Kept{}
		kept.Network, err = member.Parse(text)
	case text != "":
		kept = nil // for this once
	}
	if kept == nil || err != nil {
		return nil, dir, err
	}
	d, err := member.NewDoor(kept.Network, n.me.Certificate(), n.me.Key())
	if err == nil {
		err = d.SetMembers(kept.Members)
	}
	folder = filepath.Join(dir, kept.Network.Label())
	if err == nil {
		err = os.MkdirAll(folder, 0o700)
	}
	n.kept = *kept
	return d, folder, err
}

// enter remembers the network that a link leads into. What is kept of the same network stays.
func (n *Node) enter(path string, kept *member.Kept, link string) (*member.Kept, error) {
	to, err := member.Parse(link)
	if err != nil || kept != nil && kept.Network == to {
		return kept, err
	}
	kept = &member.Kept{Network: to}
	return kept, kept.Save(path)
}

func (n *Node) keptPath() string { return filepath.Join(n.o.Dir, "network", keptName) }

// move makes the node be in a private network, or in none, from its next start on, which is now if whoever runs the node can do that.
func (n *Node) move(to *member.Kept) error {
	if n.o.Config.Network != "" {
		return kith.Hint(fmt.Errorf("node: move to another network: this one was chosen by config.toml or --network: %w", kith.Denied),
			"take it out of %s, start without --network, and try again", filepath.Join(n.o.Dir, "config.toml"))
	}
	var err error
	if to == nil {
		if err = os.Remove(n.keptPath()); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else {
		err = to.Save(n.keptPath())
	}
	if err != nil {
		return fmt.Errorf("node: move to another network: %w", err)
	}
	if n.o.Restart != nil {
		n.o.Restart()
	}
	return nil
}

// privately returns how the node stands to its private network; nil: it is in none.
func (n *Node) privately() *Private {
	d := n.net.Door()
	if d == nil {
		return nil
	}
	n.mu.Lock()
	list := slices.Clone(n.kept.Members)
	n.mu.Unlock()
	p := &Private{Mark: d.Network().Mark(), Listed: len(list) > 0, Members: []Member{}, Refused: []Refused{}}
	here := map[string]bool{}
	persons := n.persons()
	for _, c := range n.net.Peers() {
		person := d.Person(c.ID)
		if person == "" {
			continue
		}
		here[person], here[c.ID.String()] = true, true
		p.Here = append(p.Here, Here{Peer: c.ID.String(), Person: person, Name: persons[person], Why: c.Why})
	}
	for _, m := range list {
		name := persons[m]
		if id, err := peer.Decode(m); err == nil {
			name = n.people.Name(id)
		}
		p.Members = append(p.Members, Member{ID: m, Name: name, Online: here[m]})
	}
	for _, r := range d.Refused() {
		p.Refused = append(p.Refused, Refused{Peer: r.Peer.String(), Name: n.people.Name(r.Peer), Why: r.Why.Error(), Last: r.Last, Times: r.Times})
	}
	return p
}

// persons returns what the persons who are contacts are called.
func (n *Node) persons() map[string]string {
	out := map[string]string{n.me.Person(): "you"}
	for _, c := range n.people.All() {
		if c.Person != nil && !c.Me {
			out[identity.Certificate{Master: c.Person}.Person()] = c.Name
		}
	}
	return out
}

func (n *Node) newNetwork(_ context.Context, in NewNetworkIn) (NetworkLink, error) {
	overlay, err := checkOverlay(in.Overlay)
	if err != nil {
		return NetworkLink{}, fmt.Errorf("node: %w", err)
	}
	to, err := member.New(in.Name, overlay)
	if err != nil {
		return NetworkLink{}, err
	}
	if err := n.mayMove(in.Move); err != nil {
		return NetworkLink{}, err
	}
	if err := n.move(&member.Kept{Network: to}); err != nil {
		return NetworkLink{}, err
	}
	return n.linkOf(to, true)
}

// mayMove asks for a confirmation where moving leaves somebody behind.
func (n *Node) mayMove(sure bool) error {
	if sure || !n.net.Private() && len(n.people.All()) == 0 {
		return nil
	}
	err := fmt.Errorf("node: a node is in one network at a time, and this one would leave %s and who is there: %w", n.where(), kith.Denied)
	return kith.Hint(err, "say --move to leave it; or start a second node, with a data directory of its own: kith --dir DIR up")
}

// where says in which network the node is.
func (n *Node) where() string {
	if d := n.net.Door(); d != nil {
		return private(d.Network())
	}
	return fmt.Sprintf("the public network %q", n.net.Name())
}

func private(n member.Network) string {
	return fmt.Sprintf("the private network %q (mark %s)", n.Name, n.Mark())
}

// joinNetwork joins the public network, or moves into a private one.
func (n *Node) joinNetwork(ctx context.Context, in JoinNetworkIn) iter.Seq2[PublicOut, error] {
	if in.Link == "" && !n.net.Private() {
		return n.joinPublic(ctx)
	}
	return func(yield func(PublicOut, error) bool) {
		if in.Link == "" {
			err := fmt.Errorf("node: join the public network: this node is in %s: %w", n.where(), kith.Denied)
			yield(PublicOut{}, kith.Hint(err, "leave it first: kith network leave"))
			return
		}
		out := n.publicOut()
		var err error
		out.Moves, err = n.joinPrivate(in)
		yield(out, err)
	}
}

func (n *Node) joinPrivate(in JoinNetworkIn) (*Move, error) {
	to, err := member.Parse(in.Link)
	if err != nil {
		return nil, err
	}
	if d := n.net.Door(); d != nil && d.Network() == to {
		return &Move{Network: to.Name, Mark: to.Mark(), Already: true}, nil
	}
	if err := n.mayMove(in.Move); err != nil {
		return nil, err
	}
	return &Move{Network: to.Name, Mark: to.Mark(), Restarts: n.o.Restart != nil}, n.move(&member.Kept{Network: to})
}

// leaveNetwork leaves the public network, or the private one.
func (n *Node) leaveNetwork(ctx context.Context, _ None) (PublicOut, error) {
	if !n.net.Private() {
		return n.leavePublic(ctx)
	}
	out := n.publicOut()
	out.Moves = &Move{Network: network.DefaultName, Restarts: n.o.Restart != nil}
	return out, n.move(nil)
}

func (n *Node) networkLink(context.Context, None) (NetworkLink, error) {
	d := n.net.Door()
	if d == nil {
		err := fmt.Errorf("node: %q is a public network: it has no link: %w", n.net.Name(), kith.NotFound)
		return NetworkLink{}, kith.Hint(err, "make a private one: kith network new NAME")
	}
	return n.linkOf(d.Network(), false)
}

func (n *Node) members(context.Context, None) (PublicOut, error) {
	if !n.net.Private() {
		return PublicOut{}, kith.Hint(fmt.Errorf("node: members: %q is a public network, which has none: %w", n.net.Name(), kith.Invalid), "make a private one: kith network new NAME")
	}
	return n.publicOut(), nil
}

func (n *Node) addMembers(_ context.Context, in MembersIn) (PublicOut, error) {
	return n.setMembers(in.Who, func(list []string, who string) []string {
		if slices.Contains(list, who) {
			return list
		}
		return append(list, who)
	})
}

func (n *Node) removeMembers(_ context.Context, in MembersIn) (PublicOut, error) {
	return n.setMembers(in.Who, func(list []string, who string) []string {
		return slices.DeleteFunc(list, func(m string) bool { return m == who })
	})
}

// setMembers changes the list of members by each of who, on disk first, and disconnects whoever is no longer on it.
func (n *Node) setMembers(who []string, change func(list []string, who string) []string) (PublicOut, error) {
	if _, err := n.members(context.Background(), None{}); err != nil {
		return PublicOut{}, err
	}
	n.mu.Lock()
	kept := n.kept
	kept.Members = slices.Clone(kept.Members)
	n.mu.Unlock()
	for _, w := range who {
		m, err := n.memberID(w)
		if err != nil {
			return PublicOut{}, err
		}
		kept.Members = change(kept.Members, m)
	}
	if err := member.CheckMembers(kept.Members); err != nil {
		return PublicOut{}, err
	}
	if n.o.Config.Network == "" {
		if err := kept.Save(n.keptPath()); err != nil {
			return PublicOut{}, err
		}
	}
	n.mu.Lock()
	n.kept = kept
	n.mu.Unlock()
	if err := n.net.SetMembers(kept.Members); err != nil {
		return PublicOut{}, err
	}
	return n.publicOut(), nil
}

// memberID returns whom a person means: a contact, a person's or a device's public name.
func (n *Node) memberID(who string) (string, error) {
	name := who
	if len(name) > 1 && name[0] == '@' {
		name = name[1:]
	}
	for _, c := range n.people.All() {
		if c.Name != name {
			continue
		}
		if c.Person == nil {
			return "", kith.Hint(fmt.Errorf("node: members: %s has not shown yet who they are: %w", name, kith.Unavailable), "name their device instead: kith people shows it")
		}
		return identity.Certificate{Master: c.Person}.Person(), nil
	}
	if err := member.CheckMembers([]string{who}); err != nil {
		return "", fmt.Errorf("node: members: no contact is called %.40q, and %w", name, err)
	}
	return who, nil
}

// moveAndJoin moves the node into the private network of an invite, if it may, and leaves word to join by the invite there.
func (n *Node) moveAndJoin(to member.Network, in JoinIn) (JoinOut, error) {
	if n.mayMove(in.Move) != nil {
		return JoinOut{}, kith.Hint(fmt.Errorf("node: join: the invite is for %s, and this node is in %s: %w", private(to), n.where(), kith.Denied),
			"move this node there: kith join LINK --move; or start a second one, with a data directory of its own: kith --dir DIR up, and kith --dir DIR join LINK")
	}
	return JoinOut{State: "moving", Network: to.Name}, n.move(&member.Kept{Network: to, Invite: in.Link, As: in.Name})
}

// joinKept joins by the invite that brought the node into its network.
func (n *Node) joinKept(ctx context.Context) error {
	n.mu.Lock()
	kept := n.kept
	n.mu.Unlock()
	if kept.Invite == "" {
		return nil
	}
	c, err := n.people.Join(ctx, kept.Invite, kept.As, func(string) {})
	if ctx.Err() != nil {
		return nil // it is tried again at the next start
	}
	n.mu.Lock()
	n.kept.Invite, n.kept.As = "", ""
	kept = n.kept
	n.mu.Unlock()
	if err != nil {
		n.note(fmt.Sprintf("this node is in the private network %q now, but %v", kept.Network.Name, err))
	} else {
		n.log.Info("joined", "peer", c.Name)
	}
	return kept.Save(n.keptPath())
}

// Private is how a node stands to the private network that it is in.
type Private struct {
	Mark    string    `json:"mark" doc:"the same at every member: compare it when two do not see each other"`
	Listed  bool      `json:"listed" doc:"only who is among members gets in, and only with the secret"`
	Members []Member  `json:"members" doc:"the list, if there is one"`
	Here    []Here    `json:"here" doc:"devices of members that are connected"`
	Refused []Refused `json:"refused" doc:"who was not let in, the last first"`
}

// Member stands on the list of a private network.
type Member struct {
	ID     string `json:"id" doc:"a person, or a device"`
	Name   string `json:"name,omitempty" doc:"what you call them"`
	Online bool   `json:"online"`
}

// Here is a device of a member that is connected.
type Here struct {
	Peer   string `json:"peer"`
	Person string `json:"person" doc:"whose it is, by a certificate"`
	Name   string `json:"name,omitempty" doc:"what you call them"`
	Why    string `json:"why" doc:"how it is connected, in words"`
}

// Refused is a peer that was not let into a private network.
type Refused struct {
	Peer  string    `json:"peer"`
	Name  string    `json:"name,omitempty" doc:"what you call them"`
	Why   string    `json:"why"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
}
