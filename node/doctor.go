package node

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/app"
	"kith/internal/human"
	"kith/network"
	"kith/network/relay"
)

// How a finding is.
const (
	fine  = "ok"
	weak  = "weak" // it works, but could be better
	wrong = "wrong"
	blank = "unknown" // nothing can be said yet
)

// Finding is one thing that the doctor looked at.
type Finding = app.Finding

func found(check, state, says, do string) Finding {
	return Finding{Check: check, State: state, Says: says, Do: do}
}

// DoctorOut is what the doctor found, in a fixed order.
type DoctorOut struct {
	Findings []Finding `json:"findings"`
}

func doctorOp(run func(context.Context, None) (DoctorOut, error)) app.Op {
	o := app.NewOp("doctor", "say why connections are as they are, and what to do", run)
	o.Query = true
	o.Long = "It looks only at what the node knows already: it asks nobody and sends nothing."
	return o
}

// facts are all that a diagnosis is made of.
type facts struct {
	network.Health
	listening []network.Listener
	peers     []network.PeerInfo
	relaying  relay.Report
	overlay   string         // its name
	mode      string         // of the overlay
	others    map[string]int // connected peers of the same network, by the overlay that they run and this node does not
	table     int            // peers in its table
	public    PublicOut
	room      int64 // bytes free on the disk
	roomKnown bool
	quota     int64
	stored    int64
	now       time.Time
}

func (n *Node) doctor(ctx context.Context, _ None) (DoctorOut, error) {
	stored, err := n.blobs.Stored(ctx)
	if err != nil {
		return DoctorOut{}, err
	}
	f := facts{
		Health: n.net.Health(), listening: n.net.Listening(), peers: n.net.Peers(), relaying: n.net.Relaying(), overlay: n.overlay, mode: n.routes.Mode(), others: n.otherOverlays(), table: n.routes.Size(), public: n.publicOut(),
		quota: n.o.Config.Quota, stored: stored, now: time.Now(),
	}
	f.room, f.roomKnown = n.blobs.Room()
	out := DoctorOut{f.diagnose()}
	if _, revoked := n.people.Revoked(); revoked {
		out.Findings = append([]Finding{found("device", wrong, "it was revoked by who holds your master key: your other devices and your contacts have cut it off",
			"to use it again, link it anew: kith id link, on a device that is yours")}, out.Findings...)
	}
	for _, a := range n.o.Apps {
		if a.Findings != nil {
			out.Findings = append(out.Findings, a.Findings()...)
		}
	}
	return out, nil
}

// diagnose is pure: the same facts give the same findings.
func (f facts) diagnose() []Finding {
	return []Finding{
		f.hears(), f.reached(), f.mapping(), f.udp(), f.ipv6(), f.router(), f.relayed(), f.relays(), f.routing(), f.public.finding(), f.clock(), f.disk(),
	}
}

func (f facts) hears() Finding {
	var over []string
	for _, l := range f.listening {
		if l.For != "peers" {
			continue
		}
		if a, err := ma.NewMultiaddr(l.Addr); err == nil {
			over = append(over, protocolOf(a))
		}
	}
	slices.Sort(over)
	over = slices.Compact(over)
	if len(over) == 0 {
		return found("listening", wrong, "it listens on no address: nobody can connect to it", "start it with other addresses: kith up --listen /ip4/0.0.0.0/tcp/4001")
	}
	return found("listening", fine, "over "+strings.Join(over, ", "), "")
}

// protocolOf returns "TCP" or "UDP" with the family of the address.
func protocolOf(a ma.Multiaddr) string {
	family, proto := "IPv4", "TCP"
	ma.ForEach(a, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_IP6:
			family = "IPv6"
		case ma.P_UDP:
			proto = "UDP"
		}
		return true
	})
	return proto + " on " + family
}

