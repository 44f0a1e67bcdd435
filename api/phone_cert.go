package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kith/internal/atomicfile"
)

// Lifetimes of the certificate. Apple's systems refuse one that is good for more than 825 days, others for more than 398.
const (
	certLife  = 397 * 24 * time.Hour
	certRenew = 30 * 24 * time.Hour // before its end
	maxCertIP = 8                   // addresses in it: those of now, and the last before
)

// A certificate is what this node shows to phones: signed by itself, and kept, so that a phone that has trusted it once sees the same again.
// It is made anew for an address that it does not name, and before it ends; the key stays.
type certificate struct {
	dir string
	now func() time.Time

	mu   sync.Mutex
	held *tls.Certificate
}

// Files in the folder of the phone.
const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// get returns the certificate for HOST:PORT values.
func (c *certificate) get(hosts []string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		if held, err := tls.LoadX509KeyPair(filepath.Join(c.dir, certFile), filepath.Join(c.dir, keyFile)); err == nil {
			c.held = &held
		}
	}
	var ips []net.IP
	for _, h := range hosts {
		ips = append(ips, net.ParseIP(host(h)))
	}
	if c.held != nil && c.serves(c.held.Leaf, ips) {
		return c.held, nil
	}
	held, err := c.make(ips)
	if err != nil {
		return nil, fmt.Errorf("phone: certificate: %w", err)
	}
	c.held = held
	return held, nil
}

// serves reports whether a certificate can be shown at addresses today.
func (c *certificate) serves(leaf *x509.Certificate, ips []net.IP) bool {
	for _, ip := range ips {
		if leaf.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	now := c.now()
	return now.After(leaf.NotBefore) && now.Before(leaf.NotAfter.Add(-certRenew))
}

// make makes a certificate for ips, and for the last addresses before, and writes it down.
func (c *certificate) make(ips []net.IP) (*tls.Certificate, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if c.held != nil {
		for _, old := range c.held.Leaf.IPAddresses {
			if len(ips) < maxCertIP && !slices.ContainsFunc(ips, old.Equal) {
				ips = append(ips, old)
			}
		}
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := c.now()
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Kith"}, IPAddresses: ips, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(filepath.Join(c.dir, certFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// key returns the key of the certificates: the one that is kept, or, where none can be read, a new one.
func (c *certificate) key() (*ecdsa.PrivateKey, error) {
	path := filepath.Join(c.dir, keyFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// fingerprint returns the SHA-256 of the certificate as browsers show it.
func fingerprint(cert *tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, " ")
}
