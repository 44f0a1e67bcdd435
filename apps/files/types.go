package files

import (
	"time"

	"kith"
	"kith/apps/files/swarm"
)

// What the operations take and give. The CLI, the HTTP API, its OpenAPI document and the page are made from these types.

// ShareIn asks for files and folders to be shared where they are; nothing is copied.
type ShareIn struct {
	Paths   []string `json:"paths" arg:"0" path:"true" doc:"files and folders to share"`
	For     string   `json:"for,omitempty" enum:"link,contacts,public" default:"link" doc:"who may fetch it"`
	Private bool     `json:"private,omitempty" doc:"encrypt it; the key is in the link, behind the #"`

	Networks []string `json:"networks,omitempty" doc:"public networks of other programs that it is served to as well, such as bittorrent,ipfs"`
	Torrent  string   `json:"torrent,omitempty" path:"true" doc:"also write a .torrent file here, for programs of BitTorrent; it is served to that network"`

	Guest     bool   `json:"guest,omitempty" doc:"instead, a web link that ends, for who is in this local network and has only a browser"`
	Lasts     string `json:"lasts,omitempty" doc:"with guest: how long the link works, such as 30m or 2d, at most 7d (default 1h)"`
	Downloads int    `json:"downloads,omitempty" doc:"with guest: how many devices may fetch it (default: any number)"`
	At        string `json:"at,omitempty" doc:"with guest: the only address of this computer to be reached at (default: those of its local networks)"`

	Labels
}

// Labels are what a person says of what is shared, so that it is found.
type Labels struct {
	Tag  []string `json:"tag,omitempty" doc:"a tag by which it is found; several with commas between, or the flag again; default: those that it had"`
	Lang string   `json:"lang,omitempty" doc:"its language, such as de, or none; default: as it was"`
}

// Shared is the result of sharing one path.
type Shared struct {
	Link  string   `json:"link" doc:"magnet link that works alone"`
	Short string   `json:"short" doc:"short form of the link, at most 230 characters"`
	Ref   kith.Ref `json:"ref" doc:"what it is called: a CID over BLAKE3"`
	Name  string   `json:"name"`
	Size  int64    `json:"size" doc:"bytes of all its files"`
	Files int      `json:"files" doc:"number of files"`
	Path  string   `json:"path,omitempty" doc:"where it is on this computer"`
	For   string   `json:"for" enum:"link,contacts,public"`

	Private bool `json:"private,omitempty"`

	Networks []string `json:"networks,omitempty" doc:"public networks of other programs that it is served to"`
	IPFS     string   `json:"ipfs,omitempty" doc:"address for programs of IPFS"`
	Torrent  string   `json:"torrent,omitempty" doc:"the .torrent file that was written"`
	Note     string   `json:"note,omitempty" doc:"what was done beyond what was asked for, and why"`

	Skipped int       `json:"skipped,omitempty" doc:"things in the folder that were left out"`
	LeftOut []LeftOut `json:"left_out,omitempty" doc:"the first hundred of them, and why"`
}

// LeftOut is something in a folder that is not shared with it.
type LeftOut struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// ShareOut tells how far the sharing is, and in the end its results.
type ShareOut struct {
	File   string   `json:"file,omitempty" doc:"what is being read now"`
	Done   int64    `json:"done" doc:"bytes read"`
	Total  int64    `json:"total" doc:"bytes to read"`
	Shared []Shared `json:"shared,omitempty" doc:"in the last event: a result for each path"`
	Guests []Guest  `json:"guests,omitempty" doc:"with guest: the link of each path"`
}

