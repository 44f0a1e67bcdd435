package send

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
)

// None is the input of an operation that needs none.
type None struct{}

func sendOp(run func(context.Context, SendIn) iter.Seq2[SendOut, error]) app.Op {
	o := app.NewStreamOp("send", "send files and folders to a contact", run)
	o.Long = "It is offered to every device of theirs, and the first that takes it gets it, encrypted on the way. It waits while they are\n" +
		"offline, and through restarts; the files must stay where they are until then. Ctrl-C leaves it in the outbox (kith outbox)."
	o.Example = "  kith send @anna festival.mkv photos/ --note 'from the lake'\n  kith send anna big.iso --detach"
	return o
}

func outboxOp(run func(context.Context, None) (BoxOut, error)) app.Op {
	o := app.NewOp("outbox", "list what you have sent, and how it stands", run)
	o.Query = true
	return o
}

func cancelOp(run func(context.Context, NumberIn) (Delivery, error)) app.Op {
	o := app.NewOp("outbox cancel", "take back what was sent and is not there yet", run)
	o.Example = "  kith outbox cancel 3"
	return o
}

func inboxOp(run func(context.Context, None) (BoxOut, error)) app.Op {
	o := app.NewOp("inbox", "list what contacts offer you and have sent", run)
	o.Query = true
	return o
}

func acceptOp(run func(context.Context, AcceptIn) iter.Seq2[AcceptOut, error]) app.Op {
	o := app.NewStreamOp("inbox accept", "take what a contact offers, or go on with what has stopped", run)
	o.Long = "Without a number it takes the only offer that waits. Ctrl-C leaves it coming (kith inbox)."
	o.Example = "  kith inbox accept\n  kith inbox accept 3 4 -o ~/Films"
	return o
}

func declineOp(run func(context.Context, NumberIn) (Delivery, error)) app.Op {
	o := app.NewOp("inbox decline", "say no to what a contact offers, or give up what is coming", run)
	o.Example = "  kith inbox decline 3"
	return o
}

func removeOp(run func(context.Context, NumberIn) (Delivery, error)) app.Op {
	o := app.NewOp("inbox rm", "take something off the list; what has come stays on the disk", run)
	o.Long = "An offer that waits is declined by that."
	o.Example = "  kith inbox rm 3"
	return o
}

func autoOp(run func(context.Context, AutoIn) (AutoOut, error)) app.Op {
	o := app.NewOp("inbox auto", "take what a contact sends without asking, up to so much a day", run)
	o.Example = "  kith inbox auto anna --max 500MiB\n  kith inbox auto anna --max off\n  kith inbox auto"
	return o
}

func mailOp(run func(context.Context, None) iter.Seq2[MailOut, error]) app.Op {
	o := app.NewStreamOp("mail", "list inbox and outbox, again whenever they change", run)
	o.Query, o.Hidden = true, true
	return o
}

// contact returns the name and the devices of the contact that a person means.
func (s *Send) contact(name string) (string, []peer.ID, error) {
	name = strings.TrimSpace(name)
	devices := s.env.People.Devices(name)
	if len(devices) == 0 {
		name = strings.TrimPrefix(name, "@")
		devices = s.env.People.Devices(name)
	}
	if len(devices) == 0 {
		return "", nil, kith.Hint(fmt.Errorf("send: no contact is called %.70q: %w", strings.TrimPrefix(name, "@"), kith.NotFound), "see who is there with: kith people")
	}
	if who := s.env.People.Name(devices[0]); slices.Equal(s.env.People.Devices(who), devices) {
		name = who
	}
	return name, devices, nil
}

