package schema

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Class is the first token of a subject: where a message stands on its way.
type Class string

const (
	// Stored is the class of durable events. Publishers write it, streams keep it.
	Stored Class = "ev"
	// Live is the class of the copies that the server republishes of stored
	// messages. Nobody but the server writes it.
	Live Class = "live"
	// Transient is the class of events that are never stored.
	Transient Class = "now"
)

const upperHex = "0123456789ABCDEF"

// Subject returns the subject of a channel: class, service, kind and, where the
// channel has one, the id as a single token. What is not safe or not readable in
// a token (the NATS wildcards and separator, the percent sign, every Unicode
// space and everything invisible) is percent-escaped byte by byte, so an id can
// never widen a subscription. ParseSubject is the inverse.
func Subject(class Class, service Service, channel Channel) string {
	var b strings.Builder
	b.Grow(len(class) + len(service) + len(channel.kind) + len(channel.id) + 8)
	b.WriteString(string(class))
	b.WriteByte('.')
	b.WriteString(string(service))
	b.WriteByte('.')
	b.WriteString(channel.kind)
	if channel.id != "" {
		b.WriteByte('.')
		escapeToken(&b, channel.id)
	}
	return b.String()
}

// KindSubject returns the filter that matches every channel of a kind: those
// with an id, or, when withID is false, the one channel that has none.
func KindSubject(class Class, service Service, kind string, withID bool) string {
	s := string(class) + "." + string(service) + "." + kind
	if withID {
		s += ".*"
	}
	return s
}

// ServiceSubject returns the filter that matches every channel of a service.
func ServiceSubject(class Class, service Service) string {
	return string(class) + "." + string(service) + ".>"
}

// ParseSubject is the inverse of Subject. A subject that Subject could not have
// made is refused: each channel has one spelling. The error matches ErrChannel.
func ParseSubject(subject string) (Class, Service, Channel, error) {
	parts := strings.Split(subject, ".")
	if len(parts) != 3 && len(parts) != 4 {
		return "", "", Channel{}, fmt.Errorf("%w: a subject has three or four tokens", ErrChannel)
	}
	class := Class(parts[0])
	if class != Stored && class != Live && class != Transient {
		return "", "", Channel{}, fmt.Errorf("%w: the subject's first token is not ev, live or now", ErrChannel)
	}
	service := Service(parts[1])
	if service.Port() == 0 {
		return "", "", Channel{}, fmt.Errorf("%w: the subject's second token is no service", ErrChannel)
	}
	id := ""
	if len(parts) == 4 {
		var ok bool
		if id, ok = unescapeToken(parts[3]); !ok || id == "" {
			return "", "", Channel{}, fmt.Errorf("%w: the subject's last token is not an escaped id", ErrChannel)
		}
	}
	channel, err := NewChannel(parts[2], id)
	if err != nil {
		return "", "", Channel{}, err
	}
	if Subject(class, service, channel) != subject {
		return "", "", Channel{}, fmt.Errorf("%w: the subject is not in its canonical spelling", ErrChannel)
	}
	return class, service, channel, nil
}

// invisible are the characters that a person who reads a subject would not see or
// take for a space. The list is spelled out because the tables of package unicode
// grow with Go: stored subjects must have the same spelling for ever, and in every
// version of a publisher or an edge.
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x007f, Hi: 0x00a0, Stride: 1}, // DEL, C1 controls, no-break space
		{Lo: 0x00ad, Hi: 0x00ad, Stride: 1}, // soft hyphen
		{Lo: 0x1680, Hi: 0x1680, Stride: 1}, // ogham space mark
		{Lo: 0x180e, Hi: 0x180e, Stride: 1}, // mongolian vowel separator
		{Lo: 0x2000, Hi: 0x200f, Stride: 1}, // spaces, zero width, direction marks
		{Lo: 0x2028, Hi: 0x202f, Stride: 1}, // line and paragraph separator, directions
		{Lo: 0x205f, Hi: 0x206f, Stride: 1}, // spaces, invisible operators, isolates
		{Lo: 0x3000, Hi: 0x3000, Stride: 1}, // ideographic space
		{Lo: 0xfeff, Hi: 0xfeff, Stride: 1}, // byte order mark
		{Lo: 0xfff9, Hi: 0xfffd, Stride: 1}, // annotations, replacement character
	},
	R32: []unicode.Range32{
		{Lo: 0xe0000, Hi: 0xe007f, Stride: 1}, // tags
	},
	LatinOffset: 2,
}

// escapes reports whether a rune is written in percent form.
func escapes(r rune) bool {
	switch r {
	case '.', '*', '>', '%':
		return true
	}
	return r <= ' ' || r > '~' && unicode.Is(invisible, r)
}

func escapeToken(b *strings.Builder, id string) {
	if !strings.ContainsFunc(id, escapes) {
		b.WriteString(id)
		return
	}
	for i, r := range id {
		width := utf8.RuneLen(r)
		if !escapes(r) {
			b.WriteString(id[i : i+width])
			continue
		}
		for _, c := range []byte(id[i : i+width]) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
}

func unescapeToken(token string) (string, bool) {
	if !strings.Contains(token, "%") {
		return token, true
	}
	out := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			out = append(out, token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", false
		}
		hi := strings.IndexByte(upperHex, token[i+1])
		lo := strings.IndexByte(upperHex, token[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), true
}
