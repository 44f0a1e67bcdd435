// Package send sends files and folders to a person, and receives what others send: an outbox, and an inbox.
//
// It moves no bytes itself: what is sent is shared for the time being, encrypted, and the offer carries the link; who takes it fetches
// it as anything else. Its one idea: both sides hold their own record of a delivery and tell each other how it stands, again and again
// until they agree, so that neither a restart nor a lost message loses it or doubles it. What decides is a pure engine.
package send

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kith"
	"kith/app"
	"kith/internal/bell"
	"kith/internal/db"
	"kith/internal/room"
	"kith/transfer"
)

// Files is what send needs of the application that shares and fetches.
type Files interface {
	// Lend shares path, encrypted with key, until Forget. A second call with the same key returns what was shared by the first.
	Lend(ctx context.Context, path string, key [32]byte, tell func(done, total int64)) (ref kith.Ref, name string, size int64, files int, err error)
	// Lent returns the link of what is lent, with this node's addresses as they are now; Gone if the file has changed since, NotFound if it
	// is not shared any more.
	Lent(ref kith.Ref) (kith.Link, error)
	// Fetch begins to fetch what link names into dir, or goes on with it; began is false if it was on the list before.
	Fetch(ctx context.Context, link, dir string) (began bool, err error)
	// Fetched returns how that goes; ok is false if there is no such download.
	Fetched(ref kith.Ref) (s transfer.Status, ok bool)
	// Forget stops sharing what is lent, and gives up what is being fetched. What was fetched to its end stays.
	Forget(ctx context.Context, ref kith.Ref) error
}

// Send is the application.
type Send struct {
	files Files
	env   app.Env
	db    *sql.DB
	bell  bell.Bell // rung when a delivery changes

	calls    chan call
	closing  chan struct{} // closed by stop
	closed   chan struct{} // closed when the loop has ended
	stopOnce sync.Once
	talking  chan struct{} // a place for each conversation that this node begins
	behind   bool          // something could not be written down; the loop's alone
	fetching map[inKey]int // fetches that are being begun; the loop's alone
}

// A call is something to do with the engine, and where its error goes.
type call struct {
	run  func(e *engine, now time.Time) error
	done chan error
}

const maxTalks = 16 // conversations that this node begins at once

// New returns a Send that has not been started.
func New(files Files) *Send {
	return &Send{
		files: files, calls: make(chan call), closing: make(chan struct{}), closed: make(chan struct{}),
		talking: make(chan struct{}, maxTalks), fetching: map[inKey]int{},
	}
}

// App describes the application; it is the table of contents of this package.
func (s *Send) App() app.App {
	return app.App{
		Name: "send",
		Help: "send files to people, and receive what they send",
		Root: true,
		Ops: []app.Op{
			sendOp(s.send), outboxOp(s.outbox), cancelOp(s.cancel),
			inboxOp(s.inbox), acceptOp(s.accept), declineOp(s.decline), removeOp(s.remove), autoOp(s.auto), mailOp(s.mail),
		},
		Protocols: []app.Protocol{{ID: ProtocolID, Serve: s.serve}},
		Start:     s.start,
		Stop:      s.stop,
	}
}

func (s *Send) start(ctx context.Context, env app.Env) error {
	state, note, err := db.Open(filepath.Join(env.Dir, "send.db"), env.Log, database)
	if err != nil {
		return fmt.Errorf("send: start: %w", err)
	}
	if note != "" {
		env.Note(note)
	}
	e := newEngine(env.People)
	if err := load(ctx, state, e); err != nil {
		return errors.Join(err, state.Close())
	}
	s.env, s.db = env, state
	env.Go("send.run", func(ctx context.Context) error { return s.run(ctx, e) })
	return nil
}

func (s *Send) stop(context.Context) error {
	if s.db == nil {
		return nil
	}
	s.stopOnce.Do(func() { close(s.closing) })
	<-s.closed
	return s.db.Close()
}

// How often it is looked at what is on its way, and whether what is offered is there still.
const (
	lookEvery  = 500 * time.Millisecond
	guardEvery = 5 * time.Second
)

// run owns the engine: it alone calls it, and does what it wants.
func (s *Send) run(ctx context.Context, e *engine) error {
	defer close(s.closed)
	events, cancel := s.env.Host.Subscribe()
	defer cancel()
	e.revive(time.Now())
	for _, p := range s.env.Host.Peers() {
		e.came(time.Now(), p.ID)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looked time.Time
	for {
		if err := s.carryOut(ctx, e); err != nil {
			s.env.Log.Warn("delivery not saved", "err", err)
		}
		now := time.Now()
		wait := e.next(now).Sub(now)
		switch {
		case len(e.takings()) > 0:
			wait = min(wait, looked.Add(lookEvery).Sub(now)) // however often it is called meanwhile
		case s.behind || e.open():
			wait = min(wait, looked.Add(guardEvery).Sub(now))
		}
		timer.Reset(max(wait, 0))
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case c := <-s.calls:
			err := c.run(e, time.Now())
			if saved := s.carryOut(ctx, e); err == nil {
				err = saved
			}
			c.done <- err
			s.bell.Ring()
		case ev, ok := <-events:
			if ok && ev.Connected {
				e.came(time.Now(), ev.Peer)
			} else if !ok {
				events = nil
			}
		case <-timer.C:
			looked = time.Now()
			s.look(e)
			e.tick(looked)
		}
	}
}

var errStops = kith.Hint(fmt.Errorf("send: the node stops: %w", kith.Unavailable), "nothing is lost: start it again with kith up")

