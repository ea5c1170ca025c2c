package request

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Limits bound what one connection may ask for. The zero value of a field means
// its default.
type Limits struct {
	// MaxMessageBytes is only told to clients; the engine enforces it.
	MaxMessageBytes int
	// MaxSubscriptions bounds the channels of a connection. Default 1000.
	MaxSubscriptions int
	// Timeout bounds the handling of one request. Default 5 s.
	Timeout time.Duration
	// PageBytes bounds the pages of the log that all subscriptions of a connection hold
	// and wait for together, in bytes; a single event may exceed it by its own size for
	// each page. At least feed.FirstPage. Default 512 KiB.
	PageBytes int
	// PositionEvery is the time between two position acks of a connection on
	// which nothing else moves. Default 30 s.
	PositionEvery time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.MaxMessageBytes <= 0 {
		l.MaxMessageBytes = 1 << 20
	}
	if l.MaxSubscriptions <= 0 {
		l.MaxSubscriptions = 1000
	}
	if l.PageBytes <= 0 {
		l.PageBytes = 512 << 10
	}
	l.PageBytes = max(l.PageBytes, feed.FirstPage)
	if l.Timeout <= 0 {
		l.Timeout = 5 * time.Second
	}
	if l.PositionEvery <= 0 {
		l.PositionEvery = 30 * time.Second
	}
	return l
}

// About is what a server says of itself to clients.
type About struct {
	Service schema.Service
	// Server is a name for people, Edge the name of this edge, Version its build.
	Server, Edge, Version string
}

// Server makes the sessions of one service. All methods are safe for concurrent
// use.
type Server struct {
	// Feeds are the feeds of the service.
	Feeds *feed.Set
	// Stats may be read at any time.
	Stats Stats

	// Static after construction.
	about     About
	cat       *catalogue.Catalogue
	limits    Limits
	logger    *slog.Logger
	connected func() bool
	started   time.Time
	shards    []*Shard
	next      atomic.Uint32
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	open      atomic.Int64
}

// Stats counts what sessions did. All fields only grow.
type Stats struct {
	// Requests counts those that were answered, Refused the errors among them.
	Requests, Refused atomic.Uint64
	// Events counts events handed to connections.
	Events atomic.Uint64
	// Resets counts subscriptions that were told to start anew.
	Resets atomic.Uint64
	// PageBytes is the size of the pages of the log that connections hold or wait for,
	// in bytes; it also falls.
	PageBytes atomic.Int64
	// Subscriptions is the number of subscriptions; it also falls.
	Subscriptions atomic.Int64
}

// NewServer returns a server with that many shards. connected reports whether NATS
// can be reached. Close must be called after all connections have ended.
func NewServer(about About, cat *catalogue.Catalogue, feeds *feed.Set, shards int, limits Limits, connected func() bool, logger *slog.Logger) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		Feeds: feeds, about: about, cat: cat, limits: limits.withDefaults(), logger: logger,
		connected: connected, started: time.Now(), ctx: ctx, cancel: cancel,
	}
	for range max(shards, 1) {
		shard := NewShard()
		s.shards = append(s.shards, shard)
		s.wg.Go(func() { shard.Run(ctx) })
	}
	return s
}

// Close ends what still works for sessions and waits for it.
func (s *Server) Close() {
	s.cancel()
	s.wg.Wait()
}

// Connections is the number of sessions.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Open makes the session of a connection: the argument of conn.Engine's Serve.
func (s *Server) Open(c conn.Conn) conn.Handler {
	now := time.Now()
	ctx, cancel := context.WithCancel(s.ctx)
	session := &Session{
		server: s, conn: c, shard: s.shards[int(s.next.Add(1))%len(s.shards)],
		ctx: ctx, cancel: cancel, opened: now,
		subs: map[schema.Channel]*subscription{}, positionAt: now,
	}
	s.open.Add(1)
	session.answers = append(session.answers, wire.Welcome(now, wire.WelcomeData{
		ConnectionID: c.ID(), Server: s.about.Server, Service: string(s.about.Service),
		Message: "Connected to " + string(s.about.Service), Version: s.about.Version, Edge: s.about.Edge,
		Limits: wire.Limits{MaxMessageBytes: s.limits.MaxMessageBytes, MaxSubscriptions: s.limits.MaxSubscriptions},
	}))
	return session
}
