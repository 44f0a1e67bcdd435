package send_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
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
	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: []int{got.N}, Detach: true})
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
	err := net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{N: []int{got.N}, Detach: true}, new(any))
	if !errors.Is(err, kith.Gone) || kith.HintOf(err) == "" {
		t.Errorf("taking what was declined: %v", err)
	}
}

// Whoever is away, and whoever stops without a word at whatever point: it arrives, and once.
func TestRestartInEveryState(t *testing.T) {
	net := pair(t)
	path, content := film(t, 1<<20)
	net.Node(1).Stop()
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	if d := leaves(t, net.Node(0), "waiting"); d.Text != "waiting for Anna to be online" {
		t.Errorf("while she is away the sender reads %q", d.Text)
	}
	net.Restart(0) // while it waits
	leaves(t, net.Node(0), "waiting")

	net.Restart(1)
	net.Connect(1, 0)
	arrives(t, net.Node(1), "offered")
	leaves(t, net.Node(0), "offered")
	net.Restart(1) // while it is offered
	net.Restart(0)

	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: []int{arrives(t, net.Node(1), "offered").N}, Detach: true})
	net.Restart(1) // while it is taken, from a node whose address has changed
	arrives(t, net.Node(1), "taking")
	net.Restart(0)
	net.Connect(0, 1)
	got := arrives(t, net.Node(1), "delivered")
	leaves(t, net.Node(0), "delivered")
	sameFile(t, got.Path, content)

	net.Restart(0) // when it is there
	net.Restart(1)
	net.Connect(0, 1)
	leaves(t, net.Node(0), "delivered")
	if m := until(t, net.Node(1), "inbox", func(send.MailOut) bool { return true }); len(m.In) != 1 || m.In[0].State != "delivered" {
		t.Errorf("in the end the inbox has %+v", m.In)
	}
	if all, err := os.ReadDir(filepath.Dir(got.Path)); err != nil || len(all) != 1 {
		t.Errorf("the inbox folder has %v, %v", all, err)
	}
	sharesNothing(t, net.Node(0))
}

func TestFolderTakenWithoutAsking(t *testing.T) {
	net := pair(t)
	do(t, net.Node(1), "inbox auto", send.AutoIn{Who: "ben", Max: "10kB"})
	dir := filepath.Join(t.TempDir(), "photos")
	if err := os.MkdirAll(filepath.Join(dir, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one.jpg", "lake/two.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{dir}})
	got := arrives(t, net.Node(1), "delivered")
	sameFile(t, filepath.Join(got.Path, "lake/two.jpg"), []byte("lake/two.jpg"))
	leaves(t, net.Node(0), "delivered")

	path, _ := film(t, 20_000)
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	if got := arrives(t, net.Node(1), "offered"); got.Files != 1 {
		t.Errorf("over the limit of what is taken without asking: %+v", got)
	}
}

func TestTakenBack(t *testing.T) {
	net := pair(t)
	path, _ := film(t, 1000)
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	d := leaves(t, net.Node(0), "offered")
	do(t, net.Node(0), "outbox cancel", send.NumberIn{N: d.N})
	arrives(t, net.Node(1), "cancelled")
	sharesNothing(t, net.Node(0))

	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	leaves(t, net.Node(0), "offered")
	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: []int{arrives(t, net.Node(1), "offered").N}, Detach: true})
	arrives(t, net.Node(1), "delivered")
}

func TestTwoDevices(t *testing.T) {
	net := apptest.New(t, 3, build)
	meet(t, net, 0, 1, "Anna")
	meet(t, net, 0, 2, "Anna")
	meet(t, net, 1, 0, "Ben")
	meet(t, net, 2, 0, "Ben")
	path, content := film(t, 100_000)
	post(t, net.Node(0), send.SendIn{To: "anna", Paths: []string{path}})
	arrives(t, net.Node(1), "offered")
	do(t, net.Node(2), "inbox accept", send.AcceptIn{N: []int{arrives(t, net.Node(2), "offered").N}, Detach: true})
	sameFile(t, arrives(t, net.Node(2), "delivered").Path, content)
	if d := arrives(t, net.Node(1), "cancelled"); d.Text != "taken back by Ben: taken on another device" {
		t.Errorf("the other device reads %q", d.Text)
	}
	leaves(t, net.Node(0), "delivered")
}

// Who is no contact of the recipient's can offer nothing, and learns nothing.
func TestStranger(t *testing.T) {
	net := apptest.New(t, 2, build)
	meet(t, net, 0, 1, "Anna") // she does not know Ben
	st, err := net.Node(0).Network().Open(t.Context(), net.Node(1).Network().ID(), send.ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	st.SetDeadline(time.Now().Add(30 * time.Second))
	st.Write([]byte{0})
	if n, err := st.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger was answered: %d bytes, %v", n, err)
	}
	path, _ := film(t, 10)
	in := send.SendIn{To: "Anna", Paths: []string{path}, Timeout: "2s"}
	if err := net.Node(0).Call(t.Context(), "send", "send", in, new(any)); !errors.Is(err, kith.Timeout) || kith.HintOf(err) == "" {
		t.Errorf("the sender is told %v", err)
	}
	var box send.BoxOut
	if err := net.Node(1).Call(t.Context(), "send", "inbox", nil, &box); err != nil || len(box.Deliveries) != 0 {
		t.Errorf("the inbox has %+v, %v", box, err)
	}
}

