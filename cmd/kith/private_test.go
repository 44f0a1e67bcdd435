package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// moveTime is how long a node may take to start again in another network.
const moveTime = time.Minute

// a network as `kith network` shows it.
type shownNetwork struct {
	Network string
	Private *struct {
		Mark    string
		Listed  bool
		Members []struct{ ID, Name string }
		Here    []struct{ Peer, Person, Name string }
		Refused []struct{ Peer, Why string }
	}
}

// shows returns what `kith network` shows; nothing while the node starts again.
func (c *computer) shows() (n shownNetwork) {
	if out, _, exit := c.run("network", "--json"); exit == 0 {
		json.Unmarshal([]byte(out), &n)
	}
	return n
}

// isIn waits until the node is in a private network, and returns its mark.
func (c *computer) isIn(name string) (mark string) {
	c.t.Helper()
	eventually(c.t, moveTime, "the node is in "+name, func() bool {
		n := c.shows()
		if n.Private != nil {
			mark = n.Private.Mark
		}
		return n.Network == name && n.Private != nil
	})
	return mark
}

// told gives a command a line on its standard input.
func (c *computer) told(line string, args ...string) (out string, exit int) {
	cmd := c.command(args...)
	cmd.Stdin = strings.NewReader(line + "\n")
	text, err := cmd.CombinedOutput()
	if err != nil {
		return string(text), cmd.ProcessState.ExitCode()
	}
	return string(text), 0
}

func (c *computer) tcp() string {
	c.t.Helper()
	var me struct{ Addrs []string }
	c.ask(&me, "id")
	for _, a := range me.Addrs {
		if strings.Contains(a, "/tcp/") {
			return a
		}
	}
	c.t.Fatalf("no TCP address in %q", me.Addrs)
	return ""
}

