package rendezvous

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"

	"kith/rendezvous/rendezvoustest"
)

// The DHT consists of nodes of libtorrent (qBittorrent, Deluge) alone.
func TestMeetOnLibtorrent(t *testing.T) {
	t.Parallel()
	if err := exec.Command("/usr/bin/python3", "-c", "import libtorrent").Run(); err != nil {
		t.Skip("nodes of libtorrent were not asked: install python3-libtorrent")
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/strangers.py", "6")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, port := range strings.Fields(line) {
		hosts = append(hosts, "127.0.0.1:"+port)
	}
	meetOn(t, hosts)
}

// The DHT consists of nodes of aria2 alone.
func TestMeetOnAria2(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("aria2c"); err != nil {
		t.Skip("nodes of aria2 were not asked: install aria2")
	}
	var hosts []string
	for i := range 3 {
		port := freePort(t)
		args := []string{
			"--no-conf", "--quiet", "--dir=" + t.TempDir(), "--enable-dht=true", "--enable-dht6=false", "--dht-file-path=" + t.TempDir() + "/dht",
			"--dht-listen-port=" + strconv.Itoa(port), "--listen-port=" + strconv.Itoa(freePort(t)), "--bt-enable-lpd=false", "--bt-stop-timeout=0",
		}
		if i > 0 {
			args = append(args, "--dht-entry-point="+hosts[0])
		}
		cmd := exec.CommandContext(t.Context(), "aria2c", append(args, fmt.Sprintf("magnet:?xt=urn:btih:%040x", i+1))...) // it starts its DHT when there is a torrent
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		hosts = append(hosts, "127.0.0.1:"+strconv.Itoa(port))
		answers(t, hosts[i])
	}
	meetOn(t, hosts)
}

// meetOn has two members meet on the DHT of others.
func meetOn(t *testing.T, hosts []string) {
	t.Helper()
	a := newMember(t, 1, "", hosts)
	a.join()
	a.until("announced", told)
	b := newMember(t, 2, "", hosts)
	b.join()
	b.meets(a)
	b.stop()
	t.Logf("%+v", b.r.Status())
}

func freePort(t *testing.T) int {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// answers waits until a node of the DHT does.
func answers(t *testing.T, host string) {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp4", host)
	if err != nil {
		t.Fatal(err)
	}
	d := rendezvoustest.Loopback(t, 1)
	for deadline := time.Now().Add(time.Minute); ; {
		if res := d.Nodes[0].Query(t.Context(), dht.NewAddr(to), "ping", dht.QueryInput{MsgArgs: krpc.MsgArgs{}, NumTries: 1}); res.Err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", host)
		}
	}
}
