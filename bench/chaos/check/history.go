package check

import (
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"
)

// Event is one acknowledged event. Times are since the start of the run.
type Event struct {
	Service string
	// Channel is the home channel, for example "workflow:42".
	Channel string
	// Life is the stream that stored it, see Epoch.
	Life int
	Seq  uint64
	// ID is Fingerprint of the event's id.
	ID uint64
	// Counter counts the events of the channel from 1, as its publisher does.
	Counter uint64
	// Sent is when the publisher first tried, Acked when it had the answer.
	Sent, Acked time.Duration
}

// Fingerprint is a short stand-in for an event's id.
func Fingerprint(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // It never fails.
	return h.Sum64()
}

// Delivery is one durable event as a subscriber got it.
type Delivery struct {
	Seq, Prev uint64
	// ID is Fingerprint of the id, Channel and Counter are what the payload says.
	ID      uint64
	Channel string
	Counter uint64
}

// Kind says what a Note is.
type Kind uint8

// The kinds of notes.
const (
	// Subscribed is the ack of a subscribe.
	Subscribed Kind = iota
	// Told is a position: of a caught_up, a position ack or a pong.
	Told
	// Reset is an ack that the subscription starts anew.
	Reset
)

// Note is anything but an event that a subscription was told.
type Note struct {
	Kind Kind
	// Before is the number of deliveries that came before the note.
	Before int
	// At is when it came, since the start of the run.
	At time.Duration
	// From says, for people, who told it.
	From string
	// Seq is the position that was told.
	Seq uint64
	// Epoch, Recovered and Reason are what the ack said.
	Epoch     string
	Recovered bool
	Reason    string
	// Resumed is true where the subscribe named a position: Asked, of epoch Under.
	// Otherwise Start is true where it was to begin at the oldest one.
	Resumed bool
	Asked   uint64
	Under   string
	Start   bool
}

// History is everything that one subscription of one client saw, over all of its
// connections.
type History struct {
	// Client names the client for people.
	Client  string
	Service string
	// Channel is what was subscribed: a home channel, "{kind}:*" or "global".
	Channel string
	// Notes and Deliveries are in the order in which they came.
	Notes      []Note
	Deliveries []Delivery
	// Pasts are the answers to history requests for the channel.
	Pasts []Past
	// Passing is what is left of the transient events.
	Passing Passing
}

// Passing follows the transient events of one subscription.
type Passing struct {
	// Came counts them, and Back those that came after a newer one of the same user.
	Came, Back int
	newest     map[string]uint64
}

// Begin says that what comes next is another stream of events: a new connection.
func (p *Passing) Begin() { clear(p.newest) }

// Come takes the event with which a user's publisher counts n.
func (p *Passing) Come(user string, n uint64) {
	p.Came++
	if n < p.newest[user] {
		p.Back++
		return
	}
	if p.newest == nil {
		p.newest = map[string]uint64{}
	}
	p.newest[user] = n
}

// Print writes the history for people, with the deliveries between two notes as one
// line.
func (h *History) Print(w io.Writer) {
	fmt.Fprintf(w, "%s, %s of %s\n", h.Client, h.Channel, h.Service)
	done := 0
	deliveries := func(to int) {
		if list := h.Deliveries[done:to]; len(list) > 0 {
			fmt.Fprintf(w, "\t%d events:", len(list))
			for _, d := range list {
				fmt.Fprintf(w, " %d>%d", d.Prev, d.Seq)
			}
			fmt.Fprintln(w)
		}
		done = to
	}
	for _, n := range h.Notes {
		deliveries(n.Before)
		what := [...]string{"subscribed", "told", "reset"}[n.Kind]
		fmt.Fprintf(w, "\t%s %s %s %d", at(n.At), n.From, what, n.Seq)
		if n.Epoch != "" {
			fmt.Fprintf(w, " of epoch %s", n.Epoch)
		}
		if n.Resumed {
			fmt.Fprintf(w, ", asked for %d of epoch %s", n.Asked, n.Under)
		}
		if n.Reason != "" {
			fmt.Fprintf(w, ", %s", n.Reason)
		}
		fmt.Fprintln(w)
	}
	deliveries(len(h.Deliveries))
	for i := range h.Pasts {
		fmt.Fprintf(w, "\t%s\n", h.Pasts[i].String())
	}
}

// Selects reports whether a subscription to channel gets the events of home.
func Selects(channel, home string) bool {
	if channel == "global" || channel == home {
		return true
	}
	kind, isView := strings.CutSuffix(channel, ":*")
	return isView && strings.HasPrefix(home, kind+":")
}
