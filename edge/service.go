package edge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/schema"
)

// service is one service of an edge.
type service struct {
	// Static after construction.
	name      schema.Service
	cfg       Service
	anonymous auth.Permissions
	admins    auth.Restricted
	engine    conn.Engine
	addresses *limit.Counter[netip.Prefix]
	users     *limit.Counter[string]
	failures  *limit.Failures
	outside   *limit.Counter[schema.Service] // Connections that are not let in: one key.

	// Static after Edge.Start.
	server   *request.Server
	verifier *auth.Verifier // Nil where no tokens are taken.
}

// newService checks the configuration of a service.
func newService(name schema.Service, cfg Service, failures limit.FailuresConfig) (*service, error) {
	s := &service{
		name: name, cfg: cfg, anonymous: auth.ParsePermissions(cfg.Anonymous),
		addresses: limit.NewCounter[netip.Prefix](cfg.MaxPerAddress), users: limit.NewCounter[string](cfg.MaxPerUser),
		failures: limit.NewFailures(failures), outside: limit.NewCounter[schema.Service](outsiders(cfg.Conn)),
	}
	if s.cfg.Server == "" {
		s.cfg.Server = "Indranet"
	}
	s.cfg.Limits.MaxMessageBytes = cfg.Conn.MaxMessageBytes
	s.cfg.Auth.Service = name
	var problems []error
	if name.Port() == 0 {
		problems = append(problems, fmt.Errorf("%w: %q", schema.ErrUnknownService, name))
	}
	if unknown := s.anonymous.Unknown(); len(unknown) > 0 {
		problems = append(problems, fmt.Errorf("anonymous permissions that mean nothing: %q", unknown))
	}
	if cfg.RequireAuth && !s.takesTokens() {
		problems = append(problems, errors.New("authentication is required and no token can be checked: set a secret or a JWKS"))
	}
	if s.takesTokens() {
		if err := s.cfg.Auth.Check(); err != nil {
			problems = append(problems, err)
		}
	}
	var err error
	if s.admins, err = auth.ParseRestricted(cfg.AdminChannels); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("edge: %s: %w", name, err)
	}
	if s.engine, err = conn.New(cfg.Conn); err != nil {
		return nil, fmt.Errorf("edge: %s: %w", name, err)
	}
	return s, nil
}

// outsiders is how many of a service's connections may be there that are not let in: a
// quarter, whatever addresses they come from, so that they take no more from who has a token.
func outsiders(cfg conn.Config) int {
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = conn.DefaultMaxConnections
	}
	return max(1, cfg.MaxConnections/4)
}

// crowded reports whether half of that is taken: then they have less time.
func (s *service) crowded() bool {
	return s.outside.Held(s.name) > outsiders(s.cfg.Conn)/2
}

// takesTokens reports whether the service can check tokens.
func (s *service) takesTokens() bool { return s.cfg.Auth.Secret != "" || s.cfg.Auth.JWKS != "" }

// startService makes the service's feeds and its server.
func (e *Edge) startService(ctx context.Context, s *service) error {
	if s.cfg.Log == nil {
		s.cfg.Log = e.logger
	}
	if s.takesTokens() {
		s.cfg.Auth.Logger = s.cfg.Log
		verifier, err := auth.NewVerifier(ctx, s.cfg.Auth, nil)
		if err != nil {
			return fmt.Errorf("edge: %s: %w", s.name, err)
		}
		s.verifier = verifier
		e.onStop(func(context.Context) { verifier.Close() })
	}
	log := e.bus.Service(s.name)
	feeds := feed.New(s.name, e.cfg.Catalogue, log, log, s.cfg.Feed, s.cfg.Log)
	log.OnSuspect(feeds.Suspect)
	e.onStop(func(context.Context) { feeds.Close() })
	s.server = request.NewServer(request.Config{
		About:     request.About{Service: s.name, Server: s.cfg.Server, Edge: e.cfg.Name, Version: e.cfg.Version},
		Catalogue: e.cfg.Catalogue, Feeds: feeds, Shards: e.cfg.Shards, Limits: s.cfg.Limits, Door: e.door(s),
		Budget: e.budget, Connected: e.bus.Connected, Logger: s.cfg.Log,
	})
	e.onStop(func(context.Context) { s.server.Close() })
	return nil
}

// door says who may come in to a service.
func (e *Edge) door(s *service) request.Door {
	door := request.Door{
		RequireAuth: s.cfg.RequireAuth, Anonymous: s.anonymous, Restricted: s.admins, Audit: e.audit, Crowded: s.crowded,
		Enter: func(user string) (func(), bool) {
			if !s.users.Acquire(user) {
				return nil, false
			}
			return func() { s.users.Release(user) }, true
		},
	}
	if s.verifier == nil {
		return door
	}
	switch door.Leeway = s.cfg.Auth.Leeway; {
	case door.Leeway == 0:
		door.Leeway = auth.DefaultLeeway
	case door.Leeway < 0:
		door.Leeway = 0
	}
	door.Stale = func() bool { return !e.follower.Fresh(time.Now(), e.cfg.RevocationGrace) }
	door.Verify = func(ctx context.Context, token string) (auth.Identity, error) {
		if door.Stale() {
			return auth.Identity{}, &auth.Refusal{Reason: auth.KeysUnavailable, Err: errors.New("edge: it is not known which tokens are revoked")}
		}
		return s.verifier.Verify(ctx, token)
	}
	door.Revoked = e.revoked.Covers
	door.Failed = func(p request.Peer) time.Duration {
		return s.failures.Fail(limit.Key(parseAddress(p.Address)), time.Now())
	}
	door.Blocked = func(p request.Peer) bool {
		_, blocked := s.failures.Blocked(limit.Key(parseAddress(p.Address)), time.Now())
		return blocked
	}
	return door
}

func parseAddress(text string) netip.Addr {
	addr, _ := netip.ParseAddr(text) // The zero address is what is not known.
	return addr
}

// inOrder are the services in the order of the catalogue.
func (e *Edge) inOrder() []*service {
	list := make([]*service, 0, len(e.services))
	for _, name := range schema.Services() {
		if s := e.services[name]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// takesTokens reports whether any service does.
func (e *Edge) takesTokens() bool { return slices.ContainsFunc(e.inOrder(), (*service).takesTokens) }
