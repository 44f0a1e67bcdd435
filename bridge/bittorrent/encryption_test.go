//go:build linux

package bittorrent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/mse"

	"kith"
	"kith/bridge/bittorrent/metainfo"
	"kith/transfer"
)

// What a connection may be: as it always was, with a hidden handshake and what follows as it is, or with RC4 from the first byte to the last.
const (
	open   = "open"
	hidden = "hidden"
	sealed = "RC4"
)

// spoken says how the connections of a torrent are encrypted, as the library has it in its books, and who dialled.
func (n *node) spoken(h kith.InfoHash) (list []string) {
	for _, pc := range n.swarmOf(h).t.PeerConns() {
		how := open
		v := reflect.ValueOf(pc).Elem()
		switch is := v.FieldByName("headerEncrypted").Bool(); {
		case is && mse.CryptoMethod(v.FieldByName("cryptoMethod").Uint()) == mse.CryptoMethodRC4:
			how = sealed
		case is:
			how = hidden
		}
		who := "dialled"
		if pc.Discovery == torrent.PeerSourceIncoming {
			who = "was dialled"
		}
		list = append(list, who+", "+how)
	}
	return list
}

// mustSpeak fetches the first unit, after which there is still something to fetch and so a connection, and says how it is encrypted.
func (n *node) mustSpeak(ctx context.Context, d *download, h kith.InfoHash, want string) {
	n.t.Helper()
	if err := d.span(ctx, transfer.Span{N: min(d.layout.Unit, d.layout.Files[0].Size)}); err != nil {
		n.t.Error(err)
	} else if got := n.spoken(h); len(got) != 1 || got[0] != want {
		n.t.Errorf("connections: %q, want one: %q", got, want)
	}
}

// set is a node with a setting for encryption, that speaks TCP, and tells nobody of others. It gives a handshake its time: a busy computer does not always do one in 4 s, and then it is
// another one's turn.
func set(encryption string, at netip.Addr) func(*Options) {
	return func(o *Options) {
		o.Bind, o.Config.Encryption, o.Config.NoUTP, o.Config.NoPEX, o.handshakes = at, encryption, true, true, time.Minute
	}
}

// TestEncryption: what two nodes come to, whatever each is set to. Those that cannot speak to each other are left out.
func TestEncryption(t *testing.T) {
	t.Parallel()
	ctx := timed(t, 2*time.Minute)
	settings := []string{"", "prefer", "require", "off"}
	want := map[string][]string{ // by who dials, for each who is dialled
		"":        {open, open, sealed, open},
		"prefer":  {hidden, hidden, sealed, open},
		"require": {sealed, sealed, sealed, ""},
		"off":     {open, open, "", open},
	}
	var links []kith.Link
	for i, s := range settings {
		n := newNode(t, set(s, loopback))
		names, err := n.Publish(ctx, n.share("film", map[string][]byte{"": sample(byte(i), 1<<20)}))
		if err != nil {
			t.Fatal(err)
		}
		links = append(links, n.link(names))
	}
	for dials, want := range want {
		n := newNode(t, set(dials, loopback))
		for i, l := range links {
			if want[i] != "" {
				t.Logf("%q dials %q", dials, settings[i])
				n.mustSpeak(ctx, n.get(ctx, l), keyOf(l.Names), "dialled, "+want[i])
			}
		}
	}
}

// TestEncryptionWhereBlocked: a network that lets no handshake of BitTorrent through, whether it cuts the connection or swallows what comes, is passed with a hidden one.
func TestEncryptionWhereBlocked(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(net.Conn){
		"cuts":     func(net.Conn) {},
		"swallows": func(c net.Conn) { io.Copy(io.Discard, c) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := timed(t, 2*time.Minute)
			seed, n := newNode(t, set("", loopback)), newNode(t, func(o *Options) { set("", loopback)(o); o.handshakes = 0 })
			names, err := seed.Publish(ctx, seed.share("film", map[string][]byte{"": sample(1, 1<<20)}))
			if err != nil {
				t.Fatal(err)
			}
			l := seed.link(names)
			l.Swarm = []string{inspector(t, l.Swarm[0], block)}
			n.mustSpeak(ctx, n.get(ctx, l), keyOf(names), "dialled, "+hidden)
		})
	}
}

// inspector stands between who dials it and a peer, and does something else with connections that begin as those of BitTorrent do.
func inspector(t *testing.T, peer string, block func(net.Conn)) string {
	return answered(t, func(c net.Conn) {
		first := make([]byte, len("\x13BitTorrent protocol"))
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
		if string(first) == "\x13BitTorrent protocol" {
			block(c)
			return
		}
		p, err := net.Dial("tcp4", peer)
		if err != nil {
			return
		}
		defer p.Close()
		go func() { io.Copy(p, io.MultiReader(bytes.NewReader(first), c)); p.Close() }()
		io.Copy(c, p)
	})
}

