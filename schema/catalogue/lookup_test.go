package catalogue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestLookupKnowsHomeChannelsAndViews(t *testing.T) {
	for _, tc := range []struct {
		service                  schema.Service
		channel                  string
		view, durable, transient bool
		kinds                    string
	}{
		{schema.Mahavishnu, "workflow:42", false, true, false, "workflow"},
		{schema.Mahavishnu, "pool:p1", false, true, false, "pool"},
		{schema.Dhruva, "registry", false, true, false, "registry"},
		{schema.Dhruva, "distribution:github.com/a/b", false, true, false, "distribution"},
		{schema.Excalidraw, "collaboration:room", false, true, true, "collaboration"},
		{schema.Fastblocks, "hot_reload", false, false, true, "hot_reload"},
		{schema.Akosha, "metrics", false, true, false, "metrics"},
		{schema.SessionBuddy, "metrics", false, true, false, "metrics"},

		{schema.Mahavishnu, "global", true, true, false, "workflow pool global"},
		{schema.Excalidraw, "global", true, true, false, "diagram collaboration global"},
		{schema.Fastblocks, "global", true, true, false, "component page render global"},
		{schema.Dhruva, "lifecycle", true, true, false, "adapter distribution lifecycle"},
		{schema.Excalidraw, "element:d/e", true, true, false, "diagram"},
		{schema.Excalidraw, "element:a%2Fb/e/f", true, true, false, "diagram"},
		{schema.Excalidraw, "element:e", true, true, false, "diagram collaboration global"},
		{schema.Excalidraw, "cursor", true, false, true, "collaboration"},
		{schema.Excalidraw, "selection", true, false, true, "collaboration"},
		{schema.Fastblocks, "state", true, true, false, "component"},
		{schema.Mahavishnu, "worker:a/b", true, true, false, "pool"},
		{schema.SessionBuddy, "session:s", true, true, false, "sessions"},
		{schema.Crackerjack, "quality:github.com/a/b", true, true, false, "quality coverage"},

		{schema.Mahavishnu, "workflow:*", true, true, false, "workflow"},
		{schema.Excalidraw, "collaboration:*", true, true, true, "collaboration"},
		{schema.Crackerjack, "quality:*", true, true, false, "quality"},
	} {
		target, err := catalogue.Default().Lookup(tc.service, channel(t, tc.channel))
		if err != nil {
			t.Errorf("%s %s: %v", tc.service, tc.channel, err)
			continue
		}
		if target.Service != tc.service || target.Channel.String() != tc.channel || target.View != tc.view ||
			target.Durable != tc.durable || target.Transient != tc.transient || !slices.Equal(target.Kinds, strings.Fields(tc.kinds)) {
			t.Errorf("%s %s is %+v", tc.service, tc.channel, target)
		}
	}
}

func TestLookupRefusesByName(t *testing.T) {
	for _, tc := range []struct {
		service schema.Service
		channel string
		want    string
	}{
		{schema.Mahavishnu, "workflw:42", "nearest: workflow:{workflow_id}"},
		{schema.Mahavishnu, "adapter:x", "all: global"},
		{schema.Mahavishnu, "workflow", "workflow:{workflow_id}, workflow:*"},
		{schema.Mahavishnu, "worker", "worker:{worker_id}"},
		{schema.Mahavishnu, "worker:*", "no worker:*"},
		{schema.Mahavishnu, "global:x", "has global"},
		{schema.Mahavishnu, "global:*", "no global:*"},
		{schema.Dhruva, "registry:x", "has registry"},
		{schema.Dhruva, "registry:*", "no registry:*"},
		{schema.Dhruva, "lifecycle:x", "has lifecycle"},
		{schema.Excalidraw, "element", "element:{diagram_id}/{element_id}, element:{element_id}"},
		{schema.Excalidraw, "element:*", "no element:*"},
		{schema.Excalidraw, "element:/e", "%2F"},
		{schema.Excalidraw, "element:d/", "%2F"},
		{schema.Excalidraw, "element:50%25/e", "%2F"}, // the one spelling is 50%/e
		{schema.Excalidraw, "cursor:x", "has cursor"},
		{schema.SessionBuddy, "session", "session:{session_id}"},
		{schema.Crackerjack, "quality", "quality:{project}, quality:*"},
	} {
		target, err := catalogue.Default().Lookup(tc.service, channel(t, tc.channel))
		if !errors.Is(err, schema.ErrChannel) || target.Service != "" {
			t.Errorf("%s %s: %+v, %v", tc.service, tc.channel, target, err)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %s: %q does not say %q", tc.service, tc.channel, err, tc.want)
		}
	}
	if _, err := catalogue.Default().Lookup(schema.Dhruva, schema.Channel{}); !errors.Is(err, schema.ErrChannel) {
		t.Errorf("no channel at all: %v", err)
	}
	if _, err := catalogue.Default().Lookup("nobody", channel(t, "global")); !errors.Is(err, schema.ErrUnknownService) {
		t.Errorf("no such service: %v", err)
	}
}

