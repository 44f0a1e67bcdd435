package send

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"kith"
	"kith/internal/room"
	"kith/transfer"
)

// contacts are who an engine knows: the devices of each by name.
type contacts map[string][]peer.ID

func (c contacts) Name(p peer.ID) string {
	for name, devices := range c {
		if slices.Contains(devices, p) {
			return name
		}
	}
	return ""
}
func (c contacts) Contact(p peer.ID) bool        { return c.Name(p) != "" }
func (c contacts) Devices(name string) []peer.ID { return c[name] }

func (c contacts) Acts() error { return nil }

var epoch = time.Unix(1_700_000_000, 0).UTC()

// long returns the id that a script's letter stands for.
func long(id string) string { return strings.Repeat(id, 32)[:32] }

// refOf returns what the delivery id is lent as.
func refOf(id string) kith.Ref { return kith.RawRef([32]byte([]byte(long(id)))) }

func linkOf(id string) string { return kith.Link{Ref: refOf(id), Size: -1}.String() }

// A script runs lines of the form "verb word…" against one engine, and writes what it wants after each.
type script struct {
	e   *engine
	now time.Time
	out strings.Builder
}

func (s *script) run(t *testing.T, line string) {
	w := strings.Fields(line)
	arg := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	num := func(i int) int64 { n, _ := strconv.ParseInt(arg(i), 10, 64); return n }
	var err error
	switch w[0] {
	case "pass":
		d, bad := time.ParseDuration(w[1])
		if bad != nil {
			t.Fatal(bad)
		}
		s.now = s.now.Add(d)
		s.e.tick(s.now)
	case "send": // id, to
		_, err = s.e.send(s.now, outgoing{ID: long(w[1]), To: w[2], Path: "/film.mkv", Name: "film.mkv", Key: make([]byte, 32), Until: s.now.Add(lifetime)})
	case "read": // id, size or an error
		if size, bad := strconv.ParseInt(arg(2), 10, 64); bad == nil {
			s.e.hasRead(s.now, long(w[1]), refOf(w[1]), "film.mkv", size, 1, nil)
		} else {
			s.e.hasRead(s.now, long(w[1]), kith.Ref{}, "", 0, 0, errors.New(strings.Join(w[2:], " ")))
		}
	case "told": // peer, kind, id, reply
		s.answer(w)
	case "hear": // peer, kind, id, state or size
		msg := message{ID: long(arg(3)), State: arg(4)}
		switch w[2] {
		case "offer":
			msg = message{Kind: kindOffer, ID: long(w[3]), Name: "film.mkv", Size: num(4), Files: 1, Link: linkOf(w[3]), Until: s.now.Add(lifetime).Unix()}
		case "state":
			msg.Kind, msg.Done = kindState, num(5)
		case "end":
			msg.Kind = kindEnd
		}
		var r reply
		if r, err = s.e.hear(s.now, peer.ID(w[1]), msg); err == nil {
			fmt.Fprintf(&s.out, "  reply %s\n", strings.TrimSpace(r.State+" "+r.Reason))
		}
	case "came":
		s.e.came(s.now, peer.ID(w[1]))
	case "accept":
		_, err = s.e.accept(s.now, int(num(1)), arg(2))
	case "decline":
		_, err = s.e.decline(s.now, int(num(1)))
	case "rm":
		_, err = s.e.remove(s.now, int(num(1)))
	case "cancel":
		_, err = s.e.cancel(s.now, int(num(1)))
	case "auto":
		s.e.setAuto(w[1], num(2), arg(2) == "off")
	case "lost":
		s.e.lost(s.now, long(w[1]), "it was moved")
	case "fetched": // peer, id, state, bytes
		s.e.progress(s.now, inKey{peer.ID(w[1]), long(w[2])}, course{state: w[3], reason: strings.Join(w[min(5, len(w)):], " "), path: "/inbox/film.mkv", done: num(4), rate: float64(num(4))})
	case "began": // peer, id
		s.e.began(inKey{peer.ID(w[1]), long(w[2])}, refOf(w[2]))
	case "larger":
		s.e.tooMuch(s.now, inKey{peer.ID(w[1]), long(w[2])}, num(3))
	default:
		t.Fatalf("script: %q", line)
	}
	if err != nil {
		fmt.Fprintf(&s.out, "  error %v\n", err)
	}
	for _, a := range s.e.take() {
		fmt.Fprintf(&s.out, "  %s\n", describe(a))
	}
}

