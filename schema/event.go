package schema

// Limits of an event. They are part of the protocol, not configuration.
const (
	// MaxPayload bounds the JSON of an event's payload, in bytes.
	MaxPayload = 256 << 10
	// MaxEventID bounds the id of an event, in bytes. Ids are printable ASCII
	// without spaces; the SDK makes UUIDv7 ids (36 bytes).
	MaxEventID = 128
)

// Event is a catalogued typed fact. The structs of the packages below schema
// implement it on their values; catalogue.Parse returns one for a payload that
// is only known as JSON.
//
// encoding/json.Marshal of an Event gives its payload: a JSON object of at most
// MaxPayload bytes.
type Event interface {
	// EventName is the catalogued name, for example "workflow.started".
	EventName() string
	// EventService is the service that publishes the event.
	EventService() Service
	// EventChannel is the event's home channel. The error matches ErrChannel or
	// ErrInvalid when the fields that make the channel break a rule.
	EventChannel() (Channel, error)
	// EventTransient is true for events that are delivered live and never stored.
	EventTransient() bool
	// Validate checks the event against its catalogue row, without encoding it.
	// The error is an *InvalidError, which names every bad field at once.
	Validate() error
}

// Headers of a stored or transient message, beside NATS' own. The event's id is
// the header Nats-Msg-Id in both cases.
const (
	// HeaderEvent carries the event's name.
	HeaderEvent = "Ind-Event"
	// HeaderContentType carries ContentType, so that a debugger knows the body.
	HeaderContentType = "Content-Type"
	// ContentType is the only content type there is.
	ContentType = "application/json"
)

// ValidEventID reports whether id may be an event's id: 1 to MaxEventID bytes of
// printable ASCII without spaces.
func ValidEventID(id string) bool {
	if id == "" || len(id) > MaxEventID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}
