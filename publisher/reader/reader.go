// Package reader reads the events of a channel in a backend: what is stored after a
// position, and, if wanted, what comes after that, as one sequence. It is for services
// that react to events of others; browsers are served by an edge.
//
// # Promises
//
// The sequence has every event of the channel behind the position, in ascending order,
// none missing and none twice, across reconnects, leader elections and messages that
// NATS loses on the live path. Where the log does not hold all of them, or is not the
// one that the position is of, the sequence ends with an error that says so instead of
// leaving something out. Everything that passes by itself, such as an election, is
// waited for; what NATS does not permit ends it with publisher.ErrForbidden.
//
// How it works: copies of stored events arrive live and carry the sequence of the event
// before them on the channel. A gap in that chain is read from the log at once. A lost
// last event breaks no chain, so the leader is asked for the channel's tail every two
// seconds and after every reconnect.
package reader

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// Sentinels for errors.Is. After each of them the caller's state does not follow from
// the log any more and has to be built anew.
var (
	// ErrExpired says that events behind the position are no longer kept.
	ErrExpired = errors.New("reader: the log no longer holds everything after the position")
	// ErrEpoch says that the log is another one than the position is of.
	ErrEpoch = errors.New("reader: the log is another one")
	// ErrAhead says that the log never got as far as the position.
	ErrAhead = errors.New("reader: the log never got to the position")
)

const (
	// page is how many events are read from the log at a time.
	page = 500
	// tailEvery is how often the tail is looked at while nothing arrives.
	tailEvery = 2 * time.Second
	// flushTimeout is how long the server may take to note a subscription.
	flushTimeout = 2 * time.Second
	// liveBuffer is how many live copies may wait. What does not fit is read from the
	// log.
	liveBuffer = 1024
)

// Position is a place in a service's log: everything up to Seq is known. The zero value
// stands before the oldest event that is kept. An empty Epoch fits every log.
type Position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// After is the position of a receipt.
func After(r publisher.Receipt) Position { return Position{Epoch: r.Epoch, Seq: r.Seq} }

// Event is a stored event.
type Event struct {
	// Position is where the event stands. Reading on from it continues behind it.
	Position Position
	// ID and Name are the event's.
	ID   string
	Name string
	// Service and Channel are where it belongs.
	Service schema.Service
	Channel schema.Channel
	// Time is when it was stored, by the server's clock.
	Time time.Time
	// Payload is its JSON. It must not be changed; catalogue.Parse reads it.
	Payload []byte
}

// Reader reads over one connection, of which it is not the owner. It has no state of
// its own and is safe for concurrent use; each sequence belongs to the goroutine that
// ranges over it.
type Reader struct {
	// Static after construction.
	nc  *nats.Conn
	get *directget.Client
}

// New returns a reader over nc.
func New(nc *nats.Conn) *Reader { return &Reader{nc: nc, get: directget.New(nc)} }

// Read returns the events of a channel that are stored after a position now. The
// sequence ends with the last of them, or with one of this package's errors, or with
// ctx's.
func (r *Reader) Read(ctx context.Context, service schema.Service, channel schema.Channel, after Position) iter.Seq2[Event, error] {
	return r.sequence(ctx, service, channel, after, false)
}

// Follow returns the events of a channel after a position, those that are stored and
// those that will be. The sequence ends when the caller stops ranging, when ctx is done,
// with its error, or with one of this package's errors.
func (r *Reader) Follow(ctx context.Context, service schema.Service, channel schema.Channel, after Position) iter.Seq2[Event, error] {
	return r.sequence(ctx, service, channel, after, true)
}

func (r *Reader) sequence(ctx context.Context, service schema.Service, channel schema.Channel, after Position, follow bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		c := &cursor{
			r: r, service: service, channel: channel, stream: service.Stream(),
			subject: schema.Subject(schema.Stored, service, channel),
			yield:   yield, epoch: after.Epoch, last: after.Seq, given: after.Seq,
		}
		err := c.run(ctx, follow)
		if !errors.Is(err, errStopped) && err != nil {
			yield(Event{}, err)
		}
	}
}

// errStopped says that the caller ranges no longer.
var errStopped = errors.New("stopped")

// cursor is one sequence. It belongs to the goroutine that ranges over it.
type cursor struct {
	r       *Reader
	service schema.Service
	channel schema.Channel
	stream  string
	subject string
	yield   func(Event, error) bool
	epoch   string
	// last is the position up to which everything was given, as the log says; given is
	// that of the last event, or where the sequence began.
	last, given uint64
}

