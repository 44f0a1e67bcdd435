// Package people is who the person knows: contacts, what they are called here, which devices are theirs, and how two who do not know each other yet
// become contacts, by an invite.
//
// It is no address book of the network: it asks nobody about anybody, and tells who a person is to their contacts alone. It decides nothing about what a
// contact may do; applications do. Its one idea: a contact is a master key, proven by the devices that it certified. Whichever of them
// connects shows a card that it signed, and what changed in it (a name, a picture, a new device, new addresses) follows by itself.
package people

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"kith/identity"
	"kith/internal/db"
	"kith/network"
	"kith/people/book"
	"kith/record"
)

// Options say what People is made of. Path, Me, Net and Log are required.
type Options struct {
	Path   string // of the database
	Old    string // the list of contacts of earlier versions, taken over once; "" for none
	Me     *identity.Identity
	Net    *network.Network
	Routes routing.PeerRouting // finds an inviter whose addresses are stale; nil: nobody does
	// Records are where devices say to contacts where they are; nil: nowhere.
	Records *record.Store
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// People is the list of contacts. Its methods may be called at once.
type People struct {
	o      Options
	log    *slog.Logger
	db     *sql.DB
	notes  []string
	woken  chan struct{} // has room for one: something changed that contacts may want to know
	again  chan struct{} // has room for one: those who are missing are to be dialled
	placed chan struct{} // has room for one: there may be something new to publish
	listed chan struct{} // has room for one: a list of devices is another
	serve  chan struct{} // a place for each stream that is being served

	pull  sync.Mutex  // held by who asks another of the person's devices
	write sync.Mutex  // held by who writes
	book  *book.Book  // what the person's devices agree on; guarded by write
	epoch []byte      // of the book's numbers
	cut   []cutDevice // devices that the change under way has cut off; guarded by write

	relisted bool // the change under way has another list of devices; guarded by write

	mu     sync.Mutex
	list   []Contact                // in the order of their names
	byPeer map[peer.ID]int          // index into list
	lists  map[string]time.Time     // by person: when the record of their list is looked for again
	missed map[string]time.Duration // by person: what was waited for since it was last not found
	sure   map[string]int           // by person: how often the record was looked for once more
	links  map[peer.ID]*link        // of contacts' devices: what goes on with them
	offers map[string]*offer        // links that are open, by their ids
	closed bool
	work   sync.WaitGroup

	bookLast  atomic.Uint64    // number of the newest entry
	pulling   map[peer.ID]bool // of own devices: they have been poked, and will be asked
	salt      []byte           // of the key of this device's record; nil: it never moved
	revokedAt time.Time        // when this device was revoked; zero: it was not
}

// Open reads the contacts. Nobody is talked to before Run, but who asks may be served.
func Open(ctx context.Context, o Options) (*People, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &People{o: o, log: o.Log, woken: make(chan struct{}, 1), again: make(chan struct{}, 1), placed: make(chan struct{}, 1), listed: make(chan struct{}, 1), serve: make(chan struct{}, maxServed), links: map[peer.ID]*link{}, offers: map[string]*offer{}, pulling: map[peer.ID]bool{}, lists: map[string]time.Time{}, missed: map[string]time.Duration{}, sure: map[string]int{}}
	var note string
	var err error
	if p.db, note, err = db.Open(o.Path, o.Log, database); err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	if note != "" {
		p.notes = append(p.notes, note)
	}
	if err = p.load(ctx); err == nil {
		err = p.openBook(ctx)
	}
	if err == nil {
		err = p.takeOver(ctx)
	}
	if err != nil {
		p.db.Close()
		return nil, err
	}
	return p, nil
}

// Notes returns what a person should know: a database that was set aside.
func (p *People) Notes() []string { return slices.Clone(p.notes) }

// Close waits for what goes on, and closes the database. The network must have been closed, or Serve is no longer called.
func (p *People) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.work.Wait()
	return p.db.Close()
}

func (p *People) now() time.Time { return p.o.Now() }

// Changed has Run look at what contacts may want to know: call it when the profile is another.
func (p *People) Changed() {
	wake(p.woken)
	wake(p.placed)
}

// wake has who reads c look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// All returns the contacts in the order of their names.
func (p *People) All() []Contact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// Contact implements app.People.
func (p *People) Contact(id peer.ID) bool { return p.Name(id) != "" }

// Name implements app.People: it returns what the person calls the owner of a device, or "".
func (p *People) Name(id peer.ID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.byPeer[id]; ok {
		return p.list[i].Name
	}
	return ""
}

// Devices implements app.People: also of one device, after the name and a slash, or of the person's own others, as "me".
func (p *People) Devices(name string) []peer.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := p.devices(name); all != nil {
		return all
	}
	at := strings.LastIndexByte(name, '/')
	if at < 0 {
		return nil
	}
	var out []peer.ID
	for _, id := range p.devices(name[:at]) {
		for _, d := range p.list[p.byPeer[id]].Devices {
			if d.Peer == id && strings.EqualFold(d.Name, name[at+1:]) {
				out = append(out, id)
			}
		}
	}
	return out
}

func (p *People) devices(name string) []peer.ID {
	var alike []Contact
	for _, c := range p.list {
		if c.Name == name {
			return c.peers()
		}
		if strings.EqualFold(c.Name, name) {
			alike = append(alike, c)
		}
	}
	switch {
	case len(alike) == 1:
		return alike[0].peers()
	case len(alike) == 0 && name == Me:
		for _, c := range p.list {
			if c.Me {
				return c.peers()
			}
		}
	}
	return nil
}

func (c Contact) peers() []peer.ID {
	var out []peer.ID
	for _, d := range c.Devices {
		out = append(out, d.Peer)
	}
	return out
}

// Picture returns the picture of the contact called name, or nil.
func (p *People) Picture(ctx context.Context, name string) ([]byte, error) {
	var data []byte
	err := p.db.QueryRowContext(ctx, `SELECT picture FROM contacts WHERE name = ?`, name).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noSuch(name)
	}
	return data, err
}

// addrs returns where this device can be reached, as others are told.
func (p *People) addrs() (list []ma.Multiaddr) {
	for _, a := range p.o.Net.Told() {
		if bare, _ := peer.SplitAddr(a); bare != nil {
			list = append(list, bare)
		}
	}
	return list
}
