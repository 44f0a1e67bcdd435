package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// A Master is a person's master key while it is used. It is for deciding which devices are theirs, and for nothing that happens daily.
type Master struct{ key ed25519.PrivateKey }

// Unlock returns the master key: from this disk, or from the recovery phrase that somebody typed (words), or that is kept here under a passphrase. Its errors
// are Denied, with what to type, and Invalid.
func (i *Identity) Unlock(words []string, passphrase string) (Master, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m, err := i.unlock(words, passphrase)
	if err != nil {
		return Master{}, fmt.Errorf("identity: the master key: %w", err)
	}
	return m, nil
}

func (i *Identity) unlock(words []string, passphrase string) (Master, error) {
	typed := len(words) > 0
	var err error
	switch where := i.state.master(); {
	case typed:
		words, err = readPhrase(words)
	case where == Away:
		err = kith.Hint(fmt.Errorf("it is not on this device: %w", kith.Denied), "do this on the device that holds it; or type your recovery phrase here: the same command with --phrase")
	case where == Locked && passphrase == "":
		err = kith.Hint(fmt.Errorf("it is under a passphrase: %w", kith.Denied), "the same command with --unlock asks for the passphrase")
	default:
		words, err = i.phrase(passphrase)
	}
	if err != nil {
		return Master{}, err
	}
	m := Master{masterKey(words)}
	if !i.state.cert.Master.Equal(m.key.Public()) {
		return Master{}, kith.Hint(fmt.Errorf("this is another person's recovery phrase: %w", kith.Denied), "to make this device theirs: kith id restore --replace")
	}
	return m, nil
}

// Secret returns 32 bytes that follow from the master key for one purpose.
func (m Master) Secret(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, m.key.Seed(), nil, "kith person secret\x00"+purpose, 32)
	if err != nil {
		panic(err) // the length is a constant that HKDF can give
	}
	return out
}

// Admit certifies a device under a name, also one that was revoked, and has the roster's next list say so.
func (m Master) Admit(r *Roster, device peer.ID, name string, now time.Time) (Certificate, error) {
	fail := func(err error) (Certificate, error) {
		return Certificate{}, fmt.Errorf("identity: certify a device: %w", err)
	}
	if name = cleanName(name, maxDeviceName); name == "" {
		return fail(fmt.Errorf("it needs a name: %w", kith.Invalid))
	}
	if _, known := r.listed[device]; !known && len(r.listed) >= MaxDevices {
		return fail(kith.Hint(fmt.Errorf("you have %d devices already: %w", MaxDevices, kith.TooLarge), "revoke one that you no longer use: kith id revoke NAME"))
	}
	issued := now.Truncate(time.Second)
	for _, before := range []time.Time{r.listed[device].Issued, r.revoked[ShortOf(device)]} {
		if !issued.After(before) { // its name may change twice a second, and clocks differ
			issued = before.Add(time.Second)
		}
	}
	cert, err := sign(m.key, device, name, issued)
	if err != nil {
		return fail(err)
	}
	next := r.clone()
	next.List(Listed{device, name, issued})
	if err := m.publish(next, now); err != nil {
		return fail(err)
	}
	*r = *next
	return cert, nil
}

// Revoke has the roster's next list say that a device no longer acts for the person.
func (m Master) Revoke(r *Roster, device peer.ID, now time.Time) error {
	at := now.Truncate(time.Second)
	if issued := r.listed[device].Issued; at.Before(issued) {
		at = issued
	}
	next := r.clone()
	next.Revoke(Revocation{ShortOf(device), at})
	if err := m.publish(next, now); err != nil {
		return fmt.Errorf("identity: revoke a device: %w", err)
	}
	*r = *next
	return nil
}

// Renew signs a list of all that the roster knows, for when lists that did not know of each other have met.
func (m Master) Renew(r *Roster, now time.Time) error { return m.publish(r, now) }

// publish signs the roster's next list.
func (m Master) publish(r *Roster, now time.Time) error {
	if !r.Master.Equal(m.key.Public()) {
		return fmt.Errorf("the devices are another person's: %w", kith.Denied)
	}
	serial := max(r.Newest.Serial+SerialStep, uint64(now.UnixMilli()))
	var revoked []Revocation
	for d, at := range r.effective() {
		revoked = append(revoked, Revocation{d, at})
	}
	l, err := signList(m.key, serial, r.Devices(), revoked)
	if err != nil {
		return err
	}
	return r.Take(l)
}

func (r *Roster) clone() *Roster {
	next := NewRoster(slices.Clone(r.Master))
	next.Newest = r.Newest
	for id, d := range r.listed {
		next.listed[id] = d
	}
	for d, at := range r.revoked {
		next.revoked[d] = at
	}
	return next
}

// Adopt makes this device act for the person who certified it, with their profile. The person who was here before is given up: the caller has asked. For the
// same person only the certificate is another.
func (i *Identity) Adopt(c Certificate, p Profile) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.adopt(c, p); err != nil {
		return fmt.Errorf("identity: act for another person: %w", err)
	}
	return nil
}

func (i *Identity) adopt(c Certificate, p Profile) error {
	if c.Device != i.id {
		return fmt.Errorf("the certificate is for another device: %w", kith.Corrupt)
	}
	s := state{cert: c, profile: p}
	if c.Master.Equal(i.state.cert.Master) {
		s = i.state
		s.cert = c
	} else if err := p.Check(); err != nil {
		return err
	}
	return i.save(s)
}
