package guest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"kith/internal/human"
	"kith/internal/media"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// styleHash allows the page's own style and no other.
var styleHash = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// maxRows bounds the files that a page lists; the archive has all.
const maxRows = 2000

// page is what the template shows.
type page struct {
	Style   template.CSS
	Title   string // the file's, the folder's, or what went wrong
	Text    string // what to do about that
	Extent  string
	Lasts   string
	Back    string // the list that a file is of
	See     string // "image", "video" or "audio", if it can be shown
	URL     string
	Preload string
	Save    string
	Zip     string
	Rows    []row
	More    string
}

type row struct{ Name, Dir, URL, Size string }

func (p page) write(w http.ResponseWriter, status int) {
	p.Style = template.CSS(pageStyle)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	pageTemplate.Execute(w, p)
}

func refuse(w http.ResponseWriter, status int, title, text string) {
	page{Title: title, Text: text}.write(w, status)
}

// lasts says for how long a link can still be opened.
func (d *Desk) lasts(l Link) string {
	left := l.Until.Sub(d.now())
	if left < time.Minute {
		return "less than a minute"
	}
	return human.Duration(left.Truncate(time.Minute))
}

// segments escapes a path below a folder for a URL.
func segments(rel string) string {
	parts := strings.Split(rel, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

func (r *door) filePage(w http.ResponseWriter, l Link, rel, name string, info fs.FileInfo) {
	p := page{Title: name, Extent: human.Bytes(info.Size()), Lasts: r.d.lasts(l), URL: address(l), Preload: "metadata"}
	if rel != "" {
		p.Back = p.URL
		p.URL += segments(rel)
	}
	p.Save = p.URL + "?download"
	if l.Most > 0 { // to look at the page is not to fetch
		p.Preload = "none"
	}
	if t, ok := media.Shown(name); ok {
		p.See, _, _ = strings.Cut(t, "/")
	}
	if p.See == "image" && l.Most > 0 {
		p.See = ""
	}
	p.write(w, http.StatusOK)
}

func (r *door) folderPage(w http.ResponseWriter, l Link) {
	list := r.d.list(l)
	p := page{Title: l.Name, Extent: human.Count(len(list.files), "file") + ", " + human.Bytes(list.size), Lasts: r.d.lasts(l),
		Zip: "/" + l.Token + "/" + url.PathEscape(l.Name+".zip")}
	for i, e := range list.files {
		if i == maxRows {
			p.More = human.Count(len(list.files)-maxRows, "more file") + " in the ZIP"
			break
		}
		dir, name := path.Split(e.path)
		p.Rows = append(p.Rows, row{Name: name, Dir: dir, URL: address(l) + segments(e.path), Size: human.Bytes(e.size)})
	}
	if list.more {
		p.More = "there are more files, which are not given: a link is for at most " + human.Count(maxFiles, "file")
	}
	p.write(w, http.StatusOK)
}
