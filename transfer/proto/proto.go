// Package proto is the messages of /kith/blob/1, and their limits. The README of transfer has them byte by byte.
//
// It opens no stream. Its one idea: what is read from a peer is bounded and checked whole before anybody sees it.
package proto

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/blob/bao"
	"kith/transfer/engine"
	"kith/wire"
)

// Limits of /kith/blob/1. README.md has the protocol byte by byte.
const (
	MaxAsk          = 32 << 10 // bytes of one message of an asker
	MaxTell         = 64 << 10 // bytes of one message of a holder
	MaxItems        = 64       // items of one request
	MaxAnswer       = 1 << 20  // bytes of data in one answer; its proofs come on top
	MaxOutstanding  = 64       // requests of one stream that wait for their answers
	MaxSpans        = 4096     // spans of one have-map message
	MaxTold         = 32       // sources told of at once
	MaxAddrs        = 8        // addresses of one source
	MaxHintName     = 255      // bytes of a name
	MaxStreams      = 4        // streams that one peer may have open here
	MaxSessions     = 512      // streams in all
	MaxSize         = 1 << 44  // bytes of one blob
	maxProofPerItem = 64 * (engine.MaxRequest + 2*48)

	HelloTime = 15 * time.Second // for the first message each way
	IdleTime  = 60 * time.Second // without any message
	AliveTime = 20 * time.Second // after so long without one, an empty message is sent
)

// An Ask is a message of who fetches; one field is set, or none in a sign of life.
type Ask struct {
	Hello   *Hello  `cbor:"1,keyasint,omitempty"`
	Request *Wanted `cbor:"2,keyasint,omitempty"`
	Cancel  uint64  `cbor:"3,keyasint,omitempty"` // the request that needs no answer
	Follow  *int    `cbor:"4,keyasint,omitempty"` // the row whose have-map is wanted from now on
	Others  bool    `cbor:"5,keyasint,omitempty"` // other sources are wanted
}

// Hello opens a session: knowing the root is the right to ask for it.
type Hello struct {
	Root  []byte   `cbor:"1,keyasint"`           // CID in binary
	Addrs [][]byte `cbor:"2,keyasint,omitempty"` // where the asker can be reached, in binary, to be told to others
}

// Wanted is a request.
type Wanted struct {
	ID    uint64 `cbor:"1,keyasint"`
	Items []Item `cbor:"2,keyasint"`
	Fresh bool   `cbor:"3,keyasint,omitempty"` // may be declined, if somebody else is getting a part of it
}

// An Item is groups of one blob.
type Item struct {
	_     struct{} `cbor:",toarray"`
	Sum   []byte   // BLAKE3 digest; empty for the root itself
	First int64
	N     int64
	Proof bool // only the proof
}

// A Tell is a message of who has it.
type Tell struct {
	Welcome *Welcome `cbor:"1,keyasint,omitempty"`
	Answer  *Answer  `cbor:"2,keyasint,omitempty"`
	Have    *HaveMap `cbor:"3,keyasint,omitempty"`
	Others  []Other  `cbor:"4,keyasint,omitempty"`
}

// Welcome answers a hello.
type Welcome struct {
	Status kith.Kind `cbor:"1,keyasint"`           // statusOK, or why not
	Size   int64     `cbor:"2,keyasint"`           // bytes of the root blob; -1 if not known
	Name   string    `cbor:"3,keyasint,omitempty"` // what it is called here: a hint
	Narrow bool      `cbor:"4,keyasint,omitempty"` // it is for contacts alone
}

// An Answer says what follows it on the stream: for each part its proof, then its data.
type Answer struct {
	ID    uint64 `cbor:"1,keyasint"`
	Parts []Part `cbor:"2,keyasint"`
}

type Part struct {
	_      struct{} `cbor:",toarray"`
	Status kith.Kind
	Proof  int64 // bytes
	Data   int64 // bytes
}

// statusOK is the Kind of what is no error: on the wire it has the place of Internal, which no peer needs to hear of.
const StatusOK kith.Kind = 0

// Decline answers a fresh request: somebody else who fetches the same is getting a part of it, and will have it soon.
func Decline(w *Wanted) *Answer {
	a := &Answer{ID: w.ID, Parts: make([]Part, len(w.Items))}
	for i := range a.Parts {
		a.Parts[i].Status = kith.Exists
	}
	return a
}

// Declines reports whether the answer is a decline.
func (a *Answer) Declines() bool {
	return !slices.ContainsFunc(a.Parts, func(p Part) bool { return p != Part{Status: kith.Exists} })
}

// HaveMap adds to what the holder has of a row. Spans are pairs: groups to leave out, groups to take in.
type HaveMap struct {
	Row   int      `cbor:"1,keyasint"`
	All   bool     `cbor:"2,keyasint,omitempty"`
	Spans []uint64 `cbor:"3,keyasint,omitempty"`
}

// The rows of groups that a have-map may be about.
const (
	RowRoot  = 0 // the root blob
	RowFiles = 1 // the files of a folder, one behind the other in the order of its manifest
	RowDraft = 2 // those of a draft; no peer is asked for it
)

// An Other is one more peer that may have the root.
type Other struct {
	_     struct{} `cbor:",toarray"`
	ID    []byte
	Addrs [][]byte
}

func (a *Ask) check() error {
	switch {
	case a.Hello != nil && len(a.Hello.Addrs) > MaxAddrs:
		return fmt.Errorf("transfer: %d addresses, at most %d: %w", len(a.Hello.Addrs), MaxAddrs, kith.TooLarge)
	case a.Request != nil:
		return a.Request.check()
	case a.Follow != nil && *a.Follow != RowRoot && *a.Follow != RowFiles:
		return fmt.Errorf("transfer: row %d: %w", *a.Follow, kith.Invalid)
	}
	return nil
}

