package network

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	benchBytes = 1 << 30
	benchBlock = 256 << 10
)

// pour writes n bytes in blocks.
func pour(w io.Writer, n int64) error {
	block := make([]byte, benchBlock)
	for ; n > 0; n -= benchBlock {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// drain reads to the end.
func drain(b *testing.B, r io.Reader) {
	b.Helper()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, benchBlock))
	if n != benchBytes || err != nil {
		b.Fatalf("%d bytes, %v", n, err)
	}
}

// plainTCP returns how long the bytes take over one TCP connection without any protection.
func plainTCP(b *testing.B) time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			pour(c, benchBytes)
			c.Close()
		}
	}()
	began := time.Now()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	drain(b, c)
	return time.Since(began)
}

// BenchmarkGiB carries 1 GiB over one stream of each kind between two nodes in this process; x-tcp is the time it takes divided by that of plain TCP just
// before. Run it with -benchtime 3x.
func BenchmarkGiB(b *testing.B) {
	for _, kind := range []struct {
		name, listen string
		open         func(*Network, context.Context, peer.ID, protocol.ID) (Stream, error)
	}{
		{"bulk", "/ip4/127.0.0.1/tcp/0", (*Network).OpenBulk},
		{"tcp-tls-yamux", "/ip4/127.0.0.1/tcp/0", (*Network).Open},
		{"quic", "/ip4/127.0.0.1/udp/0/quic-v1", (*Network).Open},
	} {
		b.Run(kind.name, func(b *testing.B) {
			seed, fetcher := newNode(b, listen(kind.listen)), newNode(b)
			seed.Handle("/pour/1", func(_ context.Context, s Stream) error { return pour(s, benchBytes) })
			if err := fetcher.Connect(soon(b), info(seed)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(benchBytes)
			var plain, ours time.Duration
			for b.Loop() {
				b.StopTimer()
				plain += plainTCP(b)
				b.StartTimer()
				began := time.Now()
				s, err := kind.open(fetcher, b.Context(), seed.ID(), "/pour/1")
				if err != nil || s.Bulk() != (kind.name == "bulk") {
					b.Fatalf("open: %v", err)
				}
				drain(b, s)
				s.Close()
				ours += time.Since(began)
			}
			b.ReportMetric(float64(ours)/float64(plain), "x-tcp")
		})
	}
}
