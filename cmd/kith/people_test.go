package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// contact is how `kith people` shows somebody.
type contact struct {
	Name   string
	Proven bool
	Peers  []string
}

func (c *computer) contacts() []contact {
	c.t.Helper()
	var out struct{ People []contact }
	c.ask(&out, "people")
	return out.People
}

// Two people become contacts with the lines that the program prints, and stay so through kill -9 right after; nobody else can use the invite.
func TestInviteAndJoinAsTheyWouldType(t *testing.T) {
	a, b, c := boot(t), boot(t), boot(t)
	var none any
	unnamed := "You have no name yet; they see "
	if printed, _, _ := a.run("invite"); !strings.Contains(printed, unnamed) || !strings.Contains(printed, "in this local network only") {
		t.Errorf("an invite without a name, into the loopback:\n%s", printed)
	}
	a.ask(&none, "id", "profile", "--name", "Anna")

	printed, errs, exit := a.run("invite", "--name", "Benjamin", "--for", "24h")
	if exit != 0 || !strings.Contains(printed, "for one person, once") {
		t.Fatalf("kith invite ended with %d: %s%s", exit, printed, errs)
	}
	_, line, _ := strings.Cut(printed, "kith join '")
	link, _, ok := strings.Cut(line, "'")
	if !ok || len(link) > 300 {
		t.Fatalf("no line to type, or too long a one:\n%s", printed)
	}
	if _, errs, exit := a.run("join", link); exit != 2 || !strings.Contains(errs, "your own") {
		t.Errorf("joining oneself ended with %d: %s", exit, errs)
	}
	if _, errs, exit := b.run("get", link); exit != 2 || !strings.Contains(errs, "kith join") {
		t.Errorf("fetching an invite ended with %d: %s", exit, errs)
	}
	if page, errs, exit := b.run("open", "--print", link); exit != 0 || !strings.Contains(page, "&link=kith%3Ainvite%3A") {
		t.Errorf("kith open of an invite ended with %d: %s%s", exit, page, errs)
	}
	printed, errs, exit = b.run("join", link)
	if exit != 0 || !strings.Contains(printed, "Anna is a contact of yours now") || !strings.Contains(printed, unnamed) {
		t.Fatalf("kith join ended with %d: %s%s", exit, printed, errs)
	}
	b.ask(&none, "id", "profile", "--name", "Ben")
	if printed, _, _ := b.run("invite"); strings.Contains(printed, unnamed) {
		t.Errorf("an invite of somebody with a name:\n%s", printed)
	}
	a.end(syscall.SIGKILL)
	b.end(syscall.SIGKILL)
	if _, errs, exit := c.run("join", link, "--timeout", "1s"); exit != 124 || !strings.Contains(errs, "did not come online") {
		t.Errorf("joining who is not there ended with %d: %s", exit, errs)
	}
	a.up()
	b.up()
	for _, x := range []struct {
		who  *computer
		name string
	}{{a, "Benjamin"}, {b, "Anna"}} {
		if got := x.who.contacts(); len(got) != 1 || got[0].Name != x.name || !got[0].Proven || len(got[0].Peers) != 1 {
			t.Errorf("contacts %+v, want %s", got, x.name)
		}
	}

	var me struct{ Addrs []string }
	a.ask(&me, "id")
	c.ask(&none, "connect", me.Addrs[0])
	if _, errs, exit := c.run("join", link); exit != 9 || !strings.Contains(errs, "has been used") {
		t.Errorf("joining by a used invite ended with %d: %s", exit, errs)
	}
	if printed, errs, _ := a.run("invite", "ls"); !strings.Contains(printed, "used by Benjamin") {
		t.Errorf("kith invite ls: %s%s", printed, errs)
	}
	if got := c.contacts(); len(got) != 0 {
		t.Errorf("the third has %+v", got)
	}
	b.ask(&none, "people", "rename", "Anna", "Annika")
	if got := b.contacts(); len(got) != 1 || got[0].Name != "Annika" {
		t.Errorf("renamed: %+v", got)
	}
	a.end(os.Interrupt)
}
