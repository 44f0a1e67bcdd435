package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kith/lab/space"
)

// Where the two of a pair are, and the tracker. Some programs of BitTorrent refuse peers on 127.0.0.1.
const (
	seedAt    = "10.77.0.1"
	fetcherAt = "10.77.0.2"
	trackerAt = "10.77.0.3"
)

// overTCP is qBittorrent without uTP, which it chooses where it can, and which takes it to 7 MB/s here.
const overTCP = "qBittorrent (TCP)"

// bridgeTime is how long one fetch may take.
const bridgeTime = 10 * time.Minute

var bridges = benchmark{
	Name:      "bridges",
	About:     "1 GiB between Kith and programs of others, and between two of the same program, over loopback, from the command to the receiver until it says that the whole is verified; one torrent and one tree of IPFS for all, each program with its own settings",
	Yardstick: "the program among itself",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		w, err := newBridgeWorld(ctx, b)
		if err != nil {
			return nil, err
		}
		defer w.close()
		var lines []line
		for _, program := range []string{"qBittorrent", overTCP, "aria2", "Kubo"} {
			if !b.wants(program) {
				continue
			}
			var self time.Duration
			for _, pair := range [][2]string{{program, program}, {"kith", program}, {program, "kith"}} {
				l, err := w.fetch(ctx, pair[0], pair[1], program == "Kubo")
				if err != nil {
					return nil, fmt.Errorf("%s → %s: %w", pair[0], pair[1], err)
				}
				if pair[0] == pair[1] {
					self = l.Took
				}
				l.Ratio = l.Took.Seconds() / self.Seconds()
				fmt.Fprintf(os.Stderr, "  %s: %.2f s, × %.2f\n", l.Name, l.Took.Seconds(), l.Ratio)
				lines = append(lines, l)
			}
		}
		return lines, nil
	},
}

// A bridgeWorld is a network namespace with a tracker, and what is fetched in it.
type bridgeWorld struct {
	*bench
	space   *space.Space
	tracker *tracker
	server  *http.Server
	client  *http.Client // of what listens there

	file, torrent, cid string
	port               int   // of BitTorrent, another one for each program: who dials from where it listens meets its old connections otherwise, for a minute
	kubo               *kubo // that has the file
}

func newBridgeWorld(ctx context.Context, b *bench) (_ *bridgeWorld, err error) {
	w := &bridgeWorld{bench: b, port: 6881, tracker: &tracker{peers: map[netip.AddrPort]bool{}}, file: filepath.Join(b.tmp, "large"), torrent: filepath.Join(b.tmp, "large.torrent")}
	w.space, err = space.New(func() error {
		for _, args := range []string{"addr add " + seedAt + "/24 dev lo", "addr add " + fetcherAt + "/24 dev lo", "addr add " + trackerAt + "/24 dev lo", "link set lo up"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %s: %w: %s", args, err, out)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	w.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, addr string) (c net.Conn, err error) {
		err = w.space.Do(func() (err error) { c, err = net.DialTimeout(network, addr, time.Second); return err })
		return c, err
	}}}
	var l net.Listener
	if err := w.space.Do(func() (err error) { l, err = net.Listen("tcp4", trackerAt+":6969"); return err }); err != nil {
		return nil, err
	}
	w.server = &http.Server{Handler: w.tracker}
	go w.server.Serve(l)
	if err := makeFile(w.file, b.mib<<20, 4); err != nil {
		return nil, err
	}
	n, err := w.kith(ctx, "maker", seedAt, "")
	if err != nil {
		return nil, err
	}
	w.cid, err = w.publish(ctx, n, "bittorrent,ipfs", "--torrent", w.torrent)
	n.stop()
	if err = errors.Join(err, os.RemoveAll(filepath.Join(b.tmp, "pair"))); err != nil || !b.wants("Kubo") {
		return w, err
	}
	if w.kubo, err = newKubo(ctx, w.at(seedAt), filepath.Join(b.tmp, "repo")); err != nil {
		return nil, err
	}
	err = w.kubo.add(ctx, w.file, w.cid)
	return w, err
}

func (w *bridgeWorld) at(addr string) place { return place{Addr: addr, Command: w.space.Command} }

func (w *bridgeWorld) close() {
	if w.server != nil {
		w.server.Close()
	}
	w.space.Kill()
	w.space.Close()
}

// A giver is one of a pair: a process, and what has it fetch, until it is done.
type giver struct {
	*process
	get func(ctx context.Context, dir string) (*os.ProcessState, error) // the state is that of a process that did it besides
}

