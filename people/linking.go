package people

import (
	"bufio"
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
	"kith/internal/human"
	"kith/network"
	"kith/wire"
)

// DeviceProtocol is how a device becomes another one of the same person, and how these keep the same contacts. One stream carries one request and its answer.
const DeviceProtocol = "/kith/device/1"

// Limits of links between devices.
const (
	// LinkLife is how long a link holds.
	LinkLife = 10 * time.Minute

	maxOffers = 8 // links that are open at once
)

// A deviceRequest is one of four: for a certificate, by a link that the asked device shows (Link and Name); to take one, by a link that it shows (Link and Gift);
// and, of another device of the same person, for what changed in the list of contacts (no Link), or to be asked for that (Poke).
type deviceRequest struct {
	Link  []byte `cbor:"1,keyasint,omitempty"` // id of the link
	Proof []byte `cbor:"2,keyasint,omitempty"` // that the asker has its secret
	Name  string `cbor:"3,keyasint,omitempty"` // of the asking device
	Gift  []byte `cbor:"4,keyasint,omitempty"` // as gift
	Epoch []byte `cbor:"5,keyasint,omitempty"` // of the list that Since is a place in
	Since uint64 `cbor:"6,keyasint,omitempty"`
	Poke  bool   `cbor:"7,keyasint,omitempty"`
	Dated []byte `cbor:"8,keyasint,omitempty"` // SHA-256 of the first of the versions that the asker has of the record
}

type deviceAnswer struct {
	Says    uint64   `cbor:"1,keyasint"`           // as in answer
	Gift    []byte   `cbor:"2,keyasint,omitempty"` // as gift
	Epoch   []byte   `cbor:"3,keyasint,omitempty"`
	Next    uint64   `cbor:"4,keyasint,omitempty"` // Since of the next request
	Entries [][]byte `cbor:"5,keyasint,omitempty"` // as entryWire
	More    bool     `cbor:"6,keyasint,omitempty"` // there is more behind Next
	ownRecord
}

// A gift is what makes a device the person's.
type gift struct {
	Cert    []byte `cbor:"1,keyasint"`
	List    []byte `cbor:"2,keyasint"`
	Name    string `cbor:"3,keyasint"` // of the person
	Picture []byte `cbor:"4,keyasint,omitempty"`
	Card    []byte `cbor:"5,keyasint"` // of the device that certifies
	ownRecord
}

// An ownRecord is the record of the person's list of devices, as their devices publish it.
type ownRecord struct {
	Ticket []byte   `cbor:"10,keyasint,omitempty"`
	Dated  [][]byte `cbor:"11,keyasint,omitempty"` // its versions for the months to come
}

// An offer is a link that this device shows.
type offer struct {
	link   DeviceLink
	master identity.Master // unless link.New
	taker  peer.ID         // who has used it; "": nobody
	done   chan Linked     // has room for one
	busy   bool
}

// Linked is how a device became the person's.
type Linked struct {
	Peer peer.ID // the other device
	Name string  // what it is called
	New  bool    // this device is the new one, and the other certified it
}

// An OpenLink waits for the other device.
type OpenLink struct {
	DeviceLink
	Done  <-chan Linked
	Close func() // nobody can use the link from then on; who has used it may still hear the answer once more
}

// ShowLink opens a link by which another device becomes the person's. The master key, which unlock gives, is kept in memory until the link has ended.
func (p *People) ShowLink(unlock func() (identity.Master, error)) (OpenLink, error) {
	if at, ok := p.Revoked(); ok {
		return OpenLink{}, errRevoked(at)
	}
	m, err := unlock()
	if err != nil {
		return OpenLink{}, err
	}
	return p.show(false, m)
}

// AskToBeLinked opens a link by which this device becomes that of the person who takes it. It is Exists if the person of this device would be lost, unless replace.
func (p *People) AskToBeLinked(replace bool) (OpenLink, error) {
	if err := p.mayReplace(replace); err != nil {
		return OpenLink{}, err
	}
	return p.show(true, identity.Master{})
}