func (s *script) answer(w []string) {
	kinds := map[string]int{"offer": kindOffer, "state": kindState, "end": kindEnd}
	msg := message{Kind: kinds[w[2]], ID: long(w[3])}
	var r reply
	var err error
	switch how := strings.Join(w[4:], " "); how {
	case "-":
	case "unreached":
		err = errNotReached
	case "broken":
		err = errors.New("broken")
	default:
		r.State, r.Reason, _ = strings.Cut(how, " ")
	}
	if msg.Kind == kindState {
		if i := s.e.in[inKey{peer.ID(w[1]), msg.ID}]; i != nil {
			msg.State, msg.Reason = i.State, i.Reason
		}
		s.e.toldIn(s.now, peer.ID(w[1]), msg, r, err)
		return
	}
	s.e.toldOut(s.now, peer.ID(w[1]), msg, r, err)
}

func describe(a action) string {
	short := func(id string) string { return id[:1] }
	switch a := a.(type) {
	case saveOut:
		text := fmt.Sprintf("save out %d %s", a.N, a.State)
		if a.Reason != "" {
			text += " (" + a.Reason + ")"
		}
		for _, d := range a.Devices {
			text += fmt.Sprintf(" %s=%s", string(d.Peer), d.Knows)
		}
		return text
	case saveIn:
		text := fmt.Sprintf("save in %d %s", a.N, a.State)
		if a.Reason != "" {
			text += " (" + a.Reason + ")"
		}
		return text + " told=" + a.Told
	case dropOut:
		return "drop out " + short(a.id)
	case dropIn:
		return "drop in " + short(a.key.ID)
	case saveAuto:
		return fmt.Sprintf("save auto %s %d %v", a.who, a.bytes, a.off)
	case readPath:
		return "read " + a.Path
	case tell:
		kinds := []string{"", "offer", "state", "end"}
		return strings.TrimSpace(fmt.Sprintf("tell %s %s %s %s %s", string(a.to), kinds[a.msg.Kind], short(a.msg.ID), a.msg.State, a.msg.Reason))
	case fetch:
		if a.anew {
			return "fetch anew " + short(a.ID)
		}
		return "fetch " + short(a.ID)
	case forget:
		return "forget " + string(a.ref.Sum[:1])
	case note:
		return "note " + a.text
	}
	return fmt.Sprintf("%T", a)
}

// TestScripts runs the scripts in testdata. Lines that begin with two spaces are what the engine wants; KITH_UPDATE=1 writes them.
func TestScripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no scripts")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{e: newEngine(contacts{"Anna": {"anna1", "anna2"}, "Carl": {"carl"}}), now: epoch}
			for lines := bufio.NewScanner(bytes.NewReader(want)); lines.Scan(); {
				line := lines.Text()
				if strings.HasPrefix(line, "  ") {
					continue
				}
				fmt.Fprintln(&s.out, line)
				if line != "" && line[0] != '#' {
					s.run(t, line)
				}
			}
			if os.Getenv("KITH_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(s.out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got := s.out.String(); got != string(want) {
				t.Errorf("the engine does otherwise:\n%s", got)
			}
		})
	}
}

