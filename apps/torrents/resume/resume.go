// Package resume reads what Transmission and qBittorrent remember of their torrents, and checks what of the content is there.
//
// It changes nothing of theirs. Its one idea: what a program says that it has is not believed but read, since the other program may have been wrong, or be writing still.
package resume

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anacrolix/torrent/bencode"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// Limits of what is read.
const (
	maxTorrents = 100_000
	maxFile     = 64 << 20 // bytes of a file of theirs
)

// A Torrent is one that another program has.
type Torrent struct {
	Name      string
	File      []byte // its .torrent file; nil: only the link is known
	Link      string // magnet link, where there is no File
	Dirs      []string
	Paused    bool
	Added     time.Time
	Up        int64 // bytes sent
	Down      int64
	Renamed   bool   // files were given other names than the torrent says
	Subfolder bool   // false: files of a folder lie in Dirs themselves
	Trouble   string // why it cannot be read
}

// bencoded reads a file of bencode, strictly bounded. Its errors have a kind.
func bencoded(path string, into any) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	return decode(data, into)
}

func decode(data []byte, into any) (err error) {
	defer func() {
		if r := recover(); r != nil { // the library's decoder is for friends
			err = fmt.Errorf("resume: %v: %w", r, kith.Corrupt)
		}
	}()
	var trailing bencode.ErrUnusedTrailingBytes
	if err := bencode.Unmarshal(data, into); err != nil && !errors.As(err, &trailing) {
		return fmt.Errorf("resume: %w: %w", err, kith.Corrupt)
	}
	return nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("resume: there is no %s: %w", path, kith.NotFound)
		}
		return nil, fmt.Errorf("resume: %w: %w", err, kith.Denied)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("resume: %w: %w", err, kith.Unavailable)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("resume: %s has more than %d bytes: %w", path, maxFile, kith.TooLarge)
	}
	return data, nil
}

// transmission is what Transmission writes in resume/*.resume.
type transmission struct {
	Destination string `bencode:"destination"`
	Incomplete  string `bencode:"incomplete-dir"`
	Name        string `bencode:"name"`
	Paused      int64  `bencode:"paused"`
	Added       int64  `bencode:"added-date"`
	Up          int64  `bencode:"uploaded"`
	Down        int64  `bencode:"downloaded"`
}

// Transmission reads the folder of Transmission's state, which has resume and torrents in it. What cannot be read is listed with its trouble. Errors: NotFound, Denied.
func Transmission(dir string) ([]Torrent, error) {
	if st, err := os.Stat(filepath.Join(dir, "resume")); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("resume: %s has no folder resume, as Transmission's has: %w", dir, kith.NotFound)
	}
	files, err := list(filepath.Join(dir, "torrents"), ".torrent", ".magnet")
	if err != nil {
		return nil, err
	}
	var all []Torrent
	for _, path := range files {
		base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		t := Torrent{Name: base, Subfolder: true}
		var r transmission
		if err := bencoded(filepath.Join(dir, "resume", base+".resume"), &r); err != nil {
			t.Trouble, r = err.Error(), transmission{} // of what is damaged nothing is believed
		}
		if r.Name != "" {
			t.Name = r.Name
		}
		t.Paused, t.Added, t.Up, t.Down = r.Paused != 0, unix(r.Added), max(r.Up, 0), max(r.Down, 0)
		t.Dirs = dirs(r.Destination, r.Incomplete)
		data, err := read(path)
		switch {
		case err != nil:
			t.Trouble = err.Error()
		case filepath.Ext(path) == ".magnet":
			t.Link = strings.TrimSpace(string(data))
		default:
			if t.Link = magnetOf(data); t.Link == "" {
				t.File = data
			}
		}
		all = append(all, t)
	}
	return all, nil
}

// magnetOf returns the link of a .torrent file that Transmission has written of a magnet link, "" for any other.
func magnetOf(data []byte) string {
	var m struct {
		Info   bencode.Bytes `bencode:"info"`
		Magnet struct {
			Hash string `bencode:"info_hash"`
			Name string `bencode:"display-name"`
		} `bencode:"magnet-info"`
		Trackers [][]string `bencode:"announce-list"`
		Tracker  string     `bencode:"announce"`
	}
	if err := decode(data, &m); err != nil || len(m.Info) > 0 {
		return ""
	}
	return link(m.Magnet.Name, m.Magnet.Hash, "", append([][]string{{m.Tracker}}, m.Trackers...))
}

