package catalogue

import (
	"fmt"
	"slices"
	"sync"

	"github.com/bodhisattva/indranet/schema"
)

// Catalogue is a table of events with everything that is derived from it. Default
// returns the catalogued ones, With adds those of a deployment. A Catalogue is
// immutable and safe for concurrent use.
type Catalogue struct {
	rows     []Row
	events   map[eventKey]*entry
	services map[schema.Service]map[string]*channelKind
}

// eventKey identifies a row.
type eventKey struct {
	service schema.Service
	name    string
}

// entry is a row with the views that select it.
type entry struct {
	Row
	kind  *channelKind
	views []viewKey
}

// Default returns the catalogue of the 47 names in 53 (service, event) pairs.
func Default() *Catalogue { return defaultCatalogue() }

var defaultCatalogue = sync.OnceValue(func() *Catalogue {
	c, err := build(catalogued())
	if err != nil {
		panic(err) // The table is constant; a test goes through all of it.
	}
	return c
})

// With returns a catalogue that has the events of rows as well. They are marked as
// extensions. An extension has a name that no service of the catalogue has, and a
// home channel of its own or of an existing kind, but not one that is a view's. The
// field that makes the channel is added as a required string when a row does not
// list it. The error names the row and the rule that it breaks.
func (c *Catalogue) With(rows ...Row) (*Catalogue, error) {
	all := slices.Clone(c.rows)
	for _, row := range rows {
		row.Extension = true
		row.Fields = slices.Clone(row.Fields)
		if row.Home.Field != "" && row.Field(row.Home.Field) == nil {
			row.Fields = append(row.Fields, Field{
				Name: row.Home.Field, Type: String, Required: true, Doc: "The id of the event's channel.",
			})
		}
		if err := c.checkExtension(&row); err != nil {
			return nil, fmt.Errorf("catalogue: the event %q of %q: %w", clip(row.Name), clip(string(row.Service)), err)
		}
		all = append(all, row)
	}
	extended, err := build(all)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	return extended, nil
}

// Rows returns every row, the catalogued ones first, in catalogue order.
func (c *Catalogue) Rows() []Row { return slices.Clone(c.rows) }

// Event returns the row of a service's event. The error matches
// schema.ErrUnknownEvent; it names the services that have the event or else the
// nearest name that the service has.
func (c *Catalogue) Event(service schema.Service, name string) (*Row, error) {
	e, err := c.event(service, name)
	if err != nil {
		return nil, err
	}
	return &e.Row, nil
}

func (c *Catalogue) event(service schema.Service, name string) (*entry, error) {
	if e := c.events[eventKey{service, name}]; e != nil {
		return e, nil
	}
	if c.services[service] == nil {
		return nil, fmt.Errorf("%w: %w: %q", schema.ErrUnknownEvent, schema.ErrUnknownService, clip(string(service)))
	}
	var own, owners []string
	for i := range c.rows {
		switch row := &c.rows[i]; {
		case row.Service == service:
			own = append(own, row.Name)
		case row.Name == name:
			owners = append(owners, string(row.Service))
		}
	}
	if len(owners) > 0 {
		return nil, fmt.Errorf("%w: %s does not publish %q, %s does", schema.ErrUnknownEvent, service, name, owners[0])
	}
	return nil, fmt.Errorf("%w: %s has no %q (nearest: %q)", schema.ErrUnknownEvent, service, clip(name), nearest(name, own))
}

// build derives everything from the rows. The error says which row contradicts the
// ones before it.
func build(rows []Row) (*Catalogue, error) {
	c := &Catalogue{
		rows:     rows,
		events:   make(map[eventKey]*entry, len(rows)),
		services: make(map[schema.Service]map[string]*channelKind),
	}
	for _, service := range schema.Services() {
		c.services[service] = make(map[string]*channelKind)
	}
	for i := range rows {
		row := &rows[i]
		key := eventKey{row.Service, row.Name}
		if c.events[key] != nil {
			return nil, fmt.Errorf("the event %q of %s is declared twice", row.Name, row.Service)
		}
		kind, err := addHome(c.services[row.Service], row)
		if err != nil {
			return nil, err
		}
		c.events[key] = &entry{Row: *row, kind: kind}
	}
	for i := range rows {
		e := c.events[eventKey{rows[i].Service, rows[i].Name}]
		e.views = viewKeys(&e.Row)
	}
	for service, kinds := range c.services {
		addViews(service, kinds, rows)
	}
	return c, nil
}