// Guest is a web link for the local network, and how it stands.
type Guest struct {
	N       int       `json:"n" doc:"number by which it is withdrawn"`
	Name    string    `json:"name"`
	Path    string    `json:"path" doc:"where it is on this computer"`
	Folder  bool      `json:"folder,omitempty"`
	Size    int64     `json:"size" doc:"bytes of all its files when the link was made"`
	URL     string    `json:"url" doc:"what a browser in the same network opens; empty while this computer is in no local network"`
	More    []string  `json:"more,omitempty" doc:"the same at further addresses of this computer"`
	QR      string    `json:"qr,omitempty" doc:"QR code of url, as SVG"`
	Made    time.Time `json:"made"`
	Until   time.Time `json:"until" doc:"when it ends"`
	Devices int       `json:"devices" doc:"how many devices have fetched it, or begun to"`
	Most    int       `json:"most,omitempty" doc:"how many may; 0: any number"`
	Sent    int64     `json:"sent" doc:"bytes sent to them"`
}

// GuestsOut lists the web links that work now.
type GuestsOut struct {
	Guests []Guest `json:"guests"`
}

// GuestAddIn asks for a web link to an item.
type GuestAddIn struct {
	Ref       string `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Lasts     string `json:"lasts,omitempty" default:"1h" doc:"how long the link works, such as 30m or 2d, at most 7d"`
	Downloads int    `json:"downloads,omitempty" doc:"how many devices may fetch it (default: any number)"`
	At        string `json:"at,omitempty" doc:"the only address of this computer to be reached at (default: those of its local networks)"`
}

// GuestRmIn names a web link.
type GuestRmIn struct {
	N int `json:"n" arg:"0" doc:"its number, as kith guest shows it"`
}

// GetIn asks for what a link names.
type GetIn struct {
	Link       string   `json:"link" arg:"0" path:"maybe" doc:"magnet or kith: link, .torrent file, infohash, CID, ipfs:// or https:// address"`
	Output     string   `json:"output,omitempty" short:"o" path:"true" doc:"folder to put it in, or the name it shall have; default: the node's files folder"`
	Timeout    string   `json:"timeout,omitempty" doc:"give up after this long without a byte, such as 90s (default: never)"`
	Select     []string `json:"select,omitempty" doc:"of a folder, fetch only this file, this folder, or what matches, as in *.mkv or */s01/*; may be repeated"`
	List       bool     `json:"list,omitempty" doc:"fetch nothing: say what files there are"`
	Sequential bool     `json:"sequential,omitempty" doc:"from the beginning to the end, for watching"`
	Detach     bool     `json:"detach,omitempty" short:"d" doc:"do not wait: it goes on in the node"`
}

// GetOut tells how far a download is; in the end Path, Size and Sources are the result.
type GetOut struct {
	Path    string `json:"path" doc:"where it is, or will be"`
	Size    int64  `json:"size" doc:"bytes in all; -1 while it is not known"`
	Sources int    `json:"sources" doc:"peers that bytes came from (while it runs: that bytes are asked of)"`

	Ref    kith.Ref `json:"ref"`
	Name   string   `json:"name"`
	State  string   `json:"state" enum:"finding,fetching,waiting,paused,checking,done,failed"`
	Reason string   `json:"reason,omitempty" doc:"why it waits or has failed"`
	Done   int64    `json:"done" doc:"bytes on disk and verified"`
	Rate   float64  `json:"rate" doc:"bytes a second, lately"`
	ETA    float64  `json:"eta" doc:"seconds left; -1 if not known"`
	Link   string   `json:"link,omitempty"`
	CopyOf string   `json:"copy_of,omitempty" doc:"where it was begun, or fetched, before another output was asked for; path is or will be a copy of that"`

	Networks []ItemNetwork `json:"networks,omitempty" doc:"how it stands in other networks"`
	Part     bool          `json:"part,omitempty" doc:"only what was selected is here"`
	Verified []string      `json:"verified,omitempty" doc:"networks that compared the whole with all digests by which they name it"`
	Listed   []TreeEntry   `json:"listed,omitempty" doc:"with list: its files, at most 2,000"`
	More     int           `json:"more,omitempty" doc:"files left out of listed"`
}

// Item is something shared or fetched.
type Item struct {
	Ref     kith.Ref  `json:"ref"`
	Name    string    `json:"name"`
	Size    int64     `json:"size" doc:"bytes; -1 while it is not known"`
	Files   int       `json:"files"`
	Folder  bool      `json:"folder"`
	Kind    string    `json:"kind" enum:"share,download" doc:"share: it was here; download: it was fetched, and is served on"`
	State   string    `json:"state" enum:"ready,gone,finding,fetching,waiting,paused,checking,done,failed"`
	Reason  string    `json:"reason,omitempty" doc:"why it waits, has failed or is gone, and what to do"`
	For     string    `json:"for" enum:"link,contacts,public"`
	Private bool      `json:"private,omitempty"`
	Path    string    `json:"path,omitempty"`
	Link    string    `json:"link"`
	Short   string    `json:"short"`
	Done    int64     `json:"done" doc:"bytes here"`
	Rate    float64   `json:"rate" doc:"bytes a second coming in"`
	UpRate  float64   `json:"up_rate" doc:"bytes a second going out"`
	Up      int64     `json:"up" doc:"bytes sent to others since it was added"`
	ETA     float64   `json:"eta" doc:"seconds left; -1 if not known"`
	Sources int       `json:"sources" doc:"peers that bytes are asked of now"`
	Added   time.Time `json:"added"`
	Media   string    `json:"media,omitempty" doc:"MIME type of a single file"`

	Networks []ItemNetwork `json:"networks,omitempty" doc:"other networks that it is served to, or comes from, or is known in"`
	Only     []string      `json:"only,omitempty" doc:"what of it is wanted: paths and patterns"`
	Part     bool          `json:"part,omitempty" doc:"only that is here"`
}

// ItemNetwork is how an item stands in another network.
type ItemNetwork struct {
	Network  string    `json:"network" doc:"bittorrent, ipfs, web"`
	Names    []string  `json:"names,omitempty" doc:"what it is called there: infohashes, an ipfs:// address, a URL"`
	Served   bool      `json:"served,omitempty" doc:"it is served to that network"`
	Until    float64   `json:"until,omitempty" doc:"ratio at which that ends; 0: it does not end by that"`
	Ends     time.Time `json:"ends,omitzero" doc:"when that ends at the latest"`
	State    string    `json:"state,omitempty" enum:",connecting,active,idle,slow,dropped,cut off" doc:"while it comes from there"`
	Said     string    `json:"said,omitempty" doc:"what a person should know"`
	Peers    int       `json:"peers" doc:"whom it is talking to"`
	Have     float64   `json:"have,omitempty" doc:"part of the content that is to be had there, as far as known"`
	Bytes    int64     `json:"bytes,omitempty" doc:"bytes that came from there"`
	Rate     float64   `json:"rate,omitempty" doc:"bytes a second coming in"`
	Up       int64     `json:"up,omitempty" doc:"bytes sent there"`
	UpRate   float64   `json:"up_rate,omitempty" doc:"bytes a second going out"`
	Ratio    float64   `json:"ratio,omitempty" doc:"bytes sent there, as parts of its size"`
	Verified bool      `json:"verified,omitempty" doc:"the whole was compared with all digests by which that network names it"`
}

// RefIn names an item by its ref, or by a part of its ref or name that only it has.
type RefIn struct {
	Ref string `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
}

