package files_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/apps/files"
	"kith/apptest"
)

// A guest link, from the sharing to the end: nothing of it is an item, nobody on the network of peers hears of it, and it outlives a restart.
func TestGuestLink(t *testing.T) {
	net := apptest.New(t, 1, build)
	n := net.Node(0)
	path := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(path, []byte("from the lake"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out files.ShareOut
	if err := n.Call(t.Context(), "files", "share", files.ShareIn{Paths: []string{path}, Guest: true, Lasts: "2h", Downloads: 3, At: "127.0.0.1"}, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Guests) != 1 || out.Guests[0].Most != 3 || !strings.HasSuffix(out.Guests[0].URL, "/letter.txt") || !strings.Contains(out.Guests[0].QR, "<svg") {
		t.Fatalf("%+v", out)
	}
	if g, ok := out.Result().(files.Guest); !ok || g.URL != out.Guests[0].URL {
		t.Errorf("the result is %+v", out.Result())
	}
	net.Restart(0)
	n = net.Node(0)
	var ls files.LsOut
	if err := n.Call(t.Context(), "files", "ls", files.None{}, &ls); err != nil || len(ls.Items) != 0 || len(ls.Guests) != 1 || ls.Guests[0].URL != out.Guests[0].URL {
		t.Fatalf("%v %+v", err, ls)
	}
	resp, err := http.Get(ls.Guests[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "from the lake" {
		t.Errorf("a guest gets %d %q", resp.StatusCode, body)
	}
	var ended files.Guest
	if err := n.Call(t.Context(), "files", "guest rm", files.GuestRmIn{N: ls.Guests[0].N}, &ended); err != nil || ended.Devices != 1 {
		t.Errorf("%v %+v", err, ended)
	}
	if resp, err := http.Get(ls.Guests[0].URL); err == nil { // while the door closes it may still say that it has ended
		resp.Body.Close()
		if resp.StatusCode != http.StatusGone {
			t.Errorf("after its end: %d", resp.StatusCode)
		}
	}

	// What is on the list has one too, and loses it with its place there.
	shared := share(t, n, files.ShareIn{Paths: []string{path}})
	var g files.Guest
	if err := n.Call(t.Context(), "files", "guest add", files.GuestAddIn{Ref: shared.Ref.String(), Lasts: "1h", At: "127.0.0.1"}, &g); err != nil || g.URL == "" {
		t.Fatalf("%v %+v", err, g)
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: shared.Ref.String()}, new(files.RmOut)); err != nil {
		t.Fatal(err)
	}
	var left files.GuestsOut
	if err := n.Call(t.Context(), "files", "guest", files.None{}, &left); err != nil || len(left.Guests) != 0 {
		t.Errorf("%v: after it was taken off the list: %+v", err, left)
	}
}

func TestGuestWishes(t *testing.T) {
	n := apptest.New(t, 1, build).Node(0)
	path := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]files.ShareIn{
		"sealed":           {Guest: true, Private: true},
		"for contacts":     {Guest: true, For: "contacts"},
		"lasts, no guest":  {Lasts: "1h"},
		"at, no guest":     {At: "127.0.0.1"},
		"counted no guest": {Downloads: 3},
		"no time":          {Guest: true, Lasts: "soon", At: "127.0.0.1"},
		"too long":         {Guest: true, Lasts: "8d", At: "127.0.0.1"},
	} {
		in.Paths = []string{path}
		if err := n.Call(t.Context(), "files", "share", in, new(files.ShareOut)); kith.KindOf(err) != kith.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := filepath.Join(n.Dir, "identity")
	if err := n.Call(t.Context(), "files", "share", files.ShareIn{Paths: []string{own}, Guest: true, At: "127.0.0.1"}, new(files.ShareOut)); kith.KindOf(err) != kith.Denied {
		t.Errorf("the node's own keys: %v", err)
	}
}
