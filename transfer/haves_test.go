package transfer

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/wire"
)

// TestDeclines has one peer ask, and then others for parts of the same.
func TestDeclines(t *testing.T) {
	for _, test := range []struct {
		name      string
		peer      string
		downloads bool
		plain     bool
		items     []item
		want      bool
	}{
		{"the same", "b", false, false, []item{{First: 4, N: 2}}, true},
		{"a part of it", "b", false, false, []item{{First: 5, N: 4}}, true},
		{"something else", "b", false, false, []item{{First: 6, N: 4}, {First: 2, N: 2}}, false},
		{"not as fresh", "b", false, true, []item{{First: 4, N: 2}}, false},
		{"by the same peer", "a", false, false, []item{{First: 4, N: 2}}, false},
		{"of who has not everything himself", "b", true, false, []item{{First: 4, N: 2}}, false},
		{"beyond the end", "b", false, false, []item{{First: 4, N: 7}, {First: 1 << 60, N: 1}}, false},
		{"another blob", "b", false, false, []item{{Sum: make([]byte, kith.RefSize), First: 4, N: 2}}, false},
		{"only a proof", "b", false, false, []item{{First: 4, N: 2, Proof: true}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, root := New(Options{}), kith.RawRef([32]byte{1})
			defer m.Close()
			if test.downloads {
				m.downloads[root] = newDownload(m, Job{Root: root, Size: -1})
			}
			first, other := &session{m: m, peer: "a", root: root, groups: 10}, &session{m: m, peer: peerID(test.peer), root: root, groups: 10}
			m.sessions[root] = map[*session]bool{first: true, other: true}
			if m.declines(first, &wanted{Items: []item{{First: 4, N: 2}}, Fresh: true}) {
				t.Fatal("the first is declined")
			}
			if got := m.declines(other, &wanted{Items: test.items, Fresh: !test.plain}); got != test.want {
				t.Errorf("declined: %v, want %v", got, test.want)
			}
			for n := range int64(2 * maxPromised) {
				m.declines(first, &wanted{Items: []item{{First: n % 10, N: 1}}})
			}
			if len(first.promised) > maxPromised {
				t.Errorf("%d promises are kept", len(first.promised))
			}
		})
	}
}

// TestDeclined has two peers ask a seed for the same: the second is told at once that it is declined, and has it when it asks again.
func TestDeclined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		seed, data := h.node(), noise(8, 1<<20)
		root := seed.share(data)
		talk := func() (request func(w wanted) part, end func()) {
			s, err := h.fake(nil).OpenBulk(t.Context(), seed.id, Protocol)
			if err != nil {
				t.Fatal(err)
			}
			br := bufio.NewReader(s)
			say := func(m any) tell {
				wire.WriteMsg(s, m)
				got, err := readTell(br)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			say(ask{Hello: &hello{Root: root.CID().Bytes()}})
			return func(w wanted) part {
				p := say(ask{Request: &w}).Answer.Parts[0]
				io.CopyN(io.Discard, br, p.Proof+p.Data)
				return p
			}, func() { s.Close() }
		}
		status := func(p part, want kith.Kind) {
			t.Helper()
			if p.Status != want || want == statusOK && p.Data == 0 {
				t.Errorf("the answer is %+v, want status %d", p, want)
			}
		}
		same := []item{{First: 8, N: 4}}
		a, endA := talk()
		defer endA()
		b, endB := talk()
		defer endB()
		status(a(wanted{ID: 1, Items: same, Fresh: true}), statusOK)
		status(b(wanted{ID: 1, Items: same, Fresh: true}), kith.Exists)
		status(b(wanted{ID: 2, Items: []item{{First: 16, N: 4}}, Fresh: true}), statusOK)
		status(b(wanted{ID: 3, Items: same}), statusOK)
	})
}

// TestHavePause checks that a crowd is not told more, all together, than a few.
func TestHavePause(t *testing.T) {
	for askers, want := range map[int]time.Duration{0: haveTime, 1: haveTime, 8: haveTime, 32: 4 * haveTime} {
		if got := havePause(askers); got != want {
			t.Errorf("%d askers: %v, want %v", askers, got, want)
		}
	}
}

// TestDeclinedIsOwedNoMore: while a source owes nothing, the time that passes says nothing of how fast it is.
func TestDeclinedIsOwedNoMore(t *testing.T) {
	st := (&Download{m: &Manager{}}).newStage(rowRoot, rootRow(kith.RawRef([32]byte{1}), 1<<20))
	c := &conn{wake: make(chan struct{}, 1), asked: map[uint64]*asking{7: {stage: st, id: 7, fresh: true, list: st.row.cut(bao.Range{N: 1})}}}
	c.pace.ask(time.Now())
	if err := c.receive(t.Context(), decline(&wanted{ID: 7, Items: []item{{N: 1}}})); err != nil {
		t.Fatal(err)
	}
	if c.pace.owed != 0 {
		t.Errorf("%d answers are owed after a decline", c.pace.owed)
	}
}