func (p *People) show(isNew bool, m identity.Master) (OpenLink, error) {
	l, err := p.newDeviceLink(isNew, LinkLife)
	if err != nil {
		return OpenLink{}, err
	}
	id := string(deviceLinkID(l.Secret))
	o := &offer{link: l, master: m, done: make(chan Linked, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, old := range p.offers {
		if !p.now().Before(old.link.Expires) {
			delete(p.offers, id)
		}
	}
	if len(p.offers) >= maxOffers {
		return OpenLink{}, kith.Hint(fmt.Errorf("people: link: %d are open already: %w", maxOffers, kith.TooLarge), "each ends after %s, or when its command is stopped", LinkLife)
	}
	p.offers[id] = o
	return OpenLink{l, o.done, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if o.taker == "" {
			delete(p.offers, id)
		}
	}}, nil
}

// mayReplace returns nil if the person whom this device acts for may be given up: nobody has used them, or replace says so.
func (p *People) mayReplace(replace bool) error {
	contacts := len(p.All())
	_, revoked := p.Revoked() // then they are lost already
	switch {
	case replace, revoked, contacts == 0 && p.o.Me.Master() == identity.Here:
		return nil
	case contacts > 0:
		return kith.Hint(fmt.Errorf("people: link: this device acts for another person, who has %s here: %w", human.Count(contacts, "contact"), kith.Exists),
			"to give that person up: the same command with --replace; the contacts stay, and become known to all your devices, but know you by who you were until you invite them anew")
	}
	return kith.Hint(fmt.Errorf("people: link: this device acts for another person, whose recovery phrase somebody wrote down: %w", kith.Exists), "to give that person up: the same command with --replace")
}

// ServeDevice answers one request. It is the handler of DeviceProtocol.
func (p *People) ServeDevice(ctx context.Context, s network.Stream) error {
	select {
	case p.serve <- struct{}{}:
		defer func() { <-p.serve }()
	default:
		return fmt.Errorf("people: serve: %d streams at once: %w", maxServed, kith.Unavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	if err := s.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	var r deviceRequest
	if err := wire.ReadMsg(bufio.NewReader(s), maxDevice, &r); err != nil {
		return err
	}
	a, err := p.answerDevice(ctx, s.Peer(), r)
	if err != nil {
		p.log.Debug("device: request refused", "peer", s.Peer(), "err", err)
	}
	return wire.WriteMsg(s, a)
}

// maxDevice is how many bytes a request or an answer of DeviceProtocol has at most: a picture, and the rest.
const maxDevice = identity.MaxPicture + 192<<10

func (p *People) answerDevice(ctx context.Context, from peer.ID, r deviceRequest) (deviceAnswer, error) {
	if r.Link == nil {
		return p.answerSync(ctx, from, r)
	}
	o, says, err := p.claimOffer(from, r)
	if err != nil {
		return deviceAnswer{Says: says}, err
	}
	defer func() {
		p.mu.Lock()
		o.busy = false
		p.mu.Unlock()
	}()
	if o.link.New {
		err = p.takeGift(ctx, r.Gift, from)
	} else {
		var g []byte
		var called string
		if g, called, err = p.give(ctx, o.master, from, r.Name); err == nil {
			p.finish(o, from, called, false)
			return deviceAnswer{Gift: g}, nil
		}
	}
	switch {
	case errors.Is(err, kith.TooLarge), errors.Is(err, kith.Invalid), errors.Is(err, kith.Corrupt), errors.Is(err, kith.Denied):
		return deviceAnswer{Says: saysBadCard}, err
	case err != nil:
		return deviceAnswer{Says: saysLater}, err
	}
	p.finish(o, from, p.deviceName(from, o.link.Name), true)
	return deviceAnswer{}, nil
}

// claimOffer returns the link that somebody uses, who alone may from then on.
func (p *People) claimOffer(from peer.ID, r deviceRequest) (o *offer, says uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o = p.offers[string(r.Link)]
	content := []byte(r.Name)
	if r.Gift != nil {
		content = r.Gift
	}
	switch {
	case o == nil, o.link.New != (r.Gift != nil), !hmac.Equal(r.Proof, deviceProof(o.link.Secret, p.o.Me.PeerID(), from, content)):
		return nil, saysNoInvite, fmt.Errorf("people: link: no such link: %w", kith.NotFound)
	case !p.now().Before(o.link.Expires):
		return nil, saysExpired, fmt.Errorf("people: link: it has expired: %w", kith.Gone)
	case o.taker != "" && o.taker != from:
		return nil, saysUsed, fmt.Errorf("people: link: it is used: %w", kith.Gone)
	case o.busy:
		return nil, saysLater, fmt.Errorf("people: link: it is being used: %w", kith.Unavailable)
	}
	o.taker, o.busy = from, true
	return o, saysYes, nil
}

// finish tells who waits for the link.
func (p *People) finish(o *offer, other peer.ID, called string, isNew bool) {
	select {
	case o.done <- Linked{other, called, isNew}:
	default: // they know
	}
}

// deviceName returns what a device of a contact or of the person is called; otherwise if it is none.
func (p *People) deviceName(id peer.ID, otherwise string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.byPeer[id]; ok {
		for _, d := range p.list[i].Devices {
			if d.Peer == id && d.Name != "" {
				return d.Name
			}
		}
	}
	return otherwise
}

// give certifies a device, and returns what makes it the person's, and what it is called from then on.
func (p *People) give(ctx context.Context, m identity.Master, to peer.ID, name string) (g []byte, called string, err error) {
	if name, err = checkName(name); err != nil {
		return nil, "", err
	}
	var cert identity.Certificate
	var list identity.List
	err = p.decide(ctx, m, func(r *identity.Roster) (err error) {
		cert, err = m.Admit(r, to, freeName(r, to, name), p.now())
		list = r.Newest
		return err
	})
	if err != nil {
		return nil, "", err
	}
	reached("list kept")
	mine, err := p.card(ctx)
	if err != nil {
		return nil, "", err
	}
	profile := p.o.Me.Profile()
	ticket, dated := p.dated(ctx, cert.Master)
	g, err = wire.Marshal(gift{cert.Bytes(), list.Bytes(), profile.Name, profile.Picture, mine.encoded, ownRecord{ticket, dated}})
	return g, cert.Name, err
}

// freeName returns what a device is called already, or name, or name with a number behind it that makes it no other device's.
func freeName(r *identity.Roster, device peer.ID, name string) string {
	for _, d := range r.Devices() {
		if d.Device == device { // the answer to an earlier attempt was lost
			return d.Name
		}
	}
	for n, try := 2, name; ; n++ {
		taken := false
		for _, d := range r.Devices() {
			taken = taken || d.Name == try
		}
		if !taken {
			return try
		}
		try = fmt.Sprintf("%s %d", cut(name, maxName-4), n)
	}
}

// takeGift makes this device that of the person who gives.
func (p *People) takeGift(ctx context.Context, data []byte, from peer.ID) error {
	var g gift
	if err := wire.Unmarshal(data, &g); err != nil {
		return err
	}
	cert, err := identity.ParseCertificate(g.Cert)
	if err != nil {
		return err
	}
	list, err := identity.ParseList(g.List)
	if err != nil {
		return err
	}
	c, err := parseCard(g.Card, from)
	if err != nil {
		return err
	}
	r := identity.NewRoster(cert.Master)
	for _, err := range []error{r.Take(list), r.Certify(cert), r.Certify(c.certs[0])} {
		if err != nil {
			return fmt.Errorf("people: link: %w", err)
		}
	}
	if cert.Device != p.o.Me.PeerID() || r.Newest.IsZero() {
		return fmt.Errorf("people: link: the certificate is for another device: %w", kith.Corrupt)
	}
	reached("gift checked")
	if err := p.o.Me.Adopt(cert, identity.Profile{Name: g.Name, Picture: g.Picture}); err != nil {
		return err
	}
	reached("adopted")
	err = p.change(ctx, func(tx *sql.Tx) error {
		if _, err := p.accept(ctx, tx, c, true, Me); err != nil && !errors.Is(err, errOld) { // it has told a newer one itself meanwhile
			return err
		}
		r, err := p.rosterOf(ctx, tx, cert.Master)
		if err == nil {
			err = r.Take(list)
		}
		if err != nil {
			return err
		}
		if err := p.keepOwn(ctx, tx, r); err != nil {
			return err
		}
		return p.keepDated(tx, g.Ticket, g.Dated)
	})
	reached("known")
	return err
}

// TakeLink does what a link says that another of the person's devices shows: has this device certified, or, if the other is new, certifies it, for which unlock gives
// the master key. While the other cannot be reached it tries again, and say tells why, until ctx ends.
func (p *People) TakeLink(ctx context.Context, text string, replace bool, unlock func() (identity.Master, error), say func(why string)) (Linked, error) {
	l, err := ParseDeviceLink(text)
	if err == nil {
		err = p.mayLink(l, replace)
	}
	if err != nil {
		return Linked{}, err
	}
	var m identity.Master
	if l.New {
		if m, err = unlock(); err != nil {
			return Linked{}, err
		}
	}
	events, cancel := p.o.Net.Subscribe()
	defer cancel()
	for wait := againMin; ; wait = min(2*wait, againMax) {
		linked, err := p.tryLink(ctx, l, m)
		if err == nil || !errors.Is(err, errAway) && !errors.Is(err, errBusy) {
			return linked, err
		}
		say(waiting(err))
		if err := until(ctx, time.After(wait), events, l.Device); err != nil {
			return Linked{}, kith.Hint(fmt.Errorf("people: link: the other device was not reached: %w", kith.Timeout),
				"keep kith running there, on the same network if you can, and make a new link: kith id link")
		}
	}
}

// mayLink checks what can be known without asking.
func (p *People) mayLink(l DeviceLink, replace bool) error {
	fail := func(kind kith.Kind, what, hint string, args ...any) error {
		return kith.Hint(fmt.Errorf("people: link: %s: %w", what, kind), hint, args...)
	}
	_, revoked := p.Revoked()
	switch {
	case l.Device == p.o.Me.PeerID():
		return fail(kith.Invalid, "this link was made on this device", "open it on your other device")
	case l.Network != p.o.Net.Name():
		return fail(kith.Invalid, fmt.Sprintf("the link is for the network %q, and this node is on %q", l.Network, p.o.Net.Name()),
			"if it is a private network, bring this node there first: kith network join -, with the link that kith network link shows on the other device; "+
				"else start a node there, with a data directory of its own: kith --dir DIR up --network %s", l.Network)
	case !p.now().Before(l.Expires):
		return fail(kith.Gone, "the link has expired, on "+l.Expires.Local().Format("2 January 2006, 15:04"), "make a new one: kith id link; or, if that time is still to come, set this computer's clock")
	case l.New && revoked:
		at, _ := p.Revoked()
		return errRevoked(at)
	case l.New:
		return nil
	case !revoked && l.Owner == owner(l.Secret, p.o.Me.Certificate().Master):
		return fail(kith.Exists, "this device and the one that shows the link are one person's already", "see them with: kith id devices")
	case l.Owner == owner(l.Secret, p.o.Me.Certificate().Master):
		return nil
	}
	return p.mayReplace(replace)
}

// tryLink asks once. The error is errAway or errBusy if asking again may help.
func (p *People) tryLink(ctx context.Context, l DeviceLink, m identity.Master) (Linked, error) {
	if err := p.reach(ctx, l.Invite); err != nil {
		return Linked{}, err
	}
	r := deviceRequest{Link: deviceLinkID(l.Secret), Name: p.o.Me.Device()}
	content, called := []byte(r.Name), l.Name
	if l.New {
		var g []byte
		var err error
		if g, called, err = p.give(ctx, m, l.Device, l.Name); err != nil {
			return Linked{}, err
		}
		r.Name, r.Gift, content = "", g, g
	}
	r.Proof = deviceProof(l.Secret, l.Device, p.o.Me.PeerID(), content)
	a, err := p.askDevice(ctx, l.Device, r)
	if errors.Is(err, kith.NotFound) {
		return Linked{}, kith.Hint(fmt.Errorf("people: link: the program on the other device knows no such links: %w", kith.Denied), "update kith there")
	}
	if err != nil {
		return Linked{}, fmt.Errorf("%w: %w", errAway, err)
	}
	if err := linkRefusal(a.Says); err != nil {
		return Linked{}, err
	}
	if l.New {
		return Linked{Peer: l.Device, Name: called}, nil
	}
	var g gift
	if err := wire.Unmarshal(a.Gift, &g); err != nil {
		return Linked{}, err
	}
	if cert, err := identity.ParseCertificate(g.Cert); err != nil || owner(l.Secret, cert.Master) != l.Owner {
		return Linked{}, errors.Join(err, fmt.Errorf("people: link: it is another person's than the link says: %w", kith.Denied))
	}
	if err := p.takeGift(ctx, a.Gift, l.Device); err != nil {
		return Linked{}, err
	}
	return Linked{l.Device, l.Name, true}, nil
}

// askDevice sends a request to a device and returns its answer.
func (p *People) askDevice(ctx context.Context, to peer.ID, r deviceRequest) (deviceAnswer, error) {
	var a deviceAnswer
	err := p.exchange(ctx, to, DeviceProtocol, r, maxDevice, &a)
	return a, err
}

// linkRefusal returns what a person is told of an answer; nil if it is yes.
func linkRefusal(says uint64) error {
	fail := func(kind kith.Kind, what, hint string) error {
		return kith.Hint(fmt.Errorf("people: link: %s: %w", what, kind), "%s", hint)
	}
	const again = "make a new one: kith id link; each is for one device, once"
	switch says {
	case saysYes:
		return nil
	case saysNoInvite:
		return fail(kith.NotFound, "the other device shows no such link any more", "keep its command running, or its page open, until this device has answered: kith id link")
	case saysUsed:
		return fail(kith.Gone, "the link has been used by another device", again+". If that was not one of yours, revoke it: kith id devices")
	case saysExpired:
		return fail(kith.Gone, "the link has expired, by the other device's clock", again)
	case saysLater:
		return fmt.Errorf("people: link: %w: %w", errBusy, kith.Unavailable)
	}
	return fail(kith.Denied, "the other device refuses", "update kith on both, and make a new link: kith id link")
}
