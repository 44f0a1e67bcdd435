package torrents

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/app"
	"kith/bridge/bittorrent/tracker"
	"kith/internal/human"
	"kith/internal/room"
	"kith/network"
)

// For whom a tracker is, and for which torrents.
const (
	forLocal    = "local"
	forEveryone = "everyone"
	whatMine    = "mine"
	whatAny     = "any"
)

// maxAllowed bounds the torrents that a person names.
const maxAllowed = 100_000

// None is the input of an operation that needs none.
type None struct{}

// TrackerOnIn says how to be a tracker.
type TrackerOnIn struct {
	For  string `json:"for,omitempty" enum:"local,everyone" default:"local" doc:"who is answered: this computer and its local networks, or everyone who can reach it"`
	What string `json:"torrents,omitempty" enum:"mine,any" default:"mine" doc:"which torrents: those that this node shares or fetches and those that were allowed, or any"`
	Port int    `json:"port,omitempty" default:"6969" doc:"TCP and UDP port"`
}

// TrackerAllowIn names torrents.
type TrackerAllowIn struct {
	Hashes []string `json:"hashes" arg:"0" doc:"infohashes (40 hex digits) or magnet links"`
}

// TrackerOut says how the tracker stands.
type TrackerOut struct {
	On      bool           `json:"on"`
	For     string         `json:"for" enum:"local,everyone"`
	What    string         `json:"torrents" enum:"mine,any"`
	Port    int            `json:"port"`
	URLs    []string       `json:"urls" doc:"what goes into a torrent: UDP, HTTP and WebSocket at each address"`
	Allowed []string       `json:"allowed" doc:"infohashes that were allowed beside those of this node, at most a thousand"`
	Trouble string         `json:"trouble,omitempty" doc:"why it is not on although it should be"`
	Stats   *tracker.Stats `json:"stats,omitempty"`
}

func trackerOnOp(run func(context.Context, TrackerOnIn) (TrackerOut, error)) app.Op {
	o := app.NewOp("tracker on", "be a BitTorrent tracker: tell who wants a torrent of others who have it", run)
	o.Long = "It is a role that any node can take and nobody depends on: swarms that lose it go on by the DHT. Who asks it is told the addresses of others who asked for the same\n" +
		"torrent, over UDP, HTTP and, for browsers, WebSocket. It keeps that in memory only, for 45 minutes. --for everyone listens on every address of this computer; for\n" +
		"others to reach it the router must let port 6969 through, TCP and UDP. It stays on through restarts, until: kith tracker off"
	o.Example = "  kith tracker on\n  kith tracker on --for everyone --torrents any"
	return o
}

func trackerOffOp(run func(context.Context, None) (TrackerOut, error)) app.Op {
	return app.NewOp("tracker off", "be a tracker no more", run)
}

func trackerStatusOp(run func(context.Context, None) (TrackerOut, error)) app.Op {
	o := app.NewOp("tracker status", "show where the tracker listens, and how much it is asked", run)
	o.Query = true
	return o
}

func trackerAllowOp(run func(context.Context, TrackerAllowIn) (TrackerOut, error)) app.Op {
	o := app.NewOp("tracker allow", "serve these torrents too, though this node does not have them", run)
	o.Example = "  kith tracker allow 0123456789abcdef0123456789abcdef01234567"
	return o
}

func trackerForbidOp(run func(context.Context, TrackerAllowIn) (TrackerOut, error)) app.Op {
	return app.NewOp("tracker forbid", "take back what was allowed", run)
}

// role is what a person wants the tracker to be.
type role struct {
	on      bool
	forWhom string
	what    string
	port    int
	trouble string
}

