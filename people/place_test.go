package people

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/record"
	"kith/wire"
)

// where returns where h's contact, of whom it has one, says that they are.
func (h *home) where() (peer.AddrInfo, error) {
	d := h.All()[0].Devices[0]
	r, err := h.o.Records.Resolve(h.t.Context(), d.Ticket)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	return parsePlace(r.Content, d.Peer)
}

// Two contacts who have both moved, and know nobody but a third, find each other by their records.
func TestFoundAfterMoving(t *testing.T) {
	hub, anna, bert := newRouted(t, "Hub"), newRouted(t, "Anna"), newRouted(t, "Bert")
	for _, h := range []*home{anna, bert} {
		h.connect(hub)
	}
	bert.joins(anna)
	before := anna.addrs()
	anna.eventually("each has the other's ticket", func() bool {
		return bert.All()[0].Devices[0].Ticket != record.Ticket{} && anna.All()[0].Devices[0].Ticket != record.Ticket{}
	})
	anna.stop()
	bert.stop()
	for _, h := range []*home{anna, bert} {
		h.start("kith")
		h.connect(hub)
	}
	if anna.addrs()[0].Equal(before[0]) {
		t.Fatal("she has not moved")
	}
	bert.eventually("the record says where she is now", func() bool {
		info, err := bert.where()
		return err == nil && len(info.Addrs) > 0 && info.Addrs[0].Equal(anna.addrs()[0])
	})
	device := bert.All()[0].Devices[0]
	device.Addrs = before
	if err := bert.find(t.Context(), device); err != nil {
		t.Fatalf("she is not found: %v", err)
	}
	if c := bert.o.Net.Host().Network().Connectedness(anna.o.Me.PeerID()); c != network.Connected {
		t.Errorf("found, and %s", c)
	}
}

// Who keeps the record of a device for it finds neither its addresses nor its id in there, also when told which record it is; contacts do.
func TestAddressesAreForContactsOnly(t *testing.T) {
	hub, anna, bert := newRouted(t, "Hub"), newRouted(t, "Anna"), newRouted(t, "Bert")
	for _, h := range []*home{anna, bert} {
		h.connect(hub)
	}
	bert.joins(anna)
	bert.eventually("a contact reads where she is", func() bool {
		info, err := bert.where()
		return err == nil && len(info.Addrs) > 0 && info.Addrs[0].Equal(anna.addrs()[0])
	})
	known := bert.All()[0].Devices[0].Ticket
	known.Secret = record.Ticket{}.Secret // its key is what the hub sees, and would need to know whose it is for
	kept := 0
	hub.eventually("the hub keeps the record", func() bool {
		all, err := hub.o.Net.Store().Query(t.Context(), query.Query{})
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close()
		kept = 0
		for e := range all.Next() {
			if !bytes.Contains(e.Value, known.Key[:]) {
				continue
			}
			kept++
			for what, b := range map[string][]byte{"address": anna.addrs()[0].Bytes(), "id": []byte(anna.o.Me.PeerID()), "master key": anna.o.Me.Certificate().Master} {
				if bytes.Contains(e.Value, b) {
					t.Fatalf("her %s stands in what the hub keeps under %s", what, e.Key)
				}
			}
		}
		return kept > 0
	})
	r, err := hub.o.Records.Resolve(t.Context(), known)
	if err != nil {
		t.Fatal(err) // it is there, as ciphertext
	}
	if info, err := parsePlace(r.Content, anna.o.Me.PeerID()); err == nil {
		t.Errorf("the hub reads %v", info)
	}
}

// Who has no contacts publishes nothing; who takes the last one off the list withdraws what was published.
func TestNothingIsToldForNobody(t *testing.T) {
	hub, anna, bert := newRouted(t, "Hub"), newRouted(t, "Anna"), newRouted(t, "Bert")
	anna.connect(hub)
	bert.connect(hub)
	key, err := anna.placeKey()
	if err != nil {
		t.Fatal(err)
	}
	resolve := func() error {
		_, err := hub.o.Records.Resolve(t.Context(), key.Ticket())
		return err
	}
	bert.joins(anna)
	anna.eventually("published for a contact", func() bool { return resolve() == nil })
	lonely, err := hub.placeKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bert.o.Records.Resolve(t.Context(), lonely.Ticket()); !errors.Is(err, kith.NotFound) {
		t.Errorf("of who has no contacts: %v", err)
	}
	if err := anna.Remove(t.Context(), "Bert"); err != nil {
		t.Fatal(err)
	}
	anna.stop() // or the least time between two would have to pass
	anna.start("kith")
	anna.connect(hub)
	anna.eventually("withdrawn without one", func() bool { return errors.Is(resolve(), kith.Gone) })
}

// FuzzParsePlace: whatever a contact publishes ends in an error or in few addresses of their own device.
func FuzzParsePlace(f *testing.F) {
	id, err := peer.Decode("12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5")
	if err != nil {
		f.Fatal(err)
	}
	good, err := wire.Marshal(place{Peer: []byte(id), Addrs: [][]byte{ma.StringCast("/ip4/192.0.2.1/tcp/1").Bytes()}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := parsePlace(data, id)
		if err == nil && (info.ID != id || len(info.Addrs) > maxAddrs) {
			t.Fatalf("%+v", info)
		}
	})
}

func TestParsePlace(t *testing.T) {
	id, other := newHome(t, "Anna").o.Me.PeerID(), newHome(t, "Bert").o.Me.PeerID()
	a := ma.StringCast("/ip4/192.0.2.1/tcp/1")
	encode := func(p place) []byte {
		data, err := wire.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	many := place{Peer: []byte(id)}
	for range 3 * maxAddrs {
		many.Addrs = append(many.Addrs, a.Bytes())
	}
	info, err := parsePlace(encode(many), id)
	if err != nil || len(info.Addrs) != maxAddrs || !info.Addrs[0].Equal(a) {
		t.Errorf("%d addresses: %v, %v", len(many.Addrs), info, err)
	}
	for name, data := range map[string][]byte{
		"garbage":          []byte("garbage"),
		"another device's": encode(place{Peer: []byte(other), Addrs: many.Addrs}),
		"no address":       encode(place{Peer: []byte(id), Addrs: [][]byte{[]byte(strings.Repeat("x", 9))}}),
	} {
		if _, err := parsePlace(data, id); !errors.Is(err, kith.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
