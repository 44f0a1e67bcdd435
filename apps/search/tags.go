package search

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"kith"
	"kith/app"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/search/fact"
	"kith/search/publication"
)

// Labels is what a person says of an item beside its name.
type Labels struct {
	Tags     []string `json:"tags,omitempty"`
	Language string   `json:"language,omitempty" doc:"ISO 639-1"`
}

// tagged is what is said of the items that are here.
type tagged struct {
	bell chan struct{} // cap 1: it has changed
	mu   sync.Mutex
	all  map[string]Labels // by ref
}

// TagIn says what an item is.
type TagIn struct {
	Item string   `json:"item" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
	Tags []string `json:"tags,omitempty" arg:"1" doc:"at most 8, each of at most 32 bytes, in the place of those that it had; none: it has none"`
	Lang string   `json:"lang,omitempty" doc:"its language, such as de, or none; default: as it was"`
}

// TagOut is what is said of an item.
type TagOut struct {
	Ref  kith.Ref `json:"ref"`
	Name string   `json:"name"`
	Labels
	Public bool `json:"public,omitempty" doc:"everybody is told; else only you find it by these"`
}

// AboutIn names an item.
type AboutIn struct {
	Item string `json:"item" arg:"0" suggest:"ls" doc:"CID, link, name, or a part that only one has"`
}

// AboutOut is what is known of an item, here and by others.
type AboutOut struct {
	TagOut
	Facts fact.Facts `json:"facts,omitzero" doc:"what it says of itself"`
	Known bool       `json:"known" doc:"it has been read; else that is still to come"`
	Claim string     `json:"claim,omitempty" doc:"type that its name says, and that it is not"`
}

func aboutOp(run func(context.Context, AboutIn) (AboutOut, error)) app.Op {
	o := app.NewOp("search about", "say by which tags an item is found, and what it says of itself", run)
	o.Query, o.Hidden = true, true
	return o
}

func (s *Search) about(ctx context.Context, in AboutIn) (AboutOut, error) {
	it, err := s.item(in.Item)
	if err != nil {
		return AboutOut{}, err
	}
	out := AboutOut{TagOut: TagOut{Ref: it.Link.Ref, Name: it.Link.Name, Labels: s.labels(it), Public: it.Public}}
	if out.Facts, out.Known = s.facts(it.Link.Ref); out.Known {
		d, err := s.ownDoc(ctx, it)
		if err != nil {
			return AboutOut{}, err
		}
		out.Claim = d.Says
	}
	return out, nil
}

func tagOp(run func(context.Context, TagIn) (TagOut, error)) app.Op {
	o := app.NewOp("search tag", "say by which tags something is found, and in which language it is", run)
	o.Long = "Of what is public (kith publish --for public) the tags are published with its name; a later saying takes the place of an earlier one. Of what is not, they stay here."
	o.Example = "  kith search tag 'Kind of Blue' vinyl jazz\n  kith search tag novel.epub --lang de\n  kith search --tag vinyl jazz"
	return o
}

// labels returns what is said of an item.
func (s *Search) labels(it Item) Labels {
	s.tagged.mu.Lock()
	defer s.tagged.mu.Unlock()
	return s.tagged.all[it.Link.Ref.String()]
}

func (s *Search) readTags(ctx context.Context) (map[string]Labels, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT ref, tags, language FROM tags`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]Labels{}
	for rows.Next() {
		var ref, tags string
		var l Labels
		if err := rows.Scan(&ref, &tags, &l.Language); err != nil {
			return nil, err
		}
		if tags != "" {
			l.Tags = strings.Split(tags, "\n")
		}
		all[ref] = l
	}
	return all, rows.Err()
}

func (s *Search) tag(ctx context.Context, in TagIn) (TagOut, error) {
	it, err := s.item(in.Item)
	if err != nil {
		return TagOut{}, err
	}
	tags := append([]string{}, in.Tags...)
	if len(tags) == 0 && in.Lang != "" {
		tags = nil // as they were
	}
	if err := s.Label(ctx, it.Link.Ref, tags, in.Lang); err != nil {
		return TagOut{}, err
	}
	return TagOut{Ref: it.Link.Ref, Name: it.Link.Name, Labels: s.labels(it), Public: it.Public}, nil
}

