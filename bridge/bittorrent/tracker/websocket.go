package tracker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"kith"
)

// conn is a browser, or another WebTorrent client, that is connected. What of it the engine keeps is guarded by the tracker's lock.
type conn struct {
	from   netip.Addr
	in     map[Hash][]PeerID // swarms that it is in, and as whom
	offers []offer           // that wait for an answer, the oldest first

	out    chan []byte
	queued atomic.Int64 // bytes in out
}

const queueLen = 256 // messages that wait for one connection

// serveWeb serves a WebSocket until it ends. Any page may open one: there is nothing here that a cookie or a place behind a firewall would open, but what every tracker tells.
func (t *Tracker) serveWeb(w http.ResponseWriter, r *http.Request, from netip.Addr) {
	t.web.Add(1)
	defer t.web.Done()
	if int(t.sockets.Add(1)) > t.o.Limits.Conns/2 {
		t.sockets.Add(-1)
		http.Error(w, "too many are connected", http.StatusServiceUnavailable)
		return
	}
	defer t.sockets.Add(-1)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	ws.SetReadLimit(maxMessage)
	c := &conn{from: from, in: map[Hash][]PeerID{}, out: make(chan []byte, queueLen)}
	ctx, cancel := context.WithCancel(r.Context())
	var writing sync.WaitGroup
	writing.Go(func() { t.writeWeb(ctx, ws, c, cancel) })
	t.readWeb(ctx, ws, c)
	cancel()
	t.mu.Lock()
	t.engine.hangUp(c)
	t.mu.Unlock()
	writing.Wait()
	ws.CloseNow()
	for { // nobody sends any more: hangUp took it out of everything
		select {
		case m := <-c.out:
			t.queued.Add(-int64(len(m)))
		default:
			return
		}
	}
}

func (t *Tracker) readWeb(ctx context.Context, ws *websocket.Conn, c *conn) {
	for {
		read, done := context.WithTimeout(ctx, webIdle)
		_, b, err := ws.Read(read)
		done()
		if err != nil {
			return
		}
		if err := t.admit(c.from, 1); err != nil {
			t.send(c, webFailure("", Hash{}, err))
			continue
		}
		m, err := parseWeb(b)
		if err != nil {
			t.counts.bad.Add(1)
			t.send(c, webFailure("", Hash{}, err))
			continue
		}
		if m.scrape {
			t.send(c, webScrape(m.hashes, t.scrape(m.hashes)))
		} else {
			t.announceWeb(c, m)
		}
	}
}

// writeWeb sends what waits for a connection. Who takes nothing for too long is hung up on.
func (t *Tracker) writeWeb(ctx context.Context, ws *websocket.Conn, c *conn, cancel func()) {
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.out:
			write, done := context.WithTimeout(ctx, writeTimeout)
			err := ws.Write(write, websocket.MessageText, m)
			done()
			c.queued.Add(-int64(len(m)))
			t.queued.Add(-int64(len(m)))
			if err != nil {
				return
			}
		}
	}
}

// send queues a message. One too many is dropped: offers are made again at the next announce.
func (t *Tracker) send(c *conn, m []byte) {
	n := int64(len(m))
	if t.queued.Add(n) > t.o.Limits.Queued || c.queued.Add(n) > t.o.Limits.Queued/256 {
		t.queued.Add(-n)
		c.queued.Add(-n)
		return
	}
	select {
	case c.out <- m:
	default:
		t.queued.Add(-n)
		c.queued.Add(-n)
	}
}

func (t *Tracker) announceWeb(c *conn, m webMessage) {
	t.counts.web.Add(1)
	if err := t.serves(m.hash); err != nil {
		t.send(c, webFailure("announce", m.hash, err))
		return
	}
	now := time.Now()
	t.mu.Lock()
	r, to, ok := t.engine.announceWeb(now, webAnnounce{
		hash: m.hash, id: m.id, conn: c, from: c.from, seed: m.seed, event: m.event, offers: min(len(m.offers), m.want),
	})
	for i, p := range to {
		t.engine.offered(now, c, offer{m.hash, m.id, m.offers[i].id, p.id})
		t.send(p.conn, webOffer(m, m.offers[i]))
	}
	if ok && m.answer != nil {
		if d := t.engine.answered(now, offer{m.hash, m.to, m.offerID, m.id}); d != nil {
			t.send(d, webAnswer(m))
		}
	}
	t.mu.Unlock()
	switch {
	case !ok:
		t.send(c, webFailure("announce", m.hash, errNotYours))
	case m.answer == nil:
		t.send(c, webReply(m.hash, r))
	}
}

