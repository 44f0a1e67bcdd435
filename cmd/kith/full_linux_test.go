package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kith"
	"kith/internal/disktest"
)

// TestFullDisk runs itself once more in a mount namespace that ends with it, in which a node has a small disk of its own.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("KITH_TEST_FULL_DISK"); dir != "" {
		fullDisk(t, dir)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$")
	cmd.Env = append(os.Environ(), "KITH_TEST_FULL_DISK="+t.TempDir())
	disktest.Run(t, cmd, "a node on a full disk")
}

// A disk is a small file system that can be filled to the last byte.
type disk struct {
	t    *testing.T
	path string
}

func (d disk) junk() string { return filepath.Join(d.path, "junk") }

// fill leaves as many bytes free as it is told to, in pages of 4096.
func (d disk) fill(leave int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.junk(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
	info, err := f.Stat()
	if err == nil && leave > 0 {
		err = f.Truncate(info.Size() - leave)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) free() {
	d.t.Helper()
	if err := os.Remove(d.junk()); err != nil {
		d.t.Fatal(err)
	}
}

// refuses runs a command for which there is no room.
func (c *computer) refuses(args ...string) {
	c.t.Helper()
	_, errs, exit := c.run(args...)
	if exit != kith.Unavailable.ExitCode() || !strings.Contains(errs, "make room") || strings.Contains(errs, "went away") {
		c.t.Errorf("kith %s on a full disk ended with %d: %s", strings.Join(args, " "), exit, errs)
	}
}

// names returns what kith ls shows, and in which state.
func (c *computer) names() map[string]string {
	c.t.Helper()
	var ls struct {
		Items []struct{ Name, State string }
	}
	c.ask(&ls, "ls")
	all := map[string]string{}
	for _, it := range ls.Items {
		all[it.Name] = it.State
	}
	return all
}

func fullDisk(t *testing.T, dir string) {
	small, tiny := disk{t, disktest.New(t, dir, "small", "8m")}, disk{t, disktest.New(t, dir, "tiny", "256k")}
	giver := boot(t)
	c := &computer{t: t, dir: filepath.Join(small.path, "node")}

	small.fill(0) // a new node
	c.refuses("up", "--no-open", "--no-mdns", "--no-upnp", "--no-mainline", "--network", "test")
	small.free()
	c.up()
	t.Cleanup(func() { c.end(os.Interrupt) })

	var shared, second struct{ Link string }
	var none any
	one, big, wide := filepath.Join(dir, "one"), filepath.Join(dir, "big"), filepath.Join(dir, "wide")
	want := file(t, one, 1_000_000)
	file(t, big, 20_000_000)
	if err := os.Mkdir(wide, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} { // the trees of these are files, of 78 kB each
		file(t, filepath.Join(wide, name), 20_000_000)
	}
	giver.ask(&shared, "share", one)
	giver.ask(&second, "share", big)
	var id struct{ Peer_ID string }
	giver.ask(&id, "id")
	c.ask(&none, "share", one)
	c.ask(&none, "rm", "one")

	small.fill(0)
	c.refuses("share", one)
	c.refuses("share", big)
	c.refuses("get", shared.Link)
	c.refuses("get", second.Link)
	c.refuses("people", "add", "Bob", id.Peer_ID)
	c.refuses("id", "profile", "--name", "Alice")
	small.free()
	small.fill(160 << 10) // room for some trees, not for all of them
	c.refuses("share", wide)
	if all := c.names(); len(all) != 0 {
		t.Errorf("on the list: %v", all)
	}
	c.ask(&none, "status")
	small.free()

	// All of it works again, with the same node.
	c.refuses("get", second.Link) // it is larger than the disk
	c.ask(&none, "people", "add", "Bob", id.Peer_ID)
	c.ask(&none, "id", "profile", "--name", "Alice")
	var folder struct {
		Files   int
		Skipped int
	}
	c.ask(&folder, "share", wide)
	if folder.Files != 3 || folder.Skipped != 0 {
		t.Errorf("shared %+v", folder)
	}
	var got struct{ Path string }
	c.ask(&got, "get", shared.Link)
	same(t, got.Path, want)

	// Another disk is full.
	c.refuses("get", shared.Link, "-o", tiny.path)
	c.ask(&none, "rm", "one", "--delete")
	c.refuses("get", shared.Link, "-o", tiny.path)
	if err := unix.Mount("", tiny.path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	little := filepath.Join(dir, "little")
	file(t, little, 1000)
	giver.ask(&second, "share", little)
	for _, args := range [][]string{
		{"get", second.Link, "-o", filepath.Join(tiny.path, "name")}, {"up", "--no-open", "--dir", tiny.path}, {"up", "--no-open", "--dir", filepath.Join(tiny.path, "node")},
	} {
		if _, errs, exit := c.run(args...); exit != kith.Denied.ExitCode() || !strings.Contains(errs, "choose a") {
			t.Errorf("kith %s to a disk that cannot be written ended with %d: %s", args[0], exit, errs)
		}
	}
	c.ask(&none, "get", shared.Link, "-o", filepath.Join(dir, "elsewhere"))
	same(t, filepath.Join(dir, "elsewhere"), want)

	// The node is stopped, by force too, and started while there is no room.
	for _, how := range []os.Signal{os.Interrupt, os.Kill} {
		small.fill(0)
		c.end(how)
		small.fill(0) // what its end made free
		c.refuses("up", "--no-open", "--no-mdns", "--no-upnp", "--no-mainline", "--network", "test")
		small.free()
		c.up()
		if all := c.names(); all["wide"] != "ready" || all["one"] != "done" || len(all) < 2 {
			t.Errorf("after it was stopped (%v) with no room: %v", how, all)
		}
		var people struct{ People []struct{ Name string } }
		if c.ask(&people, "people"); len(people.People) != 1 {
			t.Errorf("people %+v", people)
		}
	}
}
