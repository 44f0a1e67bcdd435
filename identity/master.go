package identity

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/tyler-smith/go-bip39"

	"kith"
)

// PhraseWords is the number of words of a recovery phrase.
const PhraseWords = 24

const (
	hardened = 1 << 31
	// purpose is "kith" in ASCII: the branch of a person's key tree that is Kith's own.
	purpose = 0x6b697468
)

// masterPath is m/purpose'/0' in the notation of BIP-32.
var masterPath = []uint32{purpose | hardened, 0 | hardened}

var random = rand.Reader

// newPhrase makes a recovery phrase (BIP-39) of 256 random bits.
func newPhrase() ([]string, error) {
	entropy := make([]byte, 32)
	if _, err := random.Read(entropy); err != nil {
		return nil, err
	}
	text, err := bip39.NewMnemonic(entropy)
	return strings.Fields(text), err
}

// readPhrase checks words that somebody typed, and returns them as BIP-39 has them.
func readPhrase(words []string) ([]string, error) {
	words = strings.Fields(strings.ToLower(strings.Join(words, " ")))
	if len(words) != PhraseWords {
		return nil, fmt.Errorf("a recovery phrase has %d words, not %d: %w", PhraseWords, len(words), kith.Invalid)
	}
	for n, w := range words {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return nil, kith.Hint(fmt.Errorf("word %d is none of the 2,048 that there are: %w", n+1, kith.Invalid), "compare it with what you wrote down")
		}
	}
	if !bip39.IsMnemonicValid(strings.Join(words, " ")) {
		return nil, kith.Hint(fmt.Errorf("these words are no recovery phrase: %w", kith.Invalid),
			"a word is wrong, or two have changed places: compare them with what you wrote down")
	}
	return words, nil
}

// masterKey derives the person's master key from a phrase that readPhrase has passed: BIP-39's seed with no passphrase, then SLIP-0010 for
// Ed25519 along masterPath.
func masterKey(phrase []string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(derive(bip39.NewSeed(strings.Join(phrase, " "), ""), masterPath))
}

// derive returns the private key at path below seed, by SLIP-0010 for Ed25519, which has hardened children only.
func derive(seed []byte, path []uint32) []byte {
	node := hmacSHA512([]byte("ed25519 seed"), seed)
	for _, index := range path {
		data := append([]byte{0}, node[:32]...)
		node = hmacSHA512(node[32:], binary.BigEndian.AppendUint32(data, index))
	}
	return node[:32]
}

func hmacSHA512(key, data []byte) []byte {
	h := hmac.New(sha512.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// askCount is how many words of a phrase somebody is asked for who says that they have written it down.
const askCount = 3

// ask returns the numbers, from 1, of the words of phrase that are asked for. They are the same each time, so that nothing need be kept.
func ask(phrase []string) []int {
	sum := sha256.Sum256([]byte("kith ask\x00" + strings.Join(phrase, " ")))
	var out []int
	for _, b := range sum {
		if n := int(b)%PhraseWords + 1; len(out) < askCount && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
