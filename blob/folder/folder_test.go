package folder

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"kith"
	"kith/blob/bao"
	"kith/blob/seal"
)

var update = flag.Bool("update", false, "write the vectors in testdata anew")

func fileEntry(path string, size int64) Entry {
	return Entry{Path: path, Ref: kith.RawRef(bao.Hash([]byte(path))), Size: size, Mode: 0o644}
}

func example() *Manifest {
	run := fileEntry("bin/run", 4096)
	run.Mode = 0o755
	return &Manifest{Entries: []Entry{
		run,
		{Path: "empty", Mode: fs.ModeDir | 0o755},
		{Path: "latest", Mode: fs.ModeSymlink | 0o777, Link: "réunion/été.jpg"},
		fileEntry("nothing", 0),
		fileEntry("réunion/été.jpg", 5_000_000_000),
	}}
}

// TestManifestVector keeps the format: the bytes, and what they are called.
func TestManifestVector(t *testing.T) {
	data, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := hex.EncodeToString(data) + "\n" + kith.ManifestRef(bao.Hash(data)).String() + "\n"
	const file = "testdata/manifest.txt"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != text {
		t.Errorf("the format has changed: %v\n%s\n%s", err, text, want)
	}
	line, _, _ := strings.Cut(string(want), "\n")
	old, err := hex.DecodeString(line)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(old)
	if err != nil || !reflect.DeepEqual(m, example()) {
		t.Errorf("decoded %+v, %v", m, err)
	}
	// Anybody's CBOR must find it valid, with links as dag-cbor has them.
	var any struct {
		Entries []map[string]any `cbor:"entries"`
	}
	if err := cbor.Unmarshal(old, &any); err != nil {
		t.Fatal(err)
	}
	tag, ok := any.Entries[0]["ref"].(cbor.Tag)
	if !ok || tag.Number != 42 || !bytes.Equal(tag.Content.([]byte), append([]byte{0}, example().Entries[0].Ref.CID().Bytes()...)) {
		t.Errorf("ref is %v", any.Entries[0]["ref"])
	}
}

func TestManifestRefuses(t *testing.T) {
	dir := Entry{Path: "d", Mode: fs.ModeDir | 0o755}
	for name, entries := range map[string][]Entry{
		"up":               {fileEntry("../x", 1)},
		"up inside":        {fileEntry("a/../x", 1)},
		"absolute":         {fileEntry("/etc/passwd", 1)},
		"drive":            {fileEntry("C:/x", 1)},
		"backslash":        {fileEntry(`a\b`, 1)},
		"empty name":       {fileEntry("a//b", 1)},
		"empty path":       {fileEntry("", 1)},
		"dot":              {fileEntry(".", 1)},
		"NUL":              {fileEntry("a\x00b", 1)},
		"control":          {fileEntry("a\x1bb", 1)},
		"newline":          {fileEntry("a\nb", 1)},
		"DEL":              {fileEntry("a\x7f", 1)},
		"C1":               {fileEntry("a\u0085", 1)},
		"right to left":    {fileEntry("a\u202egpj.exe", 1)},
		"not UTF-8":        {fileEntry("a\xff", 1)},
		"trailing dot":     {fileEntry("a.", 1)},
		"trailing space":   {fileEntry("a /b", 1)},
		"device":           {fileEntry("aux", 1)},
		"device extension": {fileEntry("x/Com1.tar.gz", 1)},
		"device space":     {fileEntry("NUL .txt", 1)},
		"question":         {fileEntry("what?", 1)},
		"long name":        {fileEntry(strings.Repeat("a", MaxName+1), 1)},
		"long path":        {fileEntry(strings.Repeat("aaaaaaa/", MaxPath/8)+"b", 1)},
		"deep":             {fileEntry(strings.Repeat("a/", MaxDepth)+"b", 1)},
		"part":             {fileEntry("a"+PartSuffix, 1)},
		"twice":            {fileEntry("a", 1), fileEntry("a", 1)},
		"case":             {fileEntry("README", 1), fileEntry("readme", 1)},
		"case of folder":   {fileEntry("A/x", 1), fileEntry("a/y", 1)},
		"sharp s":          {fileEntry("STRASSE", 1), fileEntry("straße", 1)},
		"accents":          {fileEntry("e\u0301te", 1), fileEntry("\u00e9te", 1)},
		"accents and case": {fileEntry("E\u0301te", 1), fileEntry("\u00e9te", 1)},
		"file and folder":  {fileEntry("a", 1), fileEntry("a/b", 1)},
		"folder and file":  {fileEntry("A", 1), fileEntry("a/b", 1)},
		"link and folder":  {{Path: "a", Mode: fs.ModeSymlink | 0o777, Link: "b"}, fileEntry("a/b", 1)},
		"empty, not empty": {dir, fileEntry("d/x", 1)},
		"negative":         {fileEntry("a", -1)},
		"2^63":             {fileEntry("a", math.MaxInt64), fileEntry("b", math.MaxInt64)},
		"no ref":           {{Path: "a", Mode: 0o644}},
		"folder ref":       {{Path: "a", Mode: 0o644, Ref: kith.ManifestRef(bao.Sum{1})}},
		"link up":          {{Path: "a", Mode: fs.ModeSymlink, Link: "../b"}},
		"link up deeper":   {{Path: "x/y/a", Mode: fs.ModeSymlink, Link: "../../../b"}},
		"link by a link":   {{Path: "x/y/a", Mode: fs.ModeSymlink, Link: "d/../../b"}},
		"absolute link":    {{Path: "a", Mode: fs.ModeSymlink, Link: "/etc/passwd"}},
		"Windows link":     {{Path: "a", Mode: fs.ModeSymlink, Link: `..\..\x`}},
		"drive link":       {{Path: "a", Mode: fs.ModeSymlink, Link: "C:/x"}},
		"empty link":       {{Path: "a", Mode: fs.ModeSymlink}},
		"device node":      {{Path: "a", Mode: fs.ModeDevice | 0o644}},
	} {
		_, err := (&Manifest{Entries: entries}).Encode()
		if err == nil {
			t.Errorf("%s: encoded", name)
			continue
		}
		if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
			t.Errorf("%s: %v, want Corrupt or TooLarge", name, err)
		}
		// and from somebody who does not check
		m := &Manifest{Entries: entries}
		if data, err := m.encode(); err == nil {
			if _, err := Decode(data); err == nil {
				t.Errorf("%s: decoded", name)
			}
		}
	}
}

