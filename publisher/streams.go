package publisher

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/schema"
)

// EpochKey is the key in a stream's metadata under which its epoch stands.
const EpochKey = "indranet_epoch"

// DedupWindow is how long a stream remembers message ids.
const DedupWindow = 10 * time.Minute

// Defaults of StreamConfig.
const (
	DefaultReplicas = 1
	DefaultMaxAge   = 30 * 24 * time.Hour
	DefaultMaxBytes = 4 << 30
)

// StreamConfig is what may differ between deployments; everything else about a
// stream is fixed, since the positions of subscribers rest on it. The zero value of a
// field means its default for a stream that is created, and "as it is" for one that
// exists: a service that ensures its streams never shortens the retention that an
// operator has given them.
type StreamConfig struct {
	// Replicas is the number of copies, 1 to 5. More than 1 needs a cluster.
	// Default: DefaultReplicas.
	Replicas int
	// MaxAge is how long an event is kept, at least DedupWindow.
	// Default: DefaultMaxAge.
	MaxAge time.Duration
	// MaxBytes bounds a stream's size. The server reserves it when the stream is
	// created. Default: DefaultMaxBytes.
	MaxBytes int64
}

func (c StreamConfig) check() error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5:
		return errors.New("publisher: StreamConfig.Replicas is not within 1 and 5")
	case c.MaxAge != 0 && c.MaxAge < DedupWindow:
		return fmt.Errorf("publisher: StreamConfig.MaxAge is below %s", DedupWindow)
	case c.MaxBytes < 0:
		return errors.New("publisher: StreamConfig.MaxBytes is negative")
	}
	return nil
}

// desired is the stream of service as c wants it. have is the one that exists, nil
// if there is none.
func (c StreamConfig) desired(service schema.Service, have *jetstream.StreamConfig) jetstream.StreamConfig {
	want := jetstream.StreamConfig{
		Name:        service.Stream(),
		Description: "Indranet: events of " + string(service),
		MaxAge:      DefaultMaxAge,
		MaxBytes:    DefaultMaxBytes,
		Replicas:    DefaultReplicas,
	}
	if have != nil {
		want = *have
	}
	want.Subjects = []string{schema.ServiceSubject(schema.Stored, service)}
	want.RePublish = &jetstream.RePublish{
		Source:      schema.ServiceSubject(schema.Stored, service),
		Destination: schema.ServiceSubject(schema.Live, service),
	}
	want.Storage = jetstream.FileStorage
	want.Retention = jetstream.LimitsPolicy
	want.Discard = jetstream.DiscardOld
	want.DiscardNewPerSubject = false
	want.MaxMsgs, want.MaxMsgsPerSubject = -1, -1
	want.Duplicates = DedupWindow
	want.AllowDirect, want.AllowAtomicPublish = true, true
	want.DenyDelete, want.DenyPurge = true, true
	want.AllowRollup, want.AllowMsgTTL, want.AllowMsgSchedules, want.AllowMsgCounter = false, false, false, false
	want.NoAck, want.Sealed = false, false
	want.PersistMode = jetstream.DefaultPersistMode
	want.Mirror, want.Sources, want.SubjectTransform = nil, nil, nil
	if c.MaxAge != 0 {
		want.MaxAge = c.MaxAge
	}
	if c.MaxBytes != 0 {
		want.MaxBytes = c.MaxBytes
	}
	if c.Replicas != 0 {
		want.Replicas = c.Replicas
	}
	want.Metadata = maps.Clone(want.Metadata)
	if want.Metadata == nil {
		want.Metadata = map[string]string{}
	}
	if want.Metadata[EpochKey] == "" {
		want.Metadata[EpochKey] = newEpoch()
	}
	return want
}

// newEpoch makes a random epoch of 80 bits.
func newEpoch() string { return strings.ToLower(rand.Text()[:16]) }

// field is one setting of a stream that this package compares.
type field struct {
	name string
	show func(*jetstream.StreamConfig) string
	// keep makes dst's setting that of src.
	keep func(dst, src *jetstream.StreamConfig)
	// fixed reports whether the server refuses to change have into want.
	fixed func(have, want *jetstream.StreamConfig) bool
}

// setting describes a field that is compared as a value.
func setting[T comparable](name string, at func(*jetstream.StreamConfig) *T, fixed func(have, want T) bool) field {
	return field{
		name: name,
		show: func(c *jetstream.StreamConfig) string { return fmt.Sprint(*at(c)) },
		keep: func(dst, src *jetstream.StreamConfig) { *at(dst) = *at(src) },
		fixed: func(have, want *jetstream.StreamConfig) bool {
			return fixed != nil && fixed(*at(have), *at(want))
		},
	}
}

func always[T any](_, _ T) bool  { return true }
func fromTrue(have, _ bool) bool { return have }
func fromWorkQueue(have, _ jetstream.RetentionPolicy) bool {
	return have == jetstream.WorkQueuePolicy
}

