package proto

import (
	"bytes"
	"testing"
	"time"

	"kith/transfer/engine"
)

func FuzzAsk(f *testing.F) {
	f.Add([]byte("\x05\xa1\x02\xa2\x01\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := ReadAsk(bytes.NewReader(in))
		if err == nil && a.Request != nil {
			var n int64
			for _, it := range a.Request.Items {
				n += it.N
			}
			if n > engine.MaxRequest || n < 1 {
				t.Errorf("a request of %d groups was taken", n)
			}
		}
	})
}

func FuzzTell(f *testing.F) {
	f.Add([]byte("\x06\xa1\x03\xa1\x03\x80"))
	f.Add([]byte("\x09\xa1\x03\xa2\x01\x00\x03\x82\x05\x05"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ReadTell(bytes.NewReader(in))
		if err != nil {
			return
		}
		if m.Have != nil {
			list, err := m.Have.Ranges(1000)
			for _, r := range list {
				if err == nil && (r.First < 0 || r.N < 1 || r.First+r.N > 1000) {
					t.Errorf("a range of %v", r)
				}
			}
		}
		for _, o := range m.Others {
			o.Peer()
		}
		if m.Welcome != nil && len(PlainName(m.Welcome.Name)) > MaxHintName {
			t.Error("the name is too long")
		}
	})
}

// TestHavePause checks that a crowd is not told more, all together, than a few.
func TestHavePause(t *testing.T) {
	for askers, want := range map[int]time.Duration{0: HaveTime, 1: HaveTime, 8: HaveTime, 32: 4 * HaveTime} {
		if got := HavePause(askers); got != want {
			t.Errorf("%d askers: %v, want %v", askers, got, want)
		}
	}
}
