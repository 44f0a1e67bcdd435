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
	"strings"

	"kith"
)

const (
	// SecretSize is the length of a network's secret, in bytes. It is made by the program: what people think up can be guessed.
	SecretSize = 16
	// MaxName is the length of a network's name, in bytes.
	MaxName = 32

	linkVersion = 1
	sumSize     = 4 // bytes of a link that tell a slip of the pen
)

// A Secret is what the members of a network have in common, and nobody else has. It is never printed but in links.
type Secret [SecretSize]byte

// String implements fmt.Stringer, for logs.
func (Secret) String() string { return "(secret)" }

// Format implements fmt.Formatter: no verb shows it.
func (s Secret) Format(f fmt.State, _ rune) { f.Write([]byte(s.String())) }

// A Network is a private one: its name, which is for people, and its secret.
type Network struct {
	Name   string
	Secret Secret
}

// New makes a private network. Its error is Invalid.
func New(name string) (Network, error) {
	n := Network{Name: name}
	if err := CheckName(name); err != nil {
		return Network{}, err
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

// Link returns what makes somebody a member. It has at most 85 characters:
//
//	"kith:network:" base64url( version (1) · secret (16) · name (1 to 32) · first bytes of the SHA-256 of all before (4) )
func (n Network) Link() string {
	b := append([]byte{linkVersion}, n.Secret[:]...)
	b = append(b, n.Name...)
	return kith.NetworkScheme + base64.RawURLEncoding.EncodeToString(append(b, sum(b)...))
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
	case err != nil || len(b) < 1+SecretSize+1+sumSize || len(b) > 1+SecretSize+MaxName+sumSize:
		return Network{}, damaged
	case b[0] != linkVersion:
		return Network{}, kith.Hint(fmt.Errorf("a link of version %d, this program knows %d: %w", b[0], linkVersion, kith.Invalid), "update kith")
	}
	b, check := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if string(check) != string(sum(b)) {
		return Network{}, damaged
	}
	n := Network{Name: string(b[1+SecretSize:]), Secret: Secret(b[1:])}
	if CheckName(n.Name) != nil {
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
