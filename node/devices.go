package node

import (
	"context"
	"fmt"
	"io"
	"iter"
	"text/tabwriter"
	"time"

	"kith"
	"kith/app"
	"kith/identity"
	"kith/internal/plain"
	"kith/internal/qr"
	"kith/people"
)

// MasterIn says where the master key comes from, for what needs it.
type MasterIn struct {
	Typed      bool     `json:"phrase,omitempty" doc:"the master key is not on this device: ask for the recovery phrase"`
	Words      []string `json:"words,omitempty" secret:"true" with:"phrase" doc:"the words of the recovery phrase"`
	Unlock     bool     `json:"unlock,omitempty" doc:"the master key is kept here: ask for its passphrase"`
	Passphrase string   `json:"passphrase,omitempty" secret:"true" with:"unlock" doc:"passphrase of the recovery phrase"`
}

// LinkIn makes two devices one person's.
type LinkIn struct {
	Link    string `json:"link,omitempty" arg:"0" doc:"what the other device shows: kith:device:…; without it, this device shows a link"`
	New     bool   `json:"new,omitempty" doc:"this is the new device, and shows a link for the one that you use already"`
	Replace bool   `json:"replace,omitempty" doc:"give up the person whom this device acts for now"`
	MasterIn
}

// LinkOut says how linking goes.
type LinkOut struct {
	State   string     `json:"state" enum:"open,waiting,linked"`
	Link    string     `json:"link,omitempty" doc:"what the other device takes, once"`
	Command string     `json:"command,omitempty" doc:"what is typed on the other device, if it has no page at hand"`
	QR      string     `json:"qr,omitempty" doc:"SVG"`
	Expires *time.Time `json:"expires,omitempty" doc:"until when the link holds"`
	Why     string     `json:"why,omitempty" doc:"the reason for waiting"`
	Device  string     `json:"device,omitempty" doc:"what the other device is called"`
	Me      string     `json:"me,omitempty" doc:"whose device this is now; left out if it was that before"`

	Contacts int `json:"contacts,omitempty" doc:"how many contacts are known on this device now"`
}

// OwnDevice is a device of the person's.
type OwnDevice struct {
	Name    string     `json:"name"`
	PeerID  string     `json:"peer_id,omitempty"`
	This    bool       `json:"this,omitempty" doc:"it is this device"`
	Online  bool       `json:"online" doc:"it is connected now, or this device"`
	Direct  bool       `json:"direct" doc:"it is connected without a relay"`
	How     string     `json:"how,omitempty" doc:"how it is connected, in words"`
	Seen    *time.Time `json:"seen,omitempty" doc:"when it was last connected"`
	Linked  *time.Time `json:"linked,omitempty" doc:"when the master key last certified it"`
	Revoked *time.Time `json:"revoked,omitempty" doc:"when it was revoked; left out while it acts for the person"`
}

// DevicesOut lists the person's devices.
type DevicesOut struct {
	Devices []OwnDevice `json:"devices"`
	Master  string      `json:"master" enum:"here,locked,away" doc:"the person's master key, which links, revokes and renames: on this disk, on it under a passphrase, or only in the recovery phrase"`
}

// DeviceIn names a device to revoke.
type DeviceIn struct {
	Device string `json:"device" arg:"0" doc:"its name or peer id, as kith id devices shows it" suggest:"id devices"`
	MasterIn
}

// DeviceRenameIn gives a device another name.
type DeviceRenameIn struct {
	Device string `json:"device" arg:"0" doc:"its name or peer id, as kith id devices shows it" suggest:"id devices"`
	To     string `json:"to" arg:"1" doc:"what to call it"`
	MasterIn
}

