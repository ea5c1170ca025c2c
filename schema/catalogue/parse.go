package catalogue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// Parsed is an event that came as JSON and was found to agree with its row. It
// implements schema.Event; json.Marshal gives Payload. It is immutable and safe for
// concurrent use.
type Parsed struct {
	row     *Row
	channel schema.Channel
	payload []byte
}

var _ schema.Event = (*Parsed)(nil)

// Row is the event's row. It must not be changed.
func (p *Parsed) Row() *Row { return p.row }

// Payload is the event's payload: compact JSON, older spellings rewritten, in the
// order of the sender. It must not be changed.
func (p *Parsed) Payload() []byte { return p.payload }

// MarshalJSON returns Payload.
func (p *Parsed) MarshalJSON() ([]byte, error) { return p.payload, nil }

// EventName is the event's catalogued name.
func (p *Parsed) EventName() string { return p.row.Name }

// EventService is the service that publishes the event.
func (p *Parsed) EventService() schema.Service { return p.row.Service }

// EventChannel is the event's home channel. It never fails.
func (p *Parsed) EventChannel() (schema.Channel, error) { return p.channel, nil }

// EventTransient is true for events that are never stored.
func (p *Parsed) EventTransient() bool { return p.row.Transient }

// Validate returns nil: only valid payloads become a Parsed.
func (p *Parsed) Validate() error { return nil }

// Parse reads the payload of a service's event. The result, a *Parsed, has every
// field under its first spelling, an object to be spread spread, null taken as
// missing where null is no value, and every field that the row does not know as it
// was sent.
//
// The error matches schema.ErrUnknownEvent, schema.ErrTooLarge, or
// schema.ErrInvalid: then it is a *schema.InvalidError that names every missing or
// mistyped field in catalogue order. A payload is refused as a whole when it is not
// a JSON object, gives a key twice, holds text that is not Unicode or a number
// beyond a float64, nests deeper than 64 levels, or spells a field of the row with
// other capitals.
func (c *Catalogue) Parse(service schema.Service, name string, payload []byte) (schema.Event, error) {
	e, err := c.event(service, name)
	if err != nil {
		return nil, err
	}
	if len(payload) > schema.MaxPayload {
		return nil, tooLarge(&e.Row, len(payload))
	}
	members, compact, problem, at := scanObject(payload)
	if problem != "" {
		var check schema.Check
		check.Add("payload", problem+" (at byte "+strconv.Itoa(at)+")")
		return nil, check.Err(name)
	}
	r := reading{row: &e.Row, members: members}
	channel := r.read()
	if err := r.check.Err(name); err != nil {
		return nil, err
	}
	if r.changed {
		if compact = r.join(); len(compact) > schema.MaxPayload {
			return nil, tooLarge(&e.Row, len(compact))
		}
	}
	return &Parsed{row: &e.Row, channel: channel, payload: compact}, nil
}

func tooLarge(row *Row, size int) error {
	return fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", schema.ErrTooLarge, row.Name, size, schema.MaxPayload)
}

// reading is one payload on its way through its row's rules.
type reading struct {
	row     *Row
	members []member
	// changed says that the members no longer are what was sent.
	changed bool
	check   schema.Check
}

// read applies every rule and returns the home channel, which is valid when check
// found nothing.
func (r *reading) read() schema.Channel {
	r.spread()
	r.rename(&occurredAt)
	for i := range r.row.Fields {
		r.rename(&r.row.Fields[i])
	}
	id := ""
	for i := range r.row.Fields {
		field := &r.row.Fields[i]
		text := r.field(field)
		if field.Name == r.row.Home.Field {
			id = text
		}
	}
	r.field(&occurredAt)
	if len(r.row.AnyOf) > 0 && !slices.ContainsFunc(r.row.AnyOf, func(name string) bool { return r.find(name) >= 0 }) {
		r.check.Add(strings.Join(r.row.AnyOf, " or "), schema.ProblemRequired)
	}
	r.otherCapitals()
	// A field that makes the channel has been checked, so this fails only after it.
	channel, _ := schema.NewChannel(r.row.Home.Kind, id)
	return channel
}

// find returns the index of the member with that key, or -1.
func (r *reading) find(key string) int {
	return slices.IndexFunc(r.members, func(m member) bool { return m.key == key })
}

// replace puts others in the place of a member.
func (r *reading) replace(at int, others ...member) {
	r.members = slices.Replace(r.members, at, at+1, others...)
	r.changed = true
}