func (s *Send) send(ctx context.Context, in SendIn) iter.Seq2[SendOut, error] {
	return func(yield func(SendOut, error) bool) {
		ids, patience, err := s.post(ctx, in)
		if err != nil {
			yield(SendOut{}, err)
			return
		}
		waits := ctx
		if patience > 0 {
			var cancel context.CancelFunc
			waits, cancel = context.WithTimeout(ctx, patience)
			defer cancel()
		}
		var last Delivery
		look := func() (deliveries, error) { return s.sent(ctx, ids) }
		for all, err := range s.follow(waits, look, func(d Delivery) bool { return ended(d.State) }, in.Detach) {
			if !yield(SendOut{all}, err) {
				return
			}
			if err == nil && len(all) > 0 {
				last = all[0]
			}
		}
		if waits.Err() != nil && ctx.Err() == nil {
			yield(SendOut{}, kith.Hint(fmt.Errorf("send: not there after %s: %s: %w", in.Timeout, last.Text, kith.Timeout),
				"it stays in the outbox and goes on, until %s: kith outbox", last.Until.Local().Format("2 January")))
		}
	}
}

type deliveries []Delivery

// follow yields how deliveries stand, again whenever that may have changed, until all of them are over or ctx ends. If detached, once, and what has failed by
// then is no error: that would depend on who is faster.
func (s *Send) follow(ctx context.Context, look func() (deliveries, error), over func(Delivery) bool, detached bool) iter.Seq2[deliveries, error] {
	return func(yield func(deliveries, error) bool) {
		for {
			rung := s.bell.Wait()
			all, err := look()
			switch {
			case err != nil:
				yield(nil, err)
				return
			case detached:
				yield(all, nil)
				return
			case !slices.ContainsFunc(all, func(d Delivery) bool { return !over(d) }):
				yield(all, all.failure())
				return
			case !yield(all, nil):
				return
			}
			select {
			case <-ctx.Done():
				return // it stays in its box
			case <-rung:
			case <-time.After(time.Second):
			}
		}
	}
}

// post takes what is to be sent into the outbox.
func (s *Send) post(ctx context.Context, in SendIn) (ids []string, patience time.Duration, err error) {
	life := lifetime
	for _, t := range []struct {
		text string
		to   *time.Duration
	}{{in.Timeout, &patience}, {in.Expire, &life}} {
		if t.text != "" {
			if *t.to, err = human.ParseDuration(t.text); err != nil {
				return nil, 0, fmt.Errorf("send: %w", err)
			}
		}
	}
	if err := s.env.People.Acts(); err != nil { // nobody would take it
		return nil, 0, err
	}
	name, devices, err := s.contact(in.To)
	if err != nil {
		return nil, 0, err
	}
	if len(in.Note) > maxNote || !utf8.ValidString(in.Note) {
		return nil, 0, fmt.Errorf("send: the note has %d bytes, at most %d of UTF-8: %w", len(in.Note), maxNote, kith.Invalid)
	}
	if len(in.Paths) == 0 {
		return nil, 0, kith.Hint(fmt.Errorf("send: no path: %w", kith.Invalid), "name a file or a folder: kith send @%s PATH", plain.Text(name))
	}
	for _, path := range in.Paths {
		if err := sendable(path); err != nil {
			return nil, 0, err
		}
	}
	err = s.do(ctx, func(e *engine, now time.Time) error {
		for _, path := range in.Paths {
			id, key := make([]byte, 16), make([]byte, 32)
			rand.Read(id)
			rand.Read(key)
			o := outgoing{ID: hex.EncodeToString(id), To: name, Path: path, Name: cut(filepath.Base(path), maxName), Note: in.Note, Key: key, Until: now.Add(life)}
			for _, p := range devices {
				o.Devices = append(o.Devices, device{Peer: p})
			}
			if _, err := e.send(now, o); err != nil {
				return err
			}
			ids = append(ids, o.ID)
		}
		return nil
	})
	return ids, patience, err
}

func sendable(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("send %q: the path is not absolute: %w", path, kith.Invalid)
	}
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("send: there is no %s: %w", plain.Text(path), kith.NotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("send: %w: %w", err, kith.Denied)
	}
	return err
}

// sent returns how some deliveries stand.
func (s *Send) sent(ctx context.Context, ids []string) (all deliveries, err error) {
	err = s.do(ctx, func(e *engine, now time.Time) error {
		for _, id := range ids {
			if o := e.out[id]; o != nil {
				all = append(all, s.viewOut(o, now))
			}
		}
		return nil
	})
	return all, err
}

