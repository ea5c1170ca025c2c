package feed

import (
	"sync"
	"sync/atomic"
)

// bodies remembers the newest encoded bodies while views are open, when an event
// reaches an edge twice: on its channel and for the views. It is encoded once. It
// is safe for concurrent use.
type bodies struct {
	// views counts the open sources of a whole service; without one nothing is
	// shared and nothing remembered.
	views atomic.Int32

	// Guarded by mu.
	mu     sync.Mutex
	recent [64]struct {
		mark uint64 // Of the epoch and the position, see mark.
		body []byte
	}
}

// shared is the body of an event for the feed of its channel, nil where no view
// could share it. changes is the number of the event's epoch.
func (b *bodies) shared(changes int, m Message) []byte {
	if b.views.Load() == 0 {
		return nil
	}
	return b.encode(changes, m)
}

// encode returns the body of an event, encoded by whoever asks first.
func (b *bodies) encode(changes int, m Message) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot := &b.recent[m.Seq%uint64(len(b.recent))]
	if mark := mark(changes, m.Seq); slot.mark != mark || slot.body == nil {
		slot.mark, slot.body = mark, encodeBody(m)
	}
	return slot.body
}
