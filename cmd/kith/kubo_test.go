//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kith/lab/nat"
)

// kubo starts a Kubo that knows nobody but the given relays on a host, and returns its peer id. It believes what it is told of how it can be reached.
func (i *internet) kubo(host string, reachability string, relays ...string) (id string) {
	i.t.Helper()
	return i.kuboWith(host, reachability, nil, relays...)
}

// kuboWith is kubo with other settings over its own.
func (i *internet) kuboWith(host string, reachability string, settings map[string]any, relays ...string) (id string) {
	i.t.Helper()
	repo, id := kuboRepo(i.t, reachability, settings, relays...)
	ready := "Daemon is ready"
	if reachability == "private" { // it punches for connections that come once it knows a public address of its own, and leaves the others as they are
		ready = "Host now has a public address"
	}
	kuboDaemon(i.t, i.net.Host(host), repo, ready)
	return id
}

// kuboCommand has a command of Kubo work on a repository.
func kuboCommand(cmd *exec.Cmd, repo string) *exec.Cmd {
	cmd.Env = append(os.Environ(), "IPFS_PATH="+repo, "IPFS_TELEMETRY=off", "GOLOG_LOG_LEVEL=error,p2p-holepunch=debug")
	return cmd
}

// kuboRepo makes a repository of a Kubo that knows nobody but relays.
func kuboRepo(t *testing.T, reachability string, settings map[string]any, relays ...string) (dir, id string) {
	t.Helper()
	dir = t.TempDir()
	if out, err := kuboCommand(exec.Command("ipfs", "init", "--empty-repo"), dir).CombinedOutput(); err != nil {
		t.Fatalf("ipfs init: %v: %s", err, out)
	}
	path := filepath.Join(dir, "config")
	text, err := os.ReadFile(path)
	var conf map[string]any
	if err == nil {
		err = json.Unmarshal(text, &conf)
	}
	if err != nil {
		t.Fatal(err)
	}
	id = conf["Identity"].(map[string]any)["PeerID"].(string)
	for k, v := range map[string]any{
		"Bootstrap": []string{}, "AutoConf": map[string]any{"Enabled": false}, "AutoTLS": map[string]any{"Enabled": false}, "DNS": map[string]any{"Resolvers": map[string]string{}},
		"Routing": map[string]any{"Type": "none", "DelegatedRouters": []string{}}, "Ipns": map[string]any{"DelegatedPublishers": []string{}},
		"Discovery": map[string]any{"MDNS": map[string]any{"Enabled": false}},
		"Addresses": map[string]any{
			"Swarm": []string{"/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"}, "API": "/ip4/127.0.0.1/tcp/5001", "Gateway": "/ip4/127.0.0.1/tcp/8080",
		},
		"Swarm": map[string]any{
			"DisableNatPortMap": true, "RelayClient": map[string]any{"Enabled": len(relays) > 0, "StaticRelays": relays}, "RelayService": map[string]any{"Enabled": true},
		},
		"Internal": map[string]any{"Libp2pForceReachability": reachability},
	} {
		conf[k] = v
	}
	maps.Copy(conf, settings)
	if text, err = json.Marshal(conf); err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, id
}

// How long a Kubo may take to begin, and to end.
const (
	kuboBegins = 3 * time.Minute
	kuboEnds   = 20 * time.Second
)

// kuboDaemon starts a Kubo on a host, and returns when it has said that it is ready. It runs until the test ends.
func kuboDaemon(t *testing.T, host *nat.Host, repo, ready string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	late := time.AfterFunc(kuboBegins, cancel)
	defer late.Stop()
	daemon := kuboCommand(host.Command(ctx, "ipfs", "daemon"), repo)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	daemon.Stdout, daemon.Stderr = in, in
	err = daemon.Start()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(os.Interrupt)
		defer time.AfterFunc(kuboEnds, cancel).Stop()
		daemon.Wait()
	})
	lines, all := bufio.NewScanner(out), ""
	for lines.Scan() {
		if strings.Contains(lines.Text(), ready) {
			go io.Copy(io.Discard, out)
			return
		}
		all += lines.Text() + "\n"
	}
	t.Fatalf("Kubo did not come up: %s", all)
}

func needKubo(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("Kubo as relay and behind a router was not tested: -short")
	}
	if _, err := exec.LookPath("ipfs"); err != nil {
		t.Skip("Kubo as relay and behind a router was not tested: no ipfs in PATH; .ci/install builds it")
	}
}

// TestKuboRelays: a node behind a router holds a place at a Kubo, is found there by who has its link alone, and is fetched from directly.
func TestKuboRelays(t *testing.T) {
	needKubo(t)
	i := homes(t, nat.Spec{Name: "kubo", Kind: nat.Public}, nat.Spec{Name: "seed", Kind: nat.Cone}, nat.Spec{Name: "fetcher", Kind: nat.Cone})
	id := i.kubo("kubo", "public")
	at := i.net.Host("kubo").Addr.String()
	seed := i.boot("seed", "--peer", "/ip4/"+at+"/udp/4001/quic-v1/p2p/"+id, "--peer", "/ip4/"+at+"/tcp/4001/p2p/"+id)
	seed.relayed()
	var shared struct{ Link string }
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 4<<20)
	seed.ask(&shared, "share", path)
	if !strings.Contains(shared.Link, id+"/p2p-circuit") {
		t.Errorf("the link does not lead through Kubo: %s", shared.Link)
	}
	c, err := i.fetch("fetcher", seed, shared.Link, want, true)
	if err != nil || c.direct == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	t.Logf("first bytes %.1f s, direct %.1f s, all %.1f s; %s", c.first.Seconds(), c.direct.Seconds(), c.whole.Seconds(), c.why)
}