// deviceOps returns the operations on the person's devices.
func (n *Node) deviceOps() []app.Op {
	link := app.NewStreamOp("id link", "use another device as the same person", n.link)
	link.Long = "On the device that you use already it shows a link and waits; type the line that it prints on the new one. The new device\n" +
		"then has your name, picture and contacts, and your contacts know it. It does not get your recovery phrase. Whoever opens the\n" +
		"link becomes you: it works once, for ten minutes, and is for nobody else.\n" +
		"The other way round: kith id link --new on the new device, and its link on the one that you use already."
	link.Example = "kith id link\nkith id link 'kith:device:AQ…'\nkith id link --new"

	devices := query(app.NewOp("id devices", "list your devices", n.listDevices))

	revoke := app.NewOp("id revoke", "take a device away from you, when it is lost or sold", n.revokeDevice)
	revoke.Long = "From then on it is not you: your other devices and your contacts cut it off as soon as they hear of it, which they do by themselves.\n" +
		"It needs the master key: the recovery phrase, if the device that held it is the one that is lost (--phrase)."
	revoke.Example = "kith id devices\nkith id revoke phone\nkith id revoke laptop --phrase"

	rename := app.NewOp("id rename", "call one of your devices otherwise", n.renameDevice)
	rename.Example = "kith id rename debian 'big laptop'"

	return []app.Op{link, devices, revoke, rename}
}

// unlock returns the master key.
func (n *Node) unlock(in MasterIn) (identity.Master, error) {
	if in.Typed && len(in.Words) == 0 {
		return identity.Master{}, fmt.Errorf("node: the recovery phrase was not given: %w", kith.Invalid)
	}
	return n.me.Unlock(in.Words, in.Passphrase)
}

func (n *Node) link(ctx context.Context, in LinkIn) iter.Seq2[LinkOut, error] {
	return func(yield func(LinkOut, error) bool) {
		if in.Link != "" {
			n.takeLink(ctx, in, yield)
			return
		}
		if err := n.showLink(ctx, in, yield); err != nil {
			yield(LinkOut{}, err)
		}
	}
}

// showLink shows a link, and waits for who takes it.
func (n *Node) showLink(ctx context.Context, in LinkIn, yield func(LinkOut, error) bool) error {
	var open people.OpenLink
	var err error
	if in.New {
		open, err = n.people.AskToBeLinked(in.Replace)
	} else {
		open, err = n.people.ShowLink(func() (identity.Master, error) { return n.unlock(in.MasterIn) })
	}
	if err != nil {
		return err
	}
	defer open.Close()
	ctx, cancel := context.WithDeadline(ctx, open.Expires)
	defer cancel()
	out := LinkOut{State: "open", Link: open.String(), Command: "kith id link '" + open.String() + "'", Expires: &open.Expires}
	if out.QR, err = qr.SVG(open.String()); err != nil {
		return err
	}
	if !yield(out, nil) {
		return nil
	}
	select {
	case l := <-open.Done:
		yield(n.linked(ctx, l), nil)
		return nil
	case <-ctx.Done():
		return kith.Hint(fmt.Errorf("node: link: nobody took the link: %w", kith.Timeout), "make a new one: kith id link")
	}
}

// takeLink does what a link of another device says.
func (n *Node) takeLink(ctx context.Context, in LinkIn, yield func(LinkOut, error) bool) {
	ctx, cancel := context.WithTimeout(ctx, people.LinkLife)
	defer cancel()
	gone := false
	l, err := n.people.TakeLink(ctx, in.Link, in.Replace, func() (identity.Master, error) { return n.unlock(in.MasterIn) }, func(why string) {
		if !gone && !yield(LinkOut{State: "waiting", Why: why}, nil) {
			gone = true
			cancel()
		}
	})
	switch {
	case gone:
	case err != nil:
		yield(LinkOut{}, err)
	default:
		yield(n.linked(ctx, l), nil)
	}
}

// linked says that two devices are one person's, once the new one knows what the other does.
func (n *Node) linked(ctx context.Context, l people.Linked) LinkOut {
	out := LinkOut{State: "linked", Device: l.Name}
	if !l.New {
		return out
	}
	n.people.Pull(ctx, l.Peer)
	if out.Me = n.me.Profile().Name; out.Me == "" {
		out.Me = n.me.Person()
	}
	for _, c := range n.people.All() {
		if !c.Me {
			out.Contacts++
		}
	}
	return out
}