// fields are the settings that are compared. What is not here (placement,
// compression, limits of consumers, other metadata) is the operator's.
var fields = []field{
	{
		name: "subjects",
		show: func(c *jetstream.StreamConfig) string { return strings.Join(c.Subjects, " ") },
		keep: func(dst, src *jetstream.StreamConfig) { dst.Subjects = src.Subjects },
	},
	{
		name: "republish",
		show: func(c *jetstream.StreamConfig) string {
			if c.RePublish == nil {
				return "none"
			}
			headers := ""
			if c.RePublish.HeadersOnly {
				headers = " headers only"
			}
			return c.RePublish.Source + " to " + c.RePublish.Destination + headers
		},
		keep: func(dst, src *jetstream.StreamConfig) { dst.RePublish = src.RePublish },
	},
	setting("storage", func(c *jetstream.StreamConfig) *jetstream.StorageType { return &c.Storage }, always),
	setting("retention", func(c *jetstream.StreamConfig) *jetstream.RetentionPolicy { return &c.Retention }, fromWorkQueue),
	setting("discard", func(c *jetstream.StreamConfig) *jetstream.DiscardPolicy { return &c.Discard }, nil),
	setting("discard_new_per_subject", func(c *jetstream.StreamConfig) *bool { return &c.DiscardNewPerSubject }, nil),
	setting("max_age", func(c *jetstream.StreamConfig) *time.Duration { return &c.MaxAge }, nil),
	setting("max_bytes", func(c *jetstream.StreamConfig) *int64 { return &c.MaxBytes }, nil),
	setting("max_msgs", func(c *jetstream.StreamConfig) *int64 { return &c.MaxMsgs }, nil),
	setting("max_msgs_per_subject", func(c *jetstream.StreamConfig) *int64 { return &c.MaxMsgsPerSubject }, nil),
	setting("duplicate_window", func(c *jetstream.StreamConfig) *time.Duration { return &c.Duplicates }, nil),
	setting("replicas", func(c *jetstream.StreamConfig) *int { return &c.Replicas }, nil),
	setting("allow_direct", func(c *jetstream.StreamConfig) *bool { return &c.AllowDirect }, nil),
	setting("allow_atomic", func(c *jetstream.StreamConfig) *bool { return &c.AllowAtomicPublish }, nil),
	setting("deny_delete", func(c *jetstream.StreamConfig) *bool { return &c.DenyDelete }, nil),
	setting("deny_purge", func(c *jetstream.StreamConfig) *bool { return &c.DenyPurge }, nil),
	setting("allow_rollup_hdrs", func(c *jetstream.StreamConfig) *bool { return &c.AllowRollup }, nil),
	setting("allow_msg_ttl", func(c *jetstream.StreamConfig) *bool { return &c.AllowMsgTTL }, fromTrue),
	setting("allow_msg_schedules", func(c *jetstream.StreamConfig) *bool { return &c.AllowMsgSchedules }, fromTrue),
	setting("allow_msg_counter", func(c *jetstream.StreamConfig) *bool { return &c.AllowMsgCounter }, always),
	setting("sealed", func(c *jetstream.StreamConfig) *bool { return &c.Sealed }, fromTrue),
	setting("no_ack", func(c *jetstream.StreamConfig) *bool { return &c.NoAck }, nil),
	setting("persist_mode", func(c *jetstream.StreamConfig) *jetstream.PersistModeType { return &c.PersistMode }, always),
	{
		name: "mirror",
		show: func(c *jetstream.StreamConfig) string {
			if c.Mirror == nil {
				return "none"
			}
			return c.Mirror.Name
		},
		keep: func(dst, src *jetstream.StreamConfig) { dst.Mirror = src.Mirror },
	},
	{
		name: "sources",
		show: func(c *jetstream.StreamConfig) string { return strconv.Itoa(len(c.Sources)) },
		keep: func(dst, src *jetstream.StreamConfig) { dst.Sources = src.Sources },
	},
	{
		name: "subject_transform",
		show: func(c *jetstream.StreamConfig) string {
			if c.SubjectTransform == nil {
				return "none"
			}
			return c.SubjectTransform.Source + " to " + c.SubjectTransform.Destination
		},
		keep: func(dst, src *jetstream.StreamConfig) { dst.SubjectTransform = src.SubjectTransform },
	},
	{
		name: EpochKey,
		show: func(c *jetstream.StreamConfig) string { return c.Metadata[EpochKey] },
		keep: func(*jetstream.StreamConfig, *jetstream.StreamConfig) {},
	},
}

// compare lists what differs between have and want, and makes what the server
// refuses to change equal in want, so that the rest can be applied.
func compare(have, want *jetstream.StreamConfig) []Change {
	var changes []Change
	for _, f := range fields {
		was, will := f.show(have), f.show(want)
		if was == will {
			continue
		}
		change := Change{Field: f.name, Old: was, New: will}
		if f.fixed != nil && f.fixed(have, want) {
			change.Refused = true
			f.keep(want, have)
		}
		changes = append(changes, change)
	}
	return changes
}
