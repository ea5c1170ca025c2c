package catalogue

import (
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// View is a channel that nothing is stored under: it selects events from the
// stream of its service. Beside the views of the table every kind of home channel
// that has ids has one, {kind}:*, that selects every event of the kind.
type View struct {
	// Service is the service that has the view; empty for every service.
	Service schema.Service
	// Kind is the view's channel kind.
	Kind string
	// Fields are the fields of an event that make the view's id, with a slash
	// between them. Empty for a view without an id.
	Fields []string
	// Events are the names of the selected events; "session.*" stands for all that
	// begin so. Empty selects every durable event.
	Events []string
	// SharesHome says that there are home channels of the same name. Who subscribes
	// to the name reads the view, which selects what is published to the name, too.
	SharesHome bool
	// WholeService says that readers need to be allowed to read the whole service.
	WholeService bool
	// Doc says what the view selects.
	Doc string
}

// viewTable lists the views in catalogue order. A view with two fields stands
// before the one of the same kind that has one.
var viewTable = []View{
	{
		Kind: "global", SharesHome: true,
		Doc: "Every durable event of the service, and what is published to `global` itself.",
	},
	{
		Service: schema.Dhruva, Kind: "lifecycle", SharesHome: true,
		Events: []string{"lifecycle.changed", "adapter.activated", "adapter.deactivated", "adapter.swapped"},
		Doc:    "The lives of adapters and of other things.",
	},
	{
		Service: schema.Excalidraw, Kind: "element", Fields: []string{"diagram_id", "element_id"},
		Events: []string{"element.added", "element.updated", "element.deleted"},
		Doc:    "One element of one diagram. A `/` in the diagram's id is written `%2F`.",
	},
	{
		Service: schema.Excalidraw, Kind: "element", Fields: []string{"element_id"}, WholeService: true,
		Events: []string{"element.added", "element.updated", "element.deleted"},
		Doc:    "The elements of that id in all diagrams. Needs read permission on the whole service.",
	},
	{
		Service: schema.Excalidraw, Kind: "cursor",
		Events: []string{"cursor.moved"},
		Doc:    "Every cursor of every room. Never stored.",
	},
	{
		Service: schema.Excalidraw, Kind: "selection",
		Events: []string{"selection.changed"},
		Doc:    "Every selection of every room. Never stored.",
	},
	{
		Service: schema.Fastblocks, Kind: "state",
		Events: []string{"state.changed"},
		Doc:    "The state of every component.",
	},
	{
		Service: schema.Mahavishnu, Kind: "worker", Fields: []string{"worker_id"},
		Events: []string{"worker.status_changed"},
		Doc:    "One worker, whatever pool it is in.",
	},
	{
		Service: schema.SessionBuddy, Kind: "session", Fields: []string{"session_id"},
		Events: []string{"session.*"},
		Doc:    "One session.",
	},
	{
		Service: schema.Crackerjack, Kind: "quality", Fields: []string{"project"}, SharesHome: true,
		Events: []string{"quality_gate.checked", "coverage.updated"},
		Doc:    "The quality gates and the coverage of one project.",
	},
}

// ViewTable returns the table of views in catalogue order. The views {kind}:* are
// not in it.
func ViewTable() []View { return slices.Clone(viewTable) }

// String writes the view's channel as documents do, for example
// "element:{diagram_id}/{element_id}".
func (v *View) String() string {
	if len(v.Fields) == 0 {
		return v.Kind
	}
	return v.Kind + ":{" + strings.Join(v.Fields, "}/{") + "}"
}

// Of reports whether the service has the view.
func (v *View) Of(service schema.Service) bool { return v.Service == "" || v.Service == service }

// Selects reports whether the view selects the events of a row.
func (v *View) Selects(row *Row) bool {
	if !v.Of(row.Service) {
		return false
	}
	if v.SharesHome && v.Kind == row.Home.Kind {
		return true
	}
	if len(v.Events) == 0 {
		return !row.Transient
	}
	for _, name := range v.Fields {
		if field := row.Field(name); field == nil || field.Type != String {
			return false
		}
	}
	return slices.ContainsFunc(v.Events, func(pattern string) bool {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		return pattern == row.Name || isPrefix && strings.HasPrefix(row.Name, prefix)
	})
}

// viewKey makes the name of one view from an event of a row.
type viewKey struct {
	// kind is the view's kind, prefix the whole name or what stands before the id.
	kind, prefix string
	// fields are the payload fields that make the id.
	fields []string
	// fromHome says that the first of fields is the id of the home channel.
	fromHome bool
	// whole says that the one field may not hold a slash, since such a name belongs
	// to the view of two fields.
	whole bool
}

// viewKeys derives the keys of every view that selects the events of a row, except
// those that all events of a service or of a kind have.
func viewKeys(row *Row) []viewKey {
	var keys []viewKey
	for i := range viewTable {
		view := &viewTable[i]
		if view.SharesHome && view.Kind == row.Home.Kind || view.Kind == globalKind || !view.Selects(row) {
			continue
		}
		key := viewKey{kind: view.Kind, prefix: view.Kind, fields: view.Fields}
		if len(view.Fields) > 0 {
			key.prefix += ":"
			key.fromHome = view.Fields[0] == row.Home.Field
			key.whole = len(view.Fields) == 1 && i > 0 && viewTable[i-1].Kind == view.Kind
		}
		keys = append(keys, key)
	}
	return keys
}

// globalKind is the kind of the view that every durable event is in.
const globalKind = "global"

// Views appends the names of every view that selects an event, spelled as
// Channel.String spells them: "global", the kind's "{kind}:*", and those of the
// table. home is the channel that the event was published to, payload its JSON. A
// name that would not be a valid channel is left out, and so is one whose field
// the payload lacks. An event that is not catalogued, published past the SDK, counts
// as durable; it is in "global" and "{kind}:*", and in the view that has its home
// channel's name, and so is a catalogued event that was published to a channel of another
// kind than its own.
//
// Views is meant for every event on its way: it allocates nothing but the names
// that hold an id, and reads the payload only for fields that home does not tell.
// It never fails, whatever bytes the payload holds.
func (c *Catalogue) Views(dst []string, service schema.Service, name string, home schema.Channel, payload []byte) []string {
	kind := c.services[service][home.Kind()]
	event := c.events[eventKey{service, name}]
	if event == nil || !event.Transient || home.Kind() == globalKind {
		dst = append(dst, globalKind)
	}
	if kind == nil {
		return dst
	}
	if home.ID() != "" && kind.all != "" {
		dst = append(dst, kind.all)
	}
	if kind.shared && home.Kind() != globalKind {
		dst = append(dst, home.String())
	}
	if event == nil {
		return dst
	}
	for i := range event.views {
		if view, ok := event.views[i].name(kind == event.kind, home, payload); ok {
			dst = append(dst, view)
		}
	}
	return dst
}

// name makes the view's name from an event. atHome says that the event was
// published to a channel of its catalogued kind; no other is in a view of the table.
func (k *viewKey) name(atHome bool, home schema.Channel, payload []byte) (string, bool) {
	if !atHome {
		return "", false // Who may read the view need not be allowed to read that channel.
	}
	if len(k.fields) == 0 {
		return k.prefix, true
	}
	first := home.ID()
	if !k.fromHome {
		var ok bool
		if first, ok = textField(payload, k.fields[0]); !ok {
			return "", false
		}
	}
	name := k.prefix + first
	switch {
	case len(k.fields) == 2:
		second, ok := textField(payload, k.fields[1])
		if !ok || first == "" || second == "" {
			return "", false
		}
		name = k.prefix + escapeParent(first) + "/" + second
	case k.whole && strings.Contains(first, "/"):
		return "", false
	}
	_, err := schema.NewHomeChannel(k.kind, name[len(k.prefix):])
	return name, err == nil
}

// escapeParent writes an id so that it can stand before a slash: "/" as "%2F", and
// "%" as "%25" where it would otherwise read as one of the two. Other bytes stay.
func escapeParent(id string) string {
	if !strings.ContainsAny(id, "/%") {
		return id
	}
	var b strings.Builder
	for i := range len(id) {
		switch rest := id[i:]; {
		case rest[0] == '/':
			b.WriteString("%2F")
		case strings.HasPrefix(rest, "%2F"), strings.HasPrefix(rest, "%25"):
			b.WriteString("%25")
		default:
			b.WriteByte(rest[0])
		}
	}
	return b.String()
}

// unescapeParent is the inverse of escapeParent. It reports false for a text that
// escapeParent does not make.
func unescapeParent(text string) (string, bool) {
	id := parentEscapes.Replace(text)
	return id, id != "" && escapeParent(id) == text
}

var parentEscapes = strings.NewReplacer("%2F", "/", "%25", "%")
