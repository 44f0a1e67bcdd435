package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"kith"
	"kith/app"
	"kith/identity"
)

// idOps returns the operations on who this is. addrs says where this device can be reached now, and what of that others are told; changed is
// told when contacts should see somebody else; trouble says what the person should know.
func idOps(id *identity.Identity, addrs func() (all, told []string), changed func(), trouble func() []string) []app.Op {
	o := idOp{id, addrs, changed, trouble}

	show := app.NewOp("id", "show who you are on the network", o.show)
	show.Query = true
	show.Example = "kith id\nkith id --json"

	phrase := app.NewOp("id phrase", "show your recovery phrase", o.phrase)
	phrase.Long = "Whoever has its 24 words is you. Write them on paper, then confirm: the key that they stand for leaves this disk.\n" +
		"On another device, kith id restore makes it yours with the same words."
	phrase.Example = "kith id phrase"

	confirm := app.NewOp("id confirm", "confirm that you wrote your recovery phrase down", o.confirm)
	confirm.Long = "It takes the words that kith id phrase asks for, in their order, or all of them. Then the phrase leaves this disk, unless\n" +
		"you keep it here under a passphrase (--keep)."
	confirm.Example = "kith id phrase\nkith id confirm WORD WORD WORD\nkith id confirm WORD WORD WORD --keep"

	restore := app.NewOp("id restore", "make this device yours with your recovery phrase", o.restore)
	restore.Long = "It asks for the 24 words. The device keeps its own key and peer id; from then on it acts for you. If it acts for somebody\n" +
		"else now (a new device does: somebody that nobody has used), it asks for --replace."
	restore.Example = "kith id restore\nkith id restore --replace"

	profile := app.NewOp("id profile", "set the name and picture that your contacts see", o.profile)
	profile.Example = "kith id profile --name Anna\nkith id profile --picture me.jpg\nkith id profile --no-picture"

	return []app.Op{show, phrase, confirm, restore, profile}
}

type idOp struct {
	id      *identity.Identity
	addrs   func() (all, told []string)
	changed func()
	trouble func() []string
}

func (o idOp) show(context.Context, None) (IDOut, error) { return o.out(), nil }

func (o idOp) out() IDOut {
	p := o.id.Profile()
	all, told := o.addrs()
	out := IDOut{
		Person: o.id.Person(), PeerID: o.id.PeerID().String(), Addrs: all, Told: told,
		Name: p.Name, Device: o.id.Device(), Master: o.id.Master(), Trouble: o.trouble(),
	}
	if p.Picture != nil {
		out.Picture = "data:" + p.MediaType() + ";base64," + base64.StdEncoding.EncodeToString(p.Picture)
	}
	return out
}

func (o idOp) phrase(_ context.Context, in PhraseIn) (PhraseOut, error) {
	words, asked, err := o.id.Phrase(in.Passphrase)
	if err != nil {
		return PhraseOut{}, err
	}
	if o.id.Master() == identity.Locked {
		asked = nil // it has been confirmed
	}
	return PhraseOut{words, asked}, nil
}

func (o idOp) confirm(_ context.Context, in ConfirmIn) (IDOut, error) {
	err := o.id.Confirm(identity.Confirmation{Words: in.Words, Keep: in.Keep, Passphrase: in.Passphrase})
	return o.out(), err
}

func (o idOp) restore(_ context.Context, in RestoreIn) (IDOut, error) {
	err := o.id.Restore(in.Phrase, in.Replace)
	o.changed()
	return o.out(), err
}

func (o idOp) profile(_ context.Context, in ProfileIn) (IDOut, error) {
	p := o.id.Profile()
	if in.Name != "" {
		p.Name = in.Name
	}
	var err error
	switch {
	case in.NoPicture && in.Picture != "":
		err = fmt.Errorf("node: set profile: a picture and no picture at once: %w", kith.Invalid)
	case in.NoPicture:
		p.Picture = nil
	case in.Picture != "":
		p.Picture, err = readPicture(in.Picture)
	}
	if err == nil {
		err = o.id.SetProfile(p)
		o.changed()
	}
	return o.out(), err
}

// readPicture returns the bytes that from, a path or a data: URL, names. What they are, identity checks.
func readPicture(from string) ([]byte, error) {
	if strings.HasPrefix(from, "data:") {
		_, text, _ := strings.Cut(from, ";base64,")
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(data) == 0 {
			return nil, fmt.Errorf("node: set profile: the picture is no data: URL in base64: %w", kith.Invalid)
		}
		return data, nil
	}
	info, err := os.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("node: set profile: there is no file %s: %w", from, kith.NotFound)
	case err != nil:
		return nil, fmt.Errorf("node: set profile: %v: %w", err, kith.Denied)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("node: set profile: %s is no file: %w", from, kith.Invalid)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, fmt.Errorf("node: set profile: %v: %w", err, kith.Denied)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, identity.MaxPicture+1))
}

// masterText says in words where the master key is, and what to do about it.
var masterText = map[string]string{
	identity.Here:   "on this disk, not yet confirmed. Write it down: kith id phrase",
	identity.Locked: "on this disk, under your passphrase",
	identity.Away:   "not on this device: on the paper that you wrote it on, or on the device that linked this one",
}

// WriteText implements app.Texter.
func (o IDOut) WriteText(w io.Writer, _ int) error {
	var b bytes.Buffer
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-16s %s\n", label, text)
		}
	}
	row("Name", o.Name)
	row("Person", o.Person)
	row("Device", o.Device)
	row("Peer id", o.PeerID)
	row("Recovery phrase", masterText[o.Master])
	label := "Addresses"
	for _, a := range o.Told {
		row(label, a)
		label = ""
	}
	if more := len(o.Addrs) - len(o.Told); more > 0 {
		row(label, fmt.Sprintf("and %d more, for browsers and for this computer alone: kith id --json", more))
	}
	for _, t := range o.Trouble {
		fmt.Fprintf(&b, "\n%s\n", t)
	}
	if o.Name == "" {
		fmt.Fprintf(&b, "\nYou have no name yet: kith id profile --name NAME\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteText implements app.Texter.
func (o PhraseOut) WriteText(w io.Writer, _ int) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Your recovery phrase. Whoever has these %d words is you: write them on paper, and show them to nobody.\n\n", len(o.Phrase))
	const columns = 4
	rows := (len(o.Phrase) + columns - 1) / columns
	for r := range rows {
		for n := r; n < len(o.Phrase); n += rows {
			fmt.Fprintf(&b, "  %2d %-10s", n+1, o.Phrase[n])
		}
		b.WriteByte('\n')
	}
	if len(o.Ask) > 0 {
		fmt.Fprintf(&b, "\nWhen they are on paper, type words %s, and the phrase leaves this disk:\n\n  kith id confirm", numbers(o.Ask))
		for _, n := range o.Ask {
			fmt.Fprintf(&b, " WORD%d", n)
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

// numbers writes 3, 9 and 17.
func numbers(ns []int) string {
	var b strings.Builder
	for i, n := range ns {
		switch {
		case i > 0 && i == len(ns)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}
