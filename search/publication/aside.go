package publication

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/wire"
)

// asideLife is until when what was said in an aside holds: for the search that asked.
const asideLife = time.Hour

// An aside is what a person says of something that they share with their contacts alone. Nobody signs it: it is worth as much as the connection over which it comes, which
// proves who speaks, and who has heard it has nothing to show to others.
type aside struct {
	Root     []byte   `cbor:"1,keyasint"` // CID
	Name     string   `cbor:"2,keyasint"`
	Size     uint64   `cbor:"3,keyasint,omitempty"`
	Count    uint64   `cbor:"4,keyasint,omitempty"`
	Files    []string `cbor:"5,keyasint,omitempty"`
	Tags     []string `cbor:"6,keyasint,omitempty"`
	Sort     uint64   `cbor:"7,keyasint,omitempty"`
	Language string   `cbor:"8,keyasint,omitempty"`
	V1       []byte   `cbor:"9,keyasint,omitempty"`
	V2       []byte   `cbor:"10,keyasint,omitempty"`
	Facts    *facts   `cbor:"11,keyasint,omitempty"`
	Since    uint64   `cbor:"12,keyasint,omitempty"` // when it was shared, seconds since 1970, UTC
}

// Aside returns what is said of p to contacts; that it was issued is that it was shared. Files that do not fit into MaxSize are left out, the last ones first. Its error is Invalid
// if p makes no sense.
func Aside(p Publication) ([]byte, error) {
	p.Expires = p.Issued.Add(asideLife)
	for {
		b := p.body(nil)
		if err := b.check(); err != nil {
			return nil, fmt.Errorf("publication: aside: %w", err)
		}
		value, err := wire.Marshal(aside{b.Root, b.Name, b.Size, b.Count, b.Files, b.Tags, b.Sort, b.Language, b.V1, b.V2, b.Facts, uint64(p.Issued.Unix())})
		if err != nil {
			return nil, fmt.Errorf("publication: aside: %w", err)
		}
		if len(value) <= MaxSize {
			return value, nil
		}
		if len(p.Files) == 0 {
			return nil, fmt.Errorf("publication: aside: %d bytes, at most %d: %w", len(value), MaxSize, kith.TooLarge)
		}
		p.Files = p.Files[:len(p.Files)-1]
	}
}

// ReadAside reads what the device from said in an aside at the time now. Its errors are TooLarge and Corrupt.
func ReadAside(value []byte, from peer.ID, now time.Time) (Publication, error) {
	var a aside
	if len(value) > MaxSize {
		return Publication{}, fmt.Errorf("publication: aside: %d bytes, at most %d: %w", len(value), MaxSize, kith.TooLarge)
	}
	if err := wire.Unmarshal(value, &a); err != nil {
		return Publication{}, fmt.Errorf("publication: aside: %v: %w", err, kith.Corrupt)
	}
	b := body{Version: version, Root: a.Root, Issued: 1000 * min(a.Since, uint64(now.Unix())), Name: a.Name, Size: a.Size, Count: a.Count, Files: a.Files, Tags: a.Tags,
		Sort: a.Sort, Language: a.Language, V1: a.V1, V2: a.V2, Facts: a.Facts}
	b.Expires = b.Issued/1000 + uint64(asideLife/time.Second)
	if err := b.check(); err != nil {
		return Publication{}, fmt.Errorf("publication: aside: %v: %w", err, kith.Corrupt)
	}
	root, err := b.root()
	if err != nil {
		return Publication{}, fmt.Errorf("publication: aside: %v: %w", err, kith.Corrupt)
	}
	p := Publication{
		Publisher: from, Root: root, Issued: time.Unix(int64(b.Issued/1000), 0).UTC(), Expires: now.Add(asideLife), Name: a.Name, Size: int64(a.Size), Count: int(a.Count),
		Files: a.Files, Tags: a.Tags, Sort: Sort(a.Sort), Language: a.Language, Facts: a.Facts.facts(),
	}
	if len(p.Files) == 0 {
		p.Files = nil
	}
	if len(p.Tags) == 0 {
		p.Tags = nil
	}
	copy(p.V1[:], a.V1)
	copy(p.V2[:], a.V2)
	return p, nil
}