func TestWhatIsRefusedAtOnce(t *testing.T) {
	net := pair(t)
	path, _ := film(t, 10)
	for name, tt := range map[string]struct {
		in   send.SendIn
		kind error
	}{
		"nobody":    {send.SendIn{To: "@carl", Paths: []string{path}}, kith.NotFound},
		"no file":   {send.SendIn{To: "@anna", Paths: []string{path + "x"}}, kith.NotFound},
		"no path":   {send.SendIn{To: "@anna"}, kith.Invalid},
		"relative":  {send.SendIn{To: "@anna", Paths: []string{"film.mkv"}}, kith.Invalid},
		"long note": {send.SendIn{To: "@anna", Paths: []string{path}, Note: string(make([]byte, 1001))}, kith.Invalid},
		"expire":    {send.SendIn{To: "@anna", Paths: []string{path}, Expire: "soon"}, kith.Invalid},
	} {
		if err := net.Node(0).Call(t.Context(), "send", "send", tt.in, new(any)); !errors.Is(err, tt.kind) {
			t.Errorf("%s: %v, want %v", name, err, tt.kind)
		}
	}
}

// full is files on a disk that has no room until it is made.
type full struct {
	*files.Files
	room atomic.Bool
}

func (f *full) Fetched(ref kith.Ref) (transfer.Status, bool) {
	st, ok := f.Files.Fetched(ref)
	if ok && !f.room.Load() {
		st.State, st.Err = transfer.Waiting, &os.PathError{Op: "write", Path: "/home/anna/film.mkv", Err: syscall.ENOSPC}
		st.Reason = st.Err.Error()
	}
	return st, ok
}

func TestNoRoom(t *testing.T) {
	var disks []*full
	net := apptest.New(t, 2, func() ([]app.App, transfer.Guard) {
		f := &full{Files: files.New()}
		f.room.Store(len(disks) == 0)
		disks = append(disks, f)
		return []app.App{f.App(), send.New(f).App()}, f
	})
	meet(t, net, 0, 1, "Anna")
	meet(t, net, 1, 0, "Ben")
	path, content := film(t, 1000)
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{path}})
	n := arrives(t, net.Node(1), "offered").N
	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: []int{n}, Detach: true})
	if d := arrives(t, net.Node(1), "stuck"); !strings.Contains(d.Text, "/home/anna/film.mkv") {
		t.Errorf("the recipient reads %q", d.Text)
	}
	if d := leaves(t, net.Node(0), "stuck"); d.Text != "Anna could not go on: there is no room on the disk; it goes on from there when that is mended" {
		t.Errorf("the sender reads %q", d.Text)
	}
	err := net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{N: []int{n}}, new(any))
	if !errors.Is(err, kith.Unavailable) || kith.HintOf(err) == "" {
		t.Errorf("going on while there is no room, and waiting for it: %v", err)
	}
	disks[1].room.Store(true)
	do(t, net.Node(1), "inbox accept", send.AcceptIn{N: []int{n}, Detach: true})
	sameFile(t, arrives(t, net.Node(1), "delivered").Path, content)
	leaves(t, net.Node(0), "delivered")
}

// Several offers are taken at once, and followed until they are here; one need not be named.
func TestAcceptFollows(t *testing.T) {
	net := pair(t)
	one, first := film(t, 1<<20)
	two, second := film(t, 1000)
	err := net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{}, new(any))
	if !errors.Is(err, kith.NotFound) || kith.HintOf(err) == "" {
		t.Errorf("taking nothing: %v", err)
	}
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{one, two}})
	m := until(t, net.Node(1), "two offers", func(m send.MailOut) bool { return len(m.In) == 2 })
	err = net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{}, new(any))
	if !errors.Is(err, kith.Invalid) || kith.HintOf(err) != "all of them: kith inbox accept 1 2" {
		t.Errorf("taking one of two: %v; %s", err, kith.HintOf(err))
	}
	err = net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{N: []int{1, 2}, Output: filepath.Join(t.TempDir(), "nowhere")}, new(any))
	if !errors.Is(err, kith.NotFound) {
		t.Errorf("taking two into what is no folder: %v", err)
	}
	err = net.Node(1).Call(t.Context(), "send", "inbox accept", send.AcceptIn{N: []int{1, 9}}, new(any))
	if !errors.Is(err, kith.NotFound) || arrives(t, net.Node(1), "offered").N != m.In[1].N {
		t.Errorf("taking one that is there and one that is not: %v", err)
	}
	var out send.AcceptOut
	err = net.Node(1).Watch(t.Context(), "send", "inbox accept", send.AcceptIn{N: []int{1, 2}}, func(data []byte) bool {
		out = send.AcceptOut{}
		return json.Unmarshal(data, &out) == nil
	})
	if err != nil || len(out.Taken) != 2 || out.Taken[0].State != "delivered" || out.Taken[1].State != "delivered" {
		t.Fatalf("it ended with %+v, %v", out, err)
	}
	for _, d := range out.Taken {
		want := first
		if d.Size == int64(len(second)) {
			want = second
		}
		sameFile(t, d.Path, want)
	}
	post(t, net.Node(0), send.SendIn{To: "Anna", Paths: []string{two}})
	arrives(t, net.Node(1), "offered")
	do(t, net.Node(1), "inbox accept", send.AcceptIn{Detach: true})
	arrives(t, net.Node(1), "delivered")
}
