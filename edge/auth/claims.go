package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Limits of what a token holds.
const (
	// MaxToken bounds a token, in bytes.
	MaxToken = 8 << 10
	// MaxUser bounds the name of a user, in bytes.
	MaxUser = 200
	// MaxTokenID bounds the id of a token, in bytes.
	MaxTokenID = 200
	// MaxPermissions bounds how many permissions a token has, both lists together.
	MaxPermissions = 1000
	// MaxPermission bounds one permission, in bytes.
	MaxPermission = 300
)

// maxDepth bounds how deep the JSON of a token may nest. Issuers that write roles of
// roles get to 4.
const maxDepth = 16

// maxDate is the end of the year 9999, the last that RFC 3339 can write, in seconds.
const maxDate = 253402300799

// claims is what a token says, as far as anybody asks. A pointer is nil where the
// token has no such claim, or null.
type claims struct {
	user                       *string
	id, issuer                 *string
	audience                   []string
	expires, notBefore, issued *time.Time
	permissions                []string
}

// rawClaims is a token's payload as golang-jwt hands it over: nothing reads it before
// the signature was checked.
type rawClaims struct {
	jwt.RegisteredClaims // Never filled: it makes this a jwt.Claims.

	payload []byte
}

// UnmarshalJSON keeps the bytes.
func (c *rawClaims) UnmarshalJSON(payload []byte) error {
	c.payload = bytes.Clone(payload)
	return nil
}

// parseClaims reads a payload: exact names, exact types, no key twice.
func parseClaims(payload []byte) (c claims, err error) {
	members, err := object(payload)
	if err != nil {
		return claims{}, err
	}
	read := reader{members: members}
	c = claims{
		user:      read.text("user_id"),
		id:        read.text("jti"),
		issuer:    read.text("iss"),
		audience:  read.texts("aud", true),
		expires:   read.date("exp"),
		notBefore: read.date("nbf"),
		issued:    read.date("iat"),
	}
	if subject := read.text("sub"); c.user == nil {
		c.user = subject
	}
	c.permissions = append(read.texts("permissions", false), read.texts("scopes", false)...)
	return c, read.err
}

// reader takes typed members of an object and keeps the first problem.
type reader struct {
	members map[string]json.RawMessage
	err     error
}

// take returns a member that is there and not null.
func (r *reader) take(name string) (json.RawMessage, bool) {
	raw, ok := r.members[name]
	return raw, ok && string(raw) != "null"
}

func (r *reader) fail(name, problem string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %s", name, problem)
	}
}

func (r *reader) text(name string) *string {
	raw, ok := r.take(name)
	if !ok {
		return nil
	}
	var text string
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		r.fail(name, "is not a string")
		return nil
	}
	return &text
}

// texts reads a list of strings, or one string where single allows it.
func (r *reader) texts(name string, single bool) []string {
	raw, ok := r.take(name)
	if !ok {
		return nil
	}
	if single && raw[0] == '"' {
		return []string{*r.text(name)}
	}
	var texts []*string
	if raw[0] != '[' || json.Unmarshal(raw, &texts) != nil {
		r.fail(name, "is not a list of strings")
		return nil
	}
	list := make([]string, len(texts))
	for i, text := range texts {
		if text == nil {
			r.fail(name, "is not a list of strings")
			return nil
		}
		list[i] = *text
	}
	return list
}

// date reads a NumericDate of RFC 7519: seconds since 1970, possibly with a fraction,
// which is cut off.
func (r *reader) date(name string) *time.Time {
	raw, ok := r.take(name)
	if !ok {
		return nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') || err != nil:
		r.fail(name, "is not a number")
		return nil
	case seconds < 0 || seconds > maxDate:
		r.fail(name, "is not a time between 1970 and 9999")
		return nil
	}
	date := time.Unix(int64(math.Floor(seconds)), 0).UTC()
	return &date
}

// object reads a JSON object more strictly than encoding/json: UTF-8 only, no key twice
// at any depth, bounded nesting, names as they are spelled.
func object(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it is not valid UTF-8")
	}
	return members(data, 1)
}

var errNoObject = errors.New("it is not a JSON object")

func members(data []byte, depth int) (map[string]json.RawMessage, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it nests deeper than %d levels", maxDepth)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errNoObject
	}
	found := make(map[string]json.RawMessage)
	for decoder.More() {
		key, err := decoder.Token()
		name, isText := key.(string)
		if err != nil || !isText {
			return nil, errNoObject
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil, errNoObject
		}
		if _, twice := found[name]; twice {
			return nil, errors.New("it gives a key twice")
		}
		if err := nested(value, depth); err != nil {
			return nil, err
		}
		found[name] = value
	}
	if _, err := decoder.Token(); err != nil || len(bytes.TrimSpace(data[decoder.InputOffset():])) > 0 {
		return nil, errNoObject
	}
	return found, nil
}

// nested looks for keys given twice within a value.
func nested(value json.RawMessage, depth int) error {
	switch value[0] {
	case '{':
		_, err := members(value, depth+1)
		return err
	case '[':
		if depth >= maxDepth {
			return fmt.Errorf("it nests deeper than %d levels", maxDepth)
		}
		if !bytes.ContainsAny(value, "{") && bytes.Count(value, []byte("[")) == 1 {
			return nil
		}
		var list []json.RawMessage
		if json.Unmarshal(value, &list) != nil {
			return errNoObject
		}
		for _, element := range list {
			if err := nested(element, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// textProblem says why a text cannot name a user or a token.
func textProblem(text string, limit int) string {
	switch {
	case len(text) > limit:
		return fmt.Sprintf("is longer than %d bytes", limit)
	case !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError):
		// What encoding/json puts for half a surrogate pair, so that two names become one.
		return "is not valid Unicode"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds a control character"
	}
	return ""
}
