package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"kith"
)

// errCut is what a stream gives that ends before its end; an error that the node tells of is none.
var errCut = errors.New("the answer was cut short")

// values yields the data of each message of a stream of server-sent events (WHATWG HTML, section 9.2), until the event end or error.
func values(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxAnswer)
		var name string
		var data []byte
		for lines.Scan() {
			line := lines.Bytes()
			if len(line) > 0 {
				name, data = field(line, name, data)
				continue
			}
			switch {
			case name == "end":
				return
			case name == "error":
				yield(nil, problemFrom(data))
				return
			case name == "" && data != nil:
				if !yield(data, nil) {
					return
				}
			}
			name, data = "", nil
		}
		err := lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		yield(nil, fmt.Errorf("%w: %w", errCut, err))
	}
}

// field takes one line of an event into what is known of it.
func field(line []byte, name string, data []byte) (string, []byte) {
	key, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(key) {
	case "event":
		name = string(value)
	case "data":
		if data != nil {
			data = append(data, '\n')
		}
		data = append(data, value...)
		if data == nil {
			data = []byte{}
		}
	}
	return name, data
}

func problemFrom(data []byte) error {
	var p Problem
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("api: error that cannot be read: %w: %w", err, kith.Corrupt)
	}
	return p.err()
}
