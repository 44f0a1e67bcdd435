package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"kith"
)

// MinPassphrase is the least length of a passphrase, in bytes.
const MinPassphrase = 8

// scryptWork is the work factor under which a phrase is kept: 2 to this power, about a second and 256 MiB of memory.
var scryptWork = 18

// seal encrypts phrase for who knows passphrase, as age -p -a does: age -d opens it.
func seal(phrase []string, passphrase string) (string, error) {
	if len(passphrase) < MinPassphrase {
		return "", kith.Hint(fmt.Errorf("the passphrase has %d bytes, at least %d: %w", len(passphrase), MinPassphrase, kith.Invalid),
			"several words that do not belong together make a good one")
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return "", err
	}
	to.SetWorkFactor(scryptWork)
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, to)
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(w, strings.Join(phrase, " ")+"\n")
	err = errors.Join(err, w.Close(), text.Close())
	return out.String(), err
}

// unseal gives back what seal was given.
func unseal(sealed, passphrase string) ([]string, error) {
	if passphrase == "" {
		return nil, kith.Hint(fmt.Errorf("it is under a passphrase: %w", kith.Denied), "kith id phrase --unlock asks for the passphrase")
	}
	from, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	from.SetMaxWorkFactor(scryptWork)
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed)), from)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return nil, fmt.Errorf("the passphrase is wrong: %w", kith.Denied)
	}
	if err != nil {
		return nil, fmt.Errorf("what is under the passphrase is damaged: %w: %v", kith.Corrupt, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return nil, fmt.Errorf("what is under the passphrase is damaged: %w: %v", kith.Corrupt, err)
	}
	return readPhrase([]string{string(data)})
}
