package catalogue

import "github.com/bodhisattva/indranet/schema"

// Type is the JSON type of a field.
type Type string

// The types of fields.
const (
	// String is a JSON string.
	String Type = "string"
	// Number is a JSON number that a float64 can hold.
	Number Type = "number"
	// Integer is a JSON number without fraction and exponent that an int64 can hold.
	Integer Type = "integer"
	// Object is a JSON object.
	Object Type = "object"
	// Strings is a JSON array of strings.
	Strings Type = "array of strings"
	// Any is any JSON value; null only where the field is Nullable.
	Any Type = "any"
	// Time is a JSON string that holds an RFC 3339 time.
	Time Type = "time"
)

// OccurredAt is an optional field of every event: the RFC 3339 time at which the
// fact happened, where the publisher knows better than the moment of storing. The
// structs do not carry it, rows do not list it.
const OccurredAt = "occurred_at"

// Field is one field of an event's payload.
type Field struct {
	// Name is the key in JSON, the only spelling that is ever sent.
	Name string
	// Type is the field's JSON type.
	Type Type
	// Required says that an event without the field is refused. A field that is
	// null counts as missing, unless it is Nullable.
	Required bool
	// Nullable says that null is a value of its own. Only for Any.
	Nullable bool
	// MayBeEmpty says that a required String may be the empty string.
	MayBeEmpty bool
	// NotSent marks the field that names the event's service where the name of the
	// event does not: publishers may give it, and it is removed from the payload.
	NotSent bool
	// Aliases are spellings of older producers, accepted in place of Name.
	Aliases []string
	// Enum lists the allowed values of a String; empty allows all.
	Enum []string
	// Doc is a sentence about the field.
	Doc string
}

// Pattern is the form of the channels that an event is published to.
type Pattern struct {
	// Kind is the channels' kind.
	Kind string
	// Field names the payload field that is the channel's id. Empty for a channel
	// without an id.
	Field string
}

// String writes the pattern as documents do, for example "workflow:{workflow_id}".
func (p Pattern) String() string {
	if p.Field == "" {
		return p.Kind
	}
	return p.Kind + ":{" + p.Field + "}"
}

// Row is the catalogue's knowledge of one (service, event) pair. A Row that came out
// of a Catalogue is shared: it must not be changed.
type Row struct {
	// Service is the service that publishes the event.
	Service schema.Service
	// Name is the event's name, for example "workflow.started".
	Name string
	// Transient is true for events that are delivered live and never stored.
	Transient bool
	// Home is the pattern of the one channel that each such event is published to.
	Home Pattern
	// Fields are the known fields; a payload may hold others, which are passed on.
	Fields []Field
	// AnyOf lists optional fields of which at least one must be present.
	AnyOf []string
	// Spread names a field of older producers, an object whose members are put in
	// its place.
	Spread string
	// Doc is a sentence about the event.
	Doc string
	// Example is a realistic payload in JSON. Extensions may leave it out.
	Example string
	// Extension is true for an event that a deployment declared, not one of the 47
	// names. With sets it.
	Extension bool
}

// Field returns the row's field of that name, OccurredAt included, or nil.
func (r *Row) Field(name string) *Field {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return &r.Fields[i]
		}
	}
	if name == OccurredAt {
		return &occurredAt
	}
	return nil
}

// occurredAt is the field that every event may have.
var occurredAt = Field{
	Name: OccurredAt,
	Type: Time,
	Doc:  "When the fact happened, in RFC 3339, if the publisher told.",
}
