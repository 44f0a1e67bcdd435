package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"kith"
	"kith/blob"
	"kith/blob/draft"
	"kith/blob/folder"
	"kith/transfer/proto"
	"kith/transfer/stage"
)

// Limits of what another network says content consists of.
const (
	maxUnit   = 1 << 30 // bytes of what it checks at once
	maxWindow = 1 << 30 // bytes that are asked of it at once
)

// names are how other networks are called in sentences.
var names = map[string]string{"bittorrent": "BitTorrent", "ipfs": "IPFS", "web": "the web"}

// NetworkName returns how a person calls the network that Origin.Network names.
func NetworkName(network string) string { return cmp.Or(names[network], network, "another network") }

// check is the law of a layout, whoever tells it.
func (l *Layout) check() error {
	switch {
	case !l.Folder && len(l.Files) != 1, len(l.Files) == 0:
		return fmt.Errorf("%d files: %w", len(l.Files), kith.Invalid)
	case len(l.Files) > folder.MaxEntries:
		return fmt.Errorf("%d files, at most %d: %w", len(l.Files), folder.MaxEntries, kith.TooLarge)
	case l.Unit <= 0 || l.Unit > maxUnit:
		return fmt.Errorf("pieces of %d bytes: %w", l.Unit, kith.Invalid)
	}
	l.Window = min(max(l.Window, 0), maxWindow)
	l.Name = proto.PlainName(l.Name)
	var size int64
	seen := folder.NewNames()
	for _, f := range l.Files {
		if f.Size < 0 || f.Size > folder.MaxSize || f.Link != "" && f.Size != 0 {
			return fmt.Errorf("%q has %d bytes: %w", f.Path, f.Size, kith.Invalid)
		}
		if size += f.Size; size > folder.MaxSize {
			return fmt.Errorf("more than %d bytes: %w", int64(folder.MaxSize), kith.TooLarge)
		}
		if !l.Folder {
			continue
		}
		if err := folder.CheckPath(f.Path); err != nil {
			return fmt.Errorf("%.200q: %w", f.Path, err)
		}
		if err := seen.Add(f.Path); err != nil {
			return fmt.Errorf("%.200q: %w", f.Path, err)
		}
	}
	return nil
}

// drafted returns the files of l as a draft has them.
func (l *Layout) drafted() []draft.File {
	list := make([]draft.File, len(l.Files))
	for i, f := range l.Files {
		list[i] = draft.File{Path: f.Path, Size: f.Size, Exec: f.Exec, Link: f.Link}
	}
	if !l.Folder {
		list[0].Path = ""
	}
	return list
}

// mixed says that a link names two contents: what one network calls so is not what another does.
func (d *Download) mixed(a, b, why string) error {
	return kith.Hint(fmt.Errorf("transfer: %s: the link mixes two contents: by %s it is not what it is by %s: %s: %w", d.title(), a, b, why, kith.Corrupt),
		"ask who gave you the link for another; nothing of it was kept as if it were right")
}

// title is how the download is called in a sentence.
func (d *Download) title() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return cmp.Or(d.name, d.root.Short())
}

// laid takes note of what a network says the content consists of.
func (d *Download) laid(o *outside, l *Layout) error {
	d.mu.Lock()
	var before *outside
	for _, other := range d.outsides {
		if other != o && other.layout != nil && (before == nil || other == d.first) {
			before = other
		}
	}
	var err error
	if before != nil {
		if why := before.layout.differs(l); why != "" {
			d.mu.Unlock()
			return d.mixed(NetworkName(o.network), NetworkName(before.network), why)
		}
	}
	o.layout = l
	if d.first == nil {
		d.first = o
		close(d.told)
	}
	d.tell()
	d.mu.Unlock()
	if size, ok := d.rootIn(l); ok {
		err = d.sizeBy(o, size, l.Name)
	}
	return err
}

// rootIn returns how many bytes the root has by a layout, if that tells.
func (d *Download) rootIn(l *Layout) (int64, bool) {
	switch {
	case d.root.Codec == kith.Pending:
	case !d.isTree():
		if len(l.Files) == 1 {
			return l.Files[0].Size, true
		}
	case d.job.Key != nil:
		for _, f := range l.Files {
			if f.Path == folder.SealedName(-1) {
				return f.Size, true
			}
		}
	}
	return 0, false
}

