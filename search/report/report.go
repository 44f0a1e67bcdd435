// Package report has what people tell their contacts of what is not worth finding: that a publisher, or a content, is spam, or is not what it says.
//
// It hides nothing and tells nobody by itself. Its one idea: a report counts by who says it, and only from a contact, over the connection to them: there is nothing to pass on, no
// list that all agree on, and nobody whose word counts for everybody. Who reports much counts for less with each, so that no one contact can empty a search.
package report

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/wire"
)

// Limits of what a device reports.
const (
	Max      = 500      // reports of a device
	MaxSize  = 64 << 10 // bytes of all of them
	maxWhat  = 128      // bytes of what one is about
	maxYears = 200      // of a time, from 1970 on
)

// A Why says what something is reported as.
type Why uint8

// What something may be reported as. The numbers are part of what is told.
const (
	Other Why = iota
	Spam
	Fake // it is not what it says
	Malware
	Illegal
)

var whys = []string{Other: "other", Spam: "spam", Fake: "fake", Malware: "malware", Illegal: "illegal"}

// String returns the word for it.
func (w Why) String() string { return whys[w] }

// ParseWhy returns what a word stands for.
func ParseWhy(text string) (Why, error) {
	if i := slices.Index(whys, text); i >= 0 {
		return Why(i), nil
	}
	return Other, kith.Hint(fmt.Errorf("report: %.20q is no reason: %w", text, kith.Invalid), "spam, fake, malware, illegal or other")
}

// A Report is one thing that somebody would not have found.
type Report struct {
	What string // peer ID of a publisher, or CID of a content, as String writes it
	Why  Why
	At   time.Time // to the second
}

// Root returns the content that a report is about; the zero Ref if it is about a publisher.
func (r Report) Root() kith.Ref {
	root, _ := kith.ParseRef(r.What)
	return root
}

// told is a Report as it is told.
type told struct {
	What string `cbor:"1,keyasint"`
	Why  uint64 `cbor:"2,keyasint"`
	At   int64  `cbor:"3,keyasint"` // seconds since 1970
}

// Seal returns the bytes by which a list is told: the latest Max reports of it, in one order whatever the order of list.
func Seal(list []Report) ([]byte, error) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Report) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.What, b.What)) })
	list = list[:min(len(list), Max)]
	slices.SortFunc(list, func(a, b Report) int { return cmp.Compare(a.What, b.What) })
	out := make([]told, len(list))
	for i, r := range list {
		out[i] = told{r.What, uint64(r.Why), r.At.Unix()}
	}
	return wire.Marshal(out)
}

// Parse reads what Seal wrote. Its error is Invalid, or TooLarge. A reason that is not known is Other; what is neither a peer ID nor a CID makes the whole list Invalid, as
// does what stands in it twice or in another order.
func Parse(data []byte) ([]Report, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("report: a list of %d bytes, at most %d: %w", len(data), MaxSize, kith.TooLarge)
	}
	var in []told
	if err := wire.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if len(in) > Max {
		return nil, fmt.Errorf("report: %d reports, at most %d: %w", len(in), Max, kith.TooLarge)
	}
	var list []Report
	for i, t := range in {
		switch {
		case !canonical(t.What):
			return nil, fmt.Errorf("report: %.40q is neither a publisher nor a content: %w", t.What, kith.Invalid)
		case i > 0 && in[i-1].What >= t.What:
			return nil, fmt.Errorf("report: %.40q is out of order: %w", t.What, kith.Invalid)
		case t.At < 0 || t.At > maxYears*366*24*60*60:
			return nil, fmt.Errorf("report: no time: %w", kith.Invalid)
		case t.Why >= uint64(len(whys)): // of a newer version
			t.Why = uint64(Other)
		}
		list = append(list, Report{t.What, Why(t.Why), time.Unix(t.At, 0).UTC()})
	}
	return list, nil
}

// canonical reports whether a text is a peer ID, or a CID of Kith, as String writes it.
func canonical(what string) bool {
	if len(what) > maxWhat {
		return false
	}
	if p, err := peer.Decode(what); err == nil && strings.HasPrefix(what, "1") { // peer.Decode takes CIDs too
		return p.String() == what
	}
	root, err := kith.ParseRef(what)
	return err == nil && !root.IsZero() && root.String() == what
}

// A Digest tells one list from another.
type Digest [sha256.Size]byte

// DigestOf returns that of a list as Seal wrote it.
func DigestOf(list []byte) Digest { return sha256.Sum256(list) }

// How much reports count.
const (
	Free  = 50  // reports of a contact that count in full
	Aside = 1.5 // from which on something is set aside: two contacts who report little, and never one alone
)

// Worth returns how much one report counts of a contact who has n of them: 1 up to Free, then less with each, so that all of them together never count more than Free in full.
func Worth(n int) float64 { return math.Min(1, Free/math.Max(1, float64(n))) }

// A Voice is what one contact reports, from all of their devices.
type Voice struct {
	Name  string
	Own   bool // it is the person, at another device: what they report there is set aside here
	Lists [][]Report

	worth float64
	why   map[string]Why
}

// Voices are all who are heard. They are not changed.
type Voices []Voice

// Hear returns the voices of a list, in the order of their names.
func Hear(list []Voice) Voices {
	out := slices.DeleteFunc(slices.Clone(list), func(v Voice) bool { return v.Count() == 0 })
	slices.SortFunc(out, func(a, b Voice) int { return cmp.Compare(a.Name, b.Name) })
	for i := range out {
		v := &out[i]
		v.worth, v.why = Worth(v.Count()), map[string]Why{}
		if v.Own {
			v.worth = Aside
		}
		for _, l := range v.Lists {
			for _, r := range l {
				v.why[r.What] = r.Why
			}
		}
	}
	return out
}

// Count returns how many reports a contact has made, at all devices.
func (v Voice) Count() (n int) {
	for _, l := range v.Lists {
		n += len(l)
	}
	return n
}

// Worth returns how much each report of a voice counts.
func (v Voice) Worth() float64 { return v.worth }

// Whats returns how much is said against each publisher and content of which anybody says something.
func (vs Voices) Whats() map[string]float64 {
	all := map[string]float64{}
	for _, v := range vs {
		for what := range maps.Keys(v.why) {
			all[what] += v.worth
		}
	}
	return all
}

// A Word is what one contact says of a result.
type Word struct {
	By  string
	Why Why
}

// Of returns what is said of a content that some publishers share, and how much that counts: who reports the content, or all who share it, is against it. Who reports some of those
// who share it is not, since others have the same bytes.
func (vs Voices) Of(root kith.Ref, publishers []string) (words []Word, weight float64) {
	for _, v := range vs {
		why, is := v.why[root.String()]
		for i := 0; !is && i < len(publishers); i++ {
			var this bool
			if why, this = v.why[publishers[i]]; !this {
				break
			}
			is = i == len(publishers)-1
		}
		if is {
			words, weight = append(words, Word{v.Name, why}), weight+v.worth
		}
	}
	return words, weight
}
