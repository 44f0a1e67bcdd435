package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kith"
	"kith/app"
	"kith/blob/folder"
	"kith/bridge"
	"kith/internal/atomicfile"
	"kith/internal/plain"
	"kith/internal/room"
)

// Names of networks that are treated on their own, as their bridges call themselves.
const (
	netTorrent = "bittorrent"
	netIPFS    = "ipfs"
	netWeb     = "web" // nothing is published there
)

func publishOp(run func(context.Context, PublishIn) (Shared, error)) app.Op {
	o := app.NewOp("publish", "let anybody find an item, and serve it to public networks of other programs", run)
	o.Long = "With --for public it is found by whoever searches (kith search), with its name, its size and the names of its files, and anybody may have it.\n" +
		"With --networks programs of these networks fetch it from here; nothing is copied. Public means: crawlers collect infohashes and CIDs, and the names of files with them; who looks\n" +
		"sees the address of this computer, and that it has this; and nobody can take back what others have fetched. What is for your contacts is not published.\n" +
		"What came by a torrent is given back by itself, until twice its size was sent (kith limit --ratio, --seed-time); published, it is served without an end."
	o.Example = "  kith publish festival.mkv --for public\n  kith publish festival.mkv --networks bittorrent,ipfs --for public\n  kith publish festival.mkv --networks bittorrent --torrent festival.torrent"
	return o
}

func unpublishOp(run func(context.Context, UnpublishIn) (Shared, error)) app.Op {
	o := app.NewOp("unpublish", "serve an item to public networks no more", run)
	o.Long = "Peers of Kith fetch it as before. With --for link nobody finds it by searching any more, and only who has the link can fetch it.\n" +
		"What others have fetched they keep, and serve on if they like."
	o.Example = "  kith unpublish festival.mkv\n  kith unpublish festival.mkv --for link\n  kith unpublish festival.mkv --networks ipfs"
	return o
}

func networksOp(run func(context.Context, None) (NetworksOut, error)) app.Op {
	o := app.NewOp("networks", "list the public networks that this node can share with", run)
	o.Query, o.Hidden = true, true
	return o
}

func (f *Files) listNetworks(context.Context, None) (NetworksOut, error) {
	return NetworksOut{f.publishable()}, nil
}

// publishable returns the names of the networks that can be shared with.
func (f *Files) publishable() []string {
	names := []string{}
	for _, b := range f.env.Bridges {
		if b.Name() != netWeb {
			names = append(names, b.Name())
		}
	}
	return names
}

// bridge returns the bridge to a network, or nil.
func (f *Files) bridge(name string) bridge.Bridge {
	for _, b := range f.env.Bridges {
		if b.Name() == name {
			return b
		}
	}
	return nil
}

