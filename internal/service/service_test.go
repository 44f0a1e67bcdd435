package service

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kith"
	"kith/internal/dirlock"
)

var update = flag.Bool("update", false, "write the golden files anew")

// odd is a place whose names have all that needs quoting.
func odd(os string) place {
	return place{os: os, home: "/home/anna", config: "/home/anna/.config", data: "/home/anna/.local/share", user: `PC\anna & co`, uid: 501,
		exe: `/opt/a & b $c 100%/kith`, dir: `/home/anna/käse & <brot> \x`}
}

func TestGoldenUnits(t *testing.T) {
	for _, c := range []struct{ os, golden string }{{"linux", "kith.service"}, {"darwin", "kith.plist"}, {"windows", "kith.xml"}} {
		m, err := managerOf(odd(c.os))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, c.golden, strings.ReplaceAll(m.unit.text, "\r\n", "\n"))
	}
	golden(t, "kith-magnet.desktop", odd("linux").desktopEntry("other.desktop").text)
	if _, err := managerOf(odd("plan9")); !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("an unknown system: %v", err)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s (%v) differs:\n%s", name, err, got)
	}
}

// TestSystemdAcceptsTheUnit asks systemd itself, where there is one.
func TestSystemdAcceptsTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("not tested: that systemd accepts the unit; there is no systemd-analyze")
	}
	dir := filepath.Join(t.TempDir(), `a & b 100% $c`)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := odd("linux")
	p.exe = filepath.Join(dir, "kith")
	if err := os.WriteFile(p.exe, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), unitName)
	if err := os.WriteFile(unit, []byte(systemd(p).unit.text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(analyze, "verify", "--user", unit)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// fake is a computer with a home folder of its own and a manager that only takes down what it is told.
type fake struct {
	installer
	absent  bool // there is no manager
	running bool
	ran     []string
}

func newFake(t *testing.T) *fake {
	home := t.TempDir()
	f := &fake{}
	f.place = place{os: "linux", home: home, config: filepath.Join(home, ".config"), data: filepath.Join(home, "data"), user: "anna", uid: 501,
		exe: "/usr/bin/kith", dir: filepath.Join(home, "kith")}
	f.run = func(name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		switch {
		case f.absent:
			return "Failed to connect to bus", errors.New("exit status 1")
		case strings.Contains(line, "is-active") && !f.running:
			return "", errors.New("exit status 3")
		case strings.Contains(line, "show-environment"), strings.Contains(line, "is-active"):
			return "", nil
		case strings.Contains(line, "restart"):
			f.running = true
		case strings.Contains(line, "--now"):
			f.running = false
		}
		f.ran = append(f.ran, line)
		return "", nil
	}
	return f
}

// files returns the text of every file below the home folder.
func (f *fake) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(f.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, f.home)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInstallAndTakeBack(t *testing.T) {
	for _, before := range []string{
		"",
		"[Added Associations]\ntext/html=a.desktop;\n",
		"[Default Applications]\nx-scheme-handler/magnet=qbittorrent.desktop;other.desktop\ntext/html=firefox.desktop\n\n[Removed Associations]\nx-scheme-handler/magnet=bad.desktop\n",
	} {
		f := newFake(t)
		if before != "" {
			if err := os.MkdirAll(f.config, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.mimePath(), []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		was := f.files(t)
		r, err := f.install(true)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Enabled || !r.Running || !r.Magnet || len(r.Wrote) != 3 {
			t.Errorf("installed: %+v", r)
		}
		if want := []string{"systemctl --user daemon-reload", "systemctl --user enable kith.service", "systemctl --user restart kith.service"}; !slices.Equal(f.ran, want) {
			t.Errorf("ran %q", f.ran)
		}
		now := f.files(t)
		f.ran = nil
		if r, err = f.install(true); err != nil || len(r.Wrote) != 0 || len(r.Kept) != 3 || !maps.Equal(f.files(t), now) {
			t.Errorf("installed again: %+v, %v", r, err)
		}
		if slices.ContainsFunc(f.ran, func(c string) bool { return strings.Contains(c, "restart") }) {
			t.Error("a running node was started anew for nothing")
		}
		if r, err = f.status(); err != nil || !r.Enabled || !r.Running || !r.Magnet || len(r.Notes) != 0 {
			t.Errorf("status: %+v, %v", r, err)
		}
		if r, err = f.uninstall(); err != nil || f.running {
			t.Errorf("uninstalled: %+v, %v", r, err)
		}
		want := maps.Clone(was)
		for path, text := range want { // a list of alternatives becomes the one that counted
			want[path] = strings.Replace(text, ";other.desktop", "", 1)
		}
		if got := f.files(t); !maps.Equal(got, want) {
			t.Errorf("left behind %q\nwas %q", got, want)
		}
		if r, err = f.uninstall(); err != nil || len(r.Removed) != 0 {
			t.Errorf("uninstalled again: %+v, %v", r, err)
		}
		if r, err = f.status(); err != nil || r.Enabled || r.Running || r.Magnet {
			t.Errorf("status afterwards: %+v, %v", r, err)
		}
	}
}

func TestInstallWithoutMagnetTouchesNoLinks(t *testing.T) {
	f := newFake(t)
	if _, err := f.install(false); err != nil {
		t.Fatal(err)
	}
	if got := f.files(t); len(got) != 1 || got["/.config/systemd/user/kith.service"] == "" {
		t.Errorf("wrote %v", slices.Collect(maps.Keys(got)))
	}
}

func TestUninstallLeavesAnothersHandlerAlone(t *testing.T) {
	f := newFake(t)
	if _, err := f.install(true); err != nil {
		t.Fatal(err)
	}
	const chosen = "[Default Applications]\nx-scheme-handler/magnet=transmission.desktop\n" // since then
	if err := os.WriteFile(f.mimePath(), []byte(chosen), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.uninstall(); err != nil {
		t.Fatal(err)
	}
	if got := f.files(t); len(got) != 1 || got["/.config/mimeapps.list"] != chosen {
		t.Errorf("left %q", got)
	}
}

func TestInstallBesideARunningNode(t *testing.T) {
	f := newFake(t)
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := dirlock.Acquire(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	r, err := f.install(false)
	if err != nil || f.running || len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "a node is running already") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNoManager(t *testing.T) {
	f := newFake(t)
	f.absent = true
	_, err := f.install(true)
	if !errors.Is(err, kith.Unavailable) || !strings.Contains(kith.HintOf(err), "crontab -e: @reboot KITH_DIR='"+f.dir+"' '/usr/bin/kith' up --no-open") {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
	if got := f.files(t); len(got) != 0 {
		t.Errorf("wrote %v", got)
	}
}

func TestRefusesWhatGoRunBuilt(t *testing.T) {
	for exe, want := range map[string]bool{
		"/tmp/go-build1/b001/exe/kith":                      true,
		"/home/anna/.cache/go-build/ab/abcdef-d/kith":       true,
		filepath.Join(os.TempDir(), "x", "kith"):            true,
		"/usr/local/bin/kith":                               false,
		"/home/anna/go/bin/kith":                            false,
		filepath.Join(filepath.Dir(os.TempDir()), "x/kith"): false,
	} {
		if got := passing(exe); got != want {
			t.Errorf("%s: %v", exe, got)
		}
	}
	f := newFake(t)
	f.exe = "/tmp/go-build1/b001/exe/kith"
	if _, err := f.install(false); !errors.Is(err, kith.Invalid) || !strings.Contains(kith.HintOf(err), "go install ./cmd/kith") {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
	if len(f.ran) != 0 || len(f.files(t)) != 0 {
		t.Error("something was done all the same")
	}
}

// TestPrint runs the command itself, in a home of its own: --print writes nothing.
func TestPrint(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_DATA_HOME", "")
	root := &cobra.Command{Use: "kith"}
	root.PersistentFlags().String("dir", filepath.Join(home, "kith"), "")
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(Command())
	var out strings.Builder
	root.SetOut(&out)
	root.SetArgs([]string{"service", "install", "--print", "--magnet"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(home); len(entries) != 0 {
		t.Errorf("wrote %v", entries)
	}
	if !strings.Contains(out.String(), filepath.Join(home, "kith")) || !strings.Contains(out.String(), "kith-magnet.desktop") {
		t.Errorf("printed:\n%s", out.String())
	}
}
