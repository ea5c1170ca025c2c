//go:build linux

package swarm

import "time"

// Config is what a swarm is made of.
type Config struct {
	// Service and Channels: client i subscribes to Channels[i%len(Channels)].
	Service  string
	Channels []string
	Clients  int
	// ReceiveBuffer is SO_RCVBUF until Thaw, in bytes; 0 leaves it to the kernel.
	ReceiveBuffer int
	// Dials bounds the handshakes in flight; 0 for no bound.
	Dials int
	// NATS is where a swarm that publishes does so.
	NATS string
}

// The orders.
const (
	// Go sets where to connect and how, and connects all who are not connected.
	// A connection that is lost later is made again in the same way.
	Go = "go"
	// Plan is Go for connections that will be lost: nobody connects now.
	Plan = "plan"
	// Ask subscribes all who have a connection.
	Ask = "ask"
	// Leave closes all connections, for good.
	Leave = "leave"
	// Save makes the present position the one that Restore goes back to.
	Save = "save"
	// Restore goes back to the saved position and forgets what came after.
	Restore = "restore"
	// Expect says what every client must get after its saved position; Check compares.
	Expect = "expect"
	Check  = "check"
	// Freeze stops reading, Thaw goes on.
	Freeze = "freeze"
	Thaw   = "thaw"
	// Wait waits until all clients are Gone, Open, Caught or Complete.
	Wait = "wait"
	// Window with To 0 starts measuring anew, of events sent since From; else it says
	// where the window ends.
	Window = "window"
	// Publish begins to publish, Halt ends it and answers with what was published.
	Publish = "publish"
	Halt    = "halt"
	// Status only answers; Forget answers and then forgets what went wrong.
	Status = "status"
	Forget = "forget"
)

// What Wait waits for.
const (
	// Gone: the connection has ended since Plan.
	Gone = "gone"
	// Open: the handshake is done.
	Open = "open"
	// Caught: caught_up came on this connection.
	Caught = "caught"
	// Complete: the last of what is expected came.
	Complete = "complete"
)

// Order is what a swarm is told. Which fields count depends on Do.
type Order struct {
	Do string
	// Go, Plan: the address, whether to subscribe at once, and how long to wait before
	// a connection: Pause and up to Jitter more, at random.
	Address       string
	Subscribe     bool
	Pause, Jitter time.Duration
	// Expect: by index of the channel. Stored: all of it is in the log already, so
	// nobody may be told caught_up before having it.
	Goals  []Goal
	Stored bool
	// Wait.
	For     string
	Timeout time.Duration
	// Window: on Now's clock.
	From, To int64
	// Publish: to all channels in turn, Rate events a second of about Size bytes.
	// Control: the live copies are measured as well, as they come from NATS itself.
	Rate    float64
	Size    int
	Control bool
}

// Goal is what must have arrived of a channel: how many events, the last one's
// position, and a sum over all positions in order.
type Goal struct {
	Count, Sum, Last uint64
}

// add adds the next event.
func (g *Goal) add(seq uint64) {
	const prime = 1099511628211 // FNV-1a's.
	g.Count++
	g.Sum = (g.Sum ^ seq) * prime
	g.Last = seq
}

// Report is what a swarm answers to every order. Moments are on Now's clock, since the
// last Go or Plan, 0 where nothing of the kind has happened.
type Report struct {
	// Open, Caught and Complete count clients, Events what they got, in all.
	Open, Caught, Complete int
	Events, Bytes          uint64
	// FirstLoss is when the first client saw its connection end, FirstDial when the
	// first began to connect; the rest is when the last client was that far.
	FirstLoss, FirstDial, LastOpen, FirstAsk, LastAck, LastCaught, LastComplete int64
	// CaughtMid and CaughtMost are when half and 99 % of the clients had caught up.
	CaughtMid, CaughtMost int64
	// Losses counts connections that ended by themselves since the last Go or Plan,
	// Redials those that could not be made.
	Losses, Redials int
	// Faults counts, by name, what must not happen. Closes counts close frames by
	// code, Refused subscribes that were refused for now, and asked again, by code.
	Faults, Closes, Refused map[string]int
	// Latency is from the publish call to the receipt, Control the same of the copies
	// that came from NATS itself.
	Latency, Control Latency
	// Goals is the answer to Halt.
	Goals []Goal
	// Error says why the order was not carried out.
	Error string
}
