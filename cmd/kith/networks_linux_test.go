//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/bridge/bittorrent/metainfo"
	"kith/lab/nat"
)

// filmSize is that of the file that comes from everywhere: no whole number of pieces, leaves or groups.
const filmSize = 256<<20 + 4321

// fetchTime is how long a download of it may take: Transmission gives a peer 8 MB/s, half a minute after it has met it.
const fetchTime = 4 * time.Minute

// A scattered is a film of which three programs on three computers have a third each, and nobody more; whoever made it is gone.
type scattered struct {
	t    *testing.T
	net  *nat.Net
	film string    // the whole, to compare with
	link kith.Link // names it in all three networks

	publisher *computer                   // not running
	kubo      string                      // multiaddr
	repo      string                      // of Kubo
	remote    func(args ...string) string // controls Transmission
	from, to  int64                       // what Kubo has; Transmission has what is before and a part of it, a Kith node what is behind
}

// scatter makes the film, and gives everybody their third.
func scatter(t *testing.T) *scattered {
	t.Helper()
	if testing.Short() {
		t.Skip("one download from three networks was not tested: -short")
	}
	for _, p := range []string{"ipfs", "transmission-daemon", "transmission-remote"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("one download from three networks was not tested: no %s in PATH; .ci/install installs it", p)
		}
	}
	n, err := nat.New(nat.Spec{Name: "transmission", Kind: nat.Public}, nat.Spec{Name: "kubo", Kind: nat.Public}, nat.Spec{Name: "holder", Kind: nat.Public}, nat.Spec{Name: "here", Kind: nat.Public}, nat.Spec{Name: "there", Kind: nat.Public})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("one download from three networks was not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	s := &scattered{t: t, net: n, film: filepath.Join(t.TempDir(), "film.mkv")}
	file(t, s.film, filmSize)

	s.publisher = s.computer("holder", "")
	var shared struct{ Link, IPFS string }
	torrent := filepath.Join(t.TempDir(), "film.torrent")
	s.publisher.up()
	s.publisher.ask(&shared, "share", s.film, "--for", "public", "--networks", "bittorrent,ipfs", "--torrent", torrent)
	s.publisher.end(os.Interrupt)
	if s.link, err = kith.ParseLink(shared.Link); err != nil {
		t.Fatal(err)
	}
	repo, id := kuboRepo(t, "public", nil)
	s.repo = repo
	s.kubo = fmt.Sprintf("/ip4/%s/tcp/4001/p2p/%s", n.Host("kubo").Addr, id)
	s.transmission(torrent)
	s.middle(repo)
	kuboDaemon(t, n.Host("kubo"), repo, "Daemon is ready")
	return s
}

// computer is one on a host, with more in its configuration.
func (s *scattered) computer(host, conf string) *computer {
	s.t.Helper()
	c := &computer{t: s.t, dir: s.t.TempDir(), host: s.net.Host(host)}
	if err := os.WriteFile(filepath.Join(c.dir, "config.toml"), []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.end(os.Interrupt) })
	return c
}

// transmission runs Transmission with the first third, in whole pieces, in a file with a hole: it finds out itself what it has. It fetches nothing.
func (s *scattered) transmission(torrent string) {
	s.t.Helper()
	data, err := os.ReadFile(torrent)
	if err != nil {
		s.t.Fatal(err)
	}
	meta, err := metainfo.Read(data)
	if err != nil {
		s.t.Fatal(err)
	}
	piece := meta.Info.PieceLength
	s.from = (filmSize/3 + piece - 1) / piece * piece
	dir, conf := s.t.TempDir(), s.t.TempDir()
	s.hole(filepath.Join(dir, "film.mkv"), 0, s.from)
	host := s.net.Host("transmission")
	settings, _ := json.Marshal(map[string]any{
		"peer-port": 51413, "rpc-port": 9091, "rpc-authentication-required": false, "rpc-whitelist-enabled": false, "dht-enabled": false, "lpd-enabled": false, "pex-enabled": false,
		"port-forwarding-enabled": false, "speed-limit-down-enabled": true, "speed-limit-down": 0, "download-dir": dir, "incomplete-dir-enabled": false, "rename-partial-files": false,
	})
	if err := os.WriteFile(filepath.Join(conf, "settings.json"), settings, 0o600); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	daemon := host.Command(ctx, "transmission-daemon", "-f", "-g", conf)
	daemon.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if err := daemon.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cancel(); daemon.Wait() })
	s.remote = func(args ...string) string {
		out, err := host.Command(ctx, "transmission-remote", append([]string{"127.0.0.1:9091"}, args...)...).CombinedOutput()
		if err != nil {
			return "Error: " + err.Error() + string(out)
		}
		return string(out)
	}
	eventually(s.t, time.Minute, "Transmission is up", func() bool { return !strings.Contains(s.remote("-si"), "Error") })
	if out := s.remote("-a", torrent, "-w", dir); strings.Contains(out, "Error") {
		s.t.Fatal(out)
	}
	s.remote("-t", "1", "-v")
	var says string
	want := fmt.Sprintf("Percent Done: %d%%", s.from*100/filmSize)
	eventually(s.t, 2*time.Minute, "Transmission has looked at what it has", func() bool {
		says = s.remote("-t", "1", "-i")
		return strings.Contains(says, want[:len(want)-1])
	})
	s.link.Swarm = []string{fmt.Sprintf("%s:51413", host.Addr)}
}

