package send

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"kith/internal/room"
)

// database is the schema of send.db; each entry is applied once, in order. A record is the JSON of an outgoing or an incoming.
var database = []string{`
CREATE TABLE outbox (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE inbox  (sender TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (sender, id)) STRICT;
CREATE TABLE auto   (who TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT`}

// load fills an engine with what was written down.
func load(ctx context.Context, db *sql.DB, e *engine) error {
	err := each(ctx, db, `SELECT record FROM outbox`, func(record []byte) error {
		o := &outgoing{}
		err := json.Unmarshal(record, o)
		e.out[o.ID] = o
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, db, `SELECT record FROM inbox`, func(record []byte) error {
		i := &incoming{}
		err := json.Unmarshal(record, i)
		e.in[i.key()] = i
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, db, `SELECT json_object('who', who, 'bytes', bytes) FROM auto`, func(record []byte) error {
		var a struct {
			Who   string
			Bytes int64
		}
		err := json.Unmarshal(record, &a)
		e.auto[a.Who] = a.Bytes
		return err
	})
}

func each(ctx context.Context, db *sql.DB, query string, take func(record []byte) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("send: load: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var record []byte
		if err := rows.Scan(&record); err != nil {
			return fmt.Errorf("send: load: %w", err)
		}
		if err := take(record); err != nil {
			return fmt.Errorf("send: load: %w", err)
		}
	}
	return rows.Err()
}

// write writes down what an engine wants written down.
func write(ctx context.Context, db *sql.DB, a action) error {
	var err error
	switch a := a.(type) {
	case saveOut:
		err = put(ctx, db, `INSERT OR REPLACE INTO outbox (record, id) VALUES (?, ?)`, a.outgoing, a.ID)
	case saveIn:
		err = put(ctx, db, `INSERT OR REPLACE INTO inbox (record, sender, id) VALUES (?, ?, ?)`, a.incoming, a.From.String(), a.ID)
	case dropOut:
		_, err = db.ExecContext(ctx, `DELETE FROM outbox WHERE id = ?`, a.id)
	case dropIn:
		_, err = db.ExecContext(ctx, `DELETE FROM inbox WHERE sender = ? AND id = ?`, a.key.From.String(), a.key.ID)
	case saveAuto:
		if a.off {
			_, err = db.ExecContext(ctx, `DELETE FROM auto WHERE who = ?`, a.who)
		} else {
			_, err = db.ExecContext(ctx, `INSERT OR REPLACE INTO auto (who, bytes) VALUES (?, ?)`, a.who, a.bytes)
		}
	}
	if err != nil {
		return fmt.Errorf("send: save: %w", room.Explain(err))
	}
	return nil
}

func put(ctx context.Context, db *sql.DB, query string, record any, key ...any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, query, append([]any{string(b)}, key...)...)
	return err
}
