package publication

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"kith"
	"kith/wire"
)

// Work is seen by who reads it, is of this publication alone, and holds for all that was signed.
func TestProve(t *testing.T) {
	k, least := key(t, 1), 12
	p := sample()
	p.Files = slices.Repeat([]string{strings.Repeat("日", MaxPath/3)}, MaxFiles) // more than there is room for
	p, err := Prove(t.Context(), k.GetPublic(), p, least)
	if err != nil {
		t.Fatal(err)
	}
	value, err := Seal(k, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func([]byte) (Publication, error){"parse": Parse, "read": Read} {
		if got, err := read(value); err != nil || got.Work < least || got.Nonce != p.Nonce || len(got.Files) == 0 {
			t.Errorf("%s: %d bits, nonce %d, %v", name, got.Work, got.Nonce, err)
		}
	}
	for name, change := range map[string]func(*Publication){
		"another name":   func(p *Publication) { p.Name += "x" },
		"another time":   func(p *Publication) { p.Issued = p.Issued.Add(1e6) },
		"another nonce":  func(p *Publication) { p.Nonce++ },
		"no nonce":       func(p *Publication) { p.Nonce = 0 },
		"said, not done": func(p *Publication) { p.Nonce, p.Work = 0, 99 },
	} {
		q := p
		change(&q)
		value, err := Seal(k, q)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(value); err != nil || got.Work >= least { // by chance: one in 4,096, and always the same
			t.Errorf("%s: %d bits, %v", name, got.Work, err)
		}
	}
	other, err := Seal(key(t, 2), p)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(other); err != nil || got.Work >= least {
		t.Errorf("another's: %d bits, %v", got.Work, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Prove(ctx, k.GetPublic(), p, 200); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	p.Name = ""
	if _, err := Prove(t.Context(), k.GetPublic(), p, 1); !errors.Is(err, kith.Invalid) {
		t.Errorf("what makes no sense: %v", err)
	}
}

// What a later program says beside what this one knows is part of the work, and does not undo it.
func TestWorkOfMore(t *testing.T) {
	k, least := key(t, 1), 12
	raw, err := k.GetPublic().Raw()
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.Marshal(sample().body(raw))
	if err != nil {
		t.Fatal(err)
	}
	var m map[any]any
	if err := wire.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	m[uint64(99)] = "x"
	if data, err = wire.Marshal(m); err != nil {
		t.Fatal(err)
	}
	w, err := workOf(data)
	if err != nil {
		t.Fatal(err)
	}
	nonce := uint64(1)
	for w.bits(nonce) < least {
		nonce++
	}
	m[uint64(nonceKey)] = nonce
	for said, enough := range map[string]bool{"x": true, "y": false} {
		m[uint64(99)] = said
		value, err := sign(k, m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(value); err != nil || got.Work >= least != enough {
			t.Errorf("%s: %d bits, %v", said, got.Work, err)
		}
	}
}

// BenchmarkProve is what one publication costs.
func BenchmarkProve(b *testing.B) {
	k, p := key(b, 1), sample()
	for i := range b.N {
		p.Size = int64(i)
		if _, err := Prove(b.Context(), k.GetPublic(), p, MinWork); err != nil {
			b.Fatal(err)
		}
	}
}
