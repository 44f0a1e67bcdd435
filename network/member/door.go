package member

import (
	"bytes"
	"cmp"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multibase"
	"golang.org/x/crypto/chacha20poly1305"

	"kith"
	"kith/identity"
	"kith/internal/secure"
	"kith/wire"
)

const (
	maxSeen    = 1024 // members who came in, of whom it is remembered who they are
	maxRefused = 16   // peers that were not let in, of whom it is remembered why
	maxListed  = 1024 // members on a list
	maxProof   = 1024 // bytes of a proof

	proofPrefix  = "kith member 1\x00"        // what a proof is sealed with, before the peer id
	devicePrefix = "kith member device 1\x00" // what a device signs for another key of its own, before that key's peer id
)

// A Door lets members in. Its methods may be called at once.
type Door struct {
	network Network
	aead    cipher.AEAD
	cert    identity.Certificate
	key     crypto.PrivKey

	mu      sync.Mutex
	list    map[string]bool // persons and peer ids; nil: whoever has the secret
	lost    func(identity.Certificate) bool
	seen    map[peer.ID]seen
	refused map[peer.ID]Refusal
}

type seen struct {
	person string
	at     time.Time
}

// A Refusal is a peer that was not let in. Its id is proven.
type Refusal struct {
	Peer  peer.ID
	Why   error // ErrNoProof, ErrSecret, ErrUnlisted or ErrRevoked
	Last  time.Time
	Times int
}

// NewDoor makes the door of a network. cert says whose device this is, and key is the device's.
func NewDoor(n Network, cert identity.Certificate, key crypto.PrivKey) (*Door, error) {
	aead, err := chacha20poly1305.NewX(n.derive("proof", chacha20poly1305.KeySize))
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	return &Door{network: n, aead: aead, cert: cert, key: key, seen: map[peer.ID]seen{}, refused: map[peer.ID]Refusal{}}, nil
}

// Network returns whose door it is.
func (d *Door) Network() Network { return d.network }

// A claim is what a proof says, under the network's key: of whom the device is.
type claim struct {
	Certificate []byte `cbor:"1,keyasint"`
	Signature   []byte `cbor:"2,keyasint,omitempty"` // by the certified device, if the peer id is not the device's but of a key that it uses for a while
}

// prove makes the proof of the peer id whose key is given: a nonce (24 bytes), then the claim in XChaCha20-Poly1305, bound to the peer id.
func (d *Door) prove(key crypto.PrivKey) ([]byte, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	c := claim{Certificate: d.cert.Bytes()}
	if id != d.cert.Device {
		if c.Signature, err = d.key.Sign([]byte(devicePrefix + id)); err != nil {
			return nil, err
		}
	}
	plain, err := wire.Marshal(c)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return d.aead.Seal(nonce, nonce, plain, []byte(proofPrefix+id)), nil
}

// open reads the proof of a peer id, and returns the certificate of the device whose it is.
func (d *Door) open(proof []byte, id peer.ID) (identity.Certificate, error) {
	switch {
	case len(proof) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead:
		return identity.Certificate{}, ErrNoProof // a subject key identifier of somebody else's
	case len(proof) > maxProof:
		return identity.Certificate{}, ErrNoProof
	}
	nonce, sealed := proof[:chacha20poly1305.NonceSizeX], proof[chacha20poly1305.NonceSizeX:]
	plain, err := d.aead.Open(nil, nonce, sealed, []byte(proofPrefix+id))
	if err != nil {
		return identity.Certificate{}, ErrSecret
	}
	var c claim
	if err := wire.Unmarshal(plain, &c); err != nil {
		return identity.Certificate{}, ErrSecret
	}
	cert, err := identity.ParseCertificate(c.Certificate)
	if err != nil {
		return identity.Certificate{}, ErrSecret
	}
	if cert.Device != id {
		key, err := cert.Device.ExtractPublicKey()
		if err != nil {
			return identity.Certificate{}, ErrSecret
		}
		if ok, err := key.Verify([]byte(devicePrefix+id), c.Signature); err != nil || !ok {
			return identity.Certificate{}, ErrSecret
		}
	}
	return cert, nil
}

// Identity returns what makes libp2p's certificates carry the proof of the peer id whose key is given. base makes the certificates what they are otherwise;
// it must set a template.
func (d *Door) Identity(key crypto.PrivKey, base libp2ptls.IdentityOption) (libp2ptls.IdentityOption, error) {
	proof, err := d.prove(key)
	if err != nil {
		return nil, fmt.Errorf("member: prove: %w", err)
	}
	return func(c *libp2ptls.IdentityConfig) {
		base(c)
		c.CertTemplate.SubjectKeyId = proof // RFC 5280, 4.2.1.2: bytes that say whose key it is, and mean nothing to others
	}, nil
}

// Patience is how long somebody may take from the first byte of a connection to the end of the handshake, which holds the proof.
const Patience = 5 * time.Second

