package metainfo

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"

	"kith"
)

// A Torrent is what a .torrent file says.
type Torrent struct {
	*Info
	Layers   map[[sha256.Size]byte][]byte // version 2: digests of the pieces of files that have more than one, by root
	Trackers [][]string                   // URLs in tiers (BEP 12)
	WebSeeds []string                     // URLs (BEP 19)
	Nodes    []string                     // HOST:PORT of nodes of the DHT (BEP 5)
}

// Read reads a .torrent file. Its errors are as those of Parse.
func Read(data []byte) (*Torrent, error) {
	t, err := read(data)
	if err != nil {
		return nil, fmt.Errorf("metainfo: read torrent: %w", err)
	}
	return t, nil
}

func read(data []byte) (*Torrent, error) {
	if len(data) > MaxTorrent {
		return nil, fmt.Errorf("it has %d bytes, at most %d: %w", len(data), MaxTorrent, kith.TooLarge)
	}
	v, err := decode(data)
	if err != nil {
		return nil, err
	}
	d, ok := v.(dict)
	if !ok {
		return nil, fmt.Errorf("it is no dictionary: %w", kith.Invalid)
	}
	info, ok := d.get("info").(dict)
	if !ok {
		return nil, fmt.Errorf("it has no info: %w", kith.Invalid)
	}
	raw := d.raw("info")
	if len(raw) > MaxInfo {
		return nil, fmt.Errorf("its info has %d bytes, at most %d: %w", len(raw), MaxInfo, kith.TooLarge)
	}
	t := &Torrent{}
	if t.Info, err = fromDict(info, slices.Clone(raw)); err != nil { // without what is around it
		return nil, err
	}
	t.links(d)
	if !t.HasV2 {
		return t, nil
	}
	layers, ok := d.get("piece layers").(dict)
	if !ok && t.HasV1 {
		return t, nil // of a magnet link, in which they are not: version 1 does
	}
	return t, t.readLayers(layers)
}

// links reads where peers may be found. What is wrong there is left out: a torrent is good without it.
func (t *Torrent) links(d dict) {
	tiers, _ := d.get("announce-list").(list)
	n := 0
	for _, tier := range tiers {
		l, _ := tier.(list)
		var urls []string
		for _, v := range l {
			if u := urlOf(v, "http", "https", "udp", "ws", "wss"); u != "" && n < maxTrackers {
				urls = append(urls, u)
				n++
			}
		}
		if len(urls) > 0 {
			t.Trackers = append(t.Trackers, urls)
		}
	}
	if u := urlOf(d.get("announce"), "http", "https", "udp", "ws", "wss"); u != "" && n == 0 {
		t.Trackers = [][]string{{u}}
	}
	seeds, _ := d.get("url-list").(list)
	if one := d.get("url-list"); one != nil && seeds == nil {
		seeds = list{one}
	}
	for _, v := range seeds[:min(len(seeds), maxTrackers)] {
		if u := urlOf(v, "http", "https"); u != "" {
			t.WebSeeds = append(t.WebSeeds, u)
		}
	}
	nodes, _ := d.get("nodes").(list)
	for _, v := range nodes[:min(len(nodes), maxTrackers)] {
		l, _ := v.(list)
		if len(l) != 2 {
			continue
		}
		host, ok := l[0].(text)
		port, isNumber := l[1].(int64)
		if ok && isNumber && port > 0 && port < 1<<16 && len(host) < 256 {
			t.Nodes = append(t.Nodes, fmt.Sprintf("%s:%d", host, port))
		}
	}
}

// urlOf returns a URL of one of the schemes, or "".
func urlOf(v value, schemes ...string) string {
	s, _ := v.(text)
	if len(s) == 0 || len(s) > maxURL {
		return ""
	}
	u, err := url.Parse(string(s))
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return ""
	}
	return string(s)
}

// readLayers checks the digests of pieces of version 2 against the roots.
func (t *Torrent) readLayers(d dict) error {
	given := map[string]text{}
	for _, p := range d {
		if s, ok := p.value.(text); ok {
			given[p.key] = s
		}
	}
	t.Layers = map[[sha256.Size]byte][]byte{}
	for _, f := range t.Files {
		if f.Size <= t.PieceLength || t.Layers[f.Root] != nil {
			continue
		}
		layer := given[string(f.Root[:])]
		if len(layer) == 0 && t.HasV1 { // it came by a magnet link, whose metadata has none: the digests of version 1 do
			continue
		}
		if err := CheckLayer(f, t.PieceLength, layer); err != nil {
			return err
		}
		t.Layers[f.Root] = slices.Clone(layer)
	}
	return nil
}

// CheckLayer reports whether layer is that of the pieces of f: Corrupt if it is not.
func CheckLayer(f File, piece int64, layer []byte) error {
	n := int((f.Size + piece - 1) / piece)
	if len(layer) != n*sha256.Size {
		return fmt.Errorf("%.80q has %d bytes of digests of version 2 for %d pieces: %w", f.Raw, len(layer), n, kith.Corrupt)
	}
	rows := make([][sha256.Size]byte, n)
	for i := range rows {
		copy(rows[i][:], layer[i*sha256.Size:])
	}
	if layerRoot(rows, piece) != f.Root {
		return fmt.Errorf("the digests of the pieces of %.80q are not those that its digest of version 2 was made of: %w", f.Raw, kith.Corrupt)
	}
	return nil
}

// LacksLayers reports whether digests of version 2 of pieces are not known.
func (t *Torrent) LacksLayers() bool {
	return t.HasV2 && slices.ContainsFunc(t.Files, func(f File) bool { return f.Size > t.PieceLength && t.Layers[f.Root] == nil })
}

// Encode returns the .torrent file.
func (t *Torrent) Encode() []byte {
	var e encoder
	e.WriteByte('d')
	if len(t.Trackers) > 0 {
		e.text("announce")
		e.text(t.Trackers[0][0])
		e.text("announce-list")
		e.WriteByte('l')
		for _, tier := range t.Trackers {
			e.texts(tier)
		}
		e.WriteByte('e')
	}
	e.text("info")
	e.Write(t.Raw)
	if t.HasV2 && (len(t.Layers) > 0 || !t.LacksLayers()) {
		e.text("piece layers")
		e.WriteByte('d')
		roots := make([]string, 0, len(t.Layers))
		for root := range t.Layers {
			roots = append(roots, string(root[:]))
		}
		slices.Sort(roots)
		for _, root := range roots {
			e.text(root)
			e.text(string(t.Layers[[sha256.Size]byte([]byte(root))]))
		}
		e.WriteByte('e')
	}
	if len(t.WebSeeds) > 0 {
		e.text("url-list")
		e.texts(t.WebSeeds)
	}
	e.WriteByte('e')
	return e.Bytes()
}
