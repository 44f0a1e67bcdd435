package transfer

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith/blob"
	"kith/network"
)

// A tlsNode is a node whose streams are TLS connections over loopback TCP, as bulk streams of the network are.
type tlsNode struct {
	*node
	addr string
}

func (n tlsNode) OpenBulk(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error) {
	c, err := tls.Dial("tcp", n.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	return &stream{Conn: c, peer: to}, nil
}

// listen serves seed over TLS, and returns the address.
func listen(b *testing.B, seed *node) string {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, pub, key)
	if err != nil {
		b.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				s := &stream{Conn: c, peer: newID(b)}
				seed.m.Serve(context.Background(), s)
				s.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// tlsPair returns a seed and who fetches from it over TLS.
func tlsPair(b *testing.B) (seed *node, leech *node) {
	h := newHub(b)
	seed, leech = h.node(), h.node()
	leech.m.Close()
	leech.m = New(Options{Blobs: leech.store, Net: tlsNode{node: leech, addr: listen(b, seed)}, Guard: leech})
	return seed, leech
}

const benchSize = 1 << 30

// BenchmarkFetch fetches 1 GiB over TLS on loopback to "verified and on disk", and copies it over plain TCP and hashes it with SHA-256 in the
// same run; ×tcpsha is the ratio of the two.
func BenchmarkFetch(b *testing.B) {
	path := filepath.Join(b.TempDir(), "shared.bin")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchSize >> 20 {
		f.Write(noise(uint64(i), 1<<20))
	}
	f.Close()
	var mine, theirs time.Duration
	for b.Loop() {
		theirs += tcpSHA(b, path)
		seed, leech := tlsPair(b)
		root := seed.sharePath(path, blob.ImportOptions{})
		start := time.Now()
		d := leech.get(root, seed)
		if err := d.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		mine += time.Since(start)
		leech.stop()
		os.Remove(d.Status().Path)
	}
	b.ReportMetric(float64(b.N)*benchSize/1e6/mine.Seconds(), "MB/s")
	b.ReportMetric(float64(mine)/float64(theirs), "×tcpsha")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "tcpsha-s")
}

// tcpSHA copies the file at path over plain TCP into another, syncs it, and then hashes that.
func tcpSHA(b *testing.B, path string) time.Duration {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		f, err := os.Open(path)
		if err == nil {
			io.Copy(c, f)
			f.Close()
		}
		c.Close()
	}()
	start := time.Now()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	to := filepath.Join(b.TempDir(), "copy.bin")
	f, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(to)
	defer f.Close()
	buf := make([]byte, 1<<20)
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{c}, buf); err != nil {
		b.Fatal(err)
	}
	f.Sync()
	f.Seek(0, io.SeekStart)
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{f}, buf); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// BenchmarkFolder fetches 20,000 files of 4 KiB.
func BenchmarkFolder(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "many")
	for i := range 20000 {
		sub := filepath.Join(dir, fmt.Sprint(i%100))
		os.MkdirAll(sub, 0o755)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), noise(uint64(i), 4096), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	var mine, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if err := os.CopyFS(filepath.Join(b.TempDir(), "copy"), os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
		seed, leech := tlsPair(b)
		root := seed.sharePath(dir, blob.ImportOptions{})
		start = time.Now()
		d := leech.get(root, seed)
		if err := d.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		mine += time.Since(start)
		leech.stop()
	}
	b.ReportMetric(mine.Seconds()/float64(b.N), "fetch-s")
	b.ReportMetric(float64(mine)/float64(theirs), "×copy")
}
