package draft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"kith"
	"kith/blob/bao"
	"kith/blob/disk"
	"kith/blob/folder"
	"kith/internal/atomicfile"
)

// Limits of the state.
const (
	magic    = "kith draft 1\n"
	maxState = 1 << 30   // bytes of the log
	maxFrame = 192 << 20 // bytes of one frame
	maxPairs = 1 << 16   // ranges, or files, in one frame that is added
	slack    = 1 << 20   // bytes that the log may grow at least before it is written anew
)

// A state is what the log says.
type state struct {
	Path   string
	Part   string // name of what is being built, in the folder of Path
	Folder bool
	Files  []File

	begun bool    // the part was made
	ino   int64   // of the part
	inos  []int64 // of each file; 0: it was not made yet, or this system has none
	dest  string  // what the part is, or is about to be, renamed to
	have  bao.Bits
}

// The log is the magic and frames: length and CRC-32C of what follows, 4 bytes each, little endian; then a CBOR map. The first frame is a head, all others are news.
type (
	head struct {
		Path   string     `cbor:"1,keyasint"`
		Part   string     `cbor:"2,keyasint"`
		Folder bool       `cbor:"3,keyasint,omitempty"`
		Files  []fileWire `cbor:"4,keyasint"`
	}
	fileWire struct {
		_    struct{} `cbor:",toarray"`
		Path string
		Size int64
		Kind uint8 // 1: executable, 2: a link, 4: an empty folder
		Link string
	}
	news struct {
		Begun bool    `cbor:"1,keyasint,omitempty"`
		Ino   int64   `cbor:"2,keyasint,omitempty"`
		Made  []int64 `cbor:"3,keyasint,omitempty"` // pairs: a file, its inode
		Set   []int64 `cbor:"4,keyasint,omitempty"` // pairs: first group, how many; groups are counted over all files
		Have  []byte  `cbor:"5,keyasint,omitempty"` // all groups that are here, as bao.Bits are encoded
		Dest  string  `cbor:"6,keyasint,omitempty"`
	}
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	encodeMode = must(cbor.CoreDetEncOptions().EncMode())
	decodeMode = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxArrayElements: 2 * folder.MaxEntries, MaxMapPairs: 16, MaxNestedLevels: 8,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options that are constant
	}
	return v
}

// appendFrame appends v as a frame.
func appendFrame(dst []byte, v any) ([]byte, error) {
	data, err := encodeMode.Marshal(v)
	if err != nil {
		return dst, err
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(data, castagnoli))
	return append(dst, data...), nil
}

// nextFrame returns what is in the first frame of data, and its length; nil if it is not whole.
func nextFrame(data []byte) (payload []byte, n int) {
	if len(data) < 8 {
		return nil, 0
	}
	size := binary.LittleEndian.Uint32(data)
	if size > maxFrame || int(size) > len(data)-8 {
		return nil, 0
	}
	payload = data[8 : 8+size]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(data[4:]) {
		return nil, 0
	}
	return payload, 8 + int(size)
}

// encode returns the whole log.
func (s *state) encode() ([]byte, error) {
	h := head{Path: s.Path, Part: s.Part, Folder: s.Folder, Files: make([]fileWire, len(s.Files))}
	for i, f := range s.Files {
		w := fileWire{Path: f.Path, Size: f.Size, Link: f.Link}
		for bit, set := range []bool{f.Exec, f.Link != "", f.Dir} {
			if set {
				w.Kind |= 1 << bit
			}
		}
		h.Files[i] = w
	}
	data, err := appendFrame([]byte(magic), h)
	if err != nil || !s.begun {
		return data, err
	}
	n := news{Begun: true, Ino: s.ino, Have: s.have.Encode(), Dest: s.dest}
	for i, ino := range s.inos {
		if ino != 0 {
			n.Made = append(n.Made, int64(i), ino)
		}
	}
	return appendFrame(data, n)
}

// decode reads a log as far as it is whole, and returns how far that is. Errors: Corrupt.
func decode(data []byte) (s *state, good int, err error) {
	rest, ok := strings.CutPrefix(string(data[:min(len(data), len(magic))]), magic)
	payload, n := nextFrame(data[min(len(data), len(magic)):])
	if !ok || rest != "" || payload == nil {
		return nil, 0, fmt.Errorf("no head: %w", kith.Corrupt)
	}
	var h head
	if err := decodeMode.Unmarshal(payload, &h); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	if s, err = h.state(); err != nil {
		return nil, 0, err
	}
	for good = len(magic) + n; good < len(data); good += n {
		if payload, n = nextFrame(data[good:]); payload == nil {
			break // torn: what it would have said is not known
		}
		var what news
		if err := decodeMode.Unmarshal(payload, &what); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", err, kith.Corrupt)
		}
		if err := s.hear(what); err != nil {
			return nil, 0, err
		}
	}
	return s, good, nil
}

func (h head) state() (*state, error) {
	s := &state{Path: h.Path, Part: h.Part, Folder: h.Folder, Files: make([]File, len(h.Files)), inos: make([]int64, len(h.Files))}
	for i, w := range h.Files {
		s.Files[i] = File{Path: w.Path, Size: w.Size, Link: w.Link, Exec: w.Kind&1 != 0, Dir: w.Kind&4 != 0}
		if w.Kind > 7 || w.Kind&2 != 0 != (w.Link != "") {
			return nil, fmt.Errorf("%q is of kind %d: %w", w.Path, w.Kind, kith.Corrupt)
		}
	}
	base, err := check(s.Folder, s.Files)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	if !filepath.IsAbs(s.Path) || filepath.Clean(s.Path) != s.Path || filepath.Base(s.Part) != s.Part || !strings.HasSuffix(s.Part, folder.PartSuffix) {
		return nil, fmt.Errorf("path %q, part %q: %w", s.Path, s.Part, kith.Corrupt)
	}
	s.have = bao.NewBits(base[len(s.Files)])
	return s, nil
}

