package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kith"
	"kith/internal/atomicfile"
)

// Lifetimes and limits of what lets a caller in.
const (
	codeLife    = time.Minute // of an address that opens the page once
	sessionLife = time.Hour   // of a page's session that is not used
	maxCodes    = 16          // addresses that may be open at once
	maxSessions = 64          // pages; the one unused for longest goes first
	failBurst   = 20          // wrong tokens or codes that are answered at once
	failPerSec  = 1           // and then
)

// auth knows who may call: who has the token, and who has a session, which a one-time code begins.
type auth struct {
	token  [sha256.Size]byte // digest of the token
	cookie string            // name of the session's cookie
	now    func() time.Time
	fails  *rate.Limiter // 256 bits are what keeps a guesser out; this keeps the noise down

	mu       sync.Mutex
	codes    map[[sha256.Size]byte]time.Time // digest of the code: when it ends
	sessions map[[sha256.Size]byte]time.Time // digest of the cookie's value: when it ends
}

// newAuth makes a token and writes it to dir. It is a new one at each start, so that a program which took over the port of a node that
// was killed gains nothing from a token that is sent to it.
func newAuth(dir, cookie string) (*auth, error) {
	token := make([]byte, 32)
	rand.Read(token)
	text := hex.EncodeToString(token)
	if err := atomicfile.Write(filepath.Join(dir, tokenFile), []byte(text+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("api: write token: %w", err)
	}
	return &auth{
		token: sha256.Sum256([]byte(text)), cookie: cookie, now: time.Now,
		fails:    rate.NewLimiter(failPerSec, failBurst),
		codes:    map[[sha256.Size]byte]time.Time{},
		sessions: map[[sha256.Size]byte]time.Time{},
	}, nil
}

// takeOver lets the sessions of a server that has ended go on: whoever has its page open need not open it anew.
func (a *auth) takeOver(before *auth) {
	before.mu.Lock()
	defer before.mu.Unlock()
	a.sessions = maps.Clone(before.sessions)
}

// secret returns 256 random bits as text that fits in a URL and a cookie.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// newCode returns a code that begins one session within codeLife.
func (a *auth) newCode() string {
	code := secret()
	a.mu.Lock()
	defer a.mu.Unlock()
	put(a.codes, code, a.now().Add(codeLife), maxCodes)
	return code
}

// pageHeader carries a session's proof. Cookies ignore ports: whatever else serves on this host, another user's program perhaps, is sent the
// session's cookie by a browser that visits it. The proof is in the page's own storage, which is bound to the port, and the cookie is worth
// nothing without it.
const pageHeader = "Kith-Page"

// pass is what a session is known by: the cookie's value and the proof.
func pass(session, proof string) string { return session + ":" + proof }

// begin implements keeper.
func (a *auth) begin(w http.ResponseWriter, _ *http.Request, code string) (proof string, err error) {
	session, proof, err := a.spend(code)
	if err == nil {
		a.setCookie(w, session)
	}
	return proof, err
}

// spend spends a code, and returns the session that it buys, and its proof.
func (a *auth) spend(code string) (session, proof string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := sha256.Sum256([]byte(code))
	ends, ok := a.codes[key]
	delete(a.codes, key)
	if !ok || a.now().After(ends) {
		return "", "", kith.Hint(a.refuse("this address was used already, or is older than a minute"), openHint)
	}
	session, proof = secret(), secret()
	put(a.sessions, pass(session, proof), a.now().Add(sessionLife), maxSessions)
	return session, proof, nil
}

// end implements keeper.
func (a *auth) end(w http.ResponseWriter, r *http.Request) {
	a.setCookie(w, "")
	if c, err := r.Cookie(a.cookie); err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.sessions, sha256.Sum256([]byte(pass(c.Value, r.Header.Get(pageHeader)))))
	}
}

// put adds a secret, and drops the one that ends first when there are too many.
func put(m map[[sha256.Size]byte]time.Time, text string, ends time.Time, limit int) {
	for len(m) >= limit {
		var first [sha256.Size]byte
		for k, t := range m {
			if best, ok := m[first]; !ok || t.Before(best) {
				first = k
			}
		}
		delete(m, first)
	}
	m[sha256.Sum256([]byte(text))] = ends
}

// check implements keeper. A session that is used lives on: its cookie is sent anew.
func (a *auth) check(w http.ResponseWriter, r *http.Request) error {
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		sum := sha256.Sum256([]byte(text))
		if subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1 {
			return nil
		}
		return kith.Hint(a.refuse("wrong token"), "read the file %s in the data directory again: the node makes a new one when it starts", tokenFile)
	}
	c, err := r.Cookie(a.cookie)
	if err != nil {
		return kith.Hint(unauthorized("neither token nor session"), openHint)
	}
	if !sameOrigin(r, "http://") {
		return fmt.Errorf("api: a session is good on its own page only: %w", kith.Denied)
	}
	return a.renew(w, c.Value, r.Header.Get(pageHeader))
}

func (a *auth) renew(w http.ResponseWriter, session, proof string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, now := sha256.Sum256([]byte(pass(session, proof))), a.now()
	ends, ok := a.sessions[key]
	if !ok || now.After(ends) {
		delete(a.sessions, key)
		return kith.Hint(unauthorized("the session has ended"), openHint)
	}
	if ends.Sub(now) < sessionLife*3/4 {
		a.sessions[key] = now.Add(sessionLife)
		a.setCookie(w, session)
	}
	return nil
}

func (a *auth) setCookie(w http.ResponseWriter, session string) {
	c := &http.Cookie{
		Name: a.cookie, Value: session, Path: "/", MaxAge: int(sessionLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if session == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// refuse counts a wrong token or code, and says no.
func (a *auth) refuse(why string) error {
	if !a.fails.AllowN(a.now(), 1) {
		return &statusError{http.StatusTooManyRequests, fmt.Errorf("api: too many wrong tokens: %w", kith.Denied)}
	}
	return unauthorized(why)
}

const openHint = "open the page with: kith open"

func unauthorized(why string) error {
	return &statusError{http.StatusUnauthorized, fmt.Errorf("api: %s: %w", why, kith.Denied)}
}

// sameOrigin reports whether a browser says that its own page, or its user, made the request; a caller that says neither is no
// browser of this decade.
func sameOrigin(r *http.Request, scheme string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		o := r.Header.Get("Origin")
		return o == "" || o == scheme+r.Host
	}
	return false
}
