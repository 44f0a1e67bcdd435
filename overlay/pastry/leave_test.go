package pastry

import (
	"slices"
	"testing"

	"kith/overlay/kbr"
)

// What a node asked before it left may come after it said that it leaves: it is not taken in again for that, but asked whether it is there.
func TestLateWord(t *testing.T) {
	table := &kbr.Table{}
	for i := range 2 {
		table.Add(kbr.Hash([]byte{byte(i)}))
	}
	ring := New(Default(), table)
	ring.Grow()
	host := kbr.Host{Engine: ring.Engine, RTT: func(kbr.Node) *kbr.RTT { return new(kbr.RTT) }}
	var out kbr.Outbox
	step := func(what kbr.What, m kbr.Message) (acts []kbr.Act) {
		host.Step(0, 1, &kbr.Event{What: what, From: 2, Msg: &m}, &out)
		acts, out.Acts = out.Acts, nil
		return acts
	}
	has := func() bool {
		return slices.ContainsFunc(ring.Engine(1).(interface{ Entries([]kbr.Entry) []kbr.Entry }).Entries(nil), func(e kbr.Entry) bool { return e.Node == 2 })
	}
	step(kbr.Start, kbr.Message{})
	asks := kbr.Message{Kind: leafs, Flags: isMember}
	if step(kbr.Request, asks); !has() {
		t.Fatal("who asks is not taken in")
	}
	if step(kbr.Notice, kbr.Message{Kind: leaving}); has() {
		t.Fatal("who leaves is kept")
	}
	acts := step(kbr.Request, asks)
	if has() {
		t.Error("who has left is taken in again")
	}
	i := slices.IndexFunc(acts, func(a kbr.Act) bool { return a.Do == kbr.Ask && a.To == 2 })
	if i < 0 {
		t.Fatal("it is not asked whether it is there")
	}
	host.Step(0, 1, &kbr.Event{What: kbr.Answer, From: 2, Tag: acts[i].Tag, Msg: &kbr.Message{Kind: ping, Flags: isMember}}, &out)
	if !has() {
		t.Error("who is there again is not taken in")
	}
}
