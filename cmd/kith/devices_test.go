package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// showsLink starts kith id link, and returns the link that it prints and a function that waits for the rest.
func (c *computer) showsLink(flags ...string) (link string, rest func() string) {
	c.t.Helper()
	cmd := c.command(append([]string{"id", "link"}, flags...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for link == "" && lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), "kith id link '"); ok {
			link, _, _ = strings.Cut(after, "'")
		}
	}
	if link == "" {
		cmd.Wait()
		c.t.Fatalf("no line to type: %s", errs.String())
	}
	return link, func() string {
		var text strings.Builder
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
		}
		if err := cmd.Wait(); err != nil {
			c.t.Errorf("kith id link: %v: %s", err, errs.String())
		}
		return text.String()
	}
}

// A person links a second device, whose contacts and mail are the same; the first one is lost, and revoked on the second with the phrase, which the contact follows.
func TestAnotherDeviceAsTheyWouldType(t *testing.T) {
	laptop, phone, ben := boot(t), boot(t), boot(t)
	var none any
	laptop.ask(&none, "id", "profile", "--name", "Anna")
	ben.ask(&none, "id", "profile", "--name", "Ben")
	var invite struct{ Link string }
	laptop.ask(&invite, "invite")
	ben.ask(&none, "join", invite.Link)
	var words struct{ Phrase []string }
	laptop.ask(&words, "id", "phrase")

	link, rest := laptop.showsLink()
	if _, errs, exit := phone.run("join", link); exit != 2 || !strings.Contains(errs, "kith id link") {
		t.Errorf("kith join of it ended with %d: %s", exit, errs)
	}
	if printed, errs, exit := phone.run("id", "link", link); exit != 0 || !strings.Contains(printed, "this device is Anna's now") || !strings.Contains(printed, "1 of your contacts") {
		t.Fatalf("kith id link ended with %d: %s%s", exit, printed, errs)
	}
	if text := rest(); !strings.Contains(text, "is your device now") || !strings.Contains(text, "kith id revoke") {
		t.Errorf("the laptop said: %s", text)
	}
	if _, errs, exit := ben.run("id", "link", link); exit != 5 && exit != 9 || errs == "" {
		t.Errorf("a used link, by somebody with contacts, ended with %d: %s", exit, errs)
	}
	peers := func(c *computer, name string) int {
		for _, x := range c.contacts() {
			if x.Name == name {
				return len(x.Peers)
			}
		}
		return 0
	}
	eventually(t, time.Minute, "Ben knows both devices, and the phone knows Ben", func() bool { return peers(ben, "Anna") == 2 && peers(phone, "Ben") == 1 })

	// What Ben sends is offered to both devices, and comes once: to the one that takes it.
	path := filepath.Join(t.TempDir(), "lake.jpg")
	want := file(t, path, 300<<10)
	ben.ask(&none, "send", "@anna", path, "--detach")
	eventually(t, time.Minute, "offered to both", func() bool { return len(inbox(laptop)) == 1 && len(inbox(phone)) == 1 })
	phone.ask(&none, "inbox", "accept", "1")
	eventually(t, time.Minute, "taken on the phone, over on the laptop", func() bool { return inbox(phone)[0] == "delivered" && inbox(laptop)[0] == "cancelled" })
	same(t, filepath.Join(phone.dir, "files", "Inbox", "lake.jpg"), want)
	if _, err := os.Stat(filepath.Join(laptop.dir, "files", "Inbox", "lake.jpg")); !os.IsNotExist(err) {
		t.Errorf("it is on the laptop too: %v", err)
	}
	// And between one's own devices.
	var own struct{ Devices []struct{ Name string } }
	phone.ask(&own, "id", "devices")
	phone.ask(&none, "send", "@me/"+own.Devices[1].Name, path, "--detach")
	eventually(t, time.Minute, "offered to the laptop", func() bool { return len(inbox(laptop)) == 2 })

	laptop.end(syscall.SIGKILL) // and it is stolen
	if _, errs, exit := phone.run("id", "revoke", own.Devices[1].Name); exit != 4 || !strings.Contains(errs, "--phrase") {
		t.Errorf("revoking without the master key ended with %d: %s", exit, errs)
	}
	revoke := phone.command("id", "revoke", own.Devices[1].Name, "--phrase")
	revoke.Stdin = strings.NewReader(strings.Join(words.Phrase, " ") + "\n")
	if text, err := revoke.CombinedOutput(); err != nil || !strings.Contains(string(text), "revoked on") {
		t.Fatalf("kith id revoke --phrase: %v: %s", err, text)
	}
	eventually(t, time.Minute, "Ben has cut the laptop off", func() bool { return peers(ben, "Anna") == 1 })
	laptop.up()
	var where struct{ Addrs []string }
	ben.ask(&where, "id")
	laptop.run("connect", where.Addrs[0]) // Ben tells it, and may hang up at once
	eventually(t, time.Minute, "the laptop says that it was revoked", func() bool {
		text, _, _ := laptop.run("status")
		return strings.Contains(text, "was revoked on") && strings.Contains(text, "kith id link")
	})
	if text, errs, exit := laptop.run("doctor"); exit != 0 || !strings.Contains(text, "wrong  device") {
		t.Errorf("kith doctor ended with %d: %s%s", exit, text, errs)
	}
	if text, errs, exit := laptop.run("id"); exit != 0 || !strings.Contains(text, "was revoked on") {
		t.Errorf("kith id ended with %d: %s%s", exit, text, errs)
	}
	if text, errs, exit := phone.run("people", "--json"); exit != 0 || strings.Contains(text, `"me": true`) {
		t.Errorf("kith people ended with %d: %s%s", exit, text, errs)
	}
	if _, errs, exit := laptop.run("invite"); exit != 4 || !strings.Contains(errs, "was revoked") {
		t.Errorf("it invites: %d: %s", exit, errs)
	}
	if _, errs, exit := laptop.run("send", "@ben", path); exit != 4 || !strings.Contains(errs, "was revoked") || !strings.Contains(errs, "link it anew") {
		t.Errorf("it sends: %d: %s", exit, errs)
	}
	if got := peers(ben, "Anna"); got != 1 {
		t.Errorf("Ben has %d devices of Anna's", got)
	}
	if _, errs, exit := phone.run("id", "link"); exit != 4 || !strings.Contains(errs, "--phrase") {
		t.Errorf("linking without the master key ended with %d: %s", exit, errs)
	}
}

// inbox returns the states of what is in it.
func inbox(c *computer) []string {
	c.t.Helper()
	var out struct{ Deliveries []struct{ State string } }
	c.ask(&out, "inbox")
	var states []string
	for _, d := range out.Deliveries {
		states = append(states, d.State)
	}
	return states
}
