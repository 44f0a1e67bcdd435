package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/tyler-smith/go-bip39"

	"kith"
)

var update = flag.Bool("update", false, "write testdata/certificate.json anew")

func load(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBIP39 runs the vectors of 24 words that BIP-39 names (from trezor/python-mnemonic, passphrase TREZOR).
func TestBIP39(t *testing.T) {
	var vectors []struct{ Entropy, Phrase, Seed string }
	load(t, "bip39.json", &vectors)
	defer func(old any) { random = old.(interface{ Read([]byte) (int, error) }) }(random)
	for _, v := range vectors {
		entropy, _ := hex.DecodeString(v.Entropy)
		random = bytes.NewReader(entropy)
		words, err := newPhrase()
		if err != nil || strings.Join(words, " ") != v.Phrase {
			t.Errorf("%s: %v, %v", v.Entropy, words, err)
		}
		if _, err := readPhrase([]string{v.Phrase}); err != nil {
			t.Error(err)
		}
		if seed := hex.EncodeToString(bip39.NewSeed(v.Phrase, "TREZOR")); seed != v.Seed {
			t.Errorf("%s: seed %s", v.Entropy, seed)
		}
	}
	if len(vectors) != 8 {
		t.Errorf("%d vectors", len(vectors))
	}
}

// TestSLIP10 runs the two test vectors for ed25519 of SLIP-0010.
func TestSLIP10(t *testing.T) {
	var vectors []struct{ Seed, Path, Private, Public string }
	load(t, "slip10.json", &vectors)
	for _, v := range vectors {
		seed, _ := hex.DecodeString(v.Seed)
		key := derive(seed, parsePath(t, v.Path))
		if got := hex.EncodeToString(key); got != v.Private {
			t.Errorf("%s: private %s, want %s", v.Path, got, v.Private)
		}
		if got := hex.EncodeToString(ed25519.NewKeyFromSeed(key).Public().(ed25519.PublicKey)); got != v.Public {
			t.Errorf("%s: public %s, want %s", v.Path, got, v.Public)
		}
	}
	if len(vectors) != 12 {
		t.Errorf("%d vectors", len(vectors))
	}
}

func parsePath(t *testing.T, path string) []uint32 {
	t.Helper()
	var out []uint32
	for _, step := range strings.Split(path, "/")[1:] {
		n, err := strconv.ParseUint(strings.TrimSuffix(step, "'"), 10, 31)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, uint32(n)|hardened)
	}
	return out
}

// certVector is one line of testdata/certificate.json, which docs/formats.md shows.
type certVector struct {
	Phrase  string `json:"phrase"`
	Path    string `json:"path"`
	Master  string `json:"master"` // public key
	Person  string `json:"person"`
	Device  string `json:"device_seed"` // Ed25519 seed of the device's key
	PeerID  string `json:"peer_id"`
	Name    string `json:"name"`
	Issued  int64  `json:"issued"`
	Encoded string `json:"certificate"`
}

