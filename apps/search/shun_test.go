package search_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
)

// call does what must succeed.
func call[Out any](t *testing.T, n *apptest.Node, op string, in any) (out Out) {
	t.Helper()
	if err := n.Call(t.Context(), "search", op, in, &out); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return out
}

// What a contact shares comes before what strangers do, whatever it is called, and says so.
func TestContactsFirst(t *testing.T) {
	var w tap
	net := apptest.New(t, 3, w.build)
	share(t, net.Node(1), "winter.txt", "strangers", files.ShareIn{For: "public"})
	share(t, net.Node(2), "a long walk in the cold winter of that year, and what we saw.txt", "annas", files.ShareIn{For: "public"})
	two := func(out search.SearchOut) bool { return len(out.Results) == 2 }
	if r := until(t, net.Node(0), "winter", "not all is found", two).Results[0]; r.Name != "winter.txt" || len(r.Strangers) != 1 || r.Strangers[0] != net.Node(1).Network().ID() {
		t.Errorf("without contacts: %+v", r)
	}
	who := map[string]string{"name": "Anna", "peer": net.Node(2).Network().ID().String()}
	if err := net.Node(0).Call(t.Context(), "node", "people add", who, new(any)); err != nil {
		t.Fatal(err)
	}
	if r := find(t, net.Node(0), "winter").Results[0]; len(r.From) != 1 || r.From[0] != "Anna" || len(r.Strangers) != 0 {
		t.Errorf("with one: %+v", r)
	}
}

// What is hidden is found no more, also after a restart and what comes later, until it is shown again.
func TestHide(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, b, "cheap pills.txt", "1", files.ShareIn{For: "public"})
	r := until(t, a, "pills", "what is public is not found", one).Results[0]
	id := b.Network().ID().String()
	if r.Strangers[0].String() != id {
		t.Fatalf("%+v", r)
	}
	out := call[search.HiddenOut](t, a, "search hide", search.HideIn{What: "…" + id[len(id)-8:], Why: "spam"})
	if len(out.Hidden) != 1 || out.Hidden[0].What != id || out.Hidden[0].Kind != "publisher" || out.Hidden[0].Why != "spam" {
		t.Fatalf("%+v", out)
	}
	found := find(t, a, "pills")
	if !none(found) {
		t.Errorf("hidden: %+v", found)
	}
	var said strings.Builder
	if found.WriteText(&said, 80); !strings.Contains(said.String(), "What is hidden is not shown, 1 in all") {
		t.Errorf("a search that finds nothing says %q", &said)
	}
	share(t, b, "more pills.txt", "2", files.ShareIn{For: "public"})
	until(t, a, "pills", "what was published is not kept", func(out search.SearchOut) bool { return out.Known == 2 })
	net.Restart(0)
	a = net.Node(0)
	if out := find(t, a, "pills"); !none(out) {
		t.Errorf("after a restart: %+v", out)
	}
	if out := call[search.HiddenOut](t, a, "search unhide", search.UnhideIn{What: id}); len(out.Hidden) != 0 {
		t.Errorf("%+v", out)
	}
	if out := find(t, a, "pills"); len(out.Results) != 2 {
		t.Errorf("shown again: %+v", out)
	}
	if out := call[search.HiddenOut](t, a, "search hide", search.HideIn{What: r.Link}); len(out.Hidden) != 1 || out.Hidden[0].Kind != "content" {
		t.Errorf("%+v", out)
	}
	if out := find(t, a, "pills"); !one(out) || out.Results[0].Name != "more pills.txt" {
		t.Errorf("one content hidden: %+v", out)
	}
}