func (f facts) reached() Finding {
	switch ok, no := len(f.Reachable), len(f.Unreachable); {
	case ok > 0 && no > 0:
		return found("reachable", fine, fmt.Sprintf("others reach it at %s, and not at %s", list(f.Reachable), list(f.Unreachable)), "")
	case ok > 0:
		return found("reachable", fine, "others reach it at "+list(f.Reachable), "")
	case no > 0:
		return found("reachable", weak, "others cannot reach it from outside: tried at "+list(f.Unreachable),
			"it still connects to others by itself; to be reached too, switch UPnP on in the router, or forward the port in the address to this computer")

	case len(f.Transports) == 0:
		return found("reachable", blank, "nobody beyond the local network is connected who could try", "connect to somebody: kith connect ADDR")
	}
	return found("reachable", blank, "nobody has tried yet; that takes a few minutes and peers who help", "")
}

func (f facts) mapping() Finding {
	var hard, soft []string
	for name, h := range f.Hard {
		if h {
			hard = append(hard, name)
		} else {
			soft = append(soft, name)
		}
	}
	slices.Sort(hard)
	slices.Sort(soft)
	switch {
	case len(f.Reachable) > 0:
		return found("nat", fine, "none stands in the way", "")
	case len(hard) > 0:
		return found("nat", weak, fmt.Sprintf("the router gives each connection over %s another port: a direct way to others behind such a router is rarely found", strings.Join(hard, " and ")),
			"switch UPnP on in the router; or a friend who can be reached helps as a relay")

	case len(soft) > 0:
		return found("nat", fine, fmt.Sprintf("the router keeps one port over %s: a direct way can be found", strings.Join(soft, " and ")), "")
	}
	return found("nat", blank, "it takes four peers beyond the local network to tell", "")
}

func (f facts) udp() Finding {
	quic := f.Transports["quic"] + f.Transports["webtransport"] + f.Transports["webrtc-direct"]
	tcp := f.Transports["tcp"] + f.Transports["ws"]
	switch {
	case quic > 0:
		return found("udp", fine, "it passes: "+human.Count(quic, "connection")+" beyond the local network", "")
	case f.NoUDP:
		return found("udp", weak, "no answer comes over UDP: this network lets none pass, so TCP alone is tried, and UDP now and then",
			"transfers work over TCP; ask who runs this network to let UDP pass, for direct ways to be found")

	case tcp >= 4:
		return found("udp", weak, fmt.Sprintf("none of %d connections beyond the local network is over UDP: something may block it", tcp),
			"transfers work over TCP; ask who runs this network to let UDP pass, for direct ways to be found")

	}
	return found("udp", blank, "too few connections beyond the local network to tell", "")
}

func (f facts) ipv6() Finding {
	if f.IPv6 && f.NoIPv6 {
		return found("ipv6", weak, "this computer has a public IPv6 address, but no answer comes over IPv6; it is tried now and then", "restart the router, or ask the provider: IPv4 is used meanwhile")
	}
	if f.IPv6 {
		return found("ipv6", fine, "this computer has a public IPv6 address", "")
	}
	return found("ipv6", weak, "this computer has no public IPv6 address", "where the provider offers IPv6, switch it on in the router: it needs no port forwarding")
}

func (f facts) router() Finding {
	behind := slices.IndexFunc(f.Given, func(a ma.Multiaddr) bool { return !manet.IsPublicAddr(a) })
	switch {
	case behind >= 0:
		return found("router", weak, "it gave ports, but stands behind another router: what it passes on comes to "+list(f.Given),
			"make the outer one a bridge, or ask the provider for a public address; or a friend who can be reached helps as a relay")

	case len(f.Given) > 0:
		return found("router", fine, "it gave ports (UPnP or NAT-PMP), and passes on what comes to "+list(f.Given), "")
	case len(f.Mapped) > 0:
		return found("router", fine, "it passes on what comes to "+list(f.Mapped), "")
	case len(f.Reachable) > 0:
		return found("router", fine, "none is needed", "")
	case !f.UPnP:
		return found("router", weak, "it is not asked for a port: UPnP is switched off here", "start without --no-upnp")
	}
	return found("router", blank, "no router gave a port by UPnP or NAT-PMP", "if there is one, switch UPnP on in it")
}

