package kith

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/multiformats/go-multiaddr"
)

const (
	magnetScheme = "magnet:?"
	urnBLAKE3    = "urn:blake3:"
	urnBTIH      = "urn:btih:"
	urnBTMH      = "urn:btmh:"
)

func parseMagnet(s string) (Link, error) {
	query, fragment, _ := strings.Cut(s, "#")
	l := Link{Size: -1}
	fields := strings.Split(query, "&")
	if len(fields) > MaxLinkParams {
		return Link{}, fmt.Errorf("%d parameters, at most %d: %w", len(fields), MaxLinkParams, TooLarge)
	}
	var sum *Ref // from xt; x.cid adds the codec
	for _, field := range fields {
		field = strings.TrimPrefix(field, "amp;") // of a link that was copied out of HTML
		if field == "" {
			continue
		}
		rawKey, rawValue, _ := strings.Cut(field, "=")
		k, err := url.QueryUnescape(rawKey)
		v, errValue := url.QueryUnescape(rawValue)
		if err != nil || errValue != nil {
			return Link{}, fmt.Errorf("parameter %.20q is badly escaped: %w", rawKey, Invalid)
		}
		taken, err := l.set(numberless(k), v, &sum)
		if err != nil {
			return Link{}, err
		}
		if !taken {
			l.Rest = append(l.Rest, Param{k, v})
		}
	}
	if err := l.settle(sum); err != nil {
		return Link{}, err
	}
	return l, l.setKey(fragment)
}

// numberless returns a parameter's name without the number by which old programs tell several apart: tr.1, tr.2.
func numberless(k string) string {
	base, number, _ := strings.Cut(k, ".")
	switch base {
	case "xt", "tr", "ws", "xs":
		if _, err := strconv.ParseUint(number, 10, 16); err == nil {
			return base
		}
	}
	return k
}

// set takes a parameter; taken is false if it has no field in Link, or its field is taken.
func (l *Link) set(k, v string, sum **Ref) (taken bool, err error) {
	switch k {
	case "xt":
		return l.setTopic(v, sum)
	case "x.cid":
		return true, within("x.cid", l.setCID(v))
	case "dn":
		return setText(&l.Name, v), nil
	case "x.net":
		return setText(&l.Network, v), nil
	case "xl":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return true, fmt.Errorf("xl %.20q is not a size in bytes: %w", v, Invalid)
		}
		if l.Size >= 0 {
			return false, nil
		}
		l.Size = n
	case "x.kith":
		a, err := multiaddr.NewMultiaddr(v)
		if err != nil {
			return true, fmt.Errorf("x.kith %.80q is not a multiaddr: %w", v, Invalid)
		}
		l.Peers = append(l.Peers, a)
	case "so":
		all, err := parseSelect(v)
		if err != nil || l.Select != nil {
			return false, err
		}
		l.Select = all
	case "xs":
		if !isURL(v, "http", "https", "ipfs", "ipns") {
			return false, nil
		}
		at := *l
		err := at.setPlace(v)
		if errors.Is(err, errSources) { // a second one is kept, and not used
			return false, nil
		}
		*l = at
		return true, within("xs", err)
	case "tr":
		return add(&l.Trackers, v, isURL(v, "http", "https", "udp", "ws", "wss")), nil
	case "ws":
		return add(&l.WebSeeds, v, isURL(v, "http", "https")), nil
	case "x.pe":
		return add(&l.Swarm, v, isHostPort(v)), nil
	default:
		return false, nil
	}
	return true, nil
}

// setText sets a text that may be there once.
func setText(to *string, v string) (taken bool) {
	if *to != "" {
		return false
	}
	*to = v
	return true
}

// add adds v to list, once; what is not good is not taken.
func add(list *[]string, v string, good bool) (taken bool) {
	if good && !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
	return good
}

// within says of which parameter an error is.
func within(k string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", k, err)
	}
	return err
}

// setTopic takes the value of an xt: what the content is called, by one digest.
func (l *Link) setTopic(v string, sum **Ref) (taken bool, err error) {
	switch {
	case hasScheme(v, urnBLAKE3):
		b, err := hex.DecodeString(v[len(urnBLAKE3):])
		if err != nil || len(b) != RefSize {
			return true, fmt.Errorf("xt: want %d hexadecimal digits behind %s: %w", 2*RefSize, urnBLAKE3, Invalid)
		}
		r := RawRef([RefSize]byte(b))
		if *sum != nil && **sum != r {
			return true, fmt.Errorf("it names different content by BLAKE3: %w", Invalid)
		}
		*sum = &r
	case hasScheme(v, urnBTIH):
		old := l.V1
		if h := v[len(urnBTIH):]; len(h) != 40 && len(h) != 32 || !l.setHash(h) {
			return true, Hint(fmt.Errorf("xt: want 40 hexadecimal digits, or 32 of base32, behind %s: %w", urnBTIH, Invalid), "copy the whole link")
		}
		if old != (InfoHash{}) && old != l.V1 {
			return true, fmt.Errorf("it has two infohashes of version 1, %v and %v, which are two contents: %w", old, l.V1, Invalid)
		}
	case hasScheme(v, urnBTMH):
		old := l.V2
		if h := v[len(urnBTMH):]; len(h) != 68 || !l.setHash(strings.ToLower(h)) {
			return true, Hint(fmt.Errorf("xt: want %s and 64 hexadecimal digits behind %s: %w", multihashSHA256, urnBTMH, Invalid), "copy the whole link")
		}
		if old != [32]byte{} && old != l.V2 {
			return true, fmt.Errorf("it has two infohashes of version 2, %x and %x, which are two contents: %w", old, l.V2, Invalid)
		}
	default:
		return false, nil
	}
	return true, nil
}

