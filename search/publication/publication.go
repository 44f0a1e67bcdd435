// Package publication is what a person says to everybody about something that they share: what it is called, what it is, and by which digest it is fetched.
//
// It is no content, and no index. Its one idea: a publication is signed by the device that shares the content, and says one thing of one content; a later one of the
// same device about the same content takes its place, also when it says that there is nothing to say any more. So whoever passes it on can neither change it nor
// bring it back.
//
// It is pure. How publications spread is search/spread's, how they are found search/index's.
package publication

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/plain"
	"kith/search/fact"
	"kith/wire"
)

// Limits of a publication.
const (
	MaxSize    = 2048                // bytes, as it is kept and sent
	MaxName    = 255                 // bytes of the name, as file systems have it
	MaxFiles   = 32                  // names of files of a folder that are said …
	MaxPath    = 128                 // … of at most so many bytes each
	MaxTags    = 8                   // tags …
	MaxTag     = 32                  // … of at most so many bytes each
	MaxLife    = 90 * 24 * time.Hour // from when it was issued to when it expires
	maxBytes   = 1 << 60             // of a content
	lastSecond = 1 << 40             // seconds since 1970

	// ClockTolerance is by how much the clocks of two computers may differ.
	ClockTolerance = 24 * time.Hour
)

const (
	version    = 1
	signPrefix = "kith publication\x00" // what is signed begins so, and nothing else that a device's key signs does
)

// A Sort says what kind of thing a content is, as its publisher has it.
type Sort uint8

// The sorts.
const (
	Other Sort = iota
	Audio
	Video
	Image
	Text
	Archive
	Program
	sorts
)

var sortNames = [sorts]string{"other", "audio", "video", "image", "text", "archive", "program"}

// String returns the word that people use in a filter: audio.
func (s Sort) String() string { return sortNames[min(s, sorts-1)] }

// SortOf returns the sort of which s is the word; Other if there is none.
func SortOf(s string) Sort { return Sort(max(0, slices.Index(sortNames[:], s))) }

// An ID names one publication: the first half of the SHA-256 of its bytes.
type ID [16]byte

// A Publication says that a device shares something, or no longer.
type Publication struct {
	Publisher peer.ID // the device that signed it
	Root      kith.Ref
	Issued    time.Time // to the millisecond, by the publisher's clock
	Expires   time.Time // to the second
	Gone      bool      // it is not shared any more; nothing below is said then

	Name     string
	Size     int64 // bytes of all files
	Count    int   // of files
	Files    []string
	Tags     []string // in lower case
	Sort     Sort
	Language string // ISO 639-1, or ""
	V1       kith.InfoHash
	V2       [32]byte   // BitTorrent v2; zero if it has none
	Facts    fact.Facts // what the content says of itself, as fact.Public has it

	Nonce uint64 // what Prove has found; 0 if there is none
	Work  int    // bits, of what was read; Seal does not look at it
}

// body is what is signed, behind signPrefix.
type body struct {
	Version  uint64   `cbor:"1,keyasint"`
	Key      []byte   `cbor:"2,keyasint"` // Ed25519 public key
	Root     []byte   `cbor:"3,keyasint"` // CID
	Issued   uint64   `cbor:"4,keyasint"` // milliseconds since 1970, UTC
	Expires  uint64   `cbor:"5,keyasint"` // seconds since 1970, UTC
	Gone     bool     `cbor:"6,keyasint,omitempty"`
	Name     string   `cbor:"7,keyasint,omitempty"`
	Size     uint64   `cbor:"8,keyasint,omitempty"`
	Count    uint64   `cbor:"9,keyasint,omitempty"`
	Files    []string `cbor:"10,keyasint,omitempty"`
	Tags     []string `cbor:"11,keyasint,omitempty"`
	Sort     uint64   `cbor:"12,keyasint,omitempty"`
	Language string   `cbor:"13,keyasint,omitempty"`
	V1       []byte   `cbor:"14,keyasint,omitempty"`
	V2       []byte   `cbor:"15,keyasint,omitempty"`
	Facts    *facts   `cbor:"16,keyasint,omitempty"`
	Nonce    uint64   `cbor:"30,keyasint,omitempty"` // the last one, whatever comes between
}