func TestMessagesAreChecked(t *testing.T) {
	good := message{Kind: kindOffer, ID: long("a"), Name: "x", Size: 1, Files: 1, Link: linkOf("a")}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*message){
		"id":         func(m *message) { m.ID = "../../x" },
		"kind":       func(m *message) { m.Kind = 9 },
		"no name":    func(m *message) { m.Name = "" },
		"long name":  func(m *message) { m.Name = strings.Repeat("x", maxName+1) },
		"long note":  func(m *message) { m.Note = strings.Repeat("x", maxNote+1) },
		"size":       func(m *message) { m.Size = -1 },
		"files":      func(m *message) { m.Files = -1 },
		"link":       func(m *message) { m.Link = "http://example.com" },
		"not UTF-8":  func(m *message) { m.Note = "\xff" },
		"long state": func(m *message) { m.Kind, m.State = kindState, strings.Repeat("x", maxReason+1) },
	} {
		m := good
		spoil(&m)
		if err := m.check(); !errors.Is(err, kith.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A contact who floods gets so many offers in, and no more; others are not hindered, and what was decided makes room.
func TestFlood(t *testing.T) {
	e := newEngine(contacts{"Anna": {"anna1", "anna2"}, "Carl": {"carl"}})
	offer := func(from peer.ID, n int) reply {
		r, err := e.hear(epoch, from, message{Kind: kindOffer, ID: fmt.Sprintf("%032x", n), Name: "x", Link: linkOf("a"), Until: epoch.Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for n := range 5000 {
		if r := offer([]peer.ID{"anna1", "anna2"}[n%2], n); (r.State == refused) != (n >= maxOpen) {
			t.Fatalf("offer %d: %+v", n, r)
		}
	}
	notes := 0
	for _, a := range e.take() {
		if _, ok := a.(note); ok {
			notes++
		}
	}
	if len(e.in) != maxOpen || notes != 1 {
		t.Errorf("%d offers are kept, want %d; the person was told %d times, want once", len(e.in), maxOpen, notes)
	}
	if r := offer("carl", 1); r.State != offered {
		t.Errorf("somebody else's offer: %+v", r)
	}
	for n := range 5000 { // offered and taken back, again and again
		from := peer.ID("carl")
		offer(from, 10_000+n)
		if _, err := e.hear(epoch, from, message{Kind: kindEnd, ID: fmt.Sprintf("%032x", 10_000+n)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.in) > maxOpen+maxKept {
		t.Errorf("%d deliveries are kept", len(e.in))
	}
	if _, err := e.hear(epoch, "eve", message{Kind: kindOffer, ID: long("e"), Name: "x", Link: linkOf("e")}); !errors.Is(err, kith.Denied) {
		t.Errorf("a stranger's offer: %v", err)
	}
}

// pid returns a well-formed peer id, which an identity multihash is.
func pid(name string) peer.ID { return peer.ID("\x00" + string(byte(len(name))) + name) }

var ben, anna1, anna2 = pid("ben"), pid("anna1"), pid("anna2")

// A world is a sender and two devices of a contact, whose messages are lost and who crash.
type world struct {
	now   time.Time
	nodes map[peer.ID]*simNode
	queue []sent // conversations that were begun
}

type simNode struct {
	id     peer.ID
	people contacts
	e      *engine
	disk   map[any]string    // what was written down
	files  map[kith.Ref]bool // what is lent or being fetched; true: all of it is here
	bumps  int               // how often the node was started
}

type sent struct {
	from, to peer.ID
	msg      message
	start    int // of from: after a crash nobody waits for the reply
}

func newWorld() *world {
	w := &world{now: epoch, nodes: map[peer.ID]*simNode{}}
	for id, people := range map[peer.ID]contacts{ben: {"Anna": {anna1, anna2}}, anna1: {"Ben": {ben}}, anna2: {"Ben": {ben}}} {
		w.nodes[id] = &simNode{id: id, people: people, e: newEngine(people), disk: map[any]string{}, files: map[kith.Ref]bool{}}
	}
	return w
}

// settle does what a node's engine wants.
func (w *world) settle(n *simNode) {
	for actions := n.e.take(); len(actions) > 0; actions = n.e.take() {
		for _, a := range actions {
			switch a := a.(type) {
			case saveOut:
				b, _ := json.Marshal(a.outgoing)
				n.disk[a.ID] = string(b)
			case saveIn:
				b, _ := json.Marshal(a.incoming)
				n.disk[a.key()] = string(b)
			case dropOut:
				delete(n.disk, a.id)
			case dropIn:
				delete(n.disk, a.key)
			case readPath:
				ref := refOf(a.ID[:1])
				n.files[ref] = false
				n.e.hasRead(w.now, a.ID, ref, "film.mkv", 100, 1, nil)
			case tell:
				w.queue = append(w.queue, sent{n.id, a.to, a.msg, n.bumps})
			case fetch:
				if _, ok := n.files[a.ref()]; !ok {
					n.files[a.ref()] = false
					n.e.began(a.key(), a.ref())
				}
			case forget:
				if !n.files[a.ref] {
					delete(n.files, a.ref)
				}
			}
		}
	}
}

// crash starts a node anew with what it had written down.
func (w *world) crash(n *simNode) {
	n.e, n.bumps = newEngine(n.people), n.bumps+1
	for key, record := range n.disk {
		switch key.(type) {
		case string:
			o := &outgoing{}
			if err := json.Unmarshal([]byte(record), o); err != nil {
				panic(err)
			}
			n.e.out[o.ID] = o
		case inKey:
			i := &incoming{}
			if err := json.Unmarshal([]byte(record), i); err != nil {
				panic(err)
			}
			n.e.in[i.key()] = i
		}
	}
	n.e.revive(w.now)
	w.settle(n)
}

// converse carries out the conversation at i: "" wholly, or so that it is not reached, or broken before the reply.
func (w *world) converse(i int, fault string) {
	s := w.queue[i]
	w.queue = slices.Delete(w.queue, i, i+1)
	from, to := w.nodes[s.from], w.nodes[s.to]
	var r reply
	err := errNotReached
	if fault != "unreached" {
		if s.msg.Kind == kindOffer {
			s.msg.Link = linkOf(s.msg.ID[:1])
		}
		r, err = to.e.hear(w.now, s.from, s.msg)
		w.settle(to)
		if fault == "broken" {
			r, err = reply{}, errors.New("broken")
		}
	}
	if from.bumps != s.start {
		return
	}
	if s.msg.Kind == kindState {
		from.e.toldIn(w.now, s.to, s.msg, r, err)
	} else {
		from.e.toldOut(w.now, s.to, s.msg, r, err)
	}
	w.settle(from)
}

// look is what Send.look does.
func (w *world) look(n *simNode, finish bool) {
	for _, i := range n.e.takings() {
		whole, ok := n.files[i.ref()]
		switch {
		case !ok:
			n.e.progress(w.now, i.key(), course{state: declined})
		case whole || finish:
			n.files[i.ref()] = true
			n.e.progress(w.now, i.key(), course{state: delivered, path: "/inbox/film.mkv", done: 100})
		default:
			n.e.progress(w.now, i.key(), course{state: taking, done: 50, rate: 1})
		}
	}
	w.settle(n)
}

// Whatever is lost and whoever crashes: in the end both sides agree, what was taken is there, and nothing stays lent.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		names := slices.Sorted(maps.Keys(w.nodes))
		pick := func(label string) *simNode { return w.nodes[rapid.SampledFrom(names).Draw(t, label)] }
		sender, ids := w.nodes[ben], []string{}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				if len(ids) == 4 {
					t.Skip("enough is sent")
				}
				id := string("abcd"[len(ids)])
				ids = append(ids, id)
				sender.e.send(w.now, outgoing{ID: long(id), To: "Anna", Path: "/film.mkv", Key: make([]byte, 32), Until: w.now.Add(lifetime)})
				w.settle(sender)
			},
			"converse": func(t *rapid.T) {
				if len(w.queue) == 0 {
					t.Skip("nothing is on its way")
				}
				w.converse(rapid.IntRange(0, len(w.queue)-1).Draw(t, "which"), rapid.SampledFrom([]string{"", "", "unreached", "broken"}).Draw(t, "fault"))
			},
			"crash": func(t *rapid.T) { w.crash(pick("who")) },
			"decide": func(t *rapid.T) {
				n, num := pick("who"), rapid.IntRange(1, 4).Draw(t, "n")
				switch rapid.SampledFrom([]string{"accept", "accept", "accept", "decline", "rm", "cancel"}).Draw(t, "what") {
				case "accept":
					n.e.accept(w.now, num, "")
				case "decline":
					n.e.decline(w.now, num)
				case "rm":
					n.e.remove(w.now, num)
				case "cancel":
					n.e.cancel(w.now, num)
				}
				w.settle(n)
			},
			"look": func(t *rapid.T) { w.look(pick("who"), rapid.Bool().Draw(t, "finish")) },
			"pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 5, 60, 3600}).Draw(t, "seconds")) * time.Second)
				n := pick("who")
				n.e.tick(w.now)
				w.settle(n)
			},
			"came": func(t *rapid.T) { n := pick("who"); n.e.came(w.now, pick("peer").id); w.settle(n) },
		})
		w.rest(t)
		w.agree(t, ids)
	})
}