// failure returns why something did not arrive, or nil.
func (all deliveries) failure() error {
	kinds := map[string]kith.Kind{declined: kith.Denied, cancelled: kith.Gone, expired: kith.Timeout, failed: kith.Unavailable, stuck: kith.Unavailable}
	for _, d := range all {
		if kind, bad := kinds[d.State]; bad {
			err := fmt.Errorf("send %s: %s: %w", plain.Text(d.Name), plain.Text(d.Text), kind)
			if d.Next != "" {
				err = kith.Hint(err, "%s", plain.Text(d.Next))
			}
			return err
		}
	}
	return nil
}

func (s *Send) viewOut(o *outgoing, now time.Time) Delivery {
	online := s.online(o)
	rate := o.rate
	if now.Sub(o.heard) > 5*time.Second { // nobody says so any more
		rate = 0
	}
	v := Delivery{N: o.N, ID: o.ID, Who: o.To, Name: o.Name, Size: o.Size, Files: o.Files, Note: o.Note, State: o.State, Text: outText(o, online, rate), Next: outNext(o),
		Done: o.done, Rate: rate, Path: o.Path, Made: o.Made, Until: o.Until, Online: online}
	if o.State == delivered {
		v.Done = o.Size
	}
	if !o.Ended.IsZero() {
		v.Ended = &o.Ended
	}
	return v
}

// online reports whether a device that matters for an outgoing is connected.
func (s *Send) online(o *outgoing) bool {
	return slices.ContainsFunc(o.Devices, func(d device) bool {
		_, ok := s.env.Host.Peer(d.Peer)
		return ok && (o.By == "" || o.By == d.Peer)
	})
}

func (s *Send) viewIn(i *incoming) Delivery {
	_, online := s.env.Host.Peer(i.From)
	v := Delivery{N: i.N, ID: i.ID, Who: cmp.Or(s.env.People.Name(i.From), i.Who), Name: i.Name, Size: i.Size, Files: i.Files, Note: i.Note, State: i.State,
		Text: inText(i), Next: inNext(i), Done: i.done, Rate: i.rate, Path: i.Path, Made: i.Made, Until: i.Until, Online: online}
	if i.State == taking || i.State == stuck || i.State == delivered {
		v.Ref = i.ref().String()
	}
	if i.State == delivered {
		v.Done = i.Size
	}
	if !i.Ended.IsZero() {
		v.Ended = &i.Ended
	}
	return v
}

func (s *Send) boxes(e *engine, now time.Time) MailOut {
	m := MailOut{In: []Delivery{}, Out: []Delivery{}}
	for _, i := range e.incomings() {
		if !i.Hidden {
			m.In = append(m.In, s.viewIn(i))
		}
	}
	for _, o := range e.outgoings() {
		m.Out = append(m.Out, s.viewOut(o, now))
	}
	return m
}

func (s *Send) both(ctx context.Context) (m MailOut, err error) {
	err = s.do(ctx, func(e *engine, now time.Time) error { m = s.boxes(e, now); return nil })
	return m, err
}

func (s *Send) inbox(ctx context.Context, _ None) (BoxOut, error) {
	m, err := s.both(ctx)
	return BoxOut{"inbox", m.In}, err
}

func (s *Send) outbox(ctx context.Context, _ None) (BoxOut, error) {
	m, err := s.both(ctx)
	return BoxOut{"outbox", m.Out}, err
}

// mail tells how both boxes stand whenever that changes, at most twice a second.
func (s *Send) mail(ctx context.Context, _ None) iter.Seq2[MailOut, error] {
	return func(yield func(MailOut, error) bool) {
		var last MailOut
		for first := true; ctx.Err() == nil; first = false {
			rung := s.bell.Wait()
			now, err := s.both(ctx)
			if err != nil {
				yield(MailOut{}, err)
				return
			}
			if (first || !reflect.DeepEqual(now, last)) && !yield(now, nil) {
				return
			}
			last = now
			select {
			case <-ctx.Done():
			case <-rung:
			case <-time.After(5 * time.Second): // who is online changes without a ring
			}
			select {
			case <-ctx.Done():
			case <-time.After(lookEvery):
			}
		}
	}
}

