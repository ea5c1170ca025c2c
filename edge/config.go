package edge

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/certs"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Config is what an edge can be told. NATS.URL and Services are needed.
type Config struct {
	// NATS says how to reach the streams.
	NATS stream.Config
	// HTTP is the address of the shared listener, which serves /ws/{service} and
	// /healthz. Empty for none.
	HTTP string
	// TLS is how the shared listener is encrypted.
	TLS certs.Config
	// Services are those that the edge serves.
	Services map[schema.Service]Service
	// Name is the edge's name in welcomes, status and NATS. Default: the host's
	// name and some random digits.
	Name string
	// Version is the build.
	Version string
	// Catalogue is the catalogue of events. Default: the 47.
	Catalogue *catalogue.Catalogue
	// Origins are the hostnames of pages, beside the edge's own, whose scripts may
	// connect. Where a service needs no token and the connection is not encrypted, the
	// edge's own are none but those that Metrics is served under.
	Origins []string
	// LocalOrigins allows pages from loopback addresses and from files, for
	// development.
	LocalOrigins bool
	// Page also serves the page, which knows no tokens, for development.
	Page bool
	// OpenMetrics also serves /metrics on the shared listener, for development.
	OpenMetrics bool
	// Metrics serves /metrics and /healthz, Admin these and /debug/pprof/, each to the
	// networks that it allows, on 64 connections, and only under a name that no page of
	// another site can have: an address, a name without a dot, that of Addr, or one of
	// Origins.
	Metrics, Admin Operators
	// Gate bounds handshakes, and says who is a proxy.
	Gate limit.GateConfig
	// Failures bounds failed authentications of an address with one service. Default of
	// its Keys: 65,536 of all services together.
	Failures limit.FailuresConfig
	// QueuedBytes bounds what all connections hold for their clients together, see
	// request.Budget; 0 for no bound.
	QueuedBytes int64
	// MemoryLimit is what the process may use, in bytes: near it no connection is
	// taken. Default: the runtime's limit (GOMEMLIMIT), else none.
	MemoryLimit int64
	// RevocationGrace is how long tokens are taken, and authenticated clients may subscribe
	// to more, while it cannot be learnt which tokens are revoked. Default 30 s.
	RevocationGrace time.Duration
	// Shards is the number of goroutines that tell connections of news, per
	// service. Default 1.
	Shards int
}

// Service is what an edge can be told of one service. The zero value lets anybody
// connect and nobody read.
type Service struct {
	// Addr is the address of the service's own listener, which takes WebSockets at any
	// path; empty for none. Every service is on the shared listener, too.
	Addr string
	// TLS is how that is encrypted.
	TLS certs.Config
	// Server is what welcomes call the server. Default "Indranet".
	Server string
	// RequireAuth lets nobody in without a token.
	RequireAuth bool
	// Auth says which tokens are accepted, where Auth.Secret or Auth.JWKS is set.
	Auth auth.Config
	// Origins are allowed for this service alone, beside Config.Origins.
	Origins []string
	// Anonymous are the permissions of connections without a token.
	Anonymous []string
	// AdminChannels are the channels that only admins may use, as auth.ParseRestricted
	// reads them.
	AdminChannels []string
	// MaxPerUser and MaxPerAddress bound the connections of one user and of one
	// address; 0 for any number. Conn.MaxConnections bounds them all.
	MaxPerUser, MaxPerAddress int
	// Conn and Limits bound what a connection may take.
	Conn   conn.Config
	Limits request.Limits
	// Feed bounds what the edge holds of the service's channels.
	Feed feed.Config
	// Log gets the lines that are about the service alone. Default: the edge's.
	Log *slog.Logger
}

// Operators is a listener that is not for clients.
type Operators struct {
	// Addr is its address; empty for none.
	Addr string
	// Allow are the networks that are answered; other connections are cut.
	Allow limit.Networks
}

// Public is every service, made like base but readable by anybody and without a
// listener of its own: for development and tests.
func Public(base Service) map[schema.Service]Service {
	all := map[schema.Service]Service{}
	for _, service := range schema.Services() {
		one := base
		one.Anonymous = []string{string(service) + ":read"}
		all[service] = one
	}
	return all
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		digits := make([]byte, 3)
		_, _ = rand.Read(digits) // It never fails.
		host, err := os.Hostname()
		if err != nil {
			host = "edge"
		}
		c.Name = host + "-" + hex.EncodeToString(digits)
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Catalogue == nil {
		c.Catalogue = catalogue.Default()
	}
	if c.RevocationGrace <= 0 {
		c.RevocationGrace = 30 * time.Second
	}
	if c.Failures.Keys <= 0 {
		c.Failures.Keys = limit.DefaultFailures().Keys / max(1, len(c.Services))
	}
	c.NATS.Name = "indranet-edge " + c.Name
	c.Shards = max(c.Shards, 1)
	return c
}

// ListenError says that an address could not be listened on. It wraps the
// system's error.
type ListenError struct {
	// Listener is which one it is: a service, "shared", "metrics" or "admin".
	Listener string
	Addr     string
	Err      error
}

// Error names the listener and the address.
func (e *ListenError) Error() string {
	return fmt.Sprintf("edge: the listener of %s cannot use %s: %v", e.Listener, e.Addr, e.Err)
}

// Unwrap is the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

func listen(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &ListenError{Listener: name, Addr: addr, Err: err}
	}
	return l, nil
}
