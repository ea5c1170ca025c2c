package stream

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/schema"
)

const (
	// deniedFor is how long what NATS refused counts as refused.
	deniedFor = 30 * time.Second
	// probeEvery is the time between two looks whether it still does.
	probeEvery = 10 * time.Second
)

// rights is what NATS refuses of what every edge needs. It is safe for concurrent use.
type rights struct {
	// Guarded by mu.
	mu     sync.Mutex
	denied map[string]time.Time
	probed time.Time
}

// Probe asks NATS for a subscription to each whole service, as views need it. Where the
// edge may not have them, Permitted says so soon after. It is called once the services are
// named; Permitted calls it again where something is refused.
func (b *Bus) Probe() {
	b.rights.mu.Lock()
	b.rights.probed = time.Now()
	b.rights.mu.Unlock()
	b.mu.RLock()
	services := slices.Collect(maps.Keys(b.services))
	b.mu.RUnlock()
	for _, service := range services {
		// NATS refuses what it is told to forget at once, too.
		if sub, err := b.live.Subscribe(schema.ServiceSubject(schema.Live, service), func(*nats.Msg) {}); err == nil {
			_ = sub.Unsubscribe()
		}
	}
}

// Permitted says what NATS refuses the edge that it cannot do without, nil where nothing is
// known to be refused.
func (b *Bus) Permitted() error {
	now := time.Now()
	b.rights.mu.Lock()
	maps.DeleteFunc(b.rights.denied, func(_ string, at time.Time) bool { return now.Sub(at) >= deniedFor })
	denied := slices.Sorted(maps.Keys(b.rights.denied))
	again := len(denied) > 0 && now.Sub(b.rights.probed) >= probeEvery
	b.rights.mu.Unlock()
	if again {
		b.Probe()
	}
	if len(denied) == 0 {
		return nil
	}
	return fmt.Errorf("nats does not permit a %s: the key or the credentials are not those of the role of edges (deploy/nats/README.md)", denied[0])
}

// refuse notes what NATS refused. A subscription counts only where it is one to a whole
// service: a single channel may be kept from an edge on purpose.
func (b *Bus) refuse(operation, subject string) {
	if operation == "subscription" && !b.whole(subject) {
		return
	}
	b.rights.mu.Lock()
	defer b.rights.mu.Unlock()
	if b.rights.denied == nil {
		b.rights.denied = map[string]time.Time{}
	}
	if len(b.rights.denied) < maxReports {
		b.rights.denied[fmt.Sprintf("%s to %q", operation, subject)] = time.Now()
	}
}

func (b *Bus) whole(subject string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for service := range b.services {
		if subject == schema.ServiceSubject(schema.Live, service) {
			return true
		}
	}
	return false
}
