package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep an inbound message may nest, itself included. Readers of
// what is passed on stop earlier than encoding/json does, some at a few hundred.
const maxDepth = 64

// MaxValues bounds the values of an inbound message, counted as its commas and its opening
// brackets: reading a value costs about half a microsecond.
const MaxValues = 16 << 10

// problem says why text is not JSON that all readers read alike, in words for a
// client; empty if it is. Beyond what RFC 8259 asks, no object has a key twice, no
// escape is half of a surrogate pair (RFC 7493), and the nesting and the number of values
// are bounded. The time is that of a sort of the keys, the memory 24 bytes for each.
func problem(text []byte) string {
	if !utf8.Valid(text) {
		return "is not valid UTF-8"
	}
	if bad := excess(text); bad != "" { // Whatever else is wrong with it.
		return bad
	}
	if !json.Valid(text) {
		return "is not JSON"
	}
	s := scanner{in: text}
	s.space()
	return s.check()
}

// excess says what text that may be JSON has too much of.
func excess(text []byte) string {
	s := scanner{in: text}
	depth, values := 0, 0
	for s.at < len(text) && depth <= maxDepth && values <= MaxValues {
		switch text[s.at] {
		case '"':
			s.text()
			continue
		case '{', '[':
			depth++
			values++
		case '}', ']':
			depth--
		case ',':
			values++
		}
		s.at++
	}
	switch {
	case depth > maxDepth:
		return "is nested deeper than " + strconv.Itoa(maxDepth) + " levels"
	case values > MaxValues:
		return "has more than " + strconv.Itoa(MaxValues) + " values"
	}
	return ""
}

// Field returns the value of a key in an object, as it was written; nil if there is
// none, or no object. Keys are compared exactly, unlike encoding/json does, which
// takes "Token" for "token". The value shares the memory of object.
func Field(object json.RawMessage, key string) json.RawMessage {
	var value json.RawMessage
	s := scanner{in: object}
	s.members(func(k, v []byte) bool {
		if string(k) == key {
			value = v
		}
		return value == nil
	})
	return value
}

// fields returns the values of keys in an object, nil for those it has not. It is
// false if raw is not an object; an absent one has no keys. That no key is there
// twice was checked by Decode.
func fields(raw json.RawMessage, keys ...string) ([]json.RawMessage, bool) {
	values := make([]json.RawMessage, len(keys))
	if len(raw) == 0 {
		return values, true
	}
	if !json.Valid(raw) {
		return nil, false
	}
	s := scanner{in: raw}
	return values, s.members(func(k, v []byte) bool {
		if i := slices.Index(keys, string(k)); i >= 0 {
			values[i] = v
		}
		return true
	})
}

// elements returns the elements of a list, at most limit of them. It is false if
// raw is not a list. The JSON must be valid.
func elements(raw json.RawMessage, limit int) (list []json.RawMessage, ok bool) {
	s := scanner{in: raw}
	s.space()
	if s.peek() != '[' {
		return nil, false
	}
	s.at++
	for len(list) < limit {
		s.space()
		switch s.peek() {
		case ']', 0:
			return list, true
		case ',':
			s.at++
		default:
			list = append(list, s.skip())
		}
	}
	return list, true
}

// scanner goes through JSON. It relies on the text being valid for its results, not
// for its end: it never reads beyond the text, nor stands still.
type scanner struct {
	in []byte
	at int
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.in) && (s.in[s.at] == ' ' || s.in[s.at] == '\n' || s.in[s.at] == '\t' || s.in[s.at] == '\r') {
		s.at++
	}
}

// skip returns the next value and goes behind it.
func (s *scanner) skip() []byte {
	start, depth := s.at, 0
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\n', '\t', '\r':
			s.at++
		default:
			s.scalar()
		}
		if depth <= 0 {
			break
		}
	}
	return s.in[start:s.at]
}

// scalar goes behind a number or a word.
func (s *scanner) scalar() {
	for s.at++; s.at < len(s.in); s.at++ {
		switch s.in[s.at] {
		case ',', ':', ']', '}', '"', ' ', '\n', '\t', '\r':
			return
		}
	}
}