func (c *cursor) run(ctx context.Context, follow bool) error {
	live := make(chan *nats.Msg, liveBuffer)
	var status chan nats.Status
	if follow {
		// Live before the log, so that nothing falls between the two.
		sub, err := c.r.nc.ChanSubscribe(schema.Subject(schema.Live, c.service, c.channel), live)
		if err != nil {
			return fmt.Errorf("reader: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := c.patiently(ctx, func() error { return c.r.nc.FlushTimeout(flushTimeout) }); err != nil {
			return err
		}
		status = c.r.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
		defer c.r.nc.RemoveStatusListener(status)
	}
	if err := c.patiently(ctx, func() error { return c.catchUp(ctx) }); err != nil || !follow {
		return err
	}
	tail := time.NewTicker(tailEvery)
	defer tail.Stop()
	for {
		repair := false
		select {
		case m := <-live:
			gap, err := c.arrived(m)
			if err != nil {
				return err
			}
			repair = gap
		case <-tail.C:
			repair = true
		case s, open := <-status:
			if !open || s == nats.CLOSED {
				return fmt.Errorf("reader: %w", nats.ErrConnectionClosed)
			}
			repair = true
		case <-ctx.Done():
			return fmt.Errorf("reader: %w", context.Cause(ctx))
		}
		if repair {
			if err := c.patiently(ctx, func() error { return c.catchUp(ctx) }); err != nil {
				return err
			}
		}
	}
}

// check compares a position that was held before a read with the log's state: if the
// log still holds the event behind the position, it held all that were read.
func (c *cursor) check(info directget.Info, before uint64) error {
	epoch := info.Metadata[publisher.EpochKey]
	switch {
	case c.epoch != "" && epoch != c.epoch:
		return ErrEpoch
	case info.LastSeq < before:
		return ErrAhead
	case info.FirstSeq > before+1:
		return ErrExpired
	}
	c.epoch = epoch
	return nil
}

// catchUp gives what the log has behind the cursor, until the leader has nothing more.
// Then the cursor stands at the log's end, not at the channel's: a quiet channel does
// not fall behind what is kept.
func (c *cursor) catchUp(ctx context.Context) error {
	info, err := c.r.get.Info(ctx, c.stream)
	if err != nil {
		return err
	}
	if c.last == 0 && info.FirstSeq > 0 {
		// The zero position stands before the oldest event.
		c.last, c.given = info.FirstSeq-1, info.FirstSeq-1
	}
	for {
		before := c.last
		if err := c.check(info, before); err != nil {
			return err
		}
		// The leader first: it knows whether there is anything, replicas lag.
		m, err := c.r.get.Leader(ctx, c.stream, directget.LeaderRequest{NextBySubj: c.subject, Seq: c.last + 1})
		switch {
		case errors.Is(err, directget.ErrNotFound):
			c.last = max(c.last, info.LastSeq)
			return nil
		case err != nil:
			return err
		}
		events := []Event{c.event(m)}
		_, err = c.r.get.Get(ctx, c.stream, directget.Request{NextBySubj: c.subject, Seq: m.Seq + 1, Batch: page},
			func(m *directget.Message) error {
				events = append(events, c.event(m))
				return nil
			})
		if ctx.Err() != nil {
			return err
		}
		// Whatever ended the page, what came of it is right; the rest comes next time.
		if info, err = c.r.get.Info(ctx, c.stream); err != nil {
			return err
		}
		if err := c.check(info, before); err != nil {
			return err
		}
		for _, e := range events {
			if err := c.give(e); err != nil {
				return err
			}
		}
	}
}

// arrived takes a live copy. It reports a gap before it, which the log fills.
func (c *cursor) arrived(m *nats.Msg) (gap bool, err error) {
	seq, errSeq := strconv.ParseUint(directget.Last(m.Header, "Nats-Sequence"), 10, 64)
	prev, errPrev := strconv.ParseUint(directget.Last(m.Header, "Nats-Last-Sequence"), 10, 64)
	at, errTime := time.Parse(time.RFC3339Nano, directget.Last(m.Header, "Nats-Time-Stamp"))
	switch {
	case errSeq != nil || errPrev != nil || errTime != nil || directget.Last(m.Header, "Nats-Stream") != c.stream:
		// Not the server's.
		return false, nil
	case seq <= c.given:
		return false, nil
	case prev > c.given:
		if prev <= c.last {
			// Whoever said that nothing is there was no leader any more.
			c.last = c.given
		}
		return true, nil
	}
	return false, c.give(c.event(&directget.Message{Seq: seq, Time: at, Header: m.Header, Data: m.Data}))
}

func (c *cursor) event(m *directget.Message) Event {
	return Event{
		Position: Position{Epoch: c.epoch, Seq: m.Seq},
		ID:       directget.Last(m.Header, "Nats-Msg-Id"),
		Name:     directget.Last(m.Header, schema.HeaderEvent),
		Service:  c.service, Channel: c.channel,
		Time: m.Time, Payload: m.Data,
	}
}

func (c *cursor) give(e Event) error {
	e.Position.Epoch = c.epoch
	c.last, c.given = max(c.last, e.Position.Seq), e.Position.Seq
	if !c.yield(e, nil) {
		return errStopped
	}
	return nil
}

// Bounds of the pause before the log is asked again.
const (
	pauseFirst = 50 * time.Millisecond
	pauseMost  = time.Second
)

// forbidden is what NATS has refused since before was the connection's last error, if it
// is a request about the stream. Nobody answers what may not be published.
func (c *cursor) forbidden(before error) error {
	last := c.r.nc.LastError()
	f := publisher.Forbidden(last)
	if f == nil || last == before || f.Subscribe || !strings.HasSuffix(f.Subject, "."+c.stream) { //nolint:errorlint // Each is made anew.
		return nil
	}
	f.Role = "edge"
	return f
}

// patiently does something until it works, ctx is done, or it fails for good.
func (c *cursor) patiently(ctx context.Context, do func() error) error {
	pause := pauseFirst
	for {
		before := c.r.nc.LastError()
		err := do()
		switch {
		case err == nil || errors.Is(err, errStopped):
			return err
		case c.forbidden(before) != nil:
			return fmt.Errorf("reader: %w", c.forbidden(before))
		case ctx.Err() != nil:
			return fmt.Errorf("reader: %w", context.Cause(ctx))
		case errors.Is(err, ErrExpired) || errors.Is(err, ErrEpoch) || errors.Is(err, ErrAhead):
			return err
		case errors.Is(err, directget.ErrNotFound) || errors.Is(err, directget.ErrBadRequest) || c.r.nc.IsClosed():
			return fmt.Errorf("reader: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, pauseMost)
	}
}