func (f facts) relayed() Finding {
	through := 0
	for _, p := range f.peers {
		if !p.Direct {
			through++
		}
	}
	switch held := len(f.Relays); {
	case held > 0:
		return found("relays", fine, human.Count(held, "relay")+" can be asked for it"+also(through), "")
	case len(f.Reachable) > 0:
		return found("relays", fine, "none held, none needed"+also(through), "")
	case len(f.Unreachable) > 0:
		return found("relays", weak, "nobody relays for it"+also(through), "connect to a contact who can be reached from outside: their node then helps; or borrow a relay of the public IPFS network: kith relay --ipfs yes")
	}
	return found("relays", blank, "none held; whether one is needed is not known yet"+also(through), "")
}

func (f facts) relays() Finding {
	r := f.relaying
	total := r.Carried[0] + r.Carried[1]
	switch {
	case r.For == relay.Off:
		return found("relaying", fine, "for nobody: it is switched off", "")
	case !r.On:
		return found("relaying", blank, "for nobody: it has not been found reachable from outside", "")
	}
	says := "for " + words(r.Settings)
	if total > 0 {
		says += fmt.Sprintf("; since the start %s for contacts and %s for strangers", human.Bytes(r.Carried[1]), human.Bytes(r.Carried[0]))
	}
	return found("relaying", fine, says+": kith relay shows more", "")
}

func also(through int) string {
	if through == 0 {
		return ""
	}
	return fmt.Sprintf("; %s reached through one", human.Count(through, "peer"))
}

func (f facts) routing() Finding {
	if text := parted(f.overlay, f.others); text != "" {
		return found("overlay", wrong, text, partedDo(f.overlay, f.others))
	}
	if f.table == 0 {
		return found("overlay", blank, "it knows no other node: links work only with the addresses in them", "connect to somebody: kith connect ADDR")
	}
	return found("overlay", fine, fmt.Sprintf("%s, %s, %s in its table", f.overlay, f.mode, human.Count(f.table, "peer")), "")
}

func (f facts) clock() Finding {
	today := f.now.Format(time.DateOnly)
	switch {
	case f.now.Before(built) || f.now.After(built.AddDate(20, 0, 0)):
		return found("clock", wrong, "it says "+today+", which cannot be", "set it, or let the system set it from the network")
	case len(f.Ahead) > 0 && 2*len(f.Ahead) > f.Signed:
		return found("clock", wrong, fmt.Sprintf("%s of %d signed something %s in its future: it is slow", human.Count(len(f.Ahead), "peer"), f.Signed, human.Duration(slices.Max(f.Ahead))),
			"let the system set it from the network")

	}
	return found("clock", fine, "it says "+today+"; nothing speaks against that", "")
}

// lowRoom is how little room is remarked upon, in bytes.
const lowRoom = 1 << 30

func (f facts) disk() Finding {
	switch {
	case f.quota > 0 && f.stored >= f.quota:
		return found("disk", wrong, fmt.Sprintf("Kith keeps %s, all that it may", human.Bytes(f.stored)), "remove something: kith ls, then kith rm NAME; or raise the quota in config.toml")
	case f.roomKnown && f.room < lowRoom:
		return found("disk", weak, fmt.Sprintf("only %s are free where Kith keeps its data", human.Bytes(f.room)), "make room on that disk")
	case f.roomKnown:
		return found("disk", fine, human.Bytes(f.room)+" are free where Kith keeps its data", "")
	}
	return found("disk", blank, "how much is free cannot be known here", "")
}

const maxListed = 3 // addresses that a finding names

// list names the first addresses.
func list(addrs []ma.Multiaddr) string {
	var s []string
	for _, a := range addrs[:min(len(addrs), maxListed)] {
		s = append(s, a.String())
	}
	text := strings.Join(s, ", ")
	if more := len(addrs) - len(s); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// WriteText implements app.Texter.
func (o DoctorOut) WriteText(w io.Writer, _ int) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range o.Findings {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", cmp.Or(map[string]string{blank: "?"}[f.State], f.State), f.Check, f.Says)
		if f.Do != "" {
			fmt.Fprintf(tw, "\t\t-> %s\n", f.Do)
		}
	}
	return tw.Flush()
}
