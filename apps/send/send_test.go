package send_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apps/send"
	"kith/apptest"
	"kith/transfer"
)

func build() ([]app.App, transfer.Guard) {
	f := files.New()
	return []app.App{f.App(), send.New(f).App()}, f
}

// meet makes the owner of node j a contact of node i's, called name.
func meet(t *testing.T, net *apptest.Net, i, j int, name string) {
	t.Helper()
	who := map[string]string{"name": name, "peer": net.Node(j).Network().ID().String()}
	if err := net.Node(i).Call(t.Context(), "node", "people add", who, new(any)); err != nil {
		t.Fatal(err)
	}
}

// pair starts two nodes whose owners are contacts: Ben at node 0, Anna at node 1.
func pair(t *testing.T) *apptest.Net {
	t.Helper()
	net := apptest.New(t, 2, build)
	meet(t, net, 0, 1, "Anna")
	meet(t, net, 1, 0, "Ben")
	return net
}

// film makes a file of n random bytes.
func film(t *testing.T, n int) (path string, content []byte) {
	t.Helper()
	path, content = filepath.Join(t.TempDir(), "film.mkv"), make([]byte, n)
	rand.Read(content)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// post sends without waiting.
func post(t *testing.T, n *apptest.Node, in send.SendIn) {
	t.Helper()
	in.Detach = true
	if err := n.Call(t.Context(), "send", "send", in, new(any)); err != nil {
		t.Fatal(err)
	}
}

// do runs an operation on a delivery.
func do(t *testing.T, n *apptest.Node, op string, in any) {
	t.Helper()
	if err := n.Call(t.Context(), "send", op, in, new(any)); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
}

// until watches the boxes of a node until they are as wanted.
func until(t *testing.T, n *apptest.Node, what string, wanted func(send.MailOut) bool) (last send.MailOut) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := false
	err := n.Watch(ctx, "send", "mail", nil, func(data []byte) bool {
		last = send.MailOut{}
		if err := json.Unmarshal(data, &last); err != nil {
			t.Error(err)
		}
		found = wanted(last)
		return !found
	})
	if err != nil || !found {
		t.Fatalf("%s: it never came so far: %+v, %v", what, last, err)
	}
	return last
}

// arrives waits until the last delivery in node n's inbox is in a state.
func arrives(t *testing.T, n *apptest.Node, state string) send.Delivery {
	t.Helper()
	m := until(t, n, "inbox "+state, func(m send.MailOut) bool { return len(m.In) > 0 && m.In[len(m.In)-1].State == state })
	return m.In[len(m.In)-1]
}

// leaves waits until the last delivery in node n's outbox is in a state.
func leaves(t *testing.T, n *apptest.Node, state string) send.Delivery {
	t.Helper()
	m := until(t, n, "outbox "+state, func(m send.MailOut) bool { return len(m.Out) > 0 && m.Out[len(m.Out)-1].State == state })
	return m.Out[len(m.Out)-1]
}

func sameFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not those sent (%d), %v", path, len(got), len(want), err)
	}
}

// shares returns what a node shares.
func shares(t *testing.T, n *apptest.Node) (all []files.Item) {
	t.Helper()
	var ls files.LsOut
	if err := n.Call(t.Context(), "files", "ls", nil, &ls); err != nil {
		t.Fatal(err)
	}
	for _, it := range ls.Items {
		if it.Kind == "share" {
			all = append(all, it)
		}
	}
	return all
}

// sharesNothing waits until a node shares nothing.
func sharesNothing(t *testing.T, n *apptest.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := n.Watch(ctx, "files", "watch", nil, func([]byte) bool { return len(shares(t, n)) > 0 })
	if err != nil || ctx.Err() != nil {
		t.Errorf("it is shared still: %v", err)
	}
}

func TestSendAndAccept(t *testing.T) {
	net := pair(t)
	path, content := film(t, 3<<20+17)
	post(t, net.Node(0), send.SendIn{To: "@anna", Paths: []string{path}, Note: "from the lake"})
	leaves(t, net.Node(0), "offered")
	got := arrives(t, net.Node(1), "offered")
	if got.Who != "Ben" || got.Name != "film.mkv" || got.Size != int64(len(content)) || got.Files != 1 || got.Note != "from the lake" {
		t.Errorf("offered %+v", got)
	}
	if s := shares(t, net.Node(0)); len(s) != 1 || !s[0].Private || s[0].For != "contacts" {
		t.Errorf("while it is offered, %+v is shared", s)
	}
	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: got.N})
	got = arrives(t, net.Node(1), "delivered")
	if want := filepath.Join(net.Node(1).Dir, "files", "Inbox", "film.mkv"); got.Path != want {
		t.Errorf("it is at %s, want %s", got.Path, want)
	}
	sameFile(t, got.Path, content)
	leaves(t, net.Node(0), "delivered")
	sharesNothing(t, net.Node(0))
	sameFile(t, path, content)
}

func TestDecline(t *testing.T) {
	net := pair(t)
	path, _ := film(t, 1000)
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	got := arrives(t, net.Node(1), "offered")
	do(t, net.Node(1), "inbox decline", send.NumberIn{N: got.N})
	if d := leaves(t, net.Node(0), "declined"); d.Text != "Anna declined it" {
		t.Errorf("the sender reads %q", d.Text)
	}
	err := net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{N: got.N}, new(any))
	if !errors.Is(err, kith.Gone) || kith.HintOf(err) == "" {
		t.Errorf("taking what was declined: %v", err)
	}
}
