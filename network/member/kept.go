package member

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kith"
	"kith/internal/atomicfile"
)

const (
	keptVersion = 1
	maxKept     = 256 << 10 // bytes of the file
)

// Kept is the private network that a node is in, as it is kept on disk.
type Kept struct {
	Network Network
	Members []string // whom it lets in; none: whoever has the secret
	Invite  string   // by which the person is to become somebody's contact once the node is there; "" for none
	As      string   // what that contact is to be called; "": as they call themselves
}

// keptFile is Kept as it stands in the file.
type keptFile struct {
	Version int      `json:"version"`
	Link    string   `json:"link"`
	Members []string `json:"members,omitempty"`
	Invite  string   `json:"invite,omitempty"`
	As      string   `json:"as,omitempty"`
}

// Load reads what was saved; it is nil if nothing was, or it was removed. Its error is Corrupt if it cannot be understood: a node that does not know which
// network it is in must not go to another.
func Load(path string) (*Kept, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	k, err := decode(data)
	if err != nil {
		err = fmt.Errorf("member: %s: %w: %w", path, err, kith.Corrupt)
		return nil, kith.Hint(err, "move the file away: the node is then in no private network, and kith network join LINK brings it back")
	}
	return &k, nil
}

func decode(data []byte) (Kept, error) {
	var f keptFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // they would be lost when the file is written again
	if len(data) > maxKept {
		return Kept{}, fmt.Errorf("%d bytes, at most %d", len(data), maxKept)
	}
	if err := d.Decode(&f); err != nil {
		return Kept{}, err
	}
	if f.Version != keptVersion || d.More() {
		return Kept{}, errors.New("not a file of this program")
	}
	n, err := Parse(f.Link)
	if err == nil {
		err = CheckMembers(f.Members)
	}
	return Kept{Network: n, Members: f.Members, Invite: f.Invite, As: f.As}, err
}

// Save writes it, readable by this user alone, for Load to read after a crash too.
func (k Kept) Save(path string) error {
	data, err := json.MarshalIndent(keptFile{keptVersion, k.Network.Link(), k.Members, k.Invite, k.As}, "", "\t")
	if err == nil {
		err = atomicfile.Write(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("member: keep the network: %w", err)
	}
	return nil
}
