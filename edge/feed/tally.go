package feed

import (
	"context"
	"sync/atomic"
)

// Tally counts what is read of the log because of one request: to find where a
// subscription begins, and for a history, also what is read only to be looked at. It does
// not count the pages of cursors. It is safe for concurrent use.
type Tally struct {
	// Client is on whose behalf the request is made: feeds that it is the first to want
	// are counted as its own, see Config.MaxFeeds. Empty for nobody's.
	Client string

	bytes, feeds atomic.Int64
}

type tallyKey struct{}

// Count returns a context under which reads are counted.
func (t *Tally) Count(ctx context.Context) context.Context {
	return context.WithValue(ctx, tallyKey{}, t)
}

// Bytes is what was read so far.
func (t *Tally) Bytes() int { return int(t.bytes.Load()) }

// Feeds is how many feeds were made so far because nobody was at their channels.
func (t *Tally) Feeds() int { return int(t.feeds.Load()) }

// client is on whose behalf a read is made.
func (t *Tally) client() string {
	if t == nil {
		return ""
	}
	return t.Client
}

// made counts a feed.
func (t *Tally) made() {
	if t != nil {
		t.feeds.Add(1)
	}
}

// tallyOf is where reads under a context are counted, nil for nowhere.
func tallyOf(ctx context.Context) *Tally {
	t, _ := ctx.Value(tallyKey{}).(*Tally)
	return t
}

// add counts a message that was read.
func (t *Tally) add(m Message) {
	if t != nil {
		t.bytes.Add(int64(len(m.Data) + messageOverhead))
	}
}

// messageOverhead is about what a stored message has beside its payload, in bytes.
const messageOverhead = 150
