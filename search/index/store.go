package index

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith"
	"kith/search/fact"
	"kith/search/words"
)

// migrations of the database; see db.Open.
var migrations = []string{
	`CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
	CREATE TABLE doc (
		id INTEGER PRIMARY KEY,    -- higher is newer: the order in which they are looked at
		key INTEGER NOT NULL,      -- hash of the document's ID
		content INTEGER NOT NULL,  -- hash of its Root
		publisher INTEGER NOT NULL, -- hash of it
		size INTEGER NOT NULL,
		published INTEGER NOT NULL, -- seconds since 1970
		terms BLOB NOT NULL        -- see fields
	);
	CREATE INDEX doc_key ON doc(key);
	CREATE INDEX doc_content ON doc(content);
	CREATE TABLE body (
		id INTEGER PRIMARY KEY,
		name TEXT NOT NULL, files TEXT NOT NULL, tags TEXT NOT NULL, text TEXT NOT NULL, -- files and tags: one a line
		type TEXT NOT NULL, language TEXT NOT NULL, publisher TEXT NOT NULL, ident TEXT NOT NULL, root BLOB NOT NULL
	);
	CREATE VIRTUAL TABLE fts USING fts5(terms, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '='");
	INSERT INTO fts(fts, rank) VALUES ('hashsize', 8388608);
	CREATE TABLE term (term TEXT PRIMARY KEY, docs INTEGER NOT NULL) WITHOUT ROWID`,
	`ALTER TABLE doc ADD COLUMN length INTEGER NOT NULL DEFAULT 0; -- seconds
	ALTER TABLE doc ADD COLUMN year INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE body ADD COLUMN facts TEXT NOT NULL DEFAULT ''; -- JSON of about, if it says anything
	DELETE FROM meta WHERE name = 'complete'`,
	`DROP INDEX doc_key;
	CREATE UNIQUE INDEX doc_key ON doc(key)`,
}

// about is how the facts of a document are written down.
type about struct {
	fact.Facts
	Says string `json:"says,omitempty"`
}

func (d Doc) about() string {
	a := about{d.Facts, d.Says}
	if a == (about{}) {
		return ""
	}
	data, _ := json.Marshal(a)
	return string(data)
}

// The fields of a document, in the order of their weight: how many terms of each are kept, which is no more than a byte counts, how much a term is worth in it, and how many
// terms one usually has.
const (
	inName = iota
	inTags
	inFiles
	inText
	numFields
)

var fields = [numFields]struct {
	terms  int
	weight float64
	usual  float64
}{
	inName:  {64, 4, 8},
	inTags:  {64, 2.5, 4},
	inFiles: {255, 1, 20},
	inText:  {128, 0.6, 25},
}

// meta is what a database says of itself.
type meta struct {
	salt     []byte
	docs     int
	next     int64
	complete bool
	stale    bool // made by other rules
}

// readState reads what handle says of itself, and writes it if that is new.
func readState(handle *sql.DB) (m meta, err error) {
	_, err = handle.Exec("INSERT INTO meta VALUES ('salt', ?), ('words', ?), ('docs', 0) ON CONFLICT DO NOTHING", []byte(rand.Text()), words.Version)
	if err != nil {
		return m, err
	}
	var version int
	err = handle.QueryRow(`SELECT (SELECT value FROM meta WHERE name = 'salt'), (SELECT value FROM meta WHERE name = 'words'), (SELECT value FROM meta WHERE name = 'docs'),
		EXISTS (SELECT 1 FROM meta WHERE name = 'complete'), (SELECT coalesce(max(id), 0) + 1 FROM doc)`).Scan(&m.salt, &version, &m.docs, &m.complete, &m.next)
	m.stale = version != words.Version
	return m, err
}