var (
	uploadedEver = regexp.MustCompile(`"uploadedEver":\s*(\d+)`)
	dataSent     = regexp.MustCompile(`data sent: (\d+)`)
)

// sent returns how many bytes Transmission and Kubo have given away, as they count them.
func (s *scattered) sent() (bittorrent, ipfs int64) {
	s.t.Helper()
	stat, err := kuboCommand(s.net.Host("kubo").Command(s.t.Context(), "ipfs", "stats", "bitswap"), s.repo).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	count := func(re *regexp.Regexp, said string) (n int64) {
		m := re.FindStringSubmatch(said)
		if m == nil {
			s.t.Fatalf("no %s in %s", re, said)
		}
		n, _ = strconv.ParseInt(m[1], 10, 64)
		return n
	}
	return count(uploadedEver, s.remote("--debug", "-t", "1", "-i")), count(dataSent, string(stat))
}

// hole writes a file that has some of the film's bytes in their place, and is as long.
func (s *scattered) hole(path string, from, to int64) {
	s.t.Helper()
	film, err := os.Open(s.film)
	if err != nil {
		s.t.Fatal(err)
	}
	defer film.Close()
	data := make([]byte, to-from)
	if _, err = film.ReadAt(data, from); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err = f.WriteAt(data, from); err == nil {
		err = errors.Join(f.Truncate(filmSize), f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// middle fills the repository of a Kubo with what the film consists of in IPFS, and takes from it the leaves that are not in the middle third.
func (s *scattered) middle(repo string) {
	s.t.Helper()
	ipfs := func(args ...string) string {
		cmd := kuboCommand(exec.Command("ipfs", args...), repo)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			s.t.Fatalf("ipfs %v: %v: %s", args, err, errs.String())
		}
		return strings.TrimSpace(string(out))
	}
	root := ipfs("add", "-Q", "--pin=false", "--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024", s.film)
	if want := s.link.IPFS.String(); root != want {
		s.t.Fatalf("Kubo calls the film %s, Kith %s", root, want)
	}
	const leaf = 1 << 20
	s.to = (2*filmSize/3 + leaf - 1) / leaf * leaf
	var at int64
	gone := []string{"block", "rm", "-q"}
	for line := range strings.Lines(ipfs("ls", "--resolve-type=false", root)) {
		fields := strings.Fields(line) // CID, size
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			s.t.Fatalf("ipfs ls says %q: %v", line, err)
		}
		if at+size <= s.from || at >= s.to {
			gone = append(gone, fields[0])
		}
		at += size
	}
	if at != filmSize {
		s.t.Fatalf("the leaves have %d bytes, the film %d", at, filmSize)
	}
	ipfs(gone...)
}

// last starts a Kith node that has the last third, proven, and knows of no other network. It was fetching, and its sources are gone.
func (s *scattered) last() *computer {
	s.t.Helper()
	c := s.computer("holder", "")
	c.up()
	l := kith.Link{Ref: s.link.Ref, Name: s.link.Name, Size: s.link.Size}
	if _, errs, exit := c.run("get", l.String(), "--detach"); exit != 0 {
		s.t.Fatal(errs)
	}
	c.end(os.Interrupt)

	ctx := s.t.Context()
	whole, err := blob.Open(ctx, blob.Options{Dir: filepath.Join(s.publisher.dir, "blobs")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer whole.Close()
	from, err := whole.Blob(ctx, l.Ref)
	if err != nil {
		s.t.Fatal(err)
	}
	defer from.Close()
	part, err := blob.Open(ctx, blob.Options{Dir: filepath.Join(c.dir, "blobs")})
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := part.Create(ctx, l.Ref, l.Size, filepath.Join(c.dir, "files", l.Name))
	if err != nil {
		s.t.Fatal(err)
	}
	r := bao.Range{First: s.to / bao.GroupSize, N: bao.Groups(filmSize) - s.to/bao.GroupSize}
	proof, err := from.Proof(nil, r)
	if err != nil {
		s.t.Fatal(err)
	}
	data := make([]byte, filmSize-s.to)
	if _, err := from.ReadAt(data, s.to); err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(to.AddProof(r, proof), to.WriteGroups(r.First, data), to.Checkpoint(ctx), to.Close(), part.Close()); err != nil {
		s.t.Fatal(err)
	}
	c.up()
	return c
}

// kept returns how many bytes of the film a node has durably. It does not run.
func (s *scattered) kept(c *computer) (n int64) {
	s.t.Helper()
	store, err := blob.Open(s.t.Context(), blob.Options{Dir: filepath.Join(c.dir, "blobs")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	b, err := store.Blob(s.t.Context(), s.link.Ref)
	if err != nil {
		s.t.Fatal(err)
	}
	defer b.Close()
	for _, here := range []bao.Bits{b.Have(), b.Loose()} {
		for r := range here.Ranges() {
			n += min(filmSize, (r.First+r.N)*bao.GroupSize) - r.First*bao.GroupSize
		}
	}
	return n
}

// linkTo returns the link with the addresses of those who have a part.
func (s *scattered) linkTo(holder *computer) string {
	s.t.Helper()
	l := s.link
	l.Peers = nil
	var shown struct{ Link string }
	holder.ask(&shown, "show", l.Ref.String())
	if mine, err := kith.ParseLink(shown.Link); err != nil {
		s.t.Fatal(err)
	} else if l.Peers = mine.Peers; len(l.Peers) == 0 {
		s.t.Fatalf("the holder's link names no peer: %s", shown.Link)
	}
	return l.String()
}

// fresh starts a node that has nothing, and knows where Kubo is.
func (s *scattered) fresh(host string) *computer {
	s.t.Helper()
	c := s.computer(host, fmt.Sprintf("[ipfs]\npeers = [%q]\n", s.kubo))
	c.up()
	return c
}

// get runs kith get until it ends, and returns what kith show said last while there was something to fetch.
func (s *scattered) get(c *computer, link, to string) (was cameFrom) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), fetchTime)
	defer cancel()
	cmd := c.host.Command(ctx, os.Args[0], "get", link, "-o", to)
	cmd.Env = append(os.Environ(), "KITH_TEST_BE_KITH=1", "KITH_DIR="+c.dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				s.t.Fatalf("kith get: %v: %s\n%s", err, &out, was)
			}
			return was
		case <-time.After(300 * time.Millisecond):
		}
		var now cameFrom
		if text, _, exit := c.run("show", s.link.Ref.String(), "--json"); exit == 0 && json.Unmarshal([]byte(text), &now) == nil && now.State != "done" {
			was = now
		}
	}
}

