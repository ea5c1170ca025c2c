package conn

import (
	"context"
	"crypto/rand"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// tickEvery is how often the janitor looks at a connection, and so the grain of every
	// timeout.
	tickEvery = time.Second
	// shifts is how many parts it divides all connections into, which follow each other at
	// equal times: so what it causes is not done for all of them at once.
	shifts = 10
)

// maxTickGap bounds what one tick adds to the janitor's clock: a process that was
// stopped for a minute does not blame its peers for the silence.
const maxTickGap = 2 * tickEvery

// refusals is how many connections above MaxConnections may be in the closing
// handshake that tells them so; any more are dropped without a word.
const refusals = 256

// engine is the portable engine: a reading goroutine for every connection, a
// writing one while there is something to write, and one janitor.
type engine struct {
	// Static after construction.
	config Config
	prefix string // of connection ids
	stats  Stats
	idle   chan struct{} // closed when no connection is left after Shutdown
	stop   chan struct{} // closed to end the janitor
	swept  chan struct{} // closed when the janitor has ended

	// Guarded by mu.
	mu       sync.Mutex
	serial   uint64          // of the last connection
	taken    int             // connections that have not ended, started or not
	links    [shifts][]*link // started connections, each at its own slot of its shift
	farewell *farewell       // what Shutdown says; nil before it
	cutoff   error           // why Shutdown waits no longer; nil until then
	stopped  bool
}

var _ Engine = (*engine)(nil)

// New returns an engine that runs until Shutdown, which its owner must call. The
// error names every field of the configuration that is out of range.
func New(config Config) (Engine, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if config.Inbound == nil {
		config.Inbound = NewInbound(0)
	}
	e := &engine{
		config: config,
		prefix: rand.Text()[:12],
		idle:   make(chan struct{}),
		stop:   make(chan struct{}),
		swept:  make(chan struct{}),
	}
	go e.sweep()
	return e, nil
}

// Serve implements Engine.
func (e *engine) Serve(nc net.Conn, buffered []byte, open func(Conn) Handler) error {
	serial, err := e.admit()
	if serial == 0 {
		cut(nc)
		return err
	}
	tune(nc, &e.config)
	l := newLink(e, nc, serial)
	if err == nil {
		opened := false
		defer func() {
			if !opened { // open panicked, which net/http survives
				cut(nc)
				e.forget(CloseInternal)
			}
		}()
		l.handler = open(l)
		opened = true
	} else {
		l.handler = silent{}
		l.Close(CloseTryLater, "at capacity")
	}
	e.enter(l)
	l.start(buffered)
	return err
}

// admit takes a place for a connection and gives it a serial number. With an error
// and a number the peer is to be told; with an error alone it is to be dropped.
func (e *engine) admit() (serial uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.farewell != nil {
		return 0, ErrShutdown
	}
	if e.taken >= e.config.MaxConnections {
		e.stats.Refused.Add(1)
		err = ErrFull
		if e.taken >= e.config.MaxConnections+refusals {
			return 0, err
		}
	}
	e.taken++
	e.serial++
	e.stats.Opened.Add(1)
	return e.serial, err
}

// enter puts a connection where the janitor and Shutdown see it.
func (e *engine) enter(l *link) {
	e.mu.Lock()
	shift := &e.links[l.shift()]
	l.slot = len(*shift)
	*shift = append(*shift, l)
	farewell, cutoff := e.farewell, e.cutoff
	e.mu.Unlock()
	if farewell != nil { // Shutdown came while the handler was being made
		l.Close(farewell.code, farewell.reason())
	}
	if cutoff != nil {
		l.end(true, Reason{Code: CloseAbnormal, Err: cutoff})
	}
}

// forget gives back the place of a connection that was never started.
func (e *engine) forget(code Code) {
	e.stats.closed[code.index()].Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken--
	e.settle()
}

// leave takes an ended connection out.
func (e *engine) leave(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	shift := e.links[l.shift()]
	last := len(shift) - 1
	moved := shift[last]
	shift[l.slot], moved.slot = moved, l.slot
	shift[last] = nil
	e.links[l.shift()] = shift[:last]
	e.taken--
	e.settle()
}

// settle notices that the last connection has ended. The caller holds mu.
func (e *engine) settle() {
	if e.farewell != nil && e.taken == 0 && !e.stopped {
		e.stopped = true
		close(e.idle)
		close(e.stop)
	}
}

// farewell is what Shutdown says to each connection.
type farewell struct {
	code   Code
	reason func() string
}

// Shutdown implements Engine.
func (e *engine) Shutdown(ctx context.Context, code Code, reason func() string) error {
	e.mu.Lock()
	if e.farewell == nil {
		e.farewell = &farewell{code, reason}
	}
	links := slices.Concat(e.links[:]...)
	e.settle()
	e.mu.Unlock()
	for _, l := range links {
		l.Close(code, reason())
	}
	var err error
	select {
	case <-e.idle:
	case <-ctx.Done():
		err = context.Cause(ctx)
		e.cutAll(err)
		<-e.idle
	}
	<-e.swept
	return err
}

// cutAll ends every connection at once, also those that are still to come.
func (e *engine) cutAll(err error) {
	e.mu.Lock()
	e.cutoff = err
	links := slices.Concat(e.links[:]...)
	e.mu.Unlock()
	for _, l := range links {
		l.end(true, Reason{Code: CloseAbnormal, Err: err})
	}
}

// Len implements Engine.
func (e *engine) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taken
}

// Stats implements Engine.
func (e *engine) Stats() *Stats { return &e.stats }

// sweep is the janitor: it ticks every connection once a period, one shift after the
// other. A shift that it is late for comes as soon as it can.
func (e *engine) sweep() {
	defer close(e.swept)
	const period = tickEvery / shifts
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	var (
		clock time.Duration
		shift int
		links []*link
		last  = time.Now()
		due   = last.Add(period)
	)
	for {
		select {
		case <-e.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(due) >= tickEvery {
			due = now.Add(period - tickEvery) // Each shift once.
		}
		for ; !due.After(now); due = due.Add(period) {
			now := time.Now()
			clock += min(now.Sub(last), maxTickGap)
			last = now
			links = e.tick(shift, links, now, clock)
			shift = (shift + 1) % shifts
		}
	}
}

// tick looks at the connections of a shift. It returns links, which it uses as memory.
func (e *engine) tick(shift int, links []*link, now time.Time, clock time.Duration) []*link {
	e.mu.Lock()
	links = append(links[:0], e.links[shift]...)
	e.mu.Unlock()
	for _, l := range links {
		l.tick(now, clock)
	}
	clear(links)
	return links
}

// silent is the handler of a connection that is only told why it is refused.
type silent struct{}

func (silent) Receive([]byte) bool                     { return true }
func (silent) Fill(dst net.Buffers, _ int) net.Buffers { return dst }
func (silent) Tick(time.Time)                          {}
func (silent) Closed(Reason)                           {}
