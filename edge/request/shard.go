package request

import (
	"context"
	"sync"

	"github.com/bodhisattva/indranet/edge/feed"
)

// Shard serves a part of an edge's connections: feeds tell it once that they grew
// and it tells the subscriptions. All methods are safe for concurrent use.
type Shard struct {
	token chan struct{} // Wakes Run; holds one.

	// Guarded by grownMu, which Grew takes while a feed is locked: it is never
	// held while the lists are walked.
	grownMu sync.Mutex
	grown   []*feed.Feed
	marked  map[*feed.Feed]bool
	telling []*feed.Feed // The other half of grown, owned by tell.

	// Guarded by mu.
	mu    sync.Mutex
	lists map[*feed.Feed][]*subscription
}

var _ feed.Sink = (*Shard)(nil)

// NewShard returns a shard; Run must be called.
func NewShard() *Shard {
	return &Shard{
		token: make(chan struct{}, 1), marked: map[*feed.Feed]bool{},
		lists: map[*feed.Feed][]*subscription{},
	}
}

// Grew notes that a feed has news. It never blocks.
func (s *Shard) Grew(f *feed.Feed) {
	s.grownMu.Lock()
	if !s.marked[f] {
		s.marked[f] = true
		s.grown = append(s.grown, f)
	}
	s.grownMu.Unlock()
	select {
	case s.token <- struct{}{}:
	default:
	}
}

// Run tells subscriptions of news until ctx ends.
func (s *Shard) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.token:
			s.tell()
		}
	}
}

// tell walks the lists of the feeds that grew since the last time.
func (s *Shard) tell() {
	s.grownMu.Lock()
	s.telling, s.grown = s.grown, s.telling[:0]
	clear(s.marked)
	s.grownMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.telling {
		for _, sub := range s.lists[f] {
			sub.session.mark(sub)
		}
	}
	clear(s.telling)
}

// add puts a subscription on the list of its feed.
func (s *Shard) add(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.lists[sub.feed]
	if len(list) == 0 {
		sub.feed.Join(s)
	}
	sub.index = len(list)
	s.lists[sub.feed] = append(list, sub)
}

// remove takes it off again.
func (s *Shard) remove(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.lists[sub.feed]
	last := len(list) - 1
	list[sub.index] = list[last]
	list[sub.index].index = sub.index
	list[last] = nil
	if last == 0 {
		delete(s.lists, sub.feed)
		sub.feed.Leave(s)
		return
	}
	s.lists[sub.feed] = list[:last]
}
