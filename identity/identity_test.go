package identity

import (
	"testing"
)

func open1(t *testing.T, dir string) *Identity {
	t.Helper()
	i, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestOpenMakesAndKeeps(t *testing.T) {
	dir := t.TempDir()
	a := open1(t, dir)
	if a.Master() != Here || len(a.Notes()) != 0 {
		t.Errorf("fresh: master %s, notes %q", a.Master(), a.Notes())
	}
	b := open1(t, dir)
	if a.PeerID() != b.PeerID() || a.Person() != b.Person() || !a.Key().Equals(b.Key()) {
		t.Errorf("opened again, it is another: %v %v", a.Certificate(), b.Certificate())
	}
	c := open1(t, t.TempDir())
	if a.PeerID() == c.PeerID() || a.Person() == c.Person() {
		t.Error("two devices are the same")
	}
}

func TestConfirmTakesThePhraseAway(t *testing.T) {
	dir := t.TempDir()
	i := open1(t, dir)
	words, asked, err := i.Phrase("")
	if err != nil {
		t.Fatal(err)
	}
	var answer []string
	for _, n := range asked {
		answer = append(answer, words[n-1])
	}
	if err := i.Confirm(Confirmation{Words: answer}); err != nil {
		t.Fatal(err)
	}
	if i = open1(t, dir); i.Master() != Away {
		t.Errorf("master %s", i.Master())
	}
	other := open1(t, t.TempDir())
	if err := other.Restore(words, true); err != nil {
		t.Fatal(err)
	}
	if other.Person() != i.Person() || other.PeerID() == i.PeerID() {
		t.Errorf("restored %s on %s", other.Person(), other.PeerID())
	}
}
