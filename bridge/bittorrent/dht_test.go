package bittorrent

import (
	"net"
	"testing"
	"time"

	"kith"
	"kith/rendezvous"
)

// TestDHTMessages sends what the library does not survive to the port at which it is a node of the DHT.
func TestDHTMessages(t *testing.T) {
	ctx := timed(t, time.Minute)
	at := func(o *Options) {
		o.Mainline = true
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	}
	a := newNode(t, at)
	if _, err := a.Publish(ctx, a.share("first", map[string][]byte{"": sample(1, 10)})); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("udp", a.Listens()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range []string{"d1:q4:ping1:t1:a1:y1:qe", "d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q9:get_peers1:t1:a1:y1:qe", "d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa6:valuesl1:xee1:t1:a1:y1:re", "x", "d"} {
		c.Write([]byte(m))
	}
	time.Sleep(50 * time.Millisecond) // it would have ended by now
	if _, err := a.StatusOf(kith.Names{V1: kith.InfoHash{1}}); kith.KindOf(err) != kith.NotFound {
		t.Error(err)
	}
	if n := len(a.client.cl.DhtServers()); n == 0 {
		t.Error("there is no DHT")
	}
}
