package catalogue_test

import (
	"encoding/json"
	"testing"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/akosha"
	"github.com/bodhisattva/indranet/schema/catalogue"
	"github.com/bodhisattva/indranet/schema/crackerjack"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/excalidraw"
	"github.com/bodhisattva/indranet/schema/fastblocks"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
	"github.com/bodhisattva/indranet/schema/sessionbuddy"
	"github.com/bodhisattva/indranet/schema/system"
)

// structOf returns a decoder of payloads into a struct of the SDK.
func structOf[T schema.Event]() func([]byte) (schema.Event, error) {
	return func(payload []byte) (schema.Event, error) {
		var event T
		err := json.Unmarshal(payload, &event)
		return event, err
	}
}

// structs are the SDK's structs by (service, event). That of system.events is added
// for every service.
var structs = func() map[[2]string]func([]byte) (schema.Event, error) {
	all := map[[2]string]func([]byte) (schema.Event, error){
		{"mahavishnu", "workflow.started"}:         structOf[mahavishnu.WorkflowStarted](),
		{"mahavishnu", "workflow.stage_completed"}: structOf[mahavishnu.WorkflowStageCompleted](),
		{"mahavishnu", "workflow.completed"}:       structOf[mahavishnu.WorkflowCompleted](),
		{"mahavishnu", "workflow.failed"}:          structOf[mahavishnu.WorkflowFailed](),
		{"mahavishnu", "worker.status_changed"}:    structOf[mahavishnu.WorkerStatusChanged](),
		{"mahavishnu", "pool.status_changed"}:      structOf[mahavishnu.PoolStatusChanged](),

		{"dhruva", "adapter.activated"}:      structOf[dhruva.AdapterActivated](),
		{"dhruva", "adapter.deactivated"}:    structOf[dhruva.AdapterDeactivated](),
		{"dhruva", "adapter.swapped"}:        structOf[dhruva.AdapterSwapped](),
		{"dhruva", "distribution.completed"}: structOf[dhruva.DistributionCompleted](),
		{"dhruva", "registry.updated"}:       structOf[dhruva.RegistryUpdated](),
		{"dhruva", "lifecycle.changed"}:      structOf[dhruva.LifecycleChanged](),

		{"excalidraw", "element.added"}:     structOf[excalidraw.ElementAdded](),
		{"excalidraw", "element.updated"}:   structOf[excalidraw.ElementUpdated](),
		{"excalidraw", "element.deleted"}:   structOf[excalidraw.ElementDeleted](),
		{"excalidraw", "diagram.saved"}:     structOf[excalidraw.DiagramSaved](),
		{"excalidraw", "diagram.locked"}:    structOf[excalidraw.DiagramLocked](),
		{"excalidraw", "cursor.moved"}:      structOf[excalidraw.CursorMoved](),
		{"excalidraw", "selection.changed"}: structOf[excalidraw.SelectionChanged](),
		{"excalidraw", "user.joined"}:       structOf[excalidraw.UserJoined](),
		{"excalidraw", "user.left"}:         structOf[excalidraw.UserLeft](),

		{"fastblocks", "component.updated"}:    structOf[fastblocks.ComponentUpdated](),
		{"fastblocks", "component.mounted"}:    structOf[fastblocks.ComponentMounted](),
		{"fastblocks", "component.unmounted"}:  structOf[fastblocks.ComponentUnmounted](),
		{"fastblocks", "page.rendered"}:        structOf[fastblocks.PageRendered](),
		{"fastblocks", "state.changed"}:        structOf[fastblocks.StateChanged](),
		{"fastblocks", "hot_reload.triggered"}: structOf[fastblocks.HotReloadTriggered](),
		{"fastblocks", "render.started"}:       structOf[fastblocks.RenderStarted](),
		{"fastblocks", "render.completed"}:     structOf[fastblocks.RenderCompleted](),
		{"fastblocks", "render.failed"}:        structOf[fastblocks.RenderFailed](),

		{"akosha", "pattern.detected"}:      structOf[akosha.PatternDetected](),
		{"akosha", "anomaly.detected"}:      structOf[akosha.AnomalyDetected](),
		{"akosha", "insight.generated"}:     structOf[akosha.InsightGenerated](),
		{"akosha", "aggregation.completed"}: structOf[akosha.AggregationCompleted](),

		{"crackerjack", "test.started"}:         structOf[crackerjack.TestStarted](),
		{"crackerjack", "test.completed"}:       structOf[crackerjack.TestCompleted](),
		{"crackerjack", "test.failed"}:          structOf[crackerjack.TestFailed](),
		{"crackerjack", "quality_gate.checked"}: structOf[crackerjack.QualityGateChecked](),
		{"crackerjack", "coverage.updated"}:     structOf[crackerjack.CoverageUpdated](),

		{"session-buddy", "session.created"}:         structOf[sessionbuddy.SessionCreated](),
		{"session-buddy", "session.updated"}:         structOf[sessionbuddy.SessionUpdated](),
		{"session-buddy", "session.checkpoint"}:      structOf[sessionbuddy.SessionCheckpoint](),
		{"session-buddy", "session.closed"}:          structOf[sessionbuddy.SessionClosed](),
		{"session-buddy", "knowledge.captured"}:      structOf[sessionbuddy.KnowledgeCaptured](),
		{"session-buddy", "knowledge.search_result"}: structOf[sessionbuddy.KnowledgeSearchResult](),
		{"session-buddy", "metrics.update"}:          structOf[sessionbuddy.MetricsUpdate](),
	}
	for _, service := range schema.Services() {
		all[[2]string{string(service), catalogue.SystemEvents}] = func(payload []byte) (schema.Event, error) {
			event := system.Event{Service: service}
			err := json.Unmarshal(payload, &event)
			return event, err
		}
	}
	return all
}()

