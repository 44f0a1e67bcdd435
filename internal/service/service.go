// Package service makes a node start by itself when its owner logs in: a systemd user unit, a launchd agent, a scheduled task.
//
// It is not a supervisor, and needs no rights beyond the person's own. Its one idea: a plan of files and commands is made first, without
// touching anything, so that it can be shown, tested for every system on any, and taken back whole.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"kith"
	"kith/internal/atomicfile"
	"kith/internal/dirlock"
)

// maxFile bounds a file of the system's that is read to change a line in it.
const maxFile = 1 << 20

// commandTime is how long a command of the system's may take.
const commandTime = 30 * time.Second

// place is all that a plan depends on.
type place struct {
	os     string // as runtime.GOOS
	home   string
	config string // where programs keep settings: ~/.config
	data   string // where programs keep data: ~/.local/share
	user   string // login name
	uid    int
	exe    string // this program
	dir    string // data directory of the node
}

// file is a file that a plan writes.
type file struct {
	path string
	text string
	wide bool // in UTF-16
}

func (f file) bytes() []byte {
	if f.wide {
		return utf16Text(f.text)
	}
	return []byte(f.text)
}

// manager is what a system starts services with. A command whose name begins with - may fail.
type manager struct {
	name    string     // for people
	unit    file       // what describes the service to it
	check   []string   // fails where there is no such manager
	missing error      // what to tell then
	enable  [][]string // from now on at each login, and at once
	later   [][]string // the same, but not at once
	disable [][]string // stop, and never again; before the unit is removed
	forget  [][]string // after it is removed
	running []string   // succeeds while the node runs
	hint    string     // what else a person may want
}

func managerOf(p place) (manager, error) {
	switch p.os {
	case "linux", "freebsd":
		return systemd(p), nil
	case "darwin":
		return launchd(p), nil
	case "windows":
		return taskScheduler(p), nil
	}
	return manager{}, kith.Hint(fmt.Errorf("service: %s is not known: %w", p.os, kith.Unavailable),
		"let whatever starts your programs run: %s up --no-open", quote(p.exe))
}

