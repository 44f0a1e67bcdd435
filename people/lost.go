package people

import "kith/identity"

// Lost reports whether a device that shows a certificate was revoked by its person after that was issued.
func (p *People) Lost(c identity.Certificate) bool {
	short := identity.ShortOf(c.Device)
	var at int64
	err := p.db.QueryRow(`SELECT at FROM revoked WHERE person = ? AND device = ?`, []byte(c.Master), short[:]).Scan(&at)
	return err == nil && c.Issued.Unix() <= at
}
