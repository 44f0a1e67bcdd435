package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kith"
	"kith/internal/atomicfile"
)

const stateVersion = 1

// state is what may change: who the person is, and what of them is on this disk.
type state struct {
	cert    Certificate
	phrase  []string // until it is confirmed
	sealed  string   // the phrase as an armored age file, if the person keeps it here
	profile Profile
}

// stateFile is state as it stands in personFile.
type stateFile struct {
	Version     int    `json:"version"`
	Certificate []byte `json:"certificate"`
	Phrase      string `json:"phrase,omitempty"`
	Sealed      string `json:"sealed,omitempty"`
	Name        string `json:"name,omitempty"`
	Picture     []byte `json:"picture,omitempty"`
}

func (s state) master() string {
	switch {
	case s.phrase != nil:
		return Here
	case s.sealed != "":
		return Locked
	}
	return Away
}

// openPerson reads the person, or makes a new one.
func (i *Identity) openPerson(freshDevice bool) error {
	path := filepath.Join(i.dir, personFile)
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !freshDevice {
			i.note("there was a device key but no person, so a new one was made; if you have a recovery phrase: kith id restore")
		}
		return i.newPerson()
	case err == nil:
		i.state, err = parseState(data)
	}
	if err == nil && i.state.cert.Device != i.id {
		err = fmt.Errorf("its certificate is for another device key: %w", kith.Corrupt)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if errors.Is(err, kith.Corrupt) && kith.HintOf(err) == "" {
		err = kith.Hint(err, "put the file back from a backup; or move it away (keep it: it may hold your recovery phrase) and start again: "+
			"kith makes a new person, and kith id restore brings yours back")
	}
	return err
}

func (i *Identity) newPerson() error {
	phrase, err := newPhrase()
	if err != nil {
		return err
	}
	cert, err := i.certify(masterKey(phrase))
	if err != nil {
		return err
	}
	return i.save(state{cert: cert, phrase: phrase})
}

// save makes s the state, on disk first. The caller holds i.mu, or is Open.
func (i *Identity) save(s state) error {
	data, err := json.MarshalIndent(stateFile{stateVersion, s.cert.encoded, strings.Join(s.phrase, " "), s.sealed, s.profile.Name,
		s.profile.Picture}, "", "\t")
	if err != nil {
		return err
	}
	reached("saving")
	if err := atomicfile.Write(filepath.Join(i.dir, personFile), append(data, '\n'), 0o600); err != nil {
		return err
	}
	reached("saved")
	i.state = s
	return nil
}

func parseState(data []byte) (state, error) {
	var f stateFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // they would be lost when the file is written again
	var v struct{ Version int }
	if json.Unmarshal(data, &v) == nil && v.Version > stateVersion {
		return state{}, kith.Hint(fmt.Errorf("written by a newer kith (version %d of the file, this one knows %d): %w", v.Version, stateVersion,
			kith.Corrupt), "update kith")
	}
	if err := d.Decode(&f); err != nil {
		return state{}, fmt.Errorf("%w: %v", kith.Corrupt, err)
	}
	if f.Version != stateVersion || d.More() {
		return state{}, fmt.Errorf("not a file of this program: %w", kith.Corrupt)
	}
	cert, err := ParseCertificate(f.Certificate)
	if err != nil {
		return state{}, err
	}
	s := state{cert: cert, sealed: f.Sealed, profile: Profile{f.Name, f.Picture}}
	if f.Phrase != "" {
		if s.phrase, err = readPhrase([]string{f.Phrase}); err != nil {
			return state{}, fmt.Errorf("its recovery phrase: %v: %w", err, kith.Corrupt)
		}
		if !cert.Master.Equal(masterKey(s.phrase).Public()) {
			return state{}, fmt.Errorf("its recovery phrase is not that of its certificate: %w", kith.Corrupt)
		}
	}
	if err := s.profile.Check(); err != nil {
		return state{}, fmt.Errorf("its profile: %v: %w", err, kith.Corrupt)
	}
	return s, nil
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("over %d bytes: %w", maxFile, kith.Corrupt)
	}
	return data, err
}
