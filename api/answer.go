package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"kith"
)

// heartbeat is how often a stream that has nothing to say shows that it lives.
const heartbeat = 15 * time.Second

// An answer is what one call sends back: one JSON value, or server-sent events. An error that comes before the first value is an
// HTTP error, a later one an event.
type answer struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	stream bool
	stop   chan struct{}

	mu    sync.Mutex // the operation and the heartbeat both write
	begun bool
	over  bool
}

func newAnswer(w http.ResponseWriter, stream bool) *answer {
	a := &answer{w: w, rc: http.NewResponseController(w), stream: stream, stop: make(chan struct{})}
	if stream {
		go a.beat()
	}
	return a
}

func (a *answer) beat() {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-t.C:
			a.mu.Lock()
			if !a.over {
				a.send([]byte(":\n\n"))
			}
			a.mu.Unlock()
		}
	}
}

// send writes events; mu is held.
func (a *answer) send(data []byte) error {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "text/event-stream")
		a.w.Header().Set("X-Accel-Buffering", "no")
	}
	a.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := a.w.Write(data); err != nil {
		return err
	}
	return a.rc.Flush()
}

// value sends one value. Its error means that the caller has gone.
func (a *answer) value(v any) error {
	data, err := encode(v)
	if err != nil {
		a.fail(fmt.Errorf("api: encode output: %w: %w", err, kith.Internal))
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stream {
		return a.send(event("", data))
	}
	if a.begun {
		return nil
	}
	return a.one(data)
}

// one writes the only value; mu is held.
func (a *answer) one(data []byte) error {
	a.begun = true
	a.w.Header().Set("Content-Type", "application/json")
	a.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := a.w.Write(append(data, '\n'))
	return err
}

// fail sends an error, which is the last thing sent.
func (a *answer) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.over:
	case !a.begun:
		a.begun = true
		writeProblem(a.w, err)
	case a.stream:
		data, _ := json.Marshal(problemOf(err))
		a.send(event("error", data))
	}
	a.over = true
}

// end says that all values were sent.
func (a *answer) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stream && !a.over {
		a.send(event("end", []byte("{}")))
	} else if !a.begun {
		a.one([]byte("{}"))
	}
	a.over = true
}

// close waits for nothing, and stops the heartbeat.
func (a *answer) close() {
	close(a.stop)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.rc.SetWriteDeadline(time.Time{})
}

// event returns one server-sent event; data is JSON, so it has no line break.
func event(name string, data []byte) []byte {
	var b bytes.Buffer
	if name != "" {
		b.WriteString("event: " + name + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes()
}