func TestCertificateVectors(t *testing.T) {
	var vectors []certVector
	load(t, "certificate.json", &vectors)
	for n := range vectors {
		v := &vectors[n]
		phrase, err := readPhrase([]string{v.Phrase})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(parsePath(t, v.Path), masterPath) {
			t.Errorf("path %s", v.Path)
		}
		id := peerOf(t, v.Device)
		c, err := sign(masterKey(phrase), id, v.Name, time.Unix(v.Issued, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := certVector{v.Phrase, v.Path, hex.EncodeToString(c.Master), c.Person(), v.Device, id.String(), c.Name, c.Issued.Unix(),
			hex.EncodeToString(c.Bytes())}
		if *update {
			*v = got
		} else if got != *v {
			t.Errorf("have %+v\nwant %+v", got, *v)
		}
		if again, err := ParseCertificate(c.Bytes()); err != nil || again.Device != id || again.Name != v.Name || again.Issued.Unix() != v.Issued {
			t.Errorf("parsed: %+v, %v", again, err)
		}
	}
	if *update {
		data, _ := json.MarshalIndent(vectors, "", "\t")
		if err := os.WriteFile("testdata/certificate.json", append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func peerOf(t *testing.T, seedHex string) peer.ID {
	t.Helper()
	seed, _ := hex.DecodeString(seedHex)
	pub, err := crypto.UnmarshalEd25519PublicKey(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestCertificateEveryBitCounts flips each bit of a certificate: none may stay valid.
func TestCertificateEveryBitCounts(t *testing.T) {
	good := testCertificate(t)
	if _, err := ParseCertificate(good); err != nil {
		t.Fatal(err)
	}
	for n := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[n/8] ^= 1 << (n % 8)
		if _, err := ParseCertificate(bad); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("bit %d of byte %d flipped: %v", n%8, n/8, err)
		}
	}
	for n := range good {
		if _, err := ParseCertificate(good[:n]); !errors.Is(err, kith.Corrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// TestCertificateRefused signs what a hostile master might.
func TestCertificateRefused(t *testing.T) {
	master := ed25519.NewKeyFromSeed(make([]byte, 32))
	device := []byte(peerOf(t, strings.Repeat("01", 32)))
	pub := master.Public().(ed25519.PublicKey)
	signed := func(b certBody, prefix string) []byte {
		body, _ := certEnc.Marshal(b)
		data, _ := certEnc.Marshal(certWire{body, ed25519.Sign(master, append([]byte(prefix), body...))})
		return data
	}
	if _, err := ParseCertificate(signed(certBody{1, pub, device, "laptop", 0}, certPrefix)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data []byte
		want kith.Kind
	}{
		"version":         {signed(certBody{2, pub, device, "laptop", 0}, certPrefix), kith.Corrupt},
		"another prefix":  {signed(certBody{1, pub, device, "laptop", 0}, "kith something else\x00"), kith.Corrupt},
		"no prefix":       {signed(certBody{1, pub, device, "laptop", 0}, ""), kith.Corrupt},
		"short key":       {signed(certBody{1, pub[:31], device, "laptop", 0}, certPrefix), kith.Corrupt},
		"another's key":   {signed(certBody{1, make([]byte, 32), device, "laptop", 0}, certPrefix), kith.Corrupt},
		"no peer id":      {signed(certBody{1, pub, nil, "laptop", 0}, certPrefix), kith.Corrupt},
		"RSA peer id":     {signed(certBody{1, pub, append([]byte{0x12, 0x20}, make([]byte, 32)...), "laptop", 0}, certPrefix), kith.Corrupt},
		"escape sequence": {signed(certBody{1, pub, device, "a\x1b[2Jb", 0}, certPrefix), kith.Corrupt},
		"long name":       {signed(certBody{1, pub, device, strings.Repeat("x", 65), 0}, certPrefix), kith.Corrupt},
		"too large":       {signed(certBody{1, pub, device, strings.Repeat("x", 600), 0}, certPrefix), kith.TooLarge},
		"more behind":     {append(signed(certBody{1, pub, device, "laptop", 0}, certPrefix), 0), kith.Corrupt},
	} {
		if _, err := ParseCertificate(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func testCertificate(t testing.TB) []byte {
	t.Helper()
	master := ed25519.NewKeyFromSeed(make([]byte, 32))
	key, _ := crypto.UnmarshalEd25519PublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)).Public().(ed25519.PublicKey))
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sign(master, id, "laptop", time.Unix(1_790_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return c.Bytes()
}

func FuzzParseCertificate(f *testing.F) {
	good := testCertificate(f)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{0xa2, 1, 0xa0, 2, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCertificate(data)
		if err != nil {
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(c.Bytes(), data) || c.Person() == "" || len(c.Name) > maxDeviceName || c.Device.Validate() != nil {
			t.Errorf("accepted %x as %+v", data, c)
		}
	})
}

// FuzzParseState: person.json may have been edited by anybody's hand, and never makes Open panic.
func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2}`))
	dir := newDir(f)
	if _, err := Open(dir); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, personFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			if !errors.Is(err, kith.Corrupt) && !errors.Is(err, kith.TooLarge) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if s.cert.Person() == "" || s.phrase != nil && len(s.phrase) != PhraseWords {
			t.Errorf("accepted %q as %+v", data, s)
		}
	})
}
