package metainfo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// python is Debian's, which has libtorrent; .ci/install sees to it.
const python = "/usr/bin/python3"

// sample makes a file of n bytes that are the same everywhere.
func sample(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// digestOf is the Digest of bytes, written in odd portions.
func digestOf(data []byte, piece int64) Digest {
	h := NewHasher(piece)
	for n := 1; len(data) > 0; n = n*3 + 1 {
		m := min(n, len(data))
		h.Write(data[:m])
		data = data[m:]
	}
	return h.Sum()
}

// contents are the files of a folder that has all that is difficult.
func contents(piece int) map[string]int {
	return map[string]int{
		"a.txt": 1, "b/empty": 0, "b/exact": piece, "b/one more": piece + 1, "b.txt": 3*piece - 1, "Ünïcode/雪.bin": 5*piece + 12345,
		"zz/deep/er/x": 16 << 10, "zz/deep-er": 17 << 10, "zz last empty": 0,
	}
}

func write(t *testing.T, dir string, files map[string]int) []Entry {
	t.Helper()
	var entries []Entry
	seed := uint64(0)
	for name, n := range files {
		seed = uint64(len(name)*131 + n)
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		data := sample(seed, n)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Path: name, Digest: digestOf(data, 64<<10)})
	}
	return entries
}

// ofLibtorrent has libtorrent make a torrent of a path.
func ofLibtorrent(t *testing.T, path, flags string, piece int) []byte {
	t.Helper()
	script := fmt.Sprintf(`
import sys, libtorrent as lt
fs = lt.file_storage()
lt.add_files(fs, sys.argv[1])
ct = lt.create_torrent(fs, piece_size=%d, flags=%s)
lt.set_piece_hashes(ct, sys.argv[2])
e = ct.generate()
e.pop(b"creation date", None)
sys.stdout.buffer.write(lt.bencode(e))
`, piece, flags)
	cmd := exec.Command(python, "-c", script, path, filepath.Dir(path))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("libtorrent: %v\n%s", err, &stderr)
	}
	return out
}

// TestAsLibtorrent makes hybrid torrents of what is difficult, which are those that libtorrent makes, byte by byte.
func TestAsLibtorrent(t *testing.T) {
	const piece = 64 << 10
	dir := t.TempDir()
	files := contents(piece)
	folder := filepath.Join(dir, "Ordner ü")
	entries := write(t, folder, files)
	check := func(t *testing.T, name string, isFolder bool, entries []Entry, path string) {
		t.Helper()
		got, err := Make(name, isFolder, true, piece, entries)
		if err != nil {
			t.Fatal(err)
		}
		theirs := ofLibtorrent(t, path, "lt.create_torrent.canonical_files_no_tail_padding if hasattr(lt.create_torrent, 'canonical_files_no_tail_padding') else 0", piece)
		want, err := Read(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Raw, want.Raw) {
			t.Errorf("made\n%q\nlibtorrent makes\n%q", got.Raw, want.Raw)
		}
		if len(got.Layers) != len(want.Layers) {
			t.Errorf("%d layers, want %d", len(got.Layers), len(want.Layers))
		}
		for root, l := range want.Layers {
			if !bytes.Equal(got.Layers[root], l) {
				t.Errorf("layer %x differs", root)
			}
		}
		again, err := Read(got.Encode())
		if err != nil || again.V2 != got.V2 || again.V1 != got.V1 {
			t.Errorf("what was made is read as another: %v", err)
		}
	}
	t.Run("folder", func(t *testing.T) { check(t, "Ordner ü", true, entries, folder) })
	for _, e := range entries {
		if e.Digest.Size == 0 {
			continue
		}
		base := filepath.Base(e.Path)
		t.Run(base, func(t *testing.T) {
			check(t, base, false, []Entry{e}, filepath.Join(folder, filepath.FromSlash(e.Path)))
		})
	}
}

