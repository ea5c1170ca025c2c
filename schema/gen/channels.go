package gen

import (
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// docChannel is one form of channels that clients can subscribe to.
type docChannel struct {
	// Key identifies it in documents, for example "dhruva.adapter".
	Key string
	// Address is how clients write it, for example "adapter:{adapter_id}".
	Address string
	// Params are the fields in Address.
	Params []string
	View   bool
	Doc    string
	Rows   []*catalogue.Row
}

// channelsOf lists the channels of a service: the home channels in the order of the
// rows, the views of the table, and {kind}:* of every kind that has ids. A home
// channel that has the name of a view is listed as the view.
func channelsOf(service schema.Service, rows []catalogue.Row) []docChannel {
	var homes, views, kinds []docChannel
	at := make(map[string]int)
	var own []*catalogue.Row
	for i := range rows {
		if rows[i].Service == service {
			own = append(own, &rows[i])
		}
	}
	for _, row := range own {
		kind := row.Home.Kind
		if _, known := at[kind]; !known {
			at[kind] = len(homes)
			homes = append(homes, docChannel{
				Key: string(service) + "." + kind, Address: row.Home.String(), Params: params(row.Home), Doc: homeDoc(row.Home),
			})
		}
		home := &homes[at[kind]]
		home.Rows = append(home.Rows, row)
	}
	for _, home := range homes {
		if len(home.Params) == 0 {
			continue
		}
		kind, _, _ := strings.Cut(home.Address, ":")
		kinds = append(kinds, docChannel{
			Key: home.Key + ".all", Address: kind + ":" + schema.AllID, View: true, Rows: home.Rows,
			Doc: "Every event of every " + home.Address + ".",
		})
	}
	for _, view := range catalogue.ViewTable() {
		if !view.Of(service) {
			continue
		}
		listed := docChannel{Key: string(service) + "." + view.Kind, Address: view.String(), Params: view.Fields, View: true, Doc: view.Doc}
		if len(view.Fields) > 1 {
			listed.Key += "." + strings.Join(view.Fields, ".")
		}
		for _, row := range own {
			if view.Selects(row) {
				listed.Rows = append(listed.Rows, row)
			}
		}
		homes = slices.DeleteFunc(homes, func(home docChannel) bool { return home.Address == listed.Address })
		views = append(views, listed)
	}
	return slices.Concat(homes, views, kinds)
}

func params(home catalogue.Pattern) []string {
	if home.Field == "" {
		return nil
	}
	return []string{home.Field}
}

func homeDoc(home catalogue.Pattern) string {
	if home.Field == "" {
		return "The events that are published to " + home.Kind + "."
	}
	return "The events of one " + home.Kind + "."
}

// names lists the names of rows.
func names(rows []*catalogue.Row) []string {
	var list []string
	for _, row := range rows {
		list = append(list, row.Name)
	}
	return list
}
