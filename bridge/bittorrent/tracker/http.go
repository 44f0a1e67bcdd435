package tracker

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"kith"
)

// serveHTTP answers announces and scrapes at any path that ends so, as BEP 48 has it, and WebSockets at any path.
func (t *Tracker) serveHTTP(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, "no address", http.StatusBadRequest)
		return
	}
	addr := from.Addr().WithZone("").Unmap()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "a tracker takes GET only", http.StatusMethodNotAllowed)
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		t.serveWeb(w, r, addr)
	case strings.HasSuffix(r.URL.Path, "/announce"):
		t.answer(w, t.announceHTTP(r, addr))
	case strings.HasSuffix(r.URL.Path, "/scrape"):
		t.answer(w, t.scrapeHTTP(r, addr))
	case r.URL.Path == "/":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "This is a BitTorrent tracker: http://%[1]s/announce, udp://%[1]s and, for browsers, ws://%[1]s\n", r.Host)
	default:
		http.NotFound(w, r)
	}
}

func (t *Tracker) answer(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/plain") // as trackers have always said
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(body)
}

func (t *Tracker) announceHTTP(r *http.Request, from netip.Addr) []byte {
	t.counts.http.Add(1)
	if err := t.admit(from, 1); err != nil {
		return failure(err)
	}
	q, err := parseAnnounce(r.URL.RawQuery)
	if err != nil {
		t.counts.bad.Add(1)
		return failure(err)
	}
	a := q.announce
	a.from = from
	a.at = endpointOf(netip.AddrPortFrom(claimed(from, q.ip), q.port))
	if here, ok := r.Context().Value(http.LocalAddrContextKey).(interface{ AddrPort() netip.AddrPort }); ok {
		a.here = here.AddrPort().Addr().WithZone("").Unmap()
	}
	rep, err := t.announce(a, nil)
	if err != nil {
		return failure(err)
	}
	return rep.bencode(from, q.compact, q.noPeerID)
}

// query is an announce as HTTP has it.
type query struct {
	announce
	port     uint16
	ip       string
	compact  bool
	noPeerID bool
}

// parseAnnounce reads the query of an announce. Its errors are Invalid.
func parseAnnounce(raw string) (q query, err error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("tracker: the query cannot be read: %w", kith.Invalid)
	}
	if n := copy(q.hash[:], v.Get("info_hash")); n != len(q.hash) || len(v.Get("info_hash")) != n {
		return q, fmt.Errorf("tracker: info_hash must have 20 bytes: %w", kith.Invalid)
	}
	if n := copy(q.id[:], v.Get("peer_id")); n != len(q.id) || len(v.Get("peer_id")) != n {
		return q, fmt.Errorf("tracker: peer_id must have 20 bytes: %w", kith.Invalid)
	}
	port, err := strconv.ParseUint(v.Get("port"), 10, 16)
	if err != nil {
		return q, fmt.Errorf("tracker: port must be a number up to 65535: %w", kith.Invalid)
	}
	q.port, q.ip = uint16(port), v.Get("ip")
	q.seed = v.Get("left") == "0"
	q.event = eventOf(v.Get("event"))
	want, err := strconv.Atoi(v.Get("numwant"))
	if err != nil || want < 0 {
		want = defaultWant
	}
	q.want4, q.want6 = min(want, maxWant), min(want, maxWant)
	q.compact = v.Get("compact") != "0"
	q.noPeerID = v.Get("no_peer_id") == "1"
	return q, nil
}

func eventOf(s string) event {
	switch s {
	case "completed":
		return completed
	case "started":
		return started
	case "stopped":
		return stopped
	case "paused":
		return paused
	}
	return update
}

func (t *Tracker) scrapeHTTP(r *http.Request, from netip.Addr) []byte {
	hashes, err := parseScrape(r.URL.RawQuery)
	if err == nil {
		err = t.admit(from, 1+len(hashes)/10)
	}
	if err != nil {
		return failure(err)
	}
	b := []byte("d5:filesd")
	var last string
	tallies := t.scrape(hashes)
	for i, h := range hashes {
		if string(h[:]) == last { // sorted: a dictionary has each key once
			continue
		}
		last = string(h[:])
		b = append(append(b, "20:"...), h[:]...)
		b = fmt.Appendf(b, "d8:completei%de10:downloadedi%de10:incompletei%dee", tallies[i].seeds, tallies[i].done, tallies[i].leeches)
	}
	return fmt.Appendf(b, "e5:flagsd20:min_request_intervali%deee", int(minInterval.Seconds()))
}

// parseScrape reads the query of a scrape: the infohashes, sorted. All torrents at once are told to nobody. Its errors are Invalid and TooLarge.
func parseScrape(raw string) ([]Hash, error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("tracker: the query cannot be read: %w", kith.Invalid)
	}
	switch n := len(v["info_hash"]); {
	case n == 0:
		return nil, fmt.Errorf("tracker: say which torrents: info_hash: %w", kith.Invalid)
	case n > maxScrape:
		return nil, fmt.Errorf("tracker: %d torrents at once, at most %d: %w", n, maxScrape, kith.TooLarge)
	}
	var all []Hash
	for _, s := range v["info_hash"] {
		if len(s) != len(Hash{}) {
			return nil, fmt.Errorf("tracker: info_hash must have 20 bytes: %w", kith.Invalid)
		}
		all = append(all, Hash([]byte(s)))
	}
	sortHashes(all)
	return all, nil
}

// failure says what went wrong, as BEP 3 has it, and when to ask again, as BEP 31 has it.
func failure(err error) []byte {
	text, retry := words(err), ""
	if r := (*refusal)(nil); errors.As(err, &r) {
		retry = r.retry
	}
	b := fmt.Appendf(nil, "d14:failure reason%d:%s", len(text), text)
	if _, err := strconv.Atoi(retry); err == nil {
		b = fmt.Appendf(b, "8:retry ini%se", retry)
	} else if retry != "" {
		b = fmt.Appendf(b, "8:retry in%d:%s", len(retry), retry)
	}
	return append(b, 'e')
}

// bencode writes the answer to an announce.
func (r reply) bencode(to netip.Addr, compact, noPeerID bool) []byte {
	b := make([]byte, 0, 200+len(r.peers)*18)
	b = fmt.Appendf(b, "d8:completei%de11:external ip%d:%s", r.seeds, to.BitLen()/8, to.AsSlice())
	b = fmt.Appendf(b, "10:incompletei%de8:intervali%de12:min intervali%de", r.leeches, int(interval.Seconds()), int(minInterval.Seconds()))
	if !compact {
		b = append(b, "5:peersl"...)
		for _, p := range r.peers {
			ip := p.at.addr().String()
			b = fmt.Appendf(b, "d2:ip%d:%s", len(ip), ip)
			if !noPeerID {
				b = append(append(b, "7:peer id20:"...), p.id[:]...)
			}
			b = fmt.Appendf(b, "4:porti%dee", p.at.port())
		}
		return append(b, "ee"...)
	}
	n4 := 0
	for n4 < len(r.peers) && r.peers[n4].at.is4() {
		n4++
	}
	b = fmt.Appendf(b, "5:peers%d:", 6*n4)
	for i := range n4 {
		b = append(b, r.peers[i].at.compact()...)
	}
	if n6 := len(r.peers) - n4; n6 > 0 {
		b = fmt.Appendf(b, "6:peers6%d:", 18*n6)
		for i := range n6 {
			b = append(b, r.peers[n4+i].at.compact()...)
		}
	}
	return append(b, 'e')
}
