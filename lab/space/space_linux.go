package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kith"
)

// killTime is how long Close waits for killed programs to be gone.
const killTime = 5 * time.Second

// A Space is one network namespace. Its methods may be called at once.
type Space struct {
	file *os.File
	id   string // its name in /proc
}

// New makes a namespace and runs setup on a thread inside it. Without root, or elsewhere than on Linux, it returns kith.Unavailable.
func New(setup func() error) (s *Space, err error) {
	err = away(func() (err error) {
		s, err = unshare(setup)
		return err
	})
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		err = kith.Hint(fmt.Errorf("%w: %w", err, kith.Unavailable), "network namespaces need root and /dev/net/tun: run it with sudo")
	}
	return s, err
}

// away runs f, which changes the namespace of its thread, and brings the thread back: one that ended would take with it the programs that were ever
// started on it (see Command).
func away(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else it ends with the goroutine
		}
		done <- err
	}()
	return <-done
}

func unshare(setup func() error) (*Space, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make network namespace: %w", err)
	}
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	s := &Space{file: file}
	if s.id, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd())); err == nil {
		err = setup()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

// Path names the namespace for programs that this process starts, while it is open.
func (s *Space) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd()) }

// Command is like exec.CommandContext for a program that runs inside. It is killed when this process ends.
func (s *Space) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + s.Path(), "--", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Do runs f on a thread inside: sockets that f opens itself, not through another goroutine, belong to the namespace for good.
func (s *Space) Do(f func() error) error {
	return away(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Kill ends every process that runs inside, and waits until they are gone.
func (s *Space) Kill() {
	for deadline := time.Now().Add(killTime); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		pids := s.Processes()
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// Processes returns who runs inside, but for this process.
func (s *Space) Processes() (pids []int) {
	spaces, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, space := range spaces {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(space))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if in, err := os.Readlink(space); err == nil && in == s.id {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Close lets go of the namespace, which ends once no program and no socket is in it. Kill comes first.
func (s *Space) Close() error { return s.file.Close() }