// Security returns what constructs libp2p's TLS transport with a door in it, for connections over TCP, WebSocket and relays. base is as for Identity.
func (d *Door) Security(base libp2ptls.IdentityOption) func(protocol.ID, crypto.PrivKey, []upgrader.StreamMuxer) (sec.SecureTransport, error) {
	return func(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (sec.SecureTransport, error) {
		option, err := d.Identity(key, base)
		if err != nil {
			return nil, err
		}
		return secure.New(option, d.Guard, Patience)(id, key, muxers)
	}
}

// Guard is a secure.Guard: it refuses whoever is not a member. A client shows a stranger no certificate of its own.
func (d *Door) Guard(conf *tls.Config, keys <-chan crypto.PubKey) <-chan crypto.PubKey {
	let := make(chan crypto.PubKey, 1)
	verify := conf.VerifyPeerCertificate
	conf.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		defer close(let)
		if err := verify(raw, chains); err != nil {
			return err
		}
		cert, err := x509.ParseCertificate(raw[0])
		if err != nil {
			return err
		}
		key, ok := <-keys
		if !ok {
			return errors.New("member: the certificate proves no key")
		}
		if err := d.admit(cert.SubjectKeyId, key); err != nil {
			return err
		}
		let <- key
		return nil
	}
	return let
}

// Check says whether the certificates with which somebody has proven their peer id are a member's. Its error is one of those that a Refusal has.
func (d *Door) Check(certs []*x509.Certificate) error {
	key, err := libp2ptls.PubKeyFromCertChain(certs)
	if err != nil {
		return err
	}
	return d.admit(certs[0].SubjectKeyId, key)
}

// admit lets somebody in who holds a key, or says why not.
func (d *Door) admit(proof []byte, key crypto.PubKey) error {
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return err
	}
	cert, err := d.open(proof, id)
	person := cert.Person()
	d.mu.Lock()
	lost := d.lost
	d.mu.Unlock()
	if err == nil && lost != nil && lost(cert) {
		err = ErrRevoked
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && !d.listed(id, person) {
		err = ErrUnlisted
	}
	if err != nil {
		d.refuse(id, err)
		return err
	}
	d.see(id, person)
	return nil
}

// see remembers who came in. d.mu is held.
func (d *Door) see(id peer.ID, person string) {
	if _, again := d.seen[id]; !again && len(d.seen) >= maxSeen {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(d.seen)), func(a, b peer.ID) int { return d.seen[a].at.Compare(d.seen[b].at) })
		delete(d.seen, oldest)
	}
	d.seen[id] = seen{person, time.Now()}
	delete(d.refused, id)
}

// refuse remembers who did not come in. d.mu is held.
func (d *Door) refuse(id peer.ID, why error) {
	r, again := d.refused[id]
	if !again && len(d.refused) >= maxRefused {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(d.refused)), func(a, b peer.ID) int { return d.refused[a].Last.Compare(d.refused[b].Last) })
		delete(d.refused, oldest)
	}
	d.refused[id] = Refusal{id, why, time.Now(), r.Times + 1}
}

// Refused returns who was not let in, the last first: at most maxRefused.
func (d *Door) Refused() []Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Values(d.refused), func(a, b Refusal) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Peer, b.Peer))
	})
}

// Why returns why a peer was not let in since a point in time; nil: it was not refused.
func (d *Door) Why(id peer.ID, since time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.refused[id]; ok && !r.Last.Before(since) {
		return r.Why
	}
	return nil
}

// Person returns whose device a peer is that came in, as Certificate.Person does; "" if that is not known.
func (d *Door) Person(id peer.ID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[id].person
}

// Member reports whether a peer has given its proof, and is on the list if there is one.
func (d *Door) Member(id peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.seen[id]
	return ok && d.listed(id, s.person)
}

// listed reports whether the list, if there is one, has a peer or its person. This person's own devices need not be on it. d.mu is held.
func (d *Door) listed(id peer.ID, person string) bool {
	return d.list == nil || d.list[person] || d.list[id.String()] || person == d.cert.Person()
}

// SetMembers makes members the list: persons as Certificate.Person names them, and peer ids. An empty one lets in whoever has the secret. Who is connected and no longer
// on it is for the caller to disconnect.
func (d *Door) SetMembers(members []string) error {
	if err := CheckMembers(members); err != nil {
		return err
	}
	var list map[string]bool
	for _, m := range members {
		if list == nil {
			list = map[string]bool{}
		}
		list[m] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = list
	return nil
}

// SetLost tells how to know a device that its person has revoked; it is not let in. lost may be called at once.
func (d *Door) SetLost(lost func(identity.Certificate) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost = lost
}

// CheckMembers says whether members can be a list.
func CheckMembers(members []string) error {
	if len(members) > maxListed {
		return fmt.Errorf("member: a list of %d members, at most %d: %w", len(members), maxListed, kith.TooLarge)
	}
	for _, m := range members {
		if !isPerson(m) {
			if _, err := peer.Decode(m); err != nil {
				err := fmt.Errorf("member: %.80q is neither a person nor a device: %w", m, kith.Invalid)
				return kith.Hint(err, "a person is written did:key:z6Mk…, a device 12D3Koo…: kith id shows both on their computer")
			}
		}
	}
	return nil
}

// isPerson reports whether text names a person as Certificate.Person does.
func isPerson(text string) bool {
	const scheme, ed25519Pub = "did:key:", "\xed\x01"
	if !strings.HasPrefix(text, scheme) {
		return false
	}
	_, key, err := multibase.Decode(text[len(scheme):])
	return err == nil && text == identity.Certificate{Master: bytes.TrimPrefix(key, []byte(ed25519Pub))}.Person()
}

// errors that mean: not a member.
var refusals = []error{ErrNoProof, ErrSecret, ErrUnlisted, ErrRevoked}

// IsRefusal reports whether err says that somebody is not a member.
func IsRefusal(err error) bool {
	return slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}
