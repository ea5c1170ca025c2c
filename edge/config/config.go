package config

import (
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// Environment is what a configuration is for. In Production, rules.go refuses what is
// only good for development.
type Environment string

// The environments.
const (
	Production  Environment = "production"
	Development Environment = "development"
)

// Config is the configuration of an edge, with all defaults applied. It prints
// without its secrets. A Config that Load returned is not changed by the package any more.
type Config struct {
	// ServerName is what the edge is called where no service is meant.
	ServerName  string
	Environment Environment
	// Debug asks for aids to development; the levels in Logging say DEBUG already.
	Debug bool

	NATS NATS
	// HTTP is the shared listener, which serves /ws/{service}; TLS is how it is encrypted.
	HTTP Listener
	TLS  TLS
	// Metrics and Admin are plain HTTP for the networks that they allow.
	Metrics, Admin Listener
	Proxies        Proxies
	// Origins are the hostnames of pages, in lower case, whose scripts may connect,
	// beside those of the edge itself.
	Origins []string
	// Logging is for lines that belong to no service.
	Logging Logging
	// MemoryLimit is in bytes; 0 means that of the container.
	MemoryLimit int64
	Limits      Limits
	// RevocationGrace is how long subscriptions are granted without news of revocations.
	RevocationGrace time.Duration

	// Services are those that the edge serves, in the catalogue's order.
	Services []Service
}

// NATS says how to reach NATS.
type NATS struct {
	URL URL
	// At most one of the two is set.
	CredentialsFile, NKeySeedFile string
	// CAFile, CertFile and KeyFile are for TLS to NATS; each may be empty, but the last
	// two go together.
	CAFile, CertFile, KeyFile string
}

// Listener is an address to listen on.
type Listener struct {
	// Listen is host:port, or empty for none.
	Listen string
	// Allow are the networks that are answered, as Proxies.Trusted; not used by Config.HTTP.
	Allow []string
}

// Proxies says whose word about a client's address is believed.
type Proxies struct {
	// Trusted holds networks ("10.0.0.0/8"), addresses and the words "loopback" and "unix".
	Trusted []string
	// Protocol expects the PROXY protocol from them.
	Protocol bool
}

// TLS says how a listener is encrypted. Where Enabled is set, either CertFile and KeyFile
// are, or AutoCert is; where VerifyClient is, ClientCAFile is too. Where Enabled is not
// set, the rest has no effect.
type TLS struct {
	Enabled           bool
	CertFile, KeyFile string
	// AutoCert makes a self-signed certificate, in memory.
	AutoCert bool
	// VerifyClient requires certificates of clients, signed by one of ClientCAFile.
	VerifyClient bool
	ClientCAFile string
}

// Logging says what is logged, and where to.
type Logging struct {
	Level slog.Level
	// Format is "json" or "text".
	Format string
	// File is empty for the standard error. Loggings with the same File have the
	// same Format, Rotation and Retention.
	File string
	// Rotation is the size in bytes at which a file is rotated.
	Rotation int64
	// Retention is how long rotated files are kept, in whole days.
	Retention time.Duration
}

// Limits are those of the whole process. 0 means no limit.
type Limits struct {
	HandshakesPerSecond int
	// HalfOpen bounds connections that are accepted and not yet WebSockets.
	HalfOpen, HalfOpenPerAddress   int
	ConnectionsPerAddressPerSecond int
	FailedAuth                     FailedAuth
	// QueuedBytes bounds what all connections together may have waiting.
	QueuedBytes int64
}

// FailedAuth bounds how often an address may fail to authenticate.
type FailedAuth struct {
	// Attempts within Window block the address for Block. 0 switches it off.
	Attempts      int
	Window, Block time.Duration
}

// Service is the configuration of one service.
type Service struct {
	Name schema.Service
	// ServerName is what welcomes call the server.
	ServerName string
	WebSocket  WebSocket
	TLS        TLS
	JWT        JWT
	// AnonymousPermissions are those of who comes without a token, where RequireAuth is
	// not set.
	AnonymousPermissions []string
	// AdminChannels are the channels that only admins may use: "registry", "workflow:42",
	// "workflow:*". Those that came from the section defaults are only the ones that
	// the service has.
	AdminChannels []string
	Collaboration Collaboration
	HotReload     HotReload
	// Logging is for lines that belong to the service.
	Logging Logging

	enabled bool
}

// WebSocket is a service's own listener, and the limits of its connections wherever they
// come in. A limit of 0 means none.
type WebSocket struct {
	Host string
	// Port is 0 for a service that has no listener of its own.
	Port        int
	RequireAuth bool

	// Origins are as Config.Origins, for the service alone.
	Origins []string

	MaxConnections           int
	MaxConnectionsPerUser    int
	MaxConnectionsPerAddress int
	MaxConnectionAge         time.Duration
	// MessageRateLimit is in messages a second and connection.
	MessageRateLimit int
	// BroadcastQueueSize is in frames.
	BroadcastQueueSize int
	MaxMessageBytes    int64
	// MessageTimeout is for a message to come whole.
	MessageTimeout   time.Duration
	MaxFeeds         int
	MaxSubscriptions int
	ReplayBytes      int64
	ReplayRate       int64

	PingInterval, PingTimeout, CloseTimeout, SlowTimeout time.Duration
}

// Addr is host:port of the service's own listener, empty where it has none.
func (w WebSocket) Addr() string {
	if w.Port == 0 {
		return ""
	}
	return net.JoinHostPort(w.Host, strconv.Itoa(w.Port))
}

// JWT says which tokens are accepted. Secret or JWKSURL is set where RequireAuth is.
type JWT struct {
	Secret, PreviousSecret Secret
	// Algorithms has HS256 only with a secret, others only with JWKSURL.
	Algorithms       []string
	JWKSURL          string
	Issuer, Audience string
	// Leeway may be 0 for none.
	Leeway time.Duration
	// TokenExpiry is the life of tokens that `indranet token` makes.
	TokenExpiry time.Duration
	// MaxLife is the longest rest of its life that a token is accepted with.
	MaxLife time.Duration
}

// Collaboration bounds the rooms of a service.
type Collaboration struct {
	MaxUsersPerRoom int
	// CursorThrottle is the least time between two cursor events of a user.
	CursorThrottle time.Duration
}

// HotReload is about hot_reload.triggered.
type HotReload struct {
	Enabled bool
	// Debounce is how long triggers are collected into one.
	Debounce time.Duration
}

// Service returns the configuration of a service and whether the edge serves it.
func (c Config) Service(name schema.Service) (Service, bool) {
	for _, s := range c.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}

// String returns the configuration as YAML in the order of the reference file, with
// "[redacted]" for secrets.
func (c Config) String() string {
	var w writer
	w.keys(edgeKeys, &c)
	w.open("services")
	for i := range c.Services {
		w.open(string(c.Services[i].Name))
		w.keys(serviceKeys, &c.Services[i])
		w.close()
	}
	w.close()
	return w.String()
}

// LogValue returns what identifies a configuration in a log, without secrets.
func (c Config) LogValue() slog.Value {
	services := make([]string, len(c.Services))
	for i, s := range c.Services {
		services[i] = string(s.Name)
	}
	return slog.GroupValue(
		slog.String("environment", string(c.Environment)),
		slog.String("nats", c.NATS.URL.String()),
		slog.String("http", c.HTTP.Listen),
		slog.String("metrics", c.Metrics.Listen),
		slog.String("admin", c.Admin.Listen),
		slog.String("services", strings.Join(services, ",")),
	)
}

// LogValue returns what identifies a service in a log, without secrets.
func (s Service) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("service", string(s.Name)),
		slog.String("listen", s.WebSocket.Addr()),
		slog.Bool("tls", s.TLS.Enabled),
		slog.Bool("require_auth", s.WebSocket.RequireAuth),
	)
}

// loopback reports whether only this machine can reach a host.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
