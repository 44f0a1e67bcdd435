package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A file goes to a person with the lines that one types, through kill -9 of both while it is offered and right after it is taken.
func TestSendAsTheyWouldType(t *testing.T) {
	a, b := boot(t), boot(t)
	var none any
	a.ask(&none, "id", "profile", "--name", "Anna")
	b.ask(&none, "id", "profile", "--name", "Ben")
	printed, _, _ := a.run("invite")
	_, line, _ := strings.Cut(printed, "kith join '")
	link, _, _ := strings.Cut(line, "'")
	if _, errs, exit := b.run("join", link); exit != 0 {
		t.Fatalf("kith join ended with %d: %s", exit, errs)
	}
	path, want := filepath.Join(t.TempDir(), "film.mkv"), noise(2_000_000)
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, exit := b.run("send", "@nobody", path); exit != 3 || !strings.Contains(errs, "kith people") {
		t.Errorf("sending to nobody ended with %d: %s", exit, errs)
	}
	if _, errs, exit := b.run("send", "@anna", path, "--note", "from the lake", "--timeout", "3s"); exit != 124 || !strings.Contains(errs, "kith outbox") {
		t.Errorf("sending to who does not answer ended with %d: %s", exit, errs)
	}
	eventually(t, time.Minute, "it is in her inbox, with the note", func() bool { // it may not have been offered in those 3 s
		out, _, _ := a.run("inbox")
		return strings.Contains(out, "Ben") && strings.Contains(out, "film.mkv") && strings.Contains(out, "from the lake")
	})
	a.end(syscall.SIGKILL)
	b.end(syscall.SIGKILL)
	a.up()
	if out, errs, exit := a.run("inbox", "accept", "1", "--detach"); exit != 0 {
		t.Fatalf("kith inbox accept ended with %d: %s%s", exit, out, errs)
	}
	a.end(syscall.SIGKILL)
	a.up()
	b.up()
	var me struct{ Addrs []string }
	b.ask(&me, "id")
	a.ask(&none, "connect", me.Addrs[0])
	second := filepath.Join(t.TempDir(), "letter.txt")
	if err := os.WriteFile(second, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	a.ask(&none, "inbox", "auto", "ben")
	if out, errs, exit := b.run("send", "anna", second, "--timeout", "60s"); exit != 0 || !strings.Contains(out, "delivered to Anna") {
		t.Fatalf("kith send ended with %d: %s%s", exit, out, errs)
	}
	var box struct {
		Deliveries []struct{ Name, State, Text, Path string }
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) { // between looks
		a.ask(&box, "inbox")
		if len(box.Deliveries) == 2 && box.Deliveries[0].State == "delivered" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("in the inbox is %+v", box.Deliveries)
		}
	}
	if got, err := os.ReadFile(box.Deliveries[0].Path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what came has %d bytes that are not those sent, %v", len(got), err)
	}
	if out, _, _ := a.run("inbox"); !strings.Contains(out, box.Deliveries[0].Path) {
		t.Errorf("kith inbox does not say where it is:\n%s", out)
	}
	if out, _, _ := a.run("outbox"); !strings.HasPrefix(out, "nothing in the outbox; send something with: kith ") {
		t.Errorf("an empty outbox says %q", out)
	}
	a.ask(&none, "inbox", "auto", "ben", "--max", "off")
	if _, errs, exit := b.run("send", "anna", path, "--detach"); exit != 0 {
		t.Fatalf("kith send ended with %d: %s", exit, errs)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) { // between tries
		out, errs, exit := a.run("inbox", "accept")
		if exit == 0 && strings.Contains(out, "from Ben is here: "+box.Deliveries[0].Path[:len(box.Deliveries[0].Path)-len("film.mkv")]) {
			break
		}
		if exit != 3 || time.Now().After(end) { // not offered yet
			t.Fatalf("kith inbox accept ended with %d: %s%s", exit, out, errs)
		}
	}
}
