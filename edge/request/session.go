package request

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
)

// Bounds of what a session holds for its client.
const (
	// maxPending bounds the requests that wait to be handled.
	maxPending = 64
	// maxPendingBytes bounds their data.
	maxPendingBytes = 1 << 20
	// maxAnswers bounds the answers that wait to be sent, in bytes; one answer
	// may exceed it. fewAnswers is the same while the budget is used up.
	maxAnswers = 256 << 10
	fewAnswers = 16 << 10
	// sizeOfOne is how long a message may be that counts as one; each as many bytes more
	// count as another.
	sizeOfOne = 16 << 10
	// slice is how much one subscription may send before the next has its turn,
	// in bytes.
	slice = 16 << 10
)

// Session is the protocol of one connection.
type Session struct {
	// Static after construction.
	server *Server
	conn   conn.Conn
	shard  *Shard
	ctx    context.Context
	cancel context.CancelFunc
	opened time.Time
	retire time.Time // When the connection has been there for long enough; zero for never.

	// Owned by Receive.
	rate limit.Rate

	// Owned by handleAll.
	work work

	// Guarded by markMu, which is only held for a few instructions.
	markMu sync.Mutex
	marks  []*subscription

	// Guarded by mu.
	mu   sync.Mutex
	subs map[schema.Channel]*subscription
	// pages is the size of the pages of the log that the subscriptions hold and wait
	// for, in bytes; hungry are those that want one when there is room.
	pages  int
	hungry []*subscription
	// ready are the subscriptions with something to send, in order of turn.
	ready []*subscription
	// answers are encoded frames that go before events.
	answers     [][]byte
	answerBytes int
	sending     int // Bytes of answers that the last Fill gave.
	// pending are requests that wait, oldest first.
	pending      []wire.Request
	pendingBytes int
	working      bool // The goroutine that handles requests exists.
	paused       bool // The engine was told to stop reading.
	closed       bool
	events       uint64
	position     uint64 // The last one told by Tick.
	positionAt   time.Time
	// peer is who the connection speaks for, admitted is true once it may speak.
	peer     Peer
	admitted bool
	showed   bool // The first message of one that was not admitted has come.
	// until is when its token is not accepted any more, warnAt when its client is told
	// so; zero for never.
	until, warnAt time.Time
	// leaving is true once the connection is being closed: no event is sent any more.
	leaving bool
	left    func() // Gives back the user's place; nil where there is none.
}

var _ conn.Handler = (*Session)(nil)

// Receive takes one message.
func (s *Session) Receive(payload []byte) bool {
	if s.tooFast(payload) {
		return s.goOn()
	}
	if more := len(payload) / sizeOfOne; more > 0 {
		s.rate.Spend(time.Now(), more) // Before it is looked at: that is what costs.
	}
	r, refusal := wire.Decode(payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.leaving {
		return true
	}
	switch {
	case !s.admitted && !s.shows(r, refusal, len(payload)):
		s.turnAway("other_message")
	case refusal != nil:
		s.refuse(r, refusal)
	case r.Name == wire.Ping:
		s.answer(wire.Pong(time.Now(), s.known()))
	default:
		s.pending = append(s.pending, r)
		s.pendingBytes += weight(r)
		s.conn.Hold(weight(r))
		s.begin()
	}
	s.paused = s.full()
	return !s.paused
}

// weight is what a request takes while it waits, in bytes.
func weight(r wire.Request) int {
	const itself = 64
	return itself + len(r.Name) + len(r.Data) + len(r.Correlation)
}

// goOn reports whether the client may send more now.
func (s *Session) goOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = !s.closed && s.full()
	return !s.paused
}

// full reports whether the client must wait with further requests: what it sends behind
// its token is not read before that has been decided.
func (s *Session) full() bool {
	return s.showed && !s.admitted || len(s.pending) >= maxPending || s.pendingBytes >= maxPendingBytes || s.crowded()
}

// crowded reports whether so many answers wait to be sent that no other is made.
func (s *Session) crowded() bool {
	return s.answerBytes >= maxAnswers || s.answerBytes >= fewAnswers && s.server.budget.Over()
}

// unpause lets the client go on where there is room again. The caller holds s.mu.
func (s *Session) unpause() {
	if s.paused && !s.full() {
		s.paused = false
		s.conn.Resume()
	}
}

// begin makes sure that pending requests are handled. The caller holds s.mu.
func (s *Session) begin() {
	if s.working || s.closed || s.leaving || len(s.pending) == 0 || s.crowded() {
		return
	}
	s.working = true
	s.server.wg.Go(s.handleAll)
}

