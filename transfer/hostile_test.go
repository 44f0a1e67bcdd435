package transfer

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/blob/bao"
	"kith/network"
	"kith/transfer/proto"
	"kith/wire"
)

// A crook serves one blob as the protocol says, but for what its hooks change.
type crook struct {
	data    []byte
	tree    *bao.Tree
	welcome func(w *proto.Welcome)
	follow  func(h *proto.HaveMap)
	reply   func(w proto.Wanted, a *proto.Answer, payload []byte) []byte // returns the payload
	write   func(s network.Stream, p []byte) error                       // writes an answer; nil: plainly
}

func newCrook(data []byte) *crook {
	out := make(bao.Memory, bao.OutboardSize(int64(len(data))))
	sum, err := bao.Build(context.Background(), bytes.NewReader(data), int64(len(data)), out, nil)
	if err != nil {
		panic(err)
	}
	return &crook{data: data, tree: bao.NewTree(sum, int64(len(data)), out)}
}

func (c *crook) serve(ctx context.Context, s network.Stream) error {
	br := bufio.NewReader(s)
	if _, err := proto.ReadAsk(br); err != nil {
		return err
	}
	w := proto.Welcome{Size: int64(len(c.data))}
	if c.welcome != nil {
		c.welcome(&w)
	}
	if err := wire.WriteMsg(s, proto.Tell{Welcome: &w}); err != nil {
		return err
	}
	for {
		a, err := proto.ReadAsk(br)
		switch {
		case err != nil:
			return err
		case a.Follow != nil:
			h := &proto.HaveMap{Row: *a.Follow, All: true}
			if c.follow != nil {
				c.follow(h)
			}
			err = wire.WriteMsg(s, proto.Tell{Have: h})
		case a.Request != nil:
			err = c.answer(s, *a.Request)
		}
		if err != nil {
			return err
		}
	}
}

func (c *crook) answer(s network.Stream, w proto.Wanted) error {
	a := &proto.Answer{ID: w.ID}
	var payload []byte
	for _, it := range w.Items {
		at := len(payload)
		payload, _ = c.tree.Proof(payload, bao.Range{First: it.First, N: it.N})
		p := proto.Part{Proof: int64(len(payload) - at)}
		from := min(it.First*bao.GroupSize, int64(len(c.data)))
		to := min(from+it.N*bao.GroupSize, int64(len(c.data)))
		p.Data = to - from
		payload = append(payload, c.data[from:to]...)
		a.Parts = append(a.Parts, p)
	}
	if c.reply != nil && w.ID != probeID {
		payload = c.reply(w, a, payload)
	}
	frame, err := wire.AppendMsg(nil, proto.Tell{Answer: a})
	if err != nil {
		return err
	}
	frame = append(frame, payload...)
	if c.write != nil && w.ID != probeID {
		return c.write(s, frame)
	}
	_, err = s.Write(frame)
	return err
}