// A cameFrom is what kith show says of what came from where.
type cameFrom struct {
	State    string
	Size     int64
	Done     int64
	Networks []struct {
		Network, Said string
		Bytes         int64
		Verified      bool
	}
	From []struct {
		Network, Name string
		Bytes         int64
	}
}

func (s *scattered) show(c *computer) (out cameFrom) {
	s.t.Helper()
	c.ask(&out, "show", s.link.Ref.String())
	return out
}

// bytes returns what came from a network; "" is Kith, of which that is known only while something comes.
func (o cameFrom) bytes(network string) (n int64) {
	for _, f := range o.Networks {
		if f.Network == network {
			return f.Bytes
		}
	}
	for _, f := range o.From {
		if f.Network == network {
			n += f.Bytes
		}
	}
	return n
}

// isWhole compares the file with the film.
func (s *scattered) isWhole(path string) {
	s.t.Helper()
	if out, err := exec.Command("cmp", path, s.film).CombinedOutput(); err != nil {
		s.t.Errorf("what was fetched is not the film: %v: %s", err, out)
	}
}

// onItsWay is what may come of a network though it is not wanted any more: its first window.
const onItsWay = 4 << 20

// TestOneFileFromEveryNetwork: Transmission has the first third of a film, Kubo the middle, a Kith node the last; one kith get of one link brings all of it, also when
// the node is killed half way.
func TestOneFileFromEveryNetwork(t *testing.T) {
	s := scatter(t)
	t.Run("in one go", func(t *testing.T) {
		s.t = t
		holder, c := s.last(), s.fresh("here")
		to := filepath.Join(t.TempDir(), "film.mkv")
		began := time.Now()
		was := s.get(c, s.linkTo(holder), to)
		s.isWhole(to)
		got := s.show(c)
		bittorrent, ipfs := s.sent()
		t.Logf("%.1f s: %s; before: %s; Transmission gave %d, Kubo %d", time.Since(began).Seconds(), got, was, bittorrent, ipfs)
		for network, third := range map[string]int64{"bittorrent": s.from, "ipfs": s.to - s.from, "": filmSize - s.to} {
			if n := was.bytes(network); n < third*9/10 || n > third*11/10 {
				t.Errorf("%d bytes came from %q, which has %d", n, network, third)
			}
		}
		if n := got.bytes("bittorrent") + got.bytes("ipfs"); n != s.to {
			t.Errorf("%d bytes came from other networks, which have %d: %s", n, s.to, got)
		}
		if bittorrent > s.from+onItsWay || ipfs > s.to-s.from+onItsWay {
			t.Errorf("Transmission gave %d bytes of %d, Kubo %d of %d: some came twice", bittorrent, s.from, ipfs, s.to-s.from)
		}
		got.verified(t)
		c.end(os.Interrupt)
		holder.end(os.Interrupt)
	})
	t.Run("killed half way", func(t *testing.T) {
		s.t = t
		holder, c := s.last(), s.fresh("there")
		to := filepath.Join(t.TempDir(), "film.mkv")
		link := s.linkTo(holder)
		if _, errs, exit := c.run("get", link, "-o", to, "--detach"); exit != 0 {
			t.Fatal(errs)
		}
		var was cameFrom
		defer func() {
			if t.Failed() {
				t.Logf("in the end: %s", s.show(c))
			}
		}()
		// Transmission gives nothing for up to half a minute after it has met somebody, and then little by little more.
		eventually(t, fetchTime, "much of it is here, some from everywhere", func() bool {
			was = s.show(c)
			return was.bytes("bittorrent") > s.from/3 && was.bytes("ipfs") > 0 && was.bytes("") > 0
		})
		c.end(os.Kill)
		kept := s.kept(c)
		t.Logf("killed: %s; kept: %d", was, kept)
		if kept <= filmSize-s.from || kept >= filmSize {
			t.Fatalf("%d bytes were kept of %d: nothing of what Transmission gave, or all of it", kept, was.Done)
		}
		bittorrent, ipfs := s.sent()
		c.up()
		last := s.get(c, link, to)
		s.isWhole(to)
		got := s.show(c)
		bittorrentNow, ipfsNow := s.sent()
		bittorrent, ipfs = bittorrentNow-bittorrent, ipfsNow-ipfs
		t.Logf("after: %s; before that: %s; Transmission gave %d, Kubo %d", got, last, bittorrent, ipfs)
		if n := got.bytes("bittorrent") + got.bytes("ipfs"); n > filmSize-kept {
			t.Errorf("%d bytes are said to have come from other networks after %d of %d were kept: %s", n, kept, filmSize, was)
		}
		if n := bittorrent + ipfs + last.bytes(""); n > filmSize-kept+onItsWay {
			t.Errorf("%d bytes came after %d of %d were kept: some came twice", n, kept, filmSize)
		}
		got.verified(t)
	})
}

// verified fails the test if a network has not compared the whole with its digests.
func (o cameFrom) verified(t *testing.T) {
	t.Helper()
	if len(o.Networks) != 2 {
		t.Errorf("it came from %d other networks", len(o.Networks))
	}
	for _, n := range o.Networks {
		if !n.Verified {
			t.Errorf("the whole was not verified by %s: %s", n.Network, n.Said)
		}
	}
}

func (o cameFrom) String() string {
	said := ""
	for _, n := range o.Networks {
		if n.Said != "" {
			said += "; " + n.Network + ": " + n.Said
		}
	}
	return fmt.Sprintf("%s, %d bytes: bittorrent %d, ipfs %d, kith %d%s", o.State, o.Done, o.bytes("bittorrent"), o.bytes("ipfs"), o.bytes(""), said)
}
