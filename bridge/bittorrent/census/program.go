package census

import (
	"strings"
	"unicode/utf8"
)

// maxProgram is how many bytes of what a peer says that it runs are taken.
const maxProgram = 64

// programs are those of BEP 20 that are met today, by the two letters of their peer ids.
var programs = map[string]string{
	"A2": "aria2", "AZ": "Vuze", "BI": "BiglyBT", "DE": "Deluge", "FD": "Free Download Manager", "GT": "anacrolix/torrent", "KT": "KTorrent", "LT": "libtorrent", "TL": "Tribler", "TR": "Transmission",
	"UT": "µTorrent", "WD": "WebTorrent Desktop", "WW": "WebTorrent", "lt": "rTorrent", "qB": "qBittorrent",
}

// Program returns what a peer runs: as it says itself (v of BEP 10), or else as its peer id says (BEP 20), without a version, which each writes in its own way; "" if neither does.
func Program(said string, id [20]byte) string {
	if said = strings.TrimSpace(said); said != "" {
		said = strings.ToValidUTF8(said, "\uFFFD")
		for end := maxProgram; len(said) > maxProgram; end-- {
			if utf8.RuneStart(said[end]) {
				said = said[:end]
			}
		}
		return said
	}
	if text := string(id[:]); strings.HasPrefix(text, "A2-") { // aria2 leaves out the first -
		return programs["A2"]
	}
	if id[0] == '-' && id[7] == '-' {
		return programs[string(id[1:3])]
	}
	return ""
}
