package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/spf13/cobra"

	"kith"
	"kith/api"
	"kith/apps"
	"kith/cli"
	"kith/config"
	"kith/internal/human"
	"kith/network/member"
	"kith/node"
	"kith/web"
)

// upFlags are the flags of kith up.
type upFlags struct {
	api, network, files, up, down string
	relay, overlay                string
	metered                       bool
	listen, peers                 []string
	noOpen, noMDNS, noUPnP, debug bool
	public, noMainline            bool
}

func upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "start a node; its page opens",
		Long: "Starts a node, which runs until it is stopped with Ctrl-C, kith stop or a signal.\n" +
			"It listens for peers, and for you on this computer only.",
		Example: "  kith up\n  kith up --no-open --api 127.0.0.1:4800 --listen /ip4/0.0.0.0/tcp/4747",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.api, "api", "", "address of the local interface, `HOST:PORT` (default 127.0.0.1 and the first free port from 4748)")
	flags.StringArrayVar(&f.listen, "listen", nil, "`MULTIADDR` to listen on for peers; may be repeated (default: all transports, one port that is kept)")
	flags.StringArrayVar(&f.peers, "peer", nil, "`MULTIADDR` of a peer to connect to; may be repeated")
	flags.StringVar(&f.network, "network", "", "`NAME` of the network; nodes of other networks are not seen (default kith). Or the link of a private one, which is\nremembered; - asks for it, so that it is not seen on the command line")
	flags.StringVar(&f.overlay, "overlay", "", "how the nodes of the network find who has what: `NAME` kad-dht, chord, kademlia or pastry; all of them run the same (default kad-dht, or what\nthe private network has agreed on)")
	flags.StringVar(&f.files, "files", "", "`FOLDER` for downloads and uploads (default: files in the data directory)")
	flags.StringVar(&f.up, "up", "", "upload limit a second, such as 500K")
	flags.StringVar(&f.down, "down", "", "download limit a second")
	flags.StringVar(&f.relay, "relay", "", "for whom to relay: `MODE` off, contacts, coordinate or strangers (default as set last, or coordinate)")
	flags.BoolVar(&f.metered, "metered", false, "this connection is paid for by the byte: carry nothing for strangers")
	flags.BoolVar(&f.noOpen, "no-open", false, "do not open the page")
	flags.BoolVar(&f.noMDNS, "no-mdns", false, "stay silent on the local network")
	flags.BoolVar(&f.noUPnP, "no-upnp", false, "do not ask the router for a way in")
	flags.BoolVar(&f.public, "public", false, "join the public network: as kith network join")
	flags.BoolVar(&f.noMainline, "no-mainline", false, "never speak to the BitTorrent DHT")
	flags.BoolVar(&f.debug, "debug", false, "log everything")
	return cmd
}

// private takes the link of a private network out of the flags, and asks for it if the flag says so.
func (f *upFlags) private(cmd *cobra.Command) (link string, err error) {
	switch {
	case f.network == "-":
		if link, err = cli.Secret(cmd, "link of the private network, "+kith.NetworkScheme+"…"); err == nil {
			_, err = member.Parse(link)
		}
	case member.IsLink(f.network):
		link = f.network
		fmt.Fprintf(cmd.ErrOrStderr(), "note: other users of this computer can see the link on this command line; it is remembered, so that next time kith up is enough\n")
	default:
		return "", nil
	}
	f.network = ""
	return link, err
}

// configure returns the configuration of dir with the flags over it.
func (f upFlags) configure(dir string) (config.Config, error) {
	c, err := config.Load(dir)
	if err != nil {
		return c, err
	}
	for to, flag := range map[*string]string{&c.API: f.api, &c.Network: f.network, &c.Files: f.files, &c.Overlay: f.overlay, &c.Relay.For: f.relay} {
		if flag != "" {
			*to = flag
		}
	}
	c.Relay.Metered = c.Relay.Metered || f.metered
	if len(f.listen) > 0 {
		c.Listen = f.listen
	}
	for to, flag := range map[*int64]string{&c.Up: f.up, &c.Down: f.down} {
		if flag == "" {
			continue
		}
		if *to, err = human.ParseRate(flag); err != nil {
			return c, err
		}
	}
	if c.Files != "" {
		c.Files, err = filepath.Abs(c.Files)
	}
	return c, err
}

