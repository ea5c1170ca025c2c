package publisher

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// reloadEvent is the one event that is debounced: editors write files in bursts.
const reloadEvent = "hot_reload.triggered"

// mostQuiets bounds how long a debounced event waits, in quiet times, while others
// keep coming.
const mostQuiets = 10

// debouncer merges what comes within a quiet time into one event. It is safe for
// concurrent use.
type debouncer struct {
	// Static after construction.
	quiet time.Duration
	send  func(*message)

	// Guarded by mu.
	mu     sync.Mutex
	held   *message
	since  time.Time
	timer  *time.Timer
	closed bool
}

func newDebouncer(quiet time.Duration, send func(*message)) *debouncer {
	return &debouncer{quiet: quiet, send: send}
}

// takes reports whether event is debounced.
func (d *debouncer) takes(event schema.Event) bool {
	return d.quiet > 0 && event.EventName() == reloadEvent
}

// add merges m into the event that will be sent and returns that one's receipt.
func (d *debouncer) add(m *message) (Receipt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return m.receipt, m.fail(ErrClosed, nil)
	}
	if d.held != nil {
		merged, err := mergeReload(d.held.Data, m.Data)
		if err != nil {
			return m.receipt, err
		}
		if len(merged) > schema.MaxPayload {
			d.sendHeld()
		} else {
			d.held.Data = merged
		}
	}
	now := time.Now()
	if d.held == nil {
		d.held, d.since = &message{}, now
		d.held.take(m)
	}
	wait := min(d.quiet, d.since.Add(mostQuiets*d.quiet).Sub(now))
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.flush)
	} else {
		d.timer.Reset(wait)
	}
	return d.held.receipt, nil
}

// flush sends what is held now.
func (d *debouncer) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		d.sendHeld()
	}
}

// sendHeld sends with mu held, so that close waits for it.
func (d *debouncer) sendHeld() {
	d.timer.Stop()
	d.send(d.held)
	d.held = nil
}

// close sends what is held and takes no more.
func (d *debouncer) close() {
	d.flush()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

// take makes m, which is zero, the same event as other, without its trace context.
func (m *message) take(other *message) {
	m.init()
	m.Subject, m.Data = other.Subject, other.Data
	m.receipt, m.event, m.service = other.receipt, other.event, other.service
	m.id[0], m.name[0] = other.id[0], other.name[0]
}

const (
	reloadComponents = "affected_components"
)

// mergeReload is the payload that says what both say: the components of both, each
// once and in the order they came, and the rest as the later one has it.
func mergeReload(earlier, later []byte) ([]byte, error) {
	var a, b map[string]json.RawMessage
	if err := json.Unmarshal(earlier, &a); err != nil {
		return nil, invalid("%s is not a JSON object: %v", reloadEvent, err)
	}
	if err := json.Unmarshal(later, &b); err != nil {
		return nil, invalid("%s is not a JSON object: %v", reloadEvent, err)
	}
	var components []string
	for _, m := range []map[string]json.RawMessage{a, b} {
		var some []string
		if err := json.Unmarshal(m[reloadComponents], &some); err != nil {
			return nil, invalid("%s of %s are not names", reloadComponents, reloadEvent)
		}
		for _, c := range some {
			if !slices.Contains(components, c) {
				components = append(components, c)
			}
		}
	}
	if components == nil {
		components = []string{}
	}
	for key, value := range b {
		a[key] = value
	}
	encoded, err := json.Marshal(components)
	if err != nil {
		return nil, invalid("%s of %s: %v", reloadComponents, reloadEvent, err)
	}
	a[reloadComponents] = encoded
	return json.Marshal(a)
}