// facts are those that are told. Whoever reads them cuts and cleans them.
type facts struct {
	Format string `cbor:"1,keyasint,omitempty"`
	Title  string `cbor:"2,keyasint,omitempty"`
	Artist string `cbor:"3,keyasint,omitempty"`
	Album  string `cbor:"4,keyasint,omitempty"`
	Genre  string `cbor:"5,keyasint,omitempty"`
	Year   uint64 `cbor:"6,keyasint,omitempty"`
	Length uint64 `cbor:"7,keyasint,omitempty"` // seconds
	Width  uint64 `cbor:"8,keyasint,omitempty"` // pixels
	Height uint64 `cbor:"9,keyasint,omitempty"`
	Pages  uint64 `cbor:"10,keyasint,omitempty"`
	Words  string `cbor:"11,keyasint,omitempty"`
}

func factsOf(f fact.Facts) *facts {
	if f = fact.Clean(f).Public(); f == (fact.Facts{}) {
		return nil
	}
	return &facts{f.Format, f.Title, f.Artist, f.Album, f.Genre, uint64(f.Year), uint64(f.Length), uint64(f.Width), uint64(f.Height), uint64(f.Pages), f.Words}
}

// facts returns what is believed of those that came.
func (f *facts) facts() fact.Facts {
	if f == nil {
		return fact.Facts{}
	}
	n := func(v uint64) int { return int(min(v, math.MaxInt32)) }
	return fact.Clean(fact.Facts{
		Format: f.Format, Title: f.Title, Artist: f.Artist, Album: f.Album, Genre: f.Genre, Year: n(f.Year), Length: n(f.Length), Width: n(f.Width), Height: n(f.Height), Pages: n(f.Pages),
		Words: f.Words,
	}).Public()
}

// signed is a publication as it is kept and sent.
type signed struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// Trim returns p with what is too much left out: names that are too long are cut, files and tags that are too many are dropped, and what a person's eye would not
// see is taken out. What Seal refuses after that makes no sense.
func Trim(p Publication) Publication {
	p.Name = cut(plain.Text(p.Name), MaxName)
	p.Files = each(p.Files, MaxFiles, MaxPath, plain.Text)
	p.Tags = each(p.Tags, MaxTags, MaxTag, func(s string) string { return strings.ToLower(plain.Text(s)) })
	p.Facts = fact.Clean(p.Facts).Public()
	return p
}

func each(list []string, most, size int, clean func(string) string) (out []string) {
	for _, s := range list {
		if s = cut(clean(s), size); s != "" && len(out) < most {
			out = append(out, s)
		}
	}
	return out
}

// cut returns s cut to so many bytes, and to whole runes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Seal signs p with the key of the device that shares it, which Publisher need not say. Files that do not fit into MaxSize are left out, the last ones first. Its
// error is Invalid if p makes no sense.
func Seal(key crypto.PrivKey, p Publication) ([]byte, error) {
	pub, err := key.GetPublic().Raw()
	if err != nil {
		return nil, fmt.Errorf("publication: seal: %w", err)
	}
	b, err := p.fit(pub)
	if err != nil {
		return nil, fmt.Errorf("publication: seal: %w", err)
	}
	value, err := sign(key, b)
	if err != nil {
		return nil, fmt.Errorf("publication: seal: %w", err)
	}
	return value, nil
}

// fit returns the body of p with so many files as there is room for.
func (p Publication) fit(pub []byte) (body, error) {
	for {
		b := p.body(pub)
		if err := b.check(); err != nil {
			return b, err
		}
		data, err := wire.Marshal(b)
		if err != nil {
			return b, err
		}
		value, err := wire.Marshal(signed{data, make([]byte, ed25519.SignatureSize)})
		if err != nil || len(value) <= MaxSize {
			return b, err
		}
		if len(p.Files) == 0 {
			return b, fmt.Errorf("%d bytes, at most %d: %w", len(value), MaxSize, kith.TooLarge)
		}
		p.Files = p.Files[:len(p.Files)-1]
	}
}

func sign(key crypto.PrivKey, b any) ([]byte, error) {
	data, err := wire.Marshal(b)
	if err != nil {
		return nil, err
	}
	signature, err := key.Sign(append([]byte(signPrefix), data...))
	if err != nil {
		return nil, err
	}
	return wire.Marshal(signed{data, signature})
}

