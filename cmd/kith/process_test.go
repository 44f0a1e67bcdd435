package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/lab/nat"
)

// The tests in this file run the program as a person does, as processes of its own: the test binary is the program when asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("KITH_TEST_BE_KITH") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A computer is a data directory with, most of the time, a node running on it.
type computer struct {
	t    *testing.T
	dir  string
	host *nat.Host // nil: this computer
	node *exec.Cmd
	log  *journal // of the node

	mainline bool // it may speak to the BitTorrent DHT
}

// boot starts a computer whose node listens on loopback only.
func boot(t *testing.T, flags ...string) *computer {
	t.Helper()
	c := &computer{t: t, dir: t.TempDir()}
	c.up(flags...)
	t.Cleanup(func() { c.end(os.Interrupt) })
	return c
}

func (c *computer) command(args ...string) *exec.Cmd {
	limit := 2 * time.Minute
	if args[0] == "up" {
		limit = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	c.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	if c.host != nil {
		cmd = c.host.Command(ctx, os.Args[0], args...)
	}
	cmd.Env = append(os.Environ(), "KITH_TEST_BE_KITH=1", "KITH_DIR="+c.dir)
	return cmd
}

// up starts the node, and returns when it answers.
func (c *computer) up(flags ...string) {
	c.t.Helper()
	always := []string{"up", "--no-open", "--no-mdns", "--network", "test", "--api", "127.0.0.1:0"}
	if c.host == nil || c.host.Kind != nat.UPnP {
		always = append(always, "--no-upnp")
	}
	if c.host == nil {
		always = append(always, "--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1")
	}
	if !c.mainline {
		always = append(always, "--no-mainline")
	}
	c.start(append(always, flags...)...)
}

// start starts the node with these arguments and no others, and returns when it answers.
func (c *computer) start(args ...string) {
	c.t.Helper()
	c.node = c.command(args...)
	out, err := c.node.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.log = &journal{}
	c.node.Stderr = c.log
	if err := c.node.Start(); err != nil {
		c.t.Fatal(err)
	}
	greeting := make([]byte, 4096)
	n, _ := out.Read(greeting) // one write, when it is up
	if !strings.Contains(string(greeting[:n]), "kith is up") {
		c.node.Wait()
		c.t.Fatalf("the node did not come up: %s%s", greeting[:n], c.log.since(0))
	}
	go io.Copy(io.Discard, out)
}

// A journal is what a node has logged, which may be read while it runs.
type journal struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, b...)
	return len(b), nil
}

// end returns where the journal ends now, for since.
func (j *journal) end() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.text)
}

func (j *journal) since(at int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text[at:])
}

// end ends the node with a signal.
func (c *computer) end(with os.Signal) {
	if c.node == nil {
		return
	}
	c.node.Process.Signal(with)
	c.node.Wait()
	c.node = nil
}

// run runs a command, and returns what it printed and the status it exited with.
func (c *computer) run(args ...string) (stdout, stderr string, exit int) {
	c.t.Helper()
	cmd := c.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var status *exec.ExitError
	switch {
	case errors.As(err, &status):
		exit = status.ExitCode()
	case err != nil:
		c.t.Fatal(err)
	}
	return out.String(), errs.String(), exit
}

// ask runs a command with --json, which must succeed, and decodes what it prints.
func (c *computer) ask(into any, args ...string) {
	c.t.Helper()
	out, errs, exit := c.run(append(args, "--json")...)
	if exit != 0 {
		c.t.Fatalf("kith %s ended with %d: %s", strings.Join(args, " "), exit, errs)
	}
	d := json.NewDecoder(strings.NewReader(out))
	if err := d.Decode(into); err != nil {
		c.t.Fatalf("kith %s printed no JSON: %v\n%s", strings.Join(args, " "), err, out)
	}
	if d.More() {
		c.t.Errorf("kith %s printed more than one JSON document:\n%s", strings.Join(args, " "), out)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %s: %s", within, what)
		}
	}
}

func file(t *testing.T, path string, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d; %v", path, len(got), len(want), err)
	}
}