// hash returns a hash of s that others cannot predict. kind keeps hashes of different things apart.
func (x *Index) hash(kind byte, s string) int64 {
	buf := make([]byte, 0, 128)
	buf = append(append(append(buf, x.salt...), kind), s...)
	sum := sha256.Sum256(buf)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// The kinds of facets, which are terms that no word is: they begin with an equals sign.
const (
	ofType      = 't'
	ofLanguage  = 'l'
	ofTag       = 'g'
	ofPublisher = 'p'
	every       = "=a" // is a term of every document
)

func (x *Index) facet(kind byte, value string) string {
	if kind == ofTag {
		value = words.Fold(value)
	}
	return facet(kind, x.hash(kind, value))
}

func facet(kind byte, hash int64) string {
	return "=" + string(kind) + strconv.FormatUint(uint64(hash), 36)
}

// sizeClass returns the facet of the sizes around n: each class is four times as wide as the one below.
func sizeClass(n int64) int { return (bits.Len64(uint64(max(n, 0))) + 1) / 2 }

func sizeFacet(class int) string { return "=s" + strconv.Itoa(class) }

func lengthClass(sec int64) int { return bits.Len64(uint64(max(sec, 0))) }

func lengthFacet(class int) string { return "=d" + strconv.Itoa(class) }

// The decades that are told apart; what is before and after is in the first and the last.
const (
	firstDecade = 150
	lastDecade  = 210
)

func decade(year int64) int64 { return min(max(year/10, firstDecade), lastDecade) }

func decadeFacet(d int64) string { return "=y" + strconv.FormatInt(d, 10) }

func linesFacet(lines int) string { return "=r" + strconv.Itoa(lines) }

// period is the width of the classes of age.
const period = 91 * 24 * 60 * 60

// ageClass returns the class of a time in seconds since 1970.
func ageClass(sec int64) int64 { return max(sec, 0) / period }

func ageFacet(class int64) string { return "=m" + strconv.FormatInt(class, 36) }

// An entry is a document as it is written down.
type entry struct {
	doc          Doc
	key, content int64
	terms        []string // each once
	fields       []byte   // for each field: how many terms, then 16 bits of the hash of each, in their order
	text         string   // the terms and facets, as FTS5 is given them
}

// mark returns the bits of a term's hash that stand in entry.fields.
func mark(term string) uint16 {
	h := fnv.New32a()
	h.Write([]byte(term))
	s := h.Sum32()
	return uint16(s ^ s>>16)
}

// entry makes the entry of a document.
func (x *Index) entry(doc Doc, memo *words.Memo) (entry, error) {
	doc, err := trim(doc)
	if err != nil {
		return entry{}, err
	}
	e := entry{doc: doc, key: x.hash('k', doc.ID), content: x.content(doc)}
	lang := doc.Language
	if lang == "" {
		lang = words.Detect(doc.Name + " " + doc.Text)
	}
	seen := map[string]struct{}{}
	for f, text := range [numFields]string{doc.Name, strings.Join(doc.Tags, "\n"), strings.Join(doc.Files, "\n"), doc.Text} {
		at := len(e.fields)
		e.fields = append(e.fields, 0)
		for _, term := range memo.Terms(nil, text, lang, fields[f].terms) {
			e.fields = binary.BigEndian.AppendUint16(e.fields, mark(term))
			e.fields[at]++
			if _, twice := seen[term]; !twice {
				seen[term] = struct{}{}
				e.terms = append(e.terms, term)
			}
		}
	}
	all := append(slices.Clone(e.terms), every, x.facet(ofType, doc.Type), x.facet(ofPublisher, doc.Publisher), sizeFacet(sizeClass(doc.Size)), ageFacet(ageClass(doc.Published.Unix())))
	if lang != "" {
		all = append(all, x.facet(ofLanguage, lang))
	}
	for _, tag := range doc.Tags {
		all = append(all, x.facet(ofTag, tag))
	}
	if n := doc.Facts.Length; n > 0 {
		all = append(all, lengthFacet(lengthClass(int64(n))))
	}
	if n := doc.Facts.Year; n > 0 {
		all = append(all, decadeFacet(decade(int64(n))))
	}
	if n := doc.Facts.Resolution(); n > 0 {
		all = append(all, linesFacet(n))
	}
	e.text = strings.Join(all, " ")
	return e, nil
}

// content returns what documents of the same content share.
func (x *Index) content(doc Doc) int64 {
	if doc.Root.IsZero() {
		return x.hash('i', doc.ID)
	}
	return x.hash('r', string(rootBytes(doc.Root)))
}

// rootBytes returns r as it is kept: its digest, then its codec; nothing of the zero Ref.
func rootBytes(r kith.Ref) []byte {
	if r.IsZero() {
		return []byte{}
	}
	return binary.AppendUvarint(r.Sum[:], uint64(r.Codec))
}

func rootOf(b []byte) (r kith.Ref, err error) {
	if len(b) == 0 {
		return r, nil
	}
	codec, n := binary.Uvarint(b[min(copy(r.Sum[:], b), len(b)):])
	if r.Codec = kith.Codec(codec); n <= 0 {
		err = fmt.Errorf("a root of %d bytes: %w", len(b), kith.Corrupt)
	}
	return r, err
}

// trim returns doc within the limits.
func trim(doc Doc) (Doc, error) {
	switch {
	case doc.ID == "":
		return doc, fmt.Errorf("a document without an ID: %w", kith.Invalid)
	case len(doc.ID) > MaxID || len(doc.Publisher) > MaxID:
		return doc, fmt.Errorf("document %.40q: an ID or publisher of more than %d bytes: %w", doc.ID, MaxID, kith.TooLarge)
	}
	doc.Name, doc.Text = short(doc.Name, MaxName), short(doc.Text, MaxText)
	doc.Files, doc.Tags = shorts(doc.Files, MaxFiles, MaxName), shorts(doc.Tags, MaxTags, MaxTag)
	doc.Type, doc.Language, doc.Says = short(doc.Type, MaxTag), short(doc.Language, MaxTag), short(doc.Says, MaxTag)
	doc.Facts = fact.Clean(doc.Facts)
	doc.Size, doc.Published = max(doc.Size, 0), time.Unix(doc.Published.Unix(), 0).UTC()
	return doc, nil
}

func short(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}

// shorts returns the first n strings, each short and on one line, without the empty ones; nil if there are none.
func shorts(list []string, n, size int) []string {
	var out []string
	for _, s := range list {
		if len(out) == n {
			break
		}
		if s = strings.ReplaceAll(short(s, size), "\n", " "); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Put writes down documents, all or none of them, in the place of those with the same IDs. When it returns nil they survive a kill. Many at once cost much less than one
// after the other.
func (x *Index) Put(ctx context.Context, docs ...Doc) error {
	if err := x.apply(ctx, docs, nil, false); err != nil {
		return fmt.Errorf("index: put: %w", err)
	}
	return nil
}

// Delete removes the documents with the given IDs, all or none. One that is not there is no error.
func (x *Index) Delete(ctx context.Context, ids ...string) error {
	if err := x.apply(ctx, nil, ids, false); err != nil {
		return fmt.Errorf("index: delete: %w", err)
	}
	return nil
}

// Memory of a connection's pages, in KiB.
const (
	readCache  = 8 << 10
	writeCache = 32 << 10
	buildCache = 64 << 10 // while all is put anew
)

// apply puts and deletes in one transaction. What is put because the index is rebuilt does not replace what was put or deleted since that began.
func (x *Index) apply(ctx context.Context, docs []Doc, ids []string, rebuilding bool) error {
	x.write.Lock()
	defer x.write.Unlock()
	return x.use(func(handle *sql.DB) error {
		entries := x.entries(docs)
		defer func() { // of an error before the last
			for range entries {
			}
		}()
		conn, err := handle.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		cache := writeCache
		if rebuilding {
			cache = buildCache
		}
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size=-%d", cache)); err != nil {
			return err
		}
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		b := batch{x: x, ctx: context.WithoutCancel(ctx), tx: tx, stmts: map[string]*sql.Stmt{}, docs: map[string]int{}, next: x.next}
		if x.touched != nil && !rebuilding {
			b.touched = map[int64]struct{}{}
		}
		for made := range entries {
			err = errors.Join(ctx.Err(), made.err)
			if _, newer := x.touched[made.entry.key]; err == nil && !(rebuilding && newer) {
				err = b.put(made.entry)
			}
			if err != nil {
				break
			}
		}
		for _, id := range ids {
			if err == nil {
				_, err = b.remove(x.hash('k', id), nil)
			}
		}
		if err == nil {
			err = b.finish()
		}
		if err == nil {
			err = tx.Commit()
		} else {
			tx.Rollback()
		}
		if err != nil {
			return err
		}
		x.state.Lock()
		defer x.state.Unlock()
		x.next = b.next
		x.status.Docs += b.count
		maps.Copy(x.touched, b.touched)
		return nil
	})
}

// A made is an entry, or why there is none.
type made struct {
	entry entry
	err   error
}

// entries makes the entries of docs while those before are written. Whoever asks has to take all.
func (x *Index) entries(docs []Doc) <-chan made {
	out := make(chan made, 256)
	go func() {
		defer close(out)
		var memo words.Memo
		for _, doc := range docs {
			e, err := x.entry(doc, &memo)
			out <- made{e, err}
		}
	}()
	return out
}

// A batch is one transaction of changes.
type batch struct {
	x       *Index
	ctx     context.Context
	tx      *sql.Tx
	stmts   map[string]*sql.Stmt
	docs    map[string]int // in how many documents more, or fewer, each term is
	next    int64
	count   int                // documents more, or fewer
	touched map[int64]struct{} // keys; nil if it is not of interest
}

func (b *batch) prepare(query string) (*sql.Stmt, error) {
	if s, ok := b.stmts[query]; ok {
		return s, nil
	}
	s, err := b.tx.PrepareContext(b.ctx, query)
	b.stmts[query] = s
	return s, err
}

func (b *batch) exec(query string, args ...any) error {
	_, err := b.change(query, args...)
	return err
}

// change is exec, and returns how many rows it changed.
func (b *batch) change(query string, args ...any) (rows int64, err error) {
	s, err := b.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(b.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (b *batch) put(e entry) error {
	id, d := b.next, e.doc
	narrow := func() (bool, error) {
		n, err := b.change("INSERT INTO doc VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING", id, e.key, e.content, b.x.hash(ofPublisher, d.Publisher), d.Size, d.Published.Unix(), e.fields,
			d.Facts.Length, d.Facts.Year)
		return n > 0, err
	}
	fresh, err := narrow() // as most are: nothing is looked for
	if err == nil && !fresh {
		same := false
		if same, err = b.remove(e.key, &d); err != nil || same {
			return err
		}
		_, err = narrow()
	}
	if fresh && b.touched != nil {
		b.touched[e.key] = struct{}{}
	}
	b.next++
	b.count++
	for _, t := range e.terms {
		b.docs[t]++
	}
	if err == nil {
		err = b.exec("INSERT INTO body VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", id, d.Name, strings.Join(d.Files, "\n"), strings.Join(d.Tags, "\n"), d.Text, d.Type, d.Language, d.Publisher, d.ID,
			rootBytes(d.Root), d.about())
	}
	if err == nil {
		err = b.exec("INSERT INTO fts(rowid, terms) VALUES (?, ?)", id, e.text)
	}
	return err
}

// remove removes the document with the given key, unless it is the same as doc.
func (b *batch) remove(key int64, doc *Doc) (same bool, err error) {
	if b.touched != nil {
		b.touched[key] = struct{}{}
	}
	s, err := b.prepare("SELECT id FROM doc WHERE key = ?")
	if err != nil {
		return false, err
	}
	var id int64
	switch err = s.QueryRowContext(b.ctx, key).Scan(&id); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	if s, err = b.prepare(selectDoc + "WHERE d.id = ?"); err != nil {
		return false, err
	}
	_, old, err := scanDoc(s.QueryRowContext(b.ctx, id))
	if err != nil || doc != nil && reflect.DeepEqual(old, *doc) {
		return true, err
	}
	e, err := b.x.entry(old, new(words.Memo))
	if err != nil {
		return false, err
	}
	for _, t := range e.terms {
		b.docs[t]--
	}
	b.count--
	for _, table := range []string{"doc WHERE id", "body WHERE id", "fts WHERE rowid"} {
		if err == nil {
			err = b.exec("DELETE FROM "+table+" = ?", id)
		}
	}
	return false, err
}

// finish writes down how many documents there are, and in how many each term is, in their order: that keeps the pages at hand that are written.
func (b *batch) finish() error {
	for _, term := range slices.Sorted(maps.Keys(b.docs)) {
		n := b.docs[term]
		err := error(nil)
		if n != 0 {
			err = b.exec("INSERT INTO term VALUES (?, ?) ON CONFLICT DO UPDATE SET docs = docs + excluded.docs", term, n)
		}
		if n < 0 && err == nil {
			err = b.exec("DELETE FROM term WHERE term = ? AND docs <= 0", term)
		}
		if err != nil {
			return err
		}
	}
	return b.exec("UPDATE meta SET value = value + ? WHERE name = 'docs'", b.count)
}

// selectDoc begins a statement whose rows scanDoc reads.
const selectDoc = `SELECT d.id, b.name, b.files, b.tags, b.text, b.type, b.language, b.publisher, b.ident, b.root, b.facts, d.size, d.published FROM doc d JOIN body b ON b.id = d.id `

func scanDoc(row interface{ Scan(...any) error }) (id int64, doc Doc, err error) {
	var files, tags, facts string
	var root []byte
	var published int64
	err = row.Scan(&id, &doc.Name, &files, &tags, &doc.Text, &doc.Type, &doc.Language, &doc.Publisher, &doc.ID, &root, &facts, &doc.Size, &published)
	if err == nil {
		doc.Root, err = rootOf(root)
	}
	if err == nil && facts != "" {
		var a about
		err = json.Unmarshal([]byte(facts), &a)
		doc.Facts, doc.Says = a.Facts, a.Says
	}
	doc.Files, doc.Tags, doc.Published = lines(files), lines(tags), time.Unix(published, 0).UTC()
	return id, doc, err
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
