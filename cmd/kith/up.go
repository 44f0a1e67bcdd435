package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"kith/api"
	"kith/apps"
	"kith/cli"
	"kith/config"
	"kith/internal/human"
	"kith/node"
	"kith/web"
)

// upFlags are the flags of kith up.
type upFlags struct {
	api, network, files, up, down string
	relay                         string
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
	flags.StringVar(&f.network, "network", "", "`NAME` of the network; nodes of other networks are not seen (default kith)")
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

// configure returns the configuration of dir with the flags over it.
func (f upFlags) configure(dir string) (config.Config, error) {
	c, err := config.Load(dir)
	if err != nil {
		return c, err
	}
	for to, flag := range map[*string]string{&c.API: f.api, &c.Network: f.network, &c.Files: f.files, &c.Relay.For: f.relay} {
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

func up(ctx context.Context, cmd *cobra.Command, f upFlags) error {
	dir := cli.Dir(cmd)
	c, err := f.configure(dir)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if f.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log) // what libraries print goes the same way
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	var server *api.Server
	neighbours := &labs{}
	defer neighbours.close()
	list, guard := apps.New()
	phone := api.NewPhone()
	list = append(list, phone.App())
	n, err := node.Open(ctx, node.Options{Dir: dir, Config: c, Version: buildVersion(), Apps: list, Guard: guard, Peers: f.peers,
		Ops: ops(func() string { return server.OpenURL() }, neighbours), NoMDNS: f.noMDNS, NoUPnP: f.noUPnP,
		Mainline: !f.noMainline && !c.NoMainline, Public: f.public, Log: log, Stop: stop})
	if err != nil {
		return err
	}
	server, err = api.New(api.Options{Addr: c.API, Dir: dir, Apps: n.Apps(), Page: web.FS(), Log: log, Version: buildVersion(), Metrics: n.Metrics(), Phone: phone})
	if err == nil {
		err = n.Start(ctx, server, server.Addr())
	}
	if err == nil {
		greet(cmd.OutOrStdout(), n, server, dir)
		if !f.noOpen {
			openBrowser(server.OpenURL())
		}
		err = server.Serve(ctx)
	}
	if cerr := n.Close(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	return err
}

// greet says what a person needs to know of the node that has started.
func greet(w io.Writer, n *node.Node, server *api.Server, dir string) {
	for _, note := range n.Notes() {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	kith := config.Command(dir)
	fmt.Fprintf(w, "kith is up; its page, for one use within a minute: %s\n\n", server.OpenURL())
	fmt.Fprintf(w, "  %s share PATH    share a file or a folder\n  %s get 'LINK'    fetch what a link names\n"+
		"  %s open          open the page again\n  %s status        see how it is; Ctrl-C stops it\n", kith, kith, kith, kith)
}
