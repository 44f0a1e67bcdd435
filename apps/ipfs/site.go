package ipfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/bridge"
)

func publishOp(run func(context.Context, PublishIn) iter.Seq2[SiteOut, error]) app.Op {
	o := app.NewStreamOp("site publish", "publish a folder as a web site under a name that stays", run)
	o.Long = "Everybody on IPFS can see it, under ipns://KEY. Nothing is copied: the site is up while this node is, or anybody who has pinned it.\n" +
		"The key of the name is made on this device and stays in its data directory: whoever has it can change the site."
	o.Example = "  kith site publish ~/my-page\n  kith site publish ~/my-page --name diary"
	return o
}

func updateOp(run func(context.Context, UpdateIn) iter.Seq2[SiteOut, error]) app.Op {
	o := app.NewStreamOp("site update", "let a site lead to its folder as it is now", run)
	o.Long = "Until then it leads to the folder as it was; files that were changed meanwhile are not served."
	o.Example = "  kith site update diary\n  kith site update diary ~/another-folder"
	return o
}

func sitesOp(run func(context.Context, None) (SitesOut, error)) app.Op {
	o := app.NewOp("site ls", "list the sites of this node", run)
	o.Query = true
	return o
}

func siteRmOp(run func(context.Context, NameIn) (Site, error)) app.Op {
	o := app.NewOp("site rm", "take a site down", run)
	o.Long = "The folder stays. Others may have kept copies; the name itself is gone for good: nobody can change it any more."
	o.Example = "  kith site rm diary"
	return o
}

var unnamed = regexp.MustCompile(`[^a-z0-9]+`)

// nameOf makes a name for a site of that of its folder.
func nameOf(path string) string {
	name := strings.Trim(unnamed.ReplaceAllString(strings.ToLower(filepath.Base(path)), "-"), "-")
	if name = strings.Trim(name[:min(len(name), 63)], "-"); name == "" {
		return "site"
	}
	return name
}

func (i *IPFS) publish(ctx context.Context, in PublishIn) iter.Seq2[SiteOut, error] {
	return func(yield func(SiteOut, error) bool) {
		if in.Name == "" {
			in.Name = nameOf(in.Path)
		}
		old, err := i.site(ctx, in.Name)
		if err == nil && old.Path != in.Path {
			err = kith.Hint(fmt.Errorf("ipfs: there is a site %q, of %s: %w", in.Name, old.Path, kith.Exists), "kith site update %s '%s' lets it lead there, or choose another --name", in.Name, in.Path)
		}
		if err != nil && !errors.Is(err, kith.NotFound) {
			yield(SiteOut{}, err)
			return
		}
		yieldAll(i.lead(ctx, in.Name, in.Path, old), yield)
	}
}

func (i *IPFS) update(ctx context.Context, in UpdateIn) iter.Seq2[SiteOut, error] {
	return func(yield func(SiteOut, error) bool) {
		old, err := i.site(ctx, in.Name)
		if err != nil {
			yield(SiteOut{}, err)
			return
		}
		path := old.Path
		if in.Path != "" {
			path = in.Path
		}
		yieldAll(i.lead(ctx, in.Name, path, old), yield)
	}
}

func yieldAll(all iter.Seq2[SiteOut, error], yield func(SiteOut, error) bool) {
	for out, err := range all {
		if !yield(out, err) {
			return
		}
	}
}

// site returns a site of this node. Errors: NotFound.
func (i *IPFS) site(ctx context.Context, name string) (bridge.Site, error) {
	n, err := i.ready()
	if err != nil {
		return bridge.Site{}, err
	}
	all, err := n.Sites(ctx)
	if err != nil {
		return bridge.Site{}, err
	}
	for _, s := range all {
		if s.Name == name || s.Key == strings.TrimPrefix(name, "ipns://") {
			return s, nil
		}
	}
	return bridge.Site{}, kith.Hint(fmt.Errorf("ipfs: there is no site %.80q: %w", name, kith.NotFound), "kith site ls shows those there are")
}

