package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kith"
	"kith/internal/atomicfile"
)

// Files of the data directory by which a program finds the running node.
const (
	tokenFile = "token"
	placeFile = "node.json"
)

// place is what node.json holds.
type place struct {
	API string `json:"api"` // host:port
	PID int    `json:"pid"`
}

// announce says in dir where the interface is.
func announce(dir, addr string) error {
	data, err := json.Marshal(place{addr, os.Getpid()})
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, placeFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("api: write %s: %w", placeFile, err)
	}
	return nil
}

// withdraw takes back what announce said, unless another node has said something else since.
func withdraw(dir, addr string) {
	p, _, err := find(dir)
	if err == nil && p == (place{addr, os.Getpid()}) {
		os.Remove(filepath.Join(dir, placeFile))
		os.Remove(filepath.Join(dir, tokenFile))
	}
}

// find reads where the interface of the node in dir is, and its token.
func find(dir string) (p place, token string, err error) {
	data, err := os.ReadFile(filepath.Join(dir, placeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, "", notRunning(dir)
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, "", fmt.Errorf("api: read %s: %w", placeFile, err)
	}
	data, err = os.ReadFile(filepath.Join(dir, tokenFile))
	if errors.Is(err, fs.ErrPermission) {
		return p, "", fmt.Errorf("api: read token of the node in %s: %w: %w", dir, err, kith.Denied)
	}
	if err != nil {
		return p, "", fmt.Errorf("api: read token: %w", err)
	}
	return p, strings.TrimSpace(string(data)), nil
}

func notRunning(dir string) error {
	return kith.Hint(fmt.Errorf("no node is running in %s: %w", dir, kith.Unavailable), "start one with: kith up%s", dirFlag(dir))
}
