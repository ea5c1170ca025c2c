package directget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Limits of the server.
const (
	// MaxMulti bounds the subjects that one Request.MultiLast may name, and those
	// that its wildcards may match.
	MaxMulti = 1024
	// MaxBatch bounds Request.Batch. It is a limit of this package: it bounds the
	// memory of an answer that arrives faster than it is taken.
	MaxBatch = 4096
	// DefaultMaxBytes is the MaxBytes of a Request that names none. The server's own
	// default is 64 MiB, which delays everybody else's messages.
	DefaultMaxBytes = 1 << 20
	// DefaultStall is how long Get waits for the next message of an answer.
	DefaultStall = 2 * time.Second
)

// Sentinels for errors.Is.
var (
	// ErrNoResponders says that nobody answers for the stream: there is none, it
	// does not allow Direct Get, or it has no leader right now. It matches
	// nats.ErrNoResponders too.
	ErrNoResponders = fmt.Errorf("directget: %w", nats.ErrNoResponders)
	// ErrStalled says that an answer did not come, or stopped coming, for the
	// client's stall time. There may be no leader right now.
	ErrStalled = errors.New("directget: no answer in time")
	// ErrIncomplete says that a message of the answer was lost on its way. Those
	// that were delivered are right and in order.
	ErrIncomplete = errors.New("directget: a message of the answer was lost")
	// ErrLoad says that the server could not load a message that it has. Asking
	// again helps.
	ErrLoad = errors.New("directget: the server failed to load a message")
	// ErrTooMany says that MultiLast matches more than MaxMulti subjects.
	ErrTooMany = errors.New("directget: more than 1024 subjects")
	// ErrBadRequest says that the server refused the request as it is.
	ErrBadRequest = errors.New("directget: bad request")
	// ErrNotFound says that Leader found no such message, or Info no such stream.
	ErrNotFound = errors.New("directget: not found")
)

// Client reads streams over one connection. It has no state of its own and is safe
// for concurrent use. History should have a connection of its own: the server
// answers a Direct Get inside the connection's read loop, which holds up everything
// else that comes over it.
type Client struct {
	// Static after construction.
	nc    *nats.Conn
	stall time.Duration
}

// New returns a client that reads over nc. It neither owns nor closes nc.
func New(nc *nats.Conn) *Client { return &Client{nc: nc, stall: DefaultStall} }

// WithStall returns a client like c that waits d for the next message of an answer
// before it gives up with ErrStalled. Default: DefaultStall.
func (c *Client) WithStall(d time.Duration) *Client {
	return &Client{nc: c.nc, stall: d}
}

// Request says what to read. Exactly one of Seq, StartTime and MultiLast starts it;
// NextBySubj alone starts at the stream's first message.
type Request struct {
	// Seq is the sequence to start at, inclusive. With MultiLast: only subjects
	// whose last message is at or behind it are answered.
	Seq uint64
	// StartTime starts at the first message stored at or after it.
	StartTime time.Time
	// NextBySubj answers only messages of this subject, wildcards allowed.
	NextBySubj string
	// MultiLast answers the last message of each of these subjects.
	MultiLast []string
	// UpToSeq, with MultiLast, ignores messages behind this sequence.
	UpToSeq uint64
	// Batch is how many messages to answer at most, up to MaxBatch. 0 asks for a
	// single one: with Seq alone exactly that sequence, else the next one. With
	// MultiLast 0 means all of them.
	Batch int
	// MaxBytes ends the answer behind the message that reaches it.
	// Default: DefaultMaxBytes.
	MaxBytes int
}

// Message is a stored message. Get reuses one for all calls of its callback: it is
// valid until the callback returns, but its strings, Header and Data may be kept.
// Nobody may change Header or Data.
type Message struct {
	// Subject, Seq and Time are where and when the server stored the message.
	Subject string
	Seq     uint64
	Time    time.Time
	// Prev is the sequence of the message before this one within the same answer; 0
	// in the first. It is not the chain of the live path.
	Prev uint64
	// Header has the stored headers and those that the server added. Of a header
	// that begins with "Nats-" only the last value is the server's: see Last.
	Header nats.Header
	// Data is the payload. It shares memory with what the connection received.
	Data []byte
}

// End says how an answer ended.
type End struct {
	// NumPending is how many matching messages the replica that answered still has
	// behind the last one of this answer.
	NumPending uint64
	// LastSeq is the sequence of the answer's last message, 0 if it had none.
	LastSeq uint64
	// UpToSeq, with MultiLast, is the sequence up to which the answer is true: the
	// next request's Seq is one more.
	UpToSeq uint64
	// None is true when nothing matches, or, with MultiLast, when none of the
	// subjects is stored at all.
	None bool
}

