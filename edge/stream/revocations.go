package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
)

// The bucket of revocations. It is a key-value bucket like any other: `nats kv` reads
// and writes it.
const (
	// RevocationsBucket is its name.
	RevocationsBucket = "IND_REVOCATIONS"
	// RevocationsStream is the stream behind it.
	RevocationsStream = "KV_" + RevocationsBucket
	// RevocationLife is how long a revocation is kept. No token may live longer.
	RevocationLife = 30 * 24 * time.Hour

	revocationPrefix   = "$KV." + RevocationsBucket + "."
	revocationSubjects = revocationPrefix + ">"
)

// ErrNoRevocations says that the bucket of revocations does not exist.
var ErrNoRevocations = errors.New("stream: the bucket " + RevocationsBucket + " does not exist, create it with: indranet streams apply")

// EnsureRevocations creates the bucket of revocations, or makes an existing one what it
// should be, and says what it did in the words of publisher.EnsureStreams. replicas is
// the number of copies, 0 for 1 in a new bucket and "as it is" in one that exists. What
// the server refuses to change is left, and reported. It may be called by several
// processes at once. It asks again while JetStream does not answer, until ctx is done
// or 30 s have passed.
func EnsureRevocations(ctx context.Context, nc *nats.Conn, replicas int) (publisher.StreamReport, error) {
	return revocationsReport(ctx, nc, replicas, true)
}

// DiffRevocations says what EnsureRevocations would do, and does nothing.
func DiffRevocations(ctx context.Context, nc *nats.Conn, replicas int) (publisher.StreamReport, error) {
	return revocationsReport(ctx, nc, replicas, false)
}

// PutRevocation stores a revocation. value is called with what the bucket holds under the
// key, nil for nothing, and the time, of this machine's clock or the server's, whichever is
// ahead; it returns what the bucket shall hold. It is called again where somebody else
// changed the key meanwhile. PutRevocation returns when the bucket has it: edges know of
// it within a second, as long as they are served. key is one or more tokens of letters,
// digits, "-", "_", "/" and "=" with dots between. A put that got no answer is repeated
// until ctx is done or 10 s have passed; to put the same again does no harm. The error
// matches ErrNoRevocations where there is no bucket.
func PutRevocation(ctx context.Context, nc *nats.Conn, key string, value func(old []byte, now time.Time) []byte) error {
	return onBucket(ctx, nc, "put", func(ctx context.Context, bucket jetstream.KeyValue) error {
		now := time.Now()
		status, err := bucket.Status(ctx)
		if err != nil {
			return err
		}
		if s, ok := status.(*jetstream.KeyValueBucketStatus); ok && s.StreamInfo().TimeStamp.After(now) {
			now = s.StreamInfo().TimeStamp
		}
		for {
			entry, err := bucket.Get(ctx, key)
			switch {
			case err == nil:
				_, err = bucket.Update(ctx, key, value(entry.Value(), now), entry.Revision())
			case errors.Is(err, jetstream.ErrKeyNotFound): // Or a replica lacks it.
				_, err = bucket.Create(ctx, key, value(nil, now))
			}
			if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
				return err
			}
			if !sleep(ctx, changedPause) {
				return ctx.Err()
			}
		}
	})
}

// DeleteRevocation takes a revocation back, and reports whether there was one. Errors and
// repetition are those of PutRevocation.
func DeleteRevocation(ctx context.Context, nc *nats.Conn, key string) (was bool, err error) {
	err = onBucket(ctx, nc, "delete", func(ctx context.Context, bucket jetstream.KeyValue) error {
		_, err := bucket.Get(ctx, key)
		was = was || err == nil
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
		return bucket.Delete(ctx, key)
	})
	return was, err
}

// Revocations calls each with every revocation that the bucket holds, in no order. It asks
// again while JetStream does not answer, until ctx is done or 10 s have passed. The
// error matches ErrNoRevocations where there is no bucket.
func Revocations(ctx context.Context, nc *nats.Conn, each func(key string, value []byte)) error {
	held := map[string][]byte{}
	err := patiently(ctx, putTimeout, func(ctx context.Context) error {
		clear(held)
		return newFollower(natsBucket{directget.New(nc)}, func(key string, value []byte, _ bool) { held[key] = value }).poll(ctx, time.Now())
	})
	if err != nil {
		return fmt.Errorf("stream: read the revocations: %w", err)
	}
	for key, value := range held {
		each(key, value)
	}
	return nil
}

