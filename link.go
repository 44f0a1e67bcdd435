package kith

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"
)

// Limits of a link. What is longer or has more is refused, not cut.
const (
	MaxLinkLen    = 16 << 10 // bytes of a link's text
	MaxLinkParams = 256      // parameters
	KeySize       = 32       // bytes of a private share's key
)

// InviteScheme begins an invite to become somebody's contact, which is no link to content.
const InviteScheme = "kith:invite:"

// NetworkScheme begins the link of a private network, which is no link to content either.
const NetworkScheme = "kith:network:"

// DeviceScheme begins a link by which a device becomes another one of the same person.
const DeviceScheme = "kith:device:"

const (
	magnetScheme = "magnet:?"
	urnBLAKE3    = "urn:blake3:"
)

// A Param is a magnet parameter that this package gives no meaning, kept as it came.
type Param struct{ Key, Value string }

// A Link is how content is handed on: a magnet URI that names it by digest, says what it is called and who has it.
// For a private share it also carries the key, behind the #, which no program sends to a server.
//
// The parameters are xt=urn:blake3:HEX and x.cid=CID (the same digest, and what kind of content it names), dn (name), xl
// (size in bytes), x.net (the network, when it is not the default), and x.kith, repeated: a multiaddr, ending in
// /p2p/ID, of somebody who has it. All others are kept in Rest, in their order, and printed again.
type Link struct {
	Ref     Ref // zero if only other networks' names are known
	Name    string
	Size    int64 // bytes; -1 if not known. For a folder, the bytes of all its files
	Network string
	Peers   []multiaddr.Multiaddr
	Key     []byte // KeySize bytes, or nil
	Rest    []Param

	Names
}

// Names are what other networks call the same content. The zero Names are none.
type Names struct {
	V1       InfoHash // BitTorrent (BEP 3): xt=urn:btih:HEX
	V2       [32]byte // BitTorrent v2 (BEP 52): xt=urn:btmh:1220HEX
	Trackers []string // tr: URLs of BitTorrent trackers
	WebSeeds []string // ws: URLs at which web servers have it (BEP 19)
	Source   string   // xs: URL of its .torrent; of a plain https link, where it is
	IPFS     cid.Cid  // IPFS: x.cid, with a digest other than BLAKE3; cid.Undef if it has none
	IPNS     string   // a name of IPFS that is looked up: a key as CID, or a domain
	Path     string   // below IPFS or IPNS, without a slash in front
}

// An InfoHash is a BitTorrent infohash of version 1, or one of version 2 cut to its length.
type InfoHash [20]byte

// None reports whether no other network names it.
func (n Names) None() bool {
	return n.V1 == InfoHash{} && n.V2 == [32]byte{} && n.Source == "" && !n.IPFS.Defined() && n.IPNS == ""
}

// ParseLink reads a link in either form, a bare CID, or a bare CID with its key behind a #. Its error says what is wrong with
// the text, and is Invalid or TooLarge.
func ParseLink(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(strings.ToLower(s[:min(len(s), len(NetworkScheme))]), NetworkScheme) { // what it says is a secret, which no error shows
		return Link{}, Hint(fmt.Errorf("kith: that link is the way into a private network, and names nothing to fetch: %w", Invalid), "kith network join, which asks for it")
	}
	l, err := parseLink(s)
	if err != nil {
		return Link{}, fmt.Errorf("kith: parse link %.60q: %w", s, err)
	}
	return l, nil
}

func parseLink(s string) (Link, error) {
	if len(s) > MaxLinkLen {
		return Link{}, fmt.Errorf("%d bytes, at most %d: %w", len(s), MaxLinkLen, TooLarge)
	}
	lower := strings.ToLower(s[:min(len(s), len(magnetScheme))])
	switch {
	case s == "":
		return Link{}, fmt.Errorf("it is empty: %w", Invalid)
	case strings.HasPrefix(lower, magnetScheme):
		return parseMagnet(s[len(magnetScheme):])
	case strings.HasPrefix(strings.ToLower(s[:min(len(s), len(InviteScheme))]), InviteScheme):
		return Link{}, Hint(fmt.Errorf("it is an invite to become a contact, and names nothing to fetch: %w", Invalid), "kith join '%s'", s)
	case strings.HasPrefix(strings.ToLower(s[:min(len(s), len(DeviceScheme))]), DeviceScheme):
		return Link{}, Hint(fmt.Errorf("it makes devices one person's, and names nothing to fetch: %w", Invalid), "kith id link '%s'", s)
	case strings.HasPrefix(lower, shortScheme):
		return parseShort(s[len(shortScheme):])
	}
	text, fragment, _ := strings.Cut(s, "#")
	ref, err := ParseRef(text)
	if err != nil {
		return Link{}, Hint(fmt.Errorf("neither a magnet link, a kith: link nor a CID: %w", Invalid),
			"in a shell, put the link in single quotes: a bare & cuts it short")
	}
	key, err := parseKey(fragment)
	return Link{Ref: ref, Size: -1, Key: key}, err
}