// qbittorrent is what libtorrent and qBittorrent write in BT_backup/*.fastresume.
type qbittorrent struct {
	SavePath   string        `bencode:"save_path"`
	QSavePath  string        `bencode:"qBt-savePath"`
	Incomplete string        `bencode:"qBt-downloadPath"`
	Layout     string        `bencode:"qBt-contentLayout"`
	QName      string        `bencode:"qBt-name"`
	Name       string        `bencode:"name"`
	Paused     int64         `bencode:"paused"`
	Auto       int64         `bencode:"auto_managed"`
	Added      int64         `bencode:"added_time"`
	Up         int64         `bencode:"total_uploaded"`
	Down       int64         `bencode:"total_downloaded"`
	Hash       string        `bencode:"info-hash"`
	Hash2      string        `bencode:"info-hash2"`
	Mapped     []string      `bencode:"mapped_files"`
	Trackers   [][]string    `bencode:"trackers"`
	Info       bencode.Bytes `bencode:"info"`
}

// QBittorrent reads qBittorrent's BT_backup, or the torrents.db that newer ones have instead, or the folder that one of them is in. Errors: NotFound, Denied, Corrupt.
func QBittorrent(ctx context.Context, path string) ([]Torrent, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("resume: there is no %s: %w", path, kith.NotFound)
	}
	if !st.IsDir() {
		return database(ctx, path)
	}
	for _, in := range []string{"BT_backup", "qBittorrent/data/BT_backup", "data/BT_backup"} {
		if st, err := os.Stat(filepath.Join(path, in)); err == nil && st.IsDir() {
			path = filepath.Join(path, in)
			break
		}
	}
	files, err := list(path, ".fastresume")
	if err != nil {
		return nil, err
	}
	for _, db := range []string{filepath.Join(path, "torrents.db"), filepath.Join(filepath.Dir(path), "torrents.db")} {
		if _, err := os.Stat(db); err == nil && len(files) == 0 {
			return database(ctx, db)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("resume: there is neither a .fastresume file nor a torrents.db in %s: %w", path, kith.NotFound)
	}
	var all []Torrent
	for _, file := range files {
		var q qbittorrent
		data, err := read(file)
		if err == nil {
			err = decode(data, &q)
		}
		torrent, _ := read(strings.TrimSuffix(file, ".fastresume") + ".torrent")
		t := q.torrent(torrent)
		if err != nil {
			t.Trouble = err.Error()
		}
		if t.Name == "" {
			t.Name = strings.TrimSuffix(filepath.Base(file), ".fastresume")
		}
		all = append(all, t)
	}
	return all, nil
}

func (q qbittorrent) torrent(file []byte) Torrent {
	t := Torrent{
		Name: q.QName, File: file, Dirs: dirs(first(q.QSavePath, q.SavePath), first(q.Incomplete, q.SavePath)), Paused: q.Paused != 0 && q.Auto == 0,
		Added: unix(q.Added), Up: max(q.Up, 0), Down: max(q.Down, 0), Renamed: len(q.Mapped) > 0, Subfolder: q.Layout != "NoSubfolder",
	}
	if t.Name == "" {
		t.Name = q.Name
	}
	if len(file) == 0 {
		t.File = nil
		t.Link = link(t.Name, q.Hash, q.Hash2, q.Trackers)
	}
	return t
}

// link returns the magnet link of what is known by its infohash alone, or "".
func link(name, hash, hash2 string, trackers [][]string) string {
	var xt []string
	if len(hash) == 20 && hash != strings.Repeat("\x00", 20) {
		xt = append(xt, "xt=urn:btih:"+hex.EncodeToString([]byte(hash)))
	}
	if len(hash2) == 32 && hash2 != strings.Repeat("\x00", 32) {
		xt = append(xt, "xt=urn:btmh:1220"+hex.EncodeToString([]byte(hash2)))
	}
	if xt == nil {
		return ""
	}
	if name != "" {
		xt = append(xt, "dn="+url.QueryEscape(name))
	}
	n := 0
	for _, tier := range trackers {
		for _, u := range tier {
			if n++; n <= 20 && u != "" {
				xt = append(xt, "tr="+url.QueryEscape(u))
			}
		}
	}
	return "magnet:?" + strings.Join(xt, "&")
}

