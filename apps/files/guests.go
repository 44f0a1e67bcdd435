package files

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files/guest"
	"kith/internal/human"
	"kith/internal/lan"
	"kith/internal/plain"
	"kith/internal/qr"
)

func guestsOp(run func(context.Context, None) (GuestsOut, error)) app.Op {
	o := app.NewOp("guest", "list the web links that people in this local network can open", run)
	o.Long = "They are made with: kith share --guest PATH"
	o.Query = true
	return o
}

func guestAddOp(run func(context.Context, GuestAddIn) (Guest, error)) app.Op {
	o := app.NewOp("guest add", "make a web link to something that is shared or fetched", run)
	o.Long = "Any browser in the same local network opens it, until it ends. It is not encrypted: who is in that network can read along."
	o.Example = "  kith guest add festival.mkv --lasts 2h --downloads 3"
	return o
}

func guestRmOp(run func(context.Context, GuestRmIn) (Guest, error)) app.Op {
	o := app.NewOp("guest rm", "end a web link; what is being fetched with it stops", run)
	o.Example = "  kith guest rm 1"
	return o
}

// settings are the section [apps.files] of config.toml.
type settings struct {
	At    string  `toml:"at"`    // address of this computer for guest links, unless one is named with them
	Ratio float64 `toml:"ratio"` // how much of what came by a torrent is given back, as parts of its size; inf: without an end

	SeedTime string `toml:"seed_time"` // and for how long at most, such as 7d; none: as long as that takes
}

// openDesk begins to serve guests, if there are links that live.
func (f *Files) openDesk(set settings) error {
	if _, err := lan.ParseAt(set.At); err != nil {
		return fmt.Errorf("files: setting apps.files.at: %w", err)
	}
	desk, note, err := guest.Open(guest.Options{
		Path: filepath.Join(f.env.Dir, "guest.json"), Log: f.env.Log, Secret: f.env.Blobs.Never, Go: f.env.Go, Changed: f.bell.Ring, At: set.At,
	})
	if err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if note != "" {
		f.env.Note(note)
	}
	f.desk = desk
	return nil
}

const guestLasts = time.Hour // unless somebody says otherwise

func guestWish(lasts string, most int, at string) (guest.Wish, error) {
	w := guest.Wish{Lasts: guestLasts, Most: most, At: at}
	if lasts != "" {
		d, err := human.ParseDuration(lasts)
		if err != nil {
			return w, fmt.Errorf("files: guest: lasts: %w", err)
		}
		w.Lasts = d
	}
	return w, nil
}

// give makes a web link for each path.
func (f *Files) give(in ShareIn) (out ShareOut, err error) {
	wish, err := guestWish(in.Lasts, in.Downloads, in.At)
	if err != nil {
		return ShareOut{}, err
	}
	for _, path := range in.Paths {
		l, err := f.desk.Give(path, wish)
		if err != nil {
			for _, g := range out.Guests { // all of them, or none
				f.desk.End(g.N)
			}
			return ShareOut{}, err
		}
		out.Guests = append(out.Guests, guestView(l))
	}
	return out, nil
}

func (f *Files) addGuest(_ context.Context, in GuestAddIn) (Guest, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return Guest{}, err
	}
	if it.State != stateReady && it.State != stateDone {
		return Guest{}, kith.Hint(fmt.Errorf("files: guest: %s is not complete here: %w", plain.Text(it.Name), kith.Unavailable), "wait until it is: kith show %s", it.Ref.Short())
	}
	wish, err := guestWish(in.Lasts, in.Downloads, in.At)
	if err != nil {
		return Guest{}, err
	}
	l, err := f.desk.Give(it.Path, wish)
	return guestView(l), err
}

func (f *Files) rmGuest(_ context.Context, in GuestRmIn) (Guest, error) {
	l, err := f.desk.End(in.N)
	v := guestView(l)
	v.URL, v.QR, v.More = "", "", nil
	return v, err
}

func (f *Files) listGuests(context.Context, None) (GuestsOut, error) {
	return GuestsOut{append([]Guest{}, f.guests()...)}, nil
}

func (f *Files) guests() (all []Guest) {
	for _, l := range f.desk.Links() {
		all = append(all, guestView(l))
	}
	return all
}

func guestView(l guest.Link) Guest {
	v := Guest{N: l.N, Name: l.Name, Path: l.Path, Folder: l.Folder, Size: l.Size, Made: l.Made, Until: l.Until, Devices: len(l.Devices), Most: l.Most, Sent: l.Sent}
	if len(l.URLs) > 0 {
		v.URL, v.More = l.URLs[0], l.URLs[1:]
		v.QR, _ = qr.SVG(v.URL) // what is too long for a code can still be typed
	}
	return v
}

// WriteText implements app.Texter.
func (g Guest) WriteText(w io.Writer, width int) error {
	if g.URL == "" {
		_, err := fmt.Fprintf(w, "the link to %s has ended\n", plain.Text(g.Name))
		return err
	}
	fmt.Fprintf(w, "%s  (%s; %s)\n\n%s\n", plain.Text(g.Name), human.Bytes(g.Size), g.terms(), plain.Text(g.URL))
	for _, u := range g.More {
		fmt.Fprintf(w, "or %s\n", plain.Text(u))
	}
	if width > 0 {
		if code, err := qr.Text(g.URL, width); err == nil {
			fmt.Fprintf(w, "\n%s", code)
		}
	}
	_, err := fmt.Fprintf(w, "\nAny browser in the same network opens it. It is not encrypted: who is in that network can read along.\nend it with:\n  kith guest rm %d\n", g.N)
	return err
}

// terms says for how long and for how many.
func (g Guest) terms() string {
	text := "for " + human.Duration(time.Until(g.Until).Round(time.Second))
	if g.Most > 0 {
		text += ", " + human.Count(g.Most, "device")
	}
	return text
}

// WriteText implements app.Texter.
func (o GuestsOut) WriteText(w io.Writer, _ int) error {
	if len(o.Guests) == 0 {
		_, err := fmt.Fprintln(w, "no guest links; make one for a browser in this local network with: kith share --guest PATH")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "GUEST LINK\tNAME\tSIZE\tENDS IN\tDEVICES\tSENT\tURL")
	for _, g := range o.Guests {
		devices := fmt.Sprint(g.Devices)
		if g.Most > 0 {
			devices += fmt.Sprintf(" of %d", g.Most)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", g.N, plain.Text(g.Name), human.Bytes(g.Size), human.Duration(max(time.Until(g.Until).Round(time.Second), 0)), devices, human.Bytes(g.Sent),
			plain.Text(cmp.Or(g.URL, "this computer is in no local network now")))
	}
	return tw.Flush()
}
