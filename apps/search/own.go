package search

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/blob/folder"
	"kith/internal/media"
	"kith/search/index"
	"kith/search/publication"
	"kith/search/spread"
)

// maxInside is how many files of a folder are looked for by name.
const maxInside = 256

// sync makes what this node publishes, and what is found on it, what is shared now. It goes on with publishing until that is something else, or heard is closed; what was published by then stays.
func (s *Search) sync(ctx context.Context, heard <-chan struct{}, items []Item) error {
	if err := s.syncOwn(ctx, items); err != nil {
		return err
	}
	if err := s.syncOffers(ctx, items); err != nil {
		return err
	}
	ctx, stop := s.until(ctx, heard, s.digest(items))
	defer stop()
	return s.syncPublished(ctx, items)
}

// syncOwn makes the index find what is here, whoever it is for: nobody but who sits here is told.
func (s *Search) syncOwn(ctx context.Context, items []Item) error {
	told, err := s.told(ctx)
	if err != nil {
		return err
	}
	var docs []index.Doc
	var sums [][]byte
	for _, it := range items {
		ref := it.Link.Ref.String()
		sum := s.sumOf(it)
		had, ok := told[ref]
		delete(told, ref)
		if ok && bytes.Equal(had, sum) {
			continue
		}
		d, err := s.ownDoc(ctx, it)
		if err != nil { // its manifest is not to be read: it is told again when that has changed
			continue
		}
		if docs, sums = append(docs, d), append(sums, sum); len(docs) == ownBatch {
			if err := s.putOwn(ctx, docs, sums); err != nil {
				return err
			}
			docs, sums = nil, nil
		}
	}
	if err := s.putOwn(ctx, docs, sums); err != nil {
		return err
	}
	for ref := range told {
		if err := s.index.Delete(ctx, ownID(ref)); err != nil {
			return err
		}
		if _, err := s.db.ExecContext(ctx, `DELETE FROM own WHERE ref = ?`, ref); err != nil {
			return err
		}
		if err := s.forget(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

// ownBatch is of how many items the index is told at once.
const ownBatch = 500

// putOwn tells the index of items that are here, and then writes down what it was told.
func (s *Search) putOwn(ctx context.Context, docs []index.Doc, sums [][]byte) error {
	if len(docs) == 0 {
		return nil
	}
	if err := s.index.Put(ctx, docs...); err != nil {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i, d := range docs {
		if _, err := tx.Exec(`INSERT OR REPLACE INTO own (ref, told) VALUES (?, ?)`, d.Root.String(), sums[i]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// told returns what the index was told of what is here.
func (s *Search) told(ctx context.Context) (map[string][]byte, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT ref, told FROM own`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	told := map[string][]byte{}
	for rows.Next() {
		var ref string
		var sum []byte
		if err := rows.Scan(&ref, &sum); err != nil {
			return nil, err
		}
		told[ref] = sum
	}
	return told, rows.Err()
}

// sumOf returns the digest of what an item is.
func (s *Search) sumOf(it Item) []byte {
	f, _ := s.facts(it.Link.Ref)
	data, _ := json.Marshal([]any{it.Link.String(), it.Folder, it.Files, it.Public, it.Contacts, s.labels(it), f})
	sum := sha256.Sum256(data)
	return sum[:]
}

// digest returns that of all items.
func (s *Search) digest(items []Item) [32]byte {
	h := sha256.New()
	for _, it := range items {
		h.Write(s.sumOf(it))
	}
	return [32]byte(h.Sum(nil))
}

// syncPublished publishes what anybody may find, again before that ends, and takes back what was published and is so no longer.
func (s *Search) syncPublished(ctx context.Context, items []Item) error {
	mine, err := s.spread.By(ctx, s.me)
	if err != nil {
		return err
	}
	before := map[kith.Ref]spread.Kept{}
	for _, k := range mine {
		before[k.Root] = k
	}
	var list []publication.Publication
	for _, it := range items {
		if !it.Public {
			continue
		}
		k, ok := before[it.Link.Ref]
		delete(before, it.Link.Ref)
		p, err := s.publicationOf(ctx, it)
		if err != nil {
			continue
		}
		if !ok || time.Until(k.Expires) < spread.Life/2 || k.Work < publication.MinWork || k.Name != p.Name || k.V1 != p.V1 || k.V2 != p.V2 || !slices.Equal(k.Tags, p.Tags) || k.Language != p.Language || k.Facts != p.Facts || k.Sort != p.Sort {
			list = append(list, p)
		}
	}
	var gone []publication.Publication // which is said first: all that is said takes work
	for root := range before {
		gone = append(gone, publication.Publication{Root: root, Gone: true})
	}
	if list = append(gone, list...); len(list) == 0 {
		return context.Cause(ctx)
	}
	err = s.spread.Publish(ctx, list...)
	return errors.Join(err, s.stamp(context.WithoutCancel(ctx))) // others are to find what was published, whatever was not
}

// publicationOf returns what is said to everybody of an item.
func (s *Search) publicationOf(ctx context.Context, it Item) (publication.Publication, error) {
	inside, err := s.inside(ctx, it)
	l := s.labels(it)
	f, _ := s.facts(it.Link.Ref)
	return publication.Trim(publication.Publication{
		Root: it.Link.Ref, Name: it.Link.Name, Size: it.Link.Size, Count: it.Files, Files: inside, Sort: publication.SortOf(f.Decide(sortOf(it.Link.Name, inside).String())),
		V1: it.Link.V1, V2: it.Link.V2, Tags: l.Tags, Language: l.Language, Facts: f,
	}), err
}

// inside returns the paths of files of a folder, the largest first.
func (s *Search) inside(ctx context.Context, it Item) ([]string, error) {
	if !it.Folder {
		return nil, nil
	}
	m, _, err := s.manifest(ctx, it)
	if err != nil {
		return nil, err
	}
	entries := slices.DeleteFunc(slices.Clone(m.Entries), func(e folder.Entry) bool { return !e.File() })
	slices.SortStableFunc(entries, func(a, b folder.Entry) int { return cmp.Compare(b.Size, a.Size) })
	var list []string
	for _, e := range entries[:min(len(entries), maxInside)] {
		list = append(list, e.Path)
	}
	return list, nil
}

// Who publishes what is here: nobody. What is for contacts is told from the rest, so that it is found apart from it.
const (
	ofMine      = ""
	forContacts = "contacts"
)

func ownID(ref string) string { return "own " + ref }

// ownDoc returns what the index is told of an item that is here.
func (s *Search) ownDoc(ctx context.Context, it Item) (index.Doc, error) {
	inside, err := s.inside(ctx, it)
	l := s.labels(it)
	whose := ofMine
	if it.Contacts {
		whose = forContacts
	}
	return s.asKnown(index.Doc{
		Publisher: whose,
		ID:        ownID(it.Link.Ref.String()), Root: it.Link.Ref, Name: it.Link.Name, Files: inside, Type: sortOf(it.Link.Name, inside).String(), Size: it.Link.Size,
		Published: time.Now(), Tags: l.Tags, Language: l.Language,
	}), err
}

func docID(id publication.ID) string { return hex.EncodeToString(id[:]) }

// docOf returns what the index is told of a publication.
func (s *Search) docOf(k spread.Kept) index.Doc { return s.asKnown(asSaid(k)) }

// asSaid returns a publication as a document that says nothing else.
func asSaid(k spread.Kept) index.Doc {
	return index.Doc{
		ID: docID(k.ID), Root: k.Root, Name: k.Name, Files: k.Files, Tags: k.Tags, Type: k.Sort.String(), Size: k.Size, Published: k.Issued, Language: k.Language,
		Publisher: k.Publisher.String(), Facts: k.Facts, Text: k.Facts.Text(),
	}
}

// sortOf says what kind of thing something is: by its name, or of a folder what most of its files are.
func sortOf(name string, inside []string) publication.Sort {
	if len(inside) == 0 {
		return sortOfFile(name)
	}
	var count [publication.Program + 1]int
	best := publication.Other
	for _, file := range inside {
		k := sortOfFile(file)
		if count[k]++; k != publication.Other && (best == publication.Other || count[k] > count[best]) {
			best = k
		}
	}
	return best
}

// suffixes say what the tables of MIME types do not tell apart.
var suffixes = map[string]publication.Sort{}

func init() {
	for k, list := range map[publication.Sort]string{
		publication.Archive: ".zip .rar .7z .tar .gz .tgz .xz .bz2 .zst .iso .img",
		publication.Program: ".exe .msi .deb .rpm .apk .appimage .dmg .pkg .jar .flatpak .snap",
		publication.Text:    ".pdf .epub .mobi .azw3 .djvu .doc .docx .odt .rtf .tex .html .htm",
	} {
		for suffix := range strings.FieldsSeq(list) {
			suffixes[suffix] = k
		}
	}
}

func sortOfFile(name string) publication.Sort {
	if k, ok := suffixes[strings.ToLower(path.Ext(name))]; ok {
		return k
	}
	switch kind, _, _ := strings.Cut(media.Type(name), "/"); kind {
	case "audio":
		return publication.Audio
	case "video":
		return publication.Video
	case "image":
		return publication.Image
	case "text":
		return publication.Text
	}
	return publication.Other
}
