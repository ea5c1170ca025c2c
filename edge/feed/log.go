package feed

import (
	"context"
	"errors"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// Message is one event as the log or the live path gives it. Data is read-only.
type Message struct {
	// Channel is the event's home channel.
	Channel schema.Channel
	// Event and ID come from the headers; either may be empty where something
	// else than the SDK published.
	Event, ID string
	// Seq is the position and Prev the position of the message before it in the
	// source it was received from. Prev is only meaningful on the live path.
	// Both are 0 for a transient event.
	Seq, Prev uint64
	// Time is the moment the event was stored.
	Time time.Time
	Data []byte
}

// State is what the leader says of a service's stream.
type State struct {
	// Epoch is the incarnation of the stream.
	Epoch string
	// First and Last are the oldest and the newest position. First is Last+1
	// where the stream is empty.
	First, Last uint64
}

// Query is one read of the log, forward from a position or a time.
type Query struct {
	// Channel is the channel to read; the zero Channel reads the whole service.
	Channel schema.Channel
	// From is the first position to look at, inclusive, at least 1. It is
	// ignored where Time is set.
	From uint64
	// Time, where set, reads from the first event stored at or after it.
	Time time.Time
	// Count and Bytes bound the answer.
	Count, Bytes int
	// Leader asks for a read that is hardly ever stale, at a higher price.
	Leader bool
	// Urgent goes before history.
	Urgent bool
}

// Log is the log of one service, as a feed needs it. Errors that match
// ErrUnavailable say that nothing is known and the call may be repeated.
// All methods are safe for concurrent use.
type Log interface {
	// State asks the leader.
	State(ctx context.Context) (State, error)
	// Read calls each with the messages in order, as they come; each may keep them.
	// more is true where a bound of the query ended the answer; otherwise the
	// replica that answered held nothing else, which it may believe wrongly unless
	// Leader. On error, what each was given is right but of no use.
	Read(ctx context.Context, q Query, each func(Message)) (more bool, err error)
	// Tails takes at most 1000 channels with about 64 KiB of names. It
	// looks up the last position of each channel that is above since and
	// at most upTo (0 for no bound). checked is the position up to which the
	// answering replica looked, also where it found nothing. It is 0 where the
	// replica holds no message at all, and where upTo is set: then the answer may
	// be stale.
	Tails(ctx context.Context, channels []schema.Channel, since, upTo uint64) (last map[schema.Channel]uint64, checked uint64, err error)
}

// collect reads into a list.
func collect(ctx context.Context, log Log, q Query) (list []Message, more bool, err error) {
	more, err = log.Read(ctx, q, func(m Message) { list = append(list, m) })
	return list, more, err
}

// Watch is one live subscription.
type Watch interface {
	// Stop ends it. A message may still be delivered while Stop runs.
	Stop()
}

// Live is the live path of one service. Delivered messages come from one
// goroutine, in order; deliver must not block.
type Live interface {
	// Watch subscribes to a channel, or to the whole service for the zero
	// Channel; to stored events, or to transient ones.
	Watch(channel schema.Channel, transient bool, deliver func(Message)) (Watch, error)
	// Flush returns when the server has all subscriptions.
	Flush(ctx context.Context) error
}

// Errors of the package, for errors.Is.
var (
	// ErrUnavailable: the log cannot be reached, or cannot be believed until an
	// operator repaired the stream. Nothing was done.
	ErrUnavailable = errors.New("feed: the log is unavailable")
	// ErrFull: there is no room for another feed. Nothing was done.
	ErrFull = errors.New("feed: too many feeds")
	// ErrClosed: the set has been stopped.
	ErrClosed = errors.New("feed: closed")
)
