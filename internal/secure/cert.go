package secure

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math"
	"math/big"
	"time"

	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// The times between which a certificate of this node holds. It proves a peer id by the signature that is in it, and by nothing that ages; libp2p's own begins
// an hour before it is made, so that a node whose clock is a day ahead, or a peer whose clock is a day behind, would reach nobody.
var (
	certBegin = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	certEnd   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Ageless makes the certificates of a libp2p identity hold whatever the time is.
func Ageless() (libp2ptls.IdentityOption, error) {
	var numbers [2]*big.Int
	for i := range numbers {
		n, err := rand.Int(rand.Reader, big.NewInt(math.MaxInt64))
		if err != nil {
			return nil, fmt.Errorf("secure: certificate: %w", err)
		}
		numbers[i] = n
	}
	return func(c *libp2ptls.IdentityConfig) { // a template of its own for each: it is written to
		c.CertTemplate = &x509.Certificate{
			SerialNumber: numbers[0], Subject: pkix.Name{SerialNumber: numbers[1].String()}, NotBefore: certBegin, NotAfter: certEnd,
		}
	}, nil
}