// fetch has one program fetch the file from another.
func (w *bridgeWorld) fetch(ctx context.Context, from, to string, ipfs bool) (line, error) {
	ctx, cancel := context.WithTimeout(ctx, bridgeTime)
	defer cancel()
	w.tracker.mu.Lock()
	clear(w.tracker.peers) // who is gone
	w.tracker.mu.Unlock()
	work := filepath.Join(w.tmp, "pair")
	if err := os.Mkdir(work, 0o755); err != nil {
		return line{}, err
	}
	defer os.RemoveAll(work)
	begin := w.torrentPair
	if ipfs {
		begin = w.ipfsPair
	}
	seed, fetcher, err := begin(ctx, from, to)
	for _, p := range []*giver{seed, fetcher} {
		if p != nil && p.process != nil {
			defer p.stop()
		}
	}
	if err != nil {
		return line{}, err
	}
	w.warm(ctx)
	var before time.Duration
	if fetcher.process != nil {
		before = fetcher.cpu()
	}
	sent, dir, began := seed.cpu(), filepath.Join(work, "got"), time.Now()
	state, err := fetcher.get(ctx, dir)
	took := time.Since(began)
	if err != nil {
		return line{}, err
	}
	used := -before
	if fetcher.process != nil {
		used += fetcher.cpu()
	}
	if state != nil {
		used += state.UserTime() + state.SystemTime()
	}
	return line{Name: from + " → " + to, Took: took, Notes: []note{
		{"CPU s, sender", (seed.cpu() - sent).Seconds(), "%.2f"},
		{"CPU s, receiver", used.Seconds(), "%.2f"},
	}}, same(w.file, dir)
}

func (w *bridgeWorld) torrentPair(ctx context.Context, from, to string) (seed, fetcher *giver, err error) {
	programs := map[string]func(ctx context.Context, name, at string, seeds bool) (*giver, error){"kith": w.kithTorrent, "qBittorrent": w.qbittorrent("Both"), overTCP: w.qbittorrent("TCP"), "aria2": w.aria2}
	if seed, err = programs[from](ctx, "seed", seedAt, true); err != nil {
		return seed, nil, err
	}
	for !w.tracker.knows(seedAt) { // it has looked at what it has, and says so
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return seed, nil, fmt.Errorf("the tracker never heard of the seed: %w", err)
		}
	}
	fetcher, err = programs[to](ctx, "fetcher", fetcherAt, false)
	return seed, fetcher, err
}

