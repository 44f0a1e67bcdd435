package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

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
	Network string   // name of the network, or link of a private one; "": kith, or the private network that the node remembers
	Overlay string   // how the nodes of the network find who has what: kad-dht, chord, kademlia or pastry; "": kad-dht, or what the private network has agreed on
	Listen  []string // multiaddrs to listen on for peers; none: every transport on a port that is kept
	Files   string   // folder for downloads and uploads; "": files in the data directory
	Up      int64    // upload limit, bytes a second; 0: none
	Down    int64    // download limit, bytes a second; 0: none
	Quota   int64    // bytes that Kith may keep itself; 0: no limit
	Relay   Relay    // what is carried for others

	NoMainline    bool     // never speak to the BitTorrent DHT
	IPFSHosts     []string // multiaddrs of nodes of the public IPFS network to begin with; nil: those that its own programs begin with
	MainlineHosts []string // HOST:PORT of nodes of the BitTorrent DHT to begin with; nil: those that are built in; empty: none

	BitTorrent BitTorrent // how the node serves to that network, and fetches from it
	IPFS       IPFS       // the same for IPFS

	text []byte // the file, from which applications decode their sections
}

// Relay is what the node carries for others, once it can be reached.
type Relay struct {
	For     string // off, contacts, coordinate or strangers; "": as it was set last, or else coordinate
	Metered bool   // the connection is paid for by the byte: nothing is carried for strangers
	Data    int64  // bytes for a pair of peers in an hour; 0: 64 MiB
	Rate    int64  // bytes a second; 0: 1 MB
	IPFS    bool   // while nobody known relays for this node, relays of the public IPFS network are asked for
}

// BitTorrent is how the node speaks to the BitTorrent network, when something is shared to it or fetched from it. The zero value is the default: everything is spoken.
type BitTorrent struct {
	Listen       string // address of this computer to listen on; "": all of them
	Port         int    // TCP and UDP; 0: one that is kept
	NoDHT        bool
	NoPEX        bool     // do not exchange peers (BEP 11)
	NoLPD        bool     // do not look for peers in the local network (BEP 14)
	NoUTP        bool     // TCP only
	NoWebTorrent bool     // no peers in browsers
	Encryption   string   // allow, prefer, require or off; "": allow
	Hybrid       bool     // torrents are made of version 1 and 2; else of version 1, which every program opens
	Trackers     []string // URLs that everything is announced to
	Peers        int      // of one torrent, at most; 0: 50
	Up, Down     int64    // bytes a second, where it is less than for the whole node; 0: as for the whole node
}

// IPFS is how the node speaks to IPFS, when something is shared to it or fetched from it. The zero value is the default.
type IPFS struct {
	Profile   string   // how what is shared is named: 2025 or classic; "": 2025
	Listen    []string // multiaddrs; none: every transport on a port that is kept
	Peers     []string // multiaddrs that are always dialled
	Gateways  []string // URLs of trustless gateways that are asked too when peers are slow
	Routers   []string // URLs of delegated routers that are asked too who has what
	Web       bool     // fetch from web servers that the DHT names
	Provide   string   // what of a share the DHT is told: roots, entities (each file and folder) or all (each block); "": entities
	Cache     int64    // bytes that are kept of what the gateway fetched; 0: 1 GiB; negative: none
	NoGateway bool     // no pages of IPFS at the local interface
}