// spread puts the members of the row's Spread object in its place. A member that
// the payload has as well must be the same.
func (r *reading) spread() {
	at := -1
	if r.row.Spread != "" {
		at = r.find(r.row.Spread)
	}
	if at < 0 {
		return
	}
	value := r.members[at].value
	if string(value) == "null" {
		r.replace(at)
		return
	}
	if value[0] != '{' {
		r.check.Add(r.row.Spread, "must be an object")
		return
	}
	outer := make(map[string][]byte, len(r.members))
	for i := range r.members {
		outer[r.members[i].key] = r.members[i].value
	}
	inner, _, _, _ := scanObject(value)
	r.replace(at, slices.DeleteFunc(inner, func(m member) bool {
		other, known := outer[m.key]
		if m.key == r.row.Spread {
			r.check.Add(m.key, "may not hold itself")
		} else if known && !bytes.Equal(other, m.value) {
			r.check.Add(r.named(m.key), "differs from the one in "+r.row.Spread)
		}
		return known
	})...)
}

// named returns a key that an error may repeat: a field's name, or "payload".
func (r *reading) named(key string) string {
	if r.row.Field(key) != nil {
		return key
	}
	return "payload"
}

// rename gives a field its first spelling, with which older ones must agree, and
// drops it where null means missing.
func (r *reading) rename(field *Field) {
	r.spelled(field, field.Name)
	for _, alias := range field.Aliases {
		r.spelled(field, alias)
	}
}

// spelled handles one spelling of a field, after the ones before it.
func (r *reading) spelled(field *Field, spelling string) {
	at := r.find(spelling)
	if at < 0 {
		return
	}
	if !field.Nullable && string(r.members[at].value) == "null" {
		r.replace(at)
		return
	}
	if first := r.find(field.Name); first >= 0 && first != at {
		if !bytes.Equal(r.members[first].value, r.members[at].value) {
			r.check.Add(field.Name, "differs from the one spelled "+spelling)
		}
		r.replace(at)
		return
	}
	if m := &r.members[at]; len(m.rawKey) != len(field.Name)+len(`""`) || m.key != field.Name {
		m.key, m.rawKey, r.changed = field.Name, []byte(`"`+field.Name+`"`), true
	}
}

// field checks one field. It returns the text of a string that makes the channel.
func (r *reading) field(field *Field) (id string) {
	at := r.find(field.Name)
	if at < 0 {
		r.check.Present(field.Name, !field.Required)
		return ""
	}
	value := r.members[at].value
	if problem := typeProblem(field.Type, value); problem != "" {
		r.check.Add(field.Name, problem)
		return ""
	}
	switch {
	case field.Type == Time:
		if text, _ := unquote(value); !isTime(text) {
			r.check.Add(field.Name, "must be a time as RFC 3339 writes it")
		}
	case field.Type != String:
	case field.NotSent:
		if text, _ := unquote(value); !names(text, r.row.Service) {
			r.check.Add(field.Name, "names another service than "+string(r.row.Service))
		}
		r.replace(at)
	case field.Name == r.row.Home.Field:
		id, _ = unquote(value)
		r.check.ID(field.Name, id)
	case len(field.Enum) > 0:
		text, _ := unquote(value)
		r.check.OneOf(field.Name, text, field.Enum...)
	case field.Required && !field.MayBeEmpty && len(value) == len(`""`):
		r.check.Add(field.Name, schema.ProblemEmpty)
	}
	return id
}

// otherCapitals refuses keys that differ from a field's name only in case:
// encoding/json would take them for the field, readers in other languages not.
func (r *reading) otherCapitals() {
	for i := range r.members {
		key := r.members[i].key
		known := func(f Field) bool { return f.Name != key && strings.EqualFold(f.Name, key) }
		if j := slices.IndexFunc(r.row.Fields, known); j >= 0 {
			r.check.Add(r.row.Fields[j].Name, "is spelled with other capitals")
		} else if known(occurredAt) {
			r.check.Add(OccurredAt, "is spelled with other capitals")
		}
	}
}

// join writes the members as one object.
func (r *reading) join() []byte {
	size := len("{}")
	for i := range r.members {
		size += len(r.members[i].rawKey) + len(r.members[i].value) + len(":,")
	}
	out := append(make([]byte, 0, size), '{')
	for i := range r.members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, r.members[i].rawKey...)
		out = append(out, ':')
		out = append(out, r.members[i].value...)
	}
	return append(out, '}')
}

// typeProblem compares a compact JSON value with a field's type.
func typeProblem(t Type, value []byte) string {
	first := value[0]
	switch t {
	case String, Time:
		if first != '"' {
			return "must be a string"
		}
	case Number:
		if !isNumber(first) {
			return "must be a number"
		}
	case Integer:
		if _, err := strconv.ParseInt(string(value), 10, 64); !isNumber(first) || err != nil {
			return "must be an integer"
		}
	case Object:
		if first != '{' {
			return "must be an object"
		}
	case Strings:
		var texts []*string
		if first != '[' || json.Unmarshal(value, &texts) != nil || slices.Contains(texts, nil) {
			return "must be an array of strings"
		}
	}
	return ""
}

func isNumber(first byte) bool { return first == '-' || first >= '0' && first <= '9' }

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

// names reports whether a text is the name or an alias of the service.
func names(text string, service schema.Service) bool {
	named, err := schema.ParseService(text)
	return err == nil && named == service
}
