// Package identity holds a person, and this device that acts for them.
//
// A person is a master key, which one recovery phrase restores. A device has a random key of its own, made on it and never derived;
// its public half is the device's peer id, and a certificate signed by the master key says whose device it is. The package's one idea:
// everything that can change stands in one small file, replaced whole, so that no crash leaves a person half confirmed or half restored.
//
// It tells nobody anything. A peer id alone leads to no person: who gets the certificate is for the caller to decide, and strangers never
// do. It is no place for contacts, nor for what a person publishes.
package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/atomicfile"
)

// Names of the files.
const (
	deviceFile = "device.key"  // private key of the device, as libp2p writes keys
	personFile = "person.json" // all else
)

const maxFile = 2 << 20 // bytes of a file that is read

// Where the master key can be.
const (
	Here   = "here"   // on this disk, since nobody has confirmed the phrase
	Locked = "locked" // on this disk, under a passphrase
	Away   = "away"   // only in the recovery phrase
)

// Identity is this device's key and what it knows of its person. Its methods may be called at once.
type Identity struct {
	dir    string
	key    crypto.PrivKey
	id     peer.ID
	device string
	notes  []string

	mu    sync.Mutex
	state state
}

// Open reads the identity in the folder dir, and makes one if there is none: a new person, and a new key for this device. Nobody else
// may have it open. A file that is damaged gives a Corrupt error with what to do, and is left as it is.
func Open(dir string) (*Identity, error) {
	i, err := open(dir)
	if err != nil {
		return nil, failed(dir, err)
	}
	return i, nil
}

// failed returns err, of opening dir, with its kind.
func failed(dir string, err error) error {
	err = fmt.Errorf("identity: open %s: %w", dir, err)
	if errors.Is(err, fs.ErrPermission) && kith.HintOf(err) == "" {
		return kith.Hint(fmt.Errorf("%w: %w", err, kith.Denied), "start kith as the user who owns %s, or choose another data directory with --dir", dir)
	}
	return err
}

func open(dir string) (*Identity, error) {
	i := &Identity{dir: dir, device: deviceName()}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Sweep(i.dir); err != nil { // a killed writer may have left a phrase behind
		return nil, err
	}
	if err := i.closeToOthers(); err != nil {
		return nil, err
	}
	fresh, err := i.openDevice()
	if err != nil {
		return nil, err
	}
	reached("device key written")
	if err := i.openPerson(fresh); err != nil {
		return nil, err
	}
	i.noteClock(time.Now())
	return i, nil
}

// closeToOthers takes away what permissions others have on the folder and its files.
func (i *Identity) closeToOthers() error {
	if runtime.GOOS == "windows" { // there the profile folder's own access list counts
		return nil
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, deviceFile: 0o600, personFile: 0o600} {
		path := filepath.Join(i.dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.Mode().Perm()&^want == 0:
			continue
		}
		if err := os.Chmod(path, want); err != nil {
			i.note("%s can be read by others on this computer, and that cannot be changed: %v", path, err)
			continue
		}
		i.note("%s could be read by others on this computer (mode %04o); now it cannot", path, info.Mode().Perm())
	}
	return nil
}

// openDevice reads the device's key, or makes one.
func (i *Identity) openDevice() (fresh bool, err error) {
	path := filepath.Join(i.dir, deviceFile)
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fresh = true
		if i.key, err = newDevice(path, filepath.Join(i.dir, personFile)); err != nil {
			return false, err
		}
	case err != nil && !errors.Is(err, kith.Corrupt):
		return false, err
	default:
		i.key, err = crypto.UnmarshalPrivateKey(data)
		if err != nil || i.key.Type() != crypto.Ed25519 {
			return false, kith.Hint(fmt.Errorf("%s is not an Ed25519 key: %w", path, kith.Corrupt),
				"put the file back from a backup; or move it and %s away, and kith makes a new device and person at the next start, "+
					"which kith id restore then makes yours", personFile)
		}
	}
	i.id, err = peer.IDFromPrivateKey(i.key)
	return fresh, err
}

// newDevice makes a device key at path; person must not be there, since its certificate would be for a key that is lost.
func newDevice(path, person string) (crypto.PrivKey, error) {
	if _, err := os.Lstat(person); !errors.Is(err, fs.ErrNotExist) {
		return nil, kith.Hint(fmt.Errorf("%s is missing, and %s belongs to it: %w", path, filepath.Base(person), kith.Corrupt),
			"put the file back from a backup; or move %s away too (keep it: it may hold your recovery phrase) and start again: this "+
				"device gets a new name, and kith id restore makes it yours", person)
	}
	key, _, err := crypto.GenerateEd25519Key(random)
	if err != nil {
		return nil, err
	}
	data, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, atomicfile.Write(path, data, 0o600)
}

// Key returns the device's private key.
func (i *Identity) Key() crypto.PrivKey { return i.key }

// PeerID returns the device's public name.
func (i *Identity) PeerID() peer.ID { return i.id }

// Notes returns what Open found that a person should know: permissions that were wrong, a clock that is off.
func (i *Identity) Notes() []string { return slices.Clone(i.notes) }

// Person returns the person's public name: a did:key of the master public key.
func (i *Identity) Person() string { return i.Certificate().Person() }

// Device returns the name of this device, as its certificate has it.
func (i *Identity) Device() string { return i.Certificate().Name }

// Certificate returns the word of the person's master key that this is their device. It is for contacts only: it links the peer
// id to the person.
func (i *Identity) Certificate() Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state.cert
}

// Master says where the person's master key is: Here, Locked or Away.
func (i *Identity) Master() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state.master()
}

func (i *Identity) note(format string, args ...any) {
	i.notes = append(i.notes, fmt.Sprintf(format, args...))
}

// noteClock tells of a clock that is behind the certificate. It locks nobody out: a certificate holds whatever the clock says.
func (i *Identity) noteClock(now time.Time) {
	issued := i.state.cert.Issued
	if issued.Sub(now) > 24*time.Hour {
		i.note("the clock of this computer says %s, yet this device was certified on %s; one of the two is off: check the clock",
			now.Format(time.DateOnly), issued.Format(time.DateOnly))
	}
}

// certify makes the certificate of this device for the person whose master key is given.
func (i *Identity) certify(master ed25519.PrivateKey) (Certificate, error) {
	return sign(master, i.id, i.device, time.Now())
}

func deviceName() string {
	name, err := os.Hostname()
	if err != nil || cleanName(name, maxDeviceName) == "" {
		return "this device"
	}
	return cleanName(name, maxDeviceName)
}

// reached is called at the points where a test kills the process.
var reached = func(point string) {}