// webMessage is what a client sends.
type webMessage struct {
	scrape  bool
	hashes  []Hash // of a scrape
	hash    Hash
	id      PeerID
	seed    bool
	event   event
	want    int
	offers  []webOfferMade
	answer  json.RawMessage
	to      PeerID // whose offer is answered
	offerID PeerID
}

type webOfferMade struct {
	id    PeerID
	offer json.RawMessage
}

// parseWeb reads a message. Its errors are Invalid and TooLarge.
func parseWeb(b []byte) (m webMessage, err error) {
	var j struct {
		Action   string          `json:"action"`
		InfoHash json.RawMessage `json:"info_hash"`
		PeerID   binary20        `json:"peer_id"`
		ToPeerID binary20        `json:"to_peer_id"`
		OfferID  binary20        `json:"offer_id"`
		Left     json.RawMessage `json:"left"`
		Event    string          `json:"event"`
		NumWant  *float64        `json:"numwant"`
		Offers   json.RawMessage `json:"offers"`
		Answer   json.RawMessage `json:"answer"`
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return m, fmt.Errorf("tracker: the message is no JSON of a tracker: %w", kith.Invalid)
	}
	switch j.Action {
	case "announce":
	case "scrape":
		m.scrape = true
		m.hashes, err = parseHashes(j.InfoHash)
		return m, err
	default:
		return m, fmt.Errorf("tracker: unknown action: %w", kith.Invalid)
	}
	if hashes, err := parseHashes(j.InfoHash); err != nil || len(hashes) != 1 {
		return m, fmt.Errorf("tracker: info_hash must be 20 characters up to U+00FF: %w", kith.Invalid)
	} else {
		m.hash = hashes[0]
	}
	if !j.PeerID.ok {
		return m, fmt.Errorf("tracker: peer_id must be 20 characters up to U+00FF: %w", kith.Invalid)
	}
	m.id, m.event = PeerID(j.PeerID.b), eventOf(j.Event)
	m.seed = string(j.Left) == "0"
	m.want = maxOffers
	if j.NumWant != nil {
		m.want = int(max(0, min(*j.NumWant, maxOffers)))
	}
	if m.offers, err = parseOffers(j.Offers); err != nil {
		return m, err
	}
	if isObject(j.Answer) {
		if len(j.Answer) > maxOffer {
			return m, fmt.Errorf("tracker: an answer has at most %d bytes: %w", maxOffer, kith.TooLarge)
		}
		if !j.ToPeerID.ok || !j.OfferID.ok {
			return m, fmt.Errorf("tracker: an answer needs to_peer_id and offer_id, of 20 characters each: %w", kith.Invalid)
		}
		m.answer, m.to, m.offerID = j.Answer, PeerID(j.ToPeerID.b), PeerID(j.OfferID.b)
	}
	return m, nil
}

func isObject(j json.RawMessage) bool { return len(j) > 0 && j[0] == '{' }

// parseHashes reads one infohash, or a list of them.
func parseHashes(j json.RawMessage) ([]Hash, error) {
	var list []binary20
	if len(j) > 0 && j[0] == '[' {
		if len(j) > maxScrape*150 { // each of 20 characters, written \u00ff, and room between them
			return nil, fmt.Errorf("tracker: at most %d torrents at once: %w", maxScrape, kith.TooLarge)
		}
		if json.Unmarshal(j, &list) != nil {
			list = nil
		}
	} else {
		var one binary20
		if json.Unmarshal(j, &one) == nil {
			list = []binary20{one}
		}
	}
	var all []Hash
	for _, h := range list {
		if !h.ok {
			return nil, fmt.Errorf("tracker: info_hash must be 20 characters up to U+00FF: %w", kith.Invalid)
		}
		all = append(all, Hash(h.b))
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("tracker: say which torrents: info_hash: %w", kith.Invalid)
	case len(all) > maxScrape:
		return nil, fmt.Errorf("tracker: at most %d torrents at once: %w", maxScrape, kith.TooLarge)
	}
	return all, nil
}

