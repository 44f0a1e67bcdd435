package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"kith"
)

var artPhrase = strings.Fields(strings.Repeat("abandon ", 23) + "art")

// deviceOf returns the peer id of the device with a seed of 32 equal bytes.
func deviceOf(n int) peer.ID {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{byte(n)}, 32)))
	if err != nil {
		panic(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		panic(err)
	}
	return id
}

func TestAdmitAndRevoke(t *testing.T) {
	m, r := artRoster()
	now := time.Unix(1790000000, 0).UTC()
	laptop, phone := deviceOf(1), deviceOf(2)
	for id, name := range map[peer.ID]string{laptop: "laptop", phone: "phone"} {
		if c, err := m.Admit(r, id, name, now); err != nil || c.Device != id || c.Name != name {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	old, err := m.Admit(r, phone, "phone 1", now)
	if err != nil || !old.Issued.After(now) {
		t.Fatalf("certified again in the same second: %+v, %v", old, err)
	}
	if err := m.Revoke(r, phone, now.Add(-time.Hour)); err != nil { // by a clock that is slow
		t.Fatal(err)
	}
	if _, ok := r.Revoked(phone); !ok || len(r.Devices()) != 1 || r.Certify(old) == nil {
		t.Errorf("revoked: %+v", r.Devices())
	}
	if len(r.Newest.Devices) != 1 || len(r.Newest.Revoked) != 1 || r.Behind() {
		t.Errorf("the list: %+v", r.Newest)
	}
	again, err := m.Admit(r, phone, "phone", now.Add(-time.Hour))
	if _, ok := r.Revoked(phone); err != nil || ok || r.Certify(again) != nil || len(r.Newest.Revoked) != 0 {
		t.Errorf("linked anew: %+v, %v", r.Newest, err)
	}
	if _, err := m.Admit(r, phone, " ", now); !errors.Is(err, kith.Invalid) {
		t.Errorf("without a name: %v", err)
	}
	other := Master{masterKey(mustPhrase(t))}
	if _, err := other.Admit(r, phone, "phone", now); !errors.Is(err, kith.Denied) {
		t.Errorf("by another person: %v", err)
	}
	l, err := signList(other.key, 1, nil, nil)
	if err != nil || !errors.Is(r.Take(l), kith.Denied) {
		t.Errorf("another person's list: %v", err)
	}
	for n := 3; ; n++ { // as many as there is room for; what has none changes nothing
		before := r.Newest
		if _, err := m.Admit(r, deviceOf(n), strings.Repeat("x", 60), now); err != nil {
			if !errors.Is(err, kith.TooLarge) || kith.HintOf(err) == "" || r.Newest.Serial != before.Serial || len(r.Devices()) != n-1 {
				t.Errorf("device %d: %v, %d devices", n, err, len(r.Devices()))
			}
			break
		}
	}
}

func mustPhrase(t *testing.T) []string {
	t.Helper()
	words, err := newPhrase()
	if err != nil {
		t.Fatal(err)
	}
	return words
}

func artRoster() (Master, *Roster) {
	m := Master{masterKey(artPhrase)}
	return m, NewRoster(ed25519.PublicKey(m.key[32:]))
}

// Whatever a person decides on devices that do not know of each other, and in whatever order others read the lists and certificates of that, once, twice or never the older
// ones: who has read the newest of each knows the same, nothing that was revoked comes back but by a later certificate, and the newest list is the one shown.
func TestRostersAgree(t *testing.T) {
	m := Master{masterKey(artPhrase)}
	rapid.Check(t, func(t *rapid.T) {
		signers := []*Roster{NewRoster(ed25519.PublicKey(m.key[32:])), NewRoster(ed25519.PublicKey(m.key[32:]))}
		now := time.Unix(1790000000, 0).UTC()
		var lists []List
		var certs []Certificate
		issued, revoked := map[peer.ID]time.Time{}, map[peer.ID]time.Time{}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"decide": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
				r, id := signers[rapid.IntRange(0, 1).Draw(t, "signer")], deviceOf(rapid.IntRange(1, 4).Draw(t, "device"))
				if rapid.Bool().Draw(t, "revoke") {
					if err := m.Revoke(r, id, now); err != nil {
						t.Fatal(err)
					}
					at := r.revoked[ShortOf(id)]
					if at.After(revoked[id]) {
						revoked[id] = at
					}
				} else {
					c, err := m.Admit(r, id, fmt.Sprint(now.Unix()), now)
					if err != nil {
						t.Fatal(err)
					}
					certs = append(certs, c)
					if c.Issued.After(issued[id]) {
						issued[id] = c.Issued
					}
				}
				lists = append(lists, r.Newest)
			},
			"meet": func(*rapid.T) {
				for _, l := range lists {
					signers[0].Take(l)
				}
			},
		})
		read := func() *Roster {
			r := NewRoster(ed25519.PublicKey(m.key[32:]))
			all := rapid.Permutation(append(slices.Clone(lists), lists...)).Draw(t, "lists")
			order := rapid.Permutation(append(slices.Clone(certs), certs...)).Draw(t, "certificates")
			for i := range max(len(all), len(order)) {
				if i < len(all) {
					r.Take(all[i])
				}
				if i < len(order) {
					r.Certify(order[i])
				}
			}
			return r
		}
		a, b := read(), read()
		if !maps.Equal(a.listed, b.listed) || !maps.Equal(a.effective(), b.effective()) || !bytes.Equal(a.Newest.encoded, b.Newest.encoded) {
			t.Fatalf("one knows %+v, the other %+v", a, b)
		}
		for id := range issued {
			if _, acts := a.listed[id]; acts != issued[id].After(revoked[id]) {
				t.Fatalf("%s acts: %v; certified %v, revoked %v", id, acts, issued[id], revoked[id])
			}
		}
	})
}