// A group makes a network of its own with the lines that the program prints: one invites, the other joins and fetches; strangers, and those who have another
// network of the same name, get no further than the door; the list shuts one out at once, and everything outlives kill -9.
func TestPrivateNetworkAsTheyWouldType(t *testing.T) {
	public := []string{"--network", ""}
	a, b, c := boot(t, public...), boot(t, public...), boot(t, public...)
	var none any
	a.ask(&none, "id", "profile", "--name", "Anna")
	b.ask(&none, "id", "profile", "--name", "Ben")
	c.ask(&none, "connect", a.tcp()) // so that it knows what a said then

	printed, errs, exit := a.run("network", "new", "family")
	link, _, _ := strings.Cut(printed, "\n")
	if exit != 0 || !strings.HasPrefix(link, "kith:network:") || !strings.Contains(printed, "kith network join") {
		t.Fatalf("kith network new ended with %d: %s%s", exit, printed, errs)
	}
	mark := a.isIn("family")
	var invite struct{ Link, Network string }
	a.ask(&invite, "invite")
	if invite.Network != "family" || len(invite.Link) > 300 {
		t.Errorf("invite %+v", invite)
	}

	if printed, errs, exit = b.run("join", invite.Link); exit != 0 || !strings.Contains(printed, "private network family") {
		t.Fatalf("kith join ended with %d: %s%s", exit, printed, errs)
	}
	if got := b.isIn("family"); got != mark {
		t.Errorf("marks %s and %s", mark, got)
	}
	eventually(t, moveTime, "they are contacts", func() bool {
		out, _, _ := b.run("people", "--json")
		return strings.Contains(out, `"name": "Anna"`) || strings.Contains(out, `"name":"Anna"`)
	})
	path := filepath.Join(t.TempDir(), "film.mkv")
	want := file(t, path, 1<<20)
	var shared struct{ Link string }
	a.ask(&shared, "share", path)
	var got struct{ Path string }
	b.ask(&got, "get", shared.Link, "-o", t.TempDir())
	same(t, got.Path, want)

	if out, errs, exit := c.run("connect", a.tcp()); exit != 7 || !strings.Contains(errs, "private network") {
		t.Errorf("a stranger: %d, %s%s", exit, out, errs)
	}
	if out, exit := c.told("", "network", "join", "-"); exit != 2 || !strings.Contains(out, "nothing was given") { // and not the public network
		t.Errorf("no link: %d, %s", exit, out)
	}
	if out, exit := c.told("kith:network:AAAA", "network", "join", "-"); exit != 2 || !strings.Contains(out, "damaged") {
		t.Errorf("a damaged link: %d, %s", exit, out)
	}
	c.ask(&none, "network", "new", "family")
	if other := c.isIn("family"); other == mark {
		t.Error("two networks have one mark")
	}
	if out, errs, exit := a.run("connect", c.tcp()); exit != 4 || !strings.Contains(errs, "another secret") || !strings.Contains(errs, "mark") {
		t.Errorf("one of another network: %d, %s%s", exit, out, errs)
	}
	if out, errs, exit := c.run("join", invite.Link); exit != 4 || !strings.Contains(errs, mark) || !strings.Contains(errs, "--move") {
		t.Errorf("an invite into another network: %d, %s%s", exit, out, errs)
	}
	if _, errs, exit := c.run("network", "join", link); exit != 4 || !strings.Contains(errs, "--move") {
		t.Errorf("joining without leaving ended with %d: %s", exit, errs)
	}
	if out, exit := c.told(link, "network", "join", "-", "--move"); exit != 0 {
		t.Fatalf("kith network join ended with %d: %s", exit, out)
	}
	eventually(t, moveTime, "c is there", func() bool { n := c.shows(); return n.Private != nil && n.Private.Mark == mark })
	c.ask(&none, "connect", a.tcp())

	a.ask(&none, "network", "members", "add", "@Ben")
	if n := a.shows(); !n.Private.Listed || len(n.Private.Here) != 1 || n.Private.Here[0].Name != "Ben" {
		t.Errorf("after Ben is on the list: %+v", n.Private)
	}
	a.end(syscall.SIGKILL)
	a.up(public...)
	if n := a.shows(); n.Private == nil || !n.Private.Listed || n.Private.Mark != mark {
		t.Errorf("after kill -9: %+v", n)
	}
	if out, _, exit := c.run("connect", a.tcp()); exit == 0 && !strings.Contains(out, "hung up") {
		if n := a.shows(); len(n.Private.Here) != 1 {
			t.Errorf("who is not on the list is here: %+v", n.Private)
		}
	}
	if out, errs, exit := b.run("network", "leave"); exit != 0 || !strings.Contains(out, "public network kith") {
		t.Errorf("kith network leave ended with %d: %s%s", exit, out, errs)
	}
	eventually(t, moveTime, "b is in public again", func() bool { n := b.shows(); return n.Network == "kith" && n.Private == nil })
	if _, errs, exit := b.run("network", "members"); exit != 2 || !strings.Contains(errs, "network new") {
		t.Errorf("the members of the public network: %d: %s", exit, errs)
	}
	b.ask(&invite, "invite")
	if _, errs, exit := a.run("join", invite.Link); exit != 2 || !strings.Contains(errs, "network leave") {
		t.Errorf("an invite into the public network ended with %d: %s", exit, errs)
	}
	if _, errs, exit := a.run("network", "join"); exit != 4 || !strings.Contains(errs, "network leave") {
		t.Errorf("joining the public network from a private one ended with %d: %s", exit, errs)
	}
	if i, err := os.Stat(filepath.Join(a.dir, "network", "private.json")); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i, err)
	}
}

// What the link holds is in no log and in no name of a file.
func TestPrivateNetworkIsNotLogged(t *testing.T) {
	a := boot(t, "--network", "")
	var made struct{ Link string }
	a.ask(&made, "network", "new", "family")
	a.isIn("family")
	a.end(os.Interrupt)
	cmd := a.command("up", "--no-open", "--no-mdns", "--no-upnp", "--no-mainline", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--network", "-", "--debug")
	cmd.Stdin = strings.NewReader(made.Link + "\n")
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	greeting := make([]byte, 4096)
	n, _ := out.Read(greeting)
	if !strings.Contains(string(greeting[:n]), "in the private network family") {
		t.Errorf("kith up said %s", greeting[:n])
	}
	a.node = cmd
	a.run("network", "join", made.Link)
	a.run("get", made.Link)
	a.end(os.Interrupt)
	secret := strings.TrimPrefix(made.Link, "kith:network:")[4:24]
	if strings.Contains(log.String(), secret) || strings.Contains(string(greeting[:n]), secret) {
		t.Errorf("the secret is in the log:\n%s", log.String())
	}
}
