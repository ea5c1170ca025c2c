//go:build linux

package swarm

// phase is how far a client is.
type phase uint8

const (
	away phase = iota
	dialing
	upgrading
	open
	asking
	attached
	caught
)

// What must not happen, as it is called in reports.
const (
	faultLost        = "lost"
	faultRepeated    = "repeated"
	faultOrder       = "out of order"
	faultChain       = "chain broken"
	faultUnrecovered = "not recovered"
	faultRefused     = "refused"
	faultProtocol    = "against the protocol"
	faultDifferent   = "different events"
	faultFewer       = "caught up without all"
)

// client is one client: its connection and what it knows of its channel. It is owned
// by the loop.
type client struct {
	// Of the connection.
	fd         int
	generation int32
	phase      phase
	frozen     bool
	complete   bool
	rest       []byte // The beginning of a frame that is not whole.
	tries      int

	// Of the channel: pos is what to resume with, last the position of the last event,
	// got what came since the saved position.
	channel   int
	pos, last uint64
	got       Goal
	// known is true once there is a position.
	known bool
	// chained is true once an event came on this connection: then prev is the one
	// before, and not only at or before the position.
	chained bool
	// saved is what Restore goes back to.
	saved struct{ pos, last uint64 }
	// caughtAt is when it caught up on this connection.
	caughtAt int64
}

// event takes a durable event and reports what is wrong with it, "" for nothing.
func (c *client) event(seq, prev uint64) (fault string) {
	switch {
	case seq == c.last:
		return faultRepeated
	case seq <= c.pos:
		return faultOrder
	case prev > c.pos, c.chained && prev != c.last:
		fault = faultChain
	}
	c.chained = true
	c.pos, c.last = seq, seq
	c.got.add(seq)
	return fault
}

// check compares what came with what must have come.
func (c *client) check(want Goal) (fault string) {
	switch {
	case c.got.Count < want.Count:
		return faultLost
	case c.got.Count > want.Count:
		return faultRepeated
	case c.got != want:
		return faultDifferent
	}
	return ""
}

func (c *client) save() {
	c.saved.pos, c.saved.last = c.pos, c.last
	c.got, c.complete = Goal{}, false
}

func (c *client) restore() {
	c.pos, c.last = c.saved.pos, c.saved.last
	c.got, c.complete = Goal{}, false
}