// here describes the computer that the program runs on.
func here(dir string) (place, error) {
	exe, err := os.Executable()
	if err != nil {
		return place{}, fmt.Errorf("service: find this program: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return place{}, fmt.Errorf("service: find the home folder: %w", err)
	}
	p := place{os: runtime.GOOS, home: home, uid: os.Getuid(), exe: exe, dir: dir,
		config: absoluteOr(os.Getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config")),
		data:   absoluteOr(os.Getenv("XDG_DATA_HOME"), filepath.Join(home, ".local", "share"))}
	if u, err := user.Current(); err == nil {
		p.user = u.Username
	}
	return p, nil
}

// absoluteOr returns path, or the other if it is not absolute, as the XDG Base Directory Specification says.
func absoluteOr(path, other string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return other
}

// passing reports whether exe is in a folder that will not last: where go run builds, or the system's temporary one.
func passing(exe string) bool {
	for _, part := range strings.Split(filepath.ToSlash(exe), "/") {
		if strings.HasPrefix(part, "go-build") {
			return true
		}
	}
	rel, err := filepath.Rel(os.TempDir(), exe)
	return err == nil && filepath.IsLocal(rel)
}

// runner runs a command of the system's, and returns what it said.
type runner func(name string, args ...string) (string, error)

func runCommand(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// installer carries plans out.
type installer struct {
	place
	run runner
}

// A Report says what was done, or found.
type Report struct {
	Manager string   `json:"manager"`
	Enabled bool     `json:"enabled"`
	Running bool     `json:"running"`
	Magnet  bool     `json:"magnet"`            // magnet links open with Kith
	Unit    string   `json:"unit,omitempty"`    // path of the file that describes the service
	Wrote   []string `json:"wrote,omitempty"`   // files
	Removed []string `json:"removed,omitempty"` // files
	Kept    []string `json:"kept,omitempty"`    // files that were already as they should be
	Ran     []string `json:"ran,omitempty"`     // commands
	Notes   []string `json:"notes,omitempty"`
}

// install makes the node start at each login, and, with magnet, magnet links open with it. Doing so again changes nothing.
func (in installer) install(magnet bool) (Report, error) {
	m, err := managerOf(in.place)
	if err != nil {
		return Report{}, err
	}
	if passing(in.exe) {
		return Report{}, kith.Hint(fmt.Errorf("service: install: this program is in a temporary folder, %s, which will not last: %w",
			filepath.Dir(in.exe), kith.Invalid), "in Kith's source folder: go install ./cmd/kith && \"$(go env GOPATH)/bin/kith\" service install")
	}
	if _, err := in.run(m.check[0], m.check[1:]...); err != nil {
		return Report{}, m.missing
	}
	r := Report{Manager: m.name, Enabled: true, Unit: m.unit.path}
	if err := r.write(m.unit); err != nil {
		return r, err
	}
	commands := m.enable
	_, notRunning := in.run(m.running[0], m.running[1:]...)
	holder, free := dirlock.Find(in.dir)
	switch {
	case notRunning == nil && len(r.Kept) > 0:
		commands = m.later // nothing to start
	case notRunning != nil && free == nil:
		commands = m.later
		r.note("a node is running already (%v); the service takes over when you next log in", holder)
	}
	for _, c := range commands {
		if err := r.command(in.run, c); err != nil {
			return r, err
		}
	}
	r.Running = true
	if magnet {
		if err := in.openMagnets(&r); err != nil {
			return r, err
		}
	}
	if m.hint != "" {
		r.note("%s", m.hint)
	}
	return r, nil
}

// uninstall takes back all that install did. It is no error if there is nothing.
func (in installer) uninstall() (Report, error) {
	m, err := managerOf(in.place)
	if err != nil {
		return Report{}, err
	}
	r := Report{Manager: m.name}
	if _, err := os.Lstat(m.unit.path); err == nil {
		if _, err := in.run(m.check[0], m.check[1:]...); err != nil {
			r.note("%s does not answer; it was not told to stop the node", m.name)
			m.disable, m.forget = nil, nil
		}
		for _, c := range m.disable {
			if err := r.command(in.run, c); err != nil {
				r.note("%v", err) // it may be half installed: go on
			}
		}
		if err := r.remove(m.unit.path); err != nil {
			return r, err
		}
		for _, c := range m.forget {
			if err := r.command(in.run, c); err != nil {
				r.note("%v", err)
			}
		}
	}
	return r, in.leaveMagnets(&r)
}

// status finds out how things are.
func (in installer) status() (Report, error) {
	m, err := managerOf(in.place)
	if err != nil {
		return Report{}, err
	}
	r := Report{Manager: m.name, Unit: m.unit.path, Magnet: in.opensMagnets()}
	text, err := os.ReadFile(m.unit.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Unit = ""
		return r, nil
	case err != nil:
		return r, fmt.Errorf("service: status: %w", err)
	}
	r.Enabled = true
	_, err = in.run(m.running[0], m.running[1:]...)
	r.Running = err == nil
	if !bytes.Equal(text, m.unit.bytes()) {
		r.note("%s is not what this program would write: it was changed, or is for another program or folder; kith service install writes it anew", m.unit.path)
	}
	return r, nil
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// write makes f so, and takes it down in the report.
func (r *Report) write(f file) error {
	path := f.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // somebody keeps their settings elsewhere
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.bytes()) {
		r.Kept = append(r.Kept, path)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("service: %w: %w", err, kith.Denied)
	}
	if err := atomicfile.Write(path, f.bytes(), 0o644); err != nil {
		return fmt.Errorf("service: %w", err)
	}
	r.Wrote = append(r.Wrote, path)
	return nil
}

func (r *Report) remove(path string) error {
	if err := atomicfile.Remove(path); err != nil {
		return fmt.Errorf("service: %w", err)
	}
	r.Removed = append(r.Removed, path)
	return nil
}

func (r *Report) command(run runner, c []string) error {
	name, optional := strings.CutPrefix(c[0], "-")
	out, err := run(name, c[1:]...)
	if optional && err != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("service: %s: %v: %s: %w", strings.Join(c, " "), err, out, kith.Unavailable)
	}
	r.Ran = append(r.Ran, strings.Join(append([]string{name}, c[1:]...), " "))
	return nil
}

// quote quotes s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