// networks returns the networks that are asked for, each once; BitTorrent is among them if a .torrent file is.
func (f *Files) networks(asked []string, torrent string) (list []string, err error) {
	for _, text := range asked {
		for name := range strings.SplitSeq(text, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if have := f.publishable(); !slices.Contains(have, name) {
				err := fmt.Errorf("files: there is no network %.40q to publish to: %w", name, kith.Invalid)
				if len(have) > 0 {
					err = kith.Hint(err, "want %s", strings.Join(have, ","))
				}
				return nil, err
			}
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	if torrent != "" {
		if _, ok := f.bridge(netTorrent).(bridge.Torrents); !ok {
			return nil, fmt.Errorf("files: this node writes no .torrent files, having no BitTorrent: %w", kith.Invalid)
		}
		if !slices.Contains(list, netTorrent) {
			list = append(list, netTorrent)
		}
	}
	return list, nil
}

// are says of networks what they are, as in "bittorrent and ipfs are".
func are(networks []string) string {
	if len(networks) == 1 {
		return networks[0] + " is"
	}
	return strings.Join(networks[:len(networks)-1], ", ") + " and " + networks[len(networks)-1] + " are"
}

func (f *Files) publish(ctx context.Context, in PublishIn) (Shared, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return Shared{}, err
	}
	networks, err := f.networks(in.Networks, in.Torrent)
	switch name := plain.Text(it.Name); {
	case err != nil:
		return Shared{}, err
	case len(networks) == 0 && in.For != forPublic:
		return Shared{}, kith.Hint(fmt.Errorf("files: publish %s: neither for whom nor where: %w", name, kith.Invalid),
			"--for public lets anybody find it, --networks %s serves it to these", strings.Join(f.publishable(), ","))
	case len(networks) == 0 && it.Key != nil:
		return Shared{}, kith.Hint(fmt.Errorf("files: publish %s: it is encrypted, and nobody could read what they find: %w", name, kith.Denied), "share it without --private")
	case it.State != stateReady && it.State != stateDone || it.pending() || it.Part:
		return Shared{}, fmt.Errorf("files: publish %s: not all of it is here: %w", name, kith.Unavailable)
	case it.For == forContacts:
		return Shared{}, publicOnly(append(networks, "search"))
	case it.For == forLink && it.Key == nil && in.For != forPublic && it.Names.None():
		return Shared{}, kith.Hint(fmt.Errorf("files: publish %s: it is for whoever has the link, and %s public: %w", name, are(networks), kith.Denied),
			"--for public says that anybody may have it; kith share --private --networks %s '%s' shares it encrypted", strings.Join(networks, ","), it.Path)
	}
	if err := f.label(ctx, it.Ref, in.Labels); err != nil {
		return Shared{}, err
	}
	if in.For == forPublic && it.For != forPublic {
		if it, err = f.change(ctx, it.Ref, func(it *item) { it.For = forPublic }); err != nil {
			return Shared{}, err
		}
		f.announceSoon(it)
	}
	it, err = f.publishTo(ctx, it, networks, func(it *item) { // without an end
		it.Seeds = slices.DeleteFunc(slices.Clone(it.Seeds), func(n string) bool { return slices.Contains(networks, n) })
	})
	if err != nil {
		return Shared{}, err
	}
	if in.Torrent != "" {
		if err := f.writeTorrent(ctx, it, in.Torrent); err != nil {
			return Shared{}, err
		}
	}
	out := f.published(it)
	out.Torrent = in.Torrent
	return out, nil
}

// publishTo serves an item to networks, each of which is written down when it has taken it, with what else is to be changed then.
func (f *Files) publishTo(ctx context.Context, it item, networks []string, also func(*item)) (item, error) {
	if len(networks) == 0 {
		return it, nil
	}
	s, err := f.asShare(ctx, it)
	if err != nil {
		return it, err
	}
	for _, name := range networks {
		b := f.bridge(name)
		if b == nil {
			continue
		}
		s.Names = it.Names
		names, err := b.Publish(ctx, s)
		if err != nil {
			return it, fmt.Errorf("files: publish %s to %s: %w", plain.Text(it.Name), name, err)
		}
		it, err = f.change(ctx, it.Ref, func(it *item) {
			if also != nil {
				also(it)
			}
			it.Names = it.Names.Join(names)
			if !slices.Contains(it.Networks, name) {
				it.Networks = append(slices.Clone(it.Networks), name)
			}
		})
		if err != nil {
			return it, err
		}
	}
	return it, nil
}

// without returns names without those that one network uses.
func without(names kith.Names, network string) kith.Names {
	switch network {
	case netTorrent:
		return kith.Names{IPFS: names.IPFS, IPNS: names.IPNS, Path: names.Path}
	case netIPFS:
		names.IPFS, names.IPNS, names.Path = kith.Names{}.IPFS, "", ""
	}
	return names
}

// asShare returns an item as a bridge serves it: of a private share, the ciphertexts under names that say nothing.
func (f *Files) asShare(ctx context.Context, it item) (bridge.Share, error) {
	s := bridge.Share{Root: it.Ref, Name: it.Name, Folder: it.manifest()}
	if !it.manifest() {
		s.Files = []bridge.File{{Path: it.Name, Size: it.Size, Ref: it.Ref, Mode: 0o644}}
		return s, nil
	}
	m, err := f.env.Blobs.Manifest(ctx, it.Ref, sealKey(it))
	if err != nil {
		return s, err
	}
	if it.Key == nil {
		for _, e := range m.Entries {
			if e.File() || e.Link != "" {
				s.Files = append(s.Files, bridge.File{Path: e.Path, Size: e.Size, Ref: e.Ref, Mode: e.Mode.Perm(), Link: e.Link})
			}
		}
		return s, nil
	}
	s.Name = it.Ref.Short()
	root, err := f.env.Blobs.Blob(ctx, it.Ref)
	if err != nil {
		return s, err
	}
	s.Files = []bridge.File{{Path: folder.SealedName(-1), Size: root.Size(), Ref: it.Ref, Mode: 0o644}}
	if err := root.Close(); err != nil {
		return s, err
	}
	for i, e := range m.Entries {
		if e.File() {
			s.Files = append(s.Files, bridge.File{Path: folder.SealedName(i), Size: m.BlobSize(i), Ref: e.Ref, Mode: 0o644})
		}
	}
	return s, nil
}

func (f *Files) unpublish(ctx context.Context, in UnpublishIn) (Shared, error) {
	it, err := f.find(in.Ref)
	if err != nil {
		return Shared{}, err
	}
	networks, err := f.networks(in.Networks, "")
	if err != nil {
		return Shared{}, err
	}
	if len(networks) == 0 {
		networks = it.Networks
	}
	if in.For == forLink && it.For == forPublic {
		if it, err = f.change(ctx, it.Ref, func(it *item) { it.For = forLink }); err != nil {
			return Shared{}, err
		}
	}
	if it, err = f.withdraw(ctx, it, networks, ""); err != nil {
		return Shared{}, err
	}
	return f.published(it), nil
}

// withdraw ends publishTo, and says why.
func (f *Files) withdraw(ctx context.Context, it item, networks []string, why string) (item, error) {
	for _, name := range slices.Clone(networks) {
		if b := f.bridge(name); b != nil {
			if err := b.Withdraw(ctx, it.Ref); err != nil {
				return it, fmt.Errorf("files: unpublish %s from %s: %w", plain.Text(it.Name), name, err)
			}
		}
		not := func(n string) bool { return n == name }
		var err error
		it, err = f.change(ctx, it.Ref, func(it *item) {
			it.Networks, it.Seeds = slices.DeleteFunc(slices.Clone(it.Networks), not), slices.DeleteFunc(slices.Clone(it.Seeds), not)
			if it.Kind == kindShare { // a download stays known by what it was fetched by
				it.Names = without(it.Names, name)
			}
			if why != "" && it.State == stateDone {
				it.Reason = why
			}
		})
		if err != nil {
			return it, err
		}
	}
	return it, nil
}

// writeTorrent writes the .torrent file of what is published.
func (f *Files) writeTorrent(ctx context.Context, it item, to string) error {
	b, ok := f.bridge(netTorrent).(bridge.Torrents)
	if !ok {
		return fmt.Errorf("files: write %s: this node has no BitTorrent: %w", to, kith.Invalid)
	}
	data, err := b.Torrent(ctx, it.Ref)
	if err != nil {
		return err
	}
	if st, err := os.Stat(to); err == nil && st.IsDir() {
		to = filepath.Join(to, folder.CleanName(it.Name)+".torrent")
	}
	if err := atomicfile.Write(to, data, 0o644); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return kith.Hint(fmt.Errorf("files: there is no folder %s: %w", filepath.Dir(to), kith.NotFound), "make it first: mkdir -p '%s'", filepath.Dir(to))
		}
		return fmt.Errorf("files: write %s: %w", to, room.Explain(err))
	}
	return nil
}