// file is Config as it stands in the file: sizes as people write them.
type file struct {
	API     string   `toml:"api"`
	Network string   `toml:"network"`
	Overlay string   `toml:"overlay"`
	Listen  []string `toml:"listen"`
	Files   string   `toml:"files"`
	Up      size     `toml:"up"`
	Down    size     `toml:"down"`
	Quota   size     `toml:"quota"`
	Relay   struct {
		For     string `toml:"for"`
		Metered bool   `toml:"metered"`
		Data    size   `toml:"data"`
		Rate    size   `toml:"rate"`
		IPFS    bool   `toml:"ipfs"`
	} `toml:"relay"`

	BitTorrent struct {
		Listen     string   `toml:"listen"`
		Port       int      `toml:"port"`
		DHT        *bool    `toml:"dht"`
		PEX        *bool    `toml:"pex"`
		LPD        *bool    `toml:"lpd"`
		UTP        *bool    `toml:"utp"`
		WebTorrent *bool    `toml:"webtorrent"`
		Encryption string   `toml:"encryption"`
		Torrents   string   `toml:"torrents"`
		Trackers   []string `toml:"trackers"`
		Peers      int      `toml:"peers"`
		Up         size     `toml:"up"`
		Down       size     `toml:"down"`
	} `toml:"bittorrent"`

	IPFS struct {
		Profile  string   `toml:"profile"`
		Listen   []string `toml:"listen"`
		Peers    []string `toml:"peers"`
		Gateways []string `toml:"gateways"`
		Routers  []string `toml:"routers"`
		Web      bool     `toml:"web"`
		Provide  string   `toml:"provide"`
		Cache    *size    `toml:"cache"`
		Gateway  *bool    `toml:"gateway"`
	} `toml:"ipfs"`

	Mainline      *bool     `toml:"mainline"`
	MainlineHosts *[]string `toml:"mainline_hosts"`
	IPFSHosts     *[]string `toml:"ipfs_hosts"`

	Apps map[string]any `toml:"apps"`
}

// size is a number of bytes, or of bytes a second, written as "500K" or "2MiB/s".
type size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	n, err := human.ParseRate(string(text))
	*s = size(n)
	return err
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
	if i, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && i.Mode().Perm()&0o077 != 0 && strings.HasPrefix(c.Network, kith.NetworkScheme) {
		err := fmt.Errorf("config: %s holds the link of a private network, and others on this computer may read it: %w", path, kith.Denied)
		return Config{}, kith.Hint(err, "chmod 600 '%s'; or take the line out: the node remembers the network without it", path)
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
	c := Config{
		API: f.API, Network: f.Network, Overlay: f.Overlay, Listen: f.Listen, Files: f.Files,
		Up: int64(f.Up), Down: int64(f.Down), Quota: int64(f.Quota), Relay: Relay{For: f.Relay.For, Metered: f.Relay.Metered, Data: int64(f.Relay.Data), Rate: int64(f.Relay.Rate), IPFS: f.Relay.IPFS},
		NoMainline: f.Mainline != nil && !*f.Mainline, text: data,
	}
	var err error
	if c.BitTorrent, err = f.bitTorrent(); err != nil {
		return Config{}, fmt.Errorf("bittorrent: %w", err)
	}
	if f.IPFSHosts != nil {
		c.IPFSHosts = append([]string{}, *f.IPFSHosts...)
	}
	if c.IPFS, err = f.ipfs(); err != nil {
		return Config{}, fmt.Errorf("ipfs: %w", err)
	}
	if f.MainlineHosts != nil {
		c.MainlineHosts = append([]string{}, *f.MainlineHosts...)
	}
	for _, h := range c.MainlineHosts {
		if _, port, err := net.SplitHostPort(h); err != nil || port == "" {
			return Config{}, fmt.Errorf("mainline_hosts: %q is not HOST:PORT: %w", h, kith.Invalid)
		}
	}
	return c, nil
}

// bitTorrent returns the section of that network. Its error is Invalid.
func (f file) bitTorrent() (BitTorrent, error) {
	b := f.BitTorrent
	off := func(s *bool) bool { return s != nil && !*s }
	c := BitTorrent{
		Listen: b.Listen, Port: b.Port, NoDHT: off(b.DHT), NoPEX: off(b.PEX), NoLPD: off(b.LPD), NoUTP: off(b.UTP), NoWebTorrent: off(b.WebTorrent),
		Encryption: b.Encryption, Hybrid: b.Torrents == "hybrid", Trackers: b.Trackers, Peers: b.Peers, Up: int64(b.Up), Down: int64(b.Down),
	}
	if _, err := netip.ParseAddr(b.Listen); b.Listen != "" && err != nil {
		return c, fmt.Errorf("listen is %q, which is no address: %w", b.Listen, kith.Invalid)
	}
	switch {
	case b.Port < 0 || b.Port > 65535:
		return c, fmt.Errorf("port %d is none: %w", b.Port, kith.Invalid)
	case !slices.Contains([]string{"", "allow", "prefer", "require", "off"}, b.Encryption):
		return c, fmt.Errorf("encryption is %q; it may be allow, prefer, require or off: %w", b.Encryption, kith.Invalid)
	case !slices.Contains([]string{"", "v1", "hybrid"}, b.Torrents):
		return c, fmt.Errorf("torrents is %q; it may be v1 or hybrid: %w", b.Torrents, kith.Invalid)
	case b.Peers < 0 || b.Peers > 1000:
		return c, fmt.Errorf("peers is %d; it may be up to 1000: %w", b.Peers, kith.Invalid)
	}
	for _, t := range b.Trackers {
		u, err := url.Parse(t)
		if err != nil || u.Host == "" || !slices.Contains([]string{"udp", "http", "https", "ws", "wss"}, u.Scheme) {
			return c, fmt.Errorf("%q is no URL of a tracker (udp, http, https, ws or wss): %w", t, kith.Invalid)
		}
	}
	return c, nil
}

