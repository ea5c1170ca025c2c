package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// Times and bounds of a JWKS.
const (
	// fetchTimeout bounds one fetch.
	fetchTimeout = 5 * time.Second
	// joinTimeout is how long a caller with an unknown kid waits for a fetch.
	joinTimeout = 3 * time.Second
	// fetchEvery is how often keys are read anew: a withdrawn key is accepted that long.
	fetchEvery = 15 * time.Minute
	// retryFirst and retryMost bound the pauses between fetches that fail, which double.
	retryFirst, retryMost = time.Second, time.Minute
	// unknownEvery is how often unknown kids may cause a fetch.
	unknownEvery = 30 * time.Second
	// keysLife is how long keys are used that could not be read anew.
	keysLife = 24 * time.Hour
	// maxKeySet bounds the document, in bytes; maxKeys the keys of it that are looked at.
	maxKeySet, maxKeys = 1 << 20, 100
	// maxKid bounds a kid, in bytes.
	maxKid = 200
)

// keySet keeps the keys of a JWKS in memory. One goroutine reads them, at once, then
// regularly, and when somebody asks for one that is not there.
type keySet struct {
	// Static after construction.
	url      *url.URL
	client   *http.Client
	log      *slog.Logger
	store    *jwkset.MemoryJWKSet // Safe for concurrent use.
	lookup   keyfunc.Keyfunc
	unknown  *rate.Limiter
	families []family
	hide     redactor // Of what is logged.
	cancel   context.CancelFunc
	ended    chan struct{}
	// wanted has room for one: it is sent to only by who has made a flight.
	wanted chan struct{}

	// Owned by the goroutine: the problems with keys that have been logged.
	logged map[string]bool

	mu sync.Mutex
	// Guarded by mu.
	flight chan struct{} // Closed when the fetch under way has ended; nil for none.
	loaded time.Time     // When the keys were read last, zero for never.
	usable int           // How many keys there are.
	failed error         // What was wrong with the last fetch; nil for nothing.
}

// startKeys begins to keep the keys of cfg.JWKS until ctx ends or close is called.
func startKeys(ctx context.Context, cfg Config, client *http.Client) (*keySet, error) {
	u, err := parseJWKS(cfg.JWKS)
	if err != nil {
		return nil, err
	}
	store := jwkset.NewMemoryStorage()
	lookup, err := keyfunc.New(keyfunc.Options{Storage: store})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &keySet{
		url: u, client: careful(client), store: store, lookup: lookup, cancel: cancel,
		log:     cfg.Logger.With("service", string(cfg.Service), "jwks", endpoint(u)),
		unknown: rate.NewLimiter(rate.Every(unknownEvery), 1),
		ended:   make(chan struct{}),
		wanted:  make(chan struct{}, 1),
		flight:  make(chan struct{}),
		hide:    redactor{[]byte(cfg.Secret), []byte(cfg.Previous)},
	}
	for _, name := range cfg.Algorithms {
		s.families = append(s.families, algorithms[name].family)
	}
	go s.run(ctx)
	return s, nil
}

// careful is a client that follows redirects only to where keys may be read from.
func careful(client *http.Client) *http.Client {
	if client == nil {
		client = &http.Client{}
	}
	c := *client
	follow := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := safe(req.URL); err != nil {
			return fmt.Errorf("a redirect %w", err)
		}
		if follow != nil {
			return follow(req, via)
		}
		if len(via) > 3 {
			return errors.New("there are too many redirects")
		}
		return nil
	}
	return &c
}

// close ends the goroutine and waits for it.
func (s *keySet) close() {
	s.cancel()
	<-s.ended
}

func (s *keySet) run(ctx context.Context) {
	defer close(s.ended)
	pause := retryFirst
	for {
		next := fetchEvery
		if s.fetch(ctx) {
			pause = retryFirst
		} else {
			next, pause = pause, min(2*pause, retryMost)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wanted:
			timer.Stop()
		case <-timer.C:
			s.takeOff()
		}
	}
}

// takeOff makes a flight, where nobody has.
func (s *keySet) takeOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		s.flight = make(chan struct{})
	} else {
		<-s.wanted // Somebody has just asked for the same.
	}
}