// TestBorrowedRelay: a node behind a router, whom nobody known relays for, finds a relay in the public IPFS network, once it is told to: here a Kubo that another one knows. It is
// found there and fetched from; and it keeps nobody else of that network, nor remembers it.
func TestBorrowedRelay(t *testing.T) {
	needKubo(t)
	i := homes(t, nat.Spec{Name: "first", Kind: nat.Public}, nat.Spec{Name: "second", Kind: nat.Public}, nat.Spec{Name: "seed", Kind: nat.Cone}, nat.Spec{Name: "fetcher", Kind: nat.Cone})
	serves := map[string]any{"Type": "dhtserver", "DelegatedRouters": []string{}}
	first := i.kuboWith("first", "public", map[string]any{"Routing": serves, "Swarm": map[string]any{"DisableNatPortMap": true, "RelayService": map[string]any{"Enabled": false}}})
	enter := "/ip4/" + i.net.Host("first").Addr.String() + "/tcp/4001/p2p/" + first
	second := i.kuboWith("second", "public", map[string]any{"Routing": serves, "Bootstrap": []string{enter}})

	seed := &computer{t: t, dir: t.TempDir(), host: i.net.Host("seed")}
	if err := os.WriteFile(filepath.Join(seed.dir, "config.toml"), []byte("ipfs_hosts = ['"+enter+"']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seed.up()
	t.Cleanup(func() { seed.end(os.Interrupt) })
	if out, errs, exit := seed.run("relay"); exit != 0 || !strings.Contains(out, "not asked for relays") {
		t.Errorf("before it is told to, kith relay says %s%s", out, errs)
	}
	if _, errs, exit := seed.run("relay", "--ipfs", "yes"); exit != 0 {
		t.Fatal(errs)
	}
	seed.relayed()
	var shared struct{ Link string }
	path := filepath.Join(t.TempDir(), "film")
	want := file(t, path, 1<<20)
	seed.ask(&shared, "share", path)
	if !strings.Contains(shared.Link, second+"/p2p-circuit") {
		t.Errorf("the link does not lead through the second Kubo: %s", shared.Link)
	}
	if c, err := i.fetch("fetcher", seed, shared.Link, want, true); err != nil || c.direct == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		_, stays := seed.peer(first)
		if _, relays := seed.peer(second); !stays && relays {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("who does not relay was not let go")
		}
	}
	out, _, _ := seed.run("relay")
	if !strings.Contains(out, "a place is held at 1 relay of it") || !strings.Contains(out, "--ipfs yes") {
		t.Errorf("kith relay says\n%s", out)
	}
	seed.run("relay", "--ipfs", "no")
	seed.end(os.Interrupt)
	seed.up()
	for range 10 { // looks, a second apart, in which it would dial whom it remembers
		time.Sleep(time.Second)
		if _, there := seed.peer(second); there {
			t.Fatal("a node of the IPFS network was remembered")
		}
	}
}

// TestKuboBehindRouter: a Kubo behind a router holds a place at this program, and is reached there and then directly.
func TestKuboBehindRouter(t *testing.T) {
	needKubo(t)
	i := homes(t, nat.Spec{Name: "kubo", Kind: nat.Cone}, nat.Spec{Name: "node", Kind: nat.Cone})
	node := i.boot("node", i.peers...)
	var relays []string // each once: Kubo waits until it has found as many as it was told
	for _, p := range i.public {
		p.finding("reachable", "others reach it") // it relays from then on, and Kubo asks once an hour
		addrs := p.identity().Addrs
		relays = append(relays, addrs[slices.IndexFunc(addrs, func(a string) bool { return strings.Contains(a, "/ip4/11.") && strings.Contains(a, "/quic-v1/p2p/") })])
	}
	id := i.kubo("kubo", "private", relays...)
	began := time.Now()
	var first time.Duration
	for deadline := began.Add(reachTime); ; time.Sleep(time.Second) {
		if first == 0 {
			if _, errs, exit := node.run("connect", relays[0]+"/p2p-circuit/p2p/"+id); exit == 0 {
				first = time.Since(began)
			} else if time.Now().After(deadline) {
				t.Fatalf("not connected through the relay: %s", errs)
			}
		}
		p, ok := node.peer(id)
		if ok && p.Direct {
			t.Logf("connected after %.1f s, directly after %.1f s: %s", first.Seconds(), time.Since(began).Seconds(), p.Why)
			if !strings.HasPrefix(p.Agent, "kubo/") {
				t.Errorf("the peer says it is %q", p.Agent)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no direct connection: %+v", p)
		}
	}
}
