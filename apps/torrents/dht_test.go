package torrents

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"

	"kith"
	"kith/bridge/bittorrent"
	"kith/bridge/bittorrent/metainfo"
	"kith/rendezvous"
	"kith/rendezvous/rendezvoustest"
)

// seeds has a DHT know of a peer who gives the metadata of a torrent.
func seeds(t *testing.T, there *rendezvoustest.DHT, info []byte) kith.InfoHash {
	t.Helper()
	h := kith.InfoHash(sha1.Sum(info))
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	extended := func(id byte, payload []byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(2+len(payload))), 20, id), payload...)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var hello [68]byte
				if _, err := io.ReadFull(c, hello[:]); err != nil || kith.InfoHash(hello[28:48]) != h {
					return
				}
				c.Write(hello[:])
				c.Write(extended(0, metainfo.Hello{ID: 3, Size: len(info)}.Encode()))
				c.Write(extended(1, metainfo.Exchange{Type: metainfo.ExchangeData, Total: len(info), Data: info}.Encode()))
				io.Copy(io.Discard, c)
			}()
		}
	}()
	ann, err := there.Nodes[0].AnnounceTraversal(h, dht.AnnouncePeer(dht.AnnouncePeerOpts{Port: l.Addr().(*net.TCPAddr).Port}))
	if err != nil {
		t.Fatal(err)
	}
	defer ann.Close()
	for range ann.Peers { // it ends when all were told
	}
	return h
}

// infoOf returns the info dictionary of a folder of two files.
func infoOf(name string) []byte {
	return fmt.Appendf(nil, "d5:filesld6:lengthi70000e4:pathl8:one.flaceed6:lengthi30000e4:pathl8:two.flaceee4:name%d:%s12:piece lengthi65536e6:pieces40:%040de", len(name), name, 1)
}

// What the DHT has is a feed: its items are there after a restart, rules that do not name it leave it alone, and when it is followed no more nothing is left.
func TestDHT(t *testing.T) {
	there := rendezvoustest.Loopback(t, 4)
	k := &kit{t: t, files: &asked{serves: map[kith.InfoHash]bool{}}, dir: t.TempDir(), there: func(o *bittorrent.Options) {
		o.Mainline, o.Hosts = true, there.Hosts
		o.DHTConn = func(c net.PacketConn) net.PacketConn { return rendezvous.Guard(c, true) }
	}}
	k.open()
	t.Cleanup(func() { k.stop() })
	first := seeds(t, there, infoOf("Penguin recordings"))
	if _, err := k.ruleAdd(t.Context(), RuleAddIn{Name: "all", RuleBody: RuleBody{Must: "recordings"}}); err != nil {
		t.Fatal(err)
	}
	before := there.Queries.Load()
	if out, err := k.feedAdd(t.Context(), FeedAddIn{URL: "dht", Every: "30m"}); err != nil || out.Feed.Title != dhtTitle {
		t.Fatalf("%+v, %v", out, err)
	}
	items := func(n int) FeedItems {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			out, err := k.feedShow(t.Context(), FeedIn{Feed: "dht"})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Items) >= n {
				return out
			}
			if time.Now().After(end) {
				t.Fatalf("%+v; the DHT was asked %d questions", out, there.Queries.Load()-before)
			}
		}
	}
	one := items(1).Items[0]
	if one.Title != "Penguin recordings" || one.Size != 100_000 || one.GUID != fmt.Sprintf("%x", first[:]) || !strings.HasPrefix(one.Link, fmt.Sprintf("magnet:?xt=urn:btih:%x", first[:])) {
		t.Errorf("%+v", one)
	}
	for o, err := range k.Offers(t.Context()) {
		if err != nil || o.Source != dhtTitle || !slices.Equal(o.Files, []string{"one.flac", "two.flac"}) {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if got := k.files.got(); len(got) != 0 {
		t.Errorf("a rule for every feed fetched %q of what anybody says", got)
	}
	k.restart()
	seeds(t, there, infoOf("Walrus recordings"))
	if _, err := k.ruleAdd(t.Context(), RuleAddIn{Name: "walrus", RuleBody: RuleBody{Must: "walrus", Feed: "dht"}}); err != nil {
		t.Fatal(err)
	}
	items(2)
	for end := time.Now().Add(time.Minute); len(k.files.got()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a rule for it fetches nothing")
		}
	}
	if got := k.files.got(); len(got) != 1 || !strings.Contains(got[0], "Walrus") {
		t.Errorf("%q", got)
	}
	if out, err := k.feedRm(t.Context(), FeedIn{Feed: "dht"}); err != nil || len(out.Feeds) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	for o := range k.Offers(t.Context()) {
		t.Errorf("%+v is left", o)
	}
}

// A node that is not in the DHT says so where the feed is shown.
func TestNoDHT(t *testing.T) {
	k := newKit(t)
	if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: "dht", Every: "30m"}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		out, err := k.feedLs(t.Context(), None{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.Feeds[0].Trouble, "not in the DHT") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", out)
		}
	}
	k.env.Bridges = nil
	if _, err := k.feedAdd(t.Context(), FeedAddIn{URL: "dht", Every: "30m"}); !errors.Is(err, kith.Unavailable) {
		t.Error(err)
	}
}