// fetch reads the keys, and ends the flight.
func (s *keySet) fetch(ctx context.Context) bool {
	keys, err := s.read(ctx)
	if err == nil {
		err = s.store.KeyReplaceAll(ctx, keys)
	}
	s.mu.Lock()
	first := s.loaded.IsZero()
	before := s.failed
	s.failed = err
	if err == nil {
		s.loaded, s.usable = time.Now(), len(keys)
	}
	close(s.flight)
	s.flight = nil
	s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.log.Warn("the keys of tokens cannot be read", "error", err, "never_read", first)
	case err == nil && (first || before != nil):
		s.log.Info("the keys of tokens have been read", "keys", len(keys))
	}
	return err == nil
}

// read gets the document and the keys of it that may be used.
func (s *keySet) read(ctx context.Context) ([]jwkset.JWK, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, withoutURL(err)
	case len(body) > maxKeySet:
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxKeySet)
	}
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil || set.Keys == nil {
		return nil, errors.New("the answer is no JSON Web Key Set")
	}
	return s.choose(*set.Keys), nil
}

// withoutURL is an error of net/http without the URL, whose query may hold a key.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// key returns the key that must have signed a token. Where none is known it asks for
// the keys anew, within bounds. The error is a *Refusal.
func (s *keySet) key(ctx context.Context, token *jwt.Token) (any, error) {
	kid, has := token.Header[jwkset.HeaderKID]
	if text, ok := kid.(string); has && (!ok || text == "" || len(text) > maxKid) {
		return nil, refuse(KeyUnknown, "the kid is not text of 1 to %d bytes", maxKid)
	}
	key, refusal := s.find(token)
	if refusal != nil && (has || refusal.Reason == KeysUnavailable) && s.refetch(ctx) {
		key, refusal = s.find(token)
	}
	if refusal != nil {
		return nil, refusal
	}
	return key, nil
}

// find looks a token's key up in memory.
func (s *keySet) find(token *jwt.Token) (any, *Refusal) {
	s.mu.Lock()
	loaded, usable, failed := s.loaded, s.usable, s.failed
	s.mu.Unlock()
	switch {
	case loaded.IsZero():
		return nil, refuse(KeysUnavailable, "the JWKS has not been read yet")
	case time.Since(loaded) > keysLife:
		return nil, refuse(KeysUnavailable, "the JWKS has not been read for more than %v", keysLife)
	}
	missing := refuse(KeyUnknown, "the JWKS has no usable key for its kid and alg")
	if failed != nil {
		missing = refuse(KeysUnavailable, "the key is not known, and the JWKS cannot be read now")
	}
	if _, has := token.Header[jwkset.HeaderKID]; !has && usable != 1 {
		// Else any number of keys would be tried for whoever asks.
		return nil, refuse(KeyUnknown, "it has no kid, and the JWKS has not exactly one usable key")
	}
	found, err := s.lookup.Keyfunc(token)
	if set, ok := found.(jwt.VerificationKeySet); ok && err == nil && len(set.Keys) == 1 {
		found = set.Keys[0]
	}
	if err != nil {
		return nil, missing
	}
	if family, why := familyOf(found); why != "" || algorithms[token.Method.Alg()].family != family {
		return nil, missing
	}
	return found, nil
}

// refetch waits for a fetch that is under way, or asks for one. It reports whether the
// keys were read.
func (s *keySet) refetch(ctx context.Context) bool {
	s.mu.Lock()
	flight := s.flight
	switch {
	case s.failed != nil:
		// The goroutine tries again by itself. To wait for that would be to let an endpoint
		// that hangs hold whoever has an unknown kid.
		s.mu.Unlock()
		return false
	case flight == nil:
		if !s.unknown.Allow() {
			s.mu.Unlock()
			return false
		}
		flight = make(chan struct{})
		s.flight = flight
		s.wanted <- struct{}{}
	}
	s.mu.Unlock()
	timer := time.NewTimer(joinTimeout)
	defer timer.Stop()
	select {
	case <-flight:
	case <-s.ended:
		return false
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed == nil
}

// ready says why no token can be checked.
func (s *keySet) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.loaded.IsZero() && s.failed != nil:
		return fmt.Errorf("auth: the JWKS could not be read yet: %w", s.failed)
	case s.loaded.IsZero():
		return errors.New("auth: the JWKS has not been read yet")
	case time.Since(s.loaded) > keysLife:
		return fmt.Errorf("auth: the JWKS could not be read for more than %v: %w", keysLife, s.failed)
	case s.usable == 0:
		return errors.New("auth: the JWKS has no usable key")
	}
	return nil
}
