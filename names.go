package kith

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multibase"
)

// Names are what other networks call the same content. The zero Names are none.
type Names struct {
	V1       InfoHash // BitTorrent (BEP 3): xt=urn:btih:HEX
	V2       [32]byte // BitTorrent v2 (BEP 52): xt=urn:btmh:1220HEX
	Trackers []string // tr: URLs of BitTorrent trackers
	WebSeeds []string // ws: URLs at which web servers have it (BEP 19)
	Source   string   // xs: URL (https, http, file) of its .torrent, if it ends so; of a plain web link, where it is
	IPFS     cid.Cid  // IPFS: x.cid, other than that of a Ref; cid.Undef if it has none
	IPNS     string   // a name of IPFS that is looked up: a key as CID, or a domain
	Path     string   // below IPFS or IPNS, clean, without a slash in front
}

// An InfoHash is a BitTorrent infohash of version 1, or one of version 2 cut to its length.
type InfoHash [20]byte

// String returns h as 40 hexadecimal digits.
func (h InfoHash) String() string { return hex.EncodeToString(h[:]) }

// None reports whether no other network names it.
func (n Names) None() bool { return !n.hashed() && n.Source == "" && n.IPNS == "" }

// hashed reports whether one of the names is a digest.
func (n Names) hashed() bool { return n.V1 != InfoHash{} || n.V2 != [32]byte{} || n.IPFS.Defined() }

// Join returns n with what more says of the same content.
func (n Names) Join(more Names) Names {
	if more.V1 != (InfoHash{}) {
		n.V1 = more.V1
	}
	if more.V2 != [32]byte{} {
		n.V2 = more.V2
	}
	if more.IPFS.Defined() || more.IPNS != "" {
		n.IPFS, n.IPNS, n.Path = more.IPFS, more.IPNS, more.Path
	}
	if more.Source != "" {
		n.Source = more.Source
	}
	n.Trackers, n.WebSeeds = union(n.Trackers, more.Trackers), union(n.WebSeeds, more.WebSeeds)
	return n
}

// Join returns l with the names and the places that more, a link to the same content, has for it.
func (l Link) Join(more Link) Link {
	l.Names = l.Names.Join(more.Names)
	l.Swarm, l.Gateways = union(l.Swarm, more.Swarm), union(l.Gateways, more.Gateways)
	return l
}

