//go:build linux

package foe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/bench/attack/peer"
)

// endWaiting is the end of who gives up waiting for an answer.
const endWaiting = "gave up waiting"

// nearly is how much of a message is still to come after its first write, in bytes, and
// dripEvery the time between two of these.
const (
	nearly    = 100
	dripEvery = 5 * time.Second
)

// unfinished is a message of 1 MiB but for its last bytes.
var unfinished = sync.OnceValue(func() []byte {
	head := `{"type":"ping","data":"`
	text := append([]byte(head), bytes.Repeat([]byte("x"), messageLimit-nearly-len(head))...)
	b := peer.Header(nil, fin|peer.Text, messageLimit)
	for i, one := range text {
		b = append(b, peer.Masked(one, i))
	}
	return b
})

// halfMessage has the edge hold nearly all of a message, and lives by a byte now and then.
func halfMessage(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	c.covers = true
	_ = c.SetDeadline(time.Time{}) // Reading tells where it is closed.
	ended := make(chan string, 1)
	go func() { ended <- c.listen(ctx, nil) }()
	_ = c.Send(unfinished()) // Reading tells.
	for i := range nearly - 1 {
		select {
		case end := <-ended:
			return end
		case <-time.After(dripEvery):
			_ = c.Send([]byte{peer.Masked('x', messageLimit-nearly+i)}) // Reading tells.
		}
	}
	return <-ended
}

// flooding are frames that cost the sender six bytes, behind what makes them lawful.
var flooding = []struct{ before, frame []byte }{
	{nil, peer.Frame(nil, fin|peer.Ping, nil)},
	{peer.Frame(nil, peer.Text, []byte(`{"type":"pi`)), emptyFragment},
	{nil, peer.Frame(nil, fin|peer.Pong, nil)},
}

const (
	// floodChunk frames are written at once, floodChunks times.
	floodChunk, floodChunks = 10_000, 10
	// floodPatience is how long the edge may take to count them.
	floodPatience = 10 * time.Second
)

func frameFlood(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	c.covers = true
	_ = c.SetDeadline(time.Time{}) // Reading tells where it is closed.
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		what := flooding[n%len(flooding)]
		chunk := bytes.Repeat(what.frame, floodChunk)
		err := c.Send(what.before)
		for i := 0; i < floodChunks && err == nil; i++ {
			err = c.Send(chunk)
		}
		_ = c.SetReadDeadline(time.Now().Add(floodPatience)) // Reading tells where it is closed.
	})
	end = c.listen(ctx, nil)
	c.Cut() // The writer ends.
	return end
}

// tokenless holds a place without a token, for as long as it is let.
func tokenless(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	if end, ok := c.enter(ctx); !ok {
		return end
	}
	end = c.listen(ctx, func(r reply) {
		if r.Type != "error" {
			a.breach("an answer before the token")
		}
	})
	if strings.Contains(end, "close ") {
		if how := c.await(ctx, 3*patience); how == endSilent {
			return how
		}
	}
	return end
}

const (
	// batch is how many channels one request may name, batches of them all that a
	// connection may subscribe to.
	batch, batches = 100, 10
	// lists is how often 100 of them are asked for.
	lists = 24
	// longName is appended to names that shall make long answers.
	longName = 170
)

// subscribeAll subscribes to so many batches of channels, and says how that ended where it
// did not go well. Refusals of single channels are no such end.
func (c *line) subscribeAll(ctx context.Context, batches int, name func(i int) string) (end string) {
	for b := range batches {
		var list []string
		for k := range batch {
			list = append(list, `{"channel":`+quote(name(b*batch+k))+`}`)
		}
		_ = c.SetDeadline(time.Now().Add(patience)) // A closed connection needs none.
		_ = c.Send(request("subscribe", `{"channels":[`+strings.Join(list, ",")+`]}`))
		if end := c.answered(ctx); end != "" {
			return end
		}
	}
	return ""
}

// answered waits for a response; any other end has a name.
func (c *line) answered(ctx context.Context) (end string) {
	for {
		op, payload, err := c.Next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			return endWaiting
		case err != nil:
			return c.attack.ended(ctx, err, c.heard)
		case op == peer.Close:
			return fmt.Sprintf("close %d", peer.Code(payload))
		case op == peer.Ping:
			_ = c.Send(peer.Frame(nil, fin|peer.Pong, payload)) // Reading tells.
		case op == peer.Text:
			switch r := c.inspect(payload); r.Type {
			case "response":
				return ""
			case "error":
				return r.ErrorCode
			}
		}
		c.heard = true
	}
}

// feedChurn makes the edge open 1,000 feeds and leaves.
func feedChurn(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, 0)
	if c == nil {
		return end
	}
	defer c.close()
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	c.covers = true
	if end := c.subscribeAll(ctx, batches, func(i int) string { return fmt.Sprintf("pool:fresh-%d-%d-%d", a.round, n, i) }); end != "" {
		return end
	}
	return "left with its channels"
}

// listsUnread has long answers made that it does not read.
func listsUnread(ctx context.Context, a *attack, n int) string {
	c, end := a.dial(ctx, n, deafBuffer)
	if c == nil {
		return end
	}
	defer c.close()
	if end, ok := c.enter(ctx, bearer(a.weak(n))); !ok {
		return end
	}
	c.covers = true
	tail := strings.Repeat("x", longName)
	if end := c.subscribeAll(ctx, 1, func(i int) string { return fmt.Sprintf("pool:%d-%s", i, tail) }); end != "" {
		return end
	}
	_ = c.SetDeadline(time.Time{}) // Its end tells where it is closed.
	_ = c.Send(bytes.Repeat(request("list_channels", "{}"), lists))
	return c.watch(ctx)
}

// keys is how many keys an object has that has very many.
const keys = 100_000

// keyed is a message of 1 MiB with so many keys.
var keyed = sync.OnceValue(func() []byte {
	var b strings.Builder
	b.WriteString(`{"type":"request","event":"get_status","id":"1","data":{`)
	for i := range keys {
		b.WriteString(`"` + strconv.FormatInt(int64(36*36*36+i), 36) + `":1,`)
	}
	const tail = `"pad":""}}`
	b.WriteString(`"pad":"` + strings.Repeat("x", messageLimit-b.Len()-len(tail)) + `"}}`)
	return peer.Message(b.String())
})

func manyKeys(*attack, int) []byte { return keyed() }
