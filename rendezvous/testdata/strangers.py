# A DHT of as many libtorrent nodes as the argument says, on loopback. It prints their ports, and runs until its input ends.
import sys
import libtorrent

nodes = [libtorrent.session({
    'listen_interfaces': '127.0.0.1:0', 'enable_dht': True, 'dht_bootstrap_nodes': '',
    'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
    # all nodes have one address
    'dht_restrict_routing_ips': False, 'dht_restrict_search_ips': False, 'dht_ignore_dark_internet': False,
}) for _ in range(int(sys.argv[1]))]
for a in nodes:
    for b in nodes:
        if a is not b:
            a.add_dht_node(('127.0.0.1', b.listen_port()))
print(*[n.listen_port() for n in nodes], flush=True)
sys.stdin.read()
