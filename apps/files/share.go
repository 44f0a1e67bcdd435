package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"time"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/blob/seal"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/internal/qr"
)

func shareOp(run func(context.Context, ShareIn) iter.Seq2[ShareOut, error]) app.Op {
	o := app.NewStreamOp("share", "share files and folders where they are", run)
	o.Long = "Nothing is copied. Who has the link can fetch it as long as this node, or anybody who has fetched it, is up.\n" +
		"With --private it is encrypted before anybody sees it; the key is in the link, behind the #.\n" +
		"With --networks it is served to public networks of other programs too, and the link is a magnet that these open. Public means: crawlers collect\n" +
		"infohashes and CIDs, and the names of files with them; who looks sees the address of this computer, and that it has this; and nobody can take back what others\n" +
		"have fetched. With --for public that goes for the files themselves. With --for link what is served is encrypted, as with --private, under names that say nothing.\n" +
		"With --guest nobody on the network of peers hears of it: it gets a web link that any browser in the same local network opens, until it ends\n" +
		"(kith guest). That is not encrypted: who is in that network can read along. --downloads counts devices, each of which may fetch it again."
	o.Example = "  kith share ~/films/festival.mkv ~/photos\n  kith share --private ~/letters\n" +
		"  kith share film.mkv --for public --networks bittorrent,ipfs --torrent film.torrent\n  kith share --guest festival.mkv --lasts 2h --downloads 3"
	return o
}

// progressEvery bounds how often a stream tells how far it is.
const progressEvery = 200 * time.Millisecond

func (f *Files) share(ctx context.Context, in ShareIn) iter.Seq2[ShareOut, error] {
	return func(yield func(ShareOut, error) bool) {
		in, note, err := f.checkShare(in)
		if err == nil {
			err = f.label(ctx, kith.Ref{}, in.Labels)
		}
		if err != nil {
			yield(ShareOut{}, err)
			return
		}
		if in.Guest {
			yield(f.give(in))
			return
		}
		var out ShareOut
		for _, path := range in.Paths {
			done, err := f.shareOne(ctx, path, in, newKey(in), func(p ShareOut) bool {
				p.Done, p.Total = p.Done+out.Done, p.Total+out.Total
				return yield(p, nil)
			})
			if err != nil {
				yield(out, err)
				return
			}
			done.Note = note
			out.Done += done.Size
			out.Total += done.Size
			out.Shared = append(out.Shared, done)
		}
		yield(out, nil)
	}
}

// checkShare returns what is asked for with all that follows from it, and what of that a person should be told.
func (f *Files) checkShare(in ShareIn) (ShareIn, string, error) {
	if len(in.Paths) == 0 {
		return in, "", kith.Hint(fmt.Errorf("files: share: no path: %w", kith.Invalid), "name a file or a folder: kith share PATH")
	}
	for _, p := range in.Paths {
		if !filepath.IsAbs(p) {
			return in, "", fmt.Errorf("files: share %q: the path is not absolute: %w", p, kith.Invalid)
		}
	}
	networks, err := f.networks(in.Networks, in.Torrent)
	if err != nil {
		return in, "", err
	}
	in.Networks = networks
	switch {
	case in.Guest && (in.Private || in.For != "" && in.For != forLink || len(in.Networks) > 0 || len(in.Tag) > 0 || in.Lang != ""):
		return in, "", kith.Hint(fmt.Errorf("files: share: a guest link is for a browser in this network, neither encrypted nor for contacts nor for other networks, and not searched for: %w", kith.Invalid),
			"leave out --for, --private, --networks, --tag and --lang, or --guest")
	case !in.Guest && (in.Lasts != "" || in.Downloads != 0 || in.At != ""):
		return in, "", kith.Hint(fmt.Errorf("files: share: lasts, downloads and at are of guest links: %w", kith.Invalid), "add --guest")
	case in.Torrent != "" && len(in.Paths) > 1:
		return in, "", kith.Hint(fmt.Errorf("files: share: one .torrent file is of one file or folder: %w", kith.Invalid), "share them one after the other, or the folder that they are in")
	}
	switch in.For {
	case "", forLink:
		if len(in.Networks) > 0 && !in.Private {
			in.Private = true
			return in, fmt.Sprintf("It is encrypted, since it is for whoever has the link, and %s public: what is served there are ciphertexts under names that say nothing. "+
				"To serve it openly, share it with --for public.", are(in.Networks)), nil
		}
	case forContacts:
		if len(in.Networks) > 0 {
			return in, "", publicOnly(in.Networks)
		}
	case forPublic:
	default:
		return in, "", fmt.Errorf("files: share: for %q: want link, contacts or public: %w", in.For, kith.Invalid)
	}
	return in, "", nil
}

