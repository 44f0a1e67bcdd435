package identity

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// maxRevoked is how many revocations of one person are remembered: more than a list has room for, since lists that did not know of each other add up.
const maxRevoked = 256

// A Roster is what is known of one person's devices, from all certificates and lists that were seen, in whatever order they came: for each device when it was
// last certified, and when it was last revoked. What is known only grows, so that nothing old which somebody shows again takes anything back: a device that
// is revoked stays so until the master key certifies it anew.
type Roster struct {
	Master ed25519.PublicKey
	Newest List // the one with the greatest serial, which is shown to others; zero: none

	listed  map[peer.ID]Listed  // none that is revoked
	revoked map[Short]time.Time // the last time of each
}

// NewRoster returns a roster that knows nothing.
func NewRoster(master ed25519.PublicKey) *Roster {
	return &Roster{Master: master, listed: map[peer.ID]Listed{}, revoked: map[Short]time.Time{}}
}

// Take takes in a list, however old. It is Denied if the list is another person's.
func (r *Roster) Take(l List) error {
	if !l.Master.Equal(r.Master) {
		return fmt.Errorf("identity: the list of devices is another person's: %w", kith.Denied)
	}
	for _, x := range l.Revoked {
		r.Revoke(x)
	}
	for _, d := range l.Devices {
		r.List(d)
	}
	if l.newer(r.Newest) {
		r.Newest = l
	}
	return nil
}

// Certify takes in a certificate. It is Denied if it is by another person, or for a device that was revoked since.
func (r *Roster) Certify(c Certificate) error {
	if !c.Master.Equal(r.Master) {
		return fmt.Errorf("identity: the certificate is another person's: %w", kith.Denied)
	}
	if at, ok := r.revoked[ShortOf(c.Device)]; ok && !c.Issued.After(at) {
		return fmt.Errorf("identity: %s was revoked on %s: %w", c.Device, at.Format(time.DateOnly), kith.Denied)
	}
	r.List(Listed{c.Device, c.Name, c.Issued})
	return nil
}

// List takes in that a device was certified, unless it was revoked since, or there are MaxDevices already.
func (r *Roster) List(d Listed) {
	at, gone := r.revoked[ShortOf(d.Device)]
	had, known := r.listed[d.Device]
	switch {
	case gone && !d.Issued.After(at):
	case known && cmp.Or(d.Issued.Compare(had.Issued), cmp.Compare(d.Name, had.Name)) <= 0:
	case !known && len(r.listed) >= MaxDevices:
	default:
		r.listed[d.Device] = d
	}
}

// Revoke takes in that a device was revoked, unless that is known.
func (r *Roster) Revoke(x Revocation) {
	had, known := r.revoked[x.Device]
	if known && !x.At.After(had) || !known && len(r.revoked) >= maxRevoked {
		return
	}
	r.revoked[x.Device] = x.At
	maps.DeleteFunc(r.listed, func(id peer.ID, d Listed) bool { return ShortOf(id) == x.Device && !d.Issued.After(x.At) })
}

// Revoked returns when a device was revoked; ok is false if it was not, or has been certified since.
func (r *Roster) Revoked(id peer.ID) (at time.Time, ok bool) {
	if _, listed := r.listed[id]; listed {
		return time.Time{}, false
	}
	at, ok = r.revoked[ShortOf(id)]
	return at, ok
}

// Devices returns those that act for the person, in the order of their peer ids.
func (r *Roster) Devices() []Listed {
	return slices.SortedFunc(maps.Values(r.listed), func(a, b Listed) int { return cmp.Compare(a.Device, b.Device) })
}

// Revocations returns all that are known, of devices that were certified since too.
func (r *Roster) Revocations() []Revocation {
	var out []Revocation
	for d, at := range r.revoked {
		out = append(out, Revocation{d, at})
	}
	slices.SortFunc(out, func(a, b Revocation) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	return out
}

// Behind reports whether the newest list does not say all that is known: a new one is to be signed when the master key is at hand.
func (r *Roster) Behind() bool {
	if r.Newest.IsZero() {
		return len(r.listed) > 1 || len(r.revoked) > 0
	}
	shown := NewRoster(r.Master)
	shown.Take(r.Newest)
	return !maps.Equal(shown.listed, r.listed) || !maps.Equal(shown.effective(), r.effective())
}

// effective returns the revocations that are not overtaken by a certificate.
func (r *Roster) effective() map[Short]time.Time {
	out := maps.Clone(r.revoked)
	for id := range r.listed {
		delete(out, ShortOf(id))
	}
	return out
}