func (s *Session) handleAll() {
	for {
		s.mu.Lock()
		if s.closed || s.leaving || len(s.pending) == 0 || s.crowded() {
			s.working = false
			s.mu.Unlock()
			return
		}
		r := s.pending[0]
		s.pending = s.pending[1:]
		s.pendingBytes -= weight(r)
		s.unpause()
		s.mu.Unlock()
		s.turn(r)
		s.conn.Hold(-weight(r))
	}
}

// turn handles a request when it may be.
func (s *Session) turn(r wire.Request) {
	counts := costs(r)
	if counts && !s.pays() {
		return
	}
	s.mu.Lock()
	read := feed.Tally{Client: s.debtor()}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(read.Count(s.ctx), s.server.limits.Timeout)
	defer cancel()
	cost := s.handle(ctx, r)
	if counts {
		s.paid(cost, &read)
	}
}

// answer queues an encoded frame, for nobody once the connection has ended. The caller
// holds s.mu.
func (s *Session) answer(frame []byte) {
	if s.closed {
		return
	}
	s.answers = append(s.answers, frame)
	s.countAnswers(len(frame))
	s.conn.Wake()
}

// refuse answers a request with an error. The caller holds s.mu.
func (s *Session) refuse(r wire.Request, refusal *wire.Error) {
	s.server.Stats.Requests.Add(1)
	s.server.Stats.Refused.add(refusal.Code)
	s.answer(wire.ErrorResponse(time.Now(), r.Name, r.Correlation, refusal))
}

// mark notes that a subscription has news. It is called by the shard and by
// whoever brings a page.
func (s *Session) mark(sub *subscription) {
	s.markMu.Lock()
	fresh := !sub.marked
	if fresh {
		sub.marked = true
		s.marks = append(s.marks, sub)
	}
	s.markMu.Unlock()
	if fresh {
		s.conn.Wake()
	}
}

// take gives a subscription the page it waits for.
func (s *Session) take(sub *subscription, want feed.Want, page feed.Page) {
	s.mu.Lock()
	if !sub.closed {
		sub.cursor.Take(want, page)
		s.fetch(sub)
	}
	s.mu.Unlock()
	s.mark(sub)
}

// Fill gives the engine what can be sent now: answers first, then the events of
// the subscriptions, in turns.
func (s *Session) Fill(dst net.Buffers, budget int) net.Buffers {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return dst
	}
	now := time.Now()
	s.sent()
	s.expired(now) // Then the answers that wait are none any more.
	n := 0
	for ; n < len(s.answers) && budget > 0; n++ {
		dst = append(dst, s.answers[n])
		budget -= len(s.answers[n])
		s.answerBytes -= len(s.answers[n])
		s.sending += len(s.answers[n])
	}
	clear(s.answers[:n])
	if s.answers = s.answers[n:]; len(s.answers) > 0 {
		return dst
	}
	s.answers = nil
	if s.leaving || !s.admitted {
		return dst
	}
	if n > 0 {
		s.unpause()
		s.begin()
	}
	s.collectMarks()
	for budget > 0 && len(s.ready) > 0 {
		sub := s.ready[0]
		from := len(dst)
		var events int
		var more bool
		dst, events, more = sub.fill(dst, min(budget, slice), now)
		for _, b := range dst[from:] {
			budget -= len(b)
		}
		s.events += uint64(events)
		s.server.Stats.Events.Add(uint64(events))
		s.fetch(sub)
		copy(s.ready, s.ready[1:])
		s.ready[len(s.ready)-1] = sub
		if sub.ready = more; !more {
			s.ready[len(s.ready)-1] = nil
			s.ready = s.ready[:len(s.ready)-1]
		}
	}
	return dst
}

// sent gives back what the last Fill gave: all of it has been taken by now. The caller
// holds s.mu.
func (s *Session) sent() {
	if s.sending > 0 {
		s.server.budget.release(s.sending)
		s.sending = 0
	}
}

// countAnswers counts what waits to be sent. The caller holds s.mu.
func (s *Session) countAnswers(bytes int) {
	s.answerBytes += bytes
	s.server.budget.used.Add(int64(bytes))
}

// fetch asks for the page that a subscription wants when it is its turn. The caller
// holds s.mu.
func (s *Session) fetch(sub *subscription) {
	s.weigh(sub)
	if !sub.hungry && sub.attached && !sub.closed && sub.cursor.Reads() {
		sub.hungry = true
		s.hungry = append(s.hungry, sub)
	}
	s.fetchNext()
}

