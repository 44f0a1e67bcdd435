package rendezvous

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"kith"
)

// Bounds of a KRPC message (BEP 5). What is larger is nobody's honest message.
const (
	maxMessage = 2048 // bytes
	maxDepth   = 4    // of lists and dictionaries in each other
	maxItems   = 128  // of one list or dictionary
	maxToken   = 64   // bytes of a token
	maxTransit = 20   // bytes of a transaction id

	maxInterval = 21600 // seconds between two questions for samples (BEP 51)
)

var errMessage = fmt.Errorf("no message of BEP 5: %w", kith.Corrupt)

// cleaned returns a message of the DHT (BEP 5, 32 and 43, and answers of BEP 51) with nothing in it but what these say, each of the right kind and length. It stands between the
// socket and the library, which would keep a counter for each query name that somebody makes up, and does not survive a query without arguments or
// an address of one byte. Its error is Corrupt.
func cleaned(data []byte) ([]byte, error) {
	if len(data) > maxMessage {
		return nil, errMessage
	}
	p := &bparser{data: data}
	v, err := p.value(0)
	top, ok := v.(map[string]any)
	if err != nil || !ok { // what follows the dictionary is not read (some implementations send zeros)
		return nil, errMessage
	}
	kind, transit := text(top, "y"), text(top, "t")
	if len(transit) == 0 || len(transit) > maxTransit {
		return nil, errMessage
	}
	out := map[string]any{"y": kind, "t": transit}
	switch kind {
	case "q":
		err = cleanQuery(top, out)
	case "r":
		err = cleanReply(top, out)
	case "e":
		out["e"] = []any{int64(201), ""} // that it is one is all that is looked at
	default:
		err = errMessage
	}
	if err != nil {
		return nil, err
	}
	return bencoded(nil, out), nil
}

func cleanQuery(top, out map[string]any) error {
	in, _ := top["a"].(map[string]any)
	if len(text(in, "id")) != 20 {
		return errMessage
	}
	args := map[string]any{"id": text(in, "id")}
	out["q"], out["a"] = text(top, "q"), args
	if n, _ := top["ro"].(int64); n == 1 {
		out["ro"] = n
	}
	need := ""
	switch out["q"] {
	case "ping":
	case "find_node":
		need = "target"
	case "get_peers":
		need = "info_hash"
	case "announce_peer":
		need = "info_hash"
		port, ok := in["port"].(int64)
		implied, _ := in["implied_port"].(int64)
		token := text(in, "token")
		if len(token) == 0 || len(token) > maxToken || implied == 0 && (!ok || port < 1 || port > 65535) {
			return errMessage
		}
		args["token"] = token
		if implied != 0 {
			args["implied_port"] = int64(1)
		} else {
			args["port"] = port
		}
	default:
		return errMessage
	}
	if need != "" {
		if len(text(in, need)) != 20 {
			return errMessage
		}
		args[need] = text(in, need)
	}
	list, _ := in["want"].([]any)
	var want []any
	for _, w := range []any{"n4", "n6"} {
		if slices.Contains(list, w) {
			want = append(want, w)
		}
	}
	if want != nil {
		args["want"] = want
	}
	return nil
}

func cleanReply(top, out map[string]any) error {
	in, _ := top["r"].(map[string]any)
	if len(text(in, "id")) != 20 {
		return errMessage
	}
	r := map[string]any{"id": text(in, "id")}
	out["r"] = r
	if token := text(in, "token"); len(token) > 0 && len(token) <= maxToken {
		r["token"] = token
	}
	for key, size := range map[string]int{"nodes": 26, "nodes6": 38} {
		if nodes := text(in, key); len(nodes) > 0 && len(nodes)%size == 0 {
			r[key] = nodes
		}
	}
	list, _ := in["values"].([]any)
	var values []any
	for _, v := range list {
		if s, _ := v.(string); len(s) == 6 || len(s) == 18 {
			values = append(values, s)
		}
	}
	if values != nil {
		r["values"] = values
	}
	if samples, ok := in["samples"].(string); ok && len(samples)%20 == 0 {
		r["samples"] = samples
		if every, ok := in["interval"].(int64); ok && every >= 0 && every <= maxInterval {
			r["interval"] = every
		}
	}
	return nil
}

// text returns the string under a key, "" if there is none.
func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// A bparser reads bencode (BEP 3): numbers as int64, strings, lists as []any, dictionaries as map[string]any.
type bparser struct {
	data []byte
	at   int
}

func (p *bparser) value(depth int) (any, error) {
	if p.at >= len(p.data) || depth > maxDepth {
		return nil, errMessage
	}
	switch c := p.data[p.at]; {
	case c == 'i':
		p.at++
		return p.number('e')
	case c == 'l':
		p.at++
		list := []any{}
		for !p.end() {
			v, err := p.value(depth + 1)
			if err != nil || len(list) >= maxItems {
				return nil, errMessage
			}
			list = append(list, v)
		}
		return list, nil
	case c == 'd':
		p.at++
		dict := map[string]any{}
		for !p.end() {
			k, err := p.text()
			if err != nil || len(dict) >= maxItems {
				return nil, errMessage
			}
			if dict[k], err = p.value(depth + 1); err != nil {
				return nil, err
			}
		}
		return dict, nil
	}
	return p.text()
}

// end reports whether a list or dictionary ends here, and steps over its end.
func (p *bparser) end() bool {
	if p.at < len(p.data) && p.data[p.at] == 'e' {
		p.at++
		return true
	}
	return false
}

func (p *bparser) text() (string, error) {
	n, err := p.number(':')
	if err != nil || n < 0 || n > int64(len(p.data)-p.at) {
		return "", errMessage
	}
	p.at += int(n)
	return string(p.data[p.at-int(n) : p.at]), nil
}

// number reads digits up to a byte that ends them.
func (p *bparser) number(end byte) (int64, error) {
	i := slices.Index(p.data[p.at:], end)
	if i < 1 || i > 20 {
		return 0, errMessage
	}
	n, err := strconv.ParseInt(string(p.data[p.at:p.at+i]), 10, 64)
	if err != nil {
		return 0, errMessage
	}
	p.at += i + 1
	return n, nil
}

// bencoded appends v, which is made of what a bparser gives.
func bencoded(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		b = append(strconv.AppendInt(append(b, 'i'), v, 10), 'e')
	case string:
		b = append(append(strconv.AppendInt(b, int64(len(v)), 10), ':'), v...)
	case []any:
		b = append(b, 'l')
		for _, x := range v {
			b = bencoded(b, x)
		}
		b = append(b, 'e')
	case map[string]any:
		b = append(b, 'd')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = bencoded(bencoded(b, k), v[k])
		}
		b = append(b, 'e')
	}
	return b
}
