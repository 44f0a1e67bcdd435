package search_test

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"lukechampine.com/blake3"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/search/fact"
	"kith/search/publication"
	"kith/search/spread"
	"kith/wire"
)

// flac returns the beginning of a file of FLAC that plays for so many seconds, with comments such as TITLE=So What.
func flac(seconds uint32, comments ...string) string {
	info := make([]byte, 34)
	info[10], info[11], info[12], info[13] = 0x0a, 0xc4, 0x42, 0xf0 // 44,100 Hz, two channels, 16 bits
	binary.BigEndian.PutUint32(info[14:], 44100*seconds)
	text := binary.LittleEndian.AppendUint32(nil, 0)
	text = binary.LittleEndian.AppendUint32(text, uint32(len(comments)))
	for _, c := range comments {
		text = append(binary.LittleEndian.AppendUint32(text, uint32(len(c))), c...)
	}
	return "fLaC\x00\x00\x00\x22" + string(info) + "\x84\x00\x00" + string([]byte{byte(len(text))}) + string(text)
}

// What a file says of itself is found by everybody if it is public, by who has it if it is not, and over a restart; of what is here the bytes say what it is.
func TestMedia(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, a, "01.bin", flac(562, "TITLE=So What", "ARTIST=Miles Davis", "ALBUM=Kind of Blue", "DATE=1959-08-17"), files.ShareIn{For: "public"})
	share(t, a, "02.flac", flac(60, "ARTIST=Secretive Singer"), files.ShareIn{})
	r := until(t, b, "davis type:audio year:1959 length:>9m", "what a record says of itself is not found", one).Results[0]
	want := fact.Facts{Format: "FLAC", Title: "So What", Artist: "Miles Davis", Album: "Kind of Blue", Year: 1959, Length: 562}
	if r.Facts != want || r.Name != "01.bin" || r.Claims != nil {
		t.Errorf("%+v", r)
	}
	var text strings.Builder
	if err := (search.SearchOut{Results: []search.Result{r}}).WriteText(&text, 0); err != nil || !strings.Contains(text.String(), "Miles Davis – So What · Kind of Blue · 9:22 · FLAC · 1959") {
		t.Errorf("%s, %v", text.String(), err)
	}
	until(t, a, "secretive length:1:00", "who has it does not find it", one)
	if out := call[search.AboutOut](t, a, "search about", search.AboutIn{Item: "02.flac"}); !out.Known || out.Facts.Artist != "Secretive Singer" || out.Public || out.Claim != "" {
		t.Errorf("%+v", out)
	}
	if out := find(t, b, "year:1960..1970"); !none(out) {
		t.Errorf("another year: %+v", out)
	}
	net.Restart(0)
	until(t, net.Node(0), "secretive", "after a restart it is not found", one)
	w.mu.Lock()
	defer w.mu.Unlock()
	if heard := w.heard.String(); strings.Contains(heard, "Secretive") || !strings.Contains(heard, "Miles Davis") {
		t.Error("what a file says that is not public was said, or that of one that is was not")
	}
}

// Names that lie are told as soon as the bytes are here, also of what others say; the type filter goes by the bytes then.
func TestClaims(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	program := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 100)
	share(t, net.Node(0), "Kind of Blue.flac", program, files.ShareIn{For: "public"})
	if r := until(t, net.Node(1), "blue type:program", "its own node has not told what it is", one).Results[0]; r.Claims != nil {
		t.Errorf("%+v", r) // who publishes it says what it is
	}
	if r := until(t, net.Node(0), "blue type:program", "what it is is not found", one).Results[0]; len(r.Claims) != 1 || r.Claims[0] != "audio" {
		t.Errorf("%+v", r)
	}
	if out := call[search.AboutOut](t, net.Node(0), "search about", search.AboutIn{Item: "blue"}); out.Claim != "audio" || out.Facts.Kind != "program" {
		t.Errorf("%+v", out)
	}
}

