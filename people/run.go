package people

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
	"kith/record"
)

const (
	lookEvery   = time.Minute      // for what changed, and who is missing
	retryMin    = 2 * time.Minute  // between two attempts to connect to a device that is not there; it doubles
	retryMax    = 30 * time.Minute // up to this
	soonAgain   = 20 * time.Second // between two attempts to talk to one that is there
	maxTalks    = 8                // with contacts at once
	dialTimeout = 15 * time.Second // at the addresses that somebody said once
	findTimeout = 30 * time.Second // for a record, and at the addresses in it
)

// A link is what goes on with a contact's device.
type link struct {
	busy bool
	told uint64        // number of the own card that it has been told since it connected; 0: none
	read uint64        // up to which number an own device has been poked to read the book; 0: not since it connected
	next time.Time     // not to be dialled before
	wait time.Duration // until the attempt after that
}

// Run keeps contacts informed until ctx ends: whoever of them connects gets this device's card, again when it changes, and those who are not
// connected are looked for where they were last.
func (p *People) Run(ctx context.Context) error {
	events, cancel := p.o.Net.Subscribe()
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	if p.o.Records != nil {
		var told sync.WaitGroup
		defer told.Wait()
		told.Go(func() {
			if err := p.tellPlace(ctx); err != nil {
				p.log.Warn("own addresses not published", "err", err)
			}
		})
		told.Go(func() { p.followLists(ctx) })
	}
	p.look(ctx, true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				return nil
			}
			p.event(ctx, e.Peer, e.Connected)
		case <-p.woken:
			p.look(ctx, false)
		case <-p.again:
			p.look(ctx, true)
		case <-look.C:
			p.look(ctx, true)
		}
	}
}