// Times of what an operator does.
const (
	ensureTimeout = 30 * time.Second
	putTimeout    = 10 * time.Second
	// changedPause is how long to wait where somebody else changed the key meanwhile, or a
	// replica does not know the change yet.
	changedPause = 20 * time.Millisecond
	// attemptTimeout is how long one try may take, attemptPause how long the next one
	// waits.
	attemptTimeout = 3 * time.Second
	attemptPause   = 200 * time.Millisecond
)

func onBucket(ctx context.Context, nc *nats.Conn, what string, do func(context.Context, jetstream.KeyValue) error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	err = patiently(ctx, putTimeout, func(ctx context.Context) error {
		bucket, err := js.KeyValue(ctx, RevocationsBucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return ErrNoRevocations
		}
		if err != nil {
			return err
		}
		return do(ctx, bucket)
	})
	if err != nil && !errors.Is(err, ErrNoRevocations) {
		return fmt.Errorf("stream: %s a revocation: %w", what, err)
	}
	return err
}

// patiently repeats what fails because nobody answers, or because there is no leader.
func patiently(ctx context.Context, bound time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := try(attempt)
		cancel()
		if err == nil || !passing(err) {
			return err
		}
		if !sleep(ctx, attemptPause) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// passing reports whether an error may go away by itself.
func passing(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded) ||
		errors.As(err, &api) && api.Code == 503
}

// sleep waits for d. It returns false as soon as ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func revocationsReport(ctx context.Context, nc *nats.Conn, replicas int, apply bool) (report publisher.StreamReport, err error) {
	if replicas < 0 || replicas > 5 {
		return report, errors.New("stream: the replicas of " + RevocationsBucket + " are not within 1 and 5")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return report, fmt.Errorf("stream: %w", err)
	}
	err = patiently(ctx, ensureTimeout, func(ctx context.Context) (err error) {
		report, err = ensureBucket(ctx, js, replicas, apply)
		return err
	})
	if err != nil {
		return report, fmt.Errorf("stream: bucket %s: %w", RevocationsBucket, err)
	}
	return report, nil
}

func ensureBucket(ctx context.Context, js jetstream.JetStream, replicas int, apply bool) (publisher.StreamReport, error) {
	report := publisher.StreamReport{Stream: RevocationsStream}
	stream, err := js.Stream(ctx, RevocationsStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !apply {
			report.Action = publisher.Missing
			return report, nil
		}
		_, err = js.CreateStream(ctx, bucketConfig(nil, replicas))
		if err == nil {
			report.Action = publisher.Created
			return report, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return report, err
		}
		// Somebody else created it in between.
		stream, err = js.Stream(ctx, RevocationsStream)
	}
	if err != nil {
		return report, err
	}
	have := stream.CachedInfo().Config
	want := bucketConfig(&have, replicas)
	report.Changes = compareBuckets(&have, &want)
	changeable := false
	for _, c := range report.Changes {
		changeable = changeable || !c.Refused
	}
	switch {
	case len(report.Changes) == 0:
		report.Action = publisher.Unchanged
	case !apply || !changeable:
		report.Action = publisher.Drifted
	default:
		if _, err := js.UpdateStream(ctx, want); err != nil {
			return report, err
		}
		report.Action = publisher.Updated
	}
	return report, nil
}

