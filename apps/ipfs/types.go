package ipfs

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"kith/app"
	"kith/bridge"
	"kith/internal/human"
	"kith/internal/plain"
)

// None is the input of an operation that needs none, and the output of one that says nothing.
type None struct{}

// PublishIn says which folder is to be a site.
type PublishIn struct {
	Path string `json:"path" arg:"0" path:"true" doc:"the folder; index.html in it is what is shown first"`
	Name string `json:"name,omitempty" doc:"what you call the site: a to z, 0 to 9 and - (default: the folder's name)"`
}

// UpdateIn says which site is to be updated.
type UpdateIn struct {
	Name string `json:"name" arg:"0" suggest:"site ls" doc:"the site"`
	Path string `json:"path,omitempty" arg:"1" path:"true" doc:"another folder (default: the same)"`
}

// NameIn names a site.
type NameIn struct {
	Name string `json:"name" arg:"0" suggest:"site ls" doc:"the site"`
}

// LinkIn names something of IPFS.
type LinkIn struct {
	Link string `json:"link" arg:"0" doc:"a CID, ipfs://CID, ipns://NAME, or an address on a gateway"`
}

// CidIn asks what a path would be called.
type CidIn struct {
	Path    string `json:"path" arg:"0" path:"true" doc:"file or folder"`
	Profile string `json:"profile,omitempty" enum:"2025,classic" doc:"how it is cut into blocks (default: profile in section [ipfs] of config.toml)"`
}

// CidOut is what it would be called.
type CidOut struct {
	CID string `json:"cid"`
}

// WriteText implements app.Texter.
func (o CidOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintln(w, o.CID)
	return err
}

// BrowseOut is where a browser can look at it.
type BrowseOut struct {
	URL string `json:"url" doc:"on this computer; whatever is there has an origin of its own"`
}

// WriteText implements app.Texter.
func (o BrowseOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintln(w, o.URL)
	return err
}

// Site is a folder that is published under a name.
type Site struct {
	Name    string    `json:"name"`
	URL     string    `json:"url" doc:"ipns://KEY, for everybody"`
	Gateway string    `json:"gateway" doc:"where this computer's browser sees it"`
	CID     string    `json:"cid,omitempty" doc:"what it leads to now"`
	Path    string    `json:"path" doc:"the folder"`
	Updated time.Time `json:"updated"`
	Up      int64     `json:"up,omitempty" doc:"bytes that others fetched of it"`
	Rate    float64   `json:"rate,omitempty" doc:"bytes a second going out"`
	Readers int       `json:"readers,omitempty" doc:"peers that are being sent something"`
	Said    string    `json:"said,omitempty" doc:"what you should know"`
}

// at returns an address on this node's gateway.
func (i *IPFS) at(path string) string { return "http://" + i.env.API + path }

func (i *IPFS) siteOf(s bridge.Site) Site {
	out := Site{Name: s.Name, URL: "ipns://" + s.Key, Path: s.Path, Updated: s.At, Said: s.Said}
	out.Gateway = i.at("/ipns/" + s.Key + "/")
	if s.Names.IPFS.Defined() {
		out.CID = s.Names.IPFS.String()
	}
	return out
}

// WriteText implements app.Texter.
func (s Site) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintf(w, "the site %s is no longer published; %s stays as it is\n", plain.Text(s.Name), plain.Text(s.Path))
	return err
}

// SiteOut is how far publishing is, and at the end the site.
type SiteOut struct {
	Site
	File    string `json:"file,omitempty" doc:"what is being read"`
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Skipped int    `json:"skipped,omitempty" doc:"how many things in the folder were left out"`
	Ready   bool   `json:"ready" doc:"it is published"`
}

// Progress implements app.Progresser.
func (o SiteOut) Progress() app.Progress {
	return app.Progress{Label: plain.Text(o.File), Done: o.Done, Total: o.Total}
}

// WriteText implements app.Texter.
func (o SiteOut) WriteText(w io.Writer, _ int) error {
	if !o.Ready {
		return nil
	}
	fmt.Fprintf(w, "%s is published, for everybody, as\n\n  %s\n\n", plain.Text(o.Name), o.URL)
	if o.Skipped > 0 {
		fmt.Fprintf(w, "left out: %s\n", human.Count(o.Skipped, "thing"))
	}
	if o.Said != "" {
		fmt.Fprintf(w, "note: %s\n", plain.Text(o.Said))
	}
	_, err := fmt.Fprintf(w, "see it on this computer at %s\nkith site update %s lets it lead to the folder as it is then\n", o.Gateway, plain.Text(o.Name))
	return err
}

// SitesOut lists the sites of this node.
type SitesOut struct {
	Sites []Site `json:"sites"`
}

// Suggest implements app.Suggester.
func (o SitesOut) Suggest() (all []string) {
	for _, s := range o.Sites {
		all = append(all, s.Name)
	}
	return all
}

// WriteText implements app.Texter.
func (o SitesOut) WriteText(w io.Writer, _ int) error {
	if len(o.Sites) == 0 {
		_, err := fmt.Fprintln(w, "no sites; kith site publish FOLDER makes one")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tUPDATED\tSENT\tADDRESS\tFOLDER")
	for _, s := range o.Sites {
		fmt.Fprintf(t, "%s\t%s ago\t%s\t%s\t%s\n", plain.Text(s.Name), human.Duration(time.Since(s.Updated)), human.Bytes(s.Up), s.URL, plain.Text(s.Path))
		if s.Said != "" {
			fmt.Fprintf(t, "\t%s\n", plain.Text(s.Said))
		}
	}
	return t.Flush()
}

// Pin is something of IPFS that is kept here.
type Pin struct {
	CID    string    `json:"cid"`
	Name   string    `json:"name,omitempty"`
	State  string    `json:"state" enum:"fetching,pinned,failed"`
	Reason string    `json:"reason,omitempty"`
	Blocks int64     `json:"blocks"`
	Bytes  int64     `json:"bytes"`
	Added  time.Time `json:"added"`
}

func pinOf(p bridge.Pin) Pin {
	out := Pin{Name: p.Name, State: p.State, Reason: p.Reason, Blocks: p.Blocks, Bytes: p.Bytes, Added: p.Added}
	if p.Names.IPFS.Defined() {
		out.CID = p.Names.IPFS.String()
	}
	return out
}

// PinOut is how far a pin is.
type PinOut struct{ Pin }

// Progress implements app.Progresser.
func (o PinOut) Progress() app.Progress {
	return app.Progress{Label: plain.Text(o.Name), Done: o.Bytes, Note: human.Count(int(o.Blocks), "block")}
}

// WriteText implements app.Texter.
func (o PinOut) WriteText(w io.Writer, _ int) error {
	_, err := fmt.Fprintf(w, "%s is %s: %s, %s\n", o.CID, o.State, human.Count(int(o.Blocks), "block"), human.Bytes(o.Bytes))
	return err
}

// PinsOut lists what is pinned.
type PinsOut struct {
	Pins []Pin `json:"pins"`
}

// WriteText implements app.Texter.
func (o PinsOut) WriteText(w io.Writer, _ int) error {
	if len(o.Pins) == 0 {
		_, err := fmt.Fprintln(w, "nothing is pinned; kith pin CID keeps something of IPFS here")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STATE\tBLOCKS\tSIZE\tCID\tNAME")
	for _, p := range o.Pins {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", p.State, p.Blocks, human.Bytes(p.Bytes), p.CID, plain.Text(p.Name))
		if p.Reason != "" {
			fmt.Fprintf(t, "\t%s\n", plain.Text(p.Reason))
		}
	}
	return t.Flush()
}
