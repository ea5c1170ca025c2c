package request

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
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
	// MessagesPerSecond bounds the messages of a connection, with a burst of one and a
	// half times as many; 0 for no bound. What comes faster is refused, and who keeps
	// on is closed with 4029.
	MessagesPerSecond int
	// MaxAge is how long a connection may last before its client is told to reconnect,
	// give or take a tenth; 0 for ever.
	MaxAge time.Duration
	// ReplayRate bounds what a connection has the edge read of the log for its histories
	// and to find where subscriptions begin, in bytes a second with a burst of 16 s; a
	// channel counts as 16 KiB more. Past it the connection's next such request waits. 0 for no bound. What
	// subscriptions then read is bounded by PageBytes and the client's own pace.
	ReplayRate int
	// PositionEvery is the time between two position acks of a connection on
	// which nothing else moves; the first comes after half of it or more, so that
	// connections which came together are not told together. Default 30 s.
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

// Config is what a server is made of.
type Config struct {
	About     About
	Catalogue *catalogue.Catalogue
	// Feeds are the feeds of the service.
	Feeds *feed.Set
	// Shards is the number of goroutines that tell connections of news, at least 1.
	Shards int
	Limits Limits
	Door   Door
	// Budget is shared by the servers of a process; nil for no bound.
	Budget *Budget
	// Connected reports whether NATS can be reached.
	Connected func() bool
	Logger    *slog.Logger
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
	door      Door
	readers   auth.Permissions // To read the whole service.
	budget    *Budget
	logger    *slog.Logger
	connected func() bool
	started   time.Time
	shards    []*Shard
	next      atomic.Uint32
	changed   chan struct{} // What is revoked has changed; holds one.
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	// Guarded by sessionsMu.
	sessionsMu sync.Mutex
	sessions   map[*Session]struct{}
}

// Stats counts what sessions did. All fields only grow.
type Stats struct {
	// Requests counts those that were answered.
	Requests atomic.Uint64
	// Refused counts the errors among them, and those of single channels in answers about
	// several.
	Refused Refusals
	// Retired counts connections that had lasted long enough, Shortened histories that were
	// cut because too much was waiting to be sent.
	Retired, Shortened atomic.Uint64
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

// NewServer returns a server. Close must be called after all connections have ended.
func NewServer(cfg Config) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		Feeds: cfg.Feeds, about: cfg.About, cat: cfg.Catalogue, limits: cfg.Limits.withDefaults(), door: cfg.Door, budget: cfg.Budget,
		logger: cfg.Logger, connected: cfg.Connected, started: time.Now(), ctx: ctx, cancel: cancel,
		changed: make(chan struct{}, 1), sessions: map[*Session]struct{}{},
	}
	s.readers = auth.ParsePermissions([]string{string(cfg.About.Service) + ":read"})
	if s.budget == nil {
		s.budget = NewBudget(0)
	}
	for range max(cfg.Shards, 1) {
		shard := NewShard()
		s.shards = append(s.shards, shard)
		s.wg.Go(func() { shard.Run(ctx) })
	}
	s.wg.Go(func() { s.recheck(ctx) })
	return s
}

// Close ends what still works for sessions and waits for it.
func (s *Server) Close() {
	s.cancel()
	s.wg.Wait()
}

// Connections is the number of sessions.
func (s *Server) Connections() int {
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	return len(s.sessions)
}

// Open makes the session of a connection: what conn.Engine's Serve is to call.
func (s *Server) Open(c conn.Conn, peer Peer) conn.Handler {
	now := time.Now()
	ctx, cancel := context.WithCancel(s.ctx)
	session := &Session{
		server: s, conn: c, shard: s.shards[int(s.next.Add(1))%len(s.shards)],
		ctx: ctx, cancel: cancel, opened: now, peer: peer, rate: limit.NewRate(s.limits.MessagesPerSecond),
		subs: map[schema.Channel]*subscription{}, positionAt: now.Add(-rand.N(s.limits.PositionEvery/2 + 1)),
	}
	if age := s.limits.MaxAge; age > 0 {
		session.retire = now.Add(age - age/10 + rand.N(age/5+1))
	}
	s.sessionsMu.Lock()
	s.sessions[session] = struct{}{}
	s.sessionsMu.Unlock()
	session.mu.Lock()
	defer session.mu.Unlock()
	c.Limit(maxAuthFrame) // Until it is let in.
	switch {
	case peer.Full != "":
		session.leave(audit.ConnectionRefused, peer.Full, nil, conn.CloseTryLater, "too many connections")
	case peer.Refused != nil:
		session.answer(wire.ErrorResponse(now, "", "", peer.Refused))
		session.keepOut(peer.Refused)
	case peer.Authenticated && s.revoked(peer.Identity): // Since it was verified.
		session.leave(audit.TokenRevoked, "revoked", wire.Errorf(wire.AuthFailed, "the token was revoked"), conn.CloseRevoked, "revoked")
	case peer.Authenticated:
		if session.letIn(peer.Identity, true, now) {
			session.answer(session.welcome(now))
		}
	case !s.door.RequireAuth:
		session.letIn(auth.Identity{Permissions: s.door.Anonymous}, false, now)
		session.answer(session.welcome(now))
	}
	return session
}

// forget takes a session that has ended off the list.
func (s *Server) forget(session *Session) {
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	delete(s.sessions, session)
}

// retryAfter is when a client that has been here for long enough shall come back, in
// milliseconds.
func (s *Server) retryAfter() int { return rand.IntN(1000) }

func (s *Session) welcome(now time.Time) []byte {
	about := s.server.about
	return wire.Welcome(now, wire.WelcomeData{
		ConnectionID: s.conn.ID(), Server: about.Server, Service: string(about.Service),
		Message: "Connected to " + string(about.Service), Authenticated: s.peer.Authenticated, Version: about.Version, Edge: about.Edge,
		Limits: wire.Limits{
			MaxMessageBytes: s.server.limits.MaxMessageBytes, MessagesPerSecond: s.server.limits.MessagesPerSecond,
			MaxSubscriptions: s.server.limits.MaxSubscriptions,
		},
	})
}
