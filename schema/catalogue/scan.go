package catalogue

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep a payload may nest, the payload itself being 1.
const maxDepth = 64

// member is one member of an object.
type member struct {
	// key is the decoded key, rawKey the key as it was sent, with its quotes.
	key    string
	rawKey []byte
	// value is the value in compact JSON.
	value []byte
}

// scanner reads JSON more strictly than encoding/json: no key twice in an object,
// no text that is not Unicode, no number beyond a float64, bounded nesting. That way
// every reader in every language sees the same payload. What it reads it copies
// without white space.
type scanner struct {
	in    []byte
	pos   int
	out   []byte
	depth int
	// problem is what is wrong at pos, empty as long as all is well.
	problem string
}

// scanObject returns the members of a JSON object and the object in compact form,
// or what is wrong with it and at which byte.
func scanObject(payload []byte) (members []member, compact []byte, problem string, at int) {
	if !utf8.Valid(payload) {
		return nil, nil, "is not valid UTF-8", 0
	}
	// Compact JSON is never longer, so out never moves and members can point to it.
	s := scanner{in: payload, out: make([]byte, 0, len(payload))}
	s.space()
	if s.peek() != '{' {
		return nil, nil, "must be a JSON object", s.pos
	}
	members = make([]member, 0, 8)
	s.object(&members)
	s.space()
	if s.problem == "" && s.pos < len(s.in) {
		s.fail("holds something after the JSON object")
	}
	return members, s.out, s.problem, s.pos
}

func (s *scanner) fail(problem string) bool {
	if s.problem == "" {
		s.problem = problem
	}
	return false
}

func (s *scanner) syntax() bool { return s.fail("is not valid JSON") }

func (s *scanner) peek() byte {
	if s.pos < len(s.in) {
		return s.in[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.in) {
		switch s.in[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// take copies the next byte if it is c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.pos == len(s.in) {
		return false
	}
	s.pos++
	s.out = append(s.out, c)
	return true
}

func (s *scanner) enter() bool {
	s.depth++
	if s.depth > maxDepth {
		return s.fail("nests deeper than " + strconv.Itoa(maxDepth) + " levels")
	}
	return true
}

func (s *scanner) value() bool {
	switch c := s.peek(); {
	case c == '"':
		_, ok := s.text()
		return ok
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.array()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.syntax()
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.in[s.pos:], []byte(word)) {
		return s.syntax()
	}
	s.pos += len(word)
	s.out = append(s.out, word...)
	return true
}

// object reads an object and, where members is given, appends what it holds.
func (s *scanner) object(members *[]member) bool {
	if !s.enter() {
		return false
	}
	s.take('{')
	s.space()
	var seen keys
	for first := true; !s.take('}'); first = false {
		if !first {
			if !s.take(',') {
				return s.syntax()
			}
			s.space()
		}
		if s.peek() != '"' {
			return s.syntax()
		}
		keyAt := len(s.out)
		key, ok := s.text()
		if !ok {
			return false
		}
		if !seen.add(key) {
			return s.fail("gives a key twice")
		}
		rawKey := s.out[keyAt:]
		s.space()
		if !s.take(':') {
			return s.syntax()
		}
		s.space()
		valueAt := len(s.out)
		if !s.value() {
			return false
		}
		if members != nil {
			*members = append(*members, member{key: string(key), rawKey: rawKey, value: s.out[valueAt:]})
		}
		s.space()
	}
	s.depth--
	return true
}

func (s *scanner) array() bool {
	if !s.enter() {
		return false
	}
	s.take('[')
	s.space()
	for first := true; !s.take(']'); first = false {
		if !first {
			if !s.take(',') {
				return s.syntax()
			}
			s.space()
		}
		if !s.value() {
			return false
		}
		s.space()
	}
	s.depth--
	return true
}

// text copies a string and returns what is between its quotes, decoded.
func (s *scanner) text() ([]byte, bool) {
	start, escaped := s.pos+1, false
	for i := start; i < len(s.in); i++ {
		switch c := s.in[i]; {
		case c == '"':
			s.out = append(s.out, s.in[s.pos:i+1]...)
			raw := s.in[s.pos : i+1]
			s.pos = i + 1
			if !escaped {
				return raw[1 : len(raw)-1], true
			}
			return s.unescape(raw)
		case c == '\\':
			escaped = true
			i++ // Whatever follows, it does not end the string.
		case c < ' ':
			return nil, s.syntax()
		}
	}
	return nil, s.syntax()
}

// unescape decodes a string with its quotes. Half a surrogate pair is refused:
// encoding/json would make it a replacement character, others would keep it.
func (s *scanner) unescape(raw []byte) ([]byte, bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, s.syntax()
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		r := hexRune(raw[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		if rest := raw[i+1:]; len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' ||
			utf16.DecodeRune(r, hexRune(rest[2:])) == utf8.RuneError {
			return nil, s.fail("holds half a surrogate pair")
		}
		i += 6
	}
	return []byte(text), true
}

// hexRune reads four hexadecimal digits, which json.Unmarshal has checked.
func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 32)
	return rune(n)
}

func (s *scanner) number() bool {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.syntax()
	}
	large := s.pos-start > 300
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.syntax()
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		large = true
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.syntax()
		}
	}
	digits := s.in[start:s.pos]
	if large {
		if _, err := strconv.ParseFloat(string(digits), 64); err != nil {
			return s.fail("holds a number that is out of range")
		}
	}
	s.out = append(s.out, digits...)
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// keys remembers the keys of one object.
type keys struct {
	few  [][]byte
	many map[string]bool
}

// add reports whether the key is new.
func (k *keys) add(key []byte) bool {
	if k.many == nil && len(k.few) == 16 {
		k.many = make(map[string]bool, 64)
		for _, old := range k.few {
			k.many[string(old)] = true
		}
	}
	if k.many != nil {
		known := k.many[string(key)]
		k.many[string(key)] = true
		return !known
	}
	for _, old := range k.few {
		if bytes.Equal(old, key) {
			return false
		}
	}
	k.few = append(k.few, key)
	return true
}