func TestTwoPeopleAsTheyWouldType(t *testing.T) {
	a, b := boot(t), boot(t)
	path := filepath.Join(t.TempDir(), "festival.mkv")
	want := file(t, path, 5<<20)

	var shared struct {
		Link, Short, Ref, Name string
		Size                   int64
	}
	a.ask(&shared, "share", path)
	if shared.Name != "festival.mkv" || shared.Size != 5<<20 || !strings.HasPrefix(shared.Link, "magnet:?xt=urn:blake3:") {
		t.Errorf("shared %+v", shared)
	}
	if ref, err := kith.ParseRef(shared.Ref); err != nil || ref.IsZero() {
		t.Errorf("ref %q: %v", shared.Ref, err)
	}
	if page, _, exit := b.run("open", "--print", shared.Link); exit != 0 || !strings.Contains(page, "#open=") || !strings.Contains(page, "&link=magnet%3A") {
		t.Errorf("kith open LINK printed %s", page)
	}
	text, _, _ := a.run("share", path)
	line := "kith get '" + shared.Short + "'"
	if !strings.Contains(text, line) {
		t.Errorf("no ready line %q in:\n%s", line, text)
	}

	to := t.TempDir()
	var got struct {
		Path    string
		Size    int64
		Sources int
	}
	b.ask(&got, "get", shared.Short, "-o", to)
	if got.Size != 5<<20 || got.Sources != 1 {
		t.Errorf("got %+v", got)
	}
	same(t, got.Path, want)

	var ids [2]struct {
		Person, Peer_ID string
		Addrs           []string
	}
	a.ask(&ids[0], "id")
	b.ask(&ids[1], "id")
	if ids[0].Peer_ID == ids[1].Peer_ID || !strings.HasPrefix(ids[0].Person, "did:key:") || len(ids[0].Addrs) == 0 {
		t.Errorf("ids %+v", ids)
	}
	var peers []struct {
		ID     string
		Addrs  []string
		Direct bool
		RTT_ms float64
	}
	b.ask(&peers, "peers")
	if len(peers) != 1 || peers[0].ID != ids[0].Peer_ID || !peers[0].Direct {
		t.Errorf("peers %+v", peers)
	}
	var status struct {
		API       string
		Listening []struct{ For, Addr string }
	}
	a.ask(&status, "status")
	if len(status.Listening) < 3 || status.API == "" {
		t.Errorf("status %+v", status)
	}
	var ls struct {
		Items []struct{ Name, State string }
	}
	b.ask(&ls, "ls")
	if len(ls.Items) != 1 || ls.Items[0].State != "done" {
		t.Errorf("ls %+v", ls)
	}
	var v struct{ Version string }
	a.ask(&v, "version")
	var none any
	b.ask(&none, "rm", "festival", "--delete")
	if _, err := os.Stat(got.Path); !os.IsNotExist(err) {
		t.Errorf("rm --delete left %s", got.Path)
	}
	same(t, path, want)
}

func TestExitStatusSaysWhatWentWrong(t *testing.T) {
	a := boot(t)
	nobody := kith.RawRef([32]byte{1}).String()
	for _, tt := range []struct {
		args []string
		want int
		hint string
	}{
		{[]string{"get", "magnet:?nonsense"}, 2, "kith share"},
		{[]string{"get", nobody, "--timeout", "300ms"}, 124, "kith resume"},
		{[]string{"share", filepath.Join(a.dir, "missing")}, 3, ""},
		{[]string{"share"}, 2, ""},
		{[]string{"rm", "nothing"}, 3, "kith ls"},
		{[]string{"connect", "nonsense"}, 2, "kith id"},
		{[]string{"nonsense"}, 2, ""},
		{[]string{"up", "--no-open"}, 5, ""},
		{[]string{"ls", "--dir", filepath.Join(a.dir, "elsewhere")}, 7, "kith up"},
	} {
		out, errs, exit := a.run(tt.args...)
		if exit != tt.want || !strings.Contains(errs, tt.hint) || out != "" && tt.args[0] != "up" {
			t.Errorf("kith %s ended with %d, want %d; stdout %q, stderr %q", strings.Join(tt.args, " "), exit, tt.want, out, errs)
		}
	}
}

func TestKilledInTheMiddleItGoesOn(t *testing.T) {
	a, b := boot(t), boot(t, "--down", "2M")
	path := filepath.Join(t.TempDir(), "big.iso")
	want := file(t, path, 12<<20)
	var shared struct{ Link string }
	a.ask(&shared, "share", path)
	var got struct {
		Path, State string
		Size, Done  int64
	}
	b.ask(&got, "get", shared.Link, "--detach")

	await := func(enough int64) (done int64) {
		deadline := time.Now().Add(time.Minute)
		for time.Now().Before(deadline) {
			var ls struct {
				Items []struct {
					Done  int64
					State string
				}
			}
			b.ask(&ls, "ls")
			if len(ls.Items) == 1 && ls.Items[0].Done >= enough {
				if ls.Items[0].State == "done" {
					t.Fatal("it was done before it was killed: the limit does not hold")
				}
				return ls.Items[0].Done
			}
		}
		t.Fatal("it never came so far")
		return 0
	}
	before := await(4 << 20)
	b.end(os.Kill)
	b.up("--down", "1M")
	var ls struct{ Items []struct{ Done int64 } }
	b.ask(&ls, "ls")
	for ls.Items[0].Done == 0 {
		b.ask(&ls, "ls")
	}
	if lost := before - ls.Items[0].Done; lost > 3<<20 {
		t.Errorf("%d bytes were lost by kill -9: more than was in flight", lost)
	}
	a.end(os.Kill)
	a.up()
	var ids struct{ Addrs []string }
	a.ask(&ids, "id")
	var none any
	b.ask(&none, "connect", ids.Addrs[0])
	b.ask(&none, "limit", "--down", "0")
	b.ask(&got, "get", shared.Link)
	if got.Size != 12<<20 {
		t.Errorf("got %+v", got)
	}
	same(t, got.Path, want)
}