// restore begins again what was on when the node stopped.
func (t *Torrents) restore(ctx context.Context) error {
	r := role{forWhom: forLocal, what: whatMine, port: tracker.DefaultPort}
	err := t.db.QueryRowContext(ctx, `SELECT on_, for_, what, port FROM tracker`).Scan(&r.on, &r.forWhom, &r.what, &r.port)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("torrents: start: %w", err)
	}
	rows, err := t.db.QueryContext(ctx, `SELECT hash FROM allowed`)
	if err != nil {
		return fmt.Errorf("torrents: start: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var h []byte
		if err := rows.Scan(&h); err != nil {
			return fmt.Errorf("torrents: start: %w", err)
		}
		if len(h) == len(tracker.Hash{}) {
			t.allowed[tracker.Hash(h)] = struct{}{}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("torrents: start: %w", err)
	}
	t.role = r
	if !r.on {
		return nil
	}
	if err := t.open(r); err != nil { // the port may be free the next time
		t.role.trouble = err.Error()
		t.env.Note("the tracker is off: " + err.Error())
	}
	return nil
}

// open begins to be a tracker.
func (t *Torrents) open(r role) error {
	o := tracker.Options{Port: r.port, Local: r.forWhom == forLocal, Log: t.env.Log}
	if r.what == whatMine {
		o.Allow = t.allows
	}
	tr, err := tracker.Listen(o)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	t.mu.Lock()
	t.tracker, t.ended, t.role = tr, ended, r
	t.mu.Unlock()
	t.env.Go("torrents.tracker", func(ctx context.Context) error {
		defer close(ended)
		return tr.Run(ctx)
	})
	t.announceAt("http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) + "/announce")
	return nil
}

// announceAt has what this node serves and fetches told to its tracker, which gives others the address at which they asked for those who ask over loopback.
func (t *Torrents) announceAt(url string) {
	if b, err := t.torrents(); err == nil { // a tracker needs none
		b.Announce(url)
	}
}

// close ends it, and waits until it is ended.
func (t *Torrents) close() error {
	t.mu.Lock()
	tr, ended := t.tracker, t.ended
	t.tracker = nil
	t.mu.Unlock()
	if tr == nil {
		return nil
	}
	t.announceAt("")
	err := tr.Close()
	<-ended
	return err
}

// allows reports whether a torrent is served by a tracker that serves not all.
func (t *Torrents) allows(h tracker.Hash) bool {
	t.mu.Lock()
	_, ok := t.allowed[h]
	t.mu.Unlock()
	return ok || t.files.Serves(kith.InfoHash(h))
}

func (t *Torrents) listens() (string, []string) {
	t.mu.Lock()
	tr := t.tracker
	t.mu.Unlock()
	if tr == nil {
		return "", nil
	}
	var all []string
	for _, a := range tr.Addrs() {
		all = append(all, a.String())
	}
	return "tracker", all
}

func (t *Torrents) trackerOn(ctx context.Context, in TrackerOnIn) (TrackerOut, error) {
	if in.Port < 1 || in.Port > 65535 {
		return TrackerOut{}, fmt.Errorf("torrents: port %d: %w", in.Port, kith.Invalid)
	}
	t.looking.Lock()
	defer t.looking.Unlock()
	r := role{on: true, forWhom: in.For, what: in.What, port: in.Port}
	if err := t.close(); err != nil {
		return TrackerOut{}, err
	}
	if err := t.open(r); err != nil {
		return TrackerOut{}, err
	}
	if err := t.saveRole(ctx, r); err != nil {
		return TrackerOut{}, errors.Join(err, t.close())
	}
	return t.trackerStatus(ctx, None{})
}

func (t *Torrents) trackerOff(ctx context.Context, _ None) (TrackerOut, error) {
	t.looking.Lock()
	defer t.looking.Unlock()
	t.mu.Lock()
	t.role.on, t.role.trouble = false, ""
	r := t.role
	t.mu.Unlock()
	if err := errors.Join(t.saveRole(ctx, r), t.close()); err != nil {
		return TrackerOut{}, err
	}
	return t.trackerStatus(ctx, None{})
}

func (t *Torrents) saveRole(ctx context.Context, r role) error {
	_, err := t.db.ExecContext(ctx, `INSERT OR REPLACE INTO tracker (one, on_, for_, what, port) VALUES (1, ?, ?, ?, ?)`, r.on, r.forWhom, r.what, r.port)
	if err != nil {
		return fmt.Errorf("torrents: save: %w", room.Explain(err))
	}
	t.bell.Ring()
	return nil
}

func (t *Torrents) trackerStatus(context.Context, None) (TrackerOut, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := TrackerOut{On: t.tracker != nil, For: t.role.forWhom, What: t.role.what, Port: t.role.port, Trouble: t.role.trouble, URLs: []string{}, Allowed: []string{}}
	for h := range t.allowed {
		out.Allowed = append(out.Allowed, h.String())
	}
	slices.Sort(out.Allowed)
	out.Allowed = out.Allowed[:min(len(out.Allowed), 1000)]
	if t.tracker == nil {
		return out, nil
	}
	stats := t.tracker.Stats()
	out.Stats = &stats
	var last []string // this computer alone
	for _, a := range t.tracker.Addrs() {
		host := net.JoinHostPort(a.Addr().String(), strconv.Itoa(int(a.Port())))
		urls := []string{"udp://" + host + "/announce", "http://" + host + "/announce", "ws://" + host}
		switch {
		case a.Addr().IsUnspecified():
			continue
		case a.Addr().IsLoopback():
			last = append(last, urls...)
		default:
			out.URLs = append(out.URLs, urls...)
		}
	}
	if t.role.forWhom == forEveryone {
		host := fmt.Sprintf("ADDRESS:%d", t.role.port)
		out.URLs = append(out.URLs, "udp://"+host+"/announce", "http://"+host+"/announce", "ws://"+host)
	}
	if len(out.URLs) == 0 {
		out.URLs = last
	}
	return out, nil
}

// findings says how the tracker is, for the doctor; nothing if it is not to be on.
func (t *Torrents) findings() []app.Finding {
	out, err := t.trackerStatus(context.Background(), None{})
	if err != nil || !out.On && out.Trouble == "" {
		return nil
	}
	return []app.Finding{out.finding(t.env.Host != nil && direct(t.env.Host.Health()))}
}

// direct reports whether others reach this computer at a public address of its own, so at every port that no firewall keeps.
func direct(h network.Health) bool {
	return slices.ContainsFunc(h.Reachable, func(r ma.Multiaddr) bool {
		return !slices.ContainsFunc(h.Mapped, func(m ma.Multiaddr) bool { return m[0].Equal(&r[0]) })
	})
}

// finding is pure.
func (o TrackerOut) finding(open bool) app.Finding {
	if !o.On {
		return app.Finding{Check: "tracker", State: "wrong", Says: "this node is to be a tracker, and is none: " + o.Trouble, Do: "end what has the port, or take another: kith tracker on --port 6970"}
	}
	f := app.Finding{Check: "tracker", State: "ok"}
	stats := *o.Stats
	busy := fmt.Sprintf("%s in %s, asked %s", human.Count(stats.Peers, "peer"), human.Count(stats.Swarms, "torrent"), human.Count(int(stats.HTTP+stats.UDP+stats.Web), "time"))
	switch {
	case o.For == forLocal:
		f.Says = "reached in this computer's local networks"
	case open:
		f.Says = "this computer is reached from outside at an address of its own"
	default:
		f.State, f.Says = "weak", "nobody has found this computer to be reached from outside at an address of its own"
		f.Do = fmt.Sprintf("have your router let port %d through, TCP and UDP; in local networks it is reached anyway", o.Port)
	}
	f.Says += ", at " + strings.Join(o.URLs[:min(len(o.URLs), 3)], ", ") + "; " + busy
	return f
}

// WriteText implements app.Texter.
func (o TrackerOut) WriteText(w io.Writer, _ int) error {
	if !o.On {
		if o.Trouble != "" {
			fmt.Fprintf(w, "The tracker is off, though it should be on: %s\n", o.Trouble)
			return nil
		}
		_, err := fmt.Fprintln(w, "The tracker is off. Switch it on with: kith tracker on")
		return err
	}
	who := map[string]string{forLocal: "this computer and its local networks", forEveryone: "everyone who can reach this computer"}[o.For]
	what := map[string]string{whatMine: "the torrents of this node", whatAny: "any torrent"}[o.What]
	if n := len(o.Allowed); n > 0 && o.What == whatMine {
		what += fmt.Sprintf(" and %d allowed", n)
	}
	fmt.Fprintf(w, "The tracker is on, for %s, and for %s.\n", who, what)
	for _, u := range o.URLs {
		fmt.Fprintf(w, "  %s\n", u)
	}
	if s := o.Stats; s != nil {
		fmt.Fprintf(w, "%s in %s, of which %s; %d announces, %d refused\n", human.Count(s.Peers, "peer"), human.Count(s.Swarms, "torrent"), human.Count(s.Seeds, "seed"), s.HTTP+s.UDP+s.Web, s.Refused)
	}
	return nil
}

func parseHashes(texts []string) (all []tracker.Hash, err error) {
	for _, text := range texts {
		if b, err := hex.DecodeString(strings.TrimSpace(text)); err == nil && len(b) == 20 {
			all = append(all, tracker.Hash(b))
			continue
		}
		l, err := kith.ParseLink(text)
		switch {
		case err != nil:
			return nil, err
		case l.V1 == (kith.InfoHash{}) && l.V2 == [32]byte{}:
			return nil, kith.Hint(fmt.Errorf("torrents: %.60q names no torrent: %w", text, kith.Invalid), "want an infohash of 40 hex digits, or a magnet link with one")
		}
		if l.V1 != (kith.InfoHash{}) {
			all = append(all, tracker.Hash(l.V1))
		}
		if l.V2 != [32]byte{} {
			all = append(all, tracker.Hash(l.V2[:20])) // as trackers call it (BEP 52)
		}
	}
	return all, nil
}

func (t *Torrents) trackerAllow(ctx context.Context, in TrackerAllowIn) (TrackerOut, error) {
	all, err := parseHashes(in.Hashes)
	if err != nil {
		return TrackerOut{}, err
	}
	t.mu.Lock()
	n := len(t.allowed)
	t.mu.Unlock()
	if n+len(all) > maxAllowed {
		return TrackerOut{}, kith.Hint(fmt.Errorf("torrents: at most %d torrents can be allowed: %w", maxAllowed, kith.TooLarge), "kith tracker on --torrents any")
	}
	for _, h := range all {
		if _, err := t.db.ExecContext(ctx, `INSERT OR IGNORE INTO allowed (hash) VALUES (?)`, h[:]); err != nil {
			return TrackerOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
		}
		t.mu.Lock()
		t.allowed[h] = struct{}{}
		t.mu.Unlock()
	}
	return t.trackerStatus(ctx, None{})
}

func (t *Torrents) trackerForbid(ctx context.Context, in TrackerAllowIn) (TrackerOut, error) {
	all, err := parseHashes(in.Hashes)
	if err != nil {
		return TrackerOut{}, err
	}
	for _, h := range all {
		if _, err := t.db.ExecContext(ctx, `DELETE FROM allowed WHERE hash = ?`, h[:]); err != nil {
			return TrackerOut{}, fmt.Errorf("torrents: save: %w", room.Explain(err))
		}
		t.mu.Lock()
		delete(t.allowed, h)
		t.mu.Unlock()
	}
	return t.trackerStatus(ctx, None{})
}