func (s *Send) cancel(ctx context.Context, in NumberIn) (d Delivery, err error) {
	err = s.do(ctx, func(e *engine, now time.Time) error {
		o, err := e.cancel(now, in.N)
		if err == nil {
			d = s.viewOut(o, now)
		}
		return err
	})
	return d, err
}

// decided runs a decision about an incoming.
func (s *Send) decided(ctx context.Context, decide func(e *engine, now time.Time) (*incoming, error)) (d Delivery, err error) {
	err = s.do(ctx, func(e *engine, now time.Time) error {
		i, err := decide(e, now)
		if err == nil {
			d = s.viewIn(i)
		}
		return err
	})
	return d, err
}

func (s *Send) accept(ctx context.Context, in AcceptIn) iter.Seq2[AcceptOut, error] {
	return func(yield func(AcceptOut, error) bool) {
		keys, err := s.take(ctx, in)
		if err != nil {
			yield(AcceptOut{}, err)
			return
		}
		look := func() (deliveries, error) { return s.received(ctx, keys) }
		for all, err := range s.follow(ctx, look, func(d Delivery) bool { return ended(d.State) || d.State == stuck }, in.Detach) {
			if !yield(AcceptOut{all}, err) {
				return
			}
		}
	}
}

// take accepts what in names, all of it or nothing.
func (s *Send) take(ctx context.Context, in AcceptIn) (keys []inKey, err error) {
	if in.Output != "" && !filepath.IsAbs(in.Output) {
		return nil, fmt.Errorf("send: accept: output %q is not an absolute path: %w", in.Output, kith.Invalid)
	}
	if at, err := os.Stat(in.Output); len(in.N) > 1 && in.Output != "" && (err != nil || !at.IsDir()) {
		return nil, kith.Hint(fmt.Errorf("send: accept: there is no folder %s: %w", plain.Text(in.Output), kith.NotFound), "make it first, or take them one by one")
	}
	err = s.do(ctx, func(e *engine, now time.Time) error {
		if len(in.N) == 0 {
			if in.N, err = e.only(); err != nil {
				return err
			}
		}
		for _, n := range in.N {
			if _, err := e.acceptable(n); err != nil {
				return err
			}
		}
		for _, n := range in.N {
			i, err := e.accept(now, n, in.Output)
			if err != nil {
				return err
			}
			keys = append(keys, i.key())
		}
		return nil
	})
	return keys, err
}

// received returns how some deliveries stand that come here.
func (s *Send) received(ctx context.Context, keys []inKey) (all deliveries, err error) {
	err = s.do(ctx, func(e *engine, _ time.Time) error {
		for _, k := range keys {
			if i := e.in[k]; i != nil {
				all = append(all, s.viewIn(i))
			}
		}
		return nil
	})
	return all, err
}

func (s *Send) decline(ctx context.Context, in NumberIn) (Delivery, error) {
	return s.decided(ctx, func(e *engine, now time.Time) (*incoming, error) { return e.decline(now, in.N) })
}

func (s *Send) remove(ctx context.Context, in NumberIn) (Delivery, error) {
	return s.decided(ctx, func(e *engine, now time.Time) (*incoming, error) { return e.remove(now, in.N) })
}

const autoDefault = 1 << 30 // bytes in a day

func (s *Send) auto(ctx context.Context, in AutoIn) (out AutoOut, err error) {
	who, limit, off := "", int64(autoDefault), in.Max == "off"
	if in.Who != "" {
		if who, _, err = s.contact(in.Who); err != nil {
			return AutoOut{}, err
		}
	}
	if in.Max != "" && !off {
		if limit, err = human.ParseBytes(in.Max); err != nil {
			return AutoOut{}, fmt.Errorf("send: auto: %w", err)
		}
	}
	err = s.do(ctx, func(e *engine, _ time.Time) error {
		if who != "" {
			e.setAuto(who, limit, off)
		}
		out.Auto = []Auto{}
		for who, limit := range e.auto {
			out.Auto = append(out.Auto, Auto{who, limit})
		}
		slices.SortFunc(out.Auto, func(a, b Auto) int { return strings.Compare(a.Who, b.Who) })
		return nil
	})
	return out, err
}

