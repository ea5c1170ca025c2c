package system_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/system"
)

func TestTheServiceIsNotPartOfThePayload(t *testing.T) {
	event := system.Event{
		Service: schema.Dhruva, Message: "maintenance at 22:00", Level: "info",
		Extra: map[string]any{"window_minutes": 30.0, "occurred_at": "2026-11-22T10:15:00Z"},
	}
	if err := event.Validate(); err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(event)
	const want = `{"level":"info","message":"maintenance at 22:00","occurred_at":"2026-11-22T10:15:00Z","window_minutes":30}`
	if err != nil || string(payload) != want {
		t.Fatalf("payload %s, %v", payload, err)
	}
	back := system.Event{Service: schema.Dhruva}
	if err := json.Unmarshal(payload, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(event, back); diff != "" {
		t.Errorf("(-sent +read)\n%s", diff)
	}
	if home, err := event.EventChannel(); err != nil || home.String() != "global" || event.EventService() != schema.Dhruva {
		t.Errorf("%s of %s, %v", home, event.EventService(), err)
	}
}

func TestOlderPayloadsNameTheService(t *testing.T) {
	var event system.Event
	if err := json.Unmarshal([]byte(`{"service":"excalidraw-mcp","message":null}`), &event); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(system.Event{Service: schema.Excalidraw}, event); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, payload := range []string{`[]`, `{"message":1}`, `{"level":{}}`, `{"service":"nobody"}`, `{"service":7}`} {
		if err := json.Unmarshal([]byte(payload), &event); err == nil {
			t.Errorf("%s was read as %+v", payload, event)
		}
	}
	if event.Service != schema.Excalidraw {
		t.Errorf("a refused payload left %+v", event)
	}
}

func TestValidateNamesEveryBadField(t *testing.T) {
	err := system.Event{
		Service: "nobody", Message: "\xff", Level: "\xff",
		Extra: map[string]any{"Service": 1, "MESSAGE": 1, "level": 1, "occurred_at": "now"},
	}.Validate()
	const want = "invalid event system.events: service must be one of the services; message is not valid UTF-8; level is not valid UTF-8; " +
		"service may not be among the extra fields; message may not be among the extra fields; level may not be among the extra fields; " +
		"occurred_at must be a time as RFC 3339 writes it"
	if !errors.Is(err, schema.ErrInvalid) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	event := system.Event{Service: schema.Dhruva, Extra: map[string]any{"occurred_at": time.Now()}}
	if err := event.Validate(); err != nil {
		t.Errorf("a time.Time: %v", err)
	}
}
