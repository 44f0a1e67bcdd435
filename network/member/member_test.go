package member

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/identity"
)

func person(t testing.TB) *identity.Identity {
	t.Helper()
	me, err := identity.Open(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	return me
}

func door(t testing.TB, n Network, me *identity.Identity) *Door {
	t.Helper()
	d, err := NewDoor(n, me.Certificate(), me.Key())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newNetwork(t testing.TB, name string) Network {
	t.Helper()
	n, err := New(name, "")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLink(t *testing.T) {
	n := newNetwork(t, strings.Repeat("a", MaxName))
	link := n.Link()
	if len(link) > 85 {
		t.Errorf("%d characters", len(link))
	}
	if got, err := Parse(" " + strings.Replace(link, "kith", "KITH", 1) + "\n"); err != nil || got != n {
		t.Errorf("%v, %v", got, err)
	}
	for i := range link { // any slip of the pen is noticed
		b := []byte(link)
		if b[i]++; b[i] == link[i]|0x20 {
			continue
		}
		got, err := Parse(string(b))
		if err == nil && got != n { // the last character has spare bits
			t.Errorf("%d: read as another network", i)
		}
		if err != nil && (!errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" || strings.Contains(err.Error()+kith.HintOf(err), link[20:40])) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, name := range []string{"", "Family", "a b", strings.Repeat("a", MaxName+1), "ü"} {
		if _, err := New(name, ""); !errors.Is(err, kith.Invalid) {
			t.Errorf("a network called %q: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %s %x %q %d", n, n, n.Secret, n.Secret, n.Secret, n.Secret); strings.Contains(text, hex.EncodeToString(n.Secret[:4])) ||
		strings.Contains(text, fmt.Sprint(n.Secret[0], " ", n.Secret[1])) {
		t.Errorf("the secret is printed: %s", text)
	}
}

// What stands for a network where others can see it has nothing to do with its name.
func TestDerived(t *testing.T) {
	a, b := newNetwork(t, "family"), newNetwork(t, "family")
	c := a
	c.Name = "friends"
	seen := map[string]bool{}
	for _, n := range []Network{a, b, c} {
		for _, s := range []string{n.Label(), n.Mark(), strings.TrimPrefix(n.Label(), "p-")[:4] + "-" + strings.TrimPrefix(n.Label(), "p-")[4:8]} {
			if seen[s] || strings.Contains(s, n.Name) {
				t.Errorf("%s", s)
			}
			seen[s] = true
		}
	}
	if n, err := Parse(a.Link()); err != nil || n.Label() != a.Label() || n.Mark() != a.Mark() {
		t.Errorf("%v, %v", n, err)
	}
}

func TestProof(t *testing.T) {
	n := newNetwork(t, "family")
	me, you := person(t), person(t)
	mine, yours := door(t, n, me), door(t, n, you)
	proof, err := mine.prove(me.Key())
	if err != nil {
		t.Fatal(err)
	}
	if who, err := yours.open(proof, me.PeerID()); err != nil || who.Person() != me.Person() {
		t.Errorf("%s, %v", who.Person(), err)
	}
	if _, err := yours.open(proof, you.PeerID()); err != ErrSecret {
		t.Errorf("shown by somebody else: %v", err)
	}
	again, err := mine.prove(me.Key())
	if err != nil || string(again) == string(proof) {
		t.Errorf("two proofs are the same, %v", err)
	}
	for i := range proof {
		bad := []byte(string(proof))
		bad[i] ^= 1
		if _, err := yours.open(bad, me.PeerID()); err != ErrSecret {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := door(t, newNetwork(t, "family"), you).open(proof, me.PeerID()); err != ErrSecret {
		t.Errorf("another secret: %v", err)
	}
	for _, short := range [][]byte{nil, proof[:20], make([]byte, maxProof+1)} {
		if _, err := yours.open(short, me.PeerID()); err != ErrNoProof {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

// A key that a device uses for a while (AutoNAT dials back with one) is let in by what the device signed, and no other is.
func TestOtherKey(t *testing.T) {
	n := newNetwork(t, "family")
	me, you := person(t), person(t)
	key, pub, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	d := door(t, n, me)
	proof, err := d.prove(key)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := door(t, n, you).open(proof, id); err != nil || who.Person() != me.Person() {
		t.Errorf("%s, %v", who.Person(), err)
	}
	forged := door(t, n, me) // a member who says that a device of somebody else's vouches for it
	forged.cert = you.Certificate()
	if proof, err = forged.prove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := d.open(proof, id); err != ErrSecret {
		t.Errorf("forged: %v", err)
	}
}

func TestMembers(t *testing.T) {
	n := newNetwork(t, "family")
	me, you, third := person(t), person(t), person(t)
	d := door(t, n, me)
	if d.Member(you.PeerID()) {
		t.Error("a member who never came")
	}
	d.see(you.PeerID(), you.Person())
	d.see(third.PeerID(), third.Person())
	for _, c := range []struct {
		list        []string
		you, thirds bool
	}{{nil, true, true}, {[]string{you.Person()}, true, false}, {[]string{third.PeerID().String()}, false, true}, {[]string{me.Person()}, false, false}} {
		if err := d.SetMembers(c.list); err != nil || d.Member(you.PeerID()) != c.you || d.Member(third.PeerID()) != c.thirds {
			t.Errorf("%v: %v", c.list, err)
		}
	}
	for _, bad := range []string{"anna", "did:key:", "did:key:z6Mk", "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", "12D3KooW"} {
		if err := d.SetMembers([]string{bad}); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := d.SetMembers(make([]string, maxListed+1)); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
}

// A device that its person has revoked is not let in, though it has the secret and its person is on the list.
func TestRevoked(t *testing.T) {
	n := newNetwork(t, "family")
	me, you := person(t), person(t)
	d := door(t, n, me)
	proof, err := door(t, n, you).prove(you.Key())
	if err != nil {
		t.Fatal(err)
	}
	revoked := false
	d.SetLost(func(c identity.Certificate) bool {
		return revoked && c.Device == you.PeerID() && c.Person() == you.Person()
	})
	if err := errors.Join(d.SetMembers([]string{you.Person()}), d.admit(proof, you.Key().GetPublic())); err != nil {
		t.Fatal(err)
	}
	revoked = true
	if err := d.admit(proof, you.Key().GetPublic()); err != ErrRevoked || d.Why(you.PeerID(), time.Time{}) != ErrRevoked {
		t.Error(err)
	}
}

// However many come or are refused, few are remembered: the last.
func TestRemembersFew(t *testing.T) {
	d := door(t, newNetwork(t, "family"), person(t))
	for i := range maxSeen + 10 {
		d.see(peer.ID(fmt.Sprint(i)), "")
		d.refuse(peer.ID(fmt.Sprint(-i)), ErrNoProof)
	}
	last := peer.ID(fmt.Sprint(maxSeen + 9))
	if len(d.seen) != maxSeen || !d.Member(last) || len(d.Refused()) != maxRefused || d.Refused()[0].Peer != "-"+last {
		t.Errorf("%d came, %d were refused", len(d.seen), len(d.refused))
	}
}

// vectors are those of docs/protocol.md.
func vectors(t testing.TB) (v struct {
	Link, Label, Service, Mark, Proof string
	Peer, Person, Secret, Name        string
}) {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json member\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/protocol.md has no block member")
	}
	if err := json.Unmarshal(block[1], &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectors(t *testing.T) {
	v := vectors(t)
	n, err := Parse(v.Link)
	if err != nil || n.Label() != v.Label || n.Mark() != v.Mark || n.Name != v.Name || hex.EncodeToString(n.Secret[:]) != v.Secret || n.Link() != v.Link {
		t.Errorf("%s, %s, %v", n.Label(), n.Mark(), err)
	}
	id, err := peer.Decode(v.Peer)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := hex.DecodeString(v.Proof)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := door(t, n, person(t)).open(proof, id); err != nil || who.Person() != v.Person {
		t.Errorf("%s, %v", who.Person(), err)
	}
}

func FuzzOpen(f *testing.F) {
	v := vectors(f)
	n, err := Parse(v.Link)
	if err != nil {
		f.Fatal(err)
	}
	proof, err := hex.DecodeString(v.Proof)
	if err != nil {
		f.Fatal(err)
	}
	id, err := peer.Decode(v.Peer)
	if err != nil {
		f.Fatal(err)
	}
	d := door(f, n, person(f))
	f.Add(proof)
	f.Add(proof[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if who, err := d.open(b, id); (err == nil) != (string(b) == string(proof)) || err != nil && !IsRefusal(err) || err == nil && who.Person() != v.Person {
			t.Errorf("%x: %s, %v", b, who.Person(), err)
		}
	})
}

// What is under the network's key comes from a member, who may be malicious: whatever it is, it is no one's proof but what they signed.
func FuzzClaim(f *testing.F) {
	n := newNetwork(f, "family")
	me := person(f)
	d := door(f, n, me)
	c := me.Certificate().Bytes()
	f.Add(append([]byte{0xa1, 0x01, 0x58, byte(len(c))}, c...))
	f.Add([]byte{0xa0})
	f.Add([]byte{})
	other := person(f).PeerID()
	f.Fuzz(func(t *testing.T, plain []byte) {
		nonce := make([]byte, d.aead.NonceSize())
		proof := d.aead.Seal(nonce, nonce, plain, []byte(proofPrefix+other))
		if who, err := d.open(proof, other); err == nil {
			t.Errorf("%x is the proof of %s", plain, who.Person())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(newNetwork(f, "family").Link())
	f.Add(kith.NetworkScheme)
	f.Add("kith:network:AQ")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			if !errors.Is(err, kith.Invalid) {
				t.Error(err)
			}
			return
		}
		if again, err := Parse(n.Link()); err != nil || again != n {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private.json")
	if k, err := Load(path); k != nil || err != nil {
		t.Fatalf("nothing was saved: %v, %v", k, err)
	}
	me := person(t)
	want := Kept{Network: newNetwork(t, "family"), Members: []string{me.Person(), me.PeerID().String()}, Invite: "kith:invite:x", As: "Anna"}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if i, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
	for _, text := range []string{"", "{", "{}", `{"version":2,"link":"x"}`, `{"version":1,"link":"x"}`, `{"version":1,"link":"` + want.Network.Link() + `","members":["anna"]}`,
		`{"version":1,"link":"` + want.Network.Link() + `","more":1}`, strings.Repeat(" ", maxKept+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := Load(path); k != nil || !errors.Is(err, kith.Corrupt) || kith.HintOf(err) == "" {
			t.Errorf("%.60q: %v, %v", text, k, err)
		}
	}
}

// The overlay that members agree on is part of the link, and all else about the network stays as it is without.
func TestOverlayInLink(t *testing.T) {
	usual := newNetwork(t, "family")
	for _, overlay := range overlays {
		n := usual
		n.Overlay = overlay
		got, err := Parse(n.Link())
		if err != nil || got != n {
			t.Errorf("%q: %+v, %v", overlay, got, err)
		}
		if got, ok := WithKey(n.Name, n.Key()); !ok || got != n {
			t.Errorf("%q by its key: %+v, %v", overlay, got, ok)
		}
		if n.Label() != usual.Label() {
			t.Errorf("%q: another label", overlay)
		}
		if overlay != "" && n.Link() == usual.Link() {
			t.Errorf("%q: the link of another network", overlay)
		}
	}
	if _, err := New("family", "gnutella"); !errors.Is(err, kith.Invalid) {
		t.Errorf("an overlay that there is not: %v", err)
	}
	for _, key := range [][]byte{nil, make([]byte, SecretSize-1), make([]byte, SecretSize+1), append(make([]byte, SecretSize), byte(len(overlays))), make([]byte, SecretSize+2)} {
		if _, ok := WithKey("family", key); ok {
			t.Errorf("a key of %d bytes is one", len(key))
		}
	}
}