// A block list hides what it names, until it is followed no more; what is hidden by hand too stays hidden.
func TestBlockList(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	bad := share(t, b, "pills.txt", "1", files.ShareIn{For: "public"})
	share(t, b, "pills and more.txt", "2", files.ShareIn{For: "public"})
	until(t, a, "pills", "not all is found", func(out search.SearchOut) bool { return len(out.Results) == 2 })
	path := filepath.Join(t.TempDir(), "spam.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# spam\n" + bad.Link + " # pills\n")
	out := call[search.BlockOut](t, a, "search block add", search.BlockAddIn{File: path})
	if len(out.Lists) != 1 || out.Lists[0].Name != "spam.txt" || out.Lists[0].Contents != 1 || out.Lists[0].Publishers != 0 || out.Lists[0].File != path {
		t.Fatalf("%+v", out)
	}
	if out := find(t, a, "pills"); !one(out) || out.Results[0].Name != "pills and more.txt" {
		t.Errorf("a content of a list: %+v", out)
	}
	write("\n\nnobody\n")
	err := a.Call(t.Context(), "search", "search block add", search.BlockAddIn{File: path}, new(any))
	if !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a broken list: %v", err)
	}
	if out := find(t, a, "pills"); !one(out) {
		t.Errorf("a broken list changed what is hidden: %+v", out)
	}
	id := b.Network().ID().String()
	out = call[search.BlockOut](t, a, "search block add", search.BlockAddIn{Name: "spam.txt", Text: id + " # all of it"})
	if len(out.Lists) != 1 || out.Lists[0].Publishers != 1 || out.Lists[0].Contents != 0 {
		t.Errorf("%+v", out)
	}
	call[search.HiddenOut](t, a, "search hide", search.HideIn{What: bad.Link})
	if out := find(t, a, "pills"); !none(out) {
		t.Errorf("a publisher of a list: %+v", out)
	}
	call[search.BlockOut](t, a, "search block rm", search.BlockRmIn{Name: "spam.txt"})
	if out := find(t, a, "pills"); !one(out) || out.Results[0].Name != "pills and more.txt" {
		t.Errorf("without the list: %+v", out)
	}
	list := share(t, a, "list.txt", id, files.ShareIn{})
	call[search.BlockOut](t, a, "search block add", search.BlockAddIn{File: list.Link})
	if out := find(t, a, "pills"); !none(out) {
		t.Errorf("a list by its link: %+v", out)
	}
}

func TestShunRefused(t *testing.T) {
	var w tap
	n := apptest.New(t, 1, w.build).Node(0)
	share(t, n, "mine.txt", "1", files.ShareIn{For: "public"})
	until(t, n, "mine", "what is shared is not found", func(out search.SearchOut) bool { return out.Known == 1 })
	for name, c := range map[string]struct {
		op   string
		in   any
		kind kith.Kind
		says string
	}{
		"nobody":         {"search hide", search.HideIn{What: "@nobody"}, kith.NotFound, "nobody"},
		"no publisher":   {"search hide", search.HideIn{What: "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"}, kith.NotFound, "no publisher"},
		"too little":     {"search hide", search.HideIn{What: n.Network().ID().String()[45:]}, kith.NotFound, ""},
		"oneself":        {"search hide", search.HideIn{What: n.Network().ID().String()}, kith.Invalid, "this device"},
		"a long reason":  {"search hide", search.HideIn{What: "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp", Why: strings.Repeat("a", 300)}, kith.NotFound, ""},
		"not hidden":     {"search unhide", search.UnhideIn{What: "anna"}, kith.NotFound, "anna"},
		"no list":        {"search block rm", search.BlockRmIn{Name: "x"}, kith.NotFound, "x"},
		"nothing":        {"search block add", search.BlockAddIn{}, kith.Invalid, ""},
		"no file":        {"search block add", search.BlockAddIn{File: "/no/such/file"}, kith.NotFound, ""},
		"neither":        {"search block add", search.BlockAddIn{File: "spam.txt"}, kith.NotFound, "spam.txt"},
		"not here":       {"search block add", search.BlockAddIn{File: kith.RawRef([32]byte{1}).String()}, kith.NotFound, "not here"},
		"without a name": {"search block add", search.BlockAddIn{Text: "#"}, kith.Invalid, "name"},
	} {
		if err := n.Call(t.Context(), "search", c.op, c.in, new(any)); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
