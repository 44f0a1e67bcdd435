package network

import (
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// The certificate of bulk streams, which is made as that of QUIC is, holds for a peer whose clock stands at the beginning, and for one whose clock is decades ahead.
func TestCertificatesDoNotAge(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(t.Context(), Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, NoMDNS: true, NoUPnP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	config, _ := n.bulk.identity.ConfigForPeer("")
	cert, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	for _, year := range []int{1970, 2001, 2026, 2099} {
		now := time.Date(year, 1, 2, 0, 0, 0, 0, time.UTC)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil { // as libp2p does with the time it is
			t.Errorf("in %d: %v", year, err)
		}
	}
}
