package files

import (
	"context"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/internal/human"
	"kith/internal/plain"
)

// VerifyIn asks for what is stored to be read again and compared with its digests.
type VerifyIn struct {
	Ref    string `json:"ref,omitempty" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has (default: everything)"`
	Repair bool   `json:"repair,omitempty" doc:"fetch what is damaged again, from whoever has it"`
}

// VerifyOut tells how far it is, and in the end what was found.
type VerifyOut struct {
	File  string     `json:"file,omitempty" doc:"what is being read now"`
	Done  int64      `json:"done" doc:"bytes read"`
	Total int64      `json:"total" doc:"bytes to read, as far as is known"`
	Items []Verified `json:"items,omitempty" doc:"in the last event: what was verified"`
}

// Verified is what was found of one item.
type Verified struct {
	Ref     kith.Ref `json:"ref"`
	Name    string   `json:"name"`
	Size    int64    `json:"size"`
	Damage  []Damage `json:"damage,omitempty" doc:"the first hundred stretches that are not what they were"`
	More    int      `json:"more,omitempty" doc:"how many there are beside those"`
	Repairs bool     `json:"repairs,omitempty" doc:"what is damaged is being fetched again"`
	Why     string   `json:"why,omitempty" doc:"why it could not be verified or repaired"`
}

// Damage is a stretch of a file that is not what it was.
type Damage struct {
	Path    string `json:"path,omitempty" doc:"the file"`
	Off     int64  `json:"off" doc:"first byte, of the file or of the ciphertext that is made of it"`
	N       int64  `json:"n" doc:"bytes"`
	Changed bool   `json:"changed,omitempty" doc:"somebody has changed or removed the file: that may be meant"`
}

const maxDamage = 100 // stretches of one item that verify tells of

func verifyOp(run func(context.Context, VerifyIn) iter.Seq2[VerifyOut, error]) app.Op {
	o := app.NewStreamOp("verify", "read again what is stored, and say what is damaged", run)
	o.Long = "Disks forget. Every byte of what is shared and fetched is read and compared with its digest. With --repair, what is damaged of what Kith\n" +
		"fetched is fetched again, from whoever has it in all networks that know it; files that you shared in place only where you name the item, and never\n" +
		"one that was changed on purpose: the right one comes to stand beside it. It ends with exit status 1 if something is damaged."
	o.Example = "  kith verify\n  kith verify festival.mkv --repair"
	return o
}

func (f *Files) verify(ctx context.Context, in VerifyIn) iter.Seq2[VerifyOut, error] {
	return func(yield func(VerifyOut, error) bool) {
		items := f.all()
		if in.Ref != "" {
			it, err := f.find(in.Ref)
			if err != nil {
				yield(VerifyOut{}, err)
				return
			}
			items = []item{it}
		}
		var out VerifyOut
		var bad []string
		for _, it := range items {
			if it.pending() || it.State != stateReady && it.State != stateDone && it.State != stateGone {
				if in.Ref != "" {
					yield(VerifyOut{}, fmt.Errorf("files: verify %s: it is still being fetched, and each piece is verified as it comes: %w", plain.Text(it.Name), kith.Invalid))
					return
				}
				continue
			}
			v, read, stopped := f.verifyOne(ctx, it, in, func(p VerifyOut) bool {
				p.Done, p.Total = p.Done+out.Done, p.Total+out.Done
				return yield(p, nil)
			})
			if stopped {
				return
			}
			out.Done += read
			out.Items = append(out.Items, v)
			if len(v.Damage) > 0 && !v.Repairs || v.Why != "" {
				bad = append(bad, v.text())
			}
		}
		out.Total = out.Done
		if !yield(out, nil) || len(bad) == 0 {
			return
		}
		err := fmt.Errorf("files: verify: %s: %w", strings.Join(bad, "; "), kith.Corrupt)
		if !in.Repair {
			err = kith.Hint(err, "kith verify --repair fetches again what is damaged")
		}
		yield(out, err)
	}
}