// bucketConfig is the stream of the bucket, as the clients of key-value buckets want it.
// have is the one that exists, nil if there is none.
func bucketConfig(have *jetstream.StreamConfig, replicas int) jetstream.StreamConfig {
	want := jetstream.StreamConfig{
		Name: RevocationsStream, Description: "Indranet: revoked tokens",
		MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1, Replicas: 1,
	}
	if have != nil {
		want = *have
		want.Metadata = maps.Clone(have.Metadata)
	}
	if replicas > 0 {
		want.Replicas = replicas
	}
	want.Subjects = []string{revocationSubjects}
	want.Storage, want.Retention, want.Discard = jetstream.FileStorage, jetstream.LimitsPolicy, jetstream.DiscardNew
	want.MaxAge, want.MaxMsgsPerSubject, want.MaxMsgs = RevocationLife, 1, -1
	want.Duplicates = 2 * time.Minute
	want.AllowDirect, want.AllowRollup, want.DenyDelete, want.DenyPurge = true, true, true, false
	want.AllowMsgTTL, want.NoAck, want.Sealed = false, false, false
	want.RePublish, want.SubjectTransform, want.Mirror, want.Sources = nil, nil, nil, nil
	return want
}

// compareBuckets lists what differs, and makes what the server refuses to change equal
// in want. Placement, compression, limits of size and metadata are the operator's.
func compareBuckets(have, want *jetstream.StreamConfig) []publisher.Change {
	var changes []publisher.Change
	differ := func(field string, old, wanted any, refused bool, keep func()) {
		was, will := fmt.Sprint(old), fmt.Sprint(wanted)
		if was == will {
			return
		}
		changes = append(changes, publisher.Change{Field: field, Old: was, New: will, Refused: refused})
		if refused {
			keep()
		}
	}
	presence := func(given bool) string {
		if given {
			return "set"
		}
		return ""
	}
	differ("subjects", have.Subjects, want.Subjects, false, nil)
	differ("storage", have.Storage, want.Storage, true, func() { want.Storage = have.Storage })
	differ("retention", have.Retention, want.Retention, have.Retention == jetstream.WorkQueuePolicy, func() { want.Retention = have.Retention })
	differ("discard", have.Discard, want.Discard, false, nil)
	differ("max_age", have.MaxAge, want.MaxAge, false, nil)
	differ("max_msgs", have.MaxMsgs, want.MaxMsgs, false, nil)
	differ("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject, false, nil)
	differ("duplicate_window", have.Duplicates, want.Duplicates, false, nil)
	differ("replicas", have.Replicas, want.Replicas, false, nil)
	differ("allow_direct", have.AllowDirect, want.AllowDirect, false, nil)
	differ("allow_rollup_hdrs", have.AllowRollup, want.AllowRollup, false, nil)
	differ("allow_msg_ttl", have.AllowMsgTTL, want.AllowMsgTTL, have.AllowMsgTTL, func() { want.AllowMsgTTL = have.AllowMsgTTL })
	differ("deny_delete", have.DenyDelete, want.DenyDelete, have.DenyDelete, func() { want.DenyDelete = have.DenyDelete })
	differ("deny_purge", have.DenyPurge, want.DenyPurge, have.DenyPurge, func() { want.DenyPurge = have.DenyPurge })
	differ("sealed", have.Sealed, want.Sealed, have.Sealed, func() { want.Sealed = have.Sealed })
	differ("no_ack", have.NoAck, want.NoAck, false, nil)
	differ("republish", presence(have.RePublish != nil), "", false, nil)
	differ("subject_transform", presence(have.SubjectTransform != nil), "", false, nil)
	differ("mirror", presence(have.Mirror != nil), "", true, func() { want.Mirror = have.Mirror })
	differ("sources", presence(len(have.Sources) > 0), "", false, nil)
	return changes
}

// revocation is one change of the bucket.
type revocation struct {
	key     string
	value   []byte
	deleted bool
	seq     uint64
}

// revocationOf reads a message of the bucket's stream. A marker that a deletion leaves
// has no value but a header.
func revocationOf(m *directget.Message) revocation {
	r := revocation{key: m.Subject[min(len(revocationPrefix), len(m.Subject)):], value: m.Data, seq: m.Seq}
	switch directget.Last(m.Header, "KV-Operation") {
	case "DEL", "PURGE":
		r.value, r.deleted = nil, true
	}
	if directget.Last(m.Header, "Nats-Marker-Reason") != "" {
		r.value, r.deleted = nil, true
	}
	return r
}
