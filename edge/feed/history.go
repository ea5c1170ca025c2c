package feed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// History is a stretch of a channel's or view's past.
type History struct {
	Frames []wire.Frame
	wire.HistoryEnd
}

// History reads at most limit events: the newest ones before the position before
// (0 for the head) where since is SinceLast, else the first ones after since. The
// answer is cut to bytes, but for a first event that alone is larger, and always to what
// fits into one message. The error matches ErrUnavailable.
func (s *Set) History(ctx context.Context, target catalogue.Target, since wire.Since, limit int, before uint64, bytes int) (History, error) {
	f := &Feed{set: s, target: target, room: target.Channel.String()}
	st, err := s.State(ctx)
	if err != nil {
		return History{}, err
	}
	h := History{HistoryEnd: wire.HistoryEnd{Epoch: st.Epoch, FirstSeq: st.First, LastSeq: st.Last}}
	upTo := st.Last
	if before > 0 {
		upTo = min(upTo, before-1)
	}
	pos, bytes := st.First-1, min(bytes, wire.MaxMessage-wire.HistoryRoom)
	var found newest
	switch since.Kind {
	case wire.SinceLast:
		found, err = s.backward(ctx, f, min(since.Last, limit), upTo, st, bytes)
		pos = found.pos
	case wire.SinceTime:
		pos, err = s.stretchFrom(ctx, f, since, upTo)
	case wire.SinceSeq:
		if h.Reason = resume(since, st); h.Reason == "" {
			pos = since.Seq
		}
	case wire.SinceNow:
		pos = upTo
	}
	if err != nil {
		return History{}, err
	}
	if found.events != nil {
		_, h.More = h.take(f, found.events, pos, upTo, limit, &bytes)
	} else if h.More, err = s.stretch(ctx, f, &h, pos, upTo, limit, bytes); err != nil {
		return History{}, err
	}
	if st, err = s.askState(ctx); err != nil {
		return History{}, err
	}
	if st.Epoch != h.Epoch {
		return History{}, fmt.Errorf("%w: the epoch changed meanwhile", ErrUnavailable)
	}
	// What went while it was looked for may lack in the answer, or not.
	h.FirstSeq = max(h.FirstSeq, st.First)
	h.Frames = slices.DeleteFunc(h.Frames, func(f wire.Frame) bool { return f.Seq < h.FirstSeq })
	if h.FirstSeq > pos+1 && since.Kind == wire.SinceSeq && h.Reason == "" {
		h.Reason = wire.PositionExpired
	}
	if since.Kind == wire.SinceLast && pos+1 > h.FirstSeq {
		h.More = true
	}
	return h, nil
}

// stretchFrom is the position before the first event stored at or after a time, at
// most upTo.
func (s *Set) stretchFrom(ctx context.Context, f *Feed, since wire.Since, upTo uint64) (uint64, error) {
	for attempt := 0; ; attempt++ {
		list, _, err := s.read(ctx, f.query(Query{Time: since.Time, Count: 1, Leader: true}))
		if err != nil {
			return 0, err
		}
		if len(list) > 0 {
			return min(list[0].Seq-1, upTo), nil
		}
		// Nothing that new, it says: true if the last event is older, or gone.
		end, err := s.lastOf(ctx, f, upTo)
		if err != nil || end == 0 {
			return upTo, err
		}
		list, _, err = s.read(ctx, f.query(Query{From: end, Count: 1}))
		if err != nil {
			return 0, err
		}
		if len(list) > 0 && (list[0].Seq > end || list[0].Time.Before(since.Time)) {
			return upTo, nil
		}
		if err := s.waitIn(ctx, lagging(attempt)); err != nil {
			return 0, err
		}
	}
}

