package people

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/identity"
)

// master returns h's master key.
func (h *home) master() identity.Master {
	h.t.Helper()
	m, err := h.unlock()
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

func (h *home) unlock() (identity.Master, error) { return h.o.Me.Unlock(nil, "") }

// takes has h take a link.
func (h *home) takes(link string, replace bool) (Linked, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	return h.TakeLink(ctx, link, replace, h.unlock, func(string) {})
}

// links makes a new device h's person's, by a link that h shows.
func (h *home) links(device *home) {
	h.t.Helper()
	open, err := h.ShowLink(h.unlock)
	if err != nil {
		h.t.Fatal(err)
	}
	defer open.Close()
	if _, err := device.takes(open.String(), false); err != nil {
		h.t.Fatal(err)
	}
	if l := <-open.Done; l.Peer != id(device) || l.New {
		h.t.Errorf("linked %+v", l)
	}
}

// A new device has the person's certificate, name and picture, and no master key; contacts know it without doing anything; whichever way the link went.
func TestTwoDevicesOfOnePerson(t *testing.T) {
	for _, way := range []string{"the old device shows the link", "the new device shows it"} {
		t.Run(way, func(t *testing.T) {
			laptop, phone, ben := newHome(t, "Anna"), newHome(t, ""), newHome(t, "Ben")
			ben.joins(laptop)
			if strings.HasPrefix(way, "the old") {
				laptop.links(phone)
			} else {
				open, err := phone.AskToBeLinked(false)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second time as if the answer had been lost
					l, err := laptop.takes(open.String(), false)
					if err != nil || l.Peer != id(phone) || l.New || l.Name == laptop.o.Me.Device() || l.Name != phone.o.Me.Device() {
						t.Fatalf("linked %+v, %v", l, err)
					}
				}
				if l := <-open.Done; l.Peer != id(laptop) || !l.New {
					t.Errorf("linked %+v", l)
				}
			}
			if phone.o.Me.Person() != laptop.o.Me.Person() || phone.o.Me.Profile().Name != "Anna" || phone.o.Me.Master() != identity.Away {
				t.Errorf("the phone is %s, %q, master key %s", phone.o.Me.Person(), phone.o.Me.Profile().Name, phone.o.Me.Master())
			}
			ben.eventually("Ben knows the phone, whom he never met", func() bool { return ben.Name(id(phone)) == "Anna" })
			for _, h := range []*home{laptop, phone} {
				if got, err := h.OwnDevices(t.Context()); err != nil || len(got) != 2 || !got[0].This || got[0].Peer != id(h) {
					t.Errorf("its devices: %+v, %v", got, err)
				}
				if c := h.All(); len(c) == 0 || !c[len(c)-1].Me || c[len(c)-1].Name != Me {
					t.Errorf("it knows %+v", c)
				}
			}
			phone.restart()
			if at, revoked := phone.Revoked(); revoked || phone.o.Me.Person() != laptop.o.Me.Person() {
				t.Errorf("after a restart: %s, revoked %s", phone.o.Me.Person(), at)
			}
		})
	}
}

// A device that was a contact's before is called what it is now, not what the contact called it: that name may be another's of the person.
func TestLinkingWhoWasAContact(t *testing.T) {
	laptop, phone := newHome(t, "Anna"), newHome(t, "")
	phone.joins(laptop)
	open, err := laptop.ShowLink(laptop.unlock)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := phone.takes(open.String(), true); err != nil {
		t.Fatal(err)
	}
	l := <-open.Done
	if l.Name != phone.o.Me.Device() || l.Name == laptop.o.Me.Device() {
		t.Errorf("the laptop says that %q is its device now; that is called %q", l.Name, phone.o.Me.Device())
	}
}