func TestManifestRefusesOtherEncodings(t *testing.T) {
	good, err := example().Encode()
	if err != nil {
		t.Fatal(err)
	}
	unsorted := &Manifest{Entries: []Entry{fileEntry("b", 1), fileEntry("a", 1)}}
	wrongOrder, err := unsorted.encode()
	if err != nil {
		t.Fatal(err)
	}
	ref := link(kith.RawRef(bao.Sum{1}))
	wire := func(e entryWire) []byte {
		return must(encodeMode.Marshal(manifestWire{Kith: manifestVersion, Entries: []entryWire{e}}))
	}
	for name, data := range map[string][]byte{
		"link with ref":   wire(entryWire{Path: "a", Link: "b", Ref: &ref}),
		"folder with ref": wire(entryWire{Path: "a", Dir: true, Ref: &ref}),
		"folder and link": wire(entryWire{Path: "a", Dir: true, Link: "b"}),
		"setuid":          wire(entryWire{Path: "a", Mode: 0o4755, Ref: &ref}),
		"nothing":         {},
		"cut":             good[:len(good)-1],
		"more behind":     append(bytes.Clone(good), 0),
		"unsorted":        wrongOrder,
		"long integer":    bytes.Replace(good, []byte("\x64kith\x01"), []byte("\x64kith\x18\x01"), 1),
		"version":         bytes.Replace(good, []byte("\x64kith\x01"), []byte("\x64kith\x02"), 1),
		"unknown key":     bytes.Replace(good, []byte("\x64kith\x01"), []byte("\x64kiss\x01"), 1),
		"billion":         {0xa2, 0x64, 'k', 'i', 't', 'h', 1, 0x67, 'e', 'n', 't', 'r', 'i', 'e', 's', 0x9a, 0x3b, 0x9a, 0xca, 0},
		"nested":          bytes.Repeat([]byte{0x81}, 1000),
		"wrong tag":       bytes.Replace(good, []byte("\xd8\x2a"), []byte("\xd8\x2b"), 1),
	} {
		if bytes.Equal(data, good) {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if _, err := Decode(data); !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
			t.Errorf("%s: %v, want Corrupt or TooLarge", name, err)
		}
	}
	if _, err := Decode(make([]byte, MaxEncoded+1)); !errors.Is(err, kith.TooLarge) {
		t.Errorf("too many bytes: %v", err)
	}
}

func TestManifestOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("not tested: a manifest of a million entries (-short)")
	}
	m := &Manifest{Entries: make([]Entry, MaxEntries+1)}
	ref := kith.RawRef(bao.Sum{1})
	name := []byte("0000000")
	for i := range m.Entries {
		for k, n := 6, i; k >= 0; k, n = k-1, n/10 {
			name[k] = '0' + byte(n%10)
		}
		m.Entries[i] = Entry{Path: string(name), Ref: ref, Size: 1, Mode: 0o644}
	}
	if _, err := m.Encode(); !errors.Is(err, kith.TooLarge) {
		t.Errorf("%d entries: %v, want TooLarge", len(m.Entries), err)
	}
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(data); err == nil {
		t.Error("one entry too many was decoded")
	}
	m.Entries = m.Entries[:MaxEntries]
	if data, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(data); err != nil || len(got.Entries) != MaxEntries {
		t.Errorf("a million: %v", err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	good, err := example().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	named, err := (&Manifest{Name: "letters", Entries: []Entry{fileEntry("a", 1)}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(named)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) && !errors.Is(err, kith.Invalid) {
				t.Errorf("%v is of no kind", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("decoded and encoded again: %x, %v", again, err)
		}
	})
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"film.mkv": "film.mkv", "../../etc/passwd": ".._.._etc_passwd", "a\x00b": "a_b", "con": "_con", "x. . ": "x", "": "unnamed", "..": "unnamed",
		"été\u202egpj.exe": "été_gpj.exe", `C:\x`: "C__x", "\xff": "_",
	} {
		if got := CleanName(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	f := func(in string) {
		if got := CleanName(in); checkName(got) != nil || len(got)+len(PartSuffix) > MaxName {
			t.Errorf("%q becomes %q: %v", in, got, checkName(got))
		}
	}
	f(strings.Repeat("é", 300))
	f(strings.Repeat(".", 300))
}

// The size of ciphertext is computed from that of plaintext alone.
func TestBlobSizeIsThatOfTheCiphertext(t *testing.T) {
	h, err := seal.NewHeader(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1, sealedSegment - 1, sealedSegment, sealedSegment + 1, 1 << 33} {
		m := &Manifest{Sealed: true, Entries: []Entry{fileEntry("a", size)}}
		if got, want := m.BlobSize(0), seal.SealedSize(h, size); got != want {
			t.Errorf("%d bytes: %d, want %d", size, got, want)
		}
	}
}