// union returns what stands in one list or the other, once.
func union(list, more []string) []string {
	list = slices.Clone(list)
	for _, v := range more {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// IPFSURL returns the address by which programs of IPFS open it, such as ipfs://CID/path, or "" if it has no name there.
func (n Names) IPFSURL() string {
	root := "ipns://" + n.IPNS
	switch {
	case n.IPFS.Defined():
		root = "ipfs://" + n.IPFS.String()
	case n.IPNS == "":
		return ""
	}
	return root + escapedPath(n.Path)
}

// escapedPath returns p with a slash in front, as it stands in a URL; "" for "".
func escapedPath(p string) string {
	if p == "" {
		return ""
	}
	return (&url.URL{Path: "/" + p}).EscapedPath()
}

// Selected reports whether the link asks for file n of a torrent.
func (l Link) Selected(n int) bool {
	return len(l.Select) == 0 || slices.ContainsFunc(l.Select, func(r FileRange) bool { return r.First <= n && n <= r.Last })
}

// Codecs of CIDs that are no Ref.
const (
	codecPB  = cid.DagProtobuf
	codecKey = cid.Libp2pKey
)

// setCID takes a CID: a Ref, a name of IPFS, or a key of IPNS.
func (l *Link) setCID(s string) error {
	c, err := cid.Decode(s)
	if err != nil {
		return fmt.Errorf("%.80q is not a CID: %w", s, Invalid)
	}
	if ref, err := RefOfCID(c); err == nil {
		if !l.Ref.IsZero() && l.Ref != ref {
			return fmt.Errorf("it names different content by BLAKE3, %s and %s: %w", l.Ref, ref, Invalid)
		}
		l.Ref = ref
		return nil
	}
	switch c.Type() {
	case codecKey:
		return l.setIPNS(c.String(), "")
	case codecPB, cid.Raw:
		return l.setIPFS(c, "")
	}
	return Hint(fmt.Errorf("CID %v has codec %#x, which is no file or folder: %w", c, c.Type(), Invalid), "kith fetches raw and dag-pb (UnixFS), and what it has made itself")
}

func looksLikeCID(s string) bool {
	_, err := cid.Decode(s)
	return err == nil
}

// setIPFS takes a name of IPFS, which must not contradict what is there already.
func (l *Link) setIPFS(c cid.Cid, below string) error {
	switch {
	case l.IPNS != "":
		return fmt.Errorf("it has both an IPFS CID and an IPNS name: %w", Invalid)
	case !l.IPFS.Defined():
		l.IPFS, l.Path = c, below
		return nil
	case l.IPFS.Type() != c.Type() || l.IPFS.Hash().HexString() != c.Hash().HexString() || l.Path != "" && below != "" && l.Path != below:
		return fmt.Errorf("it names two contents of IPFS, %s and %s: %w", l.IPFSURL(), Names{IPFS: c, Path: below}.IPFSURL(), Invalid)
	}
	if below != "" {
		l.Path = below
	}
	return nil
}

// setIPNS takes a name of IPNS: a key as CID of any base, a peer id, or a domain.
func (l *Link) setIPNS(name, below string) error {
	n, err := ipnsName(name)
	switch {
	case err != nil:
		return err
	case l.IPFS.Defined():
		return fmt.Errorf("it has both an IPFS CID and an IPNS name: %w", Invalid)
	case l.IPNS != "" && (l.IPNS != n || l.Path != below):
		return fmt.Errorf("it has two IPNS names: %w", Invalid)
	}
	l.IPNS, l.Path = n, below
	return nil
}

// ipnsName returns the one text of a name of IPNS: base36 of a key's CID (as its specification wants it), or a domain in lower case.
func ipnsName(s string) (string, error) {
	if id, err := peer.Decode(s); err == nil {
		text, err := peer.ToCid(id).StringOfBase(multibase.Base36)
		if err != nil {
			return "", fmt.Errorf("IPNS name %.80q: %w: %w", s, err, Invalid)
		}
		return text, nil
	}
	domain := strings.ToLower(strings.TrimSuffix(s, "."))
	labels := strings.Split(domain, ".")
	if len(labels) < 2 || len(domain) > 253 {
		return "", fmt.Errorf("%.80q is no name of IPNS, neither a key nor a domain: %w", s, Invalid)
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("%.80q is no name of IPNS, neither a key nor a domain: %w", s, Invalid)
		}
	}
	return domain, nil
}

// cleanPath returns a path below a CID as Path has it.
func cleanPath(p string) (string, error) {
	p = strings.Trim(p, "/")
	switch {
	case p == "":
		return "", nil
	case path.Clean("/"+p) != "/"+p || !utf8.ValidString(p) || strings.ContainsRune(p, 0):
		return "", fmt.Errorf("path %.80q is not clean: %w", p, Invalid)
	}
	return p, nil
}

// setHash takes an infohash: 40 hexadecimal digits or 32 of base32 of version 1, 64 hexadecimal digits of version 2, or its multihash.
func (l *Link) setHash(s string) bool {
	var b []byte
	var err error
	switch len(s) {
	case 40, 64:
		b, err = hex.DecodeString(s)
	case 68:
		if !strings.HasPrefix(s, multihashSHA256) {
			return false
		}
		b, err = hex.DecodeString(s[len(multihashSHA256):])
	case 32:
		b, err = base32.StdEncoding.DecodeString(strings.ToUpper(s)) // skips line breaks, and takes padding
	default:
		return false
	}
	if err != nil || strings.Trim(string(b), "\x00") == "" {
		return false
	}
	switch len(b) {
	case len(l.V1):
		l.V1 = InfoHash(b)
	case len(l.V2):
		l.V2 = [32]byte(b)
	default:
		return false
	}
	return true
}

// multihashSHA256 begins a digest of BitTorrent v2: it is SHA-256, of 32 bytes.
const multihashSHA256 = "1220"

const torrentSuffix = ".torrent"

// parsePlace reads an address of IPFS or of the web.
func parsePlace(s string) (Link, error) {
	l := Link{Size: -1}
	return l, l.setPlace(s)
}

// setPlace takes an address: of IPFS, of a gateway to it, or of a file.
func (l *Link) setPlace(s string) error {
	if rest, ok := strings.CutPrefix(s, "/ip"); ok { // as commands of IPFS have it, unescaped
		kind, below, _ := strings.Cut(rest, "/")
		return l.setBelow(kind, below)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("the address is damaged: %w", Invalid)
	}
	switch u.Scheme {
	case "ipfs", "ipns":
		root := u.Host // url.Parse keeps its case, which matters
		if u.Host == "" || u.User != nil || u.Port() != "" {
			return Hint(fmt.Errorf("no CID behind %s://: %w", u.Scheme, Invalid), "%s://CID/path", u.Scheme)
		}
		l.setName(u)
		return l.setBelow(strings.TrimPrefix(u.Scheme, "ip"), root+u.Path)
	case "http", "https":
		return l.setWeb(u)
	case "file":
		if u.Host != "" && u.Host != "localhost" || !strings.HasSuffix(strings.ToLower(u.Path), torrentSuffix) {
			return Hint(fmt.Errorf("of the files here only a .torrent is a link: %w", Invalid), "kith share PATH shares a file")
		}
		return l.setSource((&url.URL{Scheme: "file", Path: path.Clean(u.Path)}).String())
	}
	return fmt.Errorf("the address is damaged: %w", Invalid)
}

// setBelow takes what stands behind /ipfs/ (kind fs) or /ipns/ (kind ns).
func (l *Link) setBelow(kind, s string) error {
	root, below, _ := strings.Cut(s, "/")
	below, err := cleanPath(below)
	if err != nil {
		return err
	}
	if kind == "ns" {
		return l.setIPNS(root, below)
	}
	c, err := cid.Decode(root)
	if err != nil {
		return fmt.Errorf("%.80q is not a CID: %w", root, Invalid)
	}
	if c.Type() == codecKey {
		return l.setIPNS(c.String(), below)
	}
	if _, err := RefOfCID(c); err == nil && below != "" {
		return Hint(fmt.Errorf("a folder of kith has no paths behind its CID: %w", Invalid), "kith get %v --select '%s'", c, below)
	} else if err == nil || c.Type() != codecPB && c.Type() != cid.Raw {
		return l.setCID(root)
	}
	return l.setIPFS(c, below)
}

// setWeb takes an address of the web: of a gateway to IPFS if it looks so, else of a file.
func (l *Link) setWeb(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return fmt.Errorf("the address names no computer: %w", Invalid)
	case u.User != nil:
		return Hint(fmt.Errorf("the address has a password in it, which the link would hand on: %w", Invalid), "fetch it with another program, and share the file")
	}
	u.Fragment, u.RawFragment = "", ""
	if strings.HasSuffix(strings.ToLower(u.Path), torrentSuffix) {
		return l.setSource(u.String())
	}
	host, kind, below := u.Host, "", ""
	if rest, ok := strings.CutPrefix(u.Path, "/ip"); ok && len(rest) > 3 && (rest[:3] == "fs/" || rest[:3] == "ns/") {
		kind, below = rest[:2], rest[3:]
	} else if labels := strings.SplitN(u.Host, ".", 3); len(labels) == 3 && (labels[1] == "ipfs" || labels[1] == "ipns") && (&url.URL{Host: labels[2]}).Hostname() != "" {
		kind, below, host = strings.TrimPrefix(labels[1], "ip"), labels[0]+u.Path, labels[2]
		if kind == "ns" && !looksLikeCID(labels[0]) { // a domain in one label
			below = strings.NewReplacer("--", "-", "-", ".").Replace(labels[0]) + u.Path
		}
	}
	if kind != "" {
		at := Link{Size: -1}
		if at.setBelow(kind, below) == nil { // else it only looks so
			l.setName(u)
			if gateway := u.Scheme + "://" + host; !slices.Contains(l.Gateways, gateway) {
				l.Gateways = append(l.Gateways, gateway)
			}
			return l.setBelow(kind, below)
		}
	}
	return l.setSource(u.String())
}