// progress sums up, and says how the first stands that is under way.
func (all deliveries) progress() app.Progress {
	var p app.Progress
	more := 0
	for _, d := range all {
		p.Total += d.Size
		p.Done += d.Done
		switch {
		case ended(d.State):
		case p.Label == "":
			p.Label, p.Note = plain.Text(d.Name), plain.Text(d.Text)
		default:
			more++
		}
	}
	if more > 0 {
		p.Label += fmt.Sprintf(" and %d more", more)
	}
	return p
}

// result returns one object for one delivery, and a list for several.
func (all deliveries) result() any {
	if len(all) == 1 {
		return all[0]
	}
	return all
}

// Progress implements app.Progresser.
func (o SendOut) Progress() app.Progress { return deliveries(o.Sent).progress() }

// Result implements app.Resulter: one path gives one object, several give a list.
func (o SendOut) Result() any { return deliveries(o.Sent).result() }

// WriteText implements app.Texter.
func (o SendOut) WriteText(w io.Writer, _ int) error {
	for _, d := range o.Sent {
		if err := d.WriteText(w, 0); err != nil {
			return err
		}
	}
	return nil
}

// Progress implements app.Progresser.
func (o AcceptOut) Progress() app.Progress { return deliveries(o.Taken).progress() }

// Result implements app.Resulter: one number gives one object, several give a list.
func (o AcceptOut) Result() any { return deliveries(o.Taken).result() }

// WriteText implements app.Texter.
func (o AcceptOut) WriteText(w io.Writer, _ int) error {
	for _, d := range o.Taken {
		if d.State == delivered {
			d.Text = "from " + d.Who + " is here: " + d.Path
		}
		if err := d.WriteText(w, 0); err != nil {
			return err
		}
	}
	return nil
}

// WriteText implements app.Texter.
func (d Delivery) WriteText(w io.Writer, _ int) error {
	size := ""
	if d.State != reading { // which is not known before
		size = "(" + d.amount() + ")  "
	}
	_, err := fmt.Fprintf(w, "%d  %s  %s%s\n", d.N, plain.Text(d.Name), size, plain.Text(d.Text))
	return err
}

func (d Delivery) amount() string {
	if d.Files > 1 {
		return fmt.Sprintf("%s in %d files", human.Bytes(d.Size), d.Files)
	}
	return human.Bytes(d.Size)
}

// WriteText implements app.Texter.
func (o BoxOut) WriteText(w io.Writer, _ int) error {
	if len(o.Deliveries) == 0 {
		hint := "; send something with: kith send @NAME PATH"
		if o.Box == "inbox" {
			hint = "; what contacts send you comes here"
		}
		_, err := fmt.Fprintf(w, "nothing in the %s%s\n", o.Box, hint)
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, d := range o.Deliveries {
		text := d.Text
		if d.State == delivered && o.Box == "inbox" {
			text = d.Path
		}
		if ended(d.State) && d.Next != "" {
			text += "; " + d.Next
		}
		if d.Note != "" {
			text += "  “" + d.Note + "”"
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\n", d.N, plain.Text(d.Who), plain.Text(d.Name), d.amount(), d.Made.Local().Format("2 Jan 15:04"), plain.Text(text))
	}
	return tw.Flush()
}

// WriteText implements app.Texter.
func (o AutoOut) WriteText(w io.Writer, _ int) error {
	if len(o.Auto) == 0 {
		_, err := fmt.Fprintln(w, "you are asked before anything is taken")
		return err
	}
	for _, a := range o.Auto {
		fmt.Fprintf(w, "%s: up to %s a day is taken without asking\n", plain.Text(a.Who), human.Bytes(a.Max))
	}
	return nil
}