// ShowOut is all that is known of one item.
type ShowOut struct {
	Item
	From     []swarm.Source  `json:"from" doc:"who it comes from, and what is known of them"`
	Copies   float64         `json:"copies,omitempty" doc:"of a torrent: how many copies its peers have together; 1.5: one of each piece, and another of half of them"`
	Trackers []swarm.Tracker `json:"trackers,omitempty" doc:"of a torrent: who is told of it, and what they said last"`
	Pieces   string          `json:"pieces" doc:"base64 of one byte for each of at most 512 equal stretches: 0 nothing to 255 all here"`
	Rarity   string          `json:"rarity,omitempty" doc:"like pieces: how many sources have each stretch, at most 255"`
	Tree     []TreeEntry     `json:"tree,omitempty" doc:"files of a folder, at most 2,000"`
	More     int             `json:"more,omitempty" doc:"files left out of tree"`
	QR       string          `json:"qr" doc:"QR code of the short link, as SVG"`
	Command  string          `json:"command" doc:"a command that fetches it, quoted for a shell"`
}

// TreeEntry is a file of a folder.
type TreeEntry struct {
	Index int    `json:"index" doc:"number by which it can be opened"`
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Done  int64  `json:"done"`
	Media string `json:"media,omitempty"`

	Wanted bool `json:"wanted" doc:"it is, or was, asked for"`
}