// fetchNext asks for pages as long as there is room for one: all pages of a connection
// together are bounded, however many subscriptions it has. The caller holds s.mu.
func (s *Session) fetchNext() {
	for len(s.hungry) > 0 {
		room := s.server.limits.PageBytes - s.pages
		if s.server.budget.Over() {
			room = feed.FirstPage - s.pages
		}
		if room < feed.FirstPage {
			return
		}
		sub := s.hungry[0]
		s.hungry[0] = nil
		s.hungry = s.hungry[1:]
		sub.hungry = false
		if sub.closed {
			continue
		}
		want, ok := sub.cursor.WantsWithin(room)
		if !ok {
			s.mark(sub) // The ring reaches it by now.
			continue
		}
		sub.feed.Fetch(want, func(page feed.Page) { s.take(sub, want, page) })
		s.weigh(sub)
	}
	s.hungry = nil
}

// end takes a subscription out of use, which the caller must drop when it no longer
// holds s.mu.
func (s *Session) end(sub *subscription) {
	sub.closed = true
	if sub.hungry {
		sub.hungry = false
		s.hungry = slices.DeleteFunc(s.hungry, func(one *subscription) bool { return one == sub })
	}
	s.weigh(sub)
	s.fetchNext()
}

// weigh counts what a subscription holds of pages. The caller holds s.mu.
func (s *Session) weigh(sub *subscription) {
	holds := sub.cursor.Holds()
	if sub.closed {
		holds = 0
	}
	s.pages += holds - sub.pages
	s.server.Stats.PageBytes.Add(int64(holds - sub.pages))
	s.server.budget.used.Add(int64(holds - sub.pages))
	sub.pages = holds
}

// collectMarks moves marked subscriptions to the end of the turns.
func (s *Session) collectMarks() {
	s.markMu.Lock()
	defer s.markMu.Unlock()
	for i, sub := range s.marks {
		sub.marked = false
		s.marks[i] = nil
		if !sub.ready {
			sub.ready = true
			s.ready = append(s.ready, sub)
		}
	}
	s.marks = s.marks[:0]
}

// known is the position up to which the client has everything of every
// subscription that it believes to be caught up, 0 for none. The caller holds s.mu.
func (s *Session) known() uint64 {
	var least uint64
	found := false
	for _, sub := range s.subs {
		if !sub.caughtUp || !sub.feed.Target().Durable {
			continue
		}
		if pos := sub.cursor.Known(); !found || pos < least {
			least, found = pos, true
		}
	}
	return least
}

// Tick tells the client now and then how far quiet channels have been checked, so
// that a position never grows old merely because nothing happened.
func (s *Session) Tick(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.watchTimes(now)
	if s.leaving || !s.admitted || now.Sub(s.positionAt) < s.server.limits.PositionEvery {
		return
	}
	s.positionAt = now
	if pos := s.known(); pos > s.position {
		s.position = pos
		s.answer(wire.Position(now, pos))
	}
}

// Closed ends the session.
func (s *Session) Closed(why conn.Reason) {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	s.waited()
	subs := s.subs
	s.countAnswers(-s.answerBytes)
	s.sent()
	s.subs, s.ready, s.hungry, s.answers, s.pending = nil, nil, nil, nil, nil
	for _, sub := range subs {
		sub.closed = true
		s.weigh(sub)
	}
	events, peer, left, leaving := s.events, s.peer, s.left, s.leaving
	level := slog.LevelInfo
	if !s.admitted { // There may be very many, and security events tell of those that matter.
		level = slog.LevelDebug
	}
	s.mu.Unlock()
	for _, sub := range subs {
		s.drop(sub)
	}
	s.server.forget(s)
	for _, leave := range []func(){left, peer.Left} {
		if leave != nil {
			leave()
		}
	}
	switch {
	case why.ByPeer:
	case why.Code == conn.CloseProtocol, why.Code == conn.CloseInvalidUTF8, why.Code == conn.CloseTooBig:
		s.server.record(audit.ProtocolViolation, why.Code.String(), peer, s.conn.ID())
	case why.Code == conn.CloseRateLimited && !leaving: // The engine has counted frames.
		s.server.record(audit.RateLimited, "frames", peer, s.conn.ID())
	}
	s.server.logger.Log(context.Background(), level, "connection ended", "connection", s.conn.ID(), "service", s.server.about.Service, "address", peer.Address, "user", peer.Identity.User,
		"lasted_ms", time.Since(s.opened).Milliseconds(), "subscriptions", len(subs), "events", events,
		"code", why.Code.String(), "reason", told(why.Text), "by_peer", why.ByPeer, "error", why.Err)
}

// told is what a peer has said, fit for a log, which quotes it where it must.
func told(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}

// drop gives back what a subscription holds. It must be closed already.
func (s *Session) drop(sub *subscription) {
	sub.cursor.Close()
	s.shard.remove(sub)
	sub.feed.Release()
	s.server.Stats.Subscriptions.Add(-1)
}