func (n *Node) listDevices(ctx context.Context, _ None) (DevicesOut, error) {
	out := DevicesOut{Devices: []OwnDevice{}, Master: n.me.Master()}
	list, err := n.people.OwnDevices(ctx)
	for _, d := range list {
		v := OwnDevice{Name: d.Name, This: d.This, Online: d.This, Direct: d.This}
		if d.Peer != "" {
			v.PeerID = d.Peer.String()
		}
		if info, ok := n.net.Peer(d.Peer); ok {
			v.Online, v.Direct, v.How = true, info.Direct, info.Why
		}
		for at, to := range map[time.Time]**time.Time{d.Seen: &v.Seen, d.Issued: &v.Linked, d.Revoked: &v.Revoked} {
			if !at.IsZero() {
				*to = &at
			}
		}
		out.Devices = append(out.Devices, v)
	}
	return out, err
}

func (n *Node) revokeDevice(ctx context.Context, in DeviceIn) (DevicesOut, error) {
	m, err := n.unlock(in.MasterIn)
	if err == nil {
		_, err = n.people.RevokeDevice(ctx, m, in.Device)
	}
	if err != nil {
		return DevicesOut{}, err
	}
	return n.listDevices(ctx, None{})
}

func (n *Node) renameDevice(ctx context.Context, in DeviceRenameIn) (DevicesOut, error) {
	m, err := n.unlock(in.MasterIn)
	if err == nil {
		err = n.people.RenameDevice(ctx, m, in.Device, in.To)
	}
	if err != nil {
		return DevicesOut{}, err
	}
	return n.listDevices(ctx, None{})
}

// WriteText implements app.Texter.
func (o LinkOut) WriteText(w io.Writer, width int) error {
	var err error
	switch {
	case o.State == "open":
		_, err = fmt.Fprintf(w, "On your other device, by %s:\n  %s\n\nWhoever opens it becomes you: it is for one device, once.\n", o.Expires.Local().Format("15:04"), o.Command)
		if width > 0 {
			if code, err := qr.Text(o.Link, width); err == nil {
				fmt.Fprintf(w, "\n%s", code)
			}
		}
	case o.State == "waiting":
		_, err = fmt.Fprintf(w, "waiting: %s\n", o.Why)
	case o.Me != "":
		knows := "your contacts follow"
		if o.Contacts > 0 {
			knows = fmt.Sprintf("it knows %d of your contacts", o.Contacts)
		}
		_, err = fmt.Fprintf(w, "this device is %s's now, as %s is; %s\n", plain.Text(o.Me), plain.Text(o.Device), knows)
	default:
		_, err = fmt.Fprintf(w, "%s is your device now. If it is not yours: kith id revoke '%s'\n", plain.Text(o.Device), plain.Text(o.Device))
	}
	return err
}

// masterNote says in words what the devices can be changed with.
var masterNote = map[string]string{
	identity.Locked: "Link, revoke and rename with --unlock: the master key is here, under your passphrase.",
	identity.Away:   "To link, revoke or rename, use the device that holds the master key; or add --phrase, and type your recovery phrase.",
}

// WriteText implements app.Texter.
func (o DevicesOut) WriteText(w io.Writer, _ int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "DEVICE\tHOW\tPEER ID")
	for _, d := range o.Devices {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", plain.Text(d.Name), d.how(), d.PeerID)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if note := masterNote[o.Master]; note != "" {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	return nil
}

func (d OwnDevice) how() string {
	switch {
	case d.Revoked != nil:
		return "revoked on " + d.Revoked.Local().Format("2 January 2006, 15:04")
	case d.This:
		return "this device"
	case d.How != "":
		return d.How
	case d.Seen != nil:
		return "not online, last seen " + d.Seen.Local().Format("2 January, 15:04")
	}
	return "never seen"
}

// Suggest implements app.Suggester.
func (o DevicesOut) Suggest() []string {
	var names []string
	for _, d := range o.Devices {
		if d.Revoked == nil && !d.This {
			names = append(names, d.Name)
		}
	}
	return names
}
