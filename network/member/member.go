// Package member is the door of a private network: who knows its secret, and stands on its list if there is one, comes in; whoever else
// knocks is not spoken to.
//
// It is not a way to hide that a node is there, nor to keep secrets from members. Its one idea: the proof of membership is part of the TLS certificate with
// which a node proves its peer id anyway. So it costs no round trip, holds nobody's place while it is awaited, cannot be used by anybody but the holder of that
// peer id's key, and has been given before the first byte of any protocol, identify's own list of protocols included.
package member

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kith"
)

const (
	// SecretSize is the length of a network's secret, in bytes. It is made by the program: what people think up can be guessed.
	SecretSize = 16
	// MaxName is the length of a network's name, in bytes.
	MaxName = 32

	linkVersion    = 1
	overlayVersion = 2 // of a link that names the overlay
	sumSize        = 4 // bytes of a link that tell a slip of the pen
)

// overlays are those that a network may run, by their number in a link. The first is the usual one, which links do not name.
var overlays = []string{"", "chord", "pastry", "kademlia"}

// A Secret is what the members of a network have in common, and nobody else has. It is never printed but in links.
type Secret [SecretSize]byte

// String implements fmt.Stringer, for logs.
func (Secret) String() string { return "(secret)" }

// Format implements fmt.Formatter: no verb shows it.
func (s Secret) Format(f fmt.State, _ rune) { f.Write([]byte(s.String())) }

// A Network is a private one: its name, which is for people, its secret, and the overlay that its members agree on.
type Network struct {
	Name    string
	Secret  Secret
	Overlay string // "" is the usual one, kad-dht
}

// New makes a private network; overlay is "" for the usual one. Its error is Invalid.
func New(name, overlay string) (Network, error) {
	n := Network{Name: name, Overlay: overlay}
	if err := CheckName(name); err != nil {
		return Network{}, err
	}
	if !slices.Contains(overlays, overlay) {
		return Network{}, fmt.Errorf("member: a network with the overlay %.40q: %w", overlay, kith.Invalid)
	}
	if _, err := rand.Read(n.Secret[:]); err != nil {
		return Network{}, fmt.Errorf("member: new: %w", err)
	}
	return n, nil
}

// CheckName says whether a network, private or not, can be called so.
func CheckName(name string) error {
	bad := len(name) == 0 || len(name) > MaxName
	for _, c := range name {
		bad = bad || !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if bad {
		return fmt.Errorf("network: name %.40q: want a-z, 0-9 and -, at most %d: %w", name, MaxName, kith.Invalid)
	}
	return nil
}

// Link returns what makes somebody a member. It has at most 87 characters:
//
//	"kith:network:" base64url( version (1) · secret (16) · name (1 to 32) · first bytes of the SHA-256 of all before (4) )
//
// That of a network with another overlay than the usual one is of version 2, and has the number of the overlay (1) behind the version.
func (n Network) Link() string {
	b := []byte{linkVersion}
	if n.Overlay != "" {
		b = []byte{overlayVersion, n.number()}
	}
	b = append(b, n.Secret[:]...)
	b = append(b, n.Name...)
	return kith.NetworkScheme + base64.RawURLEncoding.EncodeToString(append(b, sum(b)...))
}

func (n Network) number() byte { return byte(slices.Index(overlays, n.Overlay)) }

// Key returns what, beside the name, makes somebody a member: the secret, and behind it the number of the overlay if it is not the usual one.
func (n Network) Key() []byte {
	if n.Overlay == "" {
		return n.Secret[:]
	}
	return append(n.Secret[:], n.number())
}

// WithKey returns the network of a name and a key.
func WithKey(name string, key []byte) (n Network, ok bool) {
	if CheckName(name) != nil || len(key) != SecretSize && len(key) != SecretSize+1 {
		return n, false
	}
	n = Network{Name: name, Secret: Secret(key[:SecretSize])}
	if len(key) > SecretSize {
		i := int(key[SecretSize])
		if i < 1 || i >= len(overlays) {
			return Network{}, false
		}
		n.Overlay = overlays[i]
	}
	return n, true
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:sumSize]
}

// IsLink reports whether text is meant to be the link of a private network.
func IsLink(text string) bool {
	text = strings.TrimSpace(text)
	return strings.EqualFold(text[:min(len(text), len(kith.NetworkScheme))], kith.NetworkScheme)
}

// Parse reads a link. Its error is Invalid, says what to do, and shows nothing of the link.
func Parse(link string) (Network, error) {
	n, err := parse(strings.TrimSpace(link))
	if err != nil {
		return Network{}, fmt.Errorf("member: parse link: %w", err)
	}
	return n, nil
}

func parse(link string) (Network, error) {
	if !IsLink(link) {
		return Network{}, kith.Hint(fmt.Errorf("that is no link of a private network: %w", kith.Invalid),
			"it begins with %s and is made by: kith network new NAME; a secret of one's own making is not taken, for it can be guessed", kith.NetworkScheme)
	}
	damaged := kith.Hint(fmt.Errorf("the link is damaged: %w", kith.Invalid), "copy the whole of it, to its last character")
	b, err := base64.RawURLEncoding.DecodeString(link[len(kith.NetworkScheme):])
	switch {
	case err != nil || len(b) < 1+SecretSize+1+sumSize || len(b) > 2+SecretSize+MaxName+sumSize:
		return Network{}, damaged
	case b[0] != linkVersion && b[0] != overlayVersion:
		return Network{}, kith.Hint(fmt.Errorf("a link of version %d, this program knows %d: %w", b[0], overlayVersion, kith.Invalid), "update kith")
	}
	b, check := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if string(check) != string(sum(b)) {
		return Network{}, damaged
	}
	body := b[1:]
	if b[0] == overlayVersion {
		if body = b[2:]; int(b[1]) >= len(overlays) {
			return Network{}, kith.Hint(fmt.Errorf("a link to a network with an overlay that this program does not know: %w", kith.Invalid), "update kith")
		}
	}
	if len(body) < SecretSize {
		return Network{}, damaged
	}
	key := slices.Clone(body[:SecretSize])
	if b[0] == overlayVersion {
		key = append(key, b[1])
	}
	n, ok := WithKey(string(body[SecretSize:]), key)
	if !ok {
		return Network{}, damaged
	}
	return n, nil
}

// derive returns size bytes that stand for the network in one place, and tell nothing of its name, its secret or of what stands for it elsewhere (HKDF
// with SHA-256, RFC 5869).
func (n Network) derive(what string, size int) []byte {
	b, err := hkdf.Key(sha256.New, n.Secret[:], []byte("kith private network 1"), what+"\x00"+n.Name, size)
	if err != nil {
		panic(err) // the size is a constant far below the limit
	}
	return b
}

// Label returns what stands for the network in the names of protocols, and, hashed once more, in those of services on the local network.
func (n Network) Label() string { return "p-" + hex.EncodeToString(n.derive("label", 16)) }

// Mark returns eight digits by which two members can tell, looking at both screens, whether they are in the same network.
func (n Network) Mark() string {
	m := hex.EncodeToString(n.derive("mark", 4))
	return m[:4] + "-" + m[4:]
}

// Why a peer was not let in.
var (
	ErrNoProof  = errors.New("it is in no private network")
	ErrSecret   = errors.New("it is in another private network, or has another secret")
	ErrUnlisted = errors.New("it is not on this node's list of members")
	ErrRevoked  = errors.New("its person has revoked this device")
)
