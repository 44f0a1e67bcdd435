package people

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	librecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"

	"kith"
	"kith/identity"
	"kith/network"
	"kith/overlay/kaddht"
	"kith/record"
)

// A home is a person's device: an identity, a network on loopback, and who they know.
type home struct {
	*People
	t     *testing.T
	dir   string
	name  string
	clock atomic.Int64 // nanoseconds that its clock is ahead
	stop  func()

	routed bool // it has an overlay, and records in it
}

func newHome(t *testing.T, name string) *home {
	t.Helper()
	return enter(&home{t: t, dir: t.TempDir(), name: name})
}

// newRouted returns a home with an overlay.
func newRouted(t *testing.T, name string) *home {
	t.Helper()
	return enter(&home{t: t, dir: t.TempDir(), name: name, routed: true})
}

func enter(h *home) *home {
	t, name := h.t, h.name
	t.Helper()
	h.start("kith")
	if err := h.o.Me.SetProfile(identity.Profile{Name: name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *home) start(netName string) {
	h.t.Helper()
	fatal := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	me, err := identity.Open(filepath.Join(h.dir, "identity"))
	fatal(err)
	net, err := network.New(h.t.Context(), network.Config{Key: me.Key(), Name: netName, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true})
	fatal(err)
	o := Options{Path: filepath.Join(h.dir, "people.db"), Old: filepath.Join(h.dir, "people.json"),
		Me: me, Net: net, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(time.Duration(h.clock.Load())) }}
	leave := func() error { return nil }
	if h.routed {
		var v record.Validator
		routes, err := kaddht.New(h.t.Context(), kaddht.Options{Host: net.Host(), Network: netName, DS: net.Store(),
			Validators: map[string]librecord.Validator{record.Namespace: &v}})
		fatal(err)
		o.Records, err = record.New(record.Options{Routes: routes, Validator: &v, Path: filepath.Join(h.dir, "records.db")})
		fatal(err)
		leave = routes.Close
	}
	h.People, err = Open(h.t.Context(), o)
	fatal(err)
	net.Handle(Protocol, h.Serve)
	net.Handle(DeviceProtocol, h.ServeDevice)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	p := h.People
	h.stop = func() {
		cancel()
		<-ran
		if err := errors.Join(leave(), net.Close(), p.Close()); err != nil {
			h.t.Error(err)
		}
		if o.Records != nil {
			o.Records.Close()
		}
		h.stop = func() {}
	}
}

func (h *home) restart() {
	h.t.Helper()
	h.stop()
	h.start("kith")
}

// connect connects h to other.
func (h *home) connect(other *home) {
	h.t.Helper()
	to := other.o.Net
	if err := h.o.Net.Connect(h.t.Context(), peer.AddrInfo{ID: to.ID(), Addrs: to.Host().Addrs()}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) invite(name string) Issued {
	h.t.Helper()
	i, err := h.Invite(h.t.Context(), name, 7*24*time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

func (h *home) join(link string) (Contact, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	return h.Join(ctx, link, "", func(string) {})
}

func (h *home) joins(other *home) {
	h.t.Helper()
	if _, err := h.join(other.invite("").Link); err != nil {
		h.t.Fatal(err)
	}
}

// eventually waits until ok holds, which background work brings about.
func (h *home) eventually(what string, ok func() bool) {
	h.t.Helper()
	h.within(time.Minute, what, ok)
}

func (h *home) within(limit time.Duration, what string, ok func() bool) {
	h.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			h.t.Fatalf("%s: never; %s knows %+v", what, h.name, h.All())
		case <-tick.C:
		}
	}
}

func id(h *home) peer.ID { return h.o.Me.PeerID() }

func TestAnInviteMakesTwoPeopleContacts(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	i := anna.invite("Benjamin")
	if len(i.Link) > MaxInvite || !strings.HasPrefix(i.Link, kith.InviteScheme) {
		t.Errorf("link of %d characters: %s", len(i.Link), i.Link)
	}
	got, err := ben.join(i.Link)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "Anna" || string(got.Person) != string(anna.o.Me.Certificate().Master) || len(got.Devices) != 1 || got.Devices[0].Peer != id(anna) {
		t.Errorf("Ben has %+v", got)
	}
	if ben.Name(id(anna)) != "Anna" || anna.Name(id(ben)) != "Benjamin" || anna.All()[0].Profile != "Ben" {
		t.Errorf("Anna has %+v", anna.All())
	}
	if d := anna.Devices("benjamin"); len(d) != 1 || d[0] != id(ben) {
		t.Errorf("devices of benjamin: %v", d)
	}
	issued, err := anna.Invites(t.Context())
	if err != nil || len(issued) != 1 || issued[0].State != Used || issued[0].By != id(ben) {
		t.Errorf("invites: %+v, %v", issued, err)
	}
	anna.restart()
	ben.restart()
	if ben.Name(id(anna)) != "Anna" || anna.Name(id(ben)) != "Benjamin" {
		t.Errorf("after a restart Anna has %+v, Ben %+v", anna.All(), ben.All())
	}
}

// An invite is for one person, once: whoever comes second hears so, whatever happened in between; who used it may ask again, since the answer
// may have been lost.
func TestAnInviteIsUsedOnce(t *testing.T) {
	anna, ben, eve := newHome(t, "Anna"), newHome(t, "Ben"), newHome(t, "Eve")
	link := anna.invite("").Link
	if _, err := ben.join(link); err != nil {
		t.Fatal(err)
	}
	refused := func(h *home) {
		t.Helper()
		if _, err := h.join(link); !errors.Is(err, kith.Gone) || !strings.Contains(err.Error(), "used") || kith.HintOf(err) == "" {
			t.Errorf("%s joined by a used invite: %v, hint %q", h.name, err, kith.HintOf(err))
		}
	}
	refused(eve)
	if _, err := ben.join(link); err != nil {
		t.Errorf("Ben asked again: %v", err)
	}
	anna.restart()
	anna.connect(eve)
	anna.connect(ben)
	refused(eve)
	if err := anna.Remove(t.Context(), "Ben"); err != nil {
		t.Fatal(err)
	}
	refused(ben)
	if anna.Contact(id(ben)) || anna.Contact(id(eve)) || eve.Contact(id(anna)) {
		t.Errorf("Anna has %+v, Eve %+v", anna.All(), eve.All())
	}
}

func TestWhatIsWrongWithAnInviteIsSaid(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	link := anna.invite("").Link
	expect := func(what string, h *home, link string, kind kith.Kind, says string) {
		t.Helper()
		_, err := h.join(link)
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q; want %v that says %q", what, err, kith.HintOf(err), kind, says)
		}
	}
	expect("own", anna, link, kith.Invalid, "your own")
	expect("cut short", ben, link[:len(link)-1], kith.Invalid, "damaged")
	expect("not even that", ben, kith.InviteScheme+"xyz", kith.Invalid, "damaged")
	expect("empty", ben, "", kith.Invalid, "no invite")
	for _, at := range []int{20, 60, 90, 115, 140, len(link) - 5} {
		other := byte('A')
		if link[at] == other {
			other = 'B'
		}
		expect("changed on its way", ben, link[:at]+string(other)+link[at+1:], kith.Invalid, "damaged")
	}

	ben.clock.Store(int64(8 * 24 * time.Hour))
	expect("expired by the own clock", ben, link, kith.Gone, "expired")
	ben.clock.Store(0)
	anna.clock.Store(int64(8 * 24 * time.Hour))
	expect("expired by theirs", ben, link, kith.Gone, "expired")
	anna.clock.Store(0)

	withdrawn := anna.invite("")
	if err := anna.Revoke(t.Context(), withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	expect("withdrawn", ben, withdrawn.Link, kith.Gone, "withdrawn")

	elsewhere := newHome(t, "Carla")
	elsewhere.stop()
	elsewhere.start("choir")
	expect("another network", elsewhere, link, kith.Invalid, `for the network "kith", and this node is on "choir"`)
	if len(anna.All()) != 0 || len(ben.All()) != 0 {
		t.Errorf("Anna has %+v, Ben %+v", anna.All(), ben.All())
	}
	if _, err := ben.join(link); err != nil { // none of that used it up
		t.Errorf("after all of it: %v", err)
	}
}

// Who has seen the link on its way, without its secret, or has only the id of the invite, gets nowhere.
func TestAProofIsBoundToItsEnds(t *testing.T) {
	anna, ben, eve := newHome(t, "Anna"), newHome(t, "Ben"), newHome(t, "Eve")
	i, err := ParseInvite(anna.invite("").Link)
	if err != nil {
		t.Fatal(err)
	}
	bens, err := ben.card(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eves, err := eve.card(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	right := proof(i.Secret, id(anna), id(ben), bens.encoded)
	for _, c := range []struct {
		what string
		from *home
		r    request
		says uint64
	}{
		{"Ben's proof in Eve's hands", eve, request{Card: eves.encoded, Invite: inviteID(i.Secret), Proof: right}, saysNoInvite},
		{"with Ben's card", eve, request{Card: bens.encoded, Invite: inviteID(i.Secret), Proof: right}, saysBadCard},
		{"no proof", eve, request{Card: eves.encoded, Invite: inviteID(i.Secret)}, saysNoInvite},
		{"an invite of nobody", eve, request{Card: eves.encoded, Invite: make([]byte, 16), Proof: right}, saysNoInvite},
		{"a stranger's card", eve, request{Card: eves.encoded}, saysStranger},
		{"a stranger asks for a picture", eve, request{Picture: make([]byte, 32)}, saysStranger},
		{"nothing", eve, request{}, saysBadCard},
	} {
		c.from.connect(anna)
		a, err := c.from.ask(t.Context(), id(anna), c.r)
		if err != nil || a.Says != c.says || a.Card != nil || a.Picture != nil {
			t.Errorf("%s: %+v, %v; want %d and nothing else", c.what, a, err, c.says)
		}
	}
	if len(anna.All()) != 0 {
		t.Errorf("Anna has %+v", anna.All())
	}
}

// Who joins waits for the inviter, says so, and is done as soon as they are there.
func TestJoiningWaitsForWhoIsNotThere(t *testing.T) {
	anna, ben := newHome(t, "Anna"), newHome(t, "Ben")
	link := anna.invite("").Link
	anna.stop()
	waits := make(chan string, 100)
	joined := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		_, err := ben.Join(ctx, link, "", func(why string) { waits <- why })
		joined <- err
	}()
	if why := <-waits; !strings.Contains(why, "not online") {
		t.Errorf("waits since %q", why)
	}
	anna.start("kith")
	anna.connect(ben) // at another port than the invite says
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	if ben.Name(id(anna)) != "Anna" || anna.Name(id(ben)) != "Ben" {
		t.Errorf("Anna has %+v, Ben %+v", anna.All(), ben.All())
	}

	anna.stop()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ben.Join(short, link, "", func(string) {}); !errors.Is(err, kith.Timeout) || !strings.Contains(kith.HintOf(err), "start kith") {
		t.Errorf("nobody came: %v, hint %q", err, kith.HintOf(err))
	}
}

func somebody(t *testing.T) peer.ID {
	t.Helper()
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestContactsByHand(t *testing.T) {
	p := newHome(t, "Me")
	ctx := t.Context()
	a, b, c := somebody(t), somebody(t), somebody(t)
	if err := errors.Join(p.Add(ctx, "Anna", a), p.Add(ctx, "Anna", a), p.Add(ctx, "Ben", b)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", " ", "x\x00y", strings.Repeat("x", 100)} {
		if err := p.Add(ctx, bad, c); !errors.Is(err, kith.Invalid) {
			t.Errorf("add %q: %v", bad, err)
		}
	}
	for _, c := range []struct {
		what string
		err  error
		want kith.Kind
	}{
		{"a device of two people", p.Add(ctx, "Eve", a), kith.Exists},
		{"oneself", p.Add(ctx, "Eve", id(p)), kith.Invalid},
		{"remove nobody", p.Remove(ctx, "Nobody"), kith.NotFound},
		{"rename nobody", p.Rename(ctx, "Nobody", "Somebody"), kith.NotFound},
		{"rename to a name that is taken", p.Rename(ctx, "Anna", "Ben"), kith.Exists},
		{"rename to nothing", p.Rename(ctx, "Anna", ""), kith.Invalid},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
	if err := errors.Join(p.Remove(ctx, "Ben"), p.Rename(ctx, "Anna", "anna b")); err != nil {
		t.Fatal(err)
	}
	p.restart()
	if p.Name(a) != "anna b" || p.Contact(b) || !p.Contact(a) || len(p.Devices("Anna B")) != 1 {
		t.Errorf("read back: %+v", p.All())
	}
}

// The list of earlier versions is taken over once, and its file is kept.
func TestTheOldListIsTakenOver(t *testing.T) {
	p := newHome(t, "Me")
	p.stop()
	a, b := somebody(t), somebody(t)
	old := filepath.Join(p.dir, "people.json")
	list := `[{"name":"Anna","peers":["` + a.String() + `","` + b.String() + `"],"added":"2026-01-02T03:04:05Z"}]`
	for range 2 { // the second time as after a crash before the file was renamed
		if err := os.WriteFile(old, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		p.start("kith")
		all := p.All()
		if len(all) != 1 || all[0].Name != "Anna" || len(all[0].Devices) != 2 || p.Name(b) != "Anna" || all[0].Added.Year() != 2026 || all[0].Added.Month() != 1 {
			t.Errorf("taken over: %+v", all)
		}
		p.stop()
		if kept, err := os.ReadFile(old + ".migrated"); err != nil || string(kept) != list {
			t.Errorf("the old file: %q, %v", kept, err)
		}
	}
	if err := os.WriteFile(old, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), p.o)
	if !errors.Is(err, kith.Corrupt) || kith.HintOf(err) == "" {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestPeopleAreFoundByName(t *testing.T) {
	p := newHome(t, "Me")
	anna, ben, other := somebody(t), somebody(t), somebody(t)
	if err := errors.Join(p.Add(t.Context(), "Anna", anna), p.Add(t.Context(), "Ben", ben), p.Add(t.Context(), "BEN", other)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]peer.ID{"Anna": anna, "anna": anna, "Ben": ben, "BEN": other, "ben": "", "Carla": "", "": ""} {
		if got := p.Devices(name); want == "" && got != nil || want != "" && (len(got) != 1 || got[0] != want) {
			t.Errorf("devices of %q: %v, want %v", name, got, want)
		}
	}
}

// Two who open the same invite at once: it is one person's.
func TestOneOfTwoAtOnce(t *testing.T) {
	anna, ben, eve := newHome(t, "Anna"), newHome(t, "Ben"), newHome(t, "Eve")
	link := anna.invite("").Link
	errs := make(chan error, 2)
	for _, h := range []*home{ben, eve} {
		go func() {
			_, err := h.join(link)
			errs <- err
		}()
	}
	one, other := <-errs, <-errs
	if one != nil {
		one, other = other, one
	}
	if one != nil || !errors.Is(other, kith.Gone) || len(anna.All()) != 1 {
		t.Errorf("one: %v, the other: %v; Anna has %+v", one, other, anna.All())
	}
}
