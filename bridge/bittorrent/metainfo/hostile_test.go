package metainfo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kith"
)

func text0(s string) string { return fmt.Sprintf("%d:%s", len(s), s) }

// v1 is an info dictionary of version 1 with files, each of one byte.
func v1(name string, files ...string) string {
	return "d5:filesl" + strings.Join(files, "") + "e4:name" + text0(name) + "12:piece lengthi16384e6:pieces" + text0(strings.Repeat("x", 20)) + "e"
}

// entry is a file of one byte.
func entry(names ...string) string {
	path := ""
	for _, n := range names {
		path += text0(n)
	}
	return "d6:lengthi1e4:pathl" + path + "ee"
}

func single(length, piece string, pieces int) string {
	return "d6:lengthi" + length + "e4:name1:x12:piece lengthi" + piece + "e6:pieces" + text0(strings.Repeat("x", pieces)) + "e"
}

// v2 is an info dictionary of version 2.
func v2(tree, piece string) string {
	return "d9:file tree" + tree + "12:meta versioni2e4:name1:x12:piece lengthi" + piece + "ee"
}

// leaf is a file of version 2.
func leaf(name, length, root string) string {
	return text0(name) + "d0:d6:lengthi" + length + "e11:pieces root" + text0(root) + "ee"
}

// hybrid has a file in version 1 and one in version 2.
func hybrid(name1, length1, name2, length2 string) string {
	return "d9:file treed" + leaf(name2, length2, strings.Repeat("r", 32)) + "e5:filesld6:lengthi" + length1 + "e4:pathl" + text0(name1) + "eee12:meta versioni2e4:name1:x12:piece lengthi16384e6:pieces" +
		text0(strings.Repeat("x", 20)) + "e"
}

