package search_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/search/fact"
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
}
