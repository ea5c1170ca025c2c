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
	e := explanation{hide: redactor{[]byte(token), []byte(v.cfg.Secret), []byte(v.cfg.Previous)}}
	if at := strings.LastIndexByte(token, '.'); len(token)-at > minHidden {
		e.hide = append(e.hide, []byte(token[at+1:]))
	}
	if !e.add("form", shape(token), fmt.Sprintf("%d bytes", len(token))) {
		return e.findings
	}
	payload, refusal := v.signed(ctx, token)
	var raw rawClaims
	detail := ""
	if unverified, _, err := v.parser.ParseUnverified(token, &raw); err == nil {
		detail = e.header(unverified)
	}
	if !e.add("signature", refusal, detail) {
		if payload = raw.payload; payload == nil {
			return e.findings
		}
	}
	c, err := parseClaims(payload)
	if err != nil {
		e.add("claims", &Refusal{Reason: Claims, Err: err}, "")
		return e.findings
	}
	e.add("claims", nil, "well formed")
	now := v.now()
	for i := range rules {
		rule := &rules[i]
		e.add(rule.check, rule.judge(&v.cfg, &c, now), rule.tell(&e, &c, now))
	}
	for _, permission := range ParsePermissions(c.permissions).Unknown() {
		e.findings = append(e.findings, Finding{Check: "permission", Warning: true,
			Detail: e.quote(permission) + " has no known form and grants nothing"})
	}
	return e.findings
}

// explanation collects findings.
type explanation struct {
	hide     redactor
	findings []Finding
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

func (e *explanation) expiry(c *claims, now time.Time) string { return date(c.expires, now) }

func (e *explanation) begun(c *claims, now time.Time) string {
	return "nbf " + date(c.notBefore, now) + ", iat " + date(c.issued, now)
}

func (e *explanation) life(c *claims, now time.Time) string {
	life, ok := c.life(now)
	switch {
	case !ok:
		return ""
	case c.issued == nil:
		return fmt.Sprintf("%v from now, since it has no iat", round(life))
	}
	return round(life).String()
}

func (e *explanation) issuer(c *claims, _ time.Time) string { return e.optional(c.issuer) }

func (e *explanation) audience(c *claims, _ time.Time) string { return e.list(c.audience) }

func (e *explanation) user(c *claims, _ time.Time) string { return e.optional(c.user) }

func (e *explanation) tokenID(c *claims, _ time.Time) string { return e.optional(c.id) }

func (e *explanation) permissions(c *claims, _ time.Time) string { return e.list(c.permissions) }

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

// date tells a time, and how far away it is.
func date(at *time.Time, now time.Time) string {
	if at == nil {
		return "none"
	}
	text := at.Format(time.RFC3339)
	if left := at.Sub(now); left >= 0 {
		return fmt.Sprintf("%s, in %v", text, round(left))
	}
	return fmt.Sprintf("%s, %v ago", text, round(now.Sub(*at)))
}
