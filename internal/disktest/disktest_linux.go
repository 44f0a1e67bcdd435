package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const none = "no disks of their own here:"

// Run runs a command, most often the test itself once more, where New works. It skips the test, as what, on a machine that allows no such thing.
func Run(t *testing.T, cmd *exec.Cmd, what string) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), none) || errors.Is(err, os.ErrPermission) {
		t.Skipf("not tested: %s (no mount namespaces here)", what)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// New makes a disk of a size such as "8m" in dir, under name, and returns where it is. The process must be one that Run has started.
func New(t *testing.T, dir, name, size string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil { // nobody outside sees it
		t.Fatal(none, err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(none, err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}
