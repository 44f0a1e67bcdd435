//go:build linux

package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
)

// lines makes a Net, or skips where there cannot be one.
func lines(t testing.TB, specs ...Spec) *Net {
	t.Helper()
	n, err := New(Config{Hosts: specs})
	if errors.Is(err, kith.Unavailable) {
		t.Skip("packets over real devices were not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func (h *Host) listen(t testing.TB) (l net.Listener) {
	t.Helper()
	if err := h.Do(func() (err error) { l, err = net.Listen("tcp4", h.Addr.String()+":0"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (h *Host) dial(t testing.TB, l net.Listener) (c net.Conn) {
	t.Helper()
	if err := h.Do(func() (err error) { c, err = net.Dial("tcp4", l.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// copies sends size bytes from one host to the other over TCP and returns how long it took.
func copies(t testing.TB, from, to *Host, size int64) time.Duration {
	t.Helper()
	l := from.listen(t)
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.CopyN(c, zeros{}, size)
			c.Close()
		}
	}()
	start := time.Now()
	if n, err := io.Copy(io.Discard, to.dial(t, l)); n != size || err != nil {
		t.Fatalf("%d of %d bytes: %v", n, size, err)
	}
	return time.Since(start)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestDelayAndRate(t *testing.T) {
	n := lines(t, Spec{Name: "a", Delay: 10 * ms, Up: 20e6}, Spec{Name: "b", Delay: 20 * ms})
	a, b := n.Host("a"), n.Host("b")
	start := time.Now()
	b.dial(t, a.listen(t)) // one round trip
	if rtt := time.Since(start); rtt < 60*ms || rtt > 300*ms {
		t.Errorf("connecting took %v, not 60 ms and a little", rtt)
	}
	const size = 2 << 20
	least := time.Duration(size * 8 / 20e6 * 1e9)
	if took := copies(t, a, b, size); took < least {
		t.Errorf("%d bytes took %v, less than the line's %v", size, took, least)
	}
	if s := a.Stats(); s.Sent < size || s.Sent > size*13/10 {
		t.Errorf("%+v sent for %d bytes", s, size)
	}
}

func TestLoss(t *testing.T) {
	n := lines(t, Spec{Name: "a", Loss: 1}, Spec{Name: "b"})
	from, to := n.Host("a"), n.Host("b")
	err := from.Do(func() error {
		c, err := net.Dial("udp4", net.JoinHostPort(to.Addr.String(), "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); from.Stats().Dropped == 0; time.Sleep(ms) {
		if time.Now().After(deadline) {
			t.Fatal("a line that loses everything lost nothing")
		}
	}
}

// TestCommand: a program runs inside the host, cannot reach the network outside, and is dead after Close.
func TestCommand(t *testing.T) {
	n := lines(t, Spec{Name: "a"})
	h := n.Host("a")
	out, err := h.Command(t.Context(), "cat", "/proc/net/dev").CombinedOutput()
	if err != nil || !strings.Contains(string(out), device) || strings.Contains(string(out), "eth0") {
		t.Fatalf("%v: %s", err, out)
	}
	sleep := h.Command(t.Context(), "sh", "-c", "sleep 1000 & echo up; wait")
	pipe, err := sleep.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(pipe, make([]byte, 3))
	if got := h.space.Processes(); len(got) != 2 {
		t.Errorf("processes %v run, not a shell and its sleep", got)
	}
	n.Close()
	var exit *exec.ExitError
	if err := sleep.Wait(); !errors.As(err, &exit) {
		t.Errorf("ended with %v, was not killed", err)
	}
	if got := h.space.Processes(); len(got) != 0 {
		t.Errorf("processes %v are left", got)
	}
}

// BenchmarkCopy is one plain TCP copy between homes of 50 Mbit/s that are 20 ms apart; x-ideal is its time over size ÷ rate.
func BenchmarkCopy(b *testing.B) {
	n := lines(b, Spec{Name: "a", Up: 50e6, Down: 50e6, Delay: 10 * ms}, Spec{Name: "b", Up: 50e6, Down: 50e6, Delay: 10 * ms})
	const size = 64 << 20
	b.SetBytes(size)
	var took time.Duration
	for b.Loop() {
		took += copies(b, n.Host("a"), n.Host("b"), size)
	}
	b.ReportMetric(took.Seconds()/float64(b.N)/(size*8/50e6), "x-ideal")
}

// BenchmarkCapacity is what the engine carries in all when nothing limits it: nine hosts, each sending to the next.
func BenchmarkCapacity(b *testing.B) {
	var specs []Spec
	for i := range 9 {
		specs = append(specs, Spec{Name: fmt.Sprint(i), Up: 1e9, Down: 1e9, Delay: 5 * ms})
	}
	n := lines(b, specs...)
	const size = 32 << 20
	b.SetBytes(size * 9)
	for b.Loop() {
		var all sync.WaitGroup
		for i, h := range n.Hosts() {
			all.Go(func() { copies(b, h, n.Hosts()[(i+1)%9], size) })
		}
		all.Wait()
	}
}
