package kith

import (
	"encoding/base64"
	"fmt"
	"strings"

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

// A Link is how content is handed on: a magnet URI that names it by digest, says what it is called and who has it.
// For a private share it also carries the key, behind the #, which no program sends to a server.
//
// The parameters are those of docs/formats.md. What this package gives no meaning is kept in Rest, in its order, and printed again.
type Link struct {
	Ref     Ref // zero if only other networks' names are known
	Name    string
	Size    int64 // bytes; -1 if not known. For a folder, the bytes of all its files
	Network string
	Peers   []multiaddr.Multiaddr
	Key     []byte // KeySize bytes, or nil
	Rest    []Param

	Names
	Swarm    []string    // x.pe: HOST:PORT of peers of BitTorrent
	Select   []FileRange // so: the files that are wanted, numbered as in the torrent from 0 (BEP 53); none: all
	Gateways []string    // scheme and host of web gateways to IPFS, of which the link is a copy
}

// A Param is a magnet parameter that this package gives no meaning, kept as it came.
type Param struct{ Key, Value string }

// A FileRange is files of a torrent by their numbers, both ends included.
type FileRange struct{ First, Last int }

// ParseLink reads a link in any form: a magnet URI, a short link, a CID (with its key behind a #), an ipfs:// or ipns:// address, a path below /ipfs/ or /ipns/, an
// address on a web gateway to IPFS, an infohash, the address of a file on the web, or the absolute path of a .torrent file. Its error says what is wrong with the text, and is
// Invalid or TooLarge.
func ParseLink(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if hasScheme(s, NetworkScheme) { // what it says is a secret, which no error shows
		return Link{}, Hint(fmt.Errorf("kith: that link is the way into a private network, and names nothing to fetch: %w", Invalid), "kith network join, which asks for it")
	}
	l, err := parseLink(s)
	if err != nil {
		return Link{}, fmt.Errorf("kith: parse link %.60q: %w", s, err)
	}
	return l, nil
}

// hasScheme reports whether s begins with scheme, which is in lower case, in any case.
func hasScheme(s, scheme string) bool {
	return len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme)
}

func parseLink(s string) (Link, error) {
	if len(s) > MaxLinkLen {
		return Link{}, fmt.Errorf("%d bytes, at most %d: %w", len(s), MaxLinkLen, TooLarge)
	}
	switch {
	case s == "":
		return Link{}, Hint(fmt.Errorf("it is empty: %w", Invalid), "give a link, a CID, an infohash or a .torrent file, in single quotes")
	case hasScheme(s, magnetScheme):
		return parseMagnet(s[len(magnetScheme):])
	case hasScheme(s, InviteScheme):
		return Link{}, Hint(fmt.Errorf("it is an invite to become a contact, and names nothing to fetch: %w", Invalid), "kith join '%s'", s)
	case hasScheme(s, DeviceScheme):
		return Link{}, Hint(fmt.Errorf("it makes devices one person's, and names nothing to fetch: %w", Invalid), "kith id link '%s'", s)
	case hasScheme(s, shortScheme):
		return parseShort(s[len(shortScheme):])
	case hasScheme(s, "https:"), hasScheme(s, "http:"), hasScheme(s, "ipfs:"), hasScheme(s, "ipns:"), hasScheme(s, "file:"), strings.HasPrefix(s, "/ipfs/"), strings.HasPrefix(s, "/ipns/"):
		return parsePlace(s)
	case strings.HasSuffix(strings.ToLower(s), torrentSuffix):
		return parseTorrentPath(s)
	}
	l := Link{Size: -1}
	if l.setHash(s) {
		return l, nil
	}
	text, fragment, _ := strings.Cut(s, "#")
	if err := l.setCID(text); err != nil {
		if KindOf(err) == Invalid && looksLikeCID(text) {
			return Link{}, err
		}
		return Link{}, Hint(fmt.Errorf("neither a link, nor a CID, nor an infohash: %w", Invalid), "in a shell, put the link in single quotes: a bare & cuts it short")
	}
	return l, l.setKey(fragment)
}

// setKey takes what stands behind the #. Without a Ref a key opens nothing.
func (l *Link) setKey(fragment string) error {
	if fragment == "" {
		return nil
	}
	key, err := base64.RawURLEncoding.DecodeString(fragment)
	whole := err == nil && len(key) == KeySize
	switch {
	case l.Ref.IsZero() && whole:
		return Hint(fmt.Errorf("it has a key, and no xt=urn:blake3: and x.cid that it belongs to: %w", Invalid), "copy the whole link, from its first character")
	case l.Ref.IsZero(): // magnets of others have names with an unescaped #
		return nil
	case !whole:
		return Hint(fmt.Errorf("the key behind the # is damaged: %w", Invalid), "copy the whole link, to its last character")
	}
	l.Key = key
	return nil
}