// sayer is a Bridge that can tell what a person should know of what is being fetched: what its trackers say while nobody is found, and what is known of the swarm.
type sayer interface {
	StatusOf(kith.Names) (bridge.Status, error)
	SaidOf(kith.Names) string
}

// inNetworks returns how an item stands in other networks; came is how its download does.
func (f *Files) inNetworks(it item, came map[string]ItemNetwork) []ItemNetwork {
	var list []ItemNetwork
	for _, b := range f.env.Bridges {
		n, ok := came[b.Name()]
		n.Network, n.Names, n.Served = b.Name(), namesIn(it.Names, b.Name()), slices.Contains(it.Networks, b.Name())
		n.Verified = n.Verified || slices.Contains(it.Verified, b.Name())
		if !ok {
			n.Bytes = it.Brought[b.Name()]
		}
		if !ok && !n.Served && n.Names == nil {
			continue
		}
		if slices.Contains(it.Seeds, b.Name()) {
			n.Until, n.Ends = f.terms(it)
		}
		if n.Served || ok {
			if st, err := b.Status(it.Ref); err == nil {
				n.Up, n.UpRate, n.Ratio = st.Up, st.UpRate, ratio(st.Up, it.Size)
				if n.Said == "" {
					n.Said = st.Said
				}
				if !ok {
					n.Peers, n.Rate = len(st.Peers), st.DownRate
				}
			} else if s, says := b.(sayer); says && n.Peers == 0 {
				n.Said = strings.Trim(n.Said+"; "+s.SaidOf(it.Names), "; ")
			}
		}
		list = append(list, n)
	}
	return list
}

// namesIn returns what content is called in one network, as its programs take it.
func namesIn(n kith.Names, network string) (list []string) {
	switch network {
	case netTorrent:
		if n.V1 != (kith.InfoHash{}) {
			list = append(list, n.V1.String())
		}
		if n.V2 != [32]byte{} {
			list = append(list, fmt.Sprintf("%x", n.V2))
		}
	case netIPFS:
		if u := n.IPFSURL(); u != "" {
			list = append(list, u)
		}
	case netWeb:
		if n.Source != "" && !strings.HasSuffix(strings.ToLower(n.Source), ".torrent") {
			list = append(list, n.Source)
		}
	}
	return list
}

// ipfsURL returns the address of an item for programs of IPFS, if it is served there.
func ipfsURL(it item) string {
	if !slices.Contains(it.Networks, netIPFS) {
		return ""
	}
	return it.Names.IPFSURL()
}
