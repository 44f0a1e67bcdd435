package node

import "time"

// What the node's own operations take and give.

// None is the input of an operation that needs none.
type None struct{}

// PeersOut lists the peers that the node is connected to.
type PeersOut []Peer

// Peer is somebody the node is connected to.
type Peer struct {
	ID        string    `json:"id"`
	Name      string    `json:"name,omitempty" doc:"what the person calls them"`
	Addrs     []string  `json:"addrs"`
	Direct    bool      `json:"direct" doc:"false: through a relay"`
	Why       string    `json:"why" doc:"how it is connected, in words"`
	Transport string    `json:"transport" doc:"quic, tcp, ws, webrtc-direct, webtransport"`
	RTT       float64   `json:"rtt_ms" doc:"round trip in milliseconds; -1 if not known"`
	Agent     string    `json:"agent,omitempty" doc:"what program it says it is"`
	Up        int64     `json:"up" doc:"bytes sent to it"`
	Down      int64     `json:"down" doc:"bytes received from it"`
	Since     time.Time `json:"since"`
}

// ConnectIn names somebody to connect to.
type ConnectIn struct {
	Addr string `json:"addr" arg:"0" doc:"multiaddr that ends in /p2p/ID"`
}

// IDOut is who this is.
type IDOut struct {
	Person  string   `json:"person" doc:"public name of the person: a did:key"`
	PeerID  string   `json:"peer_id" doc:"public name of this device"`
	Addrs   []string `json:"addrs" doc:"where this device can be reached now"`
	Told    []string `json:"told" doc:"those of addrs that links, invites and cards tell others: TCP, QUIC and relays"`
	Name    string   `json:"name,omitempty"`
	Picture string   `json:"picture,omitempty" doc:"data: URL"`
	Device  string   `json:"device" doc:"name of this device"`
	Master  string   `json:"master" enum:"here,locked,away" doc:"the person's master key: on this disk, on it under a passphrase, or only in the recovery phrase"`
	Trouble []string `json:"trouble,omitempty" doc:"what the person should know: that this device was revoked, and what to do"`
}

// ProfileIn changes how the person is shown to contacts.
type ProfileIn struct {
	Name    string `json:"name,omitempty" doc:"what contacts see"`
	Picture string `json:"picture,omitempty" path:"true" doc:"PNG or JPEG file, at most 256 KiB (or, from a program, a data: URL)"`

	NoPicture bool `json:"no_picture,omitempty" doc:"take the picture away"`
}

// PhraseIn asks to see the recovery phrase.
type PhraseIn struct {
	Unlock     bool   `json:"unlock,omitempty" doc:"the master key is kept here: ask for its passphrase"`
	Passphrase string `json:"passphrase,omitempty" secret:"true" with:"unlock" doc:"passphrase of the recovery phrase"`
}

// PhraseOut is the recovery phrase.
type PhraseOut struct {
	Phrase []string `json:"phrase" doc:"24 words (BIP-39); whoever has them is this person"`
	Ask    []int    `json:"ask" doc:"numbers (from 1) of the words that kith id confirm asks for"`
}

// ConfirmIn proves that the recovery phrase was written down. The master key then leaves the disk.
type ConfirmIn struct {
	Words      []string `json:"words" arg:"0" doc:"the words that were asked for, in their order"`
	Keep       bool     `json:"keep,omitempty" doc:"keep the master key on this disk, under a passphrase"`
	Passphrase string   `json:"passphrase,omitempty" secret:"new" with:"keep" doc:"passphrase for the recovery phrase, at least 8 bytes"`
}

// RestoreIn restores a person from their recovery phrase.
type RestoreIn struct {
	Phrase  []string `json:"phrase,omitempty" secret:"true" doc:"the words of the recovery phrase"`
	Replace bool     `json:"replace,omitempty" doc:"give up the person whom this device acts for now"`
}

// StatusOut is how the node is.
type StatusOut struct {
	Version   string     `json:"version"`
	PeerID    string     `json:"peer_id"`
	Network   string     `json:"network"`
	Dir       string     `json:"dir"`
	Command   string     `json:"command" doc:"how a command line for this node begins"`
	PID       int        `json:"pid"`
	Started   time.Time  `json:"started"`
	API       string     `json:"api" doc:"address of the local interface"`
	Listening []Listener `json:"listening" doc:"everything that listens"`
	Peers     int        `json:"peers"`
	Overlay   string     `json:"overlay" doc:"its name, its mode and the size of its routing table"`
	Stored    int64      `json:"stored" doc:"bytes that Kith keeps itself"`
	Quota     int64      `json:"quota" doc:"how many it may keep; 0: no limit"`
	Memory    int64      `json:"memory" doc:"bytes of memory in use"`
	Rate      float64    `json:"rate" doc:"bytes a second coming in"`
	UpRate    float64    `json:"up_rate" doc:"bytes a second going out"`
	Notes     []string   `json:"notes,omitempty" doc:"what a person should know: a port that was taken, a clock that is off, a database that was set aside"`
}

// Listener is one address that something listens on.
type Listener struct {
	For  string `json:"for" doc:"api, peers, bulk, mdns, guests, phone"`
	Addr string `json:"addr"`
}
