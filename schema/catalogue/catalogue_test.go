package catalogue_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

func TestFortySevenNamesInFiftyThreePairs(t *testing.T) {
	rows := catalogue.Default().Rows()
	names, durable := map[string]bool{}, map[string]bool{}
	for _, row := range rows {
		names[row.Name] = true
		if !row.Transient {
			durable[row.Name] = true
		}
		if row.Extension {
			t.Errorf("%s counts as an extension", row.Name)
		}
	}
	if len(rows) != 53 || len(names) != 47 || len(durable) != 44 {
		t.Errorf("%d pairs, %d names, %d durable names; want 53, 47, 44", len(rows), len(names), len(durable))
	}
}

// TestRowsSayWhatWasAgreed compares the rows with testdata/events.txt, written down
// independently of them.
func TestRowsSayWhatWasAgreed(t *testing.T) {
	text, err := os.ReadFile("testdata/events.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			cells := strings.Split(strings.TrimSpace(line), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			cells[3] = strings.ReplaceAll(cells[3], "*", "")
			want = append(want, strings.Join(cells, " | "))
		}
	}
	var got []string
	for _, row := range catalogue.Default().Rows() {
		if row.Name == catalogue.SystemEvents {
			continue
		}
		var fields []string
		for _, field := range row.Fields {
			text := field.Name
			if !field.Required {
				text += "?"
			}
			for _, alias := range field.Aliases {
				text += " [" + alias + "]"
			}
			if len(field.Enum) > 0 {
				text += " (" + strings.Join(field.Enum, ", ") + ")"
			}
			fields = append(fields, text)
		}
		kind := "durable"
		if row.Transient {
			kind = "transient"
		}
		got = append(got, strings.Join([]string{string(row.Service), row.Name, row.Home.String(), strings.Join(fields, ", "), kind}, " | "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-agreed +rows)\n%s", diff)
	}
}

func TestRowsAreWellFormed(t *testing.T) {
	for _, row := range catalogue.Default().Rows() {
		if !strings.HasSuffix(row.Doc, ".") || !json.Valid([]byte(row.Example)) {
			t.Errorf("%s: doc %q, example %s", row.Name, row.Doc, row.Example)
		}
		spellings := map[string]bool{catalogue.OccurredAt: true, row.Spread: true}
		for _, field := range row.Fields {
			if !strings.HasSuffix(field.Doc, ".") {
				t.Errorf("%s.%s: doc %q", row.Name, field.Name, field.Doc)
			}
			for _, name := range append([]string{field.Name}, field.Aliases...) {
				if spellings[strings.ToLower(name)] {
					t.Errorf("%s: the spelling %q is used twice", row.Name, name)
				}
				spellings[strings.ToLower(name)] = true
			}
		}
		if id := row.Home.Field; id != "" {
			if field := row.Field(id); field == nil || field.Type != catalogue.String || !field.Required || field.MayBeEmpty {
				t.Errorf("%s: the field %s cannot make the channel", row.Name, id)
			}
		}
		for _, name := range row.AnyOf {
			if field := row.Field(name); field == nil || field.Required {
				t.Errorf("%s: %s is no optional field", row.Name, name)
			}
		}
	}
}

// The demo and the printed example clients rely on this channel.
func TestTheExampleAdapterIsLlamaindex(t *testing.T) {
	c := catalogue.Default()
	row, err := c.Event(schema.Dhruva, "adapter.activated")
	if err != nil {
		t.Fatal(err)
	}
	event, err := c.Parse(row.Service, row.Name, []byte(row.Example))
	if err != nil {
		t.Fatal(err)
	}
	if home, _ := event.EventChannel(); home.String() != "adapter:llamaindex" {
		t.Errorf("home channel %q", home)
	}
}

func TestUnknownEventsAreNamedWithTheNearest(t *testing.T) {
	c := catalogue.Default()
	for _, tc := range []struct {
		service schema.Service
		name    string
		want    []string
	}{
		{schema.Mahavishnu, "workflow.stated", []string{`"workflow.stated"`, `"workflow.started"`}},
		{schema.SessionBuddy, "session.close", []string{`"session.close"`, `"session.closed"`}},
		{schema.Akosha, "system.event", []string{`"system.events"`}},
		{schema.Mahavishnu, "adapter.activated", []string{`"adapter.activated"`, "dhruva"}},
		{schema.Mahavishnu, "", []string{"nearest"}},
		{schema.Mahavishnu, strings.Repeat("ü", 5000), []string{"nearest"}},
		{"nobody", "workflow.started", []string{`"nobody"`}},
	} {
		row, err := c.Event(tc.service, tc.name)
		if row != nil || !errors.Is(err, schema.ErrUnknownEvent) {
			t.Fatalf("%s %q: %v, %v", tc.service, tc.name, row, err)
		}
		if len(err.Error()) > 400 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		for _, part := range tc.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %s", err, part)
			}
		}
		if _, parseErr := c.Parse(tc.service, tc.name, []byte(`{}`)); !errors.Is(parseErr, schema.ErrUnknownEvent) {
			t.Errorf("Parse: %v", parseErr)
		}
	}
	if _, err := c.Event("nobody", "x.y"); !errors.Is(err, schema.ErrUnknownService) {
		t.Errorf("error %v", err)
	}
}

