package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"

	"kith"
	"kith/internal/human"
)

// FileName is the name of the file in the data directory.
const FileName = "config.toml"

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// Config is what a node can be told. The zero value is the default.
type Config struct {
	API     string   // HOST:PORT of the local interface; "": loopback, the first free port from 4748
	Network string   // name of the network; "": kith
	Listen  []string // multiaddrs to listen on for peers; none: every transport on a port that is kept
	Files   string   // folder for downloads and uploads; "": files in the data directory
	Up      int64    // upload limit, bytes a second; 0: none
	Down    int64    // download limit, bytes a second; 0: none
	Quota   int64    // bytes that Kith may keep itself; 0: no limit

	sections map[string]any // of applications
}

// file is Config as it stands in the file: sizes as people write them.
type file struct {
	API     string         `toml:"api"`
	Network string         `toml:"network"`
	Listen  []string       `toml:"listen"`
	Files   string         `toml:"files"`
	Up      string         `toml:"up"`
	Down    string         `toml:"down"`
	Quota   string         `toml:"quota"`
	Apps    map[string]any `toml:"apps"`
}

// Load reads the settings in a data directory. No file is no error. Its error is Invalid, and names the key and the line.
func Load(dir string) (Config, error) {
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("config: %w: %w", err, kith.Denied)
	}
	c, err := Parse(data)
	if err != nil {
		return Config{}, kith.Hint(fmt.Errorf("config: %s: %w", path, err), "mend that line, or move the file away")
	}
	return c, nil
}

// Parse reads settings from the text of a file.
func Parse(data []byte) (Config, error) {
	if len(data) > maxFile {
		return Config{}, fmt.Errorf("%d bytes, at most %d: %w", len(data), maxFile, kith.TooLarge)
	}
	var f file
	if err := strict(data, &f); err != nil {
		return Config{}, err
	}
	c := Config{API: f.API, Network: f.Network, Listen: f.Listen, Files: f.Files, sections: f.Apps}
	for _, s := range []struct {
		key, text string
		parse     func(string) (int64, error)
		to        *int64
	}{{"up", f.Up, human.ParseRate, &c.Up}, {"down", f.Down, human.ParseRate, &c.Down}, {"quota", f.Quota, human.ParseBytes, &c.Quota}} {
		if s.text == "" {
			continue
		}
		n, err := s.parse(s.text)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", s.key, err)
		}
		*s.to = n
	}
	return c, nil
}

// Section decodes the section [apps.NAME] into a struct; a section that is not there leaves it as it is.
func (c Config) Section(name string, into any) error {
	section, ok := c.sections[name]
	if !ok {
		return nil
	}
	data, err := toml.Marshal(section)
	if err == nil {
		err = strict(data, into)
	}
	if err != nil {
		return fmt.Errorf("config: apps.%s: %w", name, err)
	}
	return nil
}

// strict decodes data; a key that into does not have is an error that names it and its line.
func strict(data []byte, into any) error {
	d := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := d.Decode(into)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown) && len(unknown.Errors) > 0:
		line, _ := unknown.Errors[0].Position()
		return fmt.Errorf("line %d: there is no setting %q: %w", line, keyOf(unknown.Errors[0].Key()), kith.Invalid)
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %s: %w", line, wrong.Error(), kith.Invalid)
	}
	return fmt.Errorf("%w: %w", err, kith.Invalid)
}

func keyOf(k toml.Key) (s string) {
	for i, part := range k {
		if i > 0 {
			s += "."
		}
		s += part
	}
	return s
}