// hear takes news.
func (s *state) hear(n news) error {
	if len(n.Made)%2 != 0 || len(n.Set)%2 != 0 {
		return fmt.Errorf("half a pair: %w", kith.Corrupt)
	}
	if n.Have != nil {
		have, err := bao.DecodeBits(n.Have, s.have.Len())
		if err != nil {
			return err
		}
		s.have = have
	}
	for p := range slices.Chunk(n.Set, 2) {
		if p[0] < 0 || p[1] <= 0 || p[0] > s.have.Len()-p[1] {
			return fmt.Errorf("groups %d+%d of %d: %w", p[0], p[1], s.have.Len(), kith.Corrupt)
		}
		s.have.Set(bao.Range{First: p[0], N: p[1]})
	}
	for p := range slices.Chunk(n.Made, 2) {
		if p[0] < 0 || p[0] >= int64(len(s.inos)) {
			return fmt.Errorf("file %d of %d: %w", p[0], len(s.inos), kith.Corrupt)
		}
		s.inos[p[0]] = p[1]
	}
	if n.Begun {
		s.begun, s.ino = true, n.Ino
	}
	if n.Dest != "" {
		if filepath.Dir(n.Dest) != filepath.Dir(s.Path) {
			return fmt.Errorf("it goes to %q: %w", n.Dest, kith.Corrupt)
		}
		s.dest = n.Dest
	}
	return nil
}

// readState reads a log. Errors: fs.ErrNotExist, Corrupt.
func readState(file string) (s *state, good int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxState {
		return nil, 0, fmt.Errorf("more than %d bytes: %w", maxState, kith.Corrupt)
	}
	return decode(data)
}

// rewrite writes the whole log anew. d.save is held, or nobody else has d yet.
func (d *Draft) rewrite() error {
	d.mu.Lock()
	data, err := d.s.encode()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if d.log != nil {
		if err := d.log.Close(); err != nil {
			return err
		}
		d.log = nil
	}
	if err := os.MkdirAll(filepath.Dir(d.file), 0o700); err != nil {
		return err
	}
	if err := atomicfile.Write(d.file, data, 0o600); err != nil {
		return err
	}
	return d.openLog(int64(len(data)))
}

// openLog opens the log behind its first good bytes.
func (d *Draft) openLog(good int64) (err error) {
	if d.log, err = os.OpenFile(d.file, os.O_WRONLY, 0); err != nil {
		return err
	}
	d.size, d.full = good, good
	return d.log.Truncate(good)
}

// tell adds news to the log, durably.
func (d *Draft) tell(all ...news) (err error) {
	var data []byte
	for _, n := range all {
		if data, err = appendFrame(data, n); err != nil {
			return err
		}
	}
	if d.log == nil { // it could not be written anew
		return d.rewrite()
	}
	if _, err := d.log.WriteAt(data, d.size); err != nil {
		return err
	}
	if err := d.log.Sync(); err != nil {
		return err
	}
	d.size += int64(len(data))
	return nil
}

// checkpoint makes the bytes durable, and then says so in the log. d.save is held.
func (d *Draft) checkpoint(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	fresh, made, dirty := d.fresh, d.made, d.dirty
	d.fresh, d.made, d.dirty = nil, nil, map[int]bool{}
	d.mu.Unlock()
	if len(fresh) == 0 && len(made) == 0 {
		d.putBack(nil, nil, dirty)
		return nil
	}
	err := d.syncFiles(made, dirty)
	if err == nil {
		err = fault("checkpoint")
	}
	if err == nil {
		err = d.tell(d.newsOf(fresh, made)...)
	}
	if err != nil {
		d.putBack(fresh, made, dirty)
		return err
	}
	if d.size > 2*d.full+slack {
		return d.rewrite()
	}
	return nil
}

func (d *Draft) putBack(fresh []bao.Range, made []int, dirty map[int]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh, d.made = append(fresh, d.fresh...), append(made, d.made...)
	for i := range dirty {
		d.dirty[i] = true
	}
}

func (d *Draft) newsOf(fresh []bao.Range, made []int) []news {
	var all []news
	d.mu.Lock()
	for some := range slices.Chunk(made, maxPairs) {
		var n news
		for _, i := range some {
			n.Made = append(n.Made, int64(i), d.s.inos[i])
		}
		all = append(all, n)
	}
	d.mu.Unlock()
	for some := range slices.Chunk(fresh, maxPairs) {
		var n news
		for _, r := range some {
			n.Set = append(n.Set, r.First, r.N)
		}
		all = append(all, n)
	}
	return all
}

// syncEach is up to how many files are made durable one by one, where all can be at once.
const syncEach = 16

// syncFiles makes files durable, and the names of those that are new.
func (d *Draft) syncFiles(made []int, dirty map[int]bool) error {
	if disk.CanSyncAll && len(made)+len(dirty) > syncEach {
		return disk.SyncAll(d.root)
	}
	for i := range dirty {
		h, err := d.use(i, false)
		if errors.Is(err, kith.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		err = disk.SyncData(h.File)
		d.done(h)
		if err != nil {
			return err
		}
	}
	synced := map[string]bool{}
	for _, i := range made {
		for dir := path.Dir(d.name(i)); !synced[dir]; dir = path.Dir(dir) {
			synced[dir] = true
			if err := disk.SyncDir(filepath.Join(d.root.Name(), filepath.FromSlash(dir))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
