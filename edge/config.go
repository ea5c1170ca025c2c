package edge

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/request"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Config is what an edge can be told. Only NATS.URL is needed.
type Config struct {
	// NATS says how to reach the streams.
	NATS stream.Config
	// HTTP is the address of the shared listener, which serves /ws/{service},
	// /healthz, /metrics and the page. Empty for none.
	HTTP string
	// Services are the addresses of the services' own listeners, which take
	// WebSockets at any path. A service without one is only on the shared listener.
	Services map[schema.Service]string
	// Name is the edge's name in welcomes, status and NATS. Default: the host's
	// name and some random digits.
	Name string
	// Server is what welcomes call the server. Default "Indranet".
	Server string
	// Version is the build.
	Version string
	// Catalogue is the catalogue of events. Default: the 47.
	Catalogue *catalogue.Catalogue
	// Origins are the hostnames of pages, beside the edge's own, whose scripts may
	// connect.
	Origins []string
	// LocalOrigins allows pages from loopback addresses and from files, for
	// development.
	LocalOrigins bool
	// Shards is the number of goroutines that tell connections of news, per
	// service. Default 1.
	Shards int
	// Feed, Conn and Limits bound what the parts may take.
	Feed   feed.Config
	Conn   conn.Config
	Limits request.Limits
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
	if c.Server == "" {
		c.Server = "Indranet"
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	if c.Catalogue == nil {
		c.Catalogue = catalogue.Default()
	}
	c.NATS.Name = "indranet-edge " + c.Name
	c.Shards = max(c.Shards, 1)
	c.Limits.MaxMessageBytes = c.Conn.MaxMessageBytes
	return c
}

// ListenError says that an address could not be listened on. It wraps the
// system's error.
type ListenError struct {
	// Service is whose listener it is, empty for the shared one.
	Service schema.Service
	Addr    string
	Err     error
}

// Error names the listener and the address.
func (e *ListenError) Error() string {
	who := "the shared listener"
	if e.Service != "" {
		who = "the listener of " + string(e.Service)
	}
	return fmt.Sprintf("edge: %s cannot use %s: %v", who, e.Addr, e.Err)
}

// Unwrap is the system's error.
func (e *ListenError) Unwrap() error { return e.Err }

func listen(service schema.Service, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &ListenError{Service: service, Addr: addr, Err: err}
	}
	return l, nil
}