func (w *Wanted) check() error {
	if len(w.Items) == 0 || len(w.Items) > MaxItems {
		return fmt.Errorf("transfer: a request of %d items, 1 to %d: %w", len(w.Items), MaxItems, kith.Invalid)
	}
	left := int64(MaxAnswer / bao.GroupSize)
	for _, it := range w.Items {
		if len(it.Sum) != 0 && len(it.Sum) != kith.RefSize || it.First < 0 || it.First > MaxSize || it.N < 1 || it.N > left {
			return fmt.Errorf("transfer: an item of groups %d+%d: %w", it.First, it.N, kith.Invalid)
		}
		left -= it.N
	}
	return nil
}

func (t *Tell) check() error {
	switch {
	case t.Have != nil && (len(t.Have.Spans) > 2*MaxSpans || len(t.Have.Spans)%2 != 0):
		return fmt.Errorf("transfer: a have-map of %d numbers: %w", len(t.Have.Spans), kith.Invalid)
	case len(t.Others) > MaxTold:
		return fmt.Errorf("transfer: %d sources, at most %d: %w", len(t.Others), MaxTold, kith.TooLarge)
	case t.Welcome != nil && (t.Welcome.Size < -1 || t.Welcome.Size > MaxSize):
		return fmt.Errorf("transfer: a size of %d: %w", t.Welcome.Size, kith.Invalid)
	case t.Answer != nil && len(t.Answer.Parts) > MaxItems:
		return fmt.Errorf("transfer: an answer of %d parts: %w", len(t.Answer.Parts), kith.Invalid)
	}
	return nil
}

// ReadAsk reads and checks one message of an asker.
func ReadAsk(r wire.Reader) (Ask, error) {
	var a Ask
	if err := wire.ReadMsg(r, MaxAsk, &a); err != nil {
		return Ask{}, err
	}
	return a, a.check()
}

// ReadTell reads and checks one message of a holder.
func ReadTell(r wire.Reader) (Tell, error) {
	var t Tell
	if err := wire.ReadMsg(r, MaxTell, &t); err != nil {
		return Tell{}, err
	}
	return t, t.check()
}

// Ranges returns the groups of a have-map, of a row of n groups. What is beyond the row is Invalid.
func (h *HaveMap) Ranges(n int64) ([]bao.Range, error) {
	var list []bao.Range
	at := uint64(0)
	for i := 0; i+1 < len(h.Spans); i += 2 {
		gap, run := h.Spans[i], h.Spans[i+1]
		if gap > uint64(n) || run > uint64(n) || at+gap+run > uint64(n) {
			return nil, fmt.Errorf("transfer: a have-map beyond the last of %d groups: %w", n, kith.Invalid)
		}
		if run > 0 {
			list = append(list, bao.Range{First: int64(at + gap), N: int64(run)})
		}
		at += gap + run
	}
	return list, nil
}

// HaveMaps returns the messages that tell of ranges, which are in order.
func HaveMaps(row int, ranges []bao.Range) (list []*HaveMap) {
	var h *HaveMap
	var at int64
	for _, r := range ranges {
		if h == nil || len(h.Spans) >= 2*MaxSpans {
			h, at = &HaveMap{Row: row}, 0
			list = append(list, h)
		}
		h.Spans = append(h.Spans, uint64(r.First-at), uint64(r.N))
		at = r.First + r.N
	}
	return list
}

// PlainName makes of what a peer says something is called a hint that can be shown: valid UTF-8, one line, of bounded length.
func PlainName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r == '/' || r == '\\' || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	for len(s) > MaxHintName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimSpace(s)
}

// addrsOf returns the addresses in list that are well formed, at most MaxAddrs.
func addrsOf(list [][]byte) (addrs []multiaddr.Multiaddr) {
	for _, b := range list[:min(len(list), MaxAddrs)] {
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// EncodeAddrs is the opposite of addrsOf, without a last /p2p/ID.
func EncodeAddrs(addrs []multiaddr.Multiaddr) (list [][]byte) {
	for _, a := range addrs[:min(len(addrs), MaxAddrs)] {
		if bare, _ := peer.SplitAddr(a); bare != nil {
			list = append(list, bare.Bytes())
		}
	}
	return list
}

// peerOf reads what was told of another source.
func (o *Other) Peer() (peer.AddrInfo, error) {
	id, err := peer.IDFromBytes(o.ID)
	if err != nil {
		return peer.AddrInfo{}, fmt.Errorf("transfer: a source's id: %w", kith.Invalid)
	}
	return peer.AddrInfo{ID: id, Addrs: addrsOf(o.Addrs)}, nil
}

// Less returns the ranges of b that are not in told: what a have-map has to add.
func Less(b, told bao.Bits) (list []bao.Range) {
	left := b
	if told.Len() == b.Len() {
		left = b.Clone()
		for r := range told.Ranges() {
			left.Clear(r)
		}
	}
	for r := range left.Ranges() {
		list = append(list, r)
	}
	return list
}

// HaveTime is how often have-maps are sent at most to each of few; with more than fewAskers it is longer, so that all together do not get more.
const (
	HaveTime  = 50 * time.Millisecond
	fewAskers = 8
)

// HavePause returns how long to wait until so many askers are told again of what has come.
func HavePause(askers int) time.Duration {
	return HaveTime * time.Duration(max(askers, fewAskers)) / fewAskers
}
