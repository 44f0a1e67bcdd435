package network

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	manet "github.com/multiformats/go-multiaddr/net"
	msmux "github.com/multiformats/go-multistream"

	"kith"
)

// The certificates that peers are shown, over TCP and on bulk streams (QUIC's is made alike), hold for a peer whose clock stands at the beginning, and for one
// whose clock is decades ahead.
func TestCertificatesDoNotAge(t *testing.T) {
	n := newNode(t, func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0"} })
	config, _ := n.bulk.identity.ConfigForPeer("")
	at, err := manet.ToNetAddr(n.listening()[0])
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := msmux.SelectProtoOrFail(libp2ptls.ID, raw); err != nil {
		t.Fatal(err)
	}
	id, err := libp2ptls.NewIdentity(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := id.ConfigForPeer("")
	over := tls.Client(raw, mine)
	if err := over.HandshakeContext(soon(t)); err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{"bulk": config.Certificates[0].Certificate[0], "TCP": over.ConnectionState().PeerCertificates[0].Raw} {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		for _, year := range []int{1970, 2001, 2026, 2099} {
			now := time.Date(year, 1, 2, 0, 0, 0, 0, time.UTC)
			if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now}); err != nil { // as libp2p does with the time it is
				t.Errorf("%s in %d: %v", name, year, err)
			}
		}
	}
}

func newKey(t *testing.T) crypto.PrivKey {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Somebody else's certificate that is from another time is told as what it is.
func TestClocksApart(t *testing.T) {
	err := netError(t.Context(), x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026 is before 2027"})
	if !errors.Is(err, kith.Unavailable) || !strings.Contains(err.Error(), "one of the two clocks is wrong") || kith.HintOf(err) == "" {
		t.Error(err)
	}
}