// text returns a string between its quotes, as it was written, and goes behind it.
func (s *scanner) text() []byte {
	s.at++
	start := s.at
	for s.at < len(s.in) && s.in[s.at] != '"' {
		if s.in[s.at] == '\\' {
			s.at++
		}
		s.at++
	}
	end := min(s.at, len(s.in))
	s.at = min(s.at+1, len(s.in))
	return s.in[start:end]
}

// members calls visit with each key, unescaped, and its value, until that is false.
// It reports whether there is an object.
func (s *scanner) members(visit func(key, value []byte) bool) bool {
	s.space()
	if s.peek() != '{' {
		return false
	}
	s.at++
	for {
		s.space()
		switch s.peek() {
		case '"':
			key := unescape(s.text())
			s.space()
			s.at++ // the colon
			s.space()
			if !visit(key, s.skip()) {
				return true
			}
		case ',':
			s.at++
		default:
			return true
		}
	}
}

// unescape makes a string of what stands between its quotes. An escape that is half of a
// surrogate pair becomes U+FFFD, and what is no escape stays what it is.
func unescape(text []byte) []byte {
	next := bytes.IndexByte(text, '\\')
	if next < 0 {
		return text
	}
	plain := append(make([]byte, 0, len(text)), text[:next]...)
	for text = text[next:]; len(text) > 0; {
		if text[0] != '\\' || len(text) < 2 {
			plain, text = append(plain, text[0]), text[1:]
			continue
		}
		c := text[1]
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			c = "\b\f\n\r\t"[i]
		}
		if c != 'u' || len(text) < 6 {
			plain, text = append(plain, c), text[2:]
			continue
		}
		r := rune(hex4(text[2:]))
		text = text[6:]
		if utf16.IsSurrogate(r) {
			low := rune(utf8.RuneError)
			if len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
				low = rune(hex4(text[2:]))
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				text = text[6:]
			}
		}
		plain = utf8.AppendRune(plain, r)
	}
	return plain
}

// check goes behind a value of valid JSON, and says what is wrong with it.
func (s *scanner) check() string {
	switch s.peek() {
	case '"':
		return halves(s.text())
	case '{', '[':
	default:
		s.scalar()
		return ""
	}
	var few [8][]byte
	keys := few[:0]
	object := s.peek() == '{'
	s.at++
	for {
		s.space()
		switch s.peek() {
		case '}', ']', 0:
			s.at++
			if twice(keys) {
				return "has a key twice in one object"
			}
			return ""
		case ',':
			s.at++
			continue
		}
		if object {
			key := s.text()
			if bad := halves(key); bad != "" {
				return bad
			}
			keys = append(keys, unescape(key))
			s.space()
			s.at++ // the colon
			s.space()
		}
		if bad := s.check(); bad != "" {
			return bad
		}
	}
}

// twice reports whether a key is there twice. It changes the order.
func twice(keys [][]byte) bool {
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i-1], keys[i]) {
			return true
		}
	}
	return false
}

// halves finds an escape that is half of a surrogate pair in what stands between
// the quotes of a valid string: encoding/json would make U+FFFD of it, so that
// different names became one.
func halves(text []byte) string {
	const bad = "has half of a surrogate pair"
	for i := bytes.IndexByte(text, '\\'); i >= 0 && i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++
		if text[i] != 'u' {
			continue
		}
		switch unit := hex4(text[i+1:]); {
		case unit >= 0xdc00 && unit < 0xe000:
			return bad
		case unit >= 0xd800 && unit < 0xdc00:
			if rest := text[i+5:]; len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || hex4(rest[2:])&0xfc00 != 0xdc00 {
				return bad
			}
			i += 6
		}
		i += 4
	}
	return ""
}

// hex4 reads four hexadecimal digits, which are there.
func hex4(text []byte) (n uint64) {
	for _, c := range text[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		n = n<<4 | uint64(c&15)
	}
	return n
}