// RmIn removes an item from the list.
type RmIn struct {
	Ref    string `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Delete bool   `json:"delete,omitempty" doc:"also delete the file, if it was downloaded by Kith; what was shared in place is never deleted"`
}

// RmOut says what was removed.
type RmOut struct {
	Ref     kith.Ref `json:"ref"`
	Name    string   `json:"name"`
	Deleted bool     `json:"deleted" doc:"the downloaded files were deleted too"`
	Path    string   `json:"path,omitempty" doc:"where the files are, or were if they were deleted; empty if nothing had come"`
	Kept    []Kept   `json:"kept,omitempty" doc:"with delete: the first hundred files at path that stay"`
	More    int      `json:"more,omitempty" doc:"how many stay beside those"`
}

// Kept is a file that stays though a deletion was asked for.
type Kept struct {
	Path string `json:"path" doc:"below the item's path; empty for that itself"`
	Why  string `json:"why"`
}

// LsOut lists what is here.
type LsOut struct {
	Items  []Item  `json:"items"`
	Guests []Guest `json:"guests,omitempty" doc:"web links for the local network that work now"`
	Rate   float64 `json:"rate" doc:"bytes a second coming in, all together"`
	Up     float64 `json:"up_rate" doc:"bytes a second going out, all together"`
}

// OpenIn asks for an address at which a browser can read an item, even while it comes.
type OpenIn struct {
	Ref   string `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Index int    `json:"index,omitempty" doc:"which file of a folder"`
}

// OpenOut is that address.
type OpenOut struct {
	URL   string `json:"url"`
	Media string `json:"media" doc:"MIME type"`
}

// LimitIn sets or shows how fast the node may send and receive.
type LimitIn struct {
	Up    string `json:"up,omitempty" doc:"upload limit a second, such as 500K or 2MiB; 0 for none"`
	Down  string `json:"down,omitempty" doc:"download limit a second"`
	Ratio string `json:"ratio,omitempty" doc:"what came by a torrent is given back until so many times its size was sent, such as 2.0; 0: not at all; none: without an end"`

	SeedTime string `json:"seed_time,omitempty" doc:"and for so long at most, such as 7d; none: as long as that takes"`
}

// LimitOut is what holds now, in bytes a second; 0 is no limit.
type LimitOut struct {
	Up    int64   `json:"up"`
	Down  int64   `json:"down"`
	Ratio float64 `json:"ratio" doc:"how much of what came by a torrent is given back, as parts of its size; -1: without an end"`

	SeedTime float64 `json:"seed_time" doc:"for so many seconds at most; 0: as long as that takes"`
}

// PublishIn asks for an item to be found by anybody, or served to public networks.
type PublishIn struct {
	Ref      string   `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Networks []string `json:"networks,omitempty" doc:"public networks of other programs, such as bittorrent,ipfs"`
	For      string   `json:"for,omitempty" enum:"public" doc:"say that anybody may find and have what was for whoever has the link"`
	Torrent  string   `json:"torrent,omitempty" path:"true" doc:"also write a .torrent file here"`

	Labels
}

// UnpublishIn asks for an item not to be served to public networks any more.
type UnpublishIn struct {
	Ref      string   `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Networks []string `json:"networks,omitempty" doc:"from which of them; default: all"`
	For      string   `json:"for,omitempty" enum:"link" doc:"say that only whoever has the link may have it"`
}

// NetworksOut lists the public networks that this node can share with and fetch from.
type NetworksOut struct {
	Networks []string `json:"networks" doc:"that can be shared with"`
}

// SelectIn says what of a folder is wanted.
type SelectIn struct {
	Ref  string   `json:"ref" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Only []string `json:"only,omitempty" arg:"1" doc:"files, folders and patterns; none: all of it"`
}
