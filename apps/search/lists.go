package search

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kith"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/search/block"
)

// listsEvery is how often the files of block lists are looked at.
const listsEvery = time.Minute

func (s *Search) blockAdd(ctx context.Context, in BlockAddIn) (BlockOut, error) {
	text, name, path := []byte(in.Text), in.Name, ""
	var err error
	switch {
	case (in.File == "") == (in.Text == ""):
		return BlockOut{}, kith.Hint(fmt.Errorf("search: block: one file or text is needed: %w", kith.Invalid), "kith search block add FILE")
	case filepath.IsAbs(in.File):
		name, path = cmp.Or(name, filepath.Base(in.File)), in.File
		text, err = readList(path)
	case in.File != "":
		text, name, err = s.linkedList(ctx, in.File, name)
	}
	if err != nil {
		return BlockOut{}, err
	}
	if name = plain.Text(strings.TrimSpace(name)); name == "" || len(name) > maxWhy {
		return BlockOut{}, kith.Hint(fmt.Errorf("search: block: the list has no name, or too long a one: %w", kith.Invalid), "--name NAME")
	}
	if err := s.takeList(ctx, name, path, text); err != nil {
		return BlockOut{}, err
	}
	return s.blockLs(ctx, None{})
}

// readList reads the file of a list.
func readList(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		kind := kith.Unavailable
		if errors.Is(err, os.ErrNotExist) {
			kind = kith.NotFound
		}
		return nil, fmt.Errorf("search: block: %v: %w", err, kind)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, block.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("search: block: %v: %w", err, kith.Unavailable)
	}
	return text, nil
}

// linkedList reads a list that is a file in the person's library.
func (s *Search) linkedList(ctx context.Context, text, name string) ([]byte, string, error) {
	link, err := kith.ParseLink(text)
	if err != nil {
		return nil, "", kith.Hint(fmt.Errorf("search: block: %.80s is neither a file nor a link: %w", plain.Text(text), kith.NotFound), "check the spelling; a link is one that kith get has fetched")
	}
	b, err := s.env.Blobs.Blob(ctx, link.Ref)
	if err != nil || !b.Complete() {
		if err == nil {
			b.Close()
		}
		return nil, "", kith.Hint(fmt.Errorf("search: block: what the link names is not here: %w", kith.NotFound), "fetch it first: kith get LINK")
	}
	defer b.Close()
	if link.Key != nil || link.Ref.Codec != kith.Raw {
		return nil, "", fmt.Errorf("search: block: a list is one file, and not encrypted: %w", kith.Invalid)
	}
	if b.Size() > block.MaxSize {
		return nil, "", fmt.Errorf("search: block: a list of %d bytes, at most %d: %w", b.Size(), block.MaxSize, kith.TooLarge)
	}
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		return nil, "", fmt.Errorf("search: block: %w", err)
	}
	return data, cmp.Or(name, link.Name, tail(link.Ref.String())), nil
}

// takeList hides what a list names, in the place of what the list of that name did.
func (s *Search) takeList(ctx context.Context, name, path string, text []byte) error {
	entries, err := block.Parse(text)
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return s.changeShunned(ctx, func(tx *sql.Tx) ([]string, error) {
		whats, err := dropList(tx, name)
		if err != nil {
			return nil, err
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM lists`).Scan(&n); err != nil {
			return nil, err
		}
		if n >= maxLists {
			return nil, kith.Hint(fmt.Errorf("search: block: %d lists are followed already: %w", n, kith.TooLarge), "kith search block rm NAME")
		}
		now := time.Now().Unix()
		if _, err := tx.Exec(`INSERT INTO lists (name, path, at) VALUES (?, ?, ?)`, name, path, now); err != nil {
			return nil, fmt.Errorf("search: save: %w", room.Explain(err))
		}
		put, err := tx.Prepare(`INSERT INTO shunned (what, list, why, at) VALUES (?, ?, ?, ?)`)
		if err != nil {
			return nil, err
		}
		defer put.Close()
		for _, e := range entries {
			if _, err := put.Exec(e.What(), name, e.Why, now); err != nil {
				return nil, fmt.Errorf("search: save: %w", room.Explain(err))
			}
			whats = append(whats, e.What())
		}
		return whats, nil
	})
}

// dropList removes a list, and returns what it named.
func dropList(tx *sql.Tx, name string) (whats []string, err error) {
	if _, err := tx.Exec(`DELETE FROM lists WHERE name = ?`, name); err != nil {
		return nil, fmt.Errorf("search: save: %w", room.Explain(err))
	}
	rows, err := tx.Query(`DELETE FROM shunned WHERE list = ? RETURNING what`, name)
	if err != nil {
		return nil, fmt.Errorf("search: save: %w", room.Explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return nil, err
		}
		whats = append(whats, what)
	}
	return whats, rows.Err()
}

func (s *Search) blockRm(ctx context.Context, in BlockRmIn) (BlockOut, error) {
	err := s.changeShunned(ctx, func(tx *sql.Tx) ([]string, error) {
		var there bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM lists WHERE name = ?)`, in.Name).Scan(&there); err != nil {
			return nil, err
		}
		if !there {
			return nil, kith.Hint(fmt.Errorf("search: block: there is no list %.80s: %w", plain.Text(in.Name), kith.NotFound), "see which there are: kith search block")
		}
		return dropList(tx, in.Name)
	})
	if err != nil {
		return BlockOut{}, err
	}
	return s.blockLs(ctx, None{})
}

func (s *Search) blockLs(ctx context.Context, _ None) (BlockOut, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name, path, lists.at, count(what), coalesce(sum(what LIKE '1%'), 0) FROM lists LEFT JOIN shunned ON list = name GROUP BY name ORDER BY name`)
	if err != nil {
		return BlockOut{}, fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	out := BlockOut{Lists: []BlockList{}}
	for rows.Next() {
		var l BlockList
		var at int64
		if err := rows.Scan(&l.Name, &l.File, &at, &l.Contents, &l.Publishers); err != nil {
			return BlockOut{}, fmt.Errorf("search: %w", err)
		}
		l.Read, l.Contents = time.Unix(at, 0).UTC(), l.Contents-l.Publishers
		out.Lists = append(out.Lists, l)
	}
	return out, rows.Err()
}

// followLists reads block lists again whose files have changed. Of a file that is gone, or wrong, what it named before holds.
func (s *Search) followLists(ctx context.Context) error {
	tick := time.NewTicker(listsEvery)
	defer tick.Stop()
	wrong := map[string]time.Time{} // by path, of which state it was said
	for {
		if out, err := s.blockLs(ctx, None{}); err == nil {
			for _, l := range out.Lists {
				info, err := os.Stat(l.File)
				if l.File == "" || err != nil || info.ModTime().Before(l.Read) || info.ModTime().Equal(wrong[l.File]) {
					continue
				}
				text, err := readList(l.File)
				if err == nil {
					err = s.takeList(ctx, l.Name, l.File, text)
				}
				if err != nil && ctx.Err() == nil {
					wrong[l.File] = info.ModTime()
					s.env.Note(fmt.Sprintf("the block list %s has changed and cannot be read; what it named before is still hidden: %v", plain.Text(l.Name), err))
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
