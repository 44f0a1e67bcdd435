package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"kith"
)

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("ATOMICFILE_TEST_PATH"); path != "" {
		reached = func(point string) {
			if point == os.Getenv("ATOMICFILE_TEST_KILL") {
				p, _ := os.FindProcess(os.Getpid())
				p.Kill()
				select {}
			}
		}
		if err := Write(path, bytes.Repeat([]byte("new"), 50_000), 0o600); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, data := range []string{"one", "", "a longer third"} {
		if err := Write(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != data {
			t.Fatalf("read %q, %v; want %q", got, err, data)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestWriteFailureKeepsOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.MkdirAll(filepath.Join(path, "not-empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x"), 0o600); err == nil { // a folder is in the way
		t.Fatal("wrote over a folder")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := Write(filepath.Join(dir, "missing", "f"), nil, 0o600); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
}

func TestKindOfFailure(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		want  kith.Kind
	}{{syscall.ENOSPC, kith.Unavailable}, {syscall.EACCES, kith.Denied}, {syscall.EIO, kith.Internal}} {
		err := failed("/x/f", &fs.PathError{Op: "write", Path: "/x/f", Err: c.errno})
		if got := kith.KindOf(err); got != c.want || !errors.Is(err, c.errno) {
			t.Errorf("%v: %v, want %v", err, got, c.want)
		}
	}
}

func TestKilled(t *testing.T) {
	newData := bytes.Repeat([]byte("new"), 50_000)
	for _, c := range []struct {
		point string
		want  []byte
	}{{"written", []byte("old")}, {"renamed", newData}, {"", newData}} {
		t.Run("at "+c.point, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "ATOMICFILE_TEST_PATH="+path, "ATOMICFILE_TEST_KILL="+c.point)
			if err := cmd.Run(); (err != nil) != (c.point != "") {
				t.Fatalf("the writer ended with %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(c.want))
			}
			if err := Sweep(dir); err != nil {
				t.Fatal(err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left behind after a sweep: %v", entries)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for range 2 {
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Fatal("still there")
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
