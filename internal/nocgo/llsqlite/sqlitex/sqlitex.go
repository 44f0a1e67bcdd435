// Package sqlitex stands in for github.com/go-llsqlite/adapter/sqlitex, see package sqlite above it.
package sqlitex

import sqlite "github.com/go-llsqlite/adapter"

// ExecScript fails.
func ExecScript(*sqlite.Conn, string) error { return sqlite.ErrNone }

// Exec fails.
func Exec(*sqlite.Conn, string, func(*sqlite.Stmt) error, ...any) error { return sqlite.ErrNone }
