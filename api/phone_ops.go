package api

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"kith"
	"kith/app"
	"kith/internal/human"
	"kith/internal/lan"
	"kith/internal/plain"
	"kith/internal/qr"
)

// PhoneIn opens the way in for a phone.
type PhoneIn struct {
	At string `json:"at,omitempty" doc:"the only address of this computer to be reached at (default: those of its local networks)"`
}

// PhoneOut is what a phone opens.
type PhoneOut struct {
	URL         string    `json:"url" doc:"for one phone, once; the code behind the # is sent to nobody but this node"`
	More        []string  `json:"more,omitempty" doc:"the same at further addresses of this computer"`
	QR          string    `json:"qr" doc:"QR code of url, as SVG"`
	Until       time.Time `json:"until" doc:"how long the code is good"`
	Fingerprint string    `json:"fingerprint" doc:"SHA-256 of the certificate, as browsers show it"`
}

// PhoneNone is the input of an operation that needs none.
type PhoneNone struct{}

// PhonesOut is who is let in.
type PhonesOut struct {
	On          bool          `json:"on" doc:"phones can open the page now"`
	URL         string        `json:"url,omitempty" doc:"where phones that are let in find the page"`
	Fingerprint string        `json:"fingerprint,omitempty" doc:"SHA-256 of the certificate, as browsers show it"`
	You         int           `json:"you" doc:"number of the phone that asks; 0: it is asked at this computer"`
	Phones      []PhoneDevice `json:"phones"`
}

// PhoneDevice is a phone that is let in.
type PhoneDevice struct {
	N     int       `json:"n" doc:"number by which it is shut out"`
	Agent string    `json:"agent" doc:"what its browser says that it is"`
	From  string    `json:"from" doc:"its address when it was last seen"`
	Begun time.Time `json:"begun"`
	Seen  time.Time `json:"seen"`
}

// PhoneRmIn names a phone.
type PhoneRmIn struct {
	N int `json:"n" arg:"0" doc:"its number, as kith phone ls shows it"`
}

func phoneOp(run func(context.Context, PhoneIn) (PhoneOut, error)) app.Op {
	o := app.NewOp("phone", "open the page on your own phone, in the same local network", run)
	o.Long = "Scan the code with the phone. Its browser warns that it does not know who has made the certificate: this node has. Compare the\n" +
		"fingerprint there with the one here before you go on. The code is for one phone, within five minutes; the phone is then let in until\n" +
		"you shut it out (kith phone rm), or has not come for 30 days. The way in stays as you leave it, also when the node starts again, and\n" +
		"closes by itself when no phone is let in any more. What shows or changes who you are is done at this computer only."
	o.Example = "  kith phone\n  kith phone ls\n  kith phone off"
	o.Here = true
	return o
}

func phoneLsOp(run func(context.Context, PhoneNone) (PhonesOut, error)) app.Op {
	o := app.NewOp("phone ls", "list the phones that are let in", run)
	o.Query = true
	return o
}

func phoneRmOp(run func(context.Context, PhoneRmIn) (PhonesOut, error)) app.Op {
	o := app.NewOp("phone rm", "shut a phone out", run)
	o.Example = "  kith phone ls\n  kith phone rm 1"
	o.Here = true
	return o
}

func phoneOffOp(run func(context.Context, PhoneNone) (PhonesOut, error)) app.Op {
	o := app.NewOp("phone off", "close the way in for phones; those that were let in are again after kith phone", run)
	o.Here = true
	return o
}