// form has it do something.
func (c *qbittorrent) form(path string, form url.Values) {
	c.t.Helper()
	if out, err := c.ask("POST", path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode())); err != nil {
		c.t.Fatalf("%s: %s: %v", path, out, err)
	}
}

// encrypt sets how it encrypts: 0 where it must be, 1 always, 2 never.
func (c *qbittorrent) encrypt(how int) {
	c.form("app/setPreferences", url.Values{"json": {fmt.Sprintf(`{"encryption":%d}`, how)}})
}

// guide is a tracker that names one peer of a torrent, and nobody to that peer. (Peers that qBittorrent is told of by hand it takes for such as have said that they like encryption.)
func guide(t *testing.T, to *sync.Map) string {
	l, err := net.Listen("tcp4", netip.AddrPortFrom(trackerAt, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var peer []byte
		if at, ok := to.Load(kith.InfoHash([]byte(r.URL.Query().Get("info_hash")))); ok {
			at := at.(netip.AddrPort)
			peer = binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port())
		}
		fmt.Fprintf(w, "d8:intervali1800e5:peers%d:%se", len(peer), peer)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String() + "/announce"
}

// spoken says how a connection to it is encrypted, as it says itself; "" if there is none.
func (c *qbittorrent) spoken(h kith.InfoHash) string {
	out, err := c.ask("GET", "sync/torrentPeers?hash="+h.String(), "", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	var all struct {
		Peers map[string]struct{ Flags string }
	}
	if err := json.Unmarshal(out, &all); err != nil {
		c.t.Fatalf("%s: %v", out, err)
	}
	for _, p := range all.Peers {
		switch {
		case strings.Contains(p.Flags, "E"):
			return sealed
		case strings.Contains(p.Flags, "e"):
			return hidden
		}
		return open
	}
	return ""
}

// seeds reports whether it has looked at what it has of a torrent, and would give it.
func (c *qbittorrent) seeds(h kith.InfoHash) bool {
	out, err := c.ask("GET", "torrents/info?hashes="+h.String(), "", nil)
	return err == nil && (bytes.Contains(out, []byte(`"state":"stalledUP"`)) || bytes.Contains(out, []byte(`"state":"uploading"`)))
}

// TestEncryptionWithQBittorrent: what a node and qBittorrent come to, whoever dials. qBittorrent has RC4 alone where a handshake is hidden, whatever it is offered.
func TestEncryptionWithQBittorrent(t *testing.T) {
	t.Parallel()
	if !inside(t, 4*time.Minute, programs...) {
		return
	}
	ctx := timed(t, 2*programTime)
	dir := t.TempDir()
	c := newQBittorrentAt(t, dir, otherAt, "TCP")
	var peers sync.Map
	tracker := guide(t, &peers)
	for i, test := range []struct {
		kith  string
		other int
		dials bool // Kith
		want  string
	}{
		{"", 0, true, open},
		{"", 0, false, open},
		{"prefer", 0, true, sealed},
		{"prefer", 0, false, open},
		{"require", 0, true, sealed},
		{"", 1, true, sealed},
		{"", 1, false, sealed},
		{"off", 0, true, open},
		{"off", 0, false, open},
	} {
		name := fmt.Sprintf("%d.mkv", i)
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, sample(byte(i), 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		torrent := of(t, "v1", at, tracker)
		data, err := os.ReadFile(torrent)
		if err != nil {
			t.Fatal(err)
		}
		n := newNode(t, set(test.kith, kithAt))
		l, err := n.AddTorrent(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		l.Trackers = nil
		h := keyOf(l.Names)
		var d *download
		c.encrypt(test.other)
		if test.dials {
			c.add(torrent)
			until(t, programTime, "qBittorrent has looked at its file", func() bool { return c.seeds(h) })
			l.Swarm = []string{otherAt.String() + ":6881"}
			d = n.get(ctx, l)
		} else {
			d = n.get(ctx, l)
			peers.Store(h, n.Listens()[0])
			c.add(torrent)
		}
		t.Logf("Kith %q, qBittorrent %d", test.kith, test.other)
		n.mustSpeak(ctx, d, h, map[bool]string{true: "dialled, ", false: "was dialled, "}[test.dials]+test.want)
		until(t, programTime, "qBittorrent says that it speaks "+test.want, func() bool { return c.spoken(h) == test.want })
		c.form("torrents/delete", url.Values{"hashes": {h.String()}, "deleteFiles": {"false"}}) // it is busy with three at once
		n.close()
	}
}

// seeds reports whether it has looked at what it has of a torrent, and would give it.
func (c *transmission) seeds(h kith.InfoHash) bool {
	out, err := c.remote("-t", h.String(), "-i")
	return err == nil && strings.Contains(out, "State: Idle")
}

// sealed says whether its only connection of a torrent is encrypted with RC4, as it says itself; between the others it makes no difference.
func (c *transmission) sealed(h kith.InfoHash) (yes, there bool) {
	out, err := c.remote("-t", h.String(), "-ip")
	lines := strings.Split(strings.TrimSpace(out), "\n") // a heading, and one for each: address, flags, done, down, up, program
	if err != nil || len(lines) != 2 || len(strings.Fields(lines[1])) < 6 {
		return false, false
	}
	return strings.Contains(strings.Fields(lines[1])[1], "E"), true
}

// TestEncryptionWithTransmission: what a node and Transmission come to, whoever dials. Everybody has an address of his own, since Transmission takes one handshake of an address at a time.
func TestEncryptionWithTransmission(t *testing.T) {
	t.Parallel()
	if !inside(t, 4*time.Minute, programs...) {
		return
	}
	ctx := timed(t, 2*programTime)
	at, number := netip.MustParseAddr("10.77.0.20"), byte(0)
	next := func() netip.Addr { at, number = at.Next(), number+1; return at } // all of 10.77.0.0/24 is here
	var peers sync.Map
	tracker := guide(t, &peers)
	settings := []string{"", "prefer", "require", "off"}
	type pair struct {
		with    *transmission
		n       *node
		l       kith.Link
		dials   bool // Kith
		is, how string
	}
	var all []pair
	for other, want := range [][2][]string{ // by what Transmission is set to: when Kith dials, and when it does; for each setting of Kith
		{{open, hidden, sealed, open}, {open, open, "", open}},         // it prefers what is not encrypted,
		{{open, sealed, sealed, open}, {sealed, sealed, sealed, open}}, // prefers what is,
		{{sealed, sealed, sealed, ""}, {sealed, sealed, sealed, ""}},   // requires it
	} {
		c, dir, from := next(), t.TempDir(), len(all)
		var torrents []string
		for i, encryption := range append(settings, settings...) {
			p := pair{dials: i < len(settings), n: newNode(t, set(encryption, next()))}
			if p.dials {
				p.how = want[0][i]
				p.is = fmt.Sprintf("Kith %q dials Transmission %d: %s", encryption, other, p.how)
			} else {
				p.how = want[1][i-len(settings)]
				p.is = fmt.Sprintf("Transmission %d dials Kith %q: %s", other, encryption, p.how)
			}
			if p.how == "" { // they cannot
				continue
			}
			name, data := fmt.Sprintf("%d.mkv", number), sample(number, 1<<20)
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			digests := metainfo.NewHasher(64 << 10)
			digests.Write(data)
			made, err := metainfo.Make(name, false, false, 64<<10, []metainfo.Entry{{Digest: digests.Sum()}})
			if err != nil {
				t.Fatal(err)
			}
			torrent := fmt.Sprintf("d8:announce%d:%s4:info%se", len(tracker), tracker, made.Raw)
			torrents = append(torrents, torrent)
			if p.l, err = p.n.AddTorrent(ctx, []byte(torrent)); err != nil {
				t.Fatal(err)
			}
			p.l.Trackers = nil
			if p.dials {
				p.l.Swarm = []string{c.String() + ":51413"}
			} else {
				p.n.wanting(ctx, p.l)
				peers.Store(keyOf(p.l.Names), p.n.Listens()[0])
			}
			all = append(all, p)
		}
		with := newTransmissionAt(t, dir, c, map[string]any{"encryption": other, "utp-enabled": false, "pex-enabled": false}, torrents...)
		for i := range all[from:] {
			all[from+i].with = with
		}
	}
	for _, p := range all {
		if p.dials {
			until(t, programTime, "Transmission has looked at its file", func() bool { return p.with.seeds(keyOf(p.l.Names)) })
			p.n.wanting(ctx, p.l)
		}
	}
	for _, p := range all {
		h := keyOf(p.l.Names)
		want := map[bool]string{true: "dialled, ", false: "was dialled, "}[p.dials] + p.how
		until(t, programTime, p.is, func() bool {
			got, met := p.n.spoken(h), p.n.swarmOf(h).peers(2)
			return len(got) == 1 && got[0] == want && len(met) == 1 && strings.Contains(met[0].Program, "Transmission")
		})
		until(t, programTime, "Transmission says that "+p.is, func() bool { yes, there := p.with.sealed(h); return there && yes == (p.how == sealed) })
		t.Log(p.is)
	}
}

// wanting begins a download, and so has the swarm dialled and let in. There is more than what is asked for, and so a connection when that has come.
func (n *node) wanting(ctx context.Context, l kith.Link) {
	n.t.Helper()
	d := n.get(ctx, l)
	go d.span(ctx, transfer.Span{N: d.layout.Unit})
	until(n.t, 10*time.Second, "it is wanted", func() bool { return d.o.(*origin).isWanted(0) })
}