// decode reads a payload into the SDK's struct of a row.
func decode(t testing.TB, row *catalogue.Row, payload []byte) schema.Event {
	t.Helper()
	decoder := structs[[2]string{string(row.Service), row.Name}]
	if decoder == nil {
		t.Fatalf("%s %s has no struct", row.Service, row.Name)
	}
	event, err := decoder(payload)
	if err != nil {
		t.Fatalf("%s %s does not decode %s: %v", row.Service, row.Name, payload, err)
	}
	return event
}

func TestEveryPairHasAStructThatAgreesWithItsRow(t *testing.T) {
	c := catalogue.Default()
	if len(structs) != 53 {
		t.Errorf("%d structs, want 53", len(structs))
	}
	for _, row := range c.Rows() {
		t.Run(string(row.Service)+"/"+row.Name, func(t *testing.T) {
			parsed, err := c.Parse(row.Service, row.Name, []byte(row.Example))
			if err != nil {
				t.Fatalf("the example is refused: %v", err)
			}
			payload, err := json.Marshal(parsed)
			if err != nil || string(payload) != row.Example {
				t.Errorf("the example came back as %s, %v", payload, err)
			}
			event := decode(t, &row, payload)
			agree(t, event, parsed)
			again, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			reparsed, err := c.Parse(row.Service, row.Name, again)
			if err != nil {
				t.Fatalf("the struct's JSON %s is refused: %v", again, err)
			}
			agree(t, reparsed, parsed)
			if valid := testing.AllocsPerRun(10, func() { _ = event.Validate() }); valid != 0 && row.Name != catalogue.SystemEvents {
				t.Errorf("Validate of a valid event allocates %v times", valid)
			}
		})
	}
}

// agree wants two forms of an event to be the same event, and valid.
func agree(t testing.TB, a, b schema.Event) {
	t.Helper()
	if a.EventName() != b.EventName() || a.EventService() != b.EventService() || a.EventTransient() != b.EventTransient() {
		t.Errorf("%T is %s %s, not %s %s", a, a.EventService(), a.EventName(), b.EventService(), b.EventName())
	}
	home, err := a.EventChannel()
	want, wantErr := b.EventChannel()
	if home != want || err != nil || wantErr != nil {
		t.Errorf("home channel %q (%v), want %q (%v)", home, err, want, wantErr)
	}
	if err := a.Validate(); err != nil {
		t.Errorf("%T is not valid: %v", a, err)
	}
}
