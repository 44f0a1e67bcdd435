package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/app"
	"kith/apptest"
	"kith/network"
	"kith/transfer"
	"kith/wire"
)

// begin add-an-app.md

// Protocol is what peers are greeted over: one frame each way.
const Protocol protocol.ID = "/kith/hello/1"

// Limits of what a peer may send, and of how long it may take.
const (
	maxGreeting = 1 << 10 // bytes
	greetTime   = 10 * time.Second
)

// Hello is the application.
type Hello struct{ env app.Env }

// New returns a Hello that has not been started.
func New() *Hello { return &Hello{} }

// App describes the application; it is the table of contents of this package.
func (h *Hello) App() app.App {
	return app.App{
		Name:      "hello",
		Help:      "say hello to a peer",
		Ops:       []app.Op{app.NewOp("greet", "say hello to a peer", h.greet)},
		Protocols: []app.Protocol{{ID: Protocol, Serve: h.serve}},
		Start:     func(_ context.Context, env app.Env) error { h.env = env; return nil },
	}
}

// GreetIn names whom to greet.
type GreetIn struct {
	Peer string `json:"peer" arg:"0" doc:"peer id, as kith id shows it there"`
}

// GreetOut is what they said.
type GreetOut struct {
	Answer string `json:"answer"`
}

func (h *Hello) greet(ctx context.Context, in GreetIn) (GreetOut, error) {
	id, err := peer.Decode(in.Peer)
	if err != nil {
		return GreetOut{}, kith.Hint(fmt.Errorf("hello: greet %.80q: no peer id: %w", in.Peer, kith.Invalid), "they find theirs with: kith id")
	}
	s, err := h.env.Net.Open(ctx, id, Protocol)
	if err != nil {
		return GreetOut{}, fmt.Errorf("hello: greet: %w", err)
	}
	defer s.Close()
	s.SetDeadline(time.Now().Add(greetTime))
	if err := wire.WriteMsg(s, "hello"); err != nil {
		return GreetOut{}, err
	}
	var out GreetOut
	return out, wire.ReadMsg(bufio.NewReader(s), maxGreeting, &out.Answer)
}

// serve answers a greeting. It is called on a goroutine of its own for each stream, which is closed when it returns.
func (h *Hello) serve(_ context.Context, s network.Stream) error {
	s.SetDeadline(time.Now().Add(greetTime))
	var greeting string
	if err := wire.ReadMsg(bufio.NewReader(s), maxGreeting, &greeting); err != nil {
		return fmt.Errorf("hello: %s: %w", s.Peer(), err)
	}
	return wire.WriteMsg(s, greeting+" to you too")
}

// end

// TestHello runs the application of the guide on two nodes.
func TestHello(t *testing.T) {
	net := apptest.New(t, 2, func() ([]app.App, transfer.Guard) { return []app.App{New().App()}, nil })
	var out GreetOut
	err := net.Node(1).Call(t.Context(), "hello", "greet", GreetIn{net.Node(0).Network().ID().String()}, &out)
	if err != nil || out.Answer != "hello to you too" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := net.Node(1).Call(t.Context(), "hello", "greet", GreetIn{"nobody"}, &out); !errors.Is(err, kith.Invalid) {
		t.Errorf("greeting nobody: %v", err)
	}
}

// TestGuide checks that the guide shows the code that TestHello runs.
func TestGuide(t *testing.T) {
	_, code, _ := strings.Cut(read(t, "hello_test.go"), "// begin add-an-app.md\n\n")
	code, _, _ = strings.Cut(code, "\n// end\n")
	if !strings.Contains(read(t, "add-an-app.md"), "```go\n"+code+"```\n") {
		t.Error("add-an-app.md does not show the code between begin and end of hello_test.go")
	}
}
