// Package sqlite stands in for github.com/go-llsqlite/adapter, by which anacrolix/torrent would compile the whole of SQLite in C, a minute long, whenever there is a C
// compiler: for a storage of its own that Kith does not use, since what is stored is blob's. It has the names and opens nothing; go.mod puts it in place.
package sqlite

import "errors"

// ErrNone is what everything fails with.
var ErrNone = errors.New("this program keeps no pieces in a database of the BitTorrent library")

// An OpenFlags is not looked at.
type OpenFlags uint

// A Conn is never made.
type Conn struct{}

// A Stmt is never made.
type Stmt struct{}

// OpenConn fails.
func OpenConn(string, OpenFlags) (*Conn, error) { return nil, ErrNone }

// Close does nothing.
func (*Conn) Close() error { return nil }

// ColumnInt returns 0.
func (*Stmt) ColumnInt(int) int { return 0 }
