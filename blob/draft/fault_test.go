package draft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kith"
	"kith/blob/bao"
)

// A crash is a process that is killed, as kill -9 does, when it comes to a point of fault for the nth time.
type crash struct {
	what, point string
	n           int
	dir         string
}

// full is what a process does that has a small disk of its own; nil where there are none.
var full func(t *testing.T, dir string)

const crashEnv = "KITH_DRAFT_TEST_CRASH"

// TestChild is the process that is killed, or that has a small disk of its own.
func TestChild(t *testing.T) {
	spec := os.Getenv(crashEnv)
	if spec == "" {
		return // it is not one
	}
	f := strings.Split(spec, "\n")
	c := crash{what: f[0], point: f[1], dir: f[3]}
	c.n, _ = strconv.Atoi(f[2])
	if c.what == "full" {
		full(t, c.dir)
		return
	}
	left := c.n
	fault = func(point string) error {
		if point == c.point {
			if left--; left == 0 {
				p, _ := os.FindProcess(os.Getpid())
				p.Kill()
				select {}
			}
		}
		return nil
	}
	o, data := crashOptions(c.what, c.dir)
	d, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	crashFill(t, d, data)
	if _, err := d.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (c crash) command() *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), crashEnv+"="+strings.Join([]string{c.what, c.point, strconv.Itoa(c.n), c.dir}, "\n"))
	return cmd
}

// crashOptions is what parent and child agree on.
func crashOptions(what, dir string) (Options, [][]byte) {
	o := Options{State: filepath.Join(dir, "state", "1"), Path: filepath.Join(dir, "out", "thing"), Folder: what == "folder"}
	files, data := sample()
	if !o.Folder {
		files, data = files[:1], data[:1]
	}
	o.Files = files
	return o, data
}

