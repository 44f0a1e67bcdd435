// Package ipfs is what a person does with IPFS: look at its pages in the browser, publish a folder as a web site, keep what others published.
//
// It is not the network (bridge/ipfs), nor sharing and fetching of files, which apps/files does for all networks. Its one idea: a site is a name that stays, while what it
// leads to is replaced as a whole.
package ipfs

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"kith"
	"kith/app"
	"kith/bridge"
)

// network is what the application needs of the bridge to IPFS.
type network interface {
	bridge.Bridge
	bridge.Web
	bridge.Resolver
}

// IPFS is the application.
type IPFS struct {
	env     app.Env
	net     network // nil: the node has no bridge to IPFS
	gateway atomic.Pointer[http.Handler]
}

// New returns an application that has not been started.
func New() *IPFS { return &IPFS{} }

// App describes the application; it is the table of contents of this package.
func (i *IPFS) App() app.App {
	return app.App{
		Name: "ipfs",
		Help: "web sites and pins on IPFS, and its pages in the browser",
		Root: true,
		UI:   "Sites",
		Ops: []app.Op{
			publishOp(i.publish), updateOp(i.update), sitesOp(i.sites), siteRmOp(i.siteRm),
			pinOp(i.pin), pinsOp(i.pins), unpinOp(i.unpin), cidOp(i.cid), browseOp(i.browse),
		},
		Groups: map[string]string{
			"ipfs": "names of IPFS, and its pages in the browser",
			"site": "web sites of this node, under names that stay",
		},
		Gateway: http.HandlerFunc(i.serve),
		Start:   i.start,
	}
}

// settings is the section [apps.ipfs]: none so far. What the network itself can be told is in [ipfs].
type settings struct{}

func (i *IPFS) start(_ context.Context, env app.Env) error {
	i.env = env
	if err := env.Config(&settings{}); err != nil {
		return err
	}
	for _, b := range env.Bridges {
		n, ok := b.(network)
		if !ok {
			continue
		}
		i.net = n
		if h := n.Gateway(); h != nil {
			i.gateway.Store(&h)
		}
	}
	return nil
}

// serve answers browsers; api keeps foreign sites away.
func (i *IPFS) serve(w http.ResponseWriter, r *http.Request) {
	h := i.gateway.Load()
	if h == nil {
		http.Error(w, "this node shows no pages of IPFS: it is switched off (gateway in section [ipfs] of config.toml), or just starting", http.StatusNotFound)
		return
	}
	(*h).ServeHTTP(w, r)
}

// ready returns the network. Errors: Unavailable.
func (i *IPFS) ready() (network, error) {
	if i.net == nil {
		return nil, fmt.Errorf("ipfs: this node has no bridge to IPFS: %w", kith.Unavailable)
	}
	return i.net, nil
}
