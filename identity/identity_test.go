package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kith"
)

// TestMain makes passphrases cheap, and lets the test binary play a process that is killed.
func TestMain(m *testing.M) {
	scryptWork = 4
	if dir := os.Getenv("IDENTITY_TEST_DIR"); dir != "" {
		os.Exit(playVictim(dir, os.Getenv("IDENTITY_TEST_DO"), os.Getenv("IDENTITY_TEST_KILL")))
	}
	os.Exit(m.Run())
}

func openAt(t *testing.T, dir string) *Identity {
	t.Helper()
	i, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func phraseOf(t *testing.T, i *Identity) (words, answer []string) {
	t.Helper()
	words, asked, err := i.Phrase("")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range asked {
		answer = append(answer, words[n-1])
	}
	return words, answer
}

func TestOpenMakesAndKeeps(t *testing.T) {
	dir := newDir(t)
	a := openAt(t, dir)
	if a.Master() != Here || len(a.Notes()) != 0 {
		t.Errorf("fresh: master %s, notes %q", a.Master(), a.Notes())
	}
	if c := a.Certificate(); c.Device != a.PeerID() || c.Name == "" || !strings.HasPrefix(a.Person(), "did:key:z6Mk") {
		t.Errorf("fresh: %+v, %s", c, a.Person())
	}
	b := openAt(t, dir)
	if a.PeerID() != b.PeerID() || a.Person() != b.Person() || !a.Key().Equals(b.Key()) {
		t.Errorf("opened again, it is another: %v %v", a.Certificate(), b.Certificate())
	}
	c := openAt(t, newDir(t))
	if a.PeerID() == c.PeerID() || a.Person() == c.Person() {
		t.Error("two devices are the same")
	}
}

// TestDeviceKeyIsNotDerived is what lets a lost device be revoked: the phrase alone does not give its key.
func TestDeviceKeyIsNotDerived(t *testing.T) {
	words, _ := phraseOf(t, openAt(t, newDir(t)))
	a, b := openAt(t, newDir(t)), openAt(t, t.TempDir())
	for _, i := range []*Identity{a, b} {
		if err := i.Restore(words, true); err != nil {
			t.Fatal(err)
		}
	}
	if a.Person() != b.Person() || a.PeerID() == b.PeerID() {
		t.Errorf("two devices of one person: %s %s, %s %s", a.Person(), a.PeerID(), b.Person(), b.PeerID())
	}
}

func TestConfirmTakesThePhraseOffTheDisk(t *testing.T) {
	dir := newDir(t)
	i := openAt(t, dir)
	words, answer := phraseOf(t, i)
	if err := i.SetProfile(Profile{Name: "Anna"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		want  kith.Kind
	}{{nil, kith.Invalid}, {answer[:2], kith.Invalid}, {[]string{"no", answer[1], answer[2]}, kith.Denied}, {append(words[:23:23], "no"), kith.Denied}} {
		if err := i.Confirm(Confirmation{Words: c.words}); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.words, err, c.want)
		}
	}
	if i.Master() != Here {
		t.Fatal("wrong words confirmed it")
	}
	if err := i.Confirm(Confirmation{Words: []string{" " + strings.ToUpper(answer[0]), answer[1] + " " + answer[2]}}); err != nil {
		t.Fatal(err)
	}
	checkNowhere(t, dir, words)
	again := openAt(t, dir)
	if again.Master() != Away || again.Person() != i.Person() || again.Profile().Name != "Anna" {
		t.Errorf("confirmed: %s %s %+v", again.Master(), again.Person(), again.Profile())
	}
	if err := again.Confirm(Confirmation{Words: answer}); !errors.Is(err, kith.Gone) {
		t.Errorf("confirmed twice: %v", err)
	}
	if _, _, err := again.Phrase(""); !errors.Is(err, kith.Gone) {
		t.Errorf("phrase after it was confirmed: %v", err)
	}
	if err := again.Restore(words, false); err != nil || again.Master() != Away {
		t.Errorf("restoring the same person: %v", err)
	}
}