// setName takes the name that an address says a file shall have.
func (l *Link) setName(u *url.URL) {
	if name := u.Query().Get("filename"); name != "" && l.Name == "" && utf8.ValidString(name) {
		l.Name = name
	}
}

var errSources = fmt.Errorf("it has two sources: %w", Invalid)

func (l *Link) setSource(s string) error {
	if l.Source != "" && l.Source != s {
		return errSources
	}
	l.Source = s
	return nil
}

// Torrent returns the path of the .torrent file on this computer that the link is, or "".
func (l Link) Torrent() string {
	u, err := url.Parse(l.Source)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	p := filepath.FromSlash(u.Path)
	if filepath.Separator == '\\' { // /C:/x is C:\x
		p = strings.TrimPrefix(p, `\`)
	}
	return p
}

// parseTorrentPath reads the path of a .torrent file.
func parseTorrentPath(s string) (Link, error) {
	if !filepath.IsAbs(s) {
		return Link{}, Hint(fmt.Errorf("there is no .torrent file of that name here: %w", Invalid), "give its whole path")
	}
	p := filepath.ToSlash(filepath.Clean(s))
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return Link{Size: -1, Names: Names{Source: (&url.URL{Scheme: "file", Path: p}).String()}}, nil
}

// parseSelect reads which files are wanted, as in 0,2,6-8.
func parseSelect(s string) ([]FileRange, error) {
	var all []FileRange
	for _, part := range strings.Split(s, ",") {
		a, b, span := strings.Cut(part, "-")
		first, err := strconv.ParseUint(a, 10, 31)
		last := first
		if span && err == nil {
			last, err = strconv.ParseUint(b, 10, 31)
		}
		if err != nil || last < first {
			return nil, fmt.Errorf("so %.40q: want numbers of files, as in 0,2,6-8: %w", s, Invalid)
		}
		all = append(all, FileRange{int(first), int(last)})
	}
	return all, nil
}

func selectText(all []FileRange) string {
	parts := make([]string, len(all))
	for i, r := range all {
		if parts[i] = strconv.Itoa(r.First); r.Last != r.First {
			parts[i] += "-" + strconv.Itoa(r.Last)
		}
	}
	return strings.Join(parts, ",")
}

// isURL reports whether s is an absolute URL of one of the schemes, with a host.
func isURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Hostname() != "" && slices.Contains(schemes, u.Scheme)
}

// isHostPort reports whether s is HOST:PORT.
func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, errPort := strconv.ParseUint(port, 10, 16)
	return err == nil && errPort == nil && host != "" && n > 0
}