// database reads qBittorrent's torrents.db.
func database(ctx context.Context, path string) (all []Torrent, err error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=query_only(1)")
	if err != nil {
		return nil, fmt.Errorf("resume: %w: %w", err, kith.Corrupt)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT name, target_save_path, coalesce(download_path, ''), content_layout, stopped, coalesce(libtorrent_resume_data, x''), coalesce(metadata, x'') FROM torrents LIMIT ?`, maxTorrents)
	if err != nil {
		return nil, fmt.Errorf("resume: %s is no torrents.db of qBittorrent: %w: %w", path, err, kith.Corrupt)
	}
	defer rows.Close()
	for rows.Next() {
		var name, save, incomplete, layout sql.NullString
		var stopped bool
		var data, meta []byte
		if err := rows.Scan(&name, &save, &incomplete, &layout, &stopped, &data, &meta); err != nil {
			return nil, fmt.Errorf("resume: %w: %w", err, kith.Corrupt)
		}
		var q qbittorrent
		var trouble string
		if len(data) > maxFile || len(meta) > maxFile {
			trouble = "its state is too large"
		} else if err := decode(data, &q); err != nil {
			trouble = err.Error()
		}
		q.QName = first(name.String, q.QName)
		q.QSavePath, q.Incomplete = first(save.String, q.QSavePath), first(incomplete.String, q.Incomplete)
		if layout.String != "" {
			q.Layout = layout.String
		}
		t := q.torrent(meta)
		t.Paused, t.Trouble = stopped, trouble
		all = append(all, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("resume: %w: %w", err, kith.Corrupt)
	}
	return all, nil
}

func list(dir string, ext ...string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("resume: there is no %s: %w", dir, kith.NotFound)
		}
		return nil, fmt.Errorf("resume: %w: %w", err, kith.Denied)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && slices.Contains(ext, filepath.Ext(e.Name())) && len(all) < maxTorrents {
			all = append(all, filepath.Join(dir, e.Name()))
		}
	}
	return all, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func dirs(all ...string) (list []string) {
	for _, d := range all {
		if d = filepath.FromSlash(d); filepath.IsAbs(d) && !slices.Contains(list, filepath.Clean(d)) {
			list = append(list, filepath.Clean(d))
		}
	}
	return list
}

func unix(s int64) time.Time {
	if s <= 0 || s > 1<<40 {
		return time.Time{}
	}
	return time.Unix(s, 0)
}

// Found is what of a torrent's content is on disk, and right.
type Found struct {
	Info  *metainfo.Info
	Path  string   // of the file or folder
	Files []string // of each of Info.Files; "": it is not there
	Good  []bool   // by piece; of a torrent of version 2 alone by file
	Bytes int64    // that are right
	Whole bool     // all of it is there under the names that the torrent gives
	Extra int      // files in the folder that the torrent does not have
}

// endings of files that are not complete, of Transmission and of qBittorrent.
var endings = []string{"", ".part", ".!qB"}

// Check looks for the content of t and reads all of it that is there. It calls tell with bytes as they are read. Errors: those of metainfo, or of ctx.
func Check(ctx context.Context, t Torrent, tell func(n int64)) (*Found, error) {
	m, err := metainfo.Read(t.File)
	if err != nil {
		return nil, err
	}
	f := &Found{Info: m.Info, Files: make([]string, len(m.Files))}
	f.locate(t)
	if f.Info.HasV1 {
		err = f.pieces(ctx, tell)
	} else {
		err = f.files(ctx, tell)
	}
	if err != nil {
		return nil, err
	}
	f.Whole = !slices.Contains(f.Good, false) && !t.Renamed
	for i, file := range f.Info.Files {
		if file.Link == "" && f.Files[i] != f.at(file.Path) && f.Files[i] != f.at(file.Raw) {
			f.Whole = false
		}
	}
	if f.Whole && f.Info.Folder {
		f.Extra = f.extra()
	}
	return f, nil
}

// at returns where a file of the torrent belongs.
func (f *Found) at(path string) string {
	if !f.Info.Folder {
		return f.Path
	}
	return filepath.Join(f.Path, filepath.FromSlash(path))
}

// locate finds the files, each in the first folder that has it.
func (f *Found) locate(t Torrent) {
	for _, dir := range t.Dirs {
		root := dir
		if t.Subfolder || !f.Info.Folder {
			root = filepath.Join(dir, f.base())
		}
		if f.Path == "" {
			f.Path = root
		}
		for i, file := range f.Info.Files {
			if f.Files[i] != "" || file.Link != "" || !filepath.IsLocal(filepath.FromSlash(file.Path)) {
				continue
			}
			for _, end := range endings {
				path := root
				if f.Info.Folder {
					path = filepath.Join(root, filepath.FromSlash(file.Path))
				}
				if st, err := os.Lstat(path + end); err == nil && st.Mode().IsRegular() && (end != "" || st.Size() <= file.Size) {
					f.Files[i] = path + end
					if f.Path != root && end == "" && i == 0 {
						f.Path = root
					}
					break
				}
			}
		}
	}
}

// base is the name of the file or folder: one that leads nowhere else.
func (f *Found) base() string {
	if !f.Info.Folder {
		return filepath.FromSlash(f.Info.Files[0].Path)
	}
	name := filepath.Base(filepath.FromSlash(f.Info.Name))
	if name == "." || name == ".." || name == string(filepath.Separator) {
		return "nameless"
	}
	return name
}

// pieces checks the pieces of version 1.
func (f *Found) pieces(ctx context.Context, tell func(int64)) error {
	in := f.Info
	f.Good = make([]bool, in.NumPieces())
	buf := make([]byte, in.PieceLength)
	var open struct {
		n int
		*os.File
	}
	open.n = -1
	defer func() {
		if open.File != nil {
			open.Close()
		}
	}()
	first := 0
	for p := range f.Good {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := int64(p) * in.PieceLength
		b := buf[:min(in.PieceLength, in.Length-begin)]
		clear(b)
		here, bytes := true, int64(0)
		for first < len(in.Files) && in.Files[first].Off+in.Files[first].Size <= begin {
			first++
		}
		for i := first; i < len(in.Files) && in.Files[i].Off < begin+int64(len(b)); i++ {
			file := in.Files[i]
			from, to := max(begin, file.Off), min(begin+int64(len(b)), file.Off+file.Size)
			if from >= to || file.Link != "" {
				continue
			}
			if f.Files[i] == "" {
				here = false
				break
			}
			if open.n != i {
				if open.File != nil {
					open.Close()
				}
				var err error
				if open.File, err = os.Open(f.Files[i]); err != nil {
					open.n, here = -1, false
					break
				}
				open.n = i
			}
			if _, err := open.ReadAt(b[from-begin:to-begin], from-file.Off); err != nil {
				here = false
				break
			}
			bytes += to - from
		}
		if here && sha1.Sum(b) == [sha1.Size]byte(in.Pieces[p*sha1.Size:]) {
			f.Good[p] = true
			f.Bytes += bytes
		}
		tell(int64(len(b)))
	}
	return nil
}

// files checks the files of a torrent of version 2 alone, each as a whole.
func (f *Found) files(ctx context.Context, tell func(int64)) error {
	f.Good = make([]bool, len(f.Info.Files))
	buf := make([]byte, 1<<20)
	for i, file := range f.Info.Files {
		if file.Link != "" || file.Size == 0 && f.Files[i] != "" {
			f.Good[i] = true
			continue
		}
		if f.Files[i] == "" {
			continue
		}
		in, err := os.Open(f.Files[i])
		if err != nil {
			continue
		}
		h, n := metainfo.NewHasher(f.Info.PieceLength), int64(0)
		for ctx.Err() == nil {
			k, err := in.Read(buf)
			h.Write(buf[:k])
			n += int64(k)
			tell(int64(k))
			if err != nil || n > file.Size {
				break
			}
		}
		in.Close()
		if f.Good[i] = n == file.Size && h.Sum().Root == file.Root; f.Good[i] {
			f.Bytes += n
		}
	}
	return ctx.Err()
}

// Has reports whether bytes of a file are right.
func (f *Found) Has(file int, off, n int64) bool {
	if f.Files[file] == "" {
		return false
	}
	if !f.Info.HasV1 {
		return f.Good[file]
	}
	begin := f.Info.Files[file].Off + off
	for p := begin / f.Info.PieceLength; p*f.Info.PieceLength < begin+n; p++ {
		if !f.Good[p] {
			return false
		}
	}
	return true
}

// extra counts files in the folder that the torrent does not have.
func (f *Found) extra() (n int) {
	own := map[string]bool{}
	for _, path := range f.Files {
		own[path] = true
	}
	filepath.WalkDir(f.Path, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !own[path] {
			n++
		}
		return nil
	})
	return n
}