// checkNowhere fails if a file below dir holds two words of phrase in a row.
func checkNowhere(t *testing.T, dir string, phrase []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for n := range len(phrase) - 1 {
			if bytes.Contains(data, []byte(phrase[n]+" "+phrase[n+1])) {
				t.Errorf("%s holds words %d and %d of the phrase", path, n+1, n+2)
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeepUnderPassphrase(t *testing.T) {
	dir := newDir(t)
	i := openAt(t, dir)
	words, answer := phraseOf(t, i)
	if err := i.Confirm(Confirmation{Words: answer, Keep: true, Passphrase: "short"}); !errors.Is(err, kith.Invalid) || i.Master() != Here {
		t.Fatalf("a short passphrase: %v, master %s", err, i.Master())
	}
	const pass = "correct horse battery"
	if err := i.Confirm(Confirmation{Words: answer, Keep: true, Passphrase: pass}); err != nil {
		t.Fatal(err)
	}
	checkNowhere(t, dir, words)
	i = openAt(t, dir)
	if i.Master() != Locked {
		t.Errorf("master %s", i.Master())
	}
	for _, wrong := range []string{"", "another one"} {
		if _, _, err := i.Phrase(wrong); !errors.Is(err, kith.Denied) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	if got, _, err := i.Phrase(pass); err != nil || strings.Join(got, " ") != strings.Join(words, " ") {
		t.Errorf("unlocked: %v, %v", got, err)
	}
	i.state.sealed = strings.Replace(i.state.sealed, "\n", "\nAAAA", 1)
	if _, _, err := i.Phrase(pass); !errors.Is(err, kith.Corrupt) {
		t.Errorf("what is under the passphrase is damaged: %v", err)
	}
}

func TestRestore(t *testing.T) {
	old := openAt(t, newDir(t))
	words, _ := phraseOf(t, old)
	dir := newDir(t)
	i := openAt(t, dir)
	first, id := i.Person(), i.PeerID()
	firstWords, _ := phraseOf(t, i)
	if err := i.SetProfile(Profile{Name: "the first"}); err != nil {
		t.Fatal(err)
	}

	if err := i.Restore(words, false); !errors.Is(err, kith.Exists) || !strings.Contains(kith.HintOf(err), "kith id restore --replace") {
		t.Errorf("over an unconfirmed person: %v, hint %q", err, kith.HintOf(err))
	}
	if i = openAt(t, dir); i.Person() != first || i.Master() != Here || i.Profile().Name != "the first" {
		t.Fatal("what was refused changed something")
	}
	if err := i.Restore([]string{strings.Join(words, "\n ")}, true); err != nil {
		t.Fatal(err)
	}
	checkNowhere(t, dir, words)
	checkNowhere(t, dir, firstWords)
	if i = openAt(t, dir); i.Person() != old.Person() || i.PeerID() != id || i.Master() != Away || i.Profile().Name != "" {
		t.Errorf("restored: %s on %s, %s, %+v", i.Person(), i.PeerID(), i.Master(), i.Profile())
	}
	if err := i.Restore(firstWords, false); !errors.Is(err, kith.Exists) {
		t.Errorf("over a confirmed person: %v", err)
	}

	zeros := strings.Fields(strings.Repeat("abandon ", 23) + "art") // of 256 zero bits
	for name, bad := range map[string][]string{
		"short": zeros[:23], "long": append(zeros[:24:24], "zoo"), "no word": append(zeros[:23:23], "kith"),
		"swapped": append([]string{"art"}, zeros[:23]...), "none": nil,
	} {
		if err := i.Restore(bad, true); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i.Person() != old.Person() {
		t.Error("what was refused changed the person")
	}
}

func TestRestoreOfTheSamePersonConfirms(t *testing.T) {
	dir := newDir(t)
	i := openAt(t, dir)
	words, _ := phraseOf(t, i)
	if err := i.Restore(words, false); err != nil || i.Master() != Away {
		t.Fatalf("%v, master %s", err, i.Master())
	}
	checkNowhere(t, dir, words)
}

func TestDamagedFilesAreLeftAlone(t *testing.T) {
	other := newDir(t)
	openAt(t, other)
	otherPerson, err := os.ReadFile(filepath.Join(other, personFile))
	if err != nil {
		t.Fatal(err)
	}
	otherDevice, err := os.ReadFile(filepath.Join(other, deviceFile))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
	for name, c := range map[string]struct {
		file   string
		damage func([]byte) []byte
	}{
		"device empty":            {deviceFile, func([]byte) []byte { return nil }},
		"device garbage":          {deviceFile, func([]byte) []byte { return []byte("garbage") }},
		"device of another":       {deviceFile, func([]byte) []byte { return otherDevice }},
		"person empty":            {personFile, func([]byte) []byte { return nil }},
		"person torn":             {personFile, func(b []byte) []byte { return b[:len(b)/2] }},
		"person of another":       {personFile, func([]byte) []byte { return otherPerson }},
		"person from the future":  {personFile, replace(`"version": 1`, `"version": 2, "new": true`)},
		"person with more fields": {personFile, replace(`"version": 1`, `"version": 1, "new": true`)},
		"person twice":            {personFile, func(b []byte) []byte { return append(b, b...) }},
		"certificate":             {personFile, replace(`"certificate": "`, `"certificate": "AAAA`)},
		"phrase":                  {personFile, replace(`"phrase": "`, `"phrase": "zoo `)},
		"picture":                 {personFile, replace(`"version": 1`, `"version": 1, "picture": "AAAA"`)},
		"endless":                 {personFile, func(b []byte) []byte { return append(b, bytes.Repeat([]byte(" "), maxFile)...) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			openAt(t, dir)
			path := filepath.Join(dir, c.file)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := c.damage(bytes.Clone(data))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(dir)
			if !errors.Is(err, kith.Corrupt) || kith.HintOf(err) == "" {
				t.Errorf("opened: %v, hint %q", err, kith.HintOf(err))
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, bad) {
				t.Error("the damaged file was written over")
			}
		})
	}
}

func TestLostFiles(t *testing.T) {
	dir := newDir(t)
	first := openAt(t, dir)
	person := filepath.Join(dir, personFile)
	device := filepath.Join(dir, deviceFile)

	if err := os.Rename(device, device+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, kith.Corrupt) || kith.HintOf(err) == "" {
		t.Errorf("without the device key: %v", err)
	}
	if _, err := os.Stat(device); err == nil {
		t.Error("a new device key was made under an old certificate")
	}
	if err := os.Rename(device+".away", device); err != nil {
		t.Fatal(err)
	}

	if err := os.Rename(person, person+".away"); err != nil { // as the hints say
		t.Fatal(err)
	}
	i := openAt(t, dir)
	if i.PeerID() != first.PeerID() || i.Person() == first.Person() || len(i.Notes()) != 1 || !strings.Contains(i.Notes()[0], "kith id restore") {
		t.Errorf("without the person: %s %s %q", i.PeerID(), i.Person(), i.Notes())
	}
	words, _ := phraseOf(t, first)
	if err := i.Restore(words, true); err != nil || i.Person() != first.Person() {
		t.Errorf("restored: %v", err)
	}
}

func TestFilesOfAnotherUser(t *testing.T) {
	err := failed("/x", &fs.PathError{Op: "open", Path: "/x/device.key", Err: fs.ErrPermission})
	if !errors.Is(err, kith.Denied) || !strings.Contains(kith.HintOf(err), "the user who owns /x") {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
	if err := failed("/x", kith.Hint(kith.Corrupt, "mend it")); !errors.Is(err, kith.Corrupt) || kith.HintOf(err) != "mend it" {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
}

func TestPermissionsAreMended(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not tested: Windows has no permission bits")
	}
	dir := newDir(t)
	openAt(t, dir)
	for name, perm := range map[string]fs.FileMode{"": 0o755, deviceFile: 0o644, personFile: 0o660} {
		if err := os.Chmod(filepath.Join(dir, name), perm); err != nil {
			t.Fatal(err)
		}
	}
	i := openAt(t, dir)
	if len(i.Notes()) != 3 {
		t.Errorf("notes: %q", i.Notes())
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, deviceFile: 0o600, personFile: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	if again := openAt(t, dir); len(again.Notes()) != 0 {
		t.Errorf("mended, and still: %q", again.Notes())
	}
}

func TestClockThatIsOff(t *testing.T) {
	i := openAt(t, newDir(t))
	for _, c := range []struct {
		now  time.Time
		note bool
	}{{time.Now().Add(time.Hour), false}, {time.Now().Add(-time.Hour), false}, {time.Now().AddDate(20, 0, 0), false}, {time.Now().AddDate(0, 0, -2), true}, {time.Unix(0, 0), true}} {
		i.notes = nil
		i.noteClock(c.now)
		if (len(i.notes) == 1) != c.note {
			t.Errorf("at %v: %q", c.now, i.notes)
		}
	}
	key := masterKey(i.state.phrase)
	for _, issued := range []time.Time{time.Unix(0, 0), time.Now().AddDate(50, 0, 0)} {
		c, err := sign(key, i.PeerID(), "laptop", issued)
		if err != nil || c.Device != i.PeerID() {
			t.Errorf("a certificate of %v locks out: %v", issued, err)
		}
	}
}

// playVictim is what the child process of TestKilled does.
func playVictim(dir, do, kill string) int {
	i, err := Open(dir)
	if do == "open" { // again, with the trap set
		os.RemoveAll(dir)
	} else if err != nil {
		return 1
	}
	reached = func(point string) {
		if point == kill {
			p, _ := os.FindProcess(os.Getpid())
			p.Kill()
			select {}
		}
	}
	words, asked, _ := i.Phrase("")
	switch do {
	case "open":
		_, err = Open(dir)
	case "confirm":
		var answer []string
		for _, n := range asked {
			answer = append(answer, words[n-1])
		}
		err = i.Confirm(Confirmation{Words: answer})
	case "restore":
		err = i.Restore(strings.Fields(os.Getenv("IDENTITY_TEST_PHRASE")), true)
	}
	if err != nil {
		return 1
	}
	return 0
}

func TestKilled(t *testing.T) {
	other := openAt(t, newDir(t))
	otherWords, _ := phraseOf(t, other)
	for _, c := range []struct {
		do, at, want string // want: where the master key is found afterwards
		restored     bool
	}{
		{"open", "device key written", Here, false},
		{"open", "saving", Here, false},
		{"open", "saved", Here, false},
		{"confirm", "saving", Here, false},
		{"confirm", "saved", Away, false},
		{"restore", "saving", Here, false},
		{"restore", "saved", Away, true},
	} {
		t.Run(fmt.Sprintf("%s at %s", c.do, c.at), func(t *testing.T) {
			dir := newDir(t)
			before := openAt(t, dir)
			words, _ := phraseOf(t, before)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "IDENTITY_TEST_DIR="+dir, "IDENTITY_TEST_DO="+c.do, "IDENTITY_TEST_KILL="+c.at,
				"IDENTITY_TEST_PHRASE="+strings.Join(otherWords, " "))
			if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() == 1 && runtime.GOOS != "windows" {
				t.Fatalf("the victim was not killed: %v %s", err, out)
			}
			i := openAt(t, dir)
			if i.Master() != c.want {
				t.Errorf("master %s, want %s", i.Master(), c.want)
			}
			if c.restored != (i.Person() == other.Person()) {
				t.Errorf("person %s", i.Person())
			}
			if c.do != "open" && i.PeerID() != before.PeerID() {
				t.Errorf("device %s, was %s", i.PeerID(), before.PeerID())
			}
			if c.want == Away {
				checkNowhere(t, dir, words)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 2 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// TestLeftoversOfAKilledWriter: a half-written file may hold the phrase, and goes at the next start.
func TestLeftoversOfAKilledWriter(t *testing.T) {
	dir := newDir(t)
	words, answer := phraseOf(t, openAt(t, dir))
	left := filepath.Join(dir, personFile+".kith-tmp-1")
	if err := os.WriteFile(left, []byte(strings.Join(words, " ")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openAt(t, dir).Confirm(Confirmation{Words: answer}); err != nil {
		t.Fatal(err)
	}
	checkNowhere(t, dir, words)
}

// newDir returns a folder that is not there yet.
func newDir(t testing.TB) string { return filepath.Join(t.TempDir(), "identity") }
