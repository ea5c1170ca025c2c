package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/schema"
)

// Action is what EnsureStreams did with a stream, or what Diff found.
type Action string

// The actions.
const (
	// Created: there was none.
	Created Action = "created"
	// Updated: at least one setting was changed.
	Updated Action = "updated"
	// Unchanged: it is as it should be.
	Unchanged Action = "unchanged"
	// Missing: there is none (Diff only).
	Missing Action = "missing"
	// Drifted: at least one setting differs and was not changed.
	Drifted Action = "drifted"
)

// Change is a setting that differs, or did before it was changed.
type Change struct {
	// Field is the setting's name in NATS.
	Field string
	// Old is the value found, New the one wanted, both as text.
	Old, New string
	// Refused is true for what cannot be changed in an existing stream.
	Refused bool
}

// StreamReport is what Report says of one stream.
type StreamReport struct {
	Service schema.Service
	Stream  string
	Action  Action
	// Epoch is the stream's, empty if there is none.
	Epoch   string
	Changes []Change
}

// Report says, for each service asked for and in that order, what is with its stream.
type Report []StreamReport

// Drift reports whether a stream is missing or differs from what is wanted.
func (r Report) Drift() bool {
	for _, s := range r {
		if s.Action == Missing || s.Action == Drifted {
			return true
		}
		for _, c := range s.Changes {
			if c.Refused {
				return true
			}
		}
	}
	return false
}

// String is a line for each stream, and one for each setting that differs.
func (r Report) String() string {
	var b strings.Builder
	for _, s := range r {
		fmt.Fprintf(&b, "%-18s %s\n", s.Stream, s.Action)
		for _, c := range s.Changes {
			note := ""
			if c.Refused {
				note = " (cannot be changed)"
			}
			fmt.Fprintf(&b, "  %s: %s → %s%s\n", c.Field, blank(c.Old), blank(c.New), note)
		}
	}
	return b.String()
}

func blank(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Codes of JetStream's API that say more than their text.
const (
	codeNoPeers       = 10005
	codeNoDisk        = 10047
	codeNotClustered  = 10074
	codeNoMoreStreams = 10027
)

// EnsureStreams creates the streams of services, or makes existing ones what cfg and
// this package want of them, and says what it did. It keeps an existing stream's
// epoch, foreign metadata and the settings that are the operator's. Settings that the
// server refuses to change are left, and reported. Calling it from several processes
// at once is safe.
//
// Where JetStream has no leader, or does not answer, it asks again until ctx's deadline,
// or for 30 seconds where ctx has none; what NATS does not permit (ErrForbidden) is
// found out within about 5 seconds. Lowering MaxAge or MaxBytes drops the oldest events
// at once. An error comes with the report of the streams before the one that failed.
func EnsureStreams(ctx context.Context, nc *nats.Conn, cfg StreamConfig, services ...schema.Service) (Report, error) {
	return eachStream(ctx, nc, cfg, services, true)
}

// Diff says what EnsureStreams would do, and does nothing.
func Diff(ctx context.Context, nc *nats.Conn, cfg StreamConfig, services ...schema.Service) (Report, error) {
	return eachStream(ctx, nc, cfg, services, false)
}

func eachStream(ctx context.Context, nc *nats.Conn, cfg StreamConfig, services []schema.Service, apply bool) (Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ensureTimeout)
		defer cancel()
	}
	var report Report
	for _, service := range services {
		if service.Port() == 0 {
			return report, fmt.Errorf("publisher: %w: %q", schema.ErrUnknownService, service)
		}
		before := nc.LastError()
		one, err := ensure(ctx, js, cfg, service, apply)
		for try := 0; err != nil && passing(ctx, err) && pause(ctx, backoff(try)); try++ {
			last := nc.LastError()
			if f := Forbidden(last); f != nil && last != before && strings.HasSuffix(f.Subject, "."+service.Stream()) { //nolint:errorlint // Each is made anew.
				f.Role = operator
				return report, fmt.Errorf("%w: stream %s of %s: %w", ErrForbidden, service.Stream(), service, f)
			}
			one, err = ensure(ctx, js, cfg, service, apply)
		}
		if err != nil {
			return report, err
		}
		report = append(report, one)
	}
	return report, nil
}

// passing reports whether an error may go away: nobody answered, or there is no leader.
func passing(ctx context.Context, err error) bool {
	var api *jetstream.APIError
	return ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.As(err, &api) && api.ErrorCode == codeUnavailable)
}

// operator is the role of deploy/nats that looks after the streams.
const operator = "operator"

// Times of EnsureStreams.
const (
	ensureTimeout = 30 * time.Second
	// ensureAttempt is how long one try for one stream may take.
	ensureAttempt = 5 * time.Second
)

// ensure looks at one stream, and with apply makes it right.
func ensure(ctx context.Context, js jetstream.JetStream, cfg StreamConfig, service schema.Service, apply bool) (StreamReport, error) {
	ctx, cancel := context.WithTimeout(ctx, ensureAttempt)
	defer cancel()
	report := StreamReport{Service: service, Stream: service.Stream()}
	stream, err := js.Stream(ctx, report.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !apply {
			report.Action = Missing
			return report, nil
		}
		want := cfg.desired(service, nil)
		_, err = js.CreateStream(ctx, want)
		if err == nil {
			report.Action, report.Epoch = Created, want.Metadata[EpochKey]
			return report, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return report, streamError(service, want, err)
		}
		// Somebody else created it in between, with an epoch of their own.
		stream, err = js.Stream(ctx, report.Stream)
	}
	if err != nil {
		return report, fmt.Errorf("publisher: read stream %s: %w", report.Stream, err)
	}

	have := stream.CachedInfo().Config
	want := cfg.desired(service, &have)
	report.Changes = compare(&have, &want)
	report.Epoch = have.Metadata[EpochKey]
	changeable := false
	for _, c := range report.Changes {
		changeable = changeable || !c.Refused
	}
	switch {
	case len(report.Changes) == 0:
		report.Action = Unchanged
	case !apply || !changeable:
		report.Action = Drifted
	default:
		if _, err := js.UpdateStream(ctx, want); err != nil {
			return report, streamError(service, want, err)
		}
		report.Action, report.Epoch = Updated, want.Metadata[EpochKey]
	}
	return report, nil
}

// streamError says what to change where the server's own words do not.
func streamError(service schema.Service, want jetstream.StreamConfig, err error) error {
	hint := ""
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoDisk:
			hint = fmt.Sprintf(": its max_bytes of %d are reserved on disk and do not fit; "+
				"lower MaxBytes (--max-bytes) or raise the server's max_file_store", want.MaxBytes)
		case codeNotClustered, codeNoPeers:
			hint = fmt.Sprintf(": %d replicas need a cluster of as many servers with %d free bytes each; "+
				"lower Replicas (--replicas) or MaxBytes (--max-bytes)", want.Replicas, want.MaxBytes)
		case codeNoMoreStreams:
			hint = ": the account may have no more streams; raise its limit"
		}
	}
	return fmt.Errorf("publisher: stream %s of %s%s: %w", want.Name, service, hint, err)
}