// publicOnly says why what is for contacts goes to no public network.
func publicOnly(networks []string) error {
	return kith.Hint(fmt.Errorf("files: it is for your contacts alone, and %s public: whoever learns its name there can fetch it: %w", are(networks), kith.Denied),
		"--for link shares it encrypted with whoever has the link, --for public with anybody")
}

var errStopped = errors.New("the caller went away")

// newKey returns the key of a share that is to be private, or nil.
func newKey(in ShareIn) *seal.Key {
	if !in.Private {
		return nil
	}
	key := seal.NewKey()
	return &key
}

// shareOne imports one path, encrypted if there is a key, and makes it an item. While it reads it calls tell, which answers whether anybody still listens.
func (f *Files) shareOne(ctx context.Context, path string, in ShareIn, key *seal.Key, tell func(ShareOut) bool) (Shared, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var taps []func(int, int64) blob.Tap
	for _, n := range in.Networks {
		if b := f.bridge(n); b != nil {
			taps = append(taps, b.Taps)
		}
	}
	progress := make(chan ShareOut, 1)
	type result struct {
		tree blob.Tree
		err  error
	}
	finished := make(chan result, 1)
	go func() {
		var last time.Time
		tree, err := f.env.Blobs.Import(ctx, path, blob.ImportOptions{Key: key, Taps: taps, Progress: func(file string, done, total int64) {
			if now := time.Now(); now.Sub(last) >= progressEvery {
				last = now
				select {
				case progress <- ShareOut{File: filepath.Base(file), Done: done, Total: total}:
				default: // the listener is slow; the next one will do
				}
			}
		}})
		finished <- result{tree, err}
	}()
	for {
		select {
		case p := <-progress:
			if !tell(p) {
				cancel(errStopped)
			}
		case r := <-finished:
			if r.err != nil {
				return Shared{}, r.err
			}
			return f.shared(ctx, r.tree, in, key)
		}
	}
}

// shared makes an item of what was imported.
func (f *Files) shared(ctx context.Context, tree blob.Tree, in ShareIn, key *seal.Key) (Shared, error) {
	it := item{Ref: tree.Root, Kind: kindShare, Name: tree.Name, Path: tree.Path, Size: tree.Size, Files: tree.Files, For: in.For, State: stateReady, Added: time.Now()}
	if it.For == "" {
		it.For = forLink
	}
	if key != nil {
		it.Key = key[:]
	}
	if old, ok := f.byRef(it.Ref); ok {
		if it.For == forContacts && len(old.Networks) > 0 {
			return Shared{}, publicOnly(old.Networks)
		}
		if old.For == forPublic && it.For != forPublic {
			if err := f.env.Routes.Withdraw(ctx, it.Ref.CID()); err != nil {
				return Shared{}, fmt.Errorf("files: share: withdraw: %w", err)
			}
		}
	}
	if err := f.env.Blobs.Pin(ctx, it.Ref); err != nil {
		return Shared{}, err
	}
	if err := f.label(ctx, it.Ref, in.Labels); err != nil {
		return Shared{}, err
	}
	it, err := f.reshared(ctx, it)
	if err != nil {
		return Shared{}, err
	}
	f.announceSoon(it)
	if it, err = f.publishTo(ctx, it, in.Networks, nil); err != nil {
		return Shared{}, err
	}
	if in.Torrent != "" {
		if err := f.writeTorrent(ctx, it, in.Torrent); err != nil {
			return Shared{}, err
		}
	}
	out := f.published(it)
	out.Skipped, out.Torrent = tree.Skipped, in.Torrent
	for _, s := range tree.SkipNotes {
		out.LeftOut = append(out.LeftOut, LeftOut{s.Path, s.Why})
	}
	return out, nil
}

