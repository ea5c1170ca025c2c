package conn

import (
	"math/bits"
	"time"
)

// watch is what the janitor remembers of a connection. Times are those of its own
// clock, which stands still while the process does; 0 is "not yet".
type watch struct {
	nextPing time.Duration
	pingAt   time.Duration // since when the peer owes a sign of life
	stuckAt  time.Duration // since when a write has made no progress
	closeBy  time.Duration // when a closing connection is cut
	acked    uint64        // bytes the peer's kernel had at pingAt or stuckAt
	writes   uint32        // link.writes at the last tick
	partial  uint32        // link.partial at the last tick
	begunAt  time.Duration // when it was seen first
}

// tick is the janitor's look at a connection.
func (l *link) tick(now time.Time, clock time.Duration) {
	if !l.acquire() {
		return
	}
	if l.frames.Load() != 0 {
		l.frames.Store(0)
	}
	if l.ending.Load() == nil {
		l.handler.Tick(now)
	}
	l.supervise(clock)
	l.release()
}

// supervise keeps the timeouts. Of the three, one counts at a time: a closing
// connection has its deadline, one whose write is stuck may be slow, and only for
// the others silence means that the peer is gone.
func (l *link) supervise(clock time.Duration) {
	w, config := &l.watch, &l.engine.config
	if l.ending.Load() != nil {
		if w.closeBy == 0 {
			w.closeBy = clock + config.CloseTimeout
		} else if clock >= w.closeBy {
			l.end(true, Reason{Err: ErrCloseTimeout})
		}
		return
	}
	if l.lingering(clock) {
		l.late()
		return
	}
	if l.stuck(clock) || l.silent() {
		w.pingAt = 0
	} else if w.pingAt != 0 && clock-w.pingAt >= config.PingTimeout && !l.draining(clock) {
		l.hangUp()
		return
	}
	if w.nextPing == 0 {
		w.nextPing = clock + l.firstPing()
	} else if clock >= w.nextPing {
		w.nextPing = clock + config.PingInterval
		l.ping(clock)
	}
}

// shift is the janitor's that looks at the connection.
func (l *link) shift() int { return int(l.serial % shifts) }

// firstPing is when the first ping is due: in the second half of an interval, where those
// that have come together are spread.
func (l *link) firstPing() time.Duration {
	half := l.engine.config.PingInterval / 2
	const golden = 0x9e3779b97f4a7c15 // Multiples of it spread evenly.
	share, _ := bits.Mul64(l.serial*golden, uint64(half))
	return half + time.Duration(share)
}

// lingering reports whether a message has been coming for too long.
func (l *link) lingering(clock time.Duration) bool {
	w := &l.watch
	if n := l.partial.Load(); n != w.partial {
		w.partial, w.begunAt = n, clock
	}
	return w.partial != 0 && clock-w.begunAt >= l.engine.config.MessageTimeout
}

// silent reports whether there is no reason to wait for a sign of life: it has
// come, or nobody reads.
func (l *link) silent() bool {
	if l.seen.Swap(false) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// ping has a ping sent, and starts the wait for a sign of life.
func (l *link) ping(clock time.Duration) {
	l.mu.Lock()
	l.pinging = true
	l.mu.Unlock()
	l.Wake()
	if w := &l.watch; w.pingAt == 0 {
		w.pingAt = clock
		w.acked, _ = delivered(l.nc)
	}
}

// draining reports whether the peer's kernel has taken bytes since the ping and
// there are still some on the way: then the ping itself is, or was until now.
func (l *link) draining(clock time.Duration) bool {
	w := &l.watch
	acked, queued := delivered(l.nc)
	if !queued || acked <= w.acked {
		return false
	}
	w.pingAt, w.acked = clock, acked
	return true
}

// hangUp ends a connection whose peer gave no sign of life. Should it still listen
// after all, it reads why.
func (l *link) hangUp() {
	l.close(&ending{
		reason: Reason{Code: CloseAbnormal, Text: "ping timeout", Err: ErrPingTimeout},
		code:   CloseInternal,
	})
}

// stuck reports whether one write has been blocked since the last tick. After
// SlowTimeout without progress it interrupts the write. Where the transport does
// not tell what the peer took, the writer sees whether some of the write was done.
// No write needs a deadline or a look at the clock for this.
func (l *link) stuck(clock time.Duration) bool {
	w := &l.watch
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes&1 == 0 || l.writes != w.writes {
		w.writes, w.stuckAt = l.writes, 0
		return false
	}
	acked, known := delivered(l.nc) // a stuck write has bytes queued
	if w.stuckAt == 0 || acked > w.acked {
		w.stuckAt, w.acked = clock, acked
	}
	if clock-w.stuckAt >= l.engine.config.SlowTimeout && !l.kicked {
		l.kicked, l.hopeless = true, known
		_ = l.nc.SetWriteDeadline(longAgo) // a closed connection needs none
	}
	return true
}

// longAgo as a deadline interrupts at once.
var longAgo = time.Unix(1, 0)
