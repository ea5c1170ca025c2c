package feed

import (
	"sort"

	"github.com/bodhisattva/indranet/edge/wire"
)

// ring holds the newest frames of a feed, oldest first: every event of the feed
// with a position in (base, newest] and nothing else. It is not safe for
// concurrent use.
type ring struct {
	room                string
	maxFrames, maxBytes int

	// base is the position before the oldest frame.
	base uint64
	// baseLast is the position of the feed's last event at or before base, 0 for
	// none; it proves where a page that ends at base must end. Where loose is true, it
	// is not known, baseLast is base, and the first frame names that as the position
	// before it.
	baseLast uint64
	loose    bool
	frames   []wire.Frame
	bytes    int
}

// last is the position of the newest event of the feed, 0 for none.
func (r *ring) last() uint64 {
	if n := len(r.frames); n > 0 {
		return r.frames[n-1].Seq
	}
	return r.baseLast
}

// append adds the next event and evicts the oldest ones past the bounds.
func (r *ring) append(f wire.Frame) {
	r.frames = append(r.frames, f)
	r.bytes += f.Size()
	drop := 0
	for len(r.frames)-drop > r.maxFrames || r.bytes > r.maxBytes && len(r.frames)-drop > 1 {
		r.bytes -= r.frames[drop].Size()
		drop++
	}
	r.dropFront(drop)
}

// dropFront evicts the n oldest frames, whose bytes have been subtracted.
func (r *ring) dropFront(n int) {
	if n == 0 {
		return
	}
	r.base, r.baseLast, r.loose = r.frames[n-1].Seq, r.frames[n-1].Seq, false
	clear(r.frames[:n]) // The backing array must not keep the bytes alive.
	r.frames = r.frames[n:]
}

// backfill puts frames that were read from the log in front. They are every event
// in (from, base]; fromLast is the last event at or before from, if that is known. What
// does not fit is left out, oldest first.
func (r *ring) backfill(frames []wire.Frame, from, fromLast uint64, known bool) {
	if from >= r.base {
		return
	}
	if r.loose && (known || len(frames) > 0) {
		// What comes before the first frame is known now.
		r.baseLast = fromLast
		if len(frames) > 0 {
			r.baseLast = frames[len(frames)-1].Seq
		}
		if len(r.frames) > 0 {
			first := r.frames[0].WithPrev(r.room, r.baseLast)
			r.bytes += first.Size() - r.frames[0].Size()
			r.frames[0] = first
		}
		r.loose = false
	}
	space, bytes, n := r.maxFrames-len(r.frames), r.maxBytes-r.bytes, 0
	for n < len(frames) && n < space && frames[len(frames)-1-n].Size() <= bytes {
		bytes -= frames[len(frames)-1-n].Size()
		n++
	}
	kept := frames[len(frames)-n:]
	if n < len(frames) {
		from = frames[len(frames)-n-1].Seq
		fromLast, known = from, true
	}
	if from >= r.base {
		return
	}
	if !known && n == 0 {
		fromLast, known = r.baseLast, !r.loose // Nothing lies between.
	}
	if !known {
		fromLast = from
	}
	joined := make([]wire.Frame, 0, max(n+len(r.frames), 16))
	joined = append(append(joined, kept...), r.frames...)
	r.frames, r.base, r.baseLast, r.loose = joined, from, fromLast, !known
	r.bytes = r.maxBytes - bytes
}

// reset forgets everything: the feed's past ends at base, with an event at baseLast if
// that is known.
func (r *ring) reset(base, baseLast uint64, known bool) {
	if !known {
		baseLast = base
	}
	r.frames, r.bytes, r.base, r.baseLast, r.loose = nil, 0, base, baseLast, !known
}

// after returns the frames with a position above pos, which must be at least
// base. The result is only valid until the ring changes.
func (r *ring) after(pos uint64) []wire.Frame {
	if n := len(r.frames); n == 0 || r.frames[n-1].Seq <= pos {
		return nil
	}
	i := sort.Search(len(r.frames), func(i int) bool { return r.frames[i].Seq > pos })
	return r.frames[i:]
}