func TestExtensionsAreEventsLikeTheOthers(t *testing.T) {
	base := catalogue.Default()
	c, err := base.With(
		catalogue.Row{Service: schema.Mahavishnu, Name: "task.assigned", Home: catalogue.Pattern{Kind: "task", Field: "task_id"},
			Fields: []catalogue.Field{
				{Name: "worker", Type: catalogue.String, Required: true, Aliases: []string{"worker_name"}},
				{Name: "due", Type: catalogue.Time},
			}},
		catalogue.Row{Service: schema.SessionBuddy, Name: "session.paused", Home: catalogue.Pattern{Kind: "sessions"},
			Fields: []catalogue.Field{{Name: "session_id", Type: catalogue.String, Required: true}}},
		catalogue.Row{Service: schema.Excalidraw, Name: "diagram.created", Home: catalogue.Pattern{Kind: "diagram", Field: "diagram_id"}},
		catalogue.Row{Service: schema.Akosha, Name: "task.assigned", Home: catalogue.Pattern{Kind: "global"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(base.Rows()); n != 53 {
		t.Errorf("the catalogue it was made from has %d rows now", n)
	}
	rows := c.Rows()
	if n := len(slices.DeleteFunc(rows, func(r catalogue.Row) bool { return !r.Extension })); n != 4 {
		t.Errorf("%d extensions", n)
	}

	event, err := c.Parse(schema.Mahavishnu, "task.assigned", []byte(`{"task_id":"t1","worker_name":"w"}`))
	if err != nil {
		t.Fatal(err)
	}
	if home, _ := event.EventChannel(); home.String() != "task:t1" {
		t.Errorf("home channel %q", home)
	}
	if payload, _ := json.Marshal(event); string(payload) != `{"task_id":"t1","worker":"w"}` {
		t.Errorf("payload %s", payload)
	}
	_, err = c.Parse(schema.Mahavishnu, "task.assigned", []byte(`{"due":"tomorrow"}`))
	if want := "invalid event task.assigned: worker is required; due must be a time as RFC 3339 writes it; task_id is required"; err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	target, err := c.Lookup(schema.Mahavishnu, channel(t, "task:*"))
	if err != nil || !target.View || !target.Durable || target.Transient || !slices.Equal(target.Kinds, []string{"task"}) {
		t.Errorf("task:* is %+v, %v", target, err)
	}
	views := c.Views(nil, schema.SessionBuddy, "session.paused", channel(t, "sessions"), []byte(`{"session_id":"s1"}`))
	if !slices.Equal(views, []string{"global", "session:s1"}) {
		t.Errorf("views %q", views)
	}
	if _, err := base.Event(schema.Mahavishnu, "task.assigned"); !errors.Is(err, schema.ErrUnknownEvent) {
		t.Errorf("the default catalogue has it: %v", err)
	}
	if _, err := c.With(catalogue.Row{Service: schema.Mahavishnu, Name: "task.assigned", Home: catalogue.Pattern{Kind: "task", Field: "id"}}); err == nil {
		t.Error("declared a second time")
	}
}

func TestBadExtensionsAreRefusedByName(t *testing.T) {
	type row = catalogue.Row
	home := catalogue.Pattern{Kind: "task", Field: "task_id"}
	field := func(f catalogue.Field) []catalogue.Field { return []catalogue.Field{f} }
	for want, row := range map[string]row{
		"unknown service":               {Service: "nobody", Name: "a.b", Home: home},
		"dots between":                  {Service: schema.Dhruva, Name: "Task", Home: home},
		"64 bytes":                      {Service: schema.Dhruva, Name: "a." + strings.Repeat("b", 64), Home: home},
		"belongs to the protocol":       {Service: schema.Dhruva, Name: "token.expiring", Home: home},
		"taken by dhruva":               {Service: schema.Dhruva, Name: "adapter.activated", Home: home},
		"taken by mahavishnu":           {Service: schema.Dhruva, Name: "workflow.started", Home: home},
		"invalid channel":               {Service: schema.Dhruva, Name: "a.b", Home: catalogue.Pattern{Kind: "Task"}},
		"is a view":                     {Service: schema.Mahavishnu, Name: "a.b", Home: catalogue.Pattern{Kind: "worker", Field: "id"}},
		"other events to registry":      {Service: schema.Dhruva, Name: "a.b", Home: catalogue.Pattern{Kind: "registry", Field: "id"}},
		"other events to adapter:":      {Service: schema.Dhruva, Name: "a.b", Home: catalogue.Pattern{Kind: "adapter"}},
		"must be a required string":     {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "task_id", Type: catalogue.String})},
		`"occurred_at" is declared`:     {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "occurred_at", Type: catalogue.String})},
		`"A" is declared twice`:         {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a", Type: catalogue.String, Aliases: []string{"A"}})},
		"letters, digits and _":         {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a b", Type: catalogue.String})},
		"no known type":                 {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a"})},
		"null only with":                {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a", Type: catalogue.String, Nullable: true})},
		"so it must be a string":        {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a", Type: catalogue.Integer, Enum: []string{"1"}})},
		"left out of what is sent":      {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: field(catalogue.Field{Name: "a", Type: catalogue.String, NotSent: true})},
		"to spread or to choose from":   {Service: schema.Dhruva, Name: "a.b", Home: home, Spread: "changes"},
		`"b" is declared twice`:         {Service: schema.Dhruva, Name: "a.b", Home: home, Fields: []catalogue.Field{{Name: "b", Type: catalogue.Any}, {Name: "b", Type: catalogue.Any}}},
		`the event "a.b.c" of "dhruva"`: {Service: schema.Dhruva, Name: "a.b.c", Home: catalogue.Pattern{}},
	} {
		c, err := catalogue.Default().With(row)
		if c != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "catalogue: ") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func channel(t testing.TB, name string) schema.Channel {
	t.Helper()
	c, err := schema.ParseChannel(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