// noLanguage takes back what was said of a language.
const noLanguage = "none"

// Label writes down by which tags a content is found, if they are not nil, and in which language it is, if that is not "". Of the zero Ref it only checks them.
func (s *Search) Label(ctx context.Context, ref kith.Ref, tags []string, lang string) error {
	tags, err := cleanTags(tags)
	if err != nil {
		return err
	}
	if lang = strings.ToLower(lang); lang != "" && lang != noLanguage && (len(lang) != 2 || strings.Trim(lang, "abcdefghijklmnopqrstuvwxyz") != "") {
		return kith.Hint(fmt.Errorf("search: tag: %.40q is no language: %w", lang, kith.Invalid), "write it as two letters, such as de (ISO 639-1)")
	}
	if ref.IsZero() {
		return nil
	}
	s.tagged.mu.Lock()
	l := s.tagged.all[ref.String()]
	if tags != nil {
		l.Tags = tags
	}
	if l.Language = cmp.Or(lang, l.Language); lang == noLanguage {
		l.Language = ""
	}
	_, err = s.db.ExecContext(ctx, `INSERT OR REPLACE INTO tags (ref, tags, language) VALUES (?, ?, ?)`, ref.String(), strings.Join(l.Tags, "\n"), l.Language)
	if err == nil {
		s.tagged.all[ref.String()] = l
	}
	s.tagged.mu.Unlock()
	if err != nil {
		return fmt.Errorf("search: save: %w", room.Explain(err))
	}
	select {
	case s.tagged.bell <- struct{}{}:
	default:
	}
	return nil
}

// cleanTags returns tags as they are published: in lower case, each once.
func cleanTags(tags []string) (list []string, err error) {
	if tags != nil {
		list = []string{}
	}
	for _, tag := range tags {
		tag = strings.ToLower(strings.Join(strings.Fields(tag), " "))
		if tag == "" || len(tag) > publication.MaxTag || plain.Text(tag) != tag || strings.Contains(tag, ",") {
			return nil, kith.Hint(fmt.Errorf("search: tag: %.80q is no tag: %w", tag, kith.Invalid), "a word or several, at most %d bytes, without commas", publication.MaxTag)
		}
		if !slices.Contains(list, tag) {
			list = append(list, tag)
		}
	}
	if len(list) > publication.MaxTags {
		return nil, kith.Hint(fmt.Errorf("search: tag: %d tags: %w", len(list), kith.TooLarge), "at most %d", publication.MaxTags)
	}
	return list, nil
}

// item returns the one that a person names.
func (s *Search) item(name string) (Item, error) {
	items := s.files.Findable()
	link, _ := kith.ParseLink(name)
	var part []Item
	for _, it := range items {
		if it.Link.Ref == link.Ref || it.Link.Name == name {
			return it, nil
		}
		if strings.Contains(strings.ToLower(it.Link.Name), strings.ToLower(name)) {
			part = append(part, it)
		}
	}
	switch {
	case len(part) == 1:
		return part[0], nil
	case len(part) > 1:
		return Item{}, kith.Hint(fmt.Errorf("search: tag: %d items have %.80s in their names: %w", len(part), plain.Text(name), kith.Invalid), "name more of it")
	}
	return Item{}, kith.Hint(fmt.Errorf("search: tag: there is no item %.80s that is whole here: %w", plain.Text(name), kith.NotFound), "see what is here with: kith ls")
}

// WriteText implements app.Texter.
func (out TagOut) WriteText(w io.Writer, width int) error {
	said := "no tags"
	if len(out.Tags) > 0 {
		said = strings.Join(out.Tags, ", ")
	}
	if out.Language != "" {
		said += " · " + out.Language
	}
	if !out.Public {
		said += " · for you alone, since it is not public"
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", plain.Text(out.Name), plain.Text(said))
	return err
}