func (p Publication) body(key []byte) body {
	b := body{
		Version: version, Key: key, Root: p.Root.CID().Bytes(), Issued: uint64(p.Issued.UnixMilli()), Expires: uint64(p.Expires.Unix()), Gone: p.Gone, Nonce: p.Nonce,
	}
	if p.Gone {
		return b
	}
	b.Name, b.Size, b.Count, b.Files, b.Tags, b.Sort, b.Language = p.Name, uint64(p.Size), uint64(p.Count), p.Files, p.Tags, uint64(p.Sort), p.Language
	b.Facts = factsOf(p.Facts)
	if p.V1 != (kith.InfoHash{}) {
		b.V1 = p.V1[:]
	}
	if p.V2 != ([32]byte{}) {
		b.V2 = p.V2[:]
	}
	return b
}

// Parse verifies the form and the signature of a publication, and reads it. Its errors are TooLarge and Corrupt. Whether it is of now Current says.
func Parse(value []byte) (Publication, error) {
	s, b, err := decode(value)
	if err == nil {
		err = verify(value, s, b)
	}
	if err != nil {
		return Publication{}, fmt.Errorf("publication: %w", err)
	}
	return b.publication(s.Body)
}

// Read reads what Parse has verified before.
func Read(value []byte) (Publication, error) {
	s, b, err := decode(value)
	if err != nil {
		return Publication{}, fmt.Errorf("publication: %w", err)
	}
	return b.publication(s.Body)
}