// sizeBy notes how many bytes the root blob has by another network.
func (d *Download) sizeBy(o *outside, size int64, name string) error {
	d.mu.Lock()
	known, by := d.blobSize, d.sizedBy
	if known < 0 {
		d.sizedBy = o.network
	}
	d.mu.Unlock()
	if known >= 0 && known != size {
		return d.mixed(NetworkName(o.network), sizer(by), fmt.Sprintf("%d bytes, not %d", size, known))
	}
	d.learn(size, name)
	return nil
}

// sizer says who told a size.
func sizer(network string) string {
	if network == "" {
		return "Kith"
	}
	return NetworkName(network)
}

// differs says in what two layouts of one content differ, or "".
func (l *Layout) differs(m *Layout) string {
	if l.Folder != m.Folder {
		return "by one it is a folder, by the other a file"
	}
	if !l.Folder {
		if l.Files[0].Size != m.Files[0].Size {
			return fmt.Sprintf("%d bytes, not %d", m.Files[0].Size, l.Files[0].Size)
		}
		return ""
	}
	theirs := make(map[string]int64, len(l.Files))
	for _, f := range l.Files {
		theirs[f.Path] = f.Size
	}
	for _, f := range m.Files {
		size, ok := theirs[f.Path]
		if !ok && (f.Size > 0 || f.Link != "") {
			return fmt.Sprintf("%q is not in it", f.Path)
		}
		if ok && size != f.Size {
			return fmt.Sprintf("%q has %d bytes, not %d", f.Path, f.Size, size)
		}
		delete(theirs, f.Path)
	}
	for path, size := range theirs {
		if size > 0 {
			return fmt.Sprintf("%q is missing", path)
		}
	}
	return ""
}

// match returns for each file of a layout its place in the row of st, -1 for one that is not in it. Its error says that they are two contents.
func (d *Download) match(o *outside, l *Layout, st *stage.Stage) ([]int, error) {
	rows := make([]int, len(l.Files))
	for i := range rows {
		rows[i] = -1
	}
	name := func(i int) string { return st.Row.Files[i].Path }
	switch {
	case st.Number == proto.RowRoot && d.isTree():
		if d.job.Key == nil {
			return rows, nil // the manifest is nothing to other networks
		}
		name = func(int) string { return folder.SealedName(-1) }
	case st.Number == proto.RowFiles && d.job.Key != nil:
		name = func(i int) string { return folder.SealedName(st.Row.Files[i].Index) }
	case len(l.Files) == 1 && len(st.Row.Files) == 1 && (!l.Folder || st.Number == proto.RowRoot):
		name = func(int) string { return l.Files[0].Path }
	}
	at := make(map[string]int, len(l.Files))
	for i, f := range l.Files {
		at[f.Path] = i
	}
	for i, f := range st.Row.Files {
		k, ok := at[name(i)]
		switch {
		case !ok:
			return nil, d.mixed(NetworkName(o.network), "Kith", fmt.Sprintf("%q is missing", name(i)))
		case l.Files[k].Size != f.Size:
			return nil, d.mixed(NetworkName(o.network), "Kith", fmt.Sprintf("%q has %d bytes, not %d", name(i), l.Files[k].Size, f.Size))
		}
		rows[k] = i
	}
	if d.job.Key != nil || st.Number == proto.RowRoot {
		return rows, nil
	}
	for k, f := range l.Files {
		if rows[k] < 0 && f.Size > 0 {
			return nil, d.mixed(NetworkName(o.network), "Kith", fmt.Sprintf("%q is not in it", f.Path))
		}
	}
	return rows, nil
}

// refused makes of what went wrong with the bytes of other networks an error that names them.
func (d *Download) refused(err error) error {
	var m *blob.Mixed
	if !errors.As(err, &m) {
		return err
	}
	d.mu.Lock()
	var by []string
	for _, o := range d.outsides {
		if o.bytes > 0 {
			by = append(by, NetworkName(o.network))
		}
	}
	d.mu.Unlock()
	slices.Sort(by)
	who := "another network"
	if len(by) > 0 {
		who = by[0]
		for _, other := range by[1:] {
			who += " or " + other
		}
	}
	return d.mixed(who, "Kith", fmt.Sprintf("its bytes do not have the BLAKE3 digest %s", m.Ref))
}

// refuse ends the attempt with what is wrong with the link.
func (d *Download) refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		d.stop(err)
	}
}