func (p *Phone) begun(_ context.Context, in PhoneIn) (PhoneOut, error) {
	at := cmp.Or(in.At, p.at)
	if _, err := lan.ParseAt(at); err != nil {
		return PhoneOut{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil || p.path == "" || p.over {
		return PhoneOut{}, fmt.Errorf("phone: this node has no page: %w", kith.Unavailable)
	}
	if at != p.state.At {
		p.shut()
	}
	before := p.state
	p.state.On, p.state.At = true, at
	if err := p.unlock(); err != nil {
		p.state = before
		return PhoneOut{}, err
	}
	hosts := p.open.page.Hosts()
	cert, err := p.cert.get(hosts)
	if err == nil {
		err = p.save()
	}
	if err != nil || len(hosts) == 0 {
		return PhoneOut{}, err
	}
	code, ends := p.newCode()
	out := PhoneOut{Until: ends, Fingerprint: fingerprint(cert)}
	for _, h := range hosts {
		out.More = append(out.More, "https://"+h+"/#open="+code)
	}
	out.URL, out.More = out.More[0], out.More[1:]
	p.poke()
	out.QR, err = qr.SVG(out.URL)
	return out, err
}

func (p *Phone) list(ctx context.Context, _ PhoneNone) (PhonesOut, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.view()
	if d := p.server.doorOf(ctx); d.far {
		out.You = d.keeper.(*caller).n
	}
	return out, nil
}

// view says who is let in; mu is held.
func (p *Phone) view() PhonesOut {
	out := PhonesOut{On: p.open != nil, Phones: []PhoneDevice{}}
	if p.open != nil {
		if hosts := p.open.page.Hosts(); len(hosts) > 0 {
			out.URL = "https://" + hosts[0] + "/"
			if cert, err := p.cert.get(hosts); err == nil {
				out.Fingerprint = fingerprint(cert)
			}
		}
	}
	for _, s := range p.state.Phones {
		out.Phones = append(out.Phones, PhoneDevice{s.N, s.Agent, s.From, s.Begun, s.Seen})
	}
	return out
}

func (p *Phone) remove(_ context.Context, in PhoneRmIn) (PhonesOut, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.state.Phones, func(s phoneSession) bool { return s.N == in.N })
	if i < 0 {
		return PhonesOut{}, kith.Hint(fmt.Errorf("phone: no phone %d: %w", in.N, kith.NotFound), "see those that are let in with: kith phone ls")
	}
	p.state.Phones = slices.Delete(p.state.Phones, i, i+1)
	if err := p.save(); err != nil {
		return PhonesOut{}, err
	}
	if p.open != nil { // what it is following now ends too: the others come again by themselves
		p.shut()
		if err := p.unlock(); err != nil {
			p.log.Debug("phones wait", "err", err)
		}
	}
	p.poke()
	return p.view(), nil
}

func (p *Phone) off(context.Context, PhoneNone) (PhonesOut, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.On = false
	clear(p.codes)
	p.shut()
	if err := p.save(); err != nil {
		return PhonesOut{}, err
	}
	return p.view(), nil
}

// WriteText implements app.Texter.
func (o PhoneOut) WriteText(w io.Writer, width int) error {
	fmt.Fprintf(w, "open this on your phone, in the same network; for one phone, within %s:\n\n%s\n", human.Duration(time.Until(o.Until).Round(time.Second)), o.URL)
	for _, u := range o.More {
		fmt.Fprintf(w, "or %s\n", u)
	}
	if width > 0 {
		if code, err := qr.Text(o.URL, width); err == nil {
			fmt.Fprintf(w, "\n%s", code)
		}
	}
	_, err := fmt.Fprintf(w, "\nThe browser warns, since this node has signed its certificate itself. Look at the certificate before you go on; its SHA-256 fingerprint is\n\n%s\n\n"+
		"If it shows another one, somebody is in between: do not go on.\nkith phone ls shows who is let in, kith phone rm N shuts one out, kith phone off closes the way.\n", twoLines(o.Fingerprint))
	return err
}

// twoLines breaks a fingerprint in the middle, as there it is compared.
func twoLines(f string) string {
	half := len(f) / 2
	if half == 0 {
		return f
	}
	return f[:half] + "\n" + f[half+1:]
}

// WriteText implements app.Texter.
func (o PhonesOut) WriteText(w io.Writer, _ int) error {
	switch {
	case !o.On && len(o.Phones) == 0:
		_, err := fmt.Fprintln(w, "the page is open to no phone; open it to yours with: kith phone")
		return err
	case !o.On:
		fmt.Fprintln(w, "the way in is closed; open it again with: kith phone")
	default:
		fmt.Fprintf(w, "open at %s\n", o.URL)
	}
	if len(o.Phones) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "PHONE\tWHAT\tFROM\tLET IN\tLAST SEEN")
	for _, s := range o.Phones {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s ago\n", s.N, plain.Text(s.Agent), s.From, s.Begun.Local().Format("2 Jan 15:04"), human.Duration(max(time.Since(s.Seen), 0).Round(time.Second)))
	}
	return tw.Flush()
}