// decode takes a publication apart.
func decode(value []byte) (s signed, b body, err error) {
	if len(value) > MaxSize {
		return s, b, fmt.Errorf("%d bytes, at most %d: %w", len(value), MaxSize, kith.TooLarge)
	}
	if err := wire.Unmarshal(value, &s); err != nil {
		return s, b, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	if err := wire.Unmarshal(s.Body, &b); err != nil {
		return s, b, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	if b.Version != version {
		return s, b, fmt.Errorf("version %d, this program knows %d: %w", b.Version, version, kith.Corrupt)
	}
	if err := b.check(); err != nil {
		return s, b, fmt.Errorf("%v: %w", err, kith.Corrupt)
	}
	return s, b, nil
}

// verify says what is wrong with the form or the signature of what decode has taken apart.
func verify(value []byte, s signed, b body) error {
	for _, x := range []struct {
		v    any
		data []byte
	}{{new(any), s.Body}, {&s, value}} { // a body may say more than this program knows
		err := wire.Unmarshal(x.data, x.v)
		if data, merr := wire.Marshal(x.v); err != nil || merr != nil || !bytes.Equal(data, x.data) { // or others could make more of one
			return fmt.Errorf("the encoding is not deterministic: %w", kith.Corrupt)
		}
	}
	key, err := crypto.UnmarshalEd25519PublicKey(b.Key)
	if err != nil {
		return fmt.Errorf("its key is none: %w", kith.Corrupt)
	}
	if ok, err := key.Verify(append([]byte(signPrefix), s.Body...), s.Signature); err != nil || !ok {
		return fmt.Errorf("the signature is wrong: %w", kith.Corrupt)
	}
	return nil
}

// check is what holds of every publication. Its error is Invalid.
func (b body) check() error {
	text := append(append([]string{b.Name}, b.Files...), b.Tags...)
	for _, s := range text {
		if !utf8.ValidString(s) || s != plain.Text(s) {
			return fmt.Errorf("%.100q is no text for a person: %w", s, kith.Invalid)
		}
	}
	switch root, err := b.root(); {
	case err != nil || root.IsZero():
		return fmt.Errorf("it does not say of what it is: %w", kith.Invalid)
	case b.Issued/1000 > lastSecond || b.Expires > lastSecond || b.Expires <= b.Issued/1000 || b.Expires-b.Issued/1000 > uint64(MaxLife/time.Second):
		return fmt.Errorf("it must expire after it was issued, within %v: %w", MaxLife, kith.Invalid)
	case b.Gone && (len(text) > 1 || b.Name != "" || b.Size+b.Count+b.Sort > 0 || b.Language != "" || len(b.V1)+len(b.V2) > 0 || b.Facts != nil):
		return fmt.Errorf("it says that something is gone, and what it is: %w", kith.Invalid)
	case b.Gone:
		return nil
	case b.Name == "":
		return fmt.Errorf("it has no name: %w", kith.Invalid)
	case len(b.Name) > MaxName || len(b.Files) > MaxFiles || len(b.Tags) > MaxTags || len(b.Language) > 8:
		return fmt.Errorf("it says too much: %w", kith.Invalid)
	case b.Size > maxBytes || b.Count > math.MaxInt32:
		return fmt.Errorf("%d bytes in %d files: %w", b.Size, b.Count, kith.Invalid)
	case b.Sort >= uint64(sorts):
		return fmt.Errorf("sort %d: %w", b.Sort, kith.Invalid)
	case len(b.V1) != 0 && len(b.V1) != len(kith.InfoHash{}) || len(b.V2) != 0 && len(b.V2) != 32:
		return fmt.Errorf("a digest of BitTorrent has another length: %w", kith.Invalid)
	}
	for _, s := range b.Files {
		if s == "" || len(s) > MaxPath {
			return fmt.Errorf("a file of %d bytes of name: %w", len(s), kith.Invalid)
		}
	}
	for _, s := range b.Tags {
		if s == "" || len(s) > MaxTag || s != strings.ToLower(s) {
			return fmt.Errorf("tag %q: %w", s, kith.Invalid)
		}
	}
	return nil
}

// root returns the content that the body is about.
func (b body) root() (kith.Ref, error) {
	c, err := cid.Cast(b.Root)
	if err != nil {
		return kith.Ref{}, err
	}
	root, err := kith.RefOfCID(c)
	if err == nil && !bytes.Equal(root.CID().Bytes(), b.Root) {
		err = kith.Invalid
	}
	return root, err
}

// publication returns what a body says, whose bytes are data.
func (b body) publication(data []byte) (Publication, error) {
	key, err := crypto.UnmarshalEd25519PublicKey(b.Key)
	if err != nil {
		return Publication{}, err
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return Publication{}, err
	}
	root, err := b.root()
	if err != nil {
		return Publication{}, err
	}
	if len(b.Files) == 0 {
		b.Files = nil
	}
	if len(b.Tags) == 0 {
		b.Tags = nil
	}
	p := Publication{
		Publisher: id, Root: root, Issued: time.UnixMilli(int64(b.Issued)).UTC(), Expires: time.Unix(int64(b.Expires), 0).UTC(), Gone: b.Gone,
		Name: b.Name, Size: int64(b.Size), Count: int(b.Count), Files: b.Files, Tags: b.Tags, Sort: Sort(b.Sort), Language: b.Language, Facts: b.Facts.facts(), Nonce: b.Nonce,
	}
	if b.Nonce != 0 {
		w, err := workOf(data)
		if err != nil {
			return Publication{}, err
		}
		p.Work = w.bits(b.Nonce)
	}
	copy(p.V1[:], b.V1)
	copy(p.V2[:], b.V2)
	return p, nil
}

// IDOf returns the ID of a publication as it is kept and sent.
func IDOf(value []byte) ID {
	sum := sha256.Sum256(value)
	return ID(sum[:])
}

// Current says whether a publication may be kept at the time now. Its error is Gone if it has expired, and Unavailable if it is from the future.
func (p Publication) Current(now time.Time) error {
	switch {
	case p.Issued.After(now.Add(ClockTolerance)):
		return fmt.Errorf("publication: it was issued on %s: %w", p.Issued.Format(time.DateOnly), kith.Unavailable)
	case now.After(p.Expires):
		return fmt.Errorf("publication: it expired on %s: %w", p.Expires.Format(time.DateOnly), kith.Gone)
	}
	return nil
}

// Replaces reports whether p, whose bytes have the ID id, takes the place of old, of the same publisher about the same content. Of two of the same time everybody
// takes the same one.
func (p Publication) Replaces(id ID, old Publication, oldID ID) bool {
	return cmp.Or(p.Issued.Compare(old.Issued), bytes.Compare(id[:], oldID[:])) > 0
}
