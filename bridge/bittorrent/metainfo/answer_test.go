package metainfo

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kith"
)

// TestAnswers reads what trackers say, as they should and as they should not.
func TestAnswers(t *testing.T) {
	public := func(a netip.Addr) bool { return !a.IsPrivate() }
	many := strings.Builder{}
	for i := range 200_000 {
		many.WriteString(string([]byte{9, byte(i >> 16), byte(i >> 8), byte(i), 1, 1}))
	}
	for name, c := range map[string]struct {
		says  string
		kind  error
		peers string // a list, or how many
		every int64
	}{
		"compact":           {"d8:intervali900e5:peers12:\x01\x02\x03\x04\x00\x50\x05\x06\x07\x08\x1a\xe1e", nil, "[1.2.3.4:80 5.6.7.8:6881]", 900},
		"a list":            {"d8:intervali900e5:peersld2:ip7:1.2.3.44:porti80eed2:ip5:2::3e4:porti5eeee", nil, "[1.2.3.4:80 [2::3e]:5]", 900},
		"version 6":         {"d8:intervali1e6:peers618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1e", nil, "[[2001:db8::1]:6881]", 1},
		"a line behind":     {"d8:intervali5e5:peers0:e\n", nil, "[]", 5},
		"min interval":      {"d8:intervali5e12:min intervali50e5:peers0:e", nil, "[]", 50},
		"private":           {"d8:intervali5e5:peers12:\x0a\x02\x03\x04\x00\x50\x05\x06\x07\x08\x1a\xe1e", nil, "[5.6.7.8:6881]", 5},
		"no ports":          {"d8:intervali5e5:peersld2:ip7:1.2.3.44:porti0eed2:ip7:1.2.3.44:porti65536eed2:ip7:1.2.3.44:porti-1eeee", nil, "[]", 5},
		"names":             {"d8:intervali5e5:peersld2:ip9:localhost4:porti80eeee", nil, "[]", 5},
		"peers of no kind":  {"d8:intervali5e5:peersi5ee", nil, "[]", 5},
		"peers that are 5":  {"d8:intervali5e5:peersli5eee", nil, "[]", 5},
		"without addresses": {"d8:intervali5e5:peersld4:porti5eed2:ipi5eed2:iple4:port1:xeee", nil, "[]", 5},
		"an odd end":        {"d5:peers8:\x01\x02\x03\x04\x00\x50xxe", nil, "[1.2.3.4:80]", 0},
		"an odd interval":   {"d8:interval1:x5:peers0:e", nil, "[]", 0},
		"one address":       {"d8:intervali5e5:peers120:" + strings.Repeat("\x01\x02\x03\x04\x00\x50", 10) + portsOf(10) + "e", nil, "8", 5},
		"very many":         {fmt.Sprintf("d8:intervali5e5:peers%d:%se", many.Len(), many.String()), nil, "500", 5},
		"100 MB":            {"d5:peers" + fmt.Sprint(100<<20) + ":" + strings.Repeat("x", MaxAnswer), kith.TooLarge, "", 0},
		"open lists":        {"d5:peers" + strings.Repeat("l", 1<<20), kith.TooLarge, "", 0},
		"many lists":        {"d5:peersl" + strings.Repeat("le", 1<<19) + "ee", kith.TooLarge, "", 0},
		"nothing":           {"", kith.Invalid, "", 0},
		"a page":            {"<html>", kith.Invalid, "", 0},
		"refused":           {"d14:failure reason7:go away5:peers6:\x01\x02\x03\x04\x00\x50e", nil, "[]", 0},
	} {
		a, err := ParseAnswer([]byte(c.says), public)
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
			continue
		}
		if got := fmt.Sprint(a.Peers); err == nil && got != c.peers && fmt.Sprint(len(a.Peers)) != c.peers || a.Interval != c.every {
			t.Errorf("%s: %.200s every %d s, want %s every %d s", name, got, a.Interval, c.peers, c.every)
		}
		if want := map[string]string{"refused": "go away"}[name]; a.Failure != want {
			t.Errorf("%s: %q", name, a.Failure)
		}
	}
}

// portsOf are ten ports of one address.
func portsOf(n int) (s string) {
	for i := range n {
		s += "\x01\x02\x03\x04\x01" + string(rune(i))
	}
	return s
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("d8:completei1e10:incompletei2e8:intervali900e5:peers12:\x01\x02\x03\x04\x00\x50\x05\x06\x07\x08\x1a\xe1e"))
	f.Add([]byte("d8:intervali900e5:peersld2:ip7:1.2.3.44:porti80eed2:ip5:2::3e4:porti5eeee"))
	f.Add([]byte("d14:failure reason7:go awaye"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAnswer(data, nil)
		if err != nil {
			return
		}
		again, err := ParseAnswer(a.Encode(), nil)
		if err != nil || again.Interval != a.Interval && a.Failure == "" || len(again.Peers) != len(a.Peers) || again.Failure != a.Failure {
			t.Errorf("%+v, then %+v, %v", a, again, err)
		}
	})
}
