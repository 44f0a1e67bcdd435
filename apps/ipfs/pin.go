package ipfs

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"kith"
	"kith/app"
)

func pinOp(run func(context.Context, LinkIn) iter.Seq2[PinOut, error]) app.Op {
	o := app.NewStreamOp("pin", "keep what a CID or name of IPFS leads to, and serve it", run)
	o.Long = "All of its blocks are fetched into the data directory and given to others, whatever it is: a site, a folder, data that is no file.\n" +
		"Ctrl-C leaves it coming. kith get fetches files as files, and is what you want for those."
	o.Example = "  kith pin bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi\n  kith pin ipns://docs.ipfs.tech"
	return o
}

func pinsOp(run func(context.Context, None) (PinsOut, error)) app.Op {
	o := app.NewOp("pin ls", "list what is pinned", run)
	o.Query = true
	return o
}

func unpinOp(run func(context.Context, LinkIn) (None, error)) app.Op {
	o := app.NewOp("unpin", "keep something of IPFS no longer", run)
	o.Example = "  kith unpin bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
	return o
}

func cidOp(run func(context.Context, CidIn) (CidOut, error)) app.Op {
	o := app.NewOp("ipfs cid", "say what ipfs add would call a file or folder", run)
	o.Long = "It reads, and tells nobody anything. 2025 is ipfs add with the profile unixfs-v1-2025, classic what ipfs add did by default for ten years\n" +
		"(ipfs add --cid-version 0). Hidden files count (ipfs add -H)."
	o.Example = "  kith ipfs cid festival.mkv\n  kith ipfs cid ~/my-page --profile classic"
	return o
}

func browseOp(run func(context.Context, LinkIn) (BrowseOut, error)) app.Op {
	o := app.NewOp("ipfs open", "say where the browser can look at something of IPFS", run)
	o.Example = "  kith ipfs open ipns://docs.ipfs.tech"
	return o
}

// named reads a link of IPFS. Errors: Invalid.
func named(text string) (kith.Link, error) {
	l, err := kith.ParseLink(text)
	if err == nil && !l.IPFS.Defined() && l.IPNS == "" {
		err = kith.Hint(fmt.Errorf("ipfs: %.80q names nothing of IPFS: %w", text, kith.Invalid), "give a CID, ipfs://CID, ipns://NAME, or the address of a gateway")
	}
	return l, err
}

func (i *IPFS) pin(ctx context.Context, in LinkIn) iter.Seq2[PinOut, error] {
	return func(yield func(PinOut, error) bool) {
		n, err := i.ready()
		if err != nil {
			yield(PinOut{}, err)
			return
		}
		l, err := named(in.Link)
		if err != nil {
			yield(PinOut{}, err)
			return
		}
		for p, err := range n.Pin(ctx, l.Names) {
			if !yield(PinOut{pinOf(p)}, err) {
				return
			}
		}
	}
}

func (i *IPFS) pins(ctx context.Context, _ None) (PinsOut, error) {
	n, err := i.ready()
	if err != nil { // a node without IPFS has none
		return PinsOut{Pins: []Pin{}}, nil
	}
	all, err := n.Pins(ctx)
	out := PinsOut{Pins: []Pin{}}
	for _, p := range all {
		out.Pins = append(out.Pins, pinOf(p))
	}
	return out, err
}

func (i *IPFS) unpin(ctx context.Context, in LinkIn) (None, error) {
	n, err := i.ready()
	if err != nil {
		return None{}, err
	}
	l, err := named(in.Link)
	if err != nil {
		return None{}, err
	}
	return None{}, n.Unpin(ctx, l.Names)
}

func (i *IPFS) cid(ctx context.Context, in CidIn) (CidOut, error) {
	n, err := i.ready()
	if err != nil {
		return CidOut{}, err
	}
	names, err := n.Call(ctx, in.Path, in.Profile)
	if err != nil {
		return CidOut{}, err
	}
	return CidOut{names.IPFS.String()}, nil
}

// browse makes an address on the gateway.
func (i *IPFS) browse(_ context.Context, in LinkIn) (BrowseOut, error) {
	l, err := named(in.Link)
	if err != nil {
		return BrowseOut{}, err
	}
	path := "/ipns/" + l.IPNS
	if l.IPFS.Defined() {
		path = "/ipfs/" + l.IPFS.String()
	}
	if l.Path != "" {
		path += "/" + strings.TrimPrefix(l.Path, "/")
	}
	return BrowseOut{URL: i.at(path)}, nil
}
