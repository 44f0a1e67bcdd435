package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/config"
)

func options(dir string) Options {
	return Options{Dir: dir, NoMDNS: true, NoUPnP: true, Version: "test",
		Config: config.Config{Network: "test", Listen: []string{"/ip4/127.0.0.1/tcp/0"}}}
}

func open(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

func TestSecondNodeOnADirectoryIsToldOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if err := first.Start(t.Context(), nil, "127.0.0.1:4748"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), options(dir))
	if !errors.Is(err, kith.Exists) || !strings.Contains(err.Error(), "127.0.0.1:4748") {
		t.Fatalf("the second start ended with %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // the directory is free again
}

func TestDamagedDatabaseIsSetAsideAndSaid(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	id := n.Network().ID()
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "blobs", "blob.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	n = open(t, dir)
	if len(n.Notes()) == 0 || !strings.Contains(n.Notes()[0], "blob.db") {
		t.Errorf("notes %q", n.Notes())
	}
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
	if n.Network().ID() != id {
		t.Error("the device has another peer id")
	}
}

// Whoever shares the home folder does not share the keys of the node with it.
func TestTheNodesOwnFilesAreNeverShared(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".local", "kith")
	n := open(t, dir)
	mine := filepath.Join(dir, "files", "mine.txt")
	if err := os.MkdirAll(filepath.Dir(mine), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := n.blobs.Import(t.Context(), home, blob.ImportOptions{})
	if err != nil || tree.Files != 1 || tree.Skipped == 0 {
		t.Errorf("of the home folder %d files were shared, %v; want one", tree.Files, err)
	}
	for _, path := range []string{"identity", "blobs/blob.db", "lock"} {
		if _, err := n.blobs.Import(t.Context(), filepath.Join(dir, path), blob.ImportOptions{}); !errors.Is(err, kith.Denied) {
			t.Errorf("%s could be shared: %v", path, err)
		}
	}
	if _, err := n.blobs.Import(t.Context(), mine, blob.ImportOptions{}); err != nil {
		t.Errorf("a download could not be shared: %v", err)
	}
}

// A name in the list that no operation has would protect nothing.
func TestAtComputer(t *testing.T) {
	for _, name := range atComputer {
		if i := slices.IndexFunc(Describe().Ops, func(o app.Op) bool { return o.Name == name }); i < 0 || !Describe().Ops[i].Here {
			t.Errorf("%s can be done from a phone", name)
		}
	}
}
