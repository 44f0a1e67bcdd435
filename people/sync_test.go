package people

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"testing"

	"kith"
	"kith/identity"
)

// names returns what h calls those of its contacts who are not the person's own devices.
func (h *home) names() map[string]bool {
	out := map[string]bool{}
	for _, c := range h.All() {
		if !c.Me {
			out[c.Name] = true
		}
	}
	return out
}

func (h *home) knows(names ...string) func() bool {
	return func() bool {
		got := h.names()
		for _, n := range names {
			if !got[n] {
				return false
			}
		}
		return len(got) == len(names)
	}
}

// A contact made on one device is known on the other, with what is needed to find them; a new name and a removal follow, offline or not, whichever way.
func TestContactsFollowBetweenOwnDevices(t *testing.T) {
	laptop, phone, ben, carla := newHome(t, "Anna"), newHome(t, ""), newHome(t, "Ben"), newHome(t, "Carla")
	ben.joins(laptop)
	laptop.links(phone)
	phone.eventually("who was known before", phone.knows("Ben"))
	phone.eventually("and where they are", func() bool {
		for _, c := range phone.All() {
			if c.Name == "Ben" && len(c.Devices) == 1 && len(c.Devices[0].Addrs) > 0 && c.Person != nil {
				return true
			}
		}
		return false
	})
	carla.joins(phone)
	laptop.eventually("who joined the phone", laptop.knows("Ben", "Carla"))
	if err := phone.Rename(t.Context(), "Ben", "Benjamin"); err != nil {
		t.Fatal(err)
	}
	laptop.eventually("a new name", laptop.knows("Benjamin", "Carla"))
	byHand := somebody(t)
	if err := laptop.Add(t.Context(), "Auntie", byHand); err != nil {
		t.Fatal(err)
	}
	phone.eventually("somebody by hand", phone.knows("Benjamin", "Carla", "Auntie"))

	laptop.stop() // both change something while they do not hear of each other
	if err := errors.Join(phone.Remove(t.Context(), "Carla"), phone.Rename(t.Context(), "Auntie", "Aunt")); err != nil {
		t.Fatal(err)
	}
	phone.stop()
	laptop.start("kith")
	if err := laptop.Rename(t.Context(), "Benjamin", "Ben"); err != nil {
		t.Fatal(err)
	}
	phone.start("kith")
	phone.connect(laptop)
	for _, h := range []*home{laptop, phone} {
		h.eventually("what both did", h.knows("Ben", "Aunt"))
	}
	if carla.connect(laptop); laptop.Contact(id(carla)) || laptop.Name(byHand) != "Aunt" {
		t.Errorf("the laptop knows %+v", laptop.All())
	}
	if err := phone.Remove(t.Context(), Me); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
		t.Errorf("took off its own devices: %v", err)
	}
}

// How the person is shown to contacts is the same on all devices.
func TestTheProfileFollows(t *testing.T) {
	laptop, phone := newHome(t, "Anna"), newHome(t, "")
	laptop.links(phone)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
		t.Fatal(err)
	}
	want := identity.Profile{Name: "Anna B", Picture: picture.Bytes()}
	if err := phone.o.Me.SetProfile(want); err != nil {
		t.Fatal(err)
	}
	phone.Changed()
	laptop.eventually("name and picture", func() bool {
		got := laptop.o.Me.Profile()
		return got.Name == want.Name && bytes.Equal(got.Picture, want.Picture)
	})
	if err := laptop.o.Me.SetProfile(identity.Profile{Name: "Annika"}); err != nil {
		t.Fatal(err)
	}
	laptop.Changed()
	phone.eventually("and without one", func() bool { got := phone.o.Me.Profile(); return got.Name == "Annika" && got.Picture == nil })
}

