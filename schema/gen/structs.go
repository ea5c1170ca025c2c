package gen

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/format"
	"strings"
	"text/template"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

//go:embed structs.tmpl
var structsText string

var structsTemplate = template.Must(template.New("structs").Parse(structsText))

// goEvent is an event as the template sees it.
type goEvent struct {
	catalogue.Row
	Type    string
	Service string
	Fields  []goField
	// HomeField is the struct field that is the channel's id, empty for none.
	HomeField string
	// AnyOf are the struct fields of which one must be there.
	AnyOf []string
}

// goField is a field as the template sees it.
type goField struct {
	catalogue.Field
	Go      string
	GoType  string
	Tag     string
	IsHome  bool
	Checks  []string
	EnumOf  []goConst
	DocLine string
}

// goConst is a constant for one value of an enumeration.
type goConst struct{ Name, Value string }

// structs writes the Go package of a service.
func structs(service schema.Service, rows []catalogue.Row) ([]byte, error) {
	data := struct {
		Package, Service string
		Title            string
		Events           []goEvent
	}{Package: goPackage(service), Service: string(service), Title: serviceTitles[service]}
	for i := range rows {
		if rows[i].Service == service && rows[i].Name != catalogue.SystemEvents {
			data.Events = append(data.Events, structOf(&rows[i]))
		}
	}
	var out bytes.Buffer
	if err := structsTemplate.Execute(&out, data); err != nil {
		return nil, err
	}
	return format.Source(out.Bytes())
}

func structOf(row *catalogue.Row) goEvent {
	event := goEvent{Row: *row, Type: goName(row.Name), Service: goServices[row.Service]}
	for _, field := range row.Fields {
		f := goField{Field: field, Go: goName(field.Name), Tag: field.Name, DocLine: fieldDoc(&field)}
		f.IsHome = field.Name == row.Home.Field
		f.GoType = goType(&field)
		if !field.Required {
			f.Tag += ",omitzero"
		}
		for _, value := range field.Enum {
			f.EnumOf = append(f.EnumOf, goConst{f.Go + goName(value), value})
		}
		f.Checks = checks(&f)
		if f.IsHome {
			event.HomeField = f.Go
		}
		event.Fields = append(event.Fields, f)
	}
	for _, name := range row.AnyOf {
		event.AnyOf = append(event.AnyOf, goName(name))
	}
	return event
}

// checks returns the statements of Validate for one field.
func checks(f *goField) []string {
	name, value := fmt.Sprintf("%q", f.Name), "e."+f.Go
	var list []string
	nilable := f.Type == catalogue.Object || f.Type == catalogue.Strings || f.Type == catalogue.Any
	if f.Required && nilable && !f.Nullable {
		list = append(list, fmt.Sprintf("c.Present(%s, %s != nil)", name, value))
	}
	switch f.Type {
	case catalogue.String:
		switch {
		case f.IsHome:
			list = append(list, fmt.Sprintf("c.ID(%s, %s)", name, value))
		case len(f.Enum) > 0:
			var known []string
			for _, c := range f.EnumOf {
				known = append(known, c.Name)
			}
			list = append(list, fmt.Sprintf("c.OneOf(%s, %s, %s)", name, value, strings.Join(known, ", ")))
		case f.Required && !f.MayBeEmpty:
			list = append(list, fmt.Sprintf("c.NonEmpty(%s, %s)", name, value))
		default:
			list = append(list, fmt.Sprintf("c.Text(%s, %s)", name, value))
		}
	case catalogue.Strings:
		list = append(list, fmt.Sprintf("c.Texts(%s, %s)", name, value))
	case catalogue.Number:
		if f.Required {
			list = append(list, fmt.Sprintf("c.Number(%s, %s)", name, value))
		} else {
			list = append(list, fmt.Sprintf("if %s != nil {\nc.Number(%s, *%s)\n}", value, name, value))
		}
	}
	return list
}

// fieldDoc is the field's sentence with what a Go caller has to know.
func fieldDoc(f *catalogue.Field) string {
	doc := f.Doc
	switch {
	case !f.Required && f.Type == catalogue.String:
		doc += " Left out when empty."
	case !f.Required:
		doc += " Left out when nil."
	case f.MayBeEmpty:
		doc += " May be empty."
	case f.Nullable:
		doc += " Nil is null."
	}
	return doc
}

func goType(f *catalogue.Field) string {
	pointer := ""
	if !f.Required {
		pointer = "*"
	}
	switch f.Type {
	case catalogue.Number:
		return pointer + "float64"
	case catalogue.Integer:
		return pointer + "int64"
	case catalogue.Object:
		return "map[string]any"
	case catalogue.Strings:
		return "[]string"
	case catalogue.Any:
		return "any"
	default:
		return "string"
	}
}