// crashFill writes all, in pieces that are no groups, with a checkpoint after every third.
func crashFill(t *testing.T, d *Draft, data [][]byte) {
	const piece = 3*bao.GroupSize + 100
	n := 0
	for i, f := range d.Files() {
		for off := int64(0); off < f.Size; off += piece {
			put(t, d, i, data[i], off, min(off+piece, f.Size))
			if n++; n%3 == 0 {
				if err := d.Checkpoint(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// A draft that was killed goes on where it was, claims nothing that is not there, and ends as it should, in its own place.
func TestKilled(t *testing.T) {
	for _, what := range []string{"folder", "single"} {
		for _, c := range []struct {
			point string
			n     int
			least int64 // groups of the first file that must still be there
		}{{"begun", 1, 0}, {"write", 1, 0}, {"write", 4, 9}, {"write", 9, 18}, {"checkpoint", 1, 0}, {"checkpoint", 2, 9}, {"checkpoint", 4, 27}, {"settle", 1, 41}, {"renamed", 1, 41}} {
			t.Run(fmt.Sprint(what, " ", c.point, c.n), func(t *testing.T) {
				dir := t.TempDir()
				out, err := crash{what, c.point, c.n, dir}.command().CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Exited() {
					t.Fatalf("the process was not killed: %v\n%s", err, out)
				}
				o, data := crashOptions(what, dir)
				d, err := Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if got := d.Have(0).Count(); got < c.least {
					t.Errorf("%d groups are still there, want %d", got, c.least)
				}
				check1(t, d, data)
				crashFill(t, d, data)
				at, err := d.Finish(t.Context())
				if err != nil || at != o.Path {
					t.Fatalf("%s, %v", at, err)
				}
				if what == "folder" && text(t, at) != wanted(t, o.Files, data) {
					t.Errorf("got\n%s", text(t, at))
				}
				if read, err := os.ReadFile(at); what == "single" && (err != nil || bao.Hash(read) != bao.Hash(data[0])) {
					t.Errorf("%d bytes, %v", len(read), err)
				}
				if left, _ := os.ReadDir(filepath.Dir(at)); len(left) != 1 {
					t.Errorf("left: %v", left)
				}
				if err := errors.Join(d.Close(), Remove(o.State)); err != nil || !exists(at) {
					t.Error(err)
				}
			})
		}
	}
}

// However writes of any shape, checkpoints, crashes and restarts follow each other: what is claimed is there, and what was durable stays.
func TestModel(t *testing.T) {
	files := []File{{Path: "a", Size: 5*bao.GroupSize + 10}, {Path: "b/c", Size: 10}, {Path: "b/d", Size: 2 * bao.GroupSize}, {Path: "e"}}
	var data [][]byte
	for i, f := range files {
		data = append(data, random(f.Size, i))
	}
	rapid.Check(t, func(t *rapid.T) {
		tmp, err := os.MkdirTemp("", "kith-draft-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		o := Options{State: filepath.Join(tmp, "state"), Path: filepath.Join(tmp, "x"), Folder: true, Files: files}
		open := func() *Draft {
			d, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := open()
		defer func() { d.Close() }()
		bytes := make([][]bool, len(files)) // of each byte: it was written
		saved := make([]map[int64]bool, len(files))
		for i, f := range files {
			bytes[i], saved[i] = make([]bool, f.Size), map[int64]bool{}
		}
		whole := func(i int, g int64) bool {
			for b := g * bao.GroupSize; b < min((g+1)*bao.GroupSize, files[i].Size); b++ {
				if !bytes[i][b] {
					return false
				}
			}
			return true
		}
		forget := func() { // what is not durable, or no whole group
			for i, f := range files {
				for g := range bao.Groups(f.Size) {
					if f.Size > 0 && !saved[i][g] {
						clear(bytes[i][g*bao.GroupSize : min((g+1)*bao.GroupSize, f.Size)])
					}
				}
			}
		}
		save := func() {
			for i, f := range files {
				for g := range bao.Groups(f.Size) {
					saved[i][g] = saved[i][g] || whole(i, g)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				for i, f := range files {
					have := d.Have(i)
					for g := range bao.Groups(f.Size) {
						if have.Get(g) != whole(i, g) {
							t.Fatalf("group %d of file %d: have %v, want %v", g, i, have.Get(g), whole(i, g))
						}
					}
				}
				i := rapid.IntRange(0, 2).Draw(t, "file")
				off := rapid.Int64Range(0, files[i].Size-1).Draw(t, "off")
				p := make([]byte, rapid.Int64Range(1, files[i].Size-off).Draw(t, "n"))
				want := 0
				for want < len(p) && bytes[i][off+int64(want)] {
					want++
				}
				n, err := d.ReadAt(i, p, off)
				if n != want || n < len(p) && !errors.Is(err, kith.NotFound) || string(p[:n]) != string(data[i][off:][:n]) || d.Has(i, off, int64(len(p))) != (want == len(p)) {
					t.Fatalf("read %d of %d at %d of file %d, want %d: %v", n, len(p), off, i, want, err)
				}
			},
			"write": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "file")
				off := rapid.Int64Range(0, files[i].Size-1).Draw(t, "off")
				n := rapid.Int64Range(1, files[i].Size-off).Draw(t, "n")
				if err := d.WriteAt(i, off, data[i][off:off+n]); err != nil {
					t.Fatal(err)
				}
				for b := off; b < off+n; b++ {
					bytes[i][b] = true
				}
			},
			"checkpoint": func(t *rapid.T) {
				if err := d.Checkpoint(t.Context()); err != nil {
					t.Fatal(err)
				}
				save()
			},
			"restart": func(t *rapid.T) {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				save()
				forget()
				d = open()
			},
			"crash": func(t *rapid.T) { // the log may have the beginning of one more frame
				torn := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "torn")
				f, err := os.OpenFile(o.State, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.Write(torn)
				f.Close()
				forget()
				old := d
				d = open()
				old.mu.Lock()
				old.closed = true
				old.mu.Unlock()
				old.closeFiles()
				old.log.Close()
			},
		})
		for i, f := range files {
			if err := d.WriteAt(i, 0, data[i][:f.Size]); err != nil {
				t.Fatal(err)
			}
		}
		at, err := d.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			if got, err := os.ReadFile(filepath.Join(at, f.Path)); err != nil || string(got) != string(data[i]) {
				t.Fatalf("%s: %v", f.Path, err)
			}
		}
	})
}

// FuzzDecode: whatever the state has become, it is read or refused, never more than it says is believed, and what is read can be written and read again.
func FuzzDecode(f *testing.F) {
	files, _ := sample()
	base, err := check(true, files)
	if err != nil {
		f.Fatal(err)
	}
	s := state{Path: "/home/anna/thing", Part: "thing.kith-part", Folder: true, Files: files, inos: make([]int64, len(files)), have: bao.NewBits(base[len(files)])}
	fresh, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	s.begun, s.ino, s.inos[0], s.dest = true, 7, 8, "/home/anna/thing (1)"
	s.have.Set(bao.Range{First: 3, N: 9})
	old, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	more, err := appendFrame(old, news{Set: []int64{20, 3}, Made: []int64{1, 9}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fresh)
	f.Add(old)
	f.Add(more)
	f.Add(more[:len(more)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, good, err := decode(data)
		if err != nil {
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("%v is of no kind", err)
			}
			return
		}
		if good > len(data) {
			t.Fatalf("%d of %d bytes are good", good, len(data))
		}
		if _, err := check(s.Folder, s.Files); err != nil {
			t.Errorf("a layout that may not be was read: %v", err)
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		s2, _, err := decode(again)
		if err != nil || !s2.is(Options{Folder: s.Folder, Files: s.Files}) || s2.have.Count() != s.have.Count() && s.begun {
			t.Errorf("read again: %v", err)
		}
	})
}

// Many files: what is remembered does not grow with every checkpoint, and few are open. It has been run with 100,000, where it takes as long as the disk does.
func TestManyFiles(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 2_000
	}
	dir := t.TempDir()
	files := make([]File, n)
	for i := range files {
		files[i] = File{Path: fmt.Sprintf("%03d/%05d", i/1000, i), Size: 10}
	}
	d := begin(t, dir, files)
	began := d.size
	for i := range files {
		put(t, d, i, []byte(fmt.Sprintf("%010d", i)), 0, 10)
		if i%(n/10) == n/10-1 {
			before := d.size
			if err := d.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if grown := d.size - before; grown > int64(n)*3 && grown > slack {
				t.Errorf("a checkpoint of %d files wrote %d bytes", n/10, grown)
			}
		}
	}
	if d.size > 3*began+slack || len(d.open) > maxOpen {
		t.Errorf("the log has %d bytes after %d, %d files are open", d.size, began, len(d.open))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = begin(t, dir, files)
	for i := range files {
		if !d.Have(i).All() {
			t.Fatalf("file %d is not there", i)
		}
	}
	at, err := d.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(at, files[n/2].Path)); err != nil || string(got) != fmt.Sprintf("%010d", n/2) {
		t.Errorf("%q, %v", got, err)
	}
}