// TestHostile reads torrents that somebody made to harm: each is refused, and the error says what is wrong with it.
func TestHostile(t *testing.T) {
	root := strings.Repeat("r", 32)
	symlink := func(to ...string) string {
		path := ""
		for _, n := range to {
			path += text0(n)
		}
		return "d4:attr1:l6:lengthi0e4:pathl1:l" + "e12:symlink pathl" + path + "ee"
	}
	for name, c := range map[string]struct {
		info string
		kind kith.Kind
		says string
	}{
		"up":             {v1("x", entry("..", "etc", "passwd")), kith.Corrupt, `"../etc/passwd" leaves`},
		"up later":       {v1("x", entry("a", "..", "..", "b")), kith.Corrupt, "leaves"},
		"slash in name":  {v1("x", entry("a/../../b")), kith.Corrupt, "leaves"},
		"absolute":       {v1("x", entry("/etc/passwd")), kith.Corrupt, "leaves"},
		"nul":            {v1("x", entry("a\x00b")), kith.Corrupt, "leaves"},
		"no name":        {v1("x", entry("")), kith.Corrupt, "leaves"},
		"no path":        {v1("x", entry()), kith.Invalid, "no path"},
		"torrent name":   {v1("../../home", entry("a")), kith.Corrupt, "name"},
		"deep":           {v1("x", entry(strings.Split(strings.Repeat("a/", 200), "/")...)), kith.TooLarge, "deep"},
		"symlink up":     {v1("x", symlink("..", "..", "etc", "passwd")), kith.Corrupt, `a link to "../../etc/passwd", which leaves`},
		"symlink root":   {v1("x", symlink("/etc")), kith.Corrupt, "leaves"},
		"piece 0":        {single("5", "0", 20), kith.Invalid, "pieces have 0 bytes"},
		"piece -1":       {single("5", "-1", 20), kith.Invalid, "pieces have -1 bytes"},
		"piece 2^63":     {single("5", "9223372036854775808", 20), kith.Invalid, `"9223372036854775808" is no number`},
		"piece 2^62":     {single("5", "4611686018427387904", 20), kith.TooLarge, "at most 67108864"},
		"piece 1":        {single("5", "1", 100), kith.Invalid, "at least 1024"},
		"length 2^62":    {single("4611686018427387904", "16384", 20), kith.Invalid, "length of 4611686018427387904"},
		"length -5":      {single("-5", "16384", 20), kith.Invalid, "length of -5"},
		"too many bytes": {single("17592186044416", "16384", 20), kith.TooLarge, "pieces"},
		"few digests":    {single("50000", "16384", 20), kith.Corrupt, "1 digests of version 1 for 4 pieces"},
		"odd digests":    {single("5", "16384", 21), kith.Invalid, "no row of SHA-1"},
		"both":           {"d5:filesl" + entry("a") + "e6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:" + strings.Repeat("x", 20) + "e", kith.Invalid, "either"},
		"twice":          {"d4:name1:x4:name1:ye", kith.Invalid, "twice"},
		"version 3":      {"d12:meta versioni3e4:name1:xe", kith.Invalid, "version is 3"},
		"v2 up":          {v2("d2:..d"+leaf("b", "5", root)+"ee", "16384"), kith.Corrupt, "leaves"},
		"v2 short root":  {v2("d"+leaf("b", "5", "short")+"e", "16384"), kith.Invalid, "no digest of version 2"},
		"v2 no tree":     {v2("de", "16384"), kith.Invalid, "tree of files"},
		"v2 piece odd":   {v2("d"+leaf("b", "5", root)+"e", "20000"), kith.Invalid, "power of two"},
		"v2 both":        {v2("d1:ad0:d6:lengthi0ee1:bd0:d6:lengthi0eeeee", "16384"), kith.Invalid, "a file and a folder"},
		"v2 unsorted":    {v2("d"+leaf("b", "5", root)+leaf("a", "5", root)+"e", "16384"), kith.Invalid, "not sorted"},
		"differ names":   {hybrid("a", "5", "b", "5"), kith.Corrupt, `"a" in version 1 and "b" in version 2`},
		"differ sizes":   {hybrid("a", "5", "a", "6"), kith.Corrupt, "5 bytes in version 1 and 6 in version 2"},
		"open list":      {"d5:filesl", kith.Invalid, "ends too early"},
		"long string":    {"d4:name99999999999:xe", kith.Invalid, "longer than what is there"},
		"nested":         {"d1:a" + strings.Repeat("l", 1<<20) + strings.Repeat("e", 1<<20) + "e", kith.TooLarge, "deep"},
		"list":           {"le", kith.Invalid, "no dictionary"},
		"empty":          {"", kith.Invalid, "early"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse([]byte(c.info))
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v that says %q", err, c.kind, c.says)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// TestTooMuch reads a million files, and metadata of 100 MB.
func TestTooMuch(t *testing.T) {
	var b bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&b, "d6:lengthi1e4:pathl8:%08dee", i)
	}
	info := "d5:filesl" + b.String() + "e4:name1:x12:piece lengthi16384e6:pieces0:e"
	if _, err := Parse([]byte(info[:20] + info[20:])); !errors.Is(err, kith.TooLarge) {
		t.Errorf("a million files: %v", err)
	}
	small := bytes.Repeat([]byte("de"), 1_000_000) // within what metadata may have
	if _, err := Parse([]byte("d5:filesl" + string(small) + "e4:name1:x12:piece lengthi16384e6:pieces0:e")); !errors.Is(err, kith.TooLarge) || !strings.Contains(err.Error(), "files") {
		t.Errorf("a million files: %v", err)
	}
	big := make([]byte, 100<<20)
	for _, read := range []func([]byte) error{func(b []byte) error { _, err := Parse(b); return err }, func(b []byte) error { _, err := Read(b); return err }} {
		if err := read(big); !errors.Is(err, kith.TooLarge) {
			t.Errorf("100 MB: %v", err)
		}
	}
}

// TestLayersAreChecked: digests of pieces must be those that a root of version 2 was made of.
func TestLayersAreChecked(t *testing.T) {
	data := sample(7, 300<<10)
	made, err := Make("x", false, true, 64<<10, []Entry{{Path: "x", Digest: digestOf(data, 64<<10)}})
	if err != nil {
		t.Fatal(err)
	}
	for root, l := range made.Layers {
		l[5] ^= 1
		made.Layers[root] = l
	}
	if _, err := Read(made.Encode()); !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a layer that is wrong: %v", err)
	}
}

