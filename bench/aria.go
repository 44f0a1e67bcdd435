package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const ariaPort = "6881"

// swarmAria lets aria2 do what swarmKith does. It can be told of no peer, so a small tracker runs beside the seed.
func (b *bench) swarmAria(ctx context.Context, homes []place, file string) (time.Duration, error) {
	var l net.Listener
	if err := homes[0].host.Do(func() (err error) { l, err = net.Listen("tcp4", homes[0].Addr+":0"); return err }); err != nil {
		return 0, err
	}
	server := &http.Server{Handler: &tracker{peers: map[netip.AddrPort]bool{}}}
	go server.Serve(l)
	defer server.Close()
	torrent := filepath.Join(b.tmp, "file.torrent")
	if err := makeTorrent(torrent, file, "http://"+l.Addr().String()+"/announce"); err != nil {
		return 0, err
	}
	args := []string{"--no-conf", "--quiet", "--enable-dht=false", "--bt-enable-lpd=false", "--file-allocation=none", "--listen-port=" + ariaPort}
	seed, err := start(homes[0].Command(ctx, "aria2c", append(args, "--check-integrity", "--seed-ratio=0", "-d", filepath.Dir(file), torrent)...))
	if err != nil {
		return 0, err
	}
	defer seed.stop()
	time.Sleep(3 * time.Second) // it hashes the file and announces itself, and says neither
	dir := func(i int) string { return filepath.Join(b.tmp, fmt.Sprintf("aria%d", i)) }
	took, err := atOnce(homes[1:], func(i int, p place) error {
		_, _, err := timed(p.Command(ctx, "aria2c", append(args, "--seed-time=0", "-d", dir(i), torrent)...))
		return err
	})
	if err != nil {
		return 0, err
	}
	for i := range homes[1:] {
		if err := same(file, dir(i)); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// makeTorrent writes the metainfo file (BEP 3) of one file.
func makeTorrent(path, file, announce string) error {
	const piece = 256 << 10
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var pieces []byte
	for rest := data; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
		sum := sha1.Sum(rest[:min(piece, len(rest))])
		pieces = append(pieces, sum[:]...)
	}
	name := filepath.Base(file)
	var out bytes.Buffer
	fmt.Fprintf(&out, "d8:announce%d:%s4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:", len(announce), announce, len(data), len(name), name, piece, len(pieces))
	out.Write(pieces)
	out.WriteString("ee")
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// A tracker tells every peer of one torrent all others (BEP 3, compact as in BEP 23).
type tracker struct {
	mu    sync.Mutex
	peers map[netip.AddrPort]bool
}

func (t *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	port, err2 := strconv.ParseUint(r.FormValue("port"), 10, 16)
	if err != nil || err2 != nil {
		http.Error(w, "no address", http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers[netip.AddrPortFrom(from.Addr(), uint16(port))] = true
	var compact []byte
	for p := range t.peers {
		ip := p.Addr().As4()
		compact = append(compact, ip[:]...)
		compact = append(compact, byte(p.Port()>>8), byte(p.Port()))
	}
	fmt.Fprintf(w, "d8:intervali2e12:min intervali2e5:peers%d:%se", len(compact), compact)
}
