// Package system holds the one event that every service publishes, system.events.
package system

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bodhisattva/indranet/schema"
)

// name is the catalogued name of the event.
const name = "system.events"

// Event is the event system.events. Something happened that concerns a whole
// service. Its home channel is global. It may be used by several goroutines as long
// as nobody changes it.
type Event struct {
	// Service is the service that it is about, whose global it is published to. It
	// is not part of the JSON that is sent.
	Service schema.Service
	// Message says what happened, for people. Left out when empty.
	Message string
	// Level says how serious it is, for example info, warning or error. Left out
	// when empty.
	Level string
	// Extra holds any other fields. Its keys may not be those of the fields above,
	// however capitalised.
	Extra map[string]any
}

var _ schema.Event = Event{}

// EventName returns "system.events".
func (Event) EventName() string { return name }

// EventService returns Service.
func (e Event) EventService() schema.Service { return e.Service }

// EventChannel returns the home channel, global.
func (Event) EventChannel() (schema.Channel, error) { return schema.NewChannel("global", "") }

// EventTransient returns false.
func (Event) EventTransient() bool { return false }

// Validate checks every field. The error is a *schema.InvalidError.
func (e Event) Validate() error {
	var c schema.Check
	if e.Service.Port() == 0 {
		c.Add("service", "must be one of the services")
	}
	c.Text("message", e.Message)
	c.Text("level", e.Level)
	for _, field := range [...]string{"service", "message", "level"} {
		for key := range e.Extra {
			if strings.EqualFold(key, field) {
				c.Add(field, "may not be among the extra fields")
			}
		}
	}
	for key, value := range e.Extra {
		if strings.EqualFold(key, "occurred_at") && (key != "occurred_at" || !isTime(value)) {
			c.Add("occurred_at", "must be a time as RFC 3339 writes it")
		}
	}
	return c.Err(name)
}

func isTime(value any) bool {
	switch v := value.(type) {
	case time.Time:
		return true
	case string:
		_, err := time.Parse(time.RFC3339, v)
		return err == nil
	}
	return false
}

// MarshalJSON writes the payload: Extra, and what is not empty of Message and Level.
func (e Event) MarshalJSON() ([]byte, error) {
	fields := make(map[string]any, len(e.Extra)+2)
	for key, value := range e.Extra {
		fields[key] = value
	}
	if e.Message != "" {
		fields["message"] = e.Message
	}
	if e.Level != "" {
		fields["level"] = e.Level
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads a payload. Service is set where the payload names it, which
// what is delivered never does: there it is the service of the connection.
func (e *Event) UnmarshalJSON(data []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("system: %w", err)
	}
	read := Event{Service: e.Service}
	for key, value := range fields {
		text, isText := value.(string)
		switch key {
		case "service", "message", "level":
			if value == nil {
				continue
			}
			if !isText {
				return fmt.Errorf("system: %w: %s must be a string", schema.ErrInvalid, key)
			}
		}
		switch key {
		case "service":
			service, err := schema.ParseService(text)
			if err != nil {
				return fmt.Errorf("system: %w", err)
			}
			read.Service = service
		case "message":
			read.Message = text
		case "level":
			read.Level = text
		default:
			if read.Extra == nil {
				read.Extra = make(map[string]any)
			}
			read.Extra[key] = value
		}
	}
	*e = read
	return nil
}
