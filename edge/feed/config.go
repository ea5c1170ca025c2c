package feed

import (
	"sync/atomic"
	"time"
)

// DefaultMaxFeeds is the bound of a service's feeds that is told none.
const DefaultMaxFeeds = 50_000

// Config bounds what the feeds of one service may take. The zero value of a field
// means its default.
type Config struct {
	// RingFrames and RingBytes bound the newest events that a feed keeps.
	// A subscriber that is further behind reads the log. Default 1000 events,
	// 1 MiB.
	RingFrames, RingBytes int
	// PageFrames and PageBytes bound one read of the log. Default 1000 events,
	// 256 KiB; a single larger event is read all the same.
	PageFrames, PageBytes int
	// Linger is how long a feed stays after its last subscriber. Default 30 s.
	Linger time.Duration
	// MaxFeeds bounds the feeds of the service, those that linger included. Where there
	// are as many the longest without a subscriber makes room for a new one, and where
	// none is without, a new one is refused with ErrFull; those that are there notice
	// nothing. While less than half are free no client makes more than a quarter. A feed without events takes about 3.5 KB. Default DefaultMaxFeeds.
	MaxFeeds int
	// MaxLingering bounds the feeds that have no subscriber. Above that, the longest
	// without one ends at once. Default 4096.
	MaxLingering int
	// TailCheck is the time between two comparisons of a feed with the log,
	// varied by a quarter. Default 3 s.
	TailCheck time.Duration
	// ScanLimit bounds how far back a view reads, in events of its service.
	// Default 100,000.
	ScanLimit int
	// PassingEntries and PassingBytes bound the transient events that a feed remembers,
	// all of which a connection may be given at once. Default 1024 events, 64 KiB; a
	// single larger event is passed on all the same.
	PassingEntries, PassingBytes int
	// PresentFor is how long a user's last transient event is shown to
	// newcomers. Default 60 s.
	PresentFor time.Duration
	// Reads bounds the history reads of the service that are in flight, repairs apart.
	// Default 2.
	Reads int
	// scanFrom is the constant; tests scan from fewer.
	scanFrom int
	// ReadTimeout bounds one request to the log. Default 5 s.
	ReadTimeout time.Duration
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.RingFrames, 1000)
	def(&c.RingBytes, 1<<20)
	def(&c.PageFrames, 1000)
	def(&c.PageBytes, 256<<10)
	def(&c.ScanLimit, 100_000)
	def(&c.PassingEntries, 1024)
	def(&c.PassingBytes, 64<<10)
	def(&c.Reads, 2)
	def(&c.MaxFeeds, DefaultMaxFeeds)
	def(&c.MaxLingering, 4096)
	def(&c.scanFrom, scanFrom)
	span(&c.Linger, 30*time.Second)
	span(&c.TailCheck, 3*time.Second)
	span(&c.PresentFor, time.Minute)
	span(&c.ReadTimeout, 5*time.Second)
	return c
}

// Stats counts what the feeds of a service did. All fields only grow.
type Stats struct {
	// Delivered and Dropped count live and repaired durable events: given to
	// feeds, and known already. Passed counts transient events.
	Delivered, Dropped, Passed atomic.Uint64
	// ChainRepairs counts gaps that a following event showed, TailRepairs those
	// that a comparison with the log found.
	ChainRepairs, TailRepairs atomic.Uint64
	// Reads counts requests to the log for history, ReadEvents what they brought,
	// and Shared the cursors that were served by a read that another one caused.
	Reads, ReadEvents, Shared atomic.Uint64
	// Scans counts the reads of a whole service that mended or served many channels.
	Scans atomic.Uint64
	// Stale counts reads that a lagging replica answered and that were repeated.
	Stale atomic.Uint64
	// Expired counts cursors whose position the log no longer held, Epochs the
	// changes of epoch.
	Expired, Epochs atomic.Uint64
	// Full counts feeds that were refused because there were MaxFeeds, or because only
	// served ones were wanted (Set.OpenServed).
	Full atomic.Uint64
	// Feeds is the number of open feeds, Lingering that of those among them without a
	// subscriber; both also fall.
	Feeds, Lingering atomic.Int64
}