// Who has a link that was used, has run out, was closed, or belongs to another network hears what to do; nothing of it uses a link up.
func TestWhatIsWrongWithALinkIsSaid(t *testing.T) {
	laptop, phone, eve, used := newHome(t, "Anna"), newHome(t, ""), newHome(t, ""), newHome(t, "")
	open, err := laptop.ShowLink(laptop.unlock)
	if err != nil {
		t.Fatal(err)
	}
	link := open.String()
	expect := func(what string, h *home, link string, kind kith.Kind, says string) {
		t.Helper()
		_, err := h.takes(link, false)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q; want %v that says %q", what, err, kith.HintOf(err), kind, says)
		}
	}
	expect("own", laptop, link, kith.Invalid, "on this device")
	expect("an invite", phone, laptop.invite("").Link, kith.Invalid, "invite")
	expect("empty", phone, "", kith.Invalid, "no link between devices")
	for _, at := range []int{15, 20, 60, 90, 115, 140, len(link) - 5} {
		other := byte('A')
		if link[at] == other {
			other = 'B'
		}
		expect("changed on its way", phone, link[:at]+string(other)+link[at+1:], kith.Invalid, "")
	}
	laptop.clock.Store(int64(11 * time.Minute))
	expect("expired by their clock", phone, link, kith.Gone, "expired")
	laptop.clock.Store(0)
	phone.clock.Store(int64(11 * time.Minute))
	expect("expired by the own clock", phone, link, kith.Gone, "expired")
	phone.clock.Store(0)
	elsewhere := newHome(t, "")
	elsewhere.stop()
	elsewhere.start("choir")
	expect("another network", elsewhere, link, kith.Invalid, "for the network")
	ben := newHome(t, "Ben")
	ben.joins(used)
	expect("somebody with contacts", used, link, kith.Exists, "1 contact")

	if _, err := phone.takes(link, false); err != nil {
		t.Fatal(err)
	}
	expect("used by another device", eve, link, kith.Gone, "used")
	expect("already one", phone, link, kith.Exists, "already")
	open.Close()
	closed, err := laptop.ShowLink(laptop.unlock)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	expect("closed", eve, closed.String(), kith.NotFound, "no such link")
	if got, _ := laptop.OwnDevices(t.Context()); len(got) != 2 || laptop.Contact(id(eve)) {
		t.Errorf("her devices: %+v", got)
	}
	again, err := laptop.ShowLink(laptop.unlock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := used.takes(again.String(), true); err != nil || used.o.Me.Person() != laptop.o.Me.Person() || used.Name(id(ben)) != "Ben" {
		t.Errorf("replaced: %v; it is %s and knows %+v", err, used.o.Me.Person(), used.All())
	}
}

// A device that is revoked is cut off by the person's others and by contacts, hears of it, and is let in again only by a new link.
func TestARevokedDevice(t *testing.T) {
	laptop, phone, ben := newHome(t, "Anna"), newHome(t, ""), newHome(t, "Ben")
	laptop.links(phone)
	ben.joins(laptop)
	ben.eventually("Ben knows the phone", func() bool { return ben.Contact(id(phone)) })
	old, cert := mustCard(t, phone), phone.o.Me.Certificate()
	if ben.Lost(cert) || laptop.Lost(cert) {
		t.Error("it is revoked before it is")
	}
	if _, err := laptop.RevokeDevice(t.Context(), laptop.master(), phone.o.Me.Device()); err != nil {
		t.Fatal(err)
	}
	if laptop.Contact(id(phone)) {
		t.Error("the laptop has it still")
	}
	ben.eventually("Ben has cut it off", func() bool { return !ben.Contact(id(phone)) })
	if !ben.Lost(cert) || !laptop.Lost(cert) || ben.Lost(laptop.o.Me.Certificate()) {
		t.Error("what is revoked is not what was revoked")
	}
	phone.eventually("the phone knows", func() bool { _, ok := phone.Revoked(); return ok })
	if got := phone.Trouble(); len(got) != 1 || !strings.Contains(got[0], "was revoked on") || !strings.Contains(got[0], "kith id link") {
		t.Errorf("it says %q", got)
	}
	if _, err := phone.card(t.Context()); !errors.Is(err, kith.Denied) {
		t.Errorf("it makes cards: %v", err)
	}
	if err := take(ben, old); !errors.Is(err, errCut) {
		t.Errorf("Ben takes its old card: %v", err)
	}
	phone.connect(ben) // it may come, and is told why not
	if a, err := phone.ask(t.Context(), id(ben), request{Card: old.encoded}); err != nil || a.Says != saysCut || a.List == nil {
		t.Errorf("its old card: %+v, %v", a, err)
	}
	for _, h := range []*home{phone, ben, laptop} {
		h.restart()
	}
	if _, ok := phone.Revoked(); !ok || ben.Contact(id(phone)) || laptop.Contact(id(phone)) {
		t.Error("a restart forgets it")
	}
	got, err := laptop.OwnDevices(t.Context())
	if err != nil || len(got) != 2 || got[1].Revoked.IsZero() {
		t.Errorf("her devices: %+v, %v", got, err)
	}

	laptop.links(phone)
	ben.connect(laptop)
	ben.eventually("Ben has it again", func() bool { return ben.Contact(id(phone)) })
	if _, ok := phone.Revoked(); ok {
		t.Error("it is revoked still")
	}
}
