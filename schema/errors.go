package schema

import (
	"errors"
	"strings"
)

// Sentinels for errors.Is.
var (
	// ErrUnknownService says that a name is none of the seven services.
	ErrUnknownService = errors.New("unknown service")
	// ErrUnknownEvent says that the service has no catalogued event of that name.
	ErrUnknownEvent = errors.New("unknown event")
	// ErrChannel says that a text is not a channel: its kind or its id breaks a rule.
	ErrChannel = errors.New("invalid channel")
	// ErrInvalid says that an event's payload breaks its catalogue row. The error
	// is an *InvalidError, which names every bad field.
	ErrInvalid = errors.New("invalid event")
	// ErrTooLarge says that an event's payload is longer than MaxPayload.
	ErrTooLarge = errors.New("payload too large")
)

// FieldError is one bad field of an event.
type FieldError struct {
	// Field is the field's name in JSON.
	Field string
	// Problem says what is wrong with it, for example "is required" or
	// "must be a string". It never repeats the value.
	Problem string
}

// InvalidError lists everything that is wrong with one event.
// It matches ErrInvalid.
type InvalidError struct {
	Event  string
	Fields []FieldError
}

// Error names the event and every bad field, in catalogue order.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid event ")
	b.WriteString(e.Event)
	for i, f := range e.Fields {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		b.WriteString(f.Field)
		b.WriteByte(' ')
		b.WriteString(f.Problem)
	}
	return b.String()
}

// Is reports whether target is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }
