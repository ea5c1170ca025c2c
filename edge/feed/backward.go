package feed

import (
	"context"
	"slices"
)

// The log can only be read forward. To find the newest events of a channel or view,
// stretches of it are read that lie one before the other, each as long as the events
// found so far suggest. What a stretch brought is not read again.

// widest is how many times longer than all stretches before it a stretch may be.
const widest = 8

// stretchSize is how many positions to read next when missing events are wanted and
// found were among looked positions: a quarter more than needed if they lie as close.
func stretchSize(looked, found, missing uint64) uint64 {
	switch {
	case looked == 0:
		return missing
	case found == 0:
		return looked * widest
	}
	return max(1, min(looked*widest, missing*looked/found*5/4))
}

// newest are the newest events at or below a position.
type newest struct {
	// pos is the position before them: of the event before them where there is one.
	pos uint64
	// events are they, ascending; nil where they are larger than was wanted.
	events []Message
}

// backward finds the newest n events at or below upTo, and keeps them if their payloads
// have at most so many bytes. It looks back at most to the first position, and a
// view at most ScanLimit events.
func (s *Set) backward(ctx context.Context, f *Feed, n int, upTo uint64, st State, bytes int) (newest, error) {
	floor := st.First - 1
	if limit := uint64(s.cfg.ScanLimit); f.target.View && upTo > limit {
		floor = max(floor, upTo-limit)
	}
	end, err := s.lastOf(ctx, f, upTo)
	if err != nil {
		return newest{}, err
	}
	b := behind{set: s, feed: f, want: n + 1, to: end, floor: floor, bytes: bytes}
	for b.to > b.floor && len(b.found) < b.want {
		size := stretchSize(end-b.to, uint64(len(b.found)), uint64(b.want-len(b.found)))
		if err := b.read(ctx, b.to-min(size, b.to-b.floor)); err != nil {
			return newest{}, err
		}
	}
	result := newest{pos: min(b.floor, upTo), events: b.found}
	if len(b.found) > n {
		result.pos, result.events = b.found[0].Seq, b.found[1:]
	}
	if b.bytes < 0 {
		result.events = nil
	}
	return result, nil
}

// behind is what is known of the events behind a position.
type behind struct {
	set  *Set
	feed *Feed
	want int
	// found are the events after to, up to the newest that are wanted, ascending.
	found []Message
	to    uint64
	// floor is how far back to look.
	floor uint64
	// crowd, where not 0, is a position before to: between the two lie perhaps far more
	// events than are wanted.
	crowd uint64
	// bytes is how large the payloads of the found may still become; once below 0,
	// they are not kept.
	bytes int
	names []string
}

// read reads the events after a position and up to b.to. Where there are far too many of
// them, it only notes where; the next stretch is then half as long, and so on.
func (b *behind) read(ctx context.Context, after uint64) error {
	enough := uint64(b.want-len(b.found))*2 + 8
	if b.crowd > 0 && after <= b.crowd {
		if after = b.crowd; b.to-after > enough {
			after = b.to - (b.to-after)/2
		}
	}
	var list []Message
	taken := uint64(0)
	for from := after; from < b.to; {
		count := min(b.to-from, uint64(b.set.cfg.PageFrames))
		if !b.feed.target.View {
			count = min(count, enough+1)
		}
		part, r, err := b.set.sure(ctx, b.feed, from, int(count))
		if err != nil {
			return err
		}
		if r.first > 0 { // The front goes.
			b.floor, from, list = r.first-1, r.first-1, nil
			continue
		}
		taken += uint64(len(part))
		if !b.feed.target.View && taken > enough && b.to > r.end+enough {
			b.crowd = r.end
			return nil
		}
		for _, m := range part {
			if m.Seq <= b.to && b.feed.selects(&b.names, m) {
				list = append(list, m)
			}
		}
		from = r.end
	}
	b.keep(list)
	if b.to = max(after, b.floor); b.to <= b.crowd {
		b.crowd = 0
	}
	return nil
}

// keep adds what lies before the found.
func (b *behind) keep(list []Message) {
	list = list[max(0, len(list)-(b.want-len(b.found))):]
	for _, m := range list {
		b.bytes -= len(m.Data)
	}
	b.found = append(slices.Clone(list), b.found...)
	if b.bytes < 0 {
		for i := range b.found {
			b.found[i].Data = nil
		}
	}
}