// Where a photo was taken is in no index, no publication and no file of a node, and by which camera and when is told to nobody: with a photo that has its place in
// three ways.
func TestNoPlace(t *testing.T) {
	data, err := os.ReadFile("../../search/media/testdata/p.jpg")
	if err != nil {
		t.Fatal(err)
	}
	place := []string{"Vienna", "48.2082", "16.3738", "GPS"}
	for _, s := range []string{"Vienna", "GPS"} { // that this test can fail
		if !strings.Contains(string(data), s) {
			t.Fatalf("the photo does not say %q", s)
		}
	}
	var w tap
	net := apptest.New(t, 2, w.build)
	share(t, net.Node(0), "holiday.jpg", string(data), files.ShareIn{For: "public"})
	r := until(t, net.Node(0), "fujifilm year:2023 type:image", "a photo is not found by its camera", one).Results[0]
	if r.Facts.Taken != "2023-07-14" || r.Facts.Camera != "Fujifilm X-T5" || r.Facts.Width != 120 {
		t.Errorf("%+v", r.Facts)
	}
	r = until(t, net.Node(1), "holiday type:image", "it is not found by others", func(out search.SearchOut) bool { return one(out) && out.Results[0].Facts.Width == 120 }).Results[0]
	if r.Facts != (fact.Facts{Format: "JPEG", Width: 120, Height: 80}) {
		t.Errorf("others are told %+v", r.Facts)
	}
	w.mu.Lock()
	heard := w.heard.String()
	w.mu.Unlock()
	for _, s := range append(place, "Fujifilm", "X-T5", "2023-07") {
		if strings.Contains(heard, s) {
			t.Errorf("%q was said", s)
		}
	}
	looked := 0
	for i := range 2 {
		dir := net.Node(i).Dir
		net.Node(i).Stop() // and all is in the files
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, "search") {
				return err
			}
			kept, err := os.ReadFile(path)
			if strings.Contains(string(kept), "holiday") {
				looked++
			}
			for _, s := range place {
				if strings.Contains(string(kept), s) {
					t.Errorf("%q is in %s", s, path)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if looked < 4 { // the indexes and publications of both
		t.Errorf("%d files were looked at that know of the photo", looked)
	}
}

// What another says of a content that is here, and its bytes do not, is told; whichever of the two was here first.
func TestLies(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	program := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 100)
	early, late := share(t, a, "tool", program+"1", files.ShareIn{}), kith.RawRef(blake3.Sum256([]byte(program+"2")))
	until(t, a, "type:program", "what it is is not found", one)
	for i, ref := range []kith.Ref{early.Ref, late} {
		lie(t, b, a, publication.Publication{Root: ref, Name: fmt.Sprintf("liar%d.flac", i), Size: 107, Count: 1, Sort: publication.Audio, Facts: fact.Facts{Format: "FLAC", Length: 100}})
	}
	check := func(what string) {
		r := until(t, a, what+" type:program", "what others say of it is still believed", one).Results[0]
		if len(r.Claims) != 1 || r.Claims[0] != "audio" || r.Facts.Length != 0 || r.Facts.Format != "ELF" {
			t.Errorf("%+v", r)
		}
		var text strings.Builder
		if err := (search.SearchOut{Results: []search.Result{r}}).WriteText(&text, 0); err != nil || !strings.Contains(text.String(), "says audio, is program") {
			t.Errorf("%s, %v", text.String(), err)
		}
		if out := find(t, a, what+" type:audio"); !none(out) {
			t.Errorf("it is found as what it is not: %+v", out)
		}
	}
	check("liar0")
	if r := until(t, a, "liar1 type:audio length:1:40", "what is not here is not believed", one).Results[0]; r.Claims != nil {
		t.Errorf("%+v", r)
	}
	share(t, a, "other", program+"2", files.ShareIn{})
	check("liar1")
	net.Restart(0)
	a = net.Node(0)
	check("liar1")
}

// lie tells to what a stranger publishes.
func lie(t *testing.T, from, to *apptest.Node, p publication.Publication) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.Issued, p.Expires = time.Now(), time.Now().Add(time.Hour)
	if p, err = publication.Prove(t.Context(), key.GetPublic(), p, publication.MinWork); err != nil {
		t.Fatal(err)
	}
	value, err := publication.Seal(key, p)
	if err != nil {
		t.Fatal(err)
	}
	st, err := from.Network().Open(t.Context(), to.Network().ID(), spread.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	id := publication.IDOf(value)
	r := bufio.NewReader(st)
	for _, m := range []any{map[int]any{3: id[:]}, map[int]any{5: [][]byte{value}}} { // it is offered, and then given
		if err := wire.WriteMsg(st, m); err != nil {
			t.Fatal(err)
		}
		if err := wire.ReadMsg(r, 1<<20, new(map[int]any)); err != nil {
			t.Fatal(err)
		}
	}
}
