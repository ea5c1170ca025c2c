package conn

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an engine can be told. The zero value of every field means its
// default. All times are kept to within a second or two: one janitor looks at all
// connections once a second.
type Config struct {
	// MaxMessageBytes bounds an inbound message over all its fragments, in bytes.
	// It is checked on frame headers, before a payload is read; a longer message
	// closes the connection with CloseTooBig. Default 1 MiB, at most 1 GiB.
	MaxMessageBytes int
	// MaxFramesPerSecond bounds the inbound frames of a connection between two looks of
	// the janitor, whatever they hold: pings and empty fragments cost work, and no
	// handler sees them. A peer that sends more is closed with CloseRateLimited.
	// Default 100,000, about a hundredth of
	// what a core can parse; negative for no bound.
	MaxFramesPerSecond int
	// FlushBytes is the budget a handler's Fill is given, in bytes. It bounds what a
	// connection holds of frames that the operating system has not taken yet, and
	// how long a pong may have to wait. Default 64 KiB.
	FlushBytes int
	// PingInterval is the time between two pings; the first comes after half of it or more,
	// so that connections which came together are not pinged together. Default 20 s.
	PingInterval time.Duration
	// PingTimeout is how long the peer may give no sign of life after a ping before
	// the connection is ended with CloseAbnormal and ErrPingTimeout. A sign of life
	// is any byte received; where the operating system tells (Linux, TCP), also that
	// a queue of sent bytes, behind which the ping waits, gets shorter. The clock
	// stands still while the handler has stopped reading, and while a write is
	// blocked, when SlowTimeout counts. Default 20 s.
	PingTimeout time.Duration
	// CloseTimeout bounds the closing handshake, from Close to the end of the
	// connection. Default 10 s.
	CloseTimeout time.Duration
	// MessageTimeout is how long a message may take from its first frame's header to its
	// last byte. A peer that takes longer is closed with ClosePolicy, since what has come
	// of it lies in memory. Default 30 s.
	MessageTimeout time.Duration
	// SlowTimeout is how long a peer for which something is waiting may take nothing
	// at all before its connection is cut with CloseSlow. Default 120 s.
	SlowTimeout time.Duration
	// WriteBufferBytes is the socket's send buffer (SO_SNDBUF), in bytes. Without it
	// the kernel takes up to 4 MB for a peer that never reads; Linux doubles the
	// value to count its own overhead. Default 64 KiB.
	WriteBufferBytes int
	// UnsentBytes is how much the kernel takes beyond what it has sent already
	// (TCP_NOTSENT_LOWAT, where there is one), in bytes. Less means that a backlog
	// stays where it can still be replaced or dropped. Default 16 KiB.
	UnsentBytes int
	// Inbound bounds what connections hold of messages that are not handled yet. It may
	// be shared by engines. Default: one of the engine's own, of DefaultInboundBytes.
	Inbound *Inbound
	// MaxConnections is the number of connections above which new ones are closed
	// with CloseTryLater. Default 1000.
	MaxConnections int
}

// Defaults of Config.
const (
	DefaultMaxMessageBytes  = 1 << 20
	DefaultMaxFrames        = 100_000
	DefaultFlushBytes       = 64 << 10
	DefaultPingInterval     = 20 * time.Second
	DefaultPingTimeout      = 20 * time.Second
	DefaultCloseTimeout     = 10 * time.Second
	DefaultMessageTimeout   = 30 * time.Second
	DefaultSlowTimeout      = 120 * time.Second
	DefaultWriteBufferBytes = 64 << 10
	DefaultUnsentBytes      = 16 << 10
	DefaultMaxConnections   = 1000
)

// maxMessageLimit bounds Config.MaxMessageBytes, so that lengths fit an int
// everywhere.
const maxMessageLimit = 1 << 30

// withDefaults returns c with every zero replaced, or every problem at once.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	ints := []struct {
		name     string
		value    *int
		standard int
	}{
		{"MaxMessageBytes", &c.MaxMessageBytes, DefaultMaxMessageBytes},
		{"FlushBytes", &c.FlushBytes, DefaultFlushBytes},
		{"WriteBufferBytes", &c.WriteBufferBytes, DefaultWriteBufferBytes},
		{"UnsentBytes", &c.UnsentBytes, DefaultUnsentBytes},
		{"MaxConnections", &c.MaxConnections, DefaultMaxConnections},
	}
	for _, f := range ints {
		if *f.value == 0 {
			*f.value = f.standard
		}
		if *f.value < 0 {
			problems = append(problems, fmt.Errorf("conn: %s is negative", f.name))
		}
	}
	if c.MaxFramesPerSecond == 0 {
		c.MaxFramesPerSecond = DefaultMaxFrames
	}
	times := []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"PingInterval", &c.PingInterval, DefaultPingInterval},
		{"PingTimeout", &c.PingTimeout, DefaultPingTimeout},
		{"CloseTimeout", &c.CloseTimeout, DefaultCloseTimeout},
		{"MessageTimeout", &c.MessageTimeout, DefaultMessageTimeout},
		{"SlowTimeout", &c.SlowTimeout, DefaultSlowTimeout},
	}
	for _, f := range times {
		if *f.value == 0 {
			*f.value = f.standard
		}
		if *f.value < tickEvery {
			problems = append(problems, fmt.Errorf("conn: %s is below %v", f.name, tickEvery))
		}
	}
	if c.MaxMessageBytes > maxMessageLimit {
		problems = append(problems, errors.New("conn: MaxMessageBytes is above 1 GiB"))
	}
	return c, errors.Join(problems...)
}
