package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that nothing prints: not fmt with any verb, not encoding/json, not
// log/slog, not a YAML encoder. Only Reveal tells it. The zero value is the empty
// secret. Immutable, safe for concurrent use.
type Secret struct {
	// A pointer, so that fmt, which prints unexported fields of other
	// packages' structs without asking their methods, shows an address.
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether both hold the same text.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String returns "[redacted]", or nothing for the empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns what String does, as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// URL is one or more addresses of servers, separated by commas, which may hold
// passwords or tokens. Like a Secret it prints none of these; the rest it does print.
// Immutable, safe for concurrent use.
type URL struct {
	text *string
}

// NewURL wraps addresses.
func NewURL(text string) URL { return URL{&text} }

// Reveal returns the addresses with their passwords, as nats.Connect takes them.
func (u URL) Reveal() string {
	if u.text == nil {
		return ""
	}
	return *u.text
}

// Equal reports whether both hold the same addresses.
func (u URL) Equal(other URL) bool { return u.Reveal() == other.Reveal() }

// servers are the addresses one by one, nil where one cannot be read.
func (u URL) servers() []*url.URL {
	var list []*url.URL
	for one := range strings.SplitSeq(u.Reveal(), ",") {
		parsed, err := url.Parse(strings.TrimSpace(one))
		if err != nil || parsed.Opaque != "" {
			parsed = nil
		}
		list = append(list, parsed)
	}
	return list
}

// hasPassword reports whether any address holds a user or a token.
func (u URL) hasPassword() bool {
	for _, server := range u.servers() {
		if server != nil && server.User != nil {
			return true
		}
	}
	return false
}

// String returns the addresses, with "redacted" for who the edge is.
func (u URL) String() string {
	var list []string
	for _, server := range u.servers() {
		switch {
		case server == nil:
			list = append(list, redacted)
		case server.User != nil:
			// Rebuilt: a query or an odd path could hold a token as well.
			list = append(list, server.Scheme+"://redacted@"+server.Host)
		default:
			list = append(list, server.Scheme+"://"+server.Host)
		}
	}
	return strings.Join(list, ",")
}

// GoString returns what String does.
func (u URL) GoString() string { return u.String() }

// Format writes what String returns, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// MarshalText returns what String does; encoding/json uses it too.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue returns what String does.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
