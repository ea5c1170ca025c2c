package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// Target says what a channel that a client names stands for.
type Target struct {
	// Service and Channel are what was looked up.
	Service schema.Service
	Channel schema.Channel
	// View is true where the channel selects from the service's stream, false for
	// a home channel.
	View bool
	// Durable and Transient say which sorts of events can appear. One of them is
	// always true; a channel that is not Durable has no history.
	Durable, Transient bool
	// Kinds are the kinds of the home channels that the events come from. A reader
	// of a home channel needs read permission on it, a reader of a view on {kind}:*
	// of every one of Kinds. Shared: must not be changed.
	Kinds []string
}

// channelKind is what a service has under one kind.
type channelKind struct {
	kind string
	// all is the view {kind}:*, empty for a kind without ids or of views only.
	all string
	// home is what is published to channels of the kind, nil for views only.
	home *reach
	// pattern is the form of the home channels.
	pattern Pattern
	// shared says that the home channels have the names of views.
	shared bool
	// views are the views of the kind; one with two fields comes first.
	views []viewReach
}

// reach is the sorts of events that a channel can have and where they come from.
type reach struct {
	durable, transient bool
	kinds              []string
}

type viewReach struct {
	*View
	reach
}

func (r *reach) add(row *Row) {
	r.durable = r.durable || !row.Transient
	r.transient = r.transient || row.Transient
	if !slices.Contains(r.kinds, row.Home.Kind) {
		r.kinds = append(r.kinds, row.Home.Kind)
	}
}

// addHome adds the home channels of a row to the kinds of its service.
func addHome(kinds map[string]*channelKind, row *Row) (*channelKind, error) {
	k := kinds[row.Home.Kind]
	if k == nil {
		k = &channelKind{kind: row.Home.Kind, home: &reach{}, pattern: row.Home}
		if row.Home.Field != "" {
			k.all = row.Home.Kind + ":" + schema.AllID
		}
		kinds[row.Home.Kind] = k
	}
	if (k.pattern.Field == "") != (row.Home.Field == "") {
		return nil, fmt.Errorf("%w: %s of %s is published to %s, other events to %s",
			schema.ErrChannel, row.Name, row.Service, row.Home, k.pattern)
	}
	k.home.add(row)
	return k, nil
}

// addViews adds the views of the table to the kinds of a service.
func addViews(service schema.Service, kinds map[string]*channelKind, rows []Row) {
	for i := range viewTable {
		view := &viewTable[i]
		if !view.Of(service) {
			continue
		}
		selected := viewReach{View: view}
		for j := range rows {
			if view.Selects(&rows[j]) && rows[j].Service == service {
				selected.add(&rows[j])
			}
		}
		if view.WholeService {
			selected.kinds = homeKinds(service, rows)
		}
		k := kinds[view.Kind]
		if k == nil {
			k = &channelKind{kind: view.Kind}
			kinds[view.Kind] = k
		}
		k.shared = k.shared || view.SharesHome
		k.views = append(k.views, selected)
	}
}

// homeKinds lists the kinds that a service publishes to, in the order of its rows.
func homeKinds(service schema.Service, rows []Row) []string {
	var all reach
	for i := range rows {
		if rows[i].Service == service {
			all.add(&rows[i])
		}
	}
	return all.kinds
}

// Lookup says what a channel of a service stands for. The error matches
// schema.ErrChannel, and names what the service has; for an unknown service it
// matches schema.ErrUnknownService.
func (c *Catalogue) Lookup(service schema.Service, channel schema.Channel) (Target, error) {
	kinds := c.services[service]
	if kinds == nil {
		return Target{}, fmt.Errorf("%w: %q", schema.ErrUnknownService, clip(string(service)))
	}
	k := kinds[channel.Kind()]
	if k == nil {
		return Target{}, unknownKind(service, channel.Kind(), kinds)
	}
	target := Target{Service: service, Channel: channel, View: true}
	id := channel.ID()
	if id == schema.AllID {
		if k.all == "" {
			return Target{}, fmt.Errorf("%w: %s has no %s:* (it has %s)", schema.ErrChannel, service, k.kind, k.forms())
		}
		return target.reaching(k.home), nil
	}
	for i := range k.views {
		view := &k.views[i]
		if !view.takes(id, len(k.views) > 1) {
			continue
		}
		if len(view.Fields) == 2 {
			parent, child, _ := strings.Cut(id, "/")
			if _, ok := unescapeParent(parent); !ok || child == "" {
				return Target{}, fmt.Errorf("%w: %s wants two ids with a slash between, and a slash in the first as %%2F", schema.ErrChannel, view)
			}
		}
		return target.reaching(&view.reach), nil
	}
	if k.home == nil || (id == "") != (k.pattern.Field == "") {
		return Target{}, fmt.Errorf("%w: %s has %s", schema.ErrChannel, service, k.forms())
	}
	target.View = false
	return target.reaching(k.home), nil
}

func (t Target) reaching(r *reach) Target {
	t.Durable, t.Transient, t.Kinds = r.durable, r.transient, r.kinds
	return t
}

// takes reports whether an id has the form of the view's. Where another view of the
// kind takes two ids, whatever holds a slash is its.
func (v *View) takes(id string, several bool) bool {
	switch len(v.Fields) {
	case 0:
		return id == ""
	case 1:
		return id != "" && (!several || !strings.Contains(id, "/"))
	default:
		return strings.Contains(id, "/")
	}
}

// forms lists the channels of a kind as documents write them.
func (k *channelKind) forms() string {
	var forms []string
	for i := range k.views {
		forms = append(forms, k.views[i].String())
	}
	if k.home != nil && !k.shared {
		forms = append(forms, k.pattern.String())
	}
	if k.all != "" {
		forms = append(forms, k.all)
	}
	return strings.Join(forms, ", ")
}

// unknownKind names the nearest channel that the service has, and all of them.
func unknownKind(service schema.Service, kind string, kinds map[string]*channelKind) error {
	names := slices.Sorted(maps.Keys(kinds))
	forms := make([]string, len(names))
	for i, name := range names {
		forms[i] = kinds[name].forms()
	}
	return fmt.Errorf("%w: %s has no %q (nearest: %s; all: %s)", schema.ErrChannel, service, kind,
		kinds[nearest(kind, names)].forms(), strings.Join(forms, ", "))
}