func TestViewsOfAnEvent(t *testing.T) {
	for _, tc := range []struct {
		service schema.Service
		event   string
		home    string
		payload string
		want    []string
	}{
		{schema.Mahavishnu, "workflow.started", "workflow:42", `{}`, []string{"global", "workflow:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"status":"idle","worker_id":"w1"}`, []string{"global", "pool:*", "worker:w1"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"worker_id":"*"}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"worker_id":""}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"worker_id":"a\u0000"}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"worker_id":7}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"w\u006frker_id":"\u0077\/1"}`, []string{"global", "pool:*", "worker:w/1"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", "\t{ \"a\" : [1, {\"worker_id\":\"no\"}, \"]\\\"\"] ,\r\n \"worker_id\" : \"w1\" }", []string{"global", "pool:*", "worker:w1"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"a":"worker_id","b":{"worker_id":"no"}}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"a":"unfinished`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"a":["unfinished`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"worker_id" "w1"}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `not JSON`, []string{"global", "pool:*"}},

		{schema.Excalidraw, "element.added", "diagram:d1", `{"element_id":"e1"}`, []string{"global", "diagram:*", "element:d1/e1", "element:e1"}},
		{schema.Excalidraw, "element.deleted", "diagram:a/b%2Fc%", `{"element_id":"e/1"}`, []string{"global", "diagram:*", "element:a%2Fb%252Fc%/e/1"}},
		{schema.Excalidraw, "element.updated", "diagram:d1", `{}`, []string{"global", "diagram:*"}},
		{schema.Excalidraw, "element.updated", "diagram:" + strings.Repeat("d", 199), `{"element_id":"e1"}`, []string{"global", "diagram:*", "element:e1"}},
		{schema.Excalidraw, "element.updated", "collaboration:r", `{"element_id":"e1"}`, []string{"global", "collaboration:*"}},
		{schema.Excalidraw, "cursor.moved", "collaboration:r", `{}`, []string{"collaboration:*", "cursor"}},
		{schema.Excalidraw, "selection.changed", "collaboration:r", `{}`, []string{"collaboration:*", "selection"}},
		{schema.Excalidraw, "user.joined", "collaboration:r", `{}`, []string{"global", "collaboration:*"}},

		{schema.Dhruva, "lifecycle.changed", "lifecycle", `{}`, []string{"global", "lifecycle"}},
		{schema.Dhruva, "adapter.activated", "adapter:a", `{}`, []string{"global", "adapter:*", "lifecycle"}},
		{schema.Dhruva, "adapter.swapped", "distribution:r", `{}`, []string{"global", "distribution:*", "lifecycle"}},
		{schema.Dhruva, "distribution.completed", "distribution:r", `{}`, []string{"global", "distribution:*"}},
		{schema.Dhruva, "registry.updated", "registry", `{}`, []string{"global"}},
		{schema.Dhruva, "system.events", "global", `{}`, []string{"global"}},

		{schema.Fastblocks, "state.changed", "component:c", `{}`, []string{"global", "component:*", "state"}},
		{schema.Fastblocks, "component.updated", "component:c", `{}`, []string{"global", "component:*"}},
		{schema.Fastblocks, "hot_reload.triggered", "hot_reload", `{}`, nil},

		{schema.SessionBuddy, "session.closed", "sessions", `{"session_id":"s1"}`, []string{"global", "session:s1"}},
		{schema.SessionBuddy, "knowledge.captured", "knowledge", `{"session_id":"s1"}`, []string{"global"}},
		{schema.Crackerjack, "quality_gate.checked", "quality:p", `{"project":"p"}`, []string{"global", "quality:*", "quality:p"}},
		{schema.Crackerjack, "coverage.updated", "coverage", `{"project":"p"}`, []string{"global", "quality:p"}},
		{schema.Crackerjack, "coverage.updated", "coverage", `{"project":"*"}`, []string{"global"}},

		// Published past the SDK: who may read the view may not read what is stored elsewhere.
		{schema.Dhruva, "adapter.swapped", "registry", `{}`, []string{"global"}},
		{schema.Mahavishnu, "worker.status_changed", "workflow:42", `{"worker_id":"w1"}`, []string{"global", "workflow:*"}},
		{schema.SessionBuddy, "session.closed", "knowledge", `{"session_id":"s1"}`, []string{"global"}},
		{schema.Fastblocks, "state.changed", "hot_reload", `{}`, []string{"global"}},
		{schema.Mahavishnu, "pool.spawned", "pool:p1", `{}`, []string{"global", "pool:*"}},
		{schema.Mahavishnu, "pool.spawned", "swarm:p1", `{}`, []string{"global"}},
		{schema.Crackerjack, "gate.opened", "quality:p", `{}`, []string{"global", "quality:*", "quality:p"}},
		{schema.Mahavishnu, "", "global", ``, []string{"global"}},
	} {
		dst := []string{"before"}
		got := catalogue.Default().Views(dst, tc.service, tc.event, channel(t, tc.home), []byte(tc.payload))
		if got[0] != "before" || !slices.Equal(got[1:], tc.want) {
			t.Errorf("%s at %s with %s: %q, want %q", tc.event, tc.home, tc.payload, got[1:], tc.want)
		}
	}
}

// TestEveryViewNameCanBeSubscribedTo closes the circle: what Views names, Lookup
// knows as a view of the event's home kind.
func TestEveryViewNameCanBeSubscribedTo(t *testing.T) {
	c := catalogue.Default()
	seen := map[string]bool{}
	for _, row := range c.Rows() {
		event, err := c.Parse(row.Service, row.Name, []byte(row.Example))
		if err != nil {
			t.Fatal(err)
		}
		home, _ := event.EventChannel()
		for _, name := range c.Views(nil, row.Service, row.Name, home, []byte(row.Example)) {
			target, err := c.Lookup(row.Service, channel(t, name))
			if err != nil || !target.View || !slices.Contains(target.Kinds, row.Home.Kind) {
				t.Errorf("%s is in %s, which is %+v, %v", row.Name, name, target, err)
			}
			if row.Transient && !target.Transient || !row.Transient && !target.Durable {
				t.Errorf("%s is in %s, which has no such events", row.Name, name)
			}
			seen[string(row.Service)+" "+target.Channel.Kind()] = true
		}
	}
	for _, view := range catalogue.ViewTable() {
		for _, service := range schema.Services() {
			if (view.Service == "" || view.Service == service) && !seen[string(service)+" "+view.Kind] {
				t.Errorf("no event is in %s of %s", &view, service)
			}
		}
	}
}

func TestViewsAllocateOnlyNamesThatHoldAnID(t *testing.T) {
	c := catalogue.Default()
	for _, tc := range []struct {
		service schema.Service
		event   string
		home    string
		payload string
		want    float64
	}{
		{schema.Mahavishnu, "workflow.started", "workflow:42", `{"workflow_id":"42"}`, 0},
		{schema.Dhruva, "adapter.activated", "adapter:a", `{}`, 0},
		{schema.Excalidraw, "cursor.moved", "collaboration:r", `{}`, 0},
		{schema.Mahavishnu, "pool.spawned", "pool:p1", `{}`, 0},
		{schema.Mahavishnu, "worker.status_changed", "pool:p1", `{"pool_id":"p1","worker_id":"w1"}`, 2},
	} {
		home, payload, dst := channel(t, tc.home), []byte(tc.payload), make([]string, 0, 8)
		got := testing.AllocsPerRun(100, func() { dst = c.Views(dst[:0], tc.service, tc.event, home, payload) })
		if got > tc.want {
			t.Errorf("%s: %v allocations, want at most %v", tc.event, got, tc.want)
		}
	}
}

func BenchmarkViews(b *testing.B) {
	c := catalogue.Default()
	home := channel(b, "diagram:d-architecture")
	row, _ := c.Event(schema.Excalidraw, "element.added")
	payload, dst := []byte(row.Example), make([]string, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		dst = c.Views(dst[:0], schema.Excalidraw, "element.added", home, payload)
	}
}
