package transfer

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/transfer/proto"
	"kith/transfer/stage"
	"kith/wire"
)

// TestDeclines has one peer ask, and then others for parts of the same.
func TestDeclines(t *testing.T) {
	for _, test := range []struct {
		name      string
		peer      string
		downloads bool
		plain     bool
		items     []proto.Item
		want      bool
	}{
		{"the same", "b", false, false, []proto.Item{{First: 4, N: 2}}, true},
		{"a part of it", "b", false, false, []proto.Item{{First: 5, N: 4}}, true},
		{"something else", "b", false, false, []proto.Item{{First: 6, N: 4}, {First: 2, N: 2}}, false},
		{"not as fresh", "b", false, true, []proto.Item{{First: 4, N: 2}}, false},
		{"by the same peer", "a", false, false, []proto.Item{{First: 4, N: 2}}, false},
		{"of who has not everything himself", "b", true, false, []proto.Item{{First: 4, N: 2}}, false},
		{"beyond the end", "b", false, false, []proto.Item{{First: 4, N: 7}, {First: 1 << 60, N: 1}}, false},
		{"another blob", "b", false, false, []proto.Item{{Sum: make([]byte, kith.RefSize), First: 4, N: 2}}, false},
		{"only a proof", "b", false, false, []proto.Item{{First: 4, N: 2, Proof: true}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, root := New(Options{}), kith.RawRef([32]byte{1})
			defer m.Close()
			if test.downloads {
				m.downloads[root] = newDownload(m, Job{Root: root, Size: -1})
			}
			first, other := &session{m: m, peer: "a", root: root, groups: 10}, &session{m: m, peer: peerID(test.peer), root: root, groups: 10}
			m.sessions[root] = map[*session]bool{first: true, other: true}
			if m.declines(first, &proto.Wanted{Items: []proto.Item{{First: 4, N: 2}}, Fresh: true}) {
				t.Fatal("the first is declined")
			}
			if got := m.declines(other, &proto.Wanted{Items: test.items, Fresh: !test.plain}); got != test.want {
				t.Errorf("declined: %v, want %v", got, test.want)
			}
			for n := range int64(2 * maxPromised) {
				m.declines(first, &proto.Wanted{Items: []proto.Item{{First: n % 10, N: 1}}})
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
		talk := func() (request func(w proto.Wanted) proto.Part, end func()) {
			s, err := h.fake(nil).OpenBulk(t.Context(), seed.id, Protocol)
			if err != nil {
				t.Fatal(err)
			}
			br := bufio.NewReader(s)
			say := func(m any) proto.Tell {
				wire.WriteMsg(s, m)
				got, err := proto.ReadTell(br)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			say(proto.Ask{Hello: &proto.Hello{Root: root.CID().Bytes()}})
			return func(w proto.Wanted) proto.Part {
				p := say(proto.Ask{Request: &w}).Answer.Parts[0]
				io.CopyN(io.Discard, br, p.Proof+p.Data)
				return p
			}, func() { s.Close() }
		}
		status := func(p proto.Part, want kith.Kind) {
			t.Helper()
			if p.Status != want || want == proto.StatusOK && p.Data == 0 {
				t.Errorf("the answer is %+v, want status %d", p, want)
			}
		}
		same := []proto.Item{{First: 8, N: 4}}
		a, endA := talk()
		defer endA()
		b, endB := talk()
		defer endB()
		status(a(proto.Wanted{ID: 1, Items: same, Fresh: true}), proto.StatusOK)
		status(b(proto.Wanted{ID: 1, Items: same, Fresh: true}), kith.Exists)
		status(b(proto.Wanted{ID: 2, Items: []proto.Item{{First: 16, N: 4}}, Fresh: true}), proto.StatusOK)
		status(b(proto.Wanted{ID: 3, Items: same}), proto.StatusOK)
	})
}

// TestDeclinedIsOwedNoMore: while a source owes nothing, the time that passes says nothing of how fast it is.
func TestDeclinedIsOwedNoMore(t *testing.T) {
	st := stage.New(stage.Options{Row: stage.RootRow(kith.RawRef([32]byte{1}), 1<<20)})
	c := &conn{wake: make(chan struct{}, 1), asked: map[uint64]*asking{7: {stage: st, id: 7, fresh: true, list: st.Row.Cut(bao.Range{N: 1})}}}
	c.pace.Ask(time.Now())
	if err := c.receive(t.Context(), proto.Decline(&proto.Wanted{ID: 7, Items: []proto.Item{{N: 1}}})); err != nil {
		t.Fatal(err)
	}
	if c.pace.Owed != 0 {
		t.Errorf("%d answers are owed after a decline", c.pace.Owed)
	}
}
