package dirlock

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kith"
)

// TestMain lets the test binary play another node: it takes the lock, says so, and waits to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DIRLOCK_TEST_DIR"); dir != "" {
		l, err := Acquire(dir)
		if err == nil {
			err = l.SetAPI("127.0.0.1:4848")
		}
		fmt.Println(err)
		bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSecondNodeIsToldOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	first := exec.Command(os.Args[0])
	first.Env = append(os.Environ(), "DIRLOCK_TEST_DIR="+dir)
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer first.Wait()
	defer first.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the first node says %q, %v", line, err)
	}

	_, err = Acquire(dir)
	if !errors.Is(err, kith.Exists) {
		t.Fatalf("a second node got %v", err)
	}
	for _, want := range []string{fmt.Sprint("process ", first.Process.Pid), "127.0.0.1:4848", dir} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	if hint := kith.HintOf(err); !strings.Contains(hint, "kith status --dir '"+dir+"'") {
		t.Errorf("hint is %q", hint)
	}
	if h, err := Find(dir); err != nil || h.PID != first.Process.Pid || h.API != "127.0.0.1:4848" {
		t.Errorf("found %+v, %v", h, err)
	}

	first.Process.Kill()
	first.Wait()
	if _, err := Find(dir); !errors.Is(err, kith.NotFound) {
		t.Errorf("after the first was killed, Find says %v", err)
	}
	l, err := Acquire(dir) // what a killed process left blocks nobody
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

func TestLockWithinOneProcess(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir); !errors.Is(err, kith.NotFound) {
		t.Errorf("Find in an empty folder: %v", err)
	}
	l, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetAPI("[::1]:65535"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAPI("[::1]:1"); err != nil { // shorter: nothing of the longer one may stay
		t.Fatal(err)
	}
	if h, err := Find(dir); err != nil || h.API != "[::1]:1" || h.PID != os.Getpid() {
		t.Errorf("found %+v, %v", h, err)
	}
	if err := l.SetAPI(strings.Repeat("x", recordSize)); !errors.Is(err, kith.TooLarge) {
		t.Errorf("an endless address: %v", err)
	}
	if _, err := Acquire(dir); !errors.Is(err, kith.Exists) {
		t.Errorf("second lock in the same process: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l, err = Acquire(dir); err != nil {
		t.Fatal(err)
	}
	l.Release()
}

// TestFindBlocksNobody starts and stops a node again and again while others look for it.
func TestFindBlocksNobody(t *testing.T) {
	dir := t.TempDir()
	done := make(chan struct{})
	var looking sync.WaitGroup
	for range 2 {
		looking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					Find(dir)
				}
			}
		})
	}
	for range 200 {
		l, err := Acquire(dir)
		if err != nil {
			t.Error(err)
			break
		}
		l.Release()
	}
	close(done)
	looking.Wait()
}

func TestGarbageInTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(dir) // the content is only a note
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte("no JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(dir); !errors.Is(err, kith.Exists) {
		t.Errorf("held, but unnamed: %v", err)
	}
	if _, err := Acquire(filepath.Join(dir, "missing")); err == nil {
		t.Error("locked a folder that does not exist")
	}
}
