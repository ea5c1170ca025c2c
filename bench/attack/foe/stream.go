//go:build linux

package foe

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// flow is what connections send that are kept open.
type flow struct {
	// conns is how many there are; they share the rate.
	conns int
	// before is sent once, at the beginning; nil for nothing.
	before func(a *attack) []byte
	// message is the nth message of a connection.
	message func(a *attack, n int) []byte
	// judge looks at every reply; nil for no more than inspect does.
	judge func(a *attack, r reply)
	// deaf connections read nothing, and have a small receive buffer.
	deaf bool
	// mute connections answer no pings: they are within a frame.
	mute bool
}

const (
	// streamEvery is the time between two writes of a connection.
	streamEvery = 10 * time.Millisecond
	// streamPause is the time before an ended connection is made again.
	streamPause = 500 * time.Millisecond
	// deafBuffer is SO_RCVBUF of who never reads, in bytes.
	deafBuffer = 4096
	// deafPatience is how long a write of who never reads may wait.
	deafPatience = time.Second
)

// streams keeps all connections of the kind until ctx ends.
func (a *attack) streams(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	for i := range a.kind.stream.conns {
		group.Go(func() {
			for n := i; ctx.Err() == nil; n += a.kind.stream.conns {
				a.end(a.one(ctx, n))
				select {
				case <-time.After(streamPause):
				case <-ctx.Done():
				}
			}
		})
	}
}

// one is one connection, the nth, from its beginning to its end.
func (a *attack) one(ctx context.Context, n int) string {
	s := a.kind.stream
	buffer := 0
	if s.deaf {
		buffer = deafBuffer
	}
	c, end := a.dial(ctx, n, buffer)
	if c == nil {
		return end
	}
	defer c.close()
	c.covers, c.pongs = true, !s.mute
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	_ = c.SetDeadline(time.Time{}) // Reading tells where it is closed.
	ended := make(chan string, 1)
	if s.deaf {
		go func() { ended <- c.watch(ctx) }()
	} else {
		go func() { ended <- c.listen(ctx, func(r reply) { a.count(r) }) }()
	}
	a.send(ctx, c, ended)
	return <-ended
}

// count counts a reply.
func (a *attack) count(r reply) {
	s := a.kind.stream
	switch {
	case r.Type == "error":
		a.end(r.ErrorCode)
	case r.Type == "response":
		a.end("answered")
	}
	if s.judge != nil {
		s.judge(a, r)
	}
}

// send sends at the rate until the connection or ctx ends, or takes no more.
func (a *attack) send(ctx context.Context, c *line, ended chan string) {
	s := a.kind.stream
	rate := a.rate / float64(s.conns)
	if s.before != nil && a.write(c, s.before(a)) != nil {
		return
	}
	ticker := time.NewTicker(streamEvery)
	defer ticker.Stop()
	begin, n := time.Now(), 0
	for {
		select {
		case end := <-ended:
			ended <- end
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := int(rate * time.Since(begin).Seconds())
		due = min(due, n+int(rate)+1) // What is later than a second is left out.
		var frames []byte
		for ; n < due; n++ {
			frames = append(frames, s.message(a, n)...)
			a.done.Add(1)
		}
		if len(frames) == 0 {
			continue
		}
		if err := a.write(c, frames); err != nil {
			if s.deaf && errors.Is(err, os.ErrDeadlineExceeded) {
				a.end("no longer read by the edge") // It is held as it is.
			}
			return
		}
	}
}

func (a *attack) write(c *line, frames []byte) error {
	if a.kind.stream.deaf {
		_ = c.SetWriteDeadline(time.Now().Add(deafPatience)) // The write tells.
	}
	return c.Send(frames)
}

// watch waits for the end of a connection that is not read.
func (c *line) watch(ctx context.Context) string {
	raw, err := c.Conn.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err.Error()
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		gone := false
		err := raw.Control(func(fd uintptr) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			n, err := unix.Poll(poll, 0)
			gone = err == nil && n > 0 && poll[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLRDHUP) != 0
		})
		switch {
		case ctx.Err() != nil:
			return endHeld
		case err != nil || gone:
			return "cut"
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
