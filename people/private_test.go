package people

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/member"
)

// An invite into a private network with the longest name has room for the network's secret and for addresses, and shows the secret in no error.
func TestPrivateInvite(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	to, err := member.New(strings.Repeat("n", member.MaxName), "chord")
	if err != nil {
		t.Fatal(err)
	}
	i := Invite{Expires: time.Unix(2e9, 0).UTC(), Network: to.Name, Private: &to, Addrs: []ma.Multiaddr{
		ma.StringCast("/ip4/192.0.2.1/udp/4001/quic-v1"), ma.StringCast("/ip4/192.0.2.1/tcp/4001"), ma.StringCast("/ip6/2001:db8::1/udp/4001/quic-v1"),
	}}
	if i, err = i.seal(key); err != nil {
		t.Fatal(err)
	}
	if len(i.text) > MaxInvite || len(i.Addrs) < 2 {
		t.Errorf("%d characters, %d addresses", len(i.text), len(i.Addrs))
	}
	back, err := ParseInvite(i.text)
	if err != nil || back.Private == nil || *back.Private != to || back.Network != to.Name || len(back.Addrs) != len(i.Addrs) {
		t.Errorf("%+v, %v", back, err)
	}
	for _, text := range []string{"a\x00short", "A\x00" + string(to.Secret[:]), "\x00" + string(to.Secret[:]), "family\x00" + string(to.Secret[:]) + "x"} {
		if new(Invite).setPlace(text) {
			t.Errorf("%q is taken for a network", text)
		}
	}
	public := Invite{}
	if !public.setPlace("") || public.Network != "kith" || public.Private != nil || !public.setPlace("choir") || public.Network != "choir" {
		t.Errorf("%+v", public)
	}
}