// lead publishes a folder and lets the name lead to it.
func (i *IPFS) lead(ctx context.Context, name, path string, old bridge.Site) iter.Seq2[SiteOut, error] {
	return func(yield func(SiteOut, error) bool) {
		n, err := i.ready()
		if err != nil {
			yield(SiteOut{}, err)
			return
		}
		if info, err := os.Stat(path); err != nil {
			yield(SiteOut{}, kith.Hint(fmt.Errorf("ipfs: there is no %s: %w", path, kith.NotFound), "check the spelling; the path is taken from the folder you are in"))
			return
		} else if !info.IsDir() {
			yield(SiteOut{}, kith.Hint(fmt.Errorf("ipfs: %s is no folder: %w", path, kith.Invalid), "put it in a folder as index.html"))
			return
		}
		tree, ok, err := i.read(ctx, n, path, yield)
		if !ok {
			return
		}
		var s bridge.Site
		if err == nil {
			s, err = i.tell(ctx, n, name, path, tree)
		}
		if err != nil {
			yield(SiteOut{}, err)
			return
		}
		if !old.Root.IsZero() && old.Root != tree.Root {
			if err := i.drop(ctx, n, old.Root, name); err != nil {
				i.env.Log.Warn("the site as it was before is still kept", "ref", old.Root, "err", err)
			}
		}
		yield(SiteOut{Site: i.siteOf(s), Done: tree.Size, Total: tree.Size, Skipped: tree.Skipped, Ready: true}, nil)
	}
}

// read reads a folder once, for Kith's own names and those of the network. ok is false if the caller has gone.
func (i *IPFS) read(ctx context.Context, n network, path string, yield func(SiteOut, error) bool) (tree blob.Tree, ok bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type step struct {
		file        string
		done, total int64
	}
	steps := make(chan step, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tree, err = i.env.Blobs.Import(ctx, path, blob.ImportOptions{
			Taps: []func(int, int64) blob.Tap{n.Taps},
			Progress: func(file string, done, total int64) {
				select {
				case steps <- step{file, done, total}:
				default:
				}
			},
		})
	}()
	gone := false
	for last := time.Now(); ; {
		select {
		case s := <-steps:
			if gone || time.Since(last) < progressEvery {
				continue
			}
			last = time.Now()
			if !yield(SiteOut{File: s.file, Done: s.done, Total: s.total}, nil) {
				gone = true
				cancel()
			}
		case <-ended:
			return tree, !gone, err
		}
	}
}

// progressEvery bounds how often a stream tells how far it is.
const progressEvery = 200 * time.Millisecond

// tell publishes a tree and sets the name.
func (i *IPFS) tell(ctx context.Context, n network, name, path string, tree blob.Tree) (bridge.Site, error) {
	m, err := i.env.Blobs.Manifest(ctx, tree.Root, nil)
	if err != nil {
		return bridge.Site{}, err
	}
	share := bridge.Share{Root: tree.Root, Name: tree.Name, Folder: true}
	for _, e := range m.Entries {
		share.Files = append(share.Files, bridge.File{Path: e.Path, Size: e.Size, Ref: e.Ref, Mode: e.Mode, Link: e.Link})
	}
	if _, err := n.Publish(ctx, share); err != nil {
		return bridge.Site{}, err
	}
	return n.SetSite(ctx, bridge.Site{Name: name, Path: path, Root: tree.Root})
}

// drop ends what a site led to before, unless another site leads to it.
func (i *IPFS) drop(ctx context.Context, n network, root kith.Ref, name string) error {
	all, err := n.Sites(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Root == root && s.Name != name {
			return nil
		}
	}
	if err := n.Withdraw(ctx, root); err != nil {
		return err
	}
	if _, err := i.env.Blobs.Delete(ctx, root, false); err != nil && !errors.Is(err, kith.NotFound) {
		return err
	}
	return nil
}

func (i *IPFS) sites(ctx context.Context, _ None) (SitesOut, error) {
	n, err := i.ready()
	if err != nil { // a node without IPFS has none
		return SitesOut{Sites: []Site{}}, nil
	}
	all, err := n.Sites(ctx)
	out := SitesOut{Sites: []Site{}}
	for _, s := range all {
		one := i.siteOf(s)
		if st, err := n.Status(s.Root); err == nil && one.Said == "" {
			one.Said, one.Up, one.Rate, one.Readers = st.Said, st.Up, st.UpRate, len(st.Peers)
		}
		out.Sites = append(out.Sites, one)
	}
	return out, err
}

func (i *IPFS) siteRm(ctx context.Context, in NameIn) (Site, error) {
	s, err := i.site(ctx, in.Name)
	if err != nil {
		return Site{}, err
	}
	if _, err := i.net.DropSite(ctx, s.Name); err != nil {
		return Site{}, err
	}
	return i.siteOf(s), i.drop(ctx, i.net, s.Root, s.Name)
}