// ballast bytes are allocated and never touched, so that they take no memory. The collector runs when as much has been allocated as is in use, and that much more with them: a node has little in use
// and moves much, and collected tens of times a second.
const ballast = 32 << 20

func up(ctx context.Context, cmd *cobra.Command, f upFlags) error {
	defer runtime.KeepAlive(make([]byte, ballast))
	level := slog.LevelWarn
	if f.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log) // what libraries print goes the same way
	neighbours := &labs{}
	defer neighbours.close()
	link, err := f.private(cmd)
	if err != nil {
		return err
	}
	for before := (*api.Server)(nil); ; {
		r := running{cmd: cmd, flags: f, link: link, before: before, neighbours: neighbours, log: log}
		if before, err = r.run(ctx); before == nil || err != nil {
			return err
		}
		link, f.noOpen, f.public = "", true, false
	}
}

// running is a node from its start to its end.
type running struct {
	cmd        *cobra.Command
	flags      upFlags
	link       string      // of the private network to move into
	before     *api.Server // of the node that this one takes over from; nil: it is the first
	neighbours *labs
	log        *slog.Logger
}

// run returns when the node has ended. If it is to start again, it returns its server, which has ended too.
func (r running) run(ctx context.Context) (again *api.Server, err error) {
	dir, f := cli.Dir(r.cmd), r.flags
	c, err := f.configure(dir)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var restart atomic.Bool
	var server *api.Server
	list, guard := apps.New()
	phone := api.NewPhone()
	list = append(list, phone.App())
	n, err := node.Open(ctx, node.Options{Dir: dir, Config: c, Version: buildVersion(), Apps: list, Guard: guard, Bridges: bridges(), Peers: f.peers, Join: r.link,
		Ops: ops(func() string { return server.OpenURL() }, r.neighbours), NoMDNS: f.noMDNS, NoUPnP: f.noUPnP,
		Mainline: !f.noMainline && !c.NoMainline, Public: f.public, Log: r.log, Stop: stop,
		Restart: func() { restart.Store(true); stop() }})
	if err != nil {
		return nil, err
	}
	server, err = api.New(api.Options{Addr: c.API, Before: r.before, Dir: dir, Apps: n.Apps(), Page: web.FS(), Log: r.log, Version: buildVersion(), Metrics: n.Metrics(), Phone: phone})
	if err == nil {
		err = n.Start(ctx, server, server.Addr())
	}
	if err == nil {
		r.greet(n, server)
		if !f.noOpen {
			openBrowser(server.OpenURL())
		}
		err = server.Serve(ctx)
	}
	if cerr := n.Close(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	if !restart.Load() {
		return nil, err
	}
	return server, err
}

// greet says what a person needs to know of the node that has started.
func (r running) greet(n *node.Node, server *api.Server) {
	w, kith := r.cmd.OutOrStdout(), config.Command(cli.Dir(r.cmd))
	for _, note := range n.Notes() {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	where := ""
	if n.Network().Private() {
		where = " in the private network " + n.Network().Name()
	}
	if r.before != nil {
		fmt.Fprintf(w, "kith is up again%s\n", where)
		return
	}
	fmt.Fprintf(w, "kith is up%s; its page, for one use within a minute: %s\n\n", where, server.OpenURL())
	fmt.Fprintf(w, "  %s share PATH    share a file or a folder\n  %s get 'LINK'    fetch what a link names\n"+
		"  %s open          open the page again\n  %s status        see how it is; Ctrl-C stops it\n", kith, kith, kith, kith)
}
