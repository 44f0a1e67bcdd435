package people

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

const (
	deviceLinkVersion = 1
	deviceLinkPrefix  = "kith device link\x00" // what a device signs begins so
	maxLinkName       = 32                     // bytes of a device's name in a link
)

// A DeviceLink is what one device shows and another of the same person takes, once, within minutes. It goes either way: from the device that is to
// certify, or from the one that is to be certified.
type DeviceLink struct {
	Invite        // of who shows it; Owner is zero if New
	New    bool   // who shows it is the new device, and who takes it certifies it
	Name   string // of the device that shows it
}

// seal signs the link with the device's key, and makes its text: as that of an Invite, but behind "kith:device:", and with version (1) · 1 if New, else 0 (1) ·
// length (1) and name of the device at the beginning.
func (l DeviceLink) seal(key crypto.PrivKey) (DeviceLink, error) {
	l.Name = cut(l.Name, maxLinkName)
	head := []byte{deviceLinkVersion, 0, byte(len(l.Name))}
	if l.New {
		head[1] = 1
	}
	var err error
	l.text, l.Addrs, err = l.write(key, kith.DeviceScheme, deviceLinkPrefix, append(head, l.Name...))
	return l, err
}

// cut returns s cut to max bytes between characters.
func cut(s string, max int) string {
	for len(s) > max {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "")
}

// ParseDeviceLink reads a link, and checks that the device which it names made it. Its error is Invalid, and says what to do.
func ParseDeviceLink(text string) (DeviceLink, error) {
	l, err := parseDeviceLink(strings.TrimSpace(text))
	if err != nil {
		return DeviceLink{}, fmt.Errorf("people: parse link between devices: %w", err)
	}
	return l, nil
}

func parseDeviceLink(text string) (DeviceLink, error) {
	if hasScheme(text, kith.InviteScheme) {
		return DeviceLink{}, kith.Hint(fmt.Errorf("it is an invite to become somebody's contact: %w", kith.Invalid), "kith join '%s'", text)
	}
	if !hasScheme(text, kith.DeviceScheme) {
		return DeviceLink{}, kith.Hint(fmt.Errorf("%.40q is no link between devices: %w", text, kith.Invalid),
			"such a link begins with %s; your other device makes one with: kith id link", kith.DeviceScheme)
	}
	damaged := kith.Hint(fmt.Errorf("the link is damaged, or was changed on its way: %w", kith.Invalid),
		"copy the whole link, to its last character; if that does not help, make a new one: kith id link")
	b, ok := unwrap(text, kith.DeviceScheme)
	if !ok || len(b) < 3 {
		return DeviceLink{}, damaged
	}
	if b[0] != deviceLinkVersion {
		return DeviceLink{}, kith.Hint(fmt.Errorf("a link of version %d, this program knows %d: %w", b[0], deviceLinkVersion, kith.Invalid), "update kith")
	}
	name, _, ok := field(b[2:])
	if !ok || len(name) > maxLinkName || b[1] > 1 {
		return DeviceLink{}, damaged
	}
	l := DeviceLink{New: b[1] == 1}
	if l.Invite, ok = read(b, 3+len(name), deviceLinkPrefix); !ok {
		return DeviceLink{}, damaged
	}
	if l.Name, _ = checkName(string(name)); l.Name == "" {
		return DeviceLink{}, damaged
	}
	l.text = text
	return l, nil
}

// newDeviceLink makes a link of this device's that holds for life.
func (p *People) newDeviceLink(isNew bool, life time.Duration) (DeviceLink, error) {
	l := DeviceLink{New: isNew, Name: p.o.Me.Device()}
	l.Device, l.Expires, l.Network, l.Addrs = p.o.Me.PeerID(), p.now().Add(life).Truncate(time.Second), p.o.Net.Name(), p.addrs()
	if _, err := rand.Read(l.Secret[:]); err != nil {
		return l, fmt.Errorf("people: link: %w", err)
	}
	if !isNew {
		l.Owner = owner(l.Secret, p.o.Me.Certificate().Master)
	}
	l, err := l.seal(p.o.Me.Key())
	if err != nil {
		return l, fmt.Errorf("people: link: %w", err)
	}
	return l, nil
}

// deviceLinkID returns the name under which both sides know a link; the secret does not follow from it.
func deviceLinkID(secret [secretSize]byte) []byte {
	return keyed(secret, "kith device link id\x00")[:16]
}

// deviceProof shows that asker has the link's secret, and binds it to both ends of the stream and to what is asked with it.
func deviceProof(secret [secretSize]byte, asked, asker peer.ID, content []byte) []byte {
	return keyed(secret, "kith device\x00", []byte{byte(len(asked))}, []byte(asked), []byte{byte(len(asker))}, []byte(asker), content)
}
