package bittorrent

import (
	"testing"
	"time"

	"kith"
)

// TestIncoming: peers are let in while nothing is asked of anybody here, and while the limit of what may come is used up: they may want something, and have something for later.
func TestIncoming(t *testing.T) {
	ctx := timed(t, time.Minute)
	slow := newNode(t, func(o *Options) { o.Limits = func() (up, down int64) { return 0, burst } }) // a second after twice as much
	film := map[string][]byte{"": sample(1, 1<<20)}
	names, err := slow.Publish(ctx, slow.share("film", film))
	if err != nil {
		t.Fatal(err)
	}
	d := newNode(t, nil).get(ctx, slow.link(names)) // it serves
	until(t, 10*time.Second, "the limit holds", func() bool { return slow.client.down.Limit() == burst })
	for range 2 {
		slow.client.down.ReserveN(time.Now(), burst)
	}
	handshake(t, slow, names.V1)

	idle := newNode(t, nil)
	got := idle.get(ctx, slow.link(names)) // knows what there is, and wants none of it yet
	handshake(t, idle, names.V1)
	got.all(ctx)
	got.mustBe(ctx, film)
	handshake(t, idle, names.V1) // has all
	d.o.Close()
	got.o.Close()
	if _, err := idle.StatusOf(names); kith.KindOf(err) != kith.NotFound {
		t.Error(err)
	}
	if _, there := idle.client.cl.Torrent([20]byte(names.V1)); there {
		t.Error("what is fetched no more is still served")
	}
}
