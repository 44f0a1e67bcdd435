package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/atomicfile"
)

// Limits of the list of contacts.
const (
	maxPeople  = 10000
	maxDevices = 32
	maxName    = 64 // bytes
)

// people is who the person knows: pet names of theirs for peer ids. It is kept in a file that a person can read.
type people struct {
	path string

	mu     sync.Mutex
	list   []person
	byPeer map[peer.ID]int // index into list
}

type person struct {
	Name  string    `json:"name"`
	Peers []peer.ID `json:"peers"`
	Added time.Time `json:"added"`
}

func openPeople(path string) (*people, error) {
	p := &people{path: path}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("node: people: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(b, &p.list); err != nil {
			return nil, kith.Hint(fmt.Errorf("node: people: %s: %w: %w", path, err, kith.Corrupt), "mend the file, or move it away and start again")
		}
	}
	p.index()
	return p, nil
}

// index rebuilds byPeer; the caller holds mu, or is alone.
func (p *people) index() {
	p.byPeer = map[peer.ID]int{}
	for i, c := range p.list {
		for _, id := range c.Peers {
			p.byPeer[id] = i
		}
	}
}

// Contact implements app.People.
func (p *people) Contact(id peer.ID) bool { return p.Name(id) != "" }

// Name implements app.People: it returns what the person calls the owner of a peer id, or "".
func (p *people) Name(id peer.ID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.byPeer[id]; ok {
		return p.list[i].Name
	}
	return ""
}

// Devices implements app.People.
func (p *people) Devices(name string) []peer.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var alike []person
	for _, c := range p.list {
		if c.Name == name {
			return slices.Clone(c.Peers)
		}
		if strings.EqualFold(c.Name, name) {
			alike = append(alike, c)
		}
	}
	if len(alike) != 1 {
		return nil
	}
	return slices.Clone(alike[0].Peers)
}

func (p *people) all() []person {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// add gives a peer to the contact called name, who is made if there is none.
func (p *people) add(name string, id peer.ID) error {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 127 }) {
		return fmt.Errorf("node: people: name %.70q: want 1 to %d bytes without control characters: %w", name, maxName, kith.Invalid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.byPeer[id]; ok {
		if p.list[i].Name == name {
			return nil
		}
		return kith.Hint(fmt.Errorf("node: people: that device is %s's: %w", p.list[i].Name, kith.Exists), "take it away first: kith people rm '%s'", p.list[i].Name)
	}
	list := slices.Clone(p.list)
	i := slices.IndexFunc(list, func(c person) bool { return c.Name == name })
	switch {
	case i < 0 && len(list) >= maxPeople:
		return fmt.Errorf("node: people: at most %d: %w", maxPeople, kith.TooLarge)
	case i < 0:
		list = append(list, person{Name: name, Peers: []peer.ID{id}, Added: time.Now().UTC().Truncate(time.Second)})
	case len(list[i].Peers) >= maxDevices:
		return fmt.Errorf("node: people: %s has %d devices already: %w", name, maxDevices, kith.TooLarge)
	default:
		list[i].Peers = append(slices.Clone(list[i].Peers), id)
	}
	return p.save(list)
}

func (p *people) remove(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(p.list), func(c person) bool { return c.Name == name })
	if len(list) == len(p.list) {
		return kith.Hint(fmt.Errorf("node: people: %.70q: %w", name, kith.NotFound), "see who is there with: kith people")
	}
	return p.save(list)
}

// save writes list and takes it; the caller holds mu.
func (p *people) save(list []person) error {
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(p.path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("node: people: %w", err)
	}
	p.list = list
	p.index()
	return nil
}
