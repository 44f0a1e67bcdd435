package transfer

import (
	"slices"
	"testing"
	"time"

	"kith"
	"kith/blob/bao"
)

// TestPromised has one peer ask, and looks at what others who fetch the same are told: what exists of it, once, in order, and nothing by who
// has not everything himself.
func TestPromised(t *testing.T) {
	root := kith.RawRef([32]byte{1})
	asks := []item{{First: 6, N: 2}, {First: 0, N: 2}, {First: 1, N: 3}, {First: 9, N: 2}, {First: 1 << 60, N: 1}, {First: 4, N: 1, Proof: true}}
	for _, test := range []struct {
		name      string
		downloads bool
		want      []bao.Range
	}{
		{"seed", false, []bao.Range{{First: 0, N: 4}, {First: 6, N: 2}}},
		{"fetcher", true, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := New(Options{})
			defer m.Close()
			if test.downloads {
				m.downloads[root] = newDownload(m, Job{Root: root, Size: -1})
			}
			stream := func() *session {
				return &session{m: m, root: root, groups: 10, follow: map[int]bool{rowRoot: true}, news: make(chan struct{}, 1)}
			}
			asker, other := stream(), stream()
			m.sessions[root] = map[*session]bool{asker: true, other: true}
			m.promised(asker, asks)
			if got := inOrder(other.spread); !slices.Equal(got, test.want) {
				t.Errorf("told of %v, want %v", got, test.want)
			}
			if len(asker.spread) > 0 {
				t.Errorf("the asker is told of %v, which it asked for itself", asker.spread)
			}
		})
	}
}

// TestHavePause checks that a crowd is not told more, all together, than a few.
func TestHavePause(t *testing.T) {
	for askers, want := range map[int]time.Duration{0: haveTime, 1: haveTime, 8: haveTime, 32: 4 * haveTime} {
		if got := havePause(askers); got != want {
			t.Errorf("%d askers: %v, want %v", askers, got, want)
		}
	}
}