// rest lets everything be told, and everybody finish what they took and take what they are offered.
func (w *world) rest(t *rapid.T) {
	for range 300 {
		for len(w.queue) > 0 {
			w.converse(0, "")
		}
		w.now = w.now.Add(retryMost)
		for _, n := range w.nodes {
			for _, i := range n.e.incomings() {
				if i.State == offered {
					n.e.accept(w.now, i.N, "")
				}
			}
			w.settle(n)
			w.look(n, true)
			n.e.tick(w.now)
			w.settle(n)
		}
	}
}

func (w *world) agree(t *rapid.T, ids []string) {
	for _, id := range ids {
		o := w.nodes[ben].e.out[long(id)]
		if o == nil || !ended(o.State) {
			t.Fatalf("delivery %s has not ended: %+v", id, o)
		}
		if _, lent := w.nodes[ben].files[refOf(id)]; lent {
			t.Errorf("%s is %s, and lent still", id, o.State)
		}
		got := 0
		for _, name := range []peer.ID{anna1, anna2} {
			n := w.nodes[name]
			i, whole := n.e.in[inKey{ben, long(id)}], n.files[refOf(id)]
			if _, part := n.files[refOf(id)]; part && !whole {
				t.Errorf("%s has a part of %s, which is %s", name, id, o.State)
			}
			if whole {
				got++
			}
			if i != nil && (!ended(i.State) || i.State == delivered && !whole) {
				t.Errorf("%s: %s is %s at %s, which has all: %v", id, o.State, i.State, name, whole)
			}
		}
		if (o.State == delivered) != (got > 0) {
			t.Errorf("%s is %s, and %d devices have it", id, o.State, got)
		}
	}
}

// Both sides learn that there is no room; where, and how much, is for the recipient alone.
func TestTooLittleRoom(t *testing.T) {
	err := fmt.Errorf("blob: begin folder x: %w: %w", room.Short{Need: 30e6, Free: 24e6, Dir: "/home/anna"}, kith.Unavailable)
	c := courseOf(transfer.Status{State: transfer.Waiting, Err: err, Reason: err.Error()})
	if want := "no room: 30.0 MB is needed in /home/anna, 24.0 MB is free"; c.state != stuck || c.trouble != want {
		t.Errorf("the recipient reads %q (%s), want %q", c.trouble, c.state, want)
	}
	if want := "there is no room on the disk"; c.reason != want {
		t.Errorf("the sender reads %q, want %q", c.reason, want)
	}
}
