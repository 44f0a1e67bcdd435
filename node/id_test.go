package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kith"
	"kith/app"
	"kith/identity"
)

// idCaller runs the operations of one identity as a face does: input as JSON, by name.
func idCaller(t *testing.T) (*identity.Identity, func(op string, in any) (any, error)) {
	t.Helper()
	id, err := identity.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]app.Op{}
	for _, op := range idOps(id, func() (all, told []string) { a := []string{"/ip4/127.0.0.1/tcp/1"}; return a, a }, func() {}, func() []string { return nil }) {
		ops[op.Name] = op
	}
	return id, func(name string, in any) (out any, err error) {
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		for out, err = range ops[name].Run(context.Background(), func(into any) error { return json.Unmarshal(data, into) }) {
		}
		return out, err
	}
}

func text(t *testing.T, out any) string {
	t.Helper()
	var b bytes.Buffer
	if err := out.(app.Texter).WriteText(&b, 80); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPhraseFromPaper does what the output says: it reads the words off the screen, and types those that are asked for.
func TestPhraseFromPaper(t *testing.T) {
	_, call := idCaller(t)
	out, err := call("id phrase", None{})
	if err != nil {
		t.Fatal(err)
	}
	screen := text(t, out)
	paper := map[string]string{}
	for _, m := range regexp.MustCompile(`(\d+) ([a-z]+) *(?:\n|  )`).FindAllStringSubmatch(screen, -1) {
		paper[m[1]] = m[2]
	}
	if len(paper) != 24 {
		t.Fatalf("%d words on the screen:\n%s", len(paper), screen)
	}
	_, command, found := strings.Cut(screen, "kith id confirm ")
	if !found {
		t.Fatalf("no command to confirm:\n%s", screen)
	}
	var words []string
	for _, w := range strings.Fields(command) {
		words = append(words, paper[strings.TrimPrefix(w, "WORD")])
	}
	if out, err = call("id confirm", ConfirmIn{Words: words}); err != nil {
		t.Fatal(err)
	}
	if out.(IDOut).Master != identity.Away || !strings.Contains(text(t, out), "not on this device") {
		t.Errorf("confirmed: %+v", out)
	}
	if _, err := call("id phrase", None{}); !errors.Is(err, kith.Gone) {
		t.Errorf("the phrase after that: %v", err)
	}
}

func TestRestoreOnAnotherDevice(t *testing.T) {
	old, _ := idCaller(t)
	words, _, err := old.Phrase("")
	if err != nil {
		t.Fatal(err)
	}
	id, call := idCaller(t)
	peer := id.PeerID()
	if _, err := call("id restore", RestoreIn{Phrase: words}); !errors.Is(err, kith.Exists) || !strings.Contains(kith.HintOf(err), "kith id restore --replace") {
		t.Fatalf("over an unconfirmed person: %v, hint %q", err, kith.HintOf(err))
	}
	out, err := call("id restore", RestoreIn{Phrase: words, Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.(IDOut); got.Person != old.Person() || got.PeerID != peer.String() {
		t.Errorf("restored %+v, want %s on %s", got, old.Person(), peer)
	}
}

func TestProfileOp(t *testing.T) {
	_, call := idCaller(t)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "me.png")
	if err := os.WriteFile(path, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture.Bytes())

	for _, in := range []ProfileIn{{Name: "Anna", Picture: path}, {NoPicture: true}, {Picture: url}, {}} {
		out, err := call("id profile", in)
		if err != nil {
			t.Fatal(in, err)
		}
		want := url
		if in.NoPicture {
			want = ""
		}
		if got := out.(IDOut); got.Name != "Anna" || got.Picture != want {
			t.Errorf("after %+v: %+v", in, got)
		}
	}
	for _, c := range []struct {
		in   ProfileIn
		want kith.Kind
	}{
		{ProfileIn{Picture: dir}, kith.Invalid},
		{ProfileIn{Picture: path + "x"}, kith.NotFound},
		{ProfileIn{Picture: path, NoPicture: true}, kith.Invalid},
		{ProfileIn{Picture: "data:image/png;base64,!"}, kith.Invalid},
		{ProfileIn{Picture: "data:text/html;base64,PGI+"}, kith.Invalid},
		{ProfileIn{Name: "a\x1b[2J"}, kith.Invalid},
		{ProfileIn{Name: strings.Repeat("x", 65)}, kith.TooLarge},
	} {
		if _, err := call("id profile", c.in); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.in, err, c.want)
		}
	}
	out, err := call("id", None{})
	if err != nil || out.(IDOut).Name != "Anna" || out.(IDOut).Picture != url {
		t.Errorf("after what was refused: %+v, %v", out, err)
	}
	if s := text(t, out); !strings.Contains(s, "Anna") || !strings.Contains(s, "kith id phrase") || !strings.Contains(s, "/ip4/127.0.0.1") {
		t.Errorf("as text:\n%s", s)
	}
	if testing.Verbose() {
		fmt.Println(text(t, out))
	}
}

// A device that was revoked says so where a person looks who it is.
func TestTroubleOfID(t *testing.T) {
	said := text(t, IDOut{Name: "Anna", Trouble: []string{"this device was revoked; link it anew"}})
	if !strings.Contains(said, "\nthis device was revoked; link it anew\n") {
		t.Error(said)
	}
}

// A person reads out the addresses that others can use, and is told that there are more.
func TestAddressesToReadOut(t *testing.T) {
	told := []string{"/ip4/192.0.2.2/tcp/1/p2p/X"}
	for _, more := range []int{0, 2} {
		said := text(t, IDOut{Name: "Anna", Told: told, Addrs: append(told[:1:1], make([]string, more)...)})
		if !strings.Contains(said, told[0]) || strings.Contains(said, "and 2 more, for browsers") != (more == 2) || strings.Contains(said, " more") != (more == 2) {
			t.Errorf("%d more:\n%s", more, said)
		}
	}
}
