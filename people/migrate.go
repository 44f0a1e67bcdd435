package people

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// takeOver reads the list that earlier versions kept in a JSON file. The file is renamed, not deleted; if the process dies in between, taking it over again
// changes nothing.
func (p *People) takeOver(ctx context.Context) error {
	if p.o.Old == "" {
		return nil
	}
	b, err := os.ReadFile(p.o.Old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []struct {
		Name  string    `json:"name"`
		Peers []peer.ID `json:"peers"`
		Added time.Time `json:"added"`
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return kith.Hint(fmt.Errorf("people: %s: %w: %w", p.o.Old, err, kith.Corrupt), "mend the file, or move it away and start again")
	}
	err = p.change(ctx, func(tx *sql.Tx) error {
		for _, c := range list {
			for _, id := range c.Peers {
				if err := p.add(tx, c.Name, id, c.Added); err != nil && !errors.Is(err, kith.Exists) {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("people: take over %s: %w", p.o.Old, err)
	}
	return os.Rename(p.o.Old, p.o.Old+".migrated")
}
