package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// RevocationLife is how long a revocation is kept by whoever stores it. No token with an
// iat is accepted for longer, so one that is gone has nothing left to refuse.
const RevocationLife = 30 * 24 * time.Hour

// maxAhead is how far Before may lie behind At: whatever an issuer's clock may be ahead
// by, and the second that a time in a token stands for.
const maxAhead = MaxLeeway + time.Second

// maxRevocation bounds a revocation's JSON, in bytes: a name of which every byte is
// escaped, and two times.
const maxRevocation = 2 << 10

// Beginnings of keys. allKey is the whole key.
const (
	tokenKey = "token."
	userKey  = "user."
	allKey   = "all"
)

// Revocation takes tokens back: one by its jti (Token), those of a user that were issued
// before a time (User and Before), or everybody's that were issued before a time (Before
// alone).
type Revocation struct {
	// Token is a jti, 1 to MaxTokenID bytes.
	Token string
	// User is a user's name, 1 to MaxUser bytes.
	User string
	// Before is compared with a token's iat, which has whole seconds: what was issued in
	// the second before Before is covered.
	Before time.Time
	// At is when the revocation was made. Before may lie MaxLeeway and a second after
	// it, for issuers whose clocks are ahead.
	At time.Time
}

// check says what is wrong.
func (r Revocation) check() error {
	switch {
	case r.At.IsZero():
		return errors.New("auth: a revocation needs the time at which it was made")
	case !writable(r.At) || !writable(r.Before):
		return errors.New("auth: a revocation's times are not between 1970 and 9999")
	case r.Token != "" && r.User != "":
		return errors.New("auth: a revocation is of a token or of a user, not of both")
	case r.Token != "" && !r.Before.IsZero():
		return errors.New("auth: the revocation of a token has no time before which it was issued")
	case r.Token == "" && r.Before.IsZero():
		return errors.New("auth: a revocation needs a token or a time before which tokens were issued")
	case r.Before.After(r.At.Add(maxAhead)):
		return errors.New("auth: tokens that will be issued after a revocation cannot be revoked by it")
	}
	if problem := textProblem(r.Token, MaxTokenID); problem != "" {
		return fmt.Errorf("auth: the revoked token's id %s", problem)
	}
	if problem := textProblem(r.User, MaxUser); problem != "" {
		return fmt.Errorf("auth: the revoked user's name %s", problem)
	}
	return nil
}

// writable reports whether RFC 3339 can write a time, or it is zero.
func writable(t time.Time) bool {
	return t.IsZero() || t.Unix() >= 0 && t.Unix() <= maxDate
}

// Key is the revocation's key in a key-value store: "token." or "user." and the SHA-256
// of the name in hexadecimal, or "all". A second revocation of the same user replaces
// the first, so it must not cover less.
func (r Revocation) Key() string {
	switch {
	case r.Token != "":
		return tokenKey + hexSum(r.Token)
	case r.User != "":
		return userKey + hexSum(r.User)
	}
	return allKey
}

func hexSum(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// stored is a Revocation in JSON.
type stored struct {
	Token  string    `json:"token,omitempty"`
	User   string    `json:"user,omitempty"`
	Before time.Time `json:"before,omitzero"`
	At     time.Time `json:"at"`
}

// Marshal is the value to store under Key. The error says what is wrong with the
// revocation.
func (r Revocation) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return json.Marshal(stored{r.Token, r.User, r.Before.UTC(), r.At.UTC()})
}

// ParseRevocation reads what Marshal wrote. It is strict: unknown or repeated fields, and
// a key that is not the value's, are errors. An error doesn't repeat the value.
func ParseRevocation(key string, value []byte) (Revocation, error) {
	if len(value) > maxRevocation {
		return Revocation{}, fmt.Errorf("auth: a revocation has %d bytes, at most %d are read", len(value), maxRevocation)
	}
	fields, err := object(value)
	if err != nil {
		return Revocation{}, fmt.Errorf("auth: a revocation cannot be read: %w", err)
	}
	var r Revocation
	for name, raw := range fields {
		var into any
		switch name {
		case "token":
			into = &r.Token
		case "user":
			into = &r.User
		case "before":
			into = &r.Before
		case "at":
			into = &r.At
		default:
			return Revocation{}, errors.New("auth: a revocation has an unknown field")
		}
		if raw[0] != '"' || json.Unmarshal(raw, into) != nil {
			return Revocation{}, fmt.Errorf("auth: a revocation's %q is not what it should be", name)
		}
	}
	r.Before, r.At = r.Before.UTC(), r.At.UTC()
	if err := r.check(); err != nil {
		return Revocation{}, err
	}
	if r.Key() != key {
		return Revocation{}, errors.New("auth: a revocation's key is not that of its value")
	}
	return r, nil
}

// sum is the SHA-256 of a name.
type sum [sha256.Size]byte

// sumOf allocates nothing for names that are as long as may be.
func sumOf(name string) sum {
	var buffer [max(MaxUser, MaxTokenID)]byte
	return sha256.Sum256(append(buffer[:0], name...))
}

// Revocations is the set of revoked tokens. It is safe for concurrent use. The zero value
// is an empty set.
type Revocations struct {
	mu sync.RWMutex
	// Guarded by mu.
	tokens map[sum]Revocation
	users  map[sum]Revocation
	all    *Revocation
}

// Put adds a revocation, in place of the one with the same key. One that Marshal refuses
// is left out.
func (s *Revocations) Put(r Revocation) {
	if r.check() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Token != "":
		if s.tokens == nil {
			s.tokens = make(map[sum]Revocation)
		}
		s.tokens[sumOf(r.Token)] = r
	case r.User != "":
		if s.users == nil {
			s.users = make(map[sum]Revocation)
		}
		s.users[sumOf(r.User)] = r
	default:
		s.all = &r
	}
}

// Delete removes the revocation with that key, if there is one.
func (s *Revocations) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key == allKey {
		s.all = nil
	} else if name, ok := parseSum(key, tokenKey); ok {
		delete(s.tokens, name)
	} else if name, ok := parseSum(key, userKey); ok {
		delete(s.users, name)
	}
}

// parseSum reads the key of a name. It reports false for any that Key doesn't make.
func parseSum(key, beginning string) (name sum, ok bool) {
	digits, ok := strings.CutPrefix(key, beginning)
	if !ok || len(digits) != hex.EncodedLen(len(name)) || strings.ToLower(digits) != digits {
		return sum{}, false
	}
	_, err := hex.Decode(name[:], []byte(digits))
	return name, err == nil
}

// Len is how many revocations there are.
func (s *Revocations) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := len(s.tokens) + len(s.users)
	if s.all != nil {
		n++
	}
	return n
}

// Covers reports whether an identity's token is revoked. One without IssuedAt counts as
// issued at the beginning of time, one without TokenID is covered only by revocations of
// its user or of all, and the anonymous are never covered. It allocates nothing.
func (s *Revocations) Covers(id Identity) bool {
	if id.User == "" {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.all != nil && id.IssuedAt.Before(s.all.Before) {
		return true
	}
	if id.TokenID != "" && len(s.tokens) > 0 {
		if _, ok := s.tokens[sumOf(id.TokenID)]; ok {
			return true
		}
	}
	if len(s.users) == 0 {
		return false
	}
	r, ok := s.users[sumOf(id.User)]
	return ok && id.IssuedAt.Before(r.Before)
}