// A list that was changed in any byte is none, nor one that is encoded otherwise.
func TestParseListRefuses(t *testing.T) {
	m, r := artRoster()
	if _, err := m.Admit(r, deviceOf(1), "laptop", time.Unix(1790000000, 0)); err != nil {
		t.Fatal(err)
	}
	if err := m.Revoke(r, deviceOf(2), time.Unix(1790000001, 0)); err != nil {
		t.Fatal(err)
	}
	good := r.Newest.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if l, err := ParseList(bad); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("byte %d changed: %+v, %v", i, l, err)
		}
	}
	for what, bad := range map[string][]byte{"nothing": nil, "cut short": good[:len(good)-1], "more behind it": append(bytes.Clone(good), 0), "too long": make([]byte, MaxList+1)} {
		if _, err := ParseList(bad); err == nil || kith.KindOf(err) == kith.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := signList(m.key, lastSerial+1, nil, nil); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a serial beyond all: %v", err)
	}
	twice := []Listed{r.Devices()[0], r.Devices()[0]}
	if _, err := signList(m.key, 1, twice, nil); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a device twice: %v", err)
	}
}

func FuzzParseList(f *testing.F) {
	m, r := artRoster()
	if _, err := m.Admit(r, deviceOf(1), "laptop", time.Unix(1790000000, 0)); err != nil {
		f.Fatal(err)
	}
	f.Add(r.Newest.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseList(data)
		if err == nil && (!bytes.Equal(l.Bytes(), data) || len(l.Devices) > MaxDevices) {
			t.Fatalf("%+v", l)
		}
	})
}

// The master key is had from this disk, under its passphrase, or from the words; and what to type stands in the error.
func TestUnlock(t *testing.T) {
	i := openAt(t, newDir(t))
	words, answer := phraseOf(t, i)
	if _, err := i.Unlock(nil, ""); err != nil {
		t.Errorf("here: %v", err)
	}
	if err := i.Confirm(Confirmation{Words: answer, Keep: true, Passphrase: "long enough"}); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, words []string, passphrase, hint string) {
		t.Helper()
		if _, err := i.Unlock(words, passphrase); !errors.Is(err, kith.Denied) || !strings.Contains(kith.HintOf(err), hint) {
			t.Errorf("%s: %v, hint %q", what, err, kith.HintOf(err))
		}
	}
	expect("locked", nil, "", "--unlock")
	expect("a wrong passphrase", nil, "another one", "")
	expect("another person's words", mustPhrase(t), "", "restore --replace")
	for _, err := range []error{func() error { _, err := i.Unlock(nil, "long enough"); return err }(), func() error { _, err := i.Unlock(words, ""); return err }()} {
		if err != nil {
			t.Error(err)
		}
	}
	linked := openAt(t, newDir(t))
	m, err := i.Unlock(words, "")
	if err != nil {
		t.Fatal(err)
	}
	r := NewRoster(i.Certificate().Master)
	cert, err := m.Admit(r, linked.PeerID(), "phone", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Adopt(cert, Profile{}); !errors.Is(err, kith.Corrupt) {
		t.Errorf("adopted another device's certificate: %v", err)
	}
	if err := linked.Adopt(cert, Profile{Name: "Anna"}); err != nil || linked.Person() != i.Person() || linked.Master() != Away {
		t.Errorf("adopted: %v, %s, %s", err, linked.Person(), linked.Master())
	}
	i = linked
	expect("linked", nil, "", "--phrase")
}