// knows reports whether somebody has announced themselves from an address.
func (t *tracker) knows(at string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.peers {
		if p.Addr().String() == at {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// kith starts a node that knows of nobody.
func (w *bridgeWorld) kith(ctx context.Context, name, at, ipfsPeer string) (*node, error) {
	dir := filepath.Join(w.tmp, "pair", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("[bittorrent]\nlisten = %q\nport = %d\ndht = false\nlpd = false\ntrackers = [\"http://%s:6969/announce\"]\n[ipfs]\nlisten = [\"/ip4/%s/tcp/4001\"]\n", at, w.port, trackerAt, at)
	w.port++
	if ipfsPeer != "" {
		conf += fmt.Sprintf("peers = [%q]\n", ipfsPeer)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	return w.up(ctx, w.at(at), filepath.Join("pair", name))
}

// publish shares the file to networks of others, and returns what it is in IPFS.
func (w *bridgeWorld) publish(ctx context.Context, n *node, networks string, more ...string) (cid string, err error) {
	_, out, err := timed(n.command(ctx, append([]string{"share", w.file, "--for", "public", "--networks", networks}, more...)...))
	if err != nil {
		return "", err
	}
	var one struct{ IPFS string }
	err = json.Unmarshal(out, &one)
	return strings.TrimPrefix(one.IPFS, "ipfs://"), err
}

func (w *bridgeWorld) kithTorrent(ctx context.Context, name, at string, seeds bool) (*giver, error) {
	n, err := w.kith(ctx, name, at, "")
	if err != nil {
		return nil, err
	}
	g := &giver{process: n.process, get: func(ctx context.Context, dir string) (*os.ProcessState, error) {
		_, err := n.get(ctx, w.torrent, dir)
		return nil, err
	}}
	if seeds {
		_, err = w.publish(ctx, n, "bittorrent")
	}
	return g, err
}

// aria2 is a process for each torrent, which ends when it has it.
func (w *bridgeWorld) aria2(ctx context.Context, name, at string, seeds bool) (*giver, error) {
	args := []string{"--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--file-allocation=none", "--interface=" + at, "--listen-port=" + strconv.Itoa(w.port)}
	w.port++
	if seeds {
		r, err := start(w.space.Command(ctx, "aria2c", append(args, "--check-integrity", "--seed-ratio=0", "-d", w.tmp, w.torrent)...))
		return &giver{process: r}, err
	}
	return &giver{get: func(ctx context.Context, dir string) (*os.ProcessState, error) {
		cmd := w.space.Command(ctx, "aria2c", append(args, "--seed-time=0", "-d", dir, w.torrent)...)
		_, _, err := timed(cmd)
		return cmd.ProcessState, err
	}}, nil
}

// qbittorrent says ten times a second how far it is: by itself it does so every 1.5 s, which is half of what is measured. It speaks Both, which is its default, or TCP.
func (w *bridgeWorld) qbittorrent(protocol string) func(ctx context.Context, name, at string, seeds bool) (*giver, error) {
	return func(ctx context.Context, name, at string, seeds bool) (*giver, error) {
		return w.startQBittorrent(ctx, name, at, protocol, seeds)
	}
}

func (w *bridgeWorld) startQBittorrent(ctx context.Context, name, at, protocol string, seeds bool) (*giver, error) {
	profile := filepath.Join(w.tmp, "pair", name)
	conf := filepath.Join(profile, "qBittorrent", "config", "qBittorrent.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`[LegalNotice]
Accepted=true
[BitTorrent]
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\Port=%[2]d
Session\RefreshInterval=100
Session\BTProtocol=%[3]s
Session\Interface=lo
Session\InterfaceAddress=%[1]s
Session\InterfaceName=lo
Session\UseRandomPort=false
[Preferences]
Connection\UPnP=false
WebUI\Address=%[1]s
WebUI\Port=8081
WebUI\AuthSubnetWhitelistEnabled=true
WebUI\AuthSubnetWhitelist=0.0.0.0/0
WebUI\CSRFProtection=false
WebUI\HostHeaderValidation=false
`, at, w.port, protocol)
	w.port++
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := w.space.Command(ctx, "qbittorrent-nox", "--profile="+profile)
	cmd.Env = append(os.Environ(), "HOME="+profile, "LC_ALL=C.UTF-8")
	r, err := start(cmd)
	if err != nil {
		return nil, err
	}
	q := webUI{"http://" + at + ":8081/api/v2/", w.client}
	g := &giver{process: r, get: func(ctx context.Context, dir string) (*os.ProcessState, error) {
		if err := q.add(ctx, w.torrent, dir); err != nil {
			return nil, err
		}
		return nil, q.wait(ctx)
	}}
	for deadline := time.Now().Add(startTime); ; {
		if _, err = q.ask(ctx, "app/version", "", nil); err == nil {
			break
		}
		if err2 := pause(ctx, 100*time.Millisecond); err2 != nil || time.Now().After(deadline) {
			return g, fmt.Errorf("qBittorrent is not ready: %w", err)
		}
	}
	if seeds {
		_, err = g.get(ctx, w.tmp)
	}
	return g, err
}

func (w *bridgeWorld) ipfsPair(ctx context.Context, from, to string) (seed, fetcher *giver, err error) {
	run := func(k *kubo) (*giver, error) {
		r, err := k.daemon(ctx)
		if r == nil {
			return nil, err
		}
		return &giver{process: r, get: func(ctx context.Context, dir string) (*os.ProcessState, error) {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return nil, err
			}
			cmd := k.command(ctx, "get", "-o", filepath.Join(dir, filepath.Base(w.file)), w.cid)
			_, _, err := timed(cmd)
			return cmd.ProcessState, err
		}}, err
	}
	var mine *kubo
	peer := ""
	if to == "Kubo" {
		if mine, err = newKubo(ctx, w.at(fetcherAt), filepath.Join(w.tmp, "pair", "repo")); err != nil {
			return nil, nil, err
		}
		if fetcher, err = run(mine); err != nil {
			return nil, fetcher, err
		}
		peer = mine.addr()
	}
	if from == "kith" {
		n, err := w.kith(ctx, "seed", seedAt, peer)
		if err != nil {
			return nil, fetcher, err
		}
		seed = &giver{process: n.process}
		if _, err = w.publish(ctx, n, "ipfs"); err != nil {
			return seed, fetcher, err
		}
	} else if seed, err = run(w.kubo); err != nil {
		return seed, fetcher, err
	} else {
		peer = w.kubo.addr()
	}
	if to == "kith" {
		n, err := w.kith(ctx, "fetcher", fetcherAt, peer)
		if err != nil {
			return seed, nil, err
		}
		return seed, &giver{process: n.process, get: func(ctx context.Context, dir string) (*os.ProcessState, error) {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return nil, err
			}
			_, _, err := timed(n.command(ctx, "get", "ipfs://"+w.cid, "-o", filepath.Join(dir, filepath.Base(w.file))))
			return nil, err
		}}, nil
	}
	if from == "Kubo" {
		if _, err := mine.ask(ctx, "swarm", "connect", peer); err != nil {
			return seed, fetcher, err
		}
	}
	for { // a node dials it by itself
		out, err := mine.ask(ctx, "swarm", "peers")
		if err != nil || out != "" {
			return seed, fetcher, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return seed, fetcher, fmt.Errorf("no connection from Kith to Kubo: %w", err)
		}
	}
}
