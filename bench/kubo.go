package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A kubo is a repository of Kubo, which asks nobody of its own accord.
type kubo struct {
	place
	repo, id string
}

// newKubo makes the repository, unless it is there.
func newKubo(ctx context.Context, p place, repo string) (*kubo, error) {
	k := &kubo{place: p, repo: repo}
	path := filepath.Join(repo, "config")
	if _, err := os.Stat(path); err != nil {
		if _, err := k.ask(ctx, "init", "--empty-repo"); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(path)
	var conf map[string]any
	if err == nil {
		err = json.Unmarshal(text, &conf)
	}
	if err != nil {
		return nil, err
	}
	maps.Copy(conf, map[string]any{
		"Bootstrap": []string{}, "AutoConf": map[string]any{"Enabled": false}, "AutoTLS": map[string]any{"Enabled": false}, "DNS": map[string]any{"Resolvers": map[string]string{}},
		"Routing": map[string]any{"Type": "none", "DelegatedRouters": []string{}}, "Ipns": map[string]any{"DelegatedPublishers": []string{}},
		"Discovery": map[string]any{"MDNS": map[string]any{"Enabled": false}}, "Swarm": map[string]any{"DisableNatPortMap": true},
		"Addresses": map[string]any{"Swarm": []string{"/ip4/" + p.Addr + "/tcp/4001"}, "API": "/ip4/" + p.Addr + "/tcp/5001", "Gateway": "/ip4/" + p.Addr + "/tcp/8080"},
	})
	if text, err = json.Marshal(conf); err != nil {
		return nil, err
	}
	who, _ := conf["Identity"].(map[string]any)
	k.id, _ = who["PeerID"].(string)
	return k, os.WriteFile(path, text, 0o600)
}

func (k *kubo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := k.Command(ctx, "ipfs", args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off", "GOLOG_LOG_LEVEL=error")
	return cmd
}

// ask runs a command to its end.
func (k *kubo) ask(ctx context.Context, args ...string) (string, error) {
	_, out, err := timed(k.command(ctx, args...))
	return strings.TrimSpace(string(out)), err
}

// addr is where it is reached.
func (k *kubo) addr() string { return "/ip4/" + k.Addr + "/tcp/4001/p2p/" + k.id }

// add copies a file into the repository, which has to call it as Kith does.
func (k *kubo) add(ctx context.Context, file, want string) error {
	cid, err := k.ask(ctx, "add", "-Q", "--pin=false", "--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024", file)
	if err == nil && cid != want {
		err = fmt.Errorf("the file is called %s by Kubo, and %s by Kith", cid, want)
	}
	return err
}

// daemon starts it, and waits until it answers. With an error the process may still be there.
func (k *kubo) daemon(ctx context.Context) (*process, error) {
	api := filepath.Join(k.repo, "api") // written when it listens; before that a command would take the repository from it
	os.Remove(api)
	r, err := start(k.command(ctx, "daemon"))
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(startTime); ; {
		if _, err = os.Stat(api); err == nil {
			_, err = k.ask(ctx, "swarm", "peers")
		}
		if err == nil {
			return r, nil
		}
		if err2 := pause(ctx, 200*time.Millisecond); err2 != nil || time.Now().After(deadline) {
			return r, fmt.Errorf("no Kubo is ready: %w: %s", err, r.stderr.String())
		}
	}
}
