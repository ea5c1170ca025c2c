package gen

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

//go:embed EVENTS.md.tmpl
var markdownText string

var markdownTemplate = template.Must(template.New("markdown").Parse(markdownText))

// mdService is a section of EVENTS.md.
type mdService struct {
	Name, Title string
	Port        int
	Package     string
	Rows        []mdRow
	Channels    []mdChannel
}

// mdRow is a line of a table of events. All texts are Markdown.
type mdRow struct {
	catalogue.Row
	Payload, Kind, Struct string
	Fields                []mdField
}

type mdField struct{ Name, Type, Required, Doc string }

type mdChannel struct{ Address, Kind, Events string }

// markdown writes the catalogue for people.
func markdown(rows []catalogue.Row) ([]byte, error) {
	data := struct {
		MaxPayload, MaxID int
		Services          []mdService
		System            mdRow
	}{MaxPayload: schema.MaxPayload >> 10, MaxID: schema.MaxChannelID}
	for _, service := range schema.Services() {
		section := mdService{
			Name: string(service), Title: serviceTitles[service], Port: service.Port(), Package: goPackage(service),
		}
		for i := range rows {
			switch row := &rows[i]; {
			case row.Service != service:
			case row.Name == catalogue.SystemEvents:
				data.System = mdRowOf(row, "system.Event")
			default:
				section.Rows = append(section.Rows, mdRowOf(row, goPackage(service)+"."+goName(row.Name)))
			}
		}
		for _, c := range channelsOf(service, rows) {
			section.Channels = append(section.Channels, mdChannelOf(&c))
		}
		data.Services = append(data.Services, section)
	}
	var out bytes.Buffer
	err := markdownTemplate.Execute(&out, data)
	return out.Bytes(), err
}

func mdRowOf(row *catalogue.Row, goStruct string) mdRow {
	line := mdRow{Row: *row, Kind: "durable", Struct: goStruct}
	if row.Transient {
		line.Kind = "transient"
	}
	var short []string
	for i := range row.Fields {
		field := &row.Fields[i]
		name := field.Name
		if !field.Required {
			name += "?"
		}
		short = append(short, name)
		line.Fields = append(line.Fields, mdFieldOf(field))
	}
	line.Payload = strings.Join(short, ", ")
	return line
}

func mdFieldOf(field *catalogue.Field) mdField {
	line := mdField{Name: field.Name, Type: string(field.Type), Required: "yes", Doc: field.Doc}
	if !field.Required {
		line.Required = "no"
	}
	switch {
	case field.Type == catalogue.Any && !field.Nullable:
		line.Type = "any but null"
	case len(field.Enum) > 0:
		line.Type = "one of `" + strings.Join(field.Enum, "` `") + "`"
	case field.Required && field.Type == catalogue.String && field.MayBeEmpty:
		line.Type = "string, may be empty"
	}
	if len(field.Aliases) > 0 {
		line.Doc += fmt.Sprintf(" Older spelling: `%s`.", strings.Join(field.Aliases, "`, `"))
	}
	if field.NotSent {
		line.Doc += " Not sent on."
	}
	return line
}

func mdChannelOf(c *docChannel) mdChannel {
	line := mdChannel{Address: c.Address, Kind: "home channel", Events: "`" + strings.Join(names(c.Rows), "` `") + "`"}
	if c.View {
		line.Kind, line.Events = "view", c.Doc
	}
	return line
}