// TestHostile fetches from an honest seed, which comes a while after a source that is not: in each case the download is complete and
// right, and its status says what was wrong with the other.
func TestHostile(t *testing.T) {
	const bad = 37 // the group that is wrong
	data := noise(3, 3<<20+99)
	for _, tt := range []struct {
		name  string
		crook func(c *crook)
		state SourceState
		why   string
	}{
		{"a wrong byte", func(c *crook) {
			c.data = bytes.Clone(c.data)
			c.data[bad*bao.GroupSize+5] ^= 1
		}, CutOff, "wrong data in group 37"},
		{"a wrong proof", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte { p[3] ^= 1; return p }
		}, CutOff, "wrong proof in group"},
		{"a proof that is too long", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte {
				a.Parts[0].Proof += 64
				return append(make([]byte, 64), p...)
			}
		}, Dropped, "a proof of"},
		{"a proof of 2^62 bytes", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte { a.Parts[0].Proof = 1 << 62; return p }
		}, Dropped, "a proof of"},
		{"too much data", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte { a.Parts[0].Data++; return append(p, 0) }
		}, Dropped, "data of"},
		{"more than it says", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte {
				return append(p, bytes.Repeat([]byte{0xff}, 99)...)
			}
		}, Dropped, "invalid"},
		{"an answer to nothing", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte { a.ID += 1000; return p }
		}, Dropped, "not asked for"},
		{"one part too many", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte {
				a.Parts = append(a.Parts, proto.Part{})
				return p
			}
		}, Dropped, "not asked for"},
		{"garbage", func(c *crook) {
			c.write = func(s network.Stream, p []byte) error { _, err := s.Write(noise(9, len(p))); return err }
		}, Dropped, ""},
		{"a smaller size", func(c *crook) { c.welcome = func(w *proto.Welcome) { w.Size-- } }, CutOff, "size"},
		{"a size of 2^63-1", func(c *crook) { c.welcome = func(w *proto.Welcome) { w.Size = 1<<63 - 1 } }, Dropped, "a size of"},
		{"the largest size there is", func(c *crook) { c.welcome = func(w *proto.Welcome) { w.Size = proto.MaxSize } }, CutOff, "size"},
		{"a have-map beyond the end", func(c *crook) {
			c.follow = func(h *proto.HaveMap) { h.All, h.Spans = false, []uint64{1 << 40, 1} }
		}, Dropped, "have-map"},
		{"a have-map that overflows", func(c *crook) {
			c.follow = func(h *proto.HaveMap) { h.All, h.Spans = false, []uint64{1, 1<<64 - 1} }
		}, Dropped, "have-map"},
		{"a lie about what it has", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte {
				for i := range a.Parts {
					a.Parts[i] = proto.Part{Status: kith.NotFound}
				}
				return nil
			}
		}, Idle, ""},
		{"a decline of everything", func(c *crook) {
			c.reply = func(w proto.Wanted, a *proto.Answer, p []byte) []byte { *a = *proto.Decline(&w); return nil }
		}, Idle, ""},
		{"a name to fool people", func(c *crook) {
			c.welcome = func(w *proto.Welcome) { w.Name = "../\x1b[2Jgood\u202egpj.exe\n" }
		}, "", ""},
		{"silence", func(c *crook) {
			c.write = func(s network.Stream, p []byte) error { _, err := io.Copy(io.Discard, s); return err }
		}, Dropped, ""},
		{"one byte a minute", func(c *crook) {
			c.write = func(s network.Stream, p []byte) error {
				for i := range p {
					if _, err := s.Write(p[i : i+1]); err != nil {
						return err
					}
					time.Sleep(time.Minute)
				}
				return nil
			}
		}, Dropped, "no answer for"},
		{"the end in the middle of an answer", func(c *crook) {
			c.write = func(s network.Stream, p []byte) error { s.Write(p[:len(p)/2]); return io.ErrUnexpectedEOF }
		}, Dropped, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t)
				seed, leech := h.node(), h.node()
				c := newCrook(data)
				tt.crook(c)
				liar := h.fake(c.serve)
				root := seed.share(data)
				d := leech.get(root, liar)
				var src Source
				for range 1000 { // it is alone at first
					time.Sleep(100 * time.Millisecond)
					if src = sourceOf(d, liar.id); tt.state != "" && src.State == tt.state && strings.Contains(src.Why, tt.why) {
						break
					}
				}
				d.Add(seed.info())
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := d.Wait(ctx); err != nil {
					t.Fatalf("%v; status %+v", err, d.Status())
				}
				s := d.Status()
				mustHold(t, s.Path, data)
				if strings.ContainsAny(s.Name, "/\x1b\n\u202e") {
					t.Errorf("its name is %q", s.Name)
				}
				if tt.state != "" && (src.State != tt.state || !strings.Contains(src.Why, tt.why)) {
					t.Errorf("the source is %q because %q, want %q because %q", src.State, src.Why, tt.state, tt.why)
				}
				if got := sourceOf(d, liar.id); tt.state == CutOff && (got.State != CutOff || sourceOf(d, seed.id).Bytes == 0) {
					t.Errorf("in the end it is %q", got.State)
				}
				time.Sleep(2 * time.Minute) // until whoever sleeps in a write has noticed
			})
		})
	}
}

func sourceOf(d *Download, id peerID) Source {
	for _, s := range d.Status().Sources {
		if s.Peer == id {
			return s
		}
	}
	return Source{}
}

