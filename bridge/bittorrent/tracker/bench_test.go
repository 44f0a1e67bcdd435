package tracker

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const benchSwarms = 1000

// BenchmarkOpentracker announces to this tracker and to Debian's opentracker, each a process of its own, in turn, as fast as they answer: over UDP, 50 peers wanted, from 8 sockets
// with 32 announces under way each. ratio is this one's announces a second to opentracker's.
func BenchmarkOpentracker(b *testing.B) {
	if port := os.Getenv("KITH_TEST_TRACKER"); port != "" {
		return
	}
	if _, err := exec.LookPath("opentracker"); err != nil {
		b.Skip("not compared with opentracker: make test installs it")
	}
	const here, there = 29691, 29692
	b.Run("udp", func(b *testing.B) {
		self := exec.Command(os.Args[0], "-test.run", "^TestServeForBenchmark$", "-test.timeout", "1h")
		self.Env = append(os.Environ(), fmt.Sprintf("KITH_TEST_TRACKER=%d", here))
		begin(b, self, here)
		dir := b.TempDir()
		var list strings.Builder
		for i := range benchSwarms {
			h := hashN(i)
			fmt.Fprintln(&list, hex.EncodeToString(h[:]))
		}
		conf := fmt.Sprintf("listen.udp 127.0.0.1:%d\nlisten.udp.workers 2\naccess.whitelist whitelist\ntracker.rootdir %s\ntracker.user nobody\n", there, dir)
		for name, text := range map[string]string{"whitelist": list.String(), "conf": conf} {
			if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		begin(b, exec.Command("opentracker", "-f", dir+"/conf"), there)
		var rates [2]float64
		spent := [2]time.Duration{}
		b.ResetTimer()
		for b.Loop() {
			for i, port := range []int{here, there} {
				n, d := flood(b, port, 20_000)
				rates[i] += float64(n)
				spent[i] += d
			}
		}
		ours, theirs := rates[0]/spent[0].Seconds(), rates[1]/spent[1].Seconds()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(ours, "announces/s")
		b.ReportMetric(theirs, "opentracker/s")
		b.ReportMetric(ours/theirs, "ratio")
	})
}

// TestServeForBenchmark is no test: it is the tracker's process in BenchmarkOpentracker.
func TestServeForBenchmark(t *testing.T) {
	port := os.Getenv("KITH_TEST_TRACKER")
	if port == "" {
		return
	}
	at := netip.MustParseAddrPort("127.0.0.1:" + port)
	tr, err := Listen(Options{At: []netip.Addr{at.Addr()}, Port: int(at.Port())})
	if err != nil {
		t.Fatal(err)
	}
	tr.Run(context.Background())
}

func begin(b *testing.B, cmd *exec.Cmd, port int) {
	b.Helper()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 100 {
		if c, err := dialTracker(port); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatalf("nobody answers at port %d", port)
}

type client struct {
	net.Conn
	id []byte
}

func dialTracker(port int) (*client, error) {
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * time.Second))
	in := make([]byte, 64)
	if _, err := c.Write(connectPacket()); err == nil {
		_, err = c.Read(in)
		if err == nil {
			c.SetDeadline(time.Time{})
			return &client{c, in[8:16]}, nil
		}
	}
	c.Close()
	return nil, fmt.Errorf("no connection id: %w", err)
}

// flood makes n announces to a port, and returns how many were answered, and how long it took.
func flood(b *testing.B, port, n int) (int64, time.Duration) {
	const sockets, window = 8, 32
	var all sync.WaitGroup
	var answered, peers atomic.Int64
	begin := time.Now()
	for s := range sockets {
		all.Go(func() {
			c, err := dialTracker(port)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := rand.New(rand.NewPCG(uint64(s), 1))
			in := make([]byte, 2048)
			say := func() {
				p := announcePacket(c.id, r.IntN(benchSwarms), uint16(1+r.IntN(200)))
				p[71] = byte(r.IntN(2)) // left
				c.Write(p)
			}
			for range window {
				say()
			}
			lost := 0
			for sent := window; sent < n/sockets; {
				c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				k, err := c.Read(in)
				if err != nil { // lost on the way: another window
					if lost++; lost == 50 {
						b.Errorf("port %d does not answer any more", port)
						return
					}
					for range window {
						say()
					}
					continue
				}
				if binary.BigEndian.Uint32(in) != actAnnounce {
					b.Errorf("%q", in[8:k])
					return
				}
				answered.Add(1)
				peers.Add(int64(k-20) / 6)
				sent++
				say()
			}
		})
	}
	all.Wait()
	return answered.Load(), time.Since(begin)
}
