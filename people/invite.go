package people

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network"
	"kith/network/member"
)

const (
	// MaxInvite is the length in characters that an invite's link never exceeds: one that a terminal can show as a QR code.
	MaxInvite = 300

	inviteVersion = 1
	invitePrefix  = "kith invite\x00" // what a device signs begins so
	secretSize    = 16                // bytes
	ownerSize     = 16                // bytes of the commitment to a person
)

// An Invite is the link that one person hands to one other, once. What it carries of the inviting person is a commitment: the person's key is shown
// to who joins, and to nobody else who sees the link.
type Invite struct {
	Device  peer.ID // of who invites
	Secret  [secretSize]byte
	Owner   [ownerSize]byte // commits to the person's master key, under Secret
	Expires time.Time       // to the second
	Network string          // name of the network
	Private *member.Network // into which the invite leads too; nil: the network is public
	Addrs   []ma.Multiaddr  // of Device, without /p2p

	text string
}

// String returns the link.
func (i Invite) String() string { return i.text }

// owner returns the commitment to the person with the master key given.
func owner(secret [secretSize]byte, master ed25519.PublicKey) [ownerSize]byte {
	return [ownerSize]byte(keyed(secret, "kith person\x00", master))
}

// inviteID returns the name under which both sides know an invite; the secret does not follow from it.
func inviteID(secret [secretSize]byte) []byte { return keyed(secret, "kith invite id\x00")[:16] }

// proof shows that joiner has the invite's secret, and binds it to both ends of the stream and to the joiner's card.
func proof(secret [secretSize]byte, inviter, joiner peer.ID, card []byte) []byte {
	sum := sha256.Sum256(card)
	return keyed(secret, "kith join\x00", []byte{byte(len(inviter))}, []byte(inviter), []byte{byte(len(joiner))}, []byte(joiner), sum[:])
}