// ipfs returns the section of that network. Its error is Invalid. Multiaddrs are looked at by who uses them.
func (f file) ipfs() (IPFS, error) {
	i := f.IPFS
	c := IPFS{Profile: i.Profile, Listen: i.Listen, Peers: i.Peers, Gateways: i.Gateways, Routers: i.Routers, Web: i.Web, Provide: i.Provide, NoGateway: i.Gateway != nil && !*i.Gateway}
	if i.Cache != nil {
		if c.Cache = int64(*i.Cache); c.Cache == 0 {
			c.Cache = -1
		}
	}
	switch {
	case !slices.Contains([]string{"", "2025", "classic"}, i.Profile):
		return c, fmt.Errorf("profile is %q; it may be 2025 or classic: %w", i.Profile, kith.Invalid)
	case !slices.Contains([]string{"", "roots", "entities", "all"}, i.Provide):
		return c, fmt.Errorf("provide is %q; it may be roots, entities or all: %w", i.Provide, kith.Invalid)
	}
	for _, list := range [][]string{i.Gateways, i.Routers} {
		for _, t := range list {
			if u, err := url.Parse(t); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				return c, fmt.Errorf("%q is no URL of a web server (https or http): %w", t, kith.Invalid)
			}
		}
	}
	return c, nil
}

// Section decodes the section [apps.NAME] into a struct; a section that is not there leaves it as it is. Its error is Invalid, and names
// the key and the line.
func (c Config) Section(name string, into any) error {
	// The whole file is decoded into a struct that has this section and room for all else, so that lines are those of the file.
	section := reflect.TypeOf(into).Elem()
	apps := reflect.StructOf([]reflect.StructField{{Name: "Section", Type: section, Tag: reflect.StructTag(fmt.Sprintf("toml:%q", name))}})
	whole := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Apps", Type: apps, Tag: `toml:"apps"`}})).Elem()
	whole.Field(0).Field(0).Set(reflect.ValueOf(into).Elem())
	if err := strict(c.text, whole.Addr().Interface(), "apps", name); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	reflect.ValueOf(into).Elem().Set(whole.Field(0).Field(0))
	return nil
}

// Check refuses sections of applications that there are not.
func (c Config) Check(apps []string) error {
	var f file
	if err := strict(c.text, &f); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Apps)) {
		if !slices.Contains(apps, name) {
			return kith.Hint(fmt.Errorf("config: there is no application %q: %w", name, kith.Invalid),
				"sections may be: apps.%s", strings.Join(slices.Sorted(slices.Values(apps)), ", apps."))
		}
	}
	return nil
}

// Decode reads another TOML file of the program's into a struct, as strictly: its error is Invalid, and names the key and the line.
func Decode(data []byte, into any) error { return strict(data, into) }

// strict decodes data; a key below the table under that into does not have is an error that names it and its line.
func strict(data []byte, into any, under ...string) error {
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(into)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			key := e.Key()
			if len(key) < len(under) || !slices.Equal([]string(key[:len(under)]), under) {
				continue
			}
			line, _ := e.Position()
			return fmt.Errorf("line %d: there is no setting %q: %w", line, strings.Join(key, "."), kith.Invalid)
		}
		return nil
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %s: %w", line, strings.TrimSuffix(strings.TrimPrefix(wrong.Error(), "toml: "), ": "+kith.Invalid.Error()), kith.Invalid)
	}
	return fmt.Errorf("%w: %w", err, kith.Invalid)
}