// TestFoldersOfOneName: folders whose names are one on some systems are one everywhere, and no file of theirs is lost.
func TestFoldersOfOneName(t *testing.T) {
	in, err := Parse([]byte(v1("x", entry("Season", "1"), "d6:lengthi0e4:pathl6:season1:2ee", "d6:lengthi0e4:pathl6:SEASON1:1ee", "d6:lengthi0e4:pathl2:\u00e91:aee", "d6:lengthi0e4:pathl3:e\u03011:bee", "d6:lengthi0e4:pathl3:e\u03012:c.2:deee")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range in.Files {
		got = append(got, f.Path)
	}
	if want := "[Season/1 Season/2 Season/1 (2) \u00e9/a \u00e9/b \u00e9/c/de]"; fmt.Sprint(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if in.Files[1].Raw != "season/2" {
		t.Errorf("%q", in.Files[1].Raw)
	}
	if _, err := Parse([]byte(v1("x", entry("a"), "d6:lengthi0e4:pathl1:A1:2ee"))); !errors.Is(err, kith.Corrupt) {
		t.Errorf("a file that is a folder too: %v", err)
	}
}

// TestNames: names that are good for the network and not for every disk are made so, and stay apart.
func TestNames(t *testing.T) {
	in, err := Parse([]byte(v1("x", "d6:lengthi1e4:pathl5:a:b?cee", "d6:lengthi0e4:pathl5:a*b?cee", "d6:lengthi0e4:pathl5:A_b_cee", "d6:lengthi0e4:pathl7:nul.txtee")))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range in.Files {
		if strings.ContainsAny(f.Path, ":?*") || seen[strings.ToLower(f.Path)] {
			t.Errorf("%q", f.Path)
		}
		seen[strings.ToLower(f.Path)] = true
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(v1("x", entry("a"))))
	f.Add([]byte(single("5", "16384", 20)))
	f.Add([]byte(v2("d"+leaf("b", "5", strings.Repeat("r", 32))+"e", "16384")))
	f.Add([]byte(hybrid("a", "5", "a", "5")))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := Parse(data)
		if err != nil {
			return
		}
		if in.PieceLength < MinPiece || in.PieceLength > MaxPiece || in.NumPieces() > MaxPieces || len(in.Files) == 0 || in.HasV1 && len(in.Pieces) != 20*in.NumPieces() {
			t.Errorf("%+v", in)
		}
		end := int64(0)
		for _, file := range in.Files {
			if file.Off < 0 || file.Size < 0 || file.Off < end && file.Size > 0 || file.Path == "" {
				t.Errorf("%+v", file)
			}
			end = max(end, file.Off+file.Size)
		}
		if end > in.Length {
			t.Errorf("files end at %d of %d", end, in.Length)
		}
	})
}

func FuzzRead(f *testing.F) {
	made, _ := Make("x", false, true, 16<<10, []Entry{{Path: "x", Digest: digestOf(sample(1, 20<<10), 16<<10)}})
	f.Add(made.Encode())
	f.Add([]byte("d8:announce14:http://a/b?c=d4:info" + single("5", "16384", 20) + "8:url-list11:http://a/b/e"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(data)
		if err != nil {
			return
		}
		again, err := Read(got.Encode())
		if err != nil || again.V1 != got.V1 || again.V2 != got.V2 {
			t.Errorf("read again: %v", err)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(Hello{ID: 3, Size: 20000}.Encode())
	f.Add([]byte("d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei31235e1:v5:Other6:yourip4:abcde"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHello(data)
		if err != nil {
			return
		}
		if again, err := ParseHello(h.Encode()); err != nil || again != h {
			t.Errorf("%+v, then %+v, %v", h, again, err)
		}
	})
}

func FuzzExchange(f *testing.F) {
	f.Add(Exchange{Type: ExchangeData, Piece: 1, Total: 20000, Data: []byte("x")}.Encode())
	f.Add(Exchange{Type: ExchangeRequest, Piece: 3}.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ParseExchange(data)
		if err != nil {
			return
		}
		again, err := ParseExchange(x.Encode())
		if err != nil || again.Type != x.Type || again.Piece != x.Piece || !bytes.Equal(again.Data, x.Data) {
			t.Errorf("%+v, then %+v, %v", x, again, err)
		}
	})
}
