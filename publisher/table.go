package publisher

import (
	"sync"
	"time"
)

// pending is one event on its way, from PublishAsync or Publish until its answer.
type pending struct {
	// Static from prepare until the last reference is gone.

	message
	home  *pool
	bytes int
	// deadline of PublishAsync counts from when the event is accepted.
	deadline time.Time
	// expected is what WithExpectedSeq said, if conditional.
	expected    uint64
	conditional bool
	// givenID says that the caller chose the id, so that another event may have it.
	givenID   bool
	unordered bool
	// ack and waiter say who waits: an Ack, or Publish itself, on done.
	ack    *Ack
	waiter bool
	done   chan struct{}
	// group is set for what only holds a batch's place in a channel.
	group *group

	// Guarded by Publisher.mu.

	// log is the service's, set when the event is accepted.
	log   *serviceLog
	token uint64
	// refs counts who may still look at the event: the table, senders, Publish.
	refs int
	// attempts counts all, outstanding those without an answer, first is when the
	// first of these was sent.
	attempts, outstanding int
	first                 time.Time
	// floor is a sequence that the stream had reached before the first attempt.
	floor uint64
	// sending is true while the connection is taking the message; again says that it
	// has to be sent once more after that.
	sending, again bool
	// looking is true while a goroutine looks into the log for the event.
	looking bool
	// due is when the event is sent again, as a member of list.
	due          time.Time
	list         *list
	older, newer *pending
	// behind is the next event of the channel.
	behind *pending
	// nextOut is the next event to be sent.
	nextOut *pending
	turn    *turn
	cause   error
	err     error
}

// pool keeps events for their header maps. Each publisher has its own, so that nothing
// outlives what it was made for, such as a bubble of testing/synctest. The zero value is
// ready.
type pool struct{ used sync.Pool }

func (p *pool) get() *pending {
	if e, ok := p.used.Get().(*pending); ok {
		return e
	}
	e := &pending{home: p, done: make(chan struct{}, 1)}
	e.init()
	return e
}

// free gives e back. Nobody may refer to it any more.
func (e *pending) free() {
	e.reset()
	// The message stays where it is, for its header's values point into it.
	*e = pending{message: e.message, home: e.home, done: e.done}
	e.home.used.Put(e)
}

// prepare takes over what the settings say.
func (e *pending) prepare(s *PublishSettings) {
	e.bytes = e.size()
	e.givenID, e.unordered = s.ID != "", s.Unordered
	if s.ExpectedSeq != nil {
		e.conditional, e.expected = true, *s.ExpectedSeq
	}
	if !s.FirstSent.IsZero() {
		// Somebody else's attempt, whose answer nobody has.
		e.first, e.outstanding = s.FirstSent, 1
	}
}

// failed is the error of an event that will not be tried any more.
func (e *pending) failed(kind, cause error) error {
	err := e.fail(kind, cause)
	if e.outstanding > 0 {
		err.Kind, err.FirstSent = ErrUnknownOutcome, e.first
	}
	err.Attempts = e.attempts
	return err
}

// list is a queue of events, linked through them.
type list struct{ oldest, newest *pending }

func (l *list) push(e *pending) {
	e.list, e.older = l, l.newest
	if l.newest != nil {
		l.newest.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
}

// leave takes e out of its list, if it is in one.
func (e *pending) leave() {
	if e.list == nil {
		return
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		e.list.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		e.list.newest = e.older
	}
	e.list, e.older, e.newer = nil, nil, nil
}

// lane is the events of one channel in their order. Only the first is on its way.
type lane struct{ head, tail *pending }

// turn counts the events that were accepted between two calls of Flush.
type turn struct {
	open   int
	sealed bool
	done   chan struct{}
	before *turn
}

func (t *turn) leave() {
	if t.open--; t.open == 0 && t.sealed {
		close(t.done)
	}
}

// failure is for the function of WithErrorHandler.
type failure struct {
	receipt Receipt
	err     error
}

// table is every event without an answer. It is guarded by Publisher.mu.
type table struct {
	byToken map[uint64]*pending
	last    uint64
	bytes   int
	lanes   map[string]lane
	// sent wait for an answer, in the order of due; parked wait to be sent again.
	sent, parked list
	// out and failures are for unlock.
	out, outLast *pending
	failures     []failure
	now          *turn
	// room is closed when there is room again, nil if nobody waits for it.
	room chan struct{}
	// scanned is when deadlines were last looked at, planned when the keeper looks at
	// the table next.
	scanned, planned time.Time
}

func (t *table) init() {
	t.byToken, t.lanes = make(map[uint64]*pending), make(map[string]lane)
	t.now = &turn{done: make(chan struct{})}
}

// seal begins another turn and returns the last one.
func (t *table) seal() *turn {
	last := t.now
	last.sealed = true
	if last.open == 0 {
		close(last.done)
	}
	for last.before != nil && last.before.open == 0 {
		last.before = last.before.before
	}
	t.now = &turn{done: make(chan struct{}), before: last}
	return last
}

// add takes e in, in its channel's order. It reports whether e is the channel's first.
func (t *table) add(e *pending) bool {
	t.last++
	e.token = t.last
	t.byToken[e.token] = e
	t.bytes += e.bytes
	e.turn = t.now
	e.turn.open++
	e.refs = 1
	if e.waiter {
		e.refs = 2
	}
	return e.unordered || t.enter(e)
}

// enter puts e at the end of its channel's lane and reports whether it is the first.
func (t *table) enter(e *pending) bool {
	l, taken := t.lanes[e.Subject]
	if !taken {
		t.lanes[e.Subject] = lane{e, e}
		return true
	}
	l.tail.behind = e
	t.lanes[e.Subject] = lane{l.head, e}
	return false
}

// exit takes e out of its lane. It returns the event that is the first now, nil if
// that has not changed.
func (t *table) exit(e *pending) *pending {
	l := t.lanes[e.Subject]
	if l.head == e {
		next := e.behind
		if next == nil {
			delete(t.lanes, e.Subject)
		} else {
			t.lanes[e.Subject] = lane{next, l.tail}
		}
		return next
	}
	for before := l.head; before != nil; before = before.behind {
		if before.behind == e {
			before.behind = e.behind
			if l.tail == e {
				t.lanes[e.Subject] = lane{l.head, before}
			}
			break
		}
	}
	return nil
}

// remove takes e out of everything but its lane.
func (t *table) remove(e *pending) {
	delete(t.byToken, e.token)
	t.bytes -= e.bytes
	e.leave()
	e.turn.leave()
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// send puts e where unlock finds it.
func (t *table) send(e *pending) {
	e.sending = true
	e.refs++
	e.nextOut = nil
	if t.out == nil {
		t.out = e
	} else {
		t.outLast.nextOut = e
	}
	t.outLast = e
}

// unref gives up one reference.
func (t *table) unref(e *pending) {
	if e.refs--; e.refs == 0 {
		e.free()
	}
}
