package gen

import (
	"encoding/json"
	"fmt"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// asyncAPI is the AsyncAPI document of what clients of the edge see. Its operations
// are the edge's: it sends events and receives requests.
func asyncAPI(rows []catalogue.Row) ([]byte, error) {
	var servers, channels, operations object
	connection := object{
		{"address", "/"},
		{"title", "The connection"},
		{"description", "Requests and their answers. Events arrive on the same connection, once their channel is subscribed to."},
		{"messages", object{
			{"request", ref("components/messages/request")},
			{"response", ref("components/messages/response")},
			{"error", ref("components/messages/error")},
			{"ack", ref("components/messages/ack")},
		}},
	}
	channels = append(channels, member{"connection", connection})
	operations = append(operations,
		member{"request", object{
			{"action", "receive"},
			{"channel", ref("channels/connection")},
			{"summary", "A client asks for something: subscribe, unsubscribe, history, publish and others."},
			{"messages", []object{ref("channels/connection/messages/request")}},
			{"reply", object{
				{"channel", ref("channels/connection")},
				{"messages", []object{ref("channels/connection/messages/response"), ref("channels/connection/messages/error")}},
			}},
		}},
		member{"acknowledge", object{
			{"action", "send"},
			{"channel", ref("channels/connection")},
			{"summary", "The edge tells how far a subscription has come."},
			{"messages", []object{ref("channels/connection/messages/ack")}},
		}},
	)
	for _, service := range schema.Services() {
		servers = append(servers, member{string(service), server(service)})
		for _, c := range channelsOf(service, rows) {
			channels = append(channels, member{c.Key, asyncChannel(service, &c)})
			operations = append(operations, member{"deliver." + c.Key, deliver(&c)})
		}
	}
	messages, schemas := frames(rows)
	return document(object{
		{"asyncapi", "3.1.0"},
		{"info", object{
			{"title", "Indranet"},
			{"version", "1.0.0"},
			{"description", "Events of seven services, delivered over WebSocket in order and from any position of their log. A channel's address is its name in a subscribe request."},
		}},
		{"defaultContentType", schema.ContentType},
		{"servers", servers},
		{"channels", channels},
		{"operations", operations},
		{"components", object{{"messages", messages}, {"schemas", schemas}}},
	})
}

func server(service schema.Service) object {
	return object{
		{"host", fmt.Sprintf("{host}:%d", service.Port())},
		{"protocol", "ws"},
		{"title", string(service)},
		{"description", fmt.Sprintf("The service %s: %s. Any path on its own port, or /ws/%s on a shared port; wss where TLS is on.", service, serviceTitles[service], service)},
		{"variables", object{{"host", object{{"default", "127.0.0.1"}, {"description", "The host of an edge."}}}}},
	}
}

func asyncChannel(service schema.Service, c *docChannel) object {
	messages := object{}
	for _, row := range c.Rows {
		messages = append(messages, member{row.Name, ref("components/messages/" + componentKey(row))})
	}
	described := object{
		{"address", c.Address},
		{"description", c.Doc},
		{"servers", []object{ref("servers/" + string(service))}},
		{"messages", messages},
	}
	if len(c.Params) == 0 {
		return described
	}
	parameters := object{}
	for _, name := range c.Params {
		parameters = append(parameters, member{name, object{
			{"description", c.Rows[0].Field(name).Doc},
			{"location", "$message.payload#/data/" + name},
		}})
	}
	return append(described, member{"parameters", parameters})
}

func deliver(c *docChannel) object {
	messages := []object{}
	for _, row := range c.Rows {
		messages = append(messages, ref("channels/"+c.Key+"/messages/"+row.Name))
	}
	return object{
		{"action", "send"},
		{"channel", ref("channels/" + c.Key)},
		{"summary", "The edge delivers the events of " + c.Address + " to subscribers."},
		{"messages", messages},
	}
}

// componentKey identifies an event among the components.
func componentKey(row *catalogue.Row) string { return string(row.Service) + "." + row.Name }

// frames describes every frame: the messages, and the schemas that they refer to.
func frames(rows []catalogue.Row) (messages, schemas object) {
	for _, frame := range controlFrames {
		messages = append(messages, member{frame.name, object{
			{"name", frame.name},
			{"summary", frame.doc},
			{"payload", frame.schema()},
		}})
	}
	schemas = object{{"durable", envelope(true)}, {"transient", envelope(false)}}
	for i := range rows {
		row := &rows[i]
		key := componentKey(row)
		head := "durable"
		if row.Transient {
			head = "transient"
		}
		messages = append(messages, member{key, object{
			{"name", row.Name},
			{"title", row.Name},
			{"summary", row.Doc},
			{"payload", object{{"allOf", []object{
				ref("components/schemas/" + head),
				{{"type", "object"}, {"properties", object{
					{"event", object{{"const", row.Name}}},
					{"data", ref("components/schemas/" + key)},
				}}},
			}}}},
			{"examples", []object{{{"name", row.Name}, {"payload", exampleFrame(row)}}}},
		}})
		schemas = append(schemas, member{key, payloadSchema(row)})
	}
	return messages, schemas
}

// controlFrame is a sort of frame that carries no event.
type controlFrame struct {
	name, doc string
	members   object
	required  []string
}

func (f controlFrame) schema() object {
	return object{
		{"type", "object"},
		{"properties", append(object{{"type", object{{"const", f.name}}}}, f.members...)},
		{"required", append([]string{"type"}, f.required...)},
	}
}

var text = object{{"type", "string"}}

var controlFrames = []controlFrame{
	{
		name: "request", doc: "What a client asks for.",
		members: object{
			{"event", object{{"type", "string"}, {"description", "The name of the request, for example subscribe."}}},
			{"data", object{{"type", "object"}}},
			{"id", object{{"type", "string"}, {"description", "Comes back as correlation_id."}}},
		},
		required: []string{"event"},
	},
	{
		name: "response", doc: "The answer to a request that was done.",
		members: object{
			{"event", text}, {"data", object{{"type", "object"}}}, {"id", text}, {"correlation_id", text},
			{"timestamp", object{{"type", "string"}, {"format", "date-time"}}},
		},
		required: []string{"event", "id", "timestamp"},
	},
	{
		name: "error", doc: "The answer to a request that was refused. The connection stays open.",
		members: object{
			{"event", text}, {"data", object{{"type", "object"}}}, {"id", text}, {"correlation_id", text},
			{"timestamp", object{{"type", "string"}, {"format", "date-time"}}},
			{"error_code", object{{"type", "string"}, {"description", "For programs, for example FORBIDDEN."}}},
			{"error_message", object{{"type", "string"}, {"description", "For people."}}},
		},
		required: []string{"id", "timestamp", "error_code", "error_message"},
	},
	{
		name: "ack", doc: "How far a subscription has come: caught_up, or position for all of them.",
		members: object{
			{"event", object{{"enum", []string{"caught_up", "position"}}}},
			{"data", object{{"type", "object"}, {"properties", object{{"seq", object{{"type", "integer"}}}}}}},
			{"id", text},
			{"room", object{{"type", "string"}, {"description", "The channel that has caught up."}}},
			{"timestamp", object{{"type", "string"}, {"format", "date-time"}}},
		},
		required: []string{"event", "data", "id", "timestamp"},
	},
}

// envelope describes the frame around an event.
func envelope(durable bool) object {
	properties := object{
		{"type", object{{"const", "event"}}},
		{"event", object{{"type", "string"}, {"description", "The event's name."}}},
		{"data", object{{"type", "object"}, {"description", "The event's payload."}}},
		{"id", object{{"type", "string"}, {"description", "The event's id, the same on every delivery."}}},
		{"timestamp", object{{"type", "string"}, {"format", "date-time"}, {"description", "When the event was stored or, if it never is, sent."}}},
		{"room", object{{"type", "string"}, {"description", "The channel that this delivery is for."}}},
	}
	required := []string{"type", "event", "data", "id", "timestamp", "room"}
	title, doc := "Frame of a transient event", "An event that is delivered live and never stored. It has no position."
	if durable {
		title, doc = "Frame of a durable event", "An event that is stored and can be replayed."
		properties = append(properties,
			member{"seq", object{{"type", "integer"}, {"minimum", 1}, {"description", "The event's position in the service's log."}}},
			member{"prev", object{{"type", "integer"}, {"minimum", 0}, {"description", "The position of the event before it in this subscription. Greater than the reader's own position: something is missing."}}},
		)
		required = append(required, "seq", "prev")
	}
	return object{{"title", title}, {"description", doc}, {"type", "object"}, {"properties", properties}, {"required", required}}
}

// exampleFrame is a row's example as a subscriber of its home channel gets it.
func exampleFrame(row *catalogue.Row) object {
	frame := object{
		{"type", "event"},
		{"event", row.Name},
		{"data", json.RawMessage(row.Example)},
		{"id", "019abf3e-5d0c-7a1b-9c2d-3e4f5a6b7c8d"},
		{"timestamp", "2026-11-22T10:15:00.25Z"},
		{"room", exampleChannel(row)},
	}
	if !row.Transient {
		frame = append(frame, member{"seq", 1042}, member{"prev", 1038})
	}
	return frame
}

// exampleChannel is the home channel of a row's example.
func exampleChannel(row *catalogue.Row) string {
	event, err := catalogue.Default().Parse(row.Service, row.Name, []byte(row.Example))
	if err != nil {
		panic(err) // The examples are constant; a test parses all of them.
	}
	home, _ := event.EventChannel()
	return home.String()
}