// event takes in that a peer came or went.
func (p *People) event(ctx context.Context, id peer.ID, came bool) {
	if !p.Contact(id) {
		return
	}
	p.mu.Lock()
	delete(p.links, id) // it is told anew, and dialled anew if it is missed
	p.mu.Unlock()
	if came {
		p.wantList(id)
	}
	if err := p.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE devices SET seen = ? WHERE peer = ?`, p.now().Unix(), []byte(id))
		return err
	}); err != nil && ctx.Err() == nil {
		p.log.Warn("contact not noted", "peer", id, "err", err)
	}
}

// look talks to each device of a contact that is connected and has not been told this device's card, and dials those that are missing.
func (p *People) look(ctx context.Context, dial bool) {
	if _, revoked := p.Revoked(); revoked {
		return
	}
	err := p.noteProfile(ctx)
	if err != nil && ctx.Err() == nil {
		p.log.Warn("own profile not noted", "err", err)
	}
	mine, err := p.card(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("own card not made", "err", err)
		}
		return
	}
	for _, c := range p.All() {
		for _, d := range c.Devices {
			connected := p.connected(d.Peer)
			if (connected || dial && (len(d.Addrs) > 0 || d.Ticket != record.Ticket{})) && d.Peer != p.o.Me.PeerID() {
				p.talk(ctx, d, mine, connected, c.Me)
			}
		}
	}
}

// talk connects to a device, or tells it the card, on a goroutine of its own, unless there is no reason to or too many are talked to.
func (p *People) talk(ctx context.Context, d Device, mine card, connected, own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := 0
	for _, l := range p.links {
		if l.busy {
			busy++
		}
	}
	l := p.links[d.Peer]
	if l == nil {
		l = &link{wait: retryMin}
		p.links[d.Peer] = l
	}
	book, tell := p.bookLast.Load(), l.told != mine.serial
	fresh := own && l.read != book && !p.now().Before(l.next) // there is something to read for another of the person's devices
	if l.busy || p.closed || busy >= maxTalks || connected && !tell && !fresh || !connected && p.now().Before(l.next) {
		return
	}
	l.busy = true
	p.work.Go(func() {
		var err error
		if connected {
			if tell {
				err = p.meet(ctx, d.Peer, mine)
			}
			if own && tell && err == nil { // it may have tried to tell before this device was the person's
				err = p.Pull(ctx, d.Peer)
			}
			if fresh && err == nil {
				err = p.poke(ctx, d.Peer)
			}
		} else {
			err = p.find(ctx, d)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		l.busy = false
		if err == nil {
			l.read = book
		} else {
			p.log.Debug("contact's device not talked to", "peer", d.Peer, "err", err)
			l.next = p.now().Add(soonAgain)
			if !connected {
				l.next, l.wait = p.now().Add(l.wait), min(2*l.wait, retryMax)
			}
		}
		p.Changed() // others may have waited for this
	})
}

// meet exchanges cards with a contact's device.
func (p *People) meet(ctx context.Context, to peer.ID, mine card) error {
	a, err := p.ask(ctx, to, request{Card: mine.encoded})
	if err == nil && a.List != nil {
		if err := p.hearList(ctx, a.List); err != nil {
			p.log.Debug("own list of devices not taken", "peer", to, "err", err)
		}
	}
	if err == nil && a.Says == saysYes {
		var c card
		if c, err = parseCard(a.Card, to); err == nil {
			err = p.change(ctx, func(tx *sql.Tx) error {
				_, err := p.accept(ctx, tx, c, false, "")
				return err
			})
		}
		if err == nil || errors.Is(err, errOld) { // it has told a newer one itself meanwhile
			p.met(c, mine)
			p.tellList(ctx, c)
			return nil
		}
	}
	p.told(to, mine.serial) // it will not say anything else before something changes
	return err
}

// tellList tells a contact's device the newest list of its person's devices, if it showed another.
func (p *People) tellList(ctx context.Context, c card) {
	if list := p.newest(ctx, c.person()); list != nil && !bytes.Equal(list, c.list.Bytes()) {
		if _, err := p.ask(ctx, c.device(), request{List: list}); err != nil {
			p.log.Debug("list of devices not told", "peer", c.device(), "err", err)
		}
	}
}

// connected reports whether a device is, be it through a relay.
func (p *People) connected(id peer.ID) bool {
	return p.o.Net.Host().Network().Connectedness(id) != libp2p.NotConnected
}

// met notes that cards have been exchanged, and has the picture fetched that theirs names.
func (p *People) met(c, mine card) {
	id := c.device()
	l := p.told(id, mine.serial)
	p.mu.Lock()
	l.next, l.wait = time.Time{}, retryMin // what it did not listen to before, it may now
	p.mu.Unlock()
	p.o.Net.Host().Peerstore().AddAddrs(id, c.addrs, retryMax)
	if c.picture == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.byPeer[id]
	if !ok || string(p.list[i].Picture) == string(c.picture) || p.closed {
		return
	}
	p.work.Go(func() {
		if err := p.fetchPicture(id, c.picture); err != nil {
			p.log.Debug("picture not fetched", "peer", id, "err", err)
		}
	})
}

func (p *People) told(id peer.ID, serial uint64) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[id]
	if l == nil {
		l = &link{wait: retryMin}
		p.links[id] = l
	}
	l.told = serial
	return l
}

// fetchPicture fetches the picture with the given SHA-256 from a contact.
func (p *People) fetchPicture(from peer.ID, digest []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), streamTimeout)
	defer cancel()
	a, err := p.ask(ctx, from, request{Picture: digest})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(a.Picture)
	err = identity.Profile{Picture: a.Picture}.Check()
	if a.Says != saysYes || a.Picture == nil || string(sum[:]) != string(digest) || err != nil {
		return fmt.Errorf("people: picture of %s: not what its card names: %w", from, errors.Join(err, kith.Corrupt))
	}
	return p.change(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE contacts SET picture = ? WHERE digest = ?`, a.Picture, digest)
		return err
	})
}
