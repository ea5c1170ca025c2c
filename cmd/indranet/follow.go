package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/gobwas/ws"

	"github.com/bodhisattva/indranet/edge/client"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// openTimeout bounds the first answers of NATS; later the reader waits for ever.
const openTimeout = 10 * time.Second

// slice is about how many bytes are taken from a cursor at once.
const slice = 256 << 10

// withLog calls read with the log of a service, which is there. The context of read
// ends as soon as NATS does not permit something, which then is the error. Warnings go
// to problems.
func withLog(ctx context.Context, flags natsFlags, target catalogue.Target, problems io.Writer, read func(context.Context, *feed.Set) error) error {
	options, err := flags.options()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	options = append(options, endsWhereForbidden(end, roleEdge))
	logger := warnings(untilDone{ctx, problems})
	bus, err := stream.Connect(stream.Config{URL: flags.NATS, Name: "indranet", Options: options}, logger)
	if err != nil {
		return flags.unreachable(err)
	}
	defer bus.Close()
	log := bus.Service(target.Service)
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if _, err := log.State(opening); err != nil {
		return because(ctx, explain(err, target.Service))
	}
	set := feed.New(target.Service, catalogue.Default(), log, log, feed.Config{}, logger)
	defer set.Close()
	log.OnSuspect(set.Suspect)
	return because(ctx, read(ctx, set))
}

// followLog hands the events of a channel to handler as an edge would send them.
func followLog(ctx context.Context, flags natsFlags, target catalogue.Target, since wire.Since, handler client.Handler, problems io.Writer) error {
	return withLog(ctx, flags, target, problems, func(ctx context.Context, set *feed.Set) error {
		return follow(ctx, set, target, since, handler)
	})
}

func follow(ctx context.Context, set *feed.Set, target catalogue.Target, since wire.Since, handler client.Handler) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	f, err := set.Open(opening, target)
	if err != nil {
		return err
	}
	defer f.Release()
	start, err := f.Begin(opening, since)
	if err != nil {
		return err
	}
	if start.Reason != "" {
		handler.Lost(start.Reason, start.Pos)
	}
	r := reader{
		feed: f, cursor: f.NewCursor(start), handler: handler,
		news: make(news, 1), pages: make(chan answer, 1),
	}
	f.Join(r.news)
	defer f.Leave(r.news)
	return r.run(ctx)
}

// warnings returns a logger for a command whose output is events.
func warnings(problems io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(problems, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// untilDone writes as long as its context lasts: what goes wrong later is that it ended.
type untilDone struct {
	ctx context.Context
	out io.Writer
}

// Write writes one line, or drops it.
func (u untilDone) Write(line []byte) (int, error) {
	if u.ctx.Err() != nil {
		return len(line), nil
	}
	return u.out.Write(line)
}

// news is a feed's sink with one reader.
type news chan struct{}

// Grew wakes the reader.
func (n news) Grew(*feed.Feed) {
	select {
	case n <- struct{}{}:
	default:
	}
}

// answer is a page of the log that the cursor asked for.
type answer struct {
	want feed.Want
	page feed.Page
}

// reader drives one cursor.
type reader struct {
	feed    *feed.Feed
	cursor  *feed.Cursor
	handler client.Handler
	news    news
	pages   chan answer
}

func (r *reader) run(ctx context.Context) error {
	// What is still being read when this returns is for nobody.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		buffers, _, place := r.cursor.Next(nil, slice)
		if place == feed.AtHead {
			buffers, _ = r.cursor.Passing(buffers)
		}
		if err := r.hand(buffers); err != nil {
			return err
		}
		if place == feed.Lost {
			start := r.cursor.Why()
			r.handler.Lost(start.Reason, start.Pos)
			r.cursor.Restart(start)
		}
		if want, ok := r.cursor.Wants(); ok {
			r.feed.Fetch(want, func(page feed.Page) {
				select {
				case r.pages <- answer{want, page}:
				case <-ctx.Done():
				}
			})
		}
		if place == feed.Ready || place == feed.Lost {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news:
		case a := <-r.pages:
			r.cursor.Take(a.want, a.page)
		}
	}
}

// hand cuts what a cursor gave into messages: WebSocket frames one behind the other.
func (r *reader) hand(buffers net.Buffers) error {
	frames := bytes.NewReader(bytes.Join(buffers, nil))
	for frames.Len() > 0 {
		header, err := ws.ReadHeader(frames)
		if err != nil {
			return err
		}
		message := make([]byte, header.Length)
		if _, err := io.ReadFull(frames, message); err != nil {
			return err
		}
		if err := r.handler.Event(message); err != nil {
			return err
		}
	}
	return nil
}
