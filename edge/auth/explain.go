package auth

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxDetail bounds one text of a token in a Finding, in bytes.
	maxDetail = 120
	// maxListed bounds how many texts of a list are shown.
	maxListed = 50
	// maxDoubt bounds what is said of a permission, in bytes; all channels of a service fit.
	maxDoubt = 1000
	// minHidden is the length from which on a signature is taken for one, in bytes.
	minHidden = 8
)

// Finding is the result of one check of a token.
type Finding struct {
	// Check names what was looked at, for example "signature".
	Check string
	// Reason is why the check refuses the token, empty where it doesn't.
	Reason Reason
	// Warning is true for what an edge accepts, but hardly is what was meant.
	Warning bool
	// Detail says it in words. Texts of the token are quoted and cut; it holds no secret
	// and no signature, not even where a claim repeats one.
	Detail string
}

// Explain runs every check of Verify, each on its own, and reports all results in
// Verify's order. Verify accepts the token if and only if no Finding has a Reason, and
// refuses it for the first that has. What cannot be read is not checked further. Explain
// reads claims also where the signature is wrong: what it says of them proves nothing
// then.
func (v *Verifier) Explain(ctx context.Context, token string) []Finding {
	e := explanation{cfg: &v.cfg, now: v.now(), hide: redactor{[]byte(token), []byte(v.cfg.Secret), []byte(v.cfg.Previous)}}
	if at := strings.LastIndexByte(token, '.'); len(token)-at > minHidden {
		e.hide = append(e.hide, []byte(token[at+1:]))
	}
	size := fmt.Sprintf("%d bytes", len(token))
	if refusal := shape(token); refusal != nil {
		e.add("form", refusal, size)
		return e.findings
	}
	payload, refusal := v.signed(ctx, token)
	var raw rawClaims
	detail := ""
	if unverified, _, err := v.parser.ParseUnverified(token, &raw); err == nil {
		detail = e.header(unverified)
	}
	if refusal != nil && refusal.Reason == Malformed {
		e.add("form", refusal, size)
	} else {
		if refusal != nil && refusal.Reason == Signature {
			detail += "; another service's token or secret?"
		}
		e.add("form", nil, size)
		e.add("signature", refusal, detail)
	}
	if refusal != nil {
		if payload = raw.payload; payload == nil {
			return e.findings
		}
	}
	var err error
	if e.claims, err = parseClaims(payload); err != nil {
		e.add("claims", &Refusal{Reason: Claims, Err: err}, "")
		return e.findings
	}
	e.add("claims", nil, "well formed")
	for i := range rules {
		rule := &rules[i]
		refusal := rule.judge(&v.cfg, &e.claims, e.now)
		e.add(rule.check, refusal, rule.tell(&e, refusal != nil))
	}
	if len(e.claims.permissions) == 0 {
		e.warn(fmt.Sprintf("there is none, so the token grants nothing; with %s:read it would read", v.cfg.Service))
	}
	for _, d := range Doubts(v.cfg.Service, e.claims.permissions) {
		e.warn(e.quote(d.Permission) + " " + e.hide.clean(d.Text, maxDoubt))
	}
	return e.findings
}

// explanation collects findings.
type explanation struct {
	cfg      *Config
	now      time.Time
	hide     redactor
	claims   claims
	findings []Finding
}

// warn appends a finding about permissions that an edge accepts.
func (e *explanation) warn(detail string) {
	e.findings = append(e.findings, Finding{Check: "permission", Warning: true, Detail: detail})
}

// add appends a finding. It reports whether the check has passed.
func (e *explanation) add(check string, refusal *Refusal, detail string) bool {
	if refusal == nil {
		e.findings = append(e.findings, Finding{Check: check, Detail: detail})
		return true
	}
	text := refusal.Err.Error()
	if detail != "" {
		text += " (" + detail + ")"
	}
	e.findings = append(e.findings, Finding{Check: check, Reason: refusal.Reason, Detail: text})
	return false
}

// header tells what a token's header says.
func (e *explanation) header(token *jwt.Token) string {
	text := "alg " + e.quote(token.Method.Alg())
	if kid, ok := token.Header["kid"].(string); ok {
		text += ", kid " + e.quote(kid)
	}
	return text
}

// quote makes a text of the token fit for a terminal: redacted, cut, quoted.
func (e *explanation) quote(text string) string {
	return strconv.QuoteToGraphic(e.hide.clean(text, maxDetail))
}

// optional quotes a text that may be missing.
func (e *explanation) optional(text *string) string {
	if text == nil {
		return "none"
	}
	return e.quote(*text)
}

func (e *explanation) expiry(refused bool) string {
	if e.claims.expires == nil {
		return ""
	}
	text := e.date(e.claims.expires, refused)
	if !refused && !e.now.Before(*e.claims.expires) {
		text += e.withinLeeway()
	}
	return text
}

func (e *explanation) begun(refused bool) string {
	text := "nbf " + e.date(e.claims.notBefore, refused) + ", iat " + e.date(e.claims.issued, refused)
	later := func(at *time.Time) bool { return at != nil && at.After(e.now) }
	if !refused && (later(e.claims.notBefore) || later(e.claims.issued)) {
		text += e.withinLeeway()
	}
	return text
}

func (e *explanation) withinLeeway() string {
	return fmt.Sprintf(", within the leeway of %v", e.cfg.Leeway)
}

func (e *explanation) life(refused bool) string {
	life, ok := e.claims.life(e.now)
	switch {
	case !ok, refused && e.claims.issued != nil:
		return ""
	case refused:
		return "counted from now, since it has no iat"
	case e.claims.issued == nil:
		return fmt.Sprintf("%v from now, since it has no iat: it may outlive a revocation, which is kept for %.0fh", round(life), RevocationLife.Hours())
	}
	return round(life).String()
}

func (e *explanation) issuer(bool) string { return e.optional(e.claims.issuer) }

func (e *explanation) audience(bool) string { return e.list(e.claims.audience) }

func (e *explanation) user(bool) string { return e.optional(e.claims.user) }

func (e *explanation) tokenID(bool) string { return e.optional(e.claims.id) }

func (e *explanation) permissions(bool) string { return e.list(e.claims.permissions) }

// list quotes the first of many texts.
func (e *explanation) list(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	var quoted []string
	for _, text := range texts[:min(len(texts), maxListed)] {
		quoted = append(quoted, e.quote(text))
	}
	if more := len(texts) - maxListed; more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}

// date tells a time, and how far away it is unless the refusal says so.
func (e *explanation) date(at *time.Time, refused bool) string {
	if at == nil {
		return "none"
	}
	text := at.Format(time.RFC3339)
	if refused {
		return text
	}
	if left := at.Sub(e.now); left >= 0 {
		return fmt.Sprintf("%s, in %v", text, round(left))
	}
	return fmt.Sprintf("%s, %v ago", text, round(e.now.Sub(*at)))
}