func parseMagnet(s string) (Link, error) {
	query, fragment, _ := strings.Cut(s, "#")
	l := Link{Size: -1}
	var err error
	if l.Key, err = parseKey(fragment); err != nil {
		return Link{}, err
	}
	fields := strings.Split(query, "&")
	if len(fields) > MaxLinkParams {
		return Link{}, fmt.Errorf("%d parameters, at most %d: %w", len(fields), MaxLinkParams, TooLarge)
	}
	var sum *Ref // from xt; x.cid adds the codec
	seen := map[string]bool{}
	for _, field := range fields {
		if field == "" {
			continue
		}
		rawKey, rawValue, _ := strings.Cut(field, "=")
		k, err := url.QueryUnescape(rawKey)
		v, errValue := url.QueryUnescape(rawValue)
		if err != nil || errValue != nil {
			return Link{}, fmt.Errorf("parameter %.20q is badly escaped: %w", rawKey, Invalid)
		}
		if !known(k, v) || seen[k] && k != "x.kith" {
			l.Rest = append(l.Rest, Param{k, v})
			continue
		}
		seen[k] = true
		if err := l.set(k, v, &sum); err != nil {
			return Link{}, err
		}
	}
	return l, l.settle(sum)
}

// known reports whether parameter k with value v has a field in Link.
func known(k, v string) bool {
	switch k {
	case "xt":
		return strings.HasPrefix(v, urnBLAKE3)
	case "x.cid", "dn", "xl", "x.net", "x.kith":
		return true
	}
	return false
}

func (l *Link) set(k, v string, sum **Ref) error {
	switch k {
	case "xt":
		b, err := hex.DecodeString(v[len(urnBLAKE3):])
		if err != nil || len(b) != RefSize {
			return fmt.Errorf("xt: want %d hexadecimal digits behind %s: %w", 2*RefSize, urnBLAKE3, Invalid)
		}
		r := RawRef([RefSize]byte(b))
		*sum = &r
	case "x.cid":
		r, err := ParseRef(v)
		if err != nil {
			return fmt.Errorf("x.cid: %w", err)
		}
		l.Ref = r
	case "dn":
		l.Name = v
	case "xl":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("xl %.20q is not a size in bytes: %w", v, Invalid)
		}
		l.Size = n
	case "x.net":
		l.Network = v
	case "x.kith":
		a, err := multiaddr.NewMultiaddr(v)
		if err != nil {
			return fmt.Errorf("x.kith %.80q is not a multiaddr: %w", v, Invalid)
		}
		l.Peers = append(l.Peers, a)
	}
	return nil
}

// settle makes one Ref of the digest in xt and the CID in x.cid.
func (l *Link) settle(sum *Ref) error {
	switch {
	case sum == nil && l.Ref.IsZero():
		return Hint(fmt.Errorf("it names nothing by BLAKE3 (no xt=urn:blake3: and no x.cid): %w", Invalid),
			"ask for a link that kith share printed")
	case l.Ref.IsZero():
		l.Ref = *sum
	case sum != nil && sum.Sum != l.Ref.Sum:
		return fmt.Errorf("xt and x.cid name different content: %w", Invalid)
	}
	return nil
}

func parseKey(fragment string) ([]byte, error) {
	if fragment == "" {
		return nil, nil
	}
	key, err := base64.RawURLEncoding.DecodeString(fragment)
	if err != nil || len(key) != KeySize {
		return nil, Hint(fmt.Errorf("the key behind the # is damaged: %w", Invalid), "copy the whole link, to its last character")
	}
	return key, nil
}

// String returns the magnet URI. ParseLink of it gives l back.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString(magnetScheme)
	put := func(k, v string) {
		if b.Len() > len(magnetScheme) {
			b.WriteByte('&')
		}
		b.WriteString(k + "=" + v)
	}
	for _, p := range l.Rest { // BitTorrent's xt must stand first: many clients look no further
		if p.Key == "xt" {
			put("xt", escape(p.Value))
		}
	}
	put("xt", urnBLAKE3+hex.EncodeToString(l.Ref.Sum[:]))
	put("x.cid", l.Ref.String())
	if l.Name != "" {
		put("dn", escape(l.Name))
	}
	if l.Size >= 0 {
		put("xl", strconv.FormatInt(l.Size, 10))
	}
	for _, p := range l.Rest {
		if p.Key != "xt" {
			put(escape(p.Key), escape(p.Value))
		}
	}
	if l.Network != "" {
		put("x.net", escape(l.Network))
	}
	for _, a := range l.Peers { // last: simple parsers glue the # to the last parameter
		put("x.kith", escape(a.String()))
	}
	if l.Key != nil {
		b.WriteString("#" + base64.RawURLEncoding.EncodeToString(l.Key))
	}
	return b.String()
}

// escape escapes what would end a parameter, and leaves colons and slashes, which clients look for, as they are.
func escape(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	return strings.NewReplacer("%3A", ":", "%2F", "/", "%2C", ",").Replace(s)
}
