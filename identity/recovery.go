package identity

import (
	"fmt"
	"slices"
	"strings"

	"kith"
)

// Confirmation is what somebody gives who has written the recovery phrase down.
type Confirmation struct {
	Words      []string // those that were asked for, in their order, or all of them
	Keep       bool     // keep the phrase on this disk, under Passphrase
	Passphrase string
}

// Phrase returns the recovery phrase, and the numbers (from 1) of the words that Confirm asks for. Once it is confirmed, the phrase is
// there only for who kept it and gives the passphrase; else the error is Gone, or Denied.
func (i *Identity) Phrase(passphrase string) (words []string, asked []int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if words, err = i.phrase(passphrase); err != nil {
		return nil, nil, fmt.Errorf("identity: show the recovery phrase: %w", err)
	}
	return words, ask(words), nil
}

func (i *Identity) phrase(passphrase string) ([]string, error) {
	switch i.state.master() {
	case Here:
		return slices.Clone(i.state.phrase), nil
	case Locked:
		return unseal(i.state.sealed, passphrase)
	}
	return nil, kith.Hint(fmt.Errorf("it was confirmed, and is no longer on this disk: %w", kith.Gone), "it is where you wrote it down")
}

// Confirm proves that the recovery phrase was written down, and takes it off the disk, or puts it under a passphrase. It is no error to
// confirm again with the right words while the phrase can be compared. Its errors are Invalid, Denied (wrong words) and Gone.
func (i *Identity) Confirm(c Confirmation) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.confirm(c); err != nil {
		return fmt.Errorf("identity: confirm the recovery phrase: %w", err)
	}
	return nil
}

func (i *Identity) confirm(c Confirmation) error {
	if i.state.master() != Here {
		return kith.Hint(fmt.Errorf("it has been confirmed already: %w", kith.Gone), "kith id shows where the master key is")
	}
	if err := compare(i.state.phrase, strings.Fields(strings.ToLower(strings.Join(c.Words, " ")))); err != nil {
		return err
	}
	s := i.state
	s.phrase = nil
	if c.Keep {
		var err error
		if s.sealed, err = seal(i.state.phrase, c.Passphrase); err != nil {
			return err
		}
	}
	return i.save(s)
}

// compare checks words against those of phrase that are asked for.
func compare(phrase, words []string) error {
	numbers := ask(phrase)
	if len(words) == len(phrase) {
		numbers = nil
		for n := range phrase {
			numbers = append(numbers, n+1)
		}
	}
	if len(words) != len(numbers) {
		return kith.Hint(fmt.Errorf("%d words are asked for, their numbers %v, not %d: %w", len(numbers), numbers, len(words), kith.Invalid),
			"kith id phrase shows the phrase and which words are asked for")
	}
	for n, number := range numbers {
		if words[n] != phrase[number-1] {
			return kith.Hint(fmt.Errorf("word %d of the phrase is another: %w", number, kith.Denied),
				"compare it with what you wrote down; kith id phrase shows the phrase")
		}
	}
	return nil
}

// Restore makes this device act for the person whose recovery phrase is given. Another person who is here is given up only if replace is
// set: what was kept of them on this disk, profile and phrase, is lost; else the error is Exists. The master key does not stay here.
func (i *Identity) Restore(words []string, replace bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.restore(words, replace); err != nil {
		return fmt.Errorf("identity: restore a person: %w", err)
	}
	return nil
}

func (i *Identity) restore(words []string, replace bool) error {
	phrase, err := readPhrase(words)
	if err != nil {
		return err
	}
	master := masterKey(phrase)
	s := i.state
	if s.cert.Master.Equal(master.Public()) {
		s.phrase = nil // who can type all of it has it: that confirms it
		return i.save(s)
	}
	if !replace {
		return otherPerson(s.master())
	}
	cert, err := i.certify(master)
	if err != nil {
		return err
	}
	return i.save(state{cert: cert})
}

func otherPerson(master string) error {
	if master == Here {
		return kith.Hint(fmt.Errorf("this device acts for another person, whose phrase nobody has confirmed: %w", kith.Exists),
			"to give that person up for good (right on a new device): kith id restore --replace; to keep them, first kith id phrase and kith id confirm")
	}
	return kith.Hint(fmt.Errorf("this device acts for another person: %w", kith.Exists),
		"to change over to the person of this phrase: kith id restore --replace; the other's name and picture here are lost, their phrase brings them back")
}
