package chord_test

import (
	"testing"

	"kith/overlay/chord"
	"kith/overlay/kbr"
)

// FuzzStep: whatever happens to a node, in whatever order and whatever peers say, it goes on, keeps within its bounds, and answers every question once.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte("\x01\x02\x00\x00\x00\x00\x00\x00\x09\x02\x06\x00\x00\x00\x00\x00\x04\x03\x03\x01\x05\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table := &kbr.Table{}
		for i := range 40 {
			table.Add(kbr.Hash([]byte{byte(i)}))
		}
		ring := chord.New(chord.Config{Successors: 4, Round: 30 * kbr.Second, Repair: 1, Alternates: 3, Eager: true, Doubts: true}, table)
		ring.Grow()
		engine := ring.Engine(1)
		host := kbr.Host{Engine: ring.Engine, RTT: func(kbr.Node) *kbr.RTT { return new(kbr.RTT) }}
		var tags []kbr.Tag
		next := func() byte {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return b
		}
		node := func() kbr.Node { return kbr.Node(next() % 41) }
		for len(data) > 0 {
			m := kbr.Message{Kind: kbr.Kind(next() % 10), Hops: next(), Vain: next(), Tag: kbr.Tag(next()) | kbr.Tag(next())<<56, Flags: next(), Count: next(), Ends: next(), Node: node(), Key: table.ID(node())}
			for i := range min(len(m.Nodes), len(data)) {
				m.Nodes[i] = node()
			}
			ev := kbr.Event{What: kbr.What(next() % 13), From: 1 + kbr.Node(next()%40), Draw: uint64(next()), Took: kbr.Ticks(next()), Try: next(), Msg: &m}
			if n := len(tags); n > 0 { // a driver invents none
				ev.Tag = tags[int(next())%n]
			}
			var out kbr.Outbox
			host.Step(0, 1, &ev, &out)
			replies := 0
			for _, a := range out.Acts {
				switch a.Do {
				case kbr.Reply:
					replies++
				case kbr.Ask, kbr.After, kbr.Search:
					tags = append(tags, a.Tag)
				}
				if a.Do == kbr.Ask && a.Wait <= 0 || a.Do == kbr.After && a.Wait < 0 {
					t.Fatalf("it waits for %d", a.Wait)
				}
			}
			if want := ev.What == kbr.Request; replies != 0 && !want || replies != 1 && want {
				t.Fatalf("%d answers to event %d", replies, ev.What)
			}
			if got := engine.Replicas(100, nil); len(got) > 5 {
				t.Fatalf("%d replicas", len(got))
			}
			if len(out.Acts) > 200 || len(tags) > 10000 {
				return
			}
		}
	})
}