// verifyOne verifies one item, and has what is damaged fetched again if that is wished. stopped: nobody listens any more.
func (f *Files) verifyOne(ctx context.Context, it item, in VerifyIn, tell func(VerifyOut) bool) (v Verified, read int64, stopped bool) {
	v = Verified{Ref: it.Ref, Name: it.Name, Size: it.Size}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	progress := make(chan VerifyOut, 1)
	type result struct {
		damage []blob.Damage
		err    error
	}
	ended := make(chan result, 1)
	go func() {
		damage, err := f.env.Blobs.Verify(ctx, it.Ref, func(file string, done, total int64) {
			read = done // no one else looks at it until this has ended
			select {
			case progress <- VerifyOut{File: filepath.Base(file), Done: done, Total: total}:
			default: // the listener is slow; the next one will do
			}
		})
		ended <- result{damage, err}
	}()
	var last time.Time
	for {
		select {
		case p := <-progress:
			if now := time.Now(); now.Sub(last) >= progressEvery {
				if last = now; !tell(p) {
					cancel()
					<-ended
					return v, 0, true
				}
			}
			continue
		case r := <-ended:
			if r.err != nil {
				v.Why = r.err.Error()
			}
			for _, d := range r.damage {
				if len(v.Damage) == maxDamage {
					v.More++
					continue
				}
				v.Damage = append(v.Damage, Damage{d.Path, d.Off, d.N, d.Changed})
			}
			if in.Repair && r.err == nil && len(r.damage) > 0 {
				v.Repairs, v.Why = f.repair(ctx, it, r.damage, in.Ref != "")
			}
			return v, read, false
		}
	}
}

// repair has what is damaged of an item fetched again; named: the person has named it, so that also files that are their own are repaired.
func (f *Files) repair(ctx context.Context, it item, damage []blob.Damage, named bool) (begun bool, why string) {
	seen := map[string]bool{}
	for _, d := range damage {
		if seen[d.Path] {
			continue
		}
		seen[d.Path] = true
		if !d.Own && !named {
			why = "it is your own file: name the item to have it repaired"
			continue
		}
		if err := f.env.Blobs.Repair(ctx, it.Ref, d.Path); err != nil {
			why = err.Error()
			continue
		}
		begun = true
	}
	if !begun {
		return false, why
	}
	if _, err := f.begin(it, nil, false); err != nil {
		return false, err.Error()
	}
	return true, why
}

// Progress implements app.Progresser.
func (o VerifyOut) Progress() app.Progress {
	return app.Progress{Label: plain.Text(o.File), Done: o.Done, Total: o.Total}
}

// text says what was found of an item, in a few words.
func (v Verified) text() string {
	var bytes int64
	for _, d := range v.Damage {
		bytes += d.N
	}
	text := fmt.Sprintf("%s is damaged: %s in %s", plain.Text(v.Name), human.Bytes(bytes), human.Count(len(v.Damage)+v.More, "place"))
	if len(v.Damage) == 0 {
		text = plain.Text(v.Name) + " could not be verified"
	} else if v.Damage[0].Changed {
		text = fmt.Sprintf("%s was changed or moved: %s", plain.Text(v.Name), plain.Text(v.Damage[0].Path))
	}
	if v.Why != "" {
		text += " (" + plain.Text(v.Why) + ")"
	}
	return text
}

// WriteText implements app.Texter.
func (o VerifyOut) WriteText(w io.Writer, _ int) error {
	right := 0
	for _, v := range o.Items {
		if len(v.Damage) == 0 && v.Why == "" {
			right++
			continue
		}
		fmt.Fprintln(w, v.text())
		for _, d := range v.Damage {
			fmt.Fprintf(w, "  %s: %d bytes from %d\n", plain.Text(d.Path), d.N, d.Off)
		}
		if v.Repairs {
			fmt.Fprintf(w, "  it is being fetched again; see how it goes with: kith ls\n")
		}
	}
	_, err := fmt.Fprintf(w, "%s verified (%s), %d right\n", human.Count(len(o.Items), "item"), human.Bytes(o.Done), right)
	return err
}