// reshared writes down what is shared. If it was shared before, or fetched, the new wish holds, and what was counted stays.
func (f *Files) reshared(ctx context.Context, it item) (item, error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	if old, ok := f.byRef(it.Ref); ok {
		it.Kind, it.Up, it.Added, it.Sources, it.Names, it.Networks, it.Was = old.Kind, old.Up, old.Added, old.Sources, old.Names, old.Networks, old.Was
		if old.Kind == kindDownload {
			it.State, it.Path = old.State, old.Path
		}
	}
	return it, f.save(ctx, it)
}

// published returns how an item is handed on.
func (f *Files) published(it item) Shared {
	l := f.link(it)
	return Shared{Link: l.String(), Short: l.Short(), Ref: it.Ref, Name: it.Name, Size: it.Size, Files: it.Files, Path: it.Path, For: it.For, Private: it.Key != nil,
		Networks: it.Networks, IPFS: ipfsURL(it)}
}

// Progress implements app.Progresser.
func (o ShareOut) Progress() app.Progress {
	return app.Progress{Label: o.File, Done: o.Done, Total: o.Total}
}

// Result implements app.Resulter: one path gives one object, several give a list.
func (o ShareOut) Result() any {
	switch len(o.Guests) {
	case 0:
	case 1:
		return o.Guests[0]
	default:
		return o.Guests
	}
	if len(o.Shared) == 1 {
		return o.Shared[0]
	}
	return o.Shared
}

// WriteText implements app.Texter.
func (o ShareOut) WriteText(w io.Writer, width int) error {
	for _, g := range o.Guests {
		if err := g.WriteText(w, width); err != nil {
			return err
		}
	}
	for i, s := range o.Shared {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := s.WriteText(w, width); err != nil {
			return err
		}
	}
	return nil
}

// WriteText implements app.Texter.
func (s Shared) WriteText(w io.Writer, width int) error {
	what := human.Bytes(s.Size)
	if s.Files != 1 {
		what += fmt.Sprintf(" in %d files", s.Files)
	}
	if s.Private {
		what += ", encrypted"
	}
	fmt.Fprintf(w, "%s  (%s; for %s)\n\n", plain.Text(s.Name), what, audience(s.For))
	for _, l := range s.LeftOut {
		fmt.Fprintf(w, "left out: %s: %s\n", plain.Text(l.Path), plain.Text(l.Why))
	}
	if more := s.Skipped - len(s.LeftOut); more > 0 {
		fmt.Fprintf(w, "left out: %d more\n", more)
	}
	if s.Note != "" {
		fmt.Fprintf(w, "%s\n\n", s.Note)
	}
	fmt.Fprintf(w, "%s\n", s.Link)
	if s.IPFS != "" {
		fmt.Fprintf(w, "\n%s\n", s.IPFS)
	}
	if s.Torrent != "" {
		fmt.Fprintf(w, "\nwritten: %s\n", plain.Text(s.Torrent))
	}
	_, err := fmt.Fprintf(w, "\nfetch it elsewhere with:\n  kith get '%s'\n", s.Short)
	if code, bad := qr.Text(s.Short, width); width > 0 && bad == nil {
		_, err = fmt.Fprintf(w, "\n%s", code)
	}
	return err
}

// audience says in words who may fetch.
func audience(visibility string) string {
	switch visibility {
	case forContacts:
		return "your contacts"
	case forPublic:
		return "anybody"
	}
	return "whoever has the link"
}