// wireRequest is Request as the server reads it.
type wireRequest struct {
	Seq        uint64     `json:"seq,omitempty"`
	LastBySubj string     `json:"last_by_subj,omitempty"`
	NextBySubj string     `json:"next_by_subj,omitempty"`
	Batch      int        `json:"batch,omitempty"`
	MaxBytes   int        `json:"max_bytes,omitempty"`
	StartTime  *time.Time `json:"start_time,omitempty"`
	MultiLast  []string   `json:"multi_last,omitempty"`
	UpToSeq    uint64     `json:"up_to_seq,omitempty"`
}

// wire checks req and returns it for the server, with the number of messages that
// the answer has at most, its end included.
func (req *Request) wire() (wireRequest, int, error) {
	w := wireRequest{
		Seq: req.Seq, NextBySubj: req.NextBySubj, Batch: req.Batch,
		MaxBytes: req.MaxBytes, MultiLast: req.MultiLast, UpToSeq: req.UpToSeq,
	}
	if w.MaxBytes <= 0 {
		w.MaxBytes = DefaultMaxBytes
	}
	if !req.StartTime.IsZero() {
		w.StartTime = &req.StartTime
	}
	answers := req.Batch + 1
	if len(req.MultiLast) > 0 {
		answers = MaxMulti + 1
	}
	problem := ""
	switch {
	case req.Batch < 0 || req.Batch > MaxBatch:
		problem = "Batch is not within 0 and " + strconv.Itoa(MaxBatch)
	case req.Seq > 0 && !req.StartTime.IsZero():
		problem = "Seq and StartTime exclude each other"
	case len(req.MultiLast) > 0 && req.NextBySubj != "":
		problem = "MultiLast and NextBySubj exclude each other"
	case req.Seq == 0 && req.StartTime.IsZero() && req.NextBySubj == "" && len(req.MultiLast) == 0:
		problem = "it names no start"
	}
	if problem != "" {
		return w, 0, fmt.Errorf("%w: %s", ErrBadRequest, problem)
	}
	return w, answers, nil
}

// Get asks any replica of stream for req and calls each with every message, in
// stream order, on the caller's goroutine. An error of each ends the read and is
// returned as it is. Get returns once the answer has ended, ctx is done, or the next
// message has not come for the client's stall time (ErrStalled).
func (c *Client) Get(ctx context.Context, stream string, req Request, each func(*Message) error) (End, error) {
	w, answers, err := req.wire()
	if err != nil {
		return End{}, err
	}
	if ctx.Err() != nil {
		return End{}, fmt.Errorf("directget: %w", context.Cause(ctx))
	}
	body, err := json.Marshal(w)
	if err != nil {
		return End{}, fmt.Errorf("directget: encode the request: %w", err)
	}
	inbox := c.nc.NewInbox()
	// As large as the answer, so that the connection's read loop never finds it full.
	received := make(chan *nats.Msg, answers)
	sub, err := c.nc.ChanSubscribe(inbox, received)
	if err != nil {
		return End{}, fmt.Errorf("directget: %w", err)
	}
	// The connection being closed is the only way this fails.
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return End{}, fmt.Errorf("directget: %w", err)
	}

	timer := time.NewTimer(c.stall)
	defer timer.Stop()
	single := req.Batch == 0 && len(req.MultiLast) == 0
	var (
		msg  Message
		last uint64
	)
	for {
		var m *nats.Msg
		select {
		case m = <-received:
		default:
			timer.Reset(c.stall)
			select {
			case m = <-received:
			case <-ctx.Done():
				return End{LastSeq: last}, fmt.Errorf("directget: %w", context.Cause(ctx))
			case <-timer.C:
				return End{LastSeq: last}, ErrStalled
			}
		}
		if status := m.Header.Get("Status"); status != "" && m.Header[hdrStream] == nil {
			return ended(m, status, last, len(req.MultiLast) > 0)
		}
		if err := msg.fill(m); err != nil {
			return End{LastSeq: last}, err
		}
		if !single && msg.Prev != last {
			return End{LastSeq: last}, ErrIncomplete
		}
		last = msg.Seq
		if err := each(&msg); err != nil {
			return End{LastSeq: last}, err
		}
		if single {
			return End{LastSeq: last}, nil
		}
	}
}

// ended reads the message that ends an answer.
func ended(m *nats.Msg, status string, last uint64, multi bool) (End, error) {
	end := End{LastSeq: last}
	switch status {
	case "204":
		end.NumPending = number(m.Header, hdrPending)
		end.UpToSeq = number(m.Header, hdrUpTo)
		if number(m.Header, hdrPrev) != last {
			return end, ErrIncomplete
		}
		return end, nil
	case "404":
		// With multi_last this text is a message that is there and could not be read.
		if multi && m.Header.Get("Description") == "Message Not Found" {
			return end, ErrLoad
		}
		end.None = true
		return end, nil
	case "413":
		return end, ErrTooMany
	case "503":
		return end, ErrNoResponders
	case "408", "412":
		return end, fmt.Errorf("%w: %s", ErrBadRequest, m.Header.Get("Description"))
	}
	return end, fmt.Errorf("%w: status %s %s", ErrLoad, status, m.Header.Get("Description"))
}