// parseOffers reads the offers of an announce: [{offer: {type, sdp}, offer_id}, …]. Of more than the limit the first are taken.
func parseOffers(j json.RawMessage) (all []webOfferMade, err error) {
	if len(j) == 0 || j[0] != '[' {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(j))
	d.Token()
	for d.More() && len(all) < maxOffers {
		var o struct {
			Offer   json.RawMessage `json:"offer"`
			OfferID binary20        `json:"offer_id"`
		}
		if err := d.Decode(&o); err != nil || !isObject(o.Offer) || !o.OfferID.ok {
			return nil, fmt.Errorf("tracker: an offer needs offer and offer_id: %w", kith.Invalid)
		}
		if len(o.Offer) > maxOffer {
			return nil, fmt.Errorf("tracker: an offer has at most %d bytes: %w", maxOffer, kith.TooLarge)
		}
		all = append(all, webOfferMade{PeerID(o.OfferID.b), o.Offer})
	}
	return all, nil
}

// binary20 is 20 bytes as WebTorrent writes them in JSON: each as the character of that number.
type binary20 struct {
	b  [20]byte
	ok bool
}

// UnmarshalJSON implements json.Unmarshaler. What is not 20 bytes is not ok, and no error.
func (x *binary20) UnmarshalJSON(j []byte) error {
	var s string
	*x = binary20{}
	if json.Unmarshal(j, &s) != nil {
		return nil
	}
	n := 0
	for _, r := range s {
		if r > 0xff || n == len(x.b) {
			return nil
		}
		x.b[n] = byte(r)
		n++
	}
	x.ok = n == len(x.b)
	return nil
}

// latin writes bytes so.
func latin(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // a RawMessage was read as JSON, and all else is plain
		panic(err)
	}
	return b
}

func webReply(h Hash, r reply) []byte {
	return encode(struct {
		Action     string `json:"action"`
		InfoHash   string `json:"info_hash"`
		Interval   int    `json:"interval"`
		Complete   int    `json:"complete"`
		Incomplete int    `json:"incomplete"`
	}{"announce", latin(h[:]), int(webInterval.Seconds()), r.seeds, r.leeches})
}

type webRelay struct {
	Action   string          `json:"action"`
	Offer    json.RawMessage `json:"offer,omitempty"`
	Answer   json.RawMessage `json:"answer,omitempty"`
	OfferID  string          `json:"offer_id"`
	PeerID   string          `json:"peer_id"`
	InfoHash string          `json:"info_hash"`
}

func webOffer(m webMessage, o webOfferMade) []byte {
	return encode(webRelay{Action: "announce", Offer: o.offer, OfferID: latin(o.id[:]), PeerID: latin(m.id[:]), InfoHash: latin(m.hash[:])})
}

func webAnswer(m webMessage) []byte {
	return encode(webRelay{Action: "announce", Answer: m.answer, OfferID: latin(m.offerID[:]), PeerID: latin(m.id[:]), InfoHash: latin(m.hash[:])})
}

func webScrape(hashes []Hash, tallies []tally) []byte {
	type file struct {
		Complete   int `json:"complete"`
		Incomplete int `json:"incomplete"`
		Downloaded int `json:"downloaded"`
	}
	files := map[string]file{}
	for i, t := range tallies {
		files[latin(hashes[i][:])] = file{t.seeds, t.leeches, t.done}
	}
	return encode(struct {
		Action string          `json:"action"`
		Files  map[string]file `json:"files"`
		Flags  map[string]int  `json:"flags"`
	}{"scrape", files, map[string]int{"min_request_interval": int(webInterval.Seconds())}})
}

func webFailure(action string, h Hash, err error) []byte {
	m := map[string]string{"failure reason": words(err)}
	if action != "" {
		m["action"], m["info_hash"] = action, latin(h[:])
	}
	return encode(m)
}