// do runs f with the engine, and returns when what it changed is written down.
func (s *Send) do(ctx context.Context, f func(e *engine, now time.Time) error) error {
	c := call{f, make(chan error, 1)}
	select {
	case s.calls <- c:
	case <-s.closing:
		return errStops
	case <-s.closed:
		return errStops
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		return err
	case <-s.closed:
		return errStops
	}
}

// carryOut does what the engine wants: first it writes down, then the rest begins.
func (s *Send) carryOut(ctx context.Context, e *engine) error {
	actions := e.take()
	if s.behind {
		for _, o := range e.outgoings() {
			actions = append(actions, saveOut{o.copied()})
		}
		for _, i := range e.incomings() {
			actions = append(actions, saveIn{*i})
		}
		s.behind = false
	}
	var failed error
	for _, a := range actions {
		if err := write(ctx, s.db, a); err != nil {
			failed, s.behind = err, true
		}
	}
	for _, a := range actions {
		switch a := a.(type) {
		case readPath:
			s.env.Go("send.read", func(ctx context.Context) error { return s.read(ctx, a.outgoing) })
		case tell:
			s.env.Go("send.tell", func(ctx context.Context) error { return s.tell(ctx, a) })
		case fetch:
			s.fetching[a.key()]++
			s.env.Go("send.fetch", func(ctx context.Context) error { return s.fetch(ctx, a) })
		case forget:
			s.env.Go("send.forget", func(ctx context.Context) error { return s.files.Forget(ctx, a.ref) })
		case note:
			s.env.Note(a.text)
		}
	}
	if len(actions) > 0 {
		s.bell.Ring()
	}
	return failed
}

// read reads what is sent, to know what to offer.
func (s *Send) read(ctx context.Context, o outgoing) error {
	var last time.Time
	ref, name, size, files, err := s.files.Lend(ctx, o.Path, [32]byte(o.Key), func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= lookEvery {
			last = now
			s.do(ctx, func(e *engine, _ time.Time) error { e.read(o.ID, done, total); return nil })
		}
	})
	if err != nil && ctx.Err() != nil {
		return nil // it is read again at the next start
	}
	return s.do(ctx, func(e *engine, now time.Time) error { e.hasRead(now, o.ID, ref, name, size, files, err); return nil })
}

// tell tells a peer something, and the engine how that went.
func (s *Send) tell(ctx context.Context, t tell) error {
	r, err := s.say(ctx, t)
	return s.do(ctx, func(e *engine, now time.Time) error {
		if t.msg.Kind == kindState {
			e.toldIn(now, t.to, t.msg, r, err)
		} else {
			e.toldOut(now, t.to, t.msg, r, err)
		}
		return nil
	})
}

func (s *Send) say(ctx context.Context, t tell) (reply, error) {
	select {
	case s.talking <- struct{}{}:
		defer func() { <-s.talking }()
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
	if t.msg.Kind == kindOffer {
		l, err := s.files.Lent(t.ref)
		if err != nil {
			return reply{}, errors.Join(errNotReached, err) // look tells the engine
		}
		t.msg.Link = l.String()
	}
	return s.talk(ctx, t.to, t.msg)
}

// fetch begins to fetch what was taken.
func (s *Send) fetch(ctx context.Context, i fetch) error {
	dir := i.Dir
	var err error
	if dir == "" {
		dir = filepath.Join(s.env.Files, "Inbox")
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil && i.anew && i.Ours {
		err = s.files.Forget(ctx, i.ref())
	}
	began := false
	if err == nil {
		began, err = s.files.Fetch(ctx, i.Link, dir)
	}
	return s.do(ctx, func(e *engine, now time.Time) error {
		if began {
			e.began(i.key(), i.ref())
		}
		if s.fetching[i.key()]--; s.fetching[i.key()] == 0 {
			delete(s.fetching, i.key())
		}
		if err != nil {
			e.progress(now, i.key(), course{state: stuck, reason: public(err), trouble: err.Error()})
		}
		return nil
	})
}

// look tells the engine how what is on its way goes, and whether what is offered is there still.
func (s *Send) look(e *engine) {
	now := time.Now()
	for _, i := range e.takings() {
		st, ok := s.files.Fetched(i.ref())
		switch {
		case s.fetching[i.key()] > 0:
		case !ok && i.State == taking:
			e.progress(now, i.key(), course{state: declined})
		case !ok:
		case st.Size > i.Size:
			e.tooMuch(now, i.key(), st.Size)
		default:
			e.progress(now, i.key(), courseOf(st))
		}
	}
	for _, o := range e.outgoings() {
		if o.State != reading && !ended(o.State) {
			if _, err := s.files.Lent(o.Ref); err != nil {
				e.lost(now, o.ID, err.Error())
			}
		}
	}
}

// courseOf returns how a download goes, in the engine's words.
func courseOf(st transfer.Status) course {
	c := course{state: taking, trouble: trouble(st), path: st.Path, done: st.Done, rate: st.Rate}
	switch {
	case st.State == transfer.Done:
		c.state, c.trouble = delivered, ""
	case st.State == transfer.Failed, st.State == transfer.Waiting && st.Err != nil:
		c.state, c.reason = stuck, public(st.Err)
	case st.State == transfer.Paused && st.Err != nil:
		c.state, c.reason = stuck, public(st.Err)
	}
	return c
}

// trouble says why a download does not go on, to the person here.
func trouble(st transfer.Status) string {
	if short := (room.Short{}); errors.As(st.Err, &short) {
		return "no room: " + short.Error()
	}
	return st.Reason
}

// public says of a trouble what is the sender's business too.
func public(err error) string {
	if room.Full(err) {
		return "there is no room on the disk"
	}
	return "it cannot be saved there"
}