func keyed(secret [secretSize]byte, label string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// seal signs the invite with the device's key, and makes its link:
//
//	"kith:invite:" base64url( version (1) · device's Ed25519 key (32) · secret (16) · owner (16) · expiry, seconds since 1970 (4) ·
//	length (1) and name of the network, none for the default · {length (1) · multiaddr}… · Ed25519 signature (64) )
//
// One into a private network has a zero byte and the network's secret (16) behind its name, and then the number of its overlay (1) if that is not the usual one. As many of the addresses as fit are kept, in their order.
func (i Invite) seal(key crypto.PrivKey) (Invite, error) {
	var err error
	i.text, i.Addrs, err = i.write(key, kith.InviteScheme, invitePrefix, []byte{inviteVersion})
	return i, err
}

// write returns the text of what i says behind head, and the addresses that had room in it.
func (i Invite) write(key crypto.PrivKey, scheme, prefix string, head []byte) (text string, kept []ma.Multiaddr, err error) {
	raw, err := key.GetPublic().Raw()
	if err != nil {
		return "", nil, err
	}
	name := i.place()
	b := append(head, raw...)
	b = append(append(b, i.Secret[:]...), i.Owner[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(i.Expires.Unix()))
	b = append(append(b, byte(len(name))), name...)
	for _, a := range i.Addrs {
		raw := a.Bytes()
		if len(raw) > 255 || len(scheme)+base64.RawURLEncoding.EncodedLen(len(b)+1+len(raw)+ed25519.SignatureSize) > MaxInvite {
			continue
		}
		b = append(append(b, byte(len(raw))), raw...)
		kept = append(kept, a)
	}
	signature, err := key.Sign(append([]byte(prefix), b...))
	if err != nil {
		return "", nil, err
	}
	return scheme + base64.RawURLEncoding.EncodeToString(append(b, signature...)), kept, nil
}

// place returns which network the invite is for.
func (i Invite) place() string {
	switch {
	case i.Private != nil:
		return i.Private.Name + "\x00" + string(i.Private.Key())
	case i.Network == network.DefaultName:
		return ""
	}
	return i.Network
}

// setPlace reads what place wrote.
func (i *Invite) setPlace(text string) (ok bool) {
	name, secret, private := strings.Cut(text, "\x00")
	if i.Network = name; name == "" && !private {
		i.Network = network.DefaultName
	}
	if !private {
		return true
	}
	to, ok := member.WithKey(name, []byte(secret))
	i.Private = &to
	return ok
}

// ParseInvite reads an invite's link, and checks that the device it names made it. Its error is Invalid, and says what to do.
func ParseInvite(text string) (Invite, error) {
	i, err := parseInvite(strings.TrimSpace(text))
	if err != nil {
		return Invite{}, fmt.Errorf("people: parse invite: %w", err)
	}
	return i, nil
}

func parseInvite(text string) (Invite, error) {
	if hasScheme(text, kith.DeviceScheme) {
		return Invite{}, kith.Hint(fmt.Errorf("it is a link for another of one's own devices, and no invite: %w", kith.Invalid), "kith id link '%s'", text)
	}
	if !hasScheme(text, kith.InviteScheme) {
		return Invite{}, kith.Hint(fmt.Errorf("%.40q is no invite: %w", text, kith.Invalid), "an invite begins with %s; ask them for one; a link to something shared is fetched with: kith get", kith.InviteScheme)
	}
	damaged := kith.Hint(fmt.Errorf("the invite is damaged, or was changed on its way: %w", kith.Invalid),
		"copy the whole link, to its last character; if that does not help, ask for a new one")
	b, ok := unwrap(text, kith.InviteScheme)
	if !ok || len(b) == 0 {
		return Invite{}, damaged
	}
	if b[0] != inviteVersion && len(b) < 64 { // less than any has: no later version, but what is left of one
		return Invite{}, damaged
	}
	if b[0] != inviteVersion {
		return Invite{}, kith.Hint(fmt.Errorf("an invite of version %d, this program knows %d: %w", b[0], inviteVersion, kith.Invalid), "update kith")
	}
	i, ok := read(b, 1, invitePrefix)
	if !ok {
		return Invite{}, damaged
	}
	i.text = text
	return i, nil
}

func hasScheme(text, scheme string) bool {
	return strings.EqualFold(text[:min(len(text), len(scheme))], scheme)
}

// unwrap returns the bytes behind the scheme.
func unwrap(text, scheme string) (b []byte, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text[len(scheme):])
	return b, err == nil && len(text) <= MaxInvite
}

// read reads what write wrote behind a head of so many bytes, and verifies its signature.
func read(b []byte, head int, prefix string) (i Invite, ok bool) {
	if len(b) < head+ed25519.PublicKeySize+secretSize+ownerSize+4+1+ed25519.SignatureSize {
		return i, false
	}
	b, signature := b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	key, err := crypto.UnmarshalEd25519PublicKey(b[head : head+ed25519.PublicKeySize])
	if err != nil {
		return i, false
	}
	if ok, err := key.Verify(append([]byte(prefix), b...), signature); err != nil || !ok {
		return i, false
	}
	if i.Device, err = peer.IDFromPublicKey(key); err != nil {
		return i, false
	}
	b = b[head+ed25519.PublicKeySize:]
	b = b[copy(i.Secret[:], b):]
	b = b[copy(i.Owner[:], b):]
	i.Expires = time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC()
	name, b, ok := field(b[4:])
	if !ok || !i.setPlace(string(name)) {
		return i, false
	}
	for len(b) > 0 {
		var raw []byte
		if raw, b, ok = field(b); !ok {
			return i, false
		}
		a, err := ma.NewMultiaddrBytes(raw)
		if err != nil {
			return i, false
		}
		i.Addrs = append(i.Addrs, a)
	}
	return i, true
}

// field cuts off b what begins with its length in one byte.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	return b[1 : 1+b[0]], b[1+int(b[0]):], true
}
