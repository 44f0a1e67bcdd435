package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"kith"
	"kith/internal/plain"
)

// A phoneSession is a phone that is let in.
type phoneSession struct {
	N     int       `json:"n"`
	Pass  string    `json:"pass"` // digest of the cookie and the proof, in hexadecimal digits
	Agent string    `json:"agent"`
	From  string    `json:"from"` // its address when it was last seen
	Begun time.Time `json:"begun"`
	Seen  time.Time `json:"seen"`
}

// phoneCookie has a prefix by which browsers see to it that it came over HTTPS, from this host, and goes nowhere else.
const phoneCookie = "__Host-kith-phone"

const phoneHint = "at the computer: kith phone, and scan the code that it shows"

// newCode returns a code that lets one phone in; mu is held.
func (p *Phone) newCode() (code string, ends time.Time) {
	code, ends = secret()[:22], p.now().Add(phoneCodeLife) // 132 bits, since a code to scan is better small
	put(p.codes, code, ends, maxPhoneCodes)
	return code, ends
}

func passDigest(session, proof string) string {
	sum := sha256.Sum256([]byte(pass(session, proof)))
	return hex.EncodeToString(sum[:])
}

// begin implements keeper.
func (p *Phone) begin(w http.ResponseWriter, r *http.Request, code string) (proof string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, now := sha256.Sum256([]byte(code)), p.now()
	ends, ok := p.codes[key]
	delete(p.codes, key)
	if !ok || now.After(ends) {
		if !p.fails.AllowN(now, 1) {
			return "", &statusError{http.StatusTooManyRequests, fmt.Errorf("api: too many wrong codes: %w", kith.Denied)}
		}
		return "", kith.Hint(unauthorized("this code was used already, or is older than five minutes"), phoneHint)
	}
	session := secret()
	proof = secret()
	s := phoneSession{Pass: passDigest(session, proof), Agent: agent(r.UserAgent()), From: host(r.RemoteAddr), Begun: now, Seen: now}
	for _, other := range p.state.Phones {
		s.N = max(s.N, other.N)
	}
	s.N++
	p.state.Phones = append(p.state.Phones, s)
	if len(p.state.Phones) > maxPhones {
		i := 0
		for j, other := range p.state.Phones {
			if other.Seen.Before(p.state.Phones[i].Seen) {
				i = j
			}
		}
		p.state.Phones = slices.Delete(p.state.Phones, i, i+1)
	}
	if err := p.save(); err != nil {
		return "", err
	}
	setPhoneCookie(w, session)
	return proof, nil
}

// A caller is whoever makes one request from a phone.
type caller struct {
	*Phone
	n int // number of their session; 0 before it was checked
}

// check implements keeper. A token lets nobody in here: it is not for other computers.
func (p *caller) check(w http.ResponseWriter, r *http.Request) error {
	c, err := r.Cookie(phoneCookie)
	if err != nil || r.Header.Get("Authorization") != "" {
		return kith.Hint(unauthorized("this phone is not let in"), phoneHint)
	}
	if !sameOrigin(r, "https://") {
		return fmt.Errorf("api: a session is good on its own page only: %w", kith.Denied)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, now := p.find(c.Value, r.Header.Get(pageHeader)), p.now()
	if i < 0 || now.Sub(p.state.Phones[i].Seen) > phoneLife {
		return kith.Hint(unauthorized("this phone is not let in any more"), phoneHint)
	}
	s := &p.state.Phones[i]
	if now.Sub(s.Seen) > 24*time.Hour {
		setPhoneCookie(w, c.Value)
	}
	s.Seen, s.From, p.dirty, p.n = now, host(r.RemoteAddr), true, s.N
	return nil
}

// find returns the number in the list of the session with a cookie and a proof, or -1; mu is held.
func (p *Phone) find(session, proof string) int {
	digest := passDigest(session, proof)
	return slices.IndexFunc(p.state.Phones, func(s phoneSession) bool { return s.Pass == digest })
}

// end implements keeper.
func (p *Phone) end(w http.ResponseWriter, r *http.Request) {
	setPhoneCookie(w, "")
	c, err := r.Cookie(phoneCookie)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.find(c.Value, r.Header.Get(pageHeader)); i >= 0 {
		p.state.Phones = slices.Delete(p.state.Phones, i, i+1)
		p.dirty = true // tidy closes the way if it was the last one: not before this is answered
	}
}

// poke has tidy look at once.
func (p *Phone) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func setPhoneCookie(w http.ResponseWriter, session string) {
	c := &http.Cookie{Name: phoneCookie, Value: session, Path: "/", MaxAge: int(phoneLife / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if session == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func host(addr string) string {
	h, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return h
}

// agent says in a word or two what a browser says that it is.
func agent(text string) string {
	where := ""
	for _, w := range [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Macintosh", "Mac"}, {"Linux", "Linux"}} {
		if strings.Contains(text, w[0]) {
			where = w[1]
			break
		}
	}
	for _, b := range [][2]string{{"Firefox/", "Firefox"}, {"FxiOS", "Firefox"}, {"EdgA", "Edge"}, {"Edg/", "Edge"}, {"CriOS", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}} {
		if strings.Contains(text, b[0]) && where != "" {
			return b[1] + " on " + where
		}
	}
	if len(text) > maxAgent {
		text = strings.ToValidUTF8(text[:maxAgent], "")
	}
	if text = plain.Text(text); text == "" {
		return "a browser"
	}
	return text
}
