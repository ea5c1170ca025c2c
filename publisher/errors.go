package publisher

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// Sentinels for errors.Is. Each says what was stored and what to do next.
var (
	// ErrInvalid says that the event, an option or the batch breaks a rule. Nothing
	// was stored or sent. Where fields of the event are bad, the error is a
	// *schema.InvalidError that names all of them. Repair the event; publishing it
	// again as it is fails again.
	ErrInvalid = schema.ErrInvalid
	// ErrTooLarge says that the payload has more than schema.MaxPayload bytes, that
	// a batch has more than MaxBatch events or MaxBatchBytes bytes, or that the
	// server allows less than that. Nothing was stored. Put large data elsewhere and
	// a reference into the event.
	ErrTooLarge = schema.ErrTooLarge
	// ErrConflict says that the channel's last event is not the one that
	// WithExpectedSeq named. Nothing was stored. The error is a *ConflictError with
	// the actual position: read on from the expected one, decide again, publish
	// again under a new id.
	ErrConflict = errors.New("publisher: conflict")
	// ErrIDTaken says that the stream already holds another event under the id of
	// WithID: on another channel, of another name, or in another batch. The event
	// was not stored. It matches ErrInvalid too. Ids must be unique within a service
	// for at least the dedup window.
	ErrIDTaken = fmt.Errorf("publisher: the id is taken by another event: %w", schema.ErrInvalid)
	// ErrUnavailable says that the log could not be reached, or refused, until the
	// deadline. Nothing was stored, and nothing is on its way. Publish again later;
	// the same id may be used.
	ErrUnavailable = errors.New("publisher: the log is unavailable")
	// ErrUnknownOutcome says that at least one attempt was sent and never answered:
	// the event is stored, will be, or is lost. Publish again with WithID of
	// Receipt.ID and WithFirstSent of Error.FirstSent: within 9 minutes 30 seconds
	// of the first attempt this stores it once whatever happened before, later it is
	// refused with this error again. Then look into the channel for the id.
	ErrUnknownOutcome = errors.New("publisher: unknown whether the event is stored")
	// ErrTrimmed comes with ErrUnknownOutcome where asking again is of no use: the server
	// knows the id, and the log has dropped what would tell whose it is. Within the
	// dedup window that happens only to a stream that keeps very little. The event was
	// stored, unless its id was not unique.
	ErrTrimmed = errors.New("publisher: the log no longer holds what would tell")
	// ErrForbidden says that NATS does not permit the connection to write the event's
	// subject, or to read its stream, which nobody else can change than who
	// configures NATS: publishing again is of no use before. The error is, or wraps, a
	// *ForbiddenError that names the subject and the role that may. Nothing was stored,
	// unless the error is ErrUnknownOutcome as well.
	ErrForbidden = errors.New("publisher: forbidden")
	// ErrClosed says that the publisher, or its connection, was closed before the
	// event was sent. Nothing was stored.
	ErrClosed = errors.New("publisher: closed")
)

// Error is what Publish, PublishBatch and an Ack fail with once an event was
// accepted. errors.Is finds Kind, and what is below Cause.
type Error struct {
	// ID, Event, Service and Channel name the event; of a batch, its first one.
	ID      string
	Event   string
	Service schema.Service
	Channel string
	// Kind is ErrUnavailable, ErrUnknownOutcome, ErrForbidden, ErrIDTaken, ErrTooLarge or
	// ErrClosed.
	Kind error
	// Cause is the last thing that went wrong, nil if nothing more is known.
	Cause error
	// Attempts is how often the event was sent.
	Attempts int
	// FirstSent is when the first unanswered attempt was sent, zero if there is none.
	FirstSent time.Time
}

// Error names the event, what is known of it, and the cause. It holds no payload.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s to %s of %s", e.Kind, e.Event, e.Channel, e.Service)
	if e.Attempts > 1 {
		fmt.Fprintf(&b, ", %d attempts", e.Attempts)
	}
	if e.Cause != nil {
		// Several causes are one line each.
		b.WriteString(": " + strings.ReplaceAll(e.Cause.Error(), "\n", "; "))
	}
	return b.String()
}

// Unwrap returns Kind and Cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// ConflictError is the error of an event whose channel stands elsewhere than
// WithExpectedSeq said. It matches ErrConflict.
type ConflictError struct {
	// ID, Service and Channel name the event.
	ID      string
	Service schema.Service
	Channel string
	// Expected is the position that WithExpectedSeq named, Actual the one of the
	// channel's last event when the server looked; 0 means that it has none.
	Expected, Actual uint64
}

// Error names the channel and both positions.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("publisher: conflict: the last event of %s of %s is %d, expected %d",
		e.Channel, e.Service, e.Actual, e.Expected)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// invalid is an ErrInvalid of this package's own.
func invalid(format string, args ...any) error {
	return fmt.Errorf("publisher: %w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