// stretch reads the events in (pos, upTo], at most limit and what fits into a
// message. cut is true where it stopped at a bound. What the log has lost by the time of
// the read is left out, with all that came before it.
func (s *Set) stretch(ctx context.Context, f *Feed, h *History, pos, upTo uint64, limit, bytes int) (cut bool, err error) {
	end, err := s.lastOf(ctx, f, upTo)
	if err != nil {
		return false, err
	}
	prev, room := pos, bytes
	for scanned := 0; pos < end; {
		list, r, err := s.sure(ctx, f, pos, s.cfg.PageFrames)
		if err != nil {
			return false, err
		}
		if r.first > 0 {
			h.FirstSeq, h.Frames, pos = r.first, nil, r.first-1
			prev, room = pos, bytes
			continue
		}
		if past, cut := h.take(f, list, prev, upTo, limit, &room); past || cut {
			return cut, nil
		}
		if n := len(h.Frames); n > 0 {
			prev = h.Frames[n-1].Seq
		}
		pos = r.end
		if scanned += len(list); f.target.View && scanned >= s.cfg.ScanLimit && r.more {
			return true, nil
		}
	}
	return false, nil
}

// take adds the events of a list, of which prev is the position before, up to upTo. cut is
// true where limit or room, in bytes, ended it.
func (h *History) take(f *Feed, list []Message, prev, upTo uint64, limit int, room *int) (past, cut bool) {
	e := encoder{feed: f, prev: prev}
	for _, m := range list {
		e.add(m)
	}
	for _, frame := range e.frames {
		if frame.Seq > upTo {
			return true, false
		}
		if *room -= frame.Size() + 1; len(h.Frames) >= limit || *room < 0 && len(h.Frames) > 0 {
			return false, true
		}
		h.Frames = append(h.Frames, frame)
	}
	return false, false
}

// sure reads what follows a position, at most count messages, where something is known
// to follow, until the answer is proved. It brings at least one message, unless first is set.
func (s *Set) sure(ctx context.Context, f *Feed, after uint64, count int) (list []Message, r reading, err error) {
	for attempt := 0; ; attempt++ {
		list = nil
		err = s.slot(ctx, func(ctx context.Context) (err error) {
			q := f.query(Query{Count: count, Leader: attempt >= leaderAfter})
			r, err = s.readAfter(ctx, q, after, func(m Message) { list = append(list, m) })
			return err
		})
		if err != nil || r.first > 0 || !r.hole && len(list) > 0 {
			return list, r, err
		}
		s.Stats.Stale.Add(1)
		if err := s.waitIn(ctx, lagging(attempt)); err != nil {
			return nil, r, err
		}
	}
}

// lagging is how long to wait before a replica is asked again that lagged so often.
func lagging(attempt int) time.Duration { return 5 * time.Millisecond << min(attempt, 7) }

// lastOf is the position of the last event at or before upTo, as far as reading
// has to go: for a view, upTo itself.
func (s *Set) lastOf(ctx context.Context, f *Feed, upTo uint64) (uint64, error) {
	if f.target.View || upTo == 0 {
		return upTo, nil
	}
	for attempt := 0; ; attempt++ {
		last, known, err := s.tryLastOf(ctx, f, upTo)
		if known || err != nil {
			return last, err
		}
		s.Stats.Stale.Add(1)
		if err := s.waitIn(ctx, lagging(attempt)); err != nil {
			return 0, err
		}
	}
}

// tryLastOf asks once. known is false where the replica that answered lags, or has
// dropped its front before the leader did: the leader must know no other event up to
// upTo, and where it knows none at all behind it, a replica must have looked as far,
// since a deposed leader may know too little.
func (s *Set) tryLastOf(ctx context.Context, f *Feed, upTo uint64) (last uint64, known bool, err error) {
	channel := f.target.Channel
	tails, _, err := s.log.Tails(ctx, []schema.Channel{channel}, 0, upTo)
	if err != nil {
		return 0, false, unavailable(err)
	}
	last = tails[channel]
	next, err := s.nextOf(ctx, channel, last)
	if err != nil || next > 0 {
		return last, next > upTo, err
	}
	tails, checked, err := s.log.Tails(ctx, []schema.Channel{channel}, 0, 0)
	if err != nil {
		return 0, false, unavailable(err)
	}
	if checked == 0 { // It holds nothing: right if nothing is kept at all.
		st, err := s.askState(ctx)
		return last, st.First > st.Last, err
	}
	return last, checked >= upTo && tails[channel] <= last, nil
}