// Two who are called the same on two devices keep their names apart, and in the same way on both.
func TestTwoOfOneName(t *testing.T) {
	laptop, phone, one, other := newHome(t, "Anna"), newHome(t, ""), newHome(t, "Ben"), newHome(t, "Ben")
	laptop.links(phone)
	laptop.stop()
	one.joins(phone)
	phone.stop()
	laptop.start("kith")
	other.joins(laptop)
	phone.start("kith")
	phone.connect(laptop)
	for _, h := range []*home{laptop, phone} {
		h.eventually("both", h.knows("Ben", "Ben 2"))
	}
	if phone.Name(id(one)) != laptop.Name(id(one)) || phone.Name(id(other)) != laptop.Name(id(other)) {
		t.Errorf("the phone knows %+v, the laptop %+v", phone.All(), laptop.All())
	}
}

// Contacts are told to the person's devices alone, and what a device sends is checked as if it came from the contact itself.
func TestWhatOwnDevicesAreNotTold(t *testing.T) {
	laptop, ben, eve := newHome(t, "Anna"), newHome(t, "Ben"), newHome(t, "Eve")
	ben.joins(laptop)
	for _, h := range []*home{ben, eve} {
		h.connect(laptop)
		if a, err := h.askDevice(t.Context(), id(laptop), deviceRequest{}); err != nil || a.Says != saysStranger || a.Entries != nil {
			t.Errorf("%s is told %+v, %v", h.name, a, err)
		}
	}
	bens, eves := mustCard(t, ben), mustCard(t, eve)
	for what, w := range map[string]entryWire{
		"somebody else's card":  {Key: eves.person(), Name: "Eve", Cards: [][]byte{bens.encoded}},
		"half a card":           {Key: eves.person(), Name: "Eve", Cards: [][]byte{eves.encoded[:50]}},
		"a card without anyone": {Key: eves.person(), Name: "Eve", Cards: [][]byte{{0xa0}}},
		"somebody else's list":  {Key: eves.person(), Name: "Eve", List: []byte("x")},
		"no key":                {Name: "Eve"},
		"this device":           {Key: []byte(id(laptop)), Name: "Eve"},
		"the person":            {Key: laptop.o.Me.Certificate().Master, Name: "Eve"},
		"no name":               {Key: eves.person()},
		"a name with an escape": {Key: eves.person(), Name: "a\x1b[2J"},
		"a time beyond all":     {Key: eves.person(), Name: "Eve", Time: 1 << 63},
	} {
		tx, err := laptop.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		laptop.write.Lock()
		if err := laptop.merge(t.Context(), tx, w); err == nil || kith.KindOf(err) == kith.Internal {
			t.Errorf("%s: %v", what, err)
		}
		tx.Rollback()
		if err := laptop.readBook(t.Context()); err != nil {
			t.Fatal(err)
		}
		laptop.write.Unlock()
	}
}

// FuzzReadAnyCard: what another device says is somebody's card ends in an error, or is a card of the device that it names.
func FuzzReadAnyCard(f *testing.F) {
	f.Add([]byte("\xa2\x01\xa1\x05\x80\x02\x40"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readAnyCard(data)
		if err != nil {
			return
		}
		if again, err := parseCard(c.encoded, c.certs[0].Device); err != nil || again.serial != c.serial {
			t.Fatalf("read as %+v, then %+v, %v", c, again, err)
		}
	})
}

// FuzzParseDeviceLink: whatever is pasted ends in an error that says what to do, or in a link of the device that signed it.
func FuzzParseDeviceLink(f *testing.F) {
	f.Add(kith.DeviceScheme + "AQACdm03")
	f.Add("kith:device:AQACdm03oQ38Nlb_Kc6TBNFZoQDIxrhFLeNKwhP4C-57OR102XJr5OkCTDkQixdv-OjtDz9z0Dw_tsp0I3USXB1OPOqtawOOqQF0CAR_AAABBogvU_vsOXEiuPVVU2b35PEdLYA83r51duWDUSqxlNAJCo8jhDnnFiRo-i1qW4IDgfmVdLXYHfqf9ZK2a29S_mGkBA")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseDeviceLink(text)
		switch {
		case err != nil && (!errors.Is(err, kith.Invalid) || kith.HintOf(err) == ""):
			t.Fatalf("%v, hint %q", err, kith.HintOf(err))
		case err == nil && (l.Device == "" || l.Name == "" || len(l.Name) > maxLinkName):
			t.Fatalf("%+v", l)
		}
	})
}
