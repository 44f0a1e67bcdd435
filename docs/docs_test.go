// Package docs tests that what the documents say is so: their vectors, their links, their lists.
package docs

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/blob/bao"
	"kith/blob/folder"
	"kith/blob/seal"
	"kith/identity"
	"kith/network/relay"
	"kith/record"
	"kith/rendezvous"
	"kith/transfer"
	"kith/wire"
)

// vectors returns the JSON blocks of a document that are marked with a name: ```json NAME.
func vectors(t *testing.T, file string) map[string][]byte {
	t.Helper()
	text := read(t, file)
	out := map[string][]byte{}
	for _, m := range regexp.MustCompile("(?s)```json ([a-z ]+)\n(.*?)\n```").FindAllStringSubmatch(text, -1) {
		out[m[1]] = []byte(m[2])
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// check compares what the code makes of a vector's input with the vector.
func check[T any](t *testing.T, all map[string][]byte, name string, run func(t *testing.T, v T) T) {
	t.Run(name, func(t *testing.T) {
		data, ok := all[name]
		if !ok {
			t.Fatal("no such vector")
		}
		var want T
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := run(t, want); !reflect.DeepEqual(got, want) {
			text, _ := json.MarshalIndent(got, "", "  ")
			t.Errorf("the document says otherwise than the code, which has:\n%s", text)
		}
	})
}

type refVector struct {
	Text     string `json:"text"`
	BLAKE3   string `json:"blake3"`
	Raw      string `json:"raw"`
	Manifest string `json:"manifest"`
}

type linkVector struct {
	Ref   string   `json:"ref"`
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Peers []string `json:"peers"`
	Key   string   `json:"key,omitempty"`
	Link  string   `json:"link"`
	Short string   `json:"short"`
	Bytes string   `json:"short_bytes"`

	V1       string   `json:"btih,omitempty"`
	V2       string   `json:"btmh,omitempty"`
	IPFS     string   `json:"ipfs,omitempty"`
	Trackers []string `json:"trackers,omitempty"`
}

type manifestVector struct {
	Entries []struct {
		Path string `json:"path"`
		Text string `json:"text,omitempty"`
		Mode uint32 `json:"mode"`
		Link string `json:"link,omitempty"`
		Dir  bool   `json:"dir,omitempty"`
	} `json:"entries"`
	Bytes string `json:"bytes"`
	Ref   string `json:"ref"`
}

type treeVector struct {
	Groups   int    `json:"groups"`
	BLAKE3   string `json:"blake3"`
	Outboard string `json:"outboard"`
	Proof    string `json:"proof_of_group_4"`
}

type keyVector struct {
	Key      string `json:"key"`
	Fragment string `json:"fragment"`
	Identity string `json:"identity"`
}

type frameVector struct {
	Value string `json:"value"`
	Bytes string `json:"bytes"`
}

type rendezvousVector struct {
	Ref string `json:"ref"`
	Key string `json:"key"`
}

type relayVector struct {
	Peer     string `json:"peer"`
	Verdict  int    `json:"verdict"`
	Left     int64  `json:"left"`
	Wait     int    `json:"wait"` // seconds
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

type mainlineVector struct {
	Network string `json:"network"`
	Day     string `json:"day"`
	Public  string `json:"public"`
	Seed    string `json:"ed25519_seed_of_one"`
	Other   string `json:"ed25519_seed_of_the_other"`
	Tells   string `json:"where_the_one_announces"`
	Looks   string `json:"where_the_other_announces"`
}

func mainlineOf(t *testing.T, v mainlineVector) mainlineVector {
	day, err := time.Parse(time.DateOnly, v.Day)
	if err != nil {
		t.Fatal(err)
	}
	at := rendezvous.Public(v.Network, day)
	v.Public = hex.EncodeToString(at[:])
	var keys [2]crypto.PrivKey
	var ids [2]peer.ID
	for i, seed := range []string{v.Seed, v.Other} {
		if keys[i], err = crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(unhex(t, seed))); err == nil {
			ids[i], err = peer.IDFromPrivateKey(keys[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	place := func(i int, tell bool) string {
		at, err := rendezvous.Meeting(keys[i], ids[1-i], tell, v.Network, day)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(at[:])
	}
	v.Tells, v.Looks = place(0, true), place(0, false)
	if v.Tells != place(1, false) || v.Looks != place(1, true) {
		t.Error("the two do not meet")
	}
	return v
}

type recordVector struct {
	Owner    string `json:"owner_secret"`
	Purpose  string `json:"purpose"`
	Ticket   string `json:"ticket"`
	Path     string `json:"path"`
	Sequence uint64 `json:"sequence"`
	Issued   int64  `json:"issued"`
	Expires  int64  `json:"expires"`
	Text     string `json:"text"`
	Record   string `json:"record"`
	ForAll   string `json:"for_all"`
}

func recordOf(t *testing.T, v recordVector) recordVector {
	k := record.Derive(unhex(t, v.Owner), v.Purpose)
	r := record.Record{Sequence: v.Sequence, Issued: time.Unix(v.Issued, 0), Expires: time.Unix(v.Expires, 0), Content: []byte(v.Text)}
	seal := func(k record.Key) string {
		value, err := record.Seal(k, r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := record.Open(k.Ticket(), value, r.Issued)
		if err != nil || string(back.Content) != v.Text {
			t.Errorf("comes back as %q, %v", back.Content, err)
		}
		return hex.EncodeToString(value)
	}
	v.Ticket, v.Path = hex.EncodeToString(k.Ticket().Bytes()), k.Ticket().Path()
	v.Record, v.ForAll = seal(k), seal(k.ForAll())
	return v
}

type listVector struct {
	Phrase  string `json:"phrase"`
	Device  string `json:"device_seed"`
	Name    string `json:"name"`
	Signed  int64  `json:"signed"`
	Revoked string `json:"revoked"`
	List    string `json:"list"`
}

func listOf(t *testing.T, v listVector) listVector {
	i, err := identity.Open(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Restore(strings.Fields(v.Phrase), true); err != nil {
		t.Fatal(err)
	}
	m, err := i.Unlock(strings.Fields(v.Phrase), "")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(unhex(t, v.Device)))
	if err != nil {
		t.Fatal(err)
	}
	device, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := peer.Decode(v.Revoked)
	if err != nil {
		t.Fatal(err)
	}
	r, now := identity.NewRoster(i.Certificate().Master), time.Unix(v.Signed, 0)
	if _, err := m.Admit(r, device, v.Name, now); err != nil {
		t.Fatal(err)
	}
	if err := m.Revoke(r, gone, now); err != nil {
		t.Fatal(err)
	}
	v.List = hex.EncodeToString(r.Newest.Bytes())
	return v
}

func TestFormats(t *testing.T) {
	all := vectors(t, "formats.md")
	check(t, all, "ref", func(t *testing.T, v refVector) refVector {
		sum := bao.Hash([]byte(v.Text))
		return refVector{v.Text, hex.EncodeToString(sum[:]), kith.RawRef(sum).String(), kith.ManifestRef(sum).String()}
	})
	check(t, all, "link", linkOf)
	check(t, all, "public link", linkOf)
	check(t, all, "private link", linkOf)
	check(t, all, "manifest", manifestOf)
	check(t, all, "tree", treeOf)
	check(t, all, "key", func(t *testing.T, v keyVector) keyVector {
		raw := unhex(t, v.Key)
		l := kith.Link{Ref: kith.RawRef(bao.Hash(nil)), Size: -1, Key: raw}
		_, fragment, _ := strings.Cut(l.String(), "#")
		return keyVector{v.Key, fragment, seal.Key(raw).Identity()}
	})
	check(t, all, "record", recordOf)
	check(t, all, "device list", listOf)
	check(t, all, "certificate", func(t *testing.T, v map[string]any) map[string]any {
		var list []map[string]any
		if err := json.Unmarshal([]byte(read(t, "../identity/testdata/certificate.json")), &list); err != nil {
			t.Fatal(err)
		}
		c, err := identity.ParseCertificate(unhex(t, v["certificate"].(string)))
		if err != nil || c.Person() != v["person"] || c.Device.String() != v["peer_id"] {
			t.Errorf("%+v, %v", c, err)
		}
		return list[0]
	})
}

func TestProtocol(t *testing.T) {
	all := vectors(t, "protocol.md")
	check(t, all, "frame", func(t *testing.T, v frameVector) frameVector {
		frame, err := wire.AppendMsg(nil, v.Value)
		if err != nil {
			t.Fatal(err)
		}
		return frameVector{v.Value, hex.EncodeToString(frame)}
	})
	check(t, all, "rendezvous", func(t *testing.T, v rendezvousVector) rendezvousVector {
		ref, err := kith.ParseRef(v.Ref)
		if err != nil {
			t.Fatal(err)
		}
		return rendezvousVector{v.Ref, transfer.Rendezvous(ref).String()}
	})
	check(t, all, "relay", func(t *testing.T, v relayVector) relayVector {
		id, err := peer.Decode(v.Peer)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := hex.DecodeString(v.Answer)
		if err != nil {
			t.Fatal(err)
		}
		var asked bytes.Buffer
		st, err := relay.Ask(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(reply), &asked}, id)
		if err != nil {
			t.Fatal(err)
		}
		return relayVector{v.Peer, int(st.Verdict), st.Left, int(st.Wait.Seconds()), hex.EncodeToString(asked.Bytes()), v.Answer}
	})
	check(t, all, "mainline", mainlineOf)
}

func linkOf(t *testing.T, v linkVector) linkVector {
	ref, err := kith.ParseRef(v.Ref)
	if err != nil {
		t.Fatal(err)
	}
	l := kith.Link{Ref: ref, Name: v.Name, Size: v.Size}
	if v.Key != "" {
		l.Key = unhex(t, v.Key)
	}
	for _, p := range v.Peers {
		a, err := multiaddr.NewMultiaddr(p)
		if err != nil {
			t.Fatal(err)
		}
		l.Peers = append(l.Peers, a)
	}
	l.Trackers = v.Trackers
	if v.V1 != "" {
		l.V1, l.V2, l.IPFS = kith.InfoHash(unhex(t, v.V1)), [32]byte(unhex(t, v.V2)), cid.MustParse(v.IPFS)
	}
	v.Link, v.Short = l.String(), l.Short()
	v.Bytes = hex.EncodeToString(unbase64(t, strings.TrimPrefix(v.Short, "kith:")))
	for _, text := range []string{v.Link, v.Short} {
		if back, err := kith.ParseLink(text); err != nil || back.Ref != ref || !bytes.Equal(back.Key, l.Key) {
			t.Errorf("%s gives back %+v, %v", text, back, err)
		}
	}
	return v
}

func manifestOf(t *testing.T, v manifestVector) manifestVector {
	m := &folder.Manifest{}
	for _, e := range v.Entries {
		x := folder.Entry{Path: e.Path, Mode: fs.FileMode(e.Mode), Link: e.Link}
		switch {
		case e.Dir:
			x.Mode |= fs.ModeDir
		case e.Link != "":
			x.Mode |= fs.ModeSymlink
		default:
			x.Ref, x.Size = kith.RawRef(bao.Hash([]byte(e.Text))), int64(len(e.Text))
		}
		m.Entries = append(m.Entries, x)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Decode(data); err != nil {
		t.Error(err)
	}
	v.Bytes, v.Ref = hex.EncodeToString(data), kith.ManifestRef(bao.Hash(data)).String()
	return v
}

// memory is a place for the outboard of a small tree.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func treeOf(t *testing.T, v treeVector) treeVector {
	var data []byte // group i is 16 KiB of the byte i
	for g := range v.Groups {
		data = append(data, bytes.Repeat([]byte{byte(g)}, bao.GroupSize)...)
	}
	size := int64(len(data))
	outboard := make(memory, bao.OutboardSize(size))
	sum, err := bao.Build(t.Context(), bytes.NewReader(data), size, outboard, nil)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := bao.NewTree(sum, size, outboard).Proof(nil, bao.Range{First: 4, N: 1})
	if err != nil {
		t.Fatal(err)
	}
	return treeVector{v.Groups, hex.EncodeToString(sum[:]), hex.EncodeToString(outboard), hex.EncodeToString(proof)}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLinks finds links in the documents that lead nowhere.
func TestLinks(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, _ := filepath.Glob("decisions/*.md")
	link := regexp.MustCompile(`[^!]\[[^\]]*\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, file := range append(append(files, decisions...), "../README.md") {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// TestDependencies compares the list with what the code imports, and package.json.
func TestDependencies(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(read(t, "dependencies.md"), -1)
	used := map[string]bool{}
	for _, r := range rows {
		used[r[1]] = false
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") {
				continue
			}
			if m := moduleOf(name, used); m != "" {
				used[m] = true
			} else {
				t.Errorf("%s imports %s, which dependencies.md does not name", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var pkg struct {
		Dependencies, DevDependencies map[string]string
	}
	if err := json.Unmarshal([]byte(read(t, "../web/ui/package.json")), &pkg); err != nil {
		t.Fatal(err)
	}
	for _, list := range []map[string]string{pkg.Dependencies, pkg.DevDependencies} {
		for name := range list {
			if _, ok := used[name]; !ok {
				t.Errorf("package.json has %s, which dependencies.md does not name", name)
			}
			used[name] = true
		}
	}
	mod := read(t, "../go.mod")
	for m, ok := range used {
		if !ok && !strings.Contains(mod, "\t"+m+" v") {
			t.Errorf("dependencies.md names %s, which neither go.mod nor package.json has", m)
		}
	}
}

// moduleOf returns the longest of the modules that an import path is in.
func moduleOf(path string, modules map[string]bool) (best string) {
	for m := range modules {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// TestGlossary keeps the list short and sorted.
func TestGlossary(t *testing.T) {
	var words []string
	for _, m := range regexp.MustCompile(`(?m)^\*\*(.+?)\*\*`).FindAllStringSubmatch(read(t, "glossary.md"), -1) {
		words = append(words, m[1])
	}
	if len(words) == 0 || len(words) > 50 {
		t.Errorf("%d words, at most 50", len(words))
	}
	if !slices.IsSortedFunc(words, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }) {
		t.Errorf("not sorted: %q", words)
	}
}

// Every test that the list of attacks names is there, in the package that it names.
func TestAttacksAreTried(t *testing.T) {
	there := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		in := strings.TrimSuffix(f.Name.Name, "_test")
		for _, d := range f.Decls {
			if f, is := d.(*ast.FuncDecl); is {
				there[in+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z]+[.](?:Test|Fuzz)[A-Za-z]+)`").FindAllStringSubmatch(read(t, "hostile.md"), -1)
	if len(named) < 20 {
		t.Errorf("%d tests are named", len(named))
	}
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
