package request

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/wire"
)

// What a request costs of Limits.ReplayRate beside what it has read of the log.
const (
	// channelCost is for looking at a channel, whether or not that succeeds: some
	// questions to the log, in bytes of it.
	channelCost = 16 << 10
	// replayBurst is how much may be asked for at once, as seconds of the rate.
	replayBurst = 16
	// maxShared is how long a request waits at most for what other connections of the
	// client owe.
	maxShared = 16 * time.Second
	// maxDebtors bounds the clients of a service whose debts are remembered.
	maxDebtors = 16 << 10
)

// costs reports whether a request reads the log, or costs as much otherwise.
func costs(r wire.Request) bool {
	return r.Name == wire.History || r.Name == wire.Subscribe || r.Name == wire.ListChannels
}

// debt is what was asked for and is being paid, at a rate in bytes a second.
type debt struct {
	bytes float64
	at    time.Time
}

// left is what has not been paid yet.
func (d debt) left(perSecond int, now time.Time) float64 {
	return max(0, d.bytes-now.Sub(d.at).Seconds()*float64(perSecond))
}

// plus is the debt with so many bytes more.
func (d debt) plus(perSecond int, bytes float64, now time.Time) debt {
	return debt{d.left(perSecond, now) + bytes, now}
}

// work bounds how fast a connection makes the edge read the log: who has used up what is
// free waits with the next request of the kind, and nobody else does. It is owned by the
// goroutine that handles the session's requests.
type work struct{ debt debt }

// pay takes what a request has cost, in bytes.
func (w *work) pay(perSecond, bytes int, now time.Time) {
	if perSecond > 0 {
		w.debt = w.debt.plus(perSecond, float64(min(bytes, perSecond*replayBurst)), now)
	}
}

// delay is how long the next request that costs has to wait.
func (w *work) delay(perSecond int, now time.Time) time.Duration {
	return delayOf(w.debt.left(perSecond, now), perSecond)
}

// delayOf is how long it takes until no more is owed than may be asked for at once.
func delayOf(owed float64, perSecond int) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	return time.Duration(max(0, owed/float64(perSecond)-replayBurst) * float64(time.Second))
}

// Replay is what the clients of a service owe for reads of the log with all their
// connections: by user, by address where they are anonymous. Who comes back owes as much
// as it did, and who has many connections has no more to spend than with one, but for
// one request of each every 16 seconds. Only what was read counts, and the channels that
// nobody else was at: so many clients behind one address that listen to the same
// cost nothing here.
//
// It is safe for concurrent use.
type Replay struct {
	waits   atomic.Uint64
	waiting atomic.Int64

	// Guarded by mu.
	mu      sync.Mutex
	debtors map[string]debt
}

func newReplay() *Replay { return &Replay{debtors: map[string]debt{}} }

// Waits counts the requests that had to wait because their client had asked for more than
// its share (Limits.ReplayRate).
func (r *Replay) Waits() uint64 { return r.waits.Load() }

// Waiting is the number of requests that wait for that now.
func (r *Replay) Waiting() int64 { return r.waiting.Load() }

// wait waits, and counts it, or returns when ctx ends.
func (r *Replay) wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	r.waits.Add(1)
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	pause(ctx, d)
}

// owes is what a client has not paid yet, in bytes.
func (r *Replay) owes(who string, perSecond int, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.debtors[who].left(perSecond, now)
}

// delay is how long a request of a client has to wait for what all its connections owe.
func (r *Replay) delay(who string, perSecond int, now time.Time) time.Duration {
	if perSecond <= 0 || who == "" {
		return 0
	}
	return min(maxShared, delayOf(r.owes(who, perSecond, now), perSecond))
}

// charge adds to what a client owes.
func (r *Replay) charge(who string, perSecond, bytes int, now time.Time) {
	if perSecond <= 0 || bytes <= 0 || who == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.debtors[who]
	if !known && len(r.debtors) >= maxDebtors {
		r.forget(perSecond, now)
	}
	r.debtors[who] = old.plus(perSecond, float64(bytes), now)
}

// forget makes room: of those who have paid or, where nobody has, who owes the least of
// some. The caller holds mu.
func (r *Replay) forget(perSecond int, now time.Time) {
	const some = 64
	seen, least, who := 0, 0.0, ""
	for one, d := range r.debtors { // Which begins anywhere.
		left := d.left(perSecond, now)
		if left == 0 {
			delete(r.debtors, one)
		} else if who == "" || left < least {
			least, who = left, one
		}
		if seen++; seen >= some {
			break
		}
	}
	if len(r.debtors) >= maxDebtors {
		delete(r.debtors, who)
	}
}

// debtor names the client of a connection among those of its service. The caller holds
// s.mu. It is empty for one that nothing is known of.
func (s *Session) debtor() string {
	if s.peer.Authenticated {
		return "user " + s.peer.Identity.User
	}
	address, err := netip.ParseAddr(s.peer.Address)
	if err != nil {
		return ""
	}
	return "address " + limit.Key(address).String()
}

// pays waits for the turn of a request that costs. It is false when the connection has
// ended.
func (s *Session) pays() bool {
	rate, replay := s.server.limits.ReplayRate, s.server.budget.Replay(s.server.about.Service)
	s.mu.Lock()
	who := s.debtor()
	s.mu.Unlock()
	now := time.Now()
	replay.wait(s.ctx, max(s.work.delay(rate, now), replay.delay(who, rate, now)))
	return s.ctx.Err() == nil
}

// paid takes what a request has cost: of the connection bytes, of its client what was read
// and the feeds that were made.
func (s *Session) paid(bytes int, read *feed.Tally) {
	now := time.Now()
	rate := s.server.limits.ReplayRate
	s.work.pay(rate, bytes+read.Bytes(), now)
	s.mu.Lock()
	who := s.debtor()
	s.mu.Unlock()
	s.server.budget.Replay(s.server.about.Service).charge(who, rate, read.Bytes()+read.Feeds()*channelCost, now)
}