// settle makes one Ref of the digest in xt and the CID in x.cid.
func (l *Link) settle(sum *Ref) error {
	switch {
	case sum == nil && l.Ref.IsZero() && l.None():
		return Hint(fmt.Errorf("it names nothing that kith can fetch (no xt=urn:btih:, urn:btmh: or urn:blake3:, no x.cid, no xs): %w", Invalid), "ask for a link that kith share printed")
	case sum == nil:
	case l.Ref.IsZero():
		l.Ref = *sum
	case sum.Sum != l.Ref.Sum:
		return fmt.Errorf("xt and x.cid name different content: %w", Invalid)
	}
	return nil
}

// String returns the magnet URI; of a .torrent file on this computer, its address. ParseLink of it gives l back.
//
// Simple parsers look no further than the first xt, which is BitTorrent's, want its colons unescaped, and glue the # to the last parameter, which is therefore never one that
// they use.
func (l Link) String() string {
	if l.Torrent() != "" && l.Ref.IsZero() && !l.hashed() {
		return l.Source
	}
	var b strings.Builder
	b.WriteString(magnetScheme)
	put := func(k string, values ...string) {
		for _, v := range values {
			if b.Len() > len(magnetScheme) {
				b.WriteByte('&')
			}
			b.WriteString(k + "=" + v)
		}
	}
	if l.V1 != (InfoHash{}) {
		put("xt", urnBTIH+l.V1.String())
	}
	if l.V2 != [32]byte{} {
		put("xt", urnBTMH+multihashSHA256+hex.EncodeToString(l.V2[:]))
	}
	for _, p := range l.Rest {
		if p.Key == "xt" {
			put("xt", escape(p.Value))
		}
	}
	if !l.Ref.IsZero() {
		put("xt", urnBLAKE3+hex.EncodeToString(l.Ref.Sum[:]))
	}
	if l.Name != "" {
		put("dn", escape(l.Name))
	}
	if l.Size >= 0 {
		put("xl", strconv.FormatInt(l.Size, 10))
	}
	l.putPlaces(put)
	for _, p := range l.Rest {
		if p.Key != "xt" {
			put(escape(p.Key), escape(p.Value))
		}
	}
	ref := !l.Ref.IsZero()
	if last := l.Key != nil && l.Network == "" && len(l.Peers) == 0; ref && last {
		put("x.cid", l.Ref.String())
	}
	if l.Network != "" {
		put("x.net", escape(l.Network))
	}
	for _, a := range l.Peers {
		put("x.kith", escape(a.String()))
	}
	if l.Key != nil {
		b.WriteString("#" + base64.RawURLEncoding.EncodeToString(l.Key))
	}
	return b.String()
}

// putPlaces writes what of a magnet URI stands between what the content is called and who has it in Kith.
func (l Link) putPlaces(put func(k string, values ...string)) {
	if l.IPFS.Defined() && l.Path == "" {
		put("x.cid", l.IPFS.String())
	}
	if !l.Ref.IsZero() && (l.Key == nil || l.Network != "" || len(l.Peers) > 0) { // else it is the last
		put("x.cid", l.Ref.String())
	}
	for _, list := range []struct {
		k   string
		all []string
	}{{"tr", l.Trackers}, {"ws", l.WebSeeds}, {"x.pe", l.Swarm}} {
		for _, v := range list.all {
			put(list.k, escape(v))
		}
	}
	place := l.IPFSURL()
	if len(l.Gateways) == 0 && (l.Path != "" || l.IPNS != "") {
		put("xs", escape(place))
	}
	if place == "" {
		place = "ipfs://" + l.Ref.String()
	}
	for _, g := range l.Gateways {
		put("xs", escape(g+"/"+strings.Replace(place, "://", "/", 1)))
	}
	if l.Source != "" && l.Torrent() == "" {
		put("xs", escape(l.Source))
	}
	if len(l.Select) > 0 {
		put("so", selectText(l.Select))
	}
}

// escape escapes what would end a parameter, and leaves colons and slashes, which clients look for, as they are.
func escape(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	return strings.NewReplacer("%3A", ":", "%2F", "/", "%2C", ",").Replace(s)
}
