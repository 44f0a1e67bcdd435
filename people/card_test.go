package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/identity"
	"kith/wire"
)

func mustCard(t *testing.T, h *home) card {
	t.Helper()
	c, err := h.card(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// take has h accept a card as from a contact that connected.
func take(h *home, c card) error {
	c, err := parseCard(c.encoded, c.device())
	if err != nil {
		return err
	}
	return h.change(context.Background(), func(tx *sql.Tx) error {
		_, err := h.accept(context.Background(), tx, c, false, "")
		return err
	})
}

// sibling makes another device of h's person, with the recovery phrase.
func sibling(t *testing.T, h *home) *home {
	t.Helper()
	words, _, err := h.o.Me.Phrase("")
	if err != nil {
		t.Fatal(err)
	}
	s := newHome(t, h.name)
	if err := s.o.Me.Restore(words, true); err != nil {
		t.Fatal(err)
	}
	return s
}

// What changes in a person follows to their contacts by itself: name, picture, addresses.
func TestChangesFollow(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	ben.joins(anna)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	if err := anna.o.Me.SetProfile(identity.Profile{Name: "Anna B", Picture: picture.Bytes()}); err != nil {
		t.Fatal(err)
	}
	anna.Changed()
	ben.eventually("the new name", func() bool { return ben.All()[0].Profile == "Anna B" })
	ben.eventually("the picture", func() bool { return ben.All()[0].Picture != nil })
	late := newHome(t, "Carla") // who sees the picture from the start, and has one
	if err := late.o.Me.SetProfile(identity.Profile{Name: "Carla", Picture: picture.Bytes()}); err != nil {
		t.Fatal(err)
	}
	late.joins(anna)
	for _, h := range []*home{late, anna} {
		h.eventually("the picture, after joining", func() bool { return h.All()[len(h.All())-1].Picture != nil })
	}
	if got, err := ben.Picture(t.Context(), "Anna"); err != nil || !bytes.Equal(got, picture.Bytes()) {
		t.Errorf("the picture has %d bytes, %v; want %d", len(got), err, picture.Len())
	}
	if ben.Name(id(anna)) != "Anna" {
		t.Errorf("somebody chose to be called otherwise here: %q", ben.Name(id(anna)))
	}
	anna.restart() // on another port
	anna.connect(ben)
	want := anna.addrs()[0]
	ben.eventually("the new address", func() bool {
		d := ben.All()[0].Devices[0]
		return len(d.Addrs) == 1 && d.Addrs[0].Equal(want)
	})
}

// A person is recognised on each of their devices: one that was listed by another, and one that shows a certificate of the same person.
func TestAllDevicesOfAPersonAreTheirs(t *testing.T) {
	laptop, ben := newHome(t, "Anna"), newHome(t, "Ben")
	phone, tablet := sibling(t, laptop), sibling(t, laptop)
	ben.joins(laptop)
	phone.joins(laptop)
	if all := laptop.All(); len(all) != 2 || laptop.Name(id(phone)) == "" {
		t.Fatalf("the laptop knows %+v", all)
	}
	ben.eventually("the phone, from the laptop", func() bool { return ben.Name(id(phone)) == "Anna" })
	if err := take(ben, mustCard(t, tablet)); err != nil || ben.Name(id(tablet)) != "Anna" {
		t.Errorf("the tablet shows its certificate: %v", err)
	}
	if all := ben.All(); len(all) != 1 || len(all[0].Devices) != 3 {
		t.Errorf("Ben knows %+v", all)
	}
	if _, err := phone.join(laptop.invite("").Link); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "your own") {
		t.Errorf("the phone joined the laptop again: %v", err)
	}
}

// Who was added by a peer id alone becomes a person when they show who they are, and keeps the name.
func TestAContactByHandSaysWhoTheyAre(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	if err := ben.Add(t.Context(), "Auntie", id(anna)); err != nil {
		t.Fatal(err)
	}
	ben.connect(anna)
	if err := anna.Add(t.Context(), "Nephew", id(ben)); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*home{anna, ben} {
		h.eventually("who they are", func() bool { return h.All()[0].Person != nil })
	}
	if a := ben.All()[0]; a.Name != "Auntie" || a.Profile != "Anna" || anna.Name(id(ben)) != "Nephew" {
		t.Errorf("Ben has %+v", a)
	}
}

func TestAnOldCardIsRefused(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	ben.joins(anna)
	old := mustCard(t, anna)
	if err := anna.o.Me.SetProfile(identity.Profile{Name: "Annika"}); err != nil {
		t.Fatal(err)
	}
	now := mustCard(t, anna)
	if now.serial <= old.serial {
		t.Fatalf("number %d after %d", now.serial, old.serial)
	}
	if err := take(ben, now); err != nil || ben.All()[0].Profile != "Annika" {
		t.Fatalf("the new card: %v, %+v", err, ben.All())
	}
	if err := take(ben, old); !errors.Is(err, kith.Denied) || ben.All()[0].Profile != "Annika" {
		t.Errorf("the old card: %v, %+v", err, ben.All())
	}
	if err := take(ben, now); err != nil {
		t.Errorf("the same card again: %v", err)
	}
}

// Nobody becomes somebody else's contact, nor takes over somebody's device, by what they write into a card.
func TestCardsOfCrooks(t *testing.T) {
	anna, ben, eve := newHome(t, "Anna"), newHome(t, "Ben"), newHome(t, "Eve")
	ben.joins(anna)
	ben.joins(eve)
	evil := func(change func(*card)) card {
		c := mustCard(t, eve)
		c.serial += 1000
		change(&c)
		c, err := c.sign(eve.o.Me.Key())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Eve's own person key certifies Anna's device: the certificate is genuine, and Anna's all the same.
	annas := certify(t, eve, anna)
	claims := evil(func(c *card) { c.certs = append(c.certs, annas) })
	if err := take(ben, claims); err != nil || ben.Name(id(anna)) != "Anna" {
		t.Errorf("Anna's device is %s's now; %v", ben.Name(id(anna)), err)
	}
	for what, c := range map[string]card{
		"Anna's certificate first":   evil(func(c *card) { c.certs = []identity.Certificate{anna.o.Me.Certificate()} }),
		"Anna's certificate, listed": evil(func(c *card) { c.certs = append(c.certs, anna.o.Me.Certificate()) }),
		"no certificate of its own":  evil(func(c *card) { c.certs = []identity.Certificate{annas} }),
		"a name that turns the line": evil(func(c *card) { c.name = "a\u202eb" }),
		"a name with an escape":      evil(func(c *card) { c.name = "a\x1b[2J" }),
		"a long name":                evil(func(c *card) { c.name = strings.Repeat("x", 65) }),
		"half a digest":              evil(func(c *card) { c.picture = make([]byte, 16) }),
		"too many addresses": evil(func(c *card) {
			c.addrs = nil
			for range maxAddrs + 1 {
				c.addrs = append(c.addrs, ma.StringCast("/ip4/192.0.2.1/tcp/1"))
			}
		}),
		"too many devices": evil(func(c *card) {
			for range maxDevices {
				c.certs = append(c.certs, c.certs[0])
			}
		}),
	} {
		if _, err := parseCard(c.encoded, id(eve)); err == nil || kith.KindOf(err) == kith.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
	good := mustCard(t, eve)
	if _, err := parseCard(good.encoded, id(anna)); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a card in other hands: %v", err)
	}
	if _, err := parseCard(good.encoded[:len(good.encoded)-1], id(eve)); err == nil {
		t.Error("half a card")
	}
}

// certify returns a certificate by h's person for somebody else's device, as only a crook's program makes one.
func certify(t *testing.T, h, device *home) identity.Certificate {
	t.Helper()
	words, _, err := h.o.Me.Phrase("")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(device.dir, "identity", "device.key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "device.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := identity.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := both.Restore(words, true); err != nil {
		t.Fatal(err)
	}
	return both.Certificate()
}

func FuzzParseInvite(f *testing.F) {
	device, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(device)
	if err != nil {
		f.Fatal(err)
	}
	i, err := Invite{Device: id, Expires: time.Unix(2e9, 0), Network: "choir", Addrs: []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1")}}.seal(device)
	if err != nil {
		f.Fatal(err)
	}
	if back, err := ParseInvite(i.text); err != nil || back.Device != id || back.Network != "choir" || len(back.Addrs) != 1 || !back.Expires.Equal(i.Expires) {
		f.Fatalf("read back %+v, %v", back, err)
	}
	f.Add(i.text)
	f.Add(kith.InviteScheme)
	f.Add(i.text[:200])
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := ParseInvite(text); err != nil && kith.HintOf(err) == "" || err == nil && (i.Device == "" || len(i.text) > MaxInvite) {
			t.Errorf("%q: %+v, %v", text, i, err)
		}
	})
}

func FuzzParseCard(f *testing.F) {
	me, err := identity.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	c, err := card{serial: 7, name: "Anna", picture: make([]byte, 32), certs: []identity.Certificate{me.Certificate()},
		addrs: []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/1")}}.sign(me.Key())
	if err != nil {
		f.Fatal(err)
	}
	body, err := c.body()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, true)
	f.Add(c.encoded, false)
	f.Add([]byte{0xa0}, true)
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign { // so that what is behind the signature is reached
			signature, err := me.Key().Sign(append([]byte(cardPrefix), data...))
			if err != nil {
				t.Fatal(err)
			}
			if whole, err := wire.Marshal(cardWire{data, signature}); err == nil {
				data = whole
			}
		}
		if c, err := parseCard(data, me.PeerID()); err == nil && (c.device() != me.PeerID() || len(c.certs) > maxDevices || len(c.addrs) > maxAddrs) {
			t.Errorf("%x: %+v", data, c)
		}
	})
}
