package search

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"kith/app"
	"kith/internal/human"
	"kith/internal/plain"
	"kith/search/block"
)

// Limits of what is hidden, and of block lists.
const (
	maxHidden = 10_000 // by hand
	maxWhy    = block.MaxWhy
	maxLists  = 32
	tailLen   = 8 // signs of the end of a peer ID by which a publisher is named
)

// tail returns a peer ID, or a CID, as a person sees it.
func tail(what string) string { return "…" + what[max(0, len(what)-tailLen):] }

// None is an input with nothing in it.
type None struct{}

// HideIn names what is to be shown no more.
type HideIn struct {
	What string `json:"what" arg:"0" doc:"a contact, a publisher's peer ID or the end of it that a search shows, or a link: of what is hidden then only this content is"`
	Why  string `json:"why,omitempty" doc:"what to remember it by"`
}

// UnhideIn names what is to be shown again.
type UnhideIn struct {
	What string `json:"what" arg:"0" suggest:"search hidden" doc:"as kith search hidden shows it"`
}

// Hidden is who or what is shown no more.
type Hidden struct {
	What  string    `json:"what" doc:"peer ID of a publisher, or CID of a content"`
	Kind  string    `json:"kind" enum:"publisher,content"`
	Name  string    `json:"name,omitempty" doc:"the contact whose device it is"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`

	Reported string `json:"reported,omitempty" enum:"spam,fake,malware,illegal,other" doc:"contacts are told that it is"`
}

// HiddenOut lists what the person hides.
type HiddenOut struct {
	Hidden []Hidden `json:"hidden" doc:"the latest first"`
}

// BlockAddIn names a block list.
type BlockAddIn struct {
	File string `json:"file,omitempty" arg:"0" path:"maybe" doc:"a text file that is read again when it changes, or the link of one that is here"`
	Name string `json:"name,omitempty" doc:"what to call it; default: the file's name"`
	Text string `json:"text,omitempty" doc:"the list itself, in place of a file"`
}

// BlockRmIn names a block list.
type BlockRmIn struct {
	Name string `json:"name" arg:"0" suggest:"search block" doc:"the list's name"`
}

// BlockList is a list that is followed.
type BlockList struct {
	Name       string    `json:"name"`
	File       string    `json:"file,omitempty" doc:"that is read again when it changes"`
	Read       time.Time `json:"read"`
	Publishers int       `json:"publishers"`
	Contents   int       `json:"contents"`
}

// BlockOut lists block lists.
type BlockOut struct {
	Lists []BlockList `json:"lists"`
}

func hideOp(run func(context.Context, HideIn) (HiddenOut, error)) app.Op {
	o := app.NewOp("search hide", "show a publisher's results no more", run)
	o.Long = "It holds for this computer alone, and nobody is told. What they publish is kept, and comes back with kith search unhide.\n" +
		"To search for the word hide itself, put the words in one pair of quotes: kith search 'hide and seek'."
	o.Example = "  kith search hide …x7Kq2p9d\n  kith search hide @anna\n  kith search hide 'magnet:?xt=…' --why 'not what it says'"
	return o
}

func unhideOp(run func(context.Context, UnhideIn) (HiddenOut, error)) app.Op {
	return app.NewOp("search unhide", "show what was hidden again", run)
}

func hiddenOp(run func(context.Context, None) (HiddenOut, error)) app.Op {
	o := app.NewOp("search hidden", "list who and what is hidden", run)
	o.Query = true
	return o
}

func blockAddOp(run func(context.Context, BlockAddIn) (BlockOut, error)) app.Op {
	o := app.NewOp("search block add", "hide all that a block list names", run)
	o.Long = "A list is a text file: in each line a peer ID, a CID or a link, then perhaps # and why. A file on this computer is read again when it changes. A list of the same name is replaced.\n" +
		"Follow lists of people whose judgement you trust: what a list names is hidden, also if a contact shares it."
	o.Example = "  kith search block add spam.txt\n  kith search block add 'magnet:?xt=…' --name annas-list"
	return o
}

func blockLsOp(run func(context.Context, None) (BlockOut, error)) app.Op {
	o := app.NewOp("search block", "list the block lists that are followed", run)
	o.Query = true
	return o
}

func blockRmOp(run func(context.Context, BlockRmIn) (BlockOut, error)) app.Op {
	return app.NewOp("search block rm", "follow a block list no more, and show what it named", run)
}

// WriteText implements app.Texter.
func (out HiddenOut) WriteText(w io.Writer, width int) error {
	var b strings.Builder
	for _, h := range out.Hidden {
		parts := []string{h.Kind}
		if h.Name != "" {
			parts = append(parts, plain.Text(h.Name))
		}
		if h.Why != "" {
			parts = append(parts, plain.Text(h.Why))
		}
		if h.Reported != "" {
			parts = append(parts, "reported as "+h.Reported)
		}
		fmt.Fprintf(&b, "%s  %s · %s\n", tail(h.What), strings.Join(parts, " · "), h.Since.Local().Format("2 January 2006"))
	}
	if len(out.Hidden) == 0 {
		b.WriteString("Nothing is hidden; hide a publisher with: kith search hide\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Suggest implements app.Suggester.
func (out HiddenOut) Suggest() (list []string) {
	for _, h := range out.Hidden {
		list = append(list, h.What)
	}
	return list
}

// WriteText implements app.Texter.
func (out BlockOut) WriteText(w io.Writer, width int) error {
	var b strings.Builder
	for _, l := range out.Lists {
		fmt.Fprintf(&b, "%s  %s, %s", plain.Text(l.Name), human.Count(l.Publishers, "publisher"), human.Count(l.Contents, "content"))
		if l.File != "" {
			fmt.Fprintf(&b, " · %s", plain.Text(l.File))
		}
		b.WriteString("\n")
	}
	if len(out.Lists) == 0 {
		b.WriteString("No block list is followed; add one with: kith search block add FILE\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Suggest implements app.Suggester.
func (out BlockOut) Suggest() (list []string) {
	for _, l := range out.Lists {
		list = append(list, l.Name)
	}
	return list
}