// TestV2Only reads a torrent of version 2 alone, in which every file begins at a piece though nothing says so.
func TestV2Only(t *testing.T) {
	const piece = 64 << 10
	dir := t.TempDir()
	folder := filepath.Join(dir, "Ordner ü")
	want := map[string]Digest{}
	for _, e := range write(t, folder, contents(piece)) {
		want[e.Path] = e.Digest
	}
	got, err := Read(ofLibtorrent(t, folder, "lt.create_torrent_flags_t.v2_only", piece))
	if err != nil {
		t.Fatal(err)
	}
	if got.HasV1 || !got.HasV2 || !got.Folder || !got.Aligned() || len(got.Files) != len(want) || len(got.Pieces) > 0 {
		t.Errorf("%v %v %v, %d files", got.HasV1, got.HasV2, got.Folder, len(got.Files))
	}
	var end int64
	for _, f := range got.Files {
		d := want[f.Path]
		if f.Size != d.Size || f.Root != d.Root || f.Size > 0 && (f.Off != (end+piece-1)/piece*piece || !bytes.Equal(got.Layers[f.Root], d.Layer)) {
			t.Errorf("%q: %d bytes at %d", f.Path, f.Size, f.Off)
		}
		if f.Size > 0 {
			end = f.Off + f.Size
		}
	}
	if got.Length != end {
		t.Errorf("%d bytes with what pads, want %d", got.Length, end)
	}
}

// TestOthers reads torrents of Transmission and mktorrent, which know version 1 alone.
func TestOthers(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "Ordner ü")
	files := contents(64 << 10)
	write(t, folder, files)
	for name, args := range map[string][]string{
		"transmission-create": {"-s", "64", "-t", "http://127.0.0.1:1/announce", "-o"},
		"mktorrent":           {"-l", "16", "-a", "http://127.0.0.1:1/announce", "-o"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skipf("not tested against %s, which is not installed (.ci/install does)", name)
			}
			out := filepath.Join(t.TempDir(), "x.torrent")
			if msg, err := exec.Command(name, append(args, out, folder)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, msg)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(data)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != "Ordner ü" || got.HasV2 || got.PieceLength != 64<<10 || len(got.Trackers) != 1 {
				t.Errorf("read %q, %v, %d, %v", got.Name, got.HasV2, got.PieceLength, got.Trackers)
			}
			for _, f := range got.Files {
				if want, ok := files[f.Path]; !ok || int64(want) != f.Size {
					t.Errorf("%q has %d bytes", f.Path, f.Size)
				}
			}
		})
	}
}

// TestPieceLength: 1,000 to 2,000 pieces, and no more pads than an eighth.
func TestPieceLength(t *testing.T) {
	for _, c := range []struct {
		files       int
		bytes, want int64
	}{
		{1, 0, 16 << 10}, {1, 1 << 20, 16 << 10}, {1, 32 << 20, 16 << 10}, {1, 32<<20 + 1, 32 << 10}, {1, 1 << 30, 512 << 10}, {1, 1 << 40, 16 << 20}, {1, 1 << 44, 16 << 20},
		{10, 1 << 30, 512 << 10}, {1000, 1 << 30, 256 << 10}, {100_000, 100 << 20, 64 << 10}, {20_000, 1 << 30, 32 << 10},
	} {
		if got := PieceLength(c.files, c.bytes); got != c.want {
			t.Errorf("%d files of %d bytes: pieces of %d, want %d", c.files, c.bytes, got, c.want)
		}
	}
}

// A file's root comes out the same from its pieces, each by itself.
func TestPieceRoot(t *testing.T) {
	const piece = 4 * Block
	for _, size := range []int{1, Block, Block + 1, 3 * Block, piece, piece + 1, 5*piece + 77, 8 * piece} {
		data := sample(uint64(size), size)
		h := NewHasher(piece)
		h.Write(data)
		var roots [][sha256.Size]byte
		for rest := data; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			roots = append(roots, PieceRoot(rest[:min(piece, len(rest))], piece, size <= piece))
		}
		if FileRoot(roots, piece) != h.Sum().Root {
			t.Errorf("%d bytes: another root", size)
		}
	}
}
