package feed

import (
	"context"
	"fmt"
	"sort"
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
// answer is cut to fit into one message. The error matches ErrUnavailable.
func (s *Set) History(ctx context.Context, target catalogue.Target, since wire.Since, limit int, before uint64) (History, error) {
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
	pos := st.First - 1
	switch since.Kind {
	case wire.SinceLast:
		pos, err = s.backward(ctx, f, min(since.Last, limit), upTo, st)
		h.More = pos+1 > st.First
	case wire.SinceTime:
		var list []Message
		if list, _, err = s.read(ctx, f.query(Query{Time: since.Time, Count: 1})); len(list) > 0 {
			pos = list[0].Seq - 1
		} else {
			pos = upTo
		}
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
	cut, err := s.stretch(ctx, f, &h, pos, upTo, limit)
	if err != nil {
		return History{}, err
	}
	if cut {
		h.More = true
	}
	return h, s.checkFront(ctx, &h, since, pos)
}

// checkFront drops from a history what the log lost while it was read: the front may
// go between two messages of an answer, and what is left behind it is complete.
func (s *Set) checkFront(ctx context.Context, h *History, since wire.Since, pos uint64) error {
	st, err := s.askState(ctx)
	if err != nil {
		return err
	}
	if st.Epoch != h.Epoch {
		return fmt.Errorf("%w: the epoch changed meanwhile", ErrUnavailable)
	}
	if st.First <= pos+1 {
		return nil
	}
	h.FirstSeq = st.First
	i := sort.Search(len(h.Frames), func(i int) bool { return h.Frames[i].Seq >= st.First })
	h.Frames = h.Frames[i:]
	if since.Kind == wire.SinceSeq && h.Reason == "" {
		h.Reason = wire.PositionExpired
	}
	return nil
}

// stretch reads the events in (pos, upTo], at most limit and what fits into a
// message. cut is true where it stopped at a bound.
func (s *Set) stretch(ctx context.Context, f *Feed, h *History, pos, upTo uint64, limit int) (cut bool, err error) {
	end, err := s.lastOf(ctx, f, upTo)
	if err != nil {
		return false, err
	}
	prev, room := pos, wire.MaxMessage-wire.HistoryRoom
	for scanned, attempt := 0, 0; pos < end; {
		leader := attempt >= leaderAfter
		if known, _ := s.Known(); !f.target.View && known.trimsNear(pos) {
			leader = true
		}
		list, more, err := s.read(ctx, f.query(Query{From: pos + 1, Count: s.cfg.PageFrames, Leader: leader}))
		if err != nil {
			return false, err
		}
		if len(list) == 0 || f.target.View && list[0].Seq != pos+1 {
			st, err := s.askState(ctx)
			if err != nil {
				return false, err
			}
			if st.First > pos+1 { // The front went while we read.
				h.FirstSeq, pos = st.First, st.First-1
				continue
			}
			if len(list) > 0 && attempt > leaderAfter {
				// The leader has the hole too: nobody can give what was there.
				h.FirstSeq, pos, h.Frames = list[0].Seq, list[0].Seq-1, nil
				continue
			}
			if err := s.waitIn(ctx, lagging(attempt)); err != nil {
				return false, err
			}
			attempt++
			continue
		}
		attempt = 0
		e := encoder{feed: f, prev: prev}
		for _, m := range list {
			e.add(m)
		}
		for _, frame := range e.frames {
			if frame.Seq > upTo {
				return false, nil
			}
			if room -= frame.Size() + 1; len(h.Frames) >= limit || room < 0 {
				return true, nil
			}
			h.Frames = append(h.Frames, frame)
			prev = frame.Seq
		}
		pos = list[len(list)-1].Seq
		if scanned += len(list); f.target.View && scanned >= s.cfg.ScanLimit && more {
			return true, nil
		}
	}
	return false, nil
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

// tryLastOf asks once. known is false where the replicas that answered lag.
func (s *Set) tryLastOf(ctx context.Context, f *Feed, upTo uint64) (last uint64, known bool, err error) {
	channels := []schema.Channel{f.target.Channel}
	tails, checked, err := s.log.Tails(ctx, channels, 0, 0)
	if err != nil {
		return 0, false, unavailable(err)
	}
	if checked == 0 {
		st, err := s.askState(ctx)
		return 0, st.First > st.Last, err
	}
	if last = tails[f.target.Channel]; last <= upTo {
		return last, checked >= upTo, nil
	}
	// There are later ones. The answer to a question with a bound is right if what
	// follows it lies behind the bound.
	if tails, _, err = s.log.Tails(ctx, channels, 0, upTo); err != nil {
		return 0, false, unavailable(err)
	}
	last = tails[f.target.Channel]
	list, _, err := s.read(ctx, f.query(Query{From: last + 1, Count: 1}))
	if err != nil {
		return 0, false, err
	}
	return last, len(list) > 0 && list[0].Seq > upTo, nil
}