// TestAskersThatBehaveBadly sends a holder what it must not take.
func TestAskersThatBehaveBadly(t *testing.T) {
	data := noise(4, 1<<20)
	hi := func(root kith.Ref) proto.Ask { return proto.Ask{Hello: &proto.Hello{Root: root.CID().Bytes()}} }
	for _, tt := range []struct {
		name string
		say  func(root kith.Ref) []any
		want string // in the error of Serve
	}{
		{"nothing", func(kith.Ref) []any { return nil }, "timeout"},
		{"no hello", func(kith.Ref) []any { return []any{proto.Ask{Others: true}} }, "without a hello"},
		{"a root that is none", func(kith.Ref) []any { return []any{proto.Ask{Hello: &proto.Hello{Root: []byte("x")}}} }, ""},
		{"a root that is not here", func(kith.Ref) []any { return []any{hi(kith.RawRef([32]byte{1}))} }, ""},
		{"a request of no items", func(r kith.Ref) []any { return []any{hi(r), proto.Ask{Request: &proto.Wanted{ID: 1}}} }, "items"},
		{"a request that is too large", func(r kith.Ref) []any {
			return []any{hi(r), proto.Ask{Request: &proto.Wanted{ID: 1, Items: []proto.Item{{N: 65}}}}}
		}, "groups"},
		{"a request before the start", func(r kith.Ref) []any {
			return []any{hi(r), proto.Ask{Request: &proto.Wanted{ID: 1, Items: []proto.Item{{First: -1, N: 1}}}}}
		}, "groups"},
		{"too many requests at once", func(r kith.Ref) (list []any) {
			list = append(list, hi(r))
			for i := range proto.MaxOutstanding + 20 {
				list = append(list, proto.Ask{Request: &proto.Wanted{ID: uint64(i + 1), Items: []proto.Item{{N: 64}}}})
			}
			return list
		}, "requests at once"},
		{"silence after the hello", func(r kith.Ref) []any { return []any{hi(r)} }, "timeout"},
		{"a message that is too long", func(r kith.Ref) []any {
			return []any{hi(r), proto.Ask{Hello: &proto.Hello{Root: make([]byte, proto.MaxAsk)}}}
		}, "too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(t)
				seed := h.node()
				root := seed.share(data)
				ended := make(chan error, 1)
				proxy := h.fake(func(ctx context.Context, s network.Stream) error {
					err := seed.m.Serve(ctx, s)
					ended <- err
					return err
				})
				asker := h.fake(nil)
				s, err := asker.OpenBulk(t.Context(), proxy.id, Protocol)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				go func() {
					for i, m := range tt.say(root) {
						wire.WriteMsg(s, m)
						if i == 0 {
							proto.ReadTell(bufio.NewReaderSize(s, 16)) // the welcome; nothing else is read
						}
					}
				}()
				select {
				case err := <-ended:
					if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
						t.Errorf("it ended with %v, want %q", err, tt.want)
					}
				case <-time.After(10 * time.Minute):
					t.Error("it is still served")
				}
			})
		})
	}
}

// TestOnlyWhatTheRootNames asks for a blob that is here, but not part of the root.
func TestOnlyWhatTheRootNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		seed, asker := h.node(), h.fake(nil)
		root, secret := seed.share(noise(5, 1<<20)), seed.share(noise(6, 1<<20))
		s, err := asker.OpenBulk(t.Context(), seed.id, Protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		br := bufio.NewReader(s)
		wire.WriteMsg(s, proto.Ask{Hello: &proto.Hello{Root: root.CID().Bytes()}})
		if w, err := proto.ReadTell(br); err != nil || w.Welcome == nil || w.Welcome.Status != proto.StatusOK || w.Welcome.Size != 1<<20 {
			t.Fatalf("welcome %+v, %v", w.Welcome, err)
		}
		wire.WriteMsg(s, proto.Ask{Request: &proto.Wanted{ID: 7, Items: []proto.Item{{Sum: secret.Sum[:], N: 1}, {First: 64, N: 1}, {First: 2, N: 2, Proof: true}}}})
		a, err := proto.ReadTell(br)
		if err != nil || a.Answer == nil || len(a.Answer.Parts) != 3 {
			t.Fatalf("answer %+v, %v", a, err)
		}
		for i, want := range []proto.Part{{Status: kith.NotFound}, {Status: kith.Invalid}, {Proof: bao.ProofSize(1<<20, bao.Range{First: 2, N: 2})}} {
			if got := a.Answer.Parts[i]; got != want {
				t.Errorf("part %d is %+v, want %+v", i, got, want)
			}
		}
		seed.deny[asker.id] = true
		wire.WriteMsg(s, proto.Ask{Request: &proto.Wanted{ID: 8, Items: []proto.Item{{N: 1}}}})
		io.CopyN(io.Discard, br, a.Answer.Parts[2].Proof)
		if a, err = proto.ReadTell(br); err != nil || a.Answer.Parts[0].Status != kith.Denied {
			t.Errorf("after it was taken away: %+v, %v", a, err)
		}
	})
}
