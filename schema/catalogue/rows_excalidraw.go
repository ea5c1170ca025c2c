package catalogue

import "github.com/bodhisattva/indranet/schema"

var excalidrawRows = []Row{
	{
		Service: schema.Excalidraw,
		Name:    "element.added",
		Home:    Pattern{"diagram", "diagram_id"},
		Fields: []Field{
			{Name: "diagram_id", Type: String, Required: true, Doc: "The diagram."},
			{Name: "element_id", Type: String, Required: true, Doc: "The element."},
			{Name: "type", Type: String, Required: true, Doc: "The element's type, for example rectangle."},
			{Name: "props", Type: Object, Required: true, Doc: "The element's properties."},
			{Name: "user_id", Type: String, Doc: "Who added it."},
		},
		Doc:     "An element was drawn.",
		Example: `{"diagram_id":"d-architecture","element_id":"el-1","type":"rectangle","props":{"x":40,"y":60,"width":120,"height":80},"user_id":"ada"}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "element.updated",
		Home:    Pattern{"diagram", "diagram_id"},
		Fields: []Field{
			{Name: "diagram_id", Type: String, Required: true, Doc: "The diagram."},
			{Name: "element_id", Type: String, Required: true, Doc: "The element."},
			{Name: "changes", Type: Object, Required: true, Doc: "The properties that changed, with their new values."},
			{Name: "user_id", Type: String, Doc: "Who changed it."},
		},
		Doc:     "An element was changed.",
		Example: `{"diagram_id":"d-architecture","element_id":"el-1","changes":{"x":64},"user_id":"ada"}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "element.deleted",
		Home:    Pattern{"diagram", "diagram_id"},
		Fields: []Field{
			{Name: "diagram_id", Type: String, Required: true, Doc: "The diagram."},
			{Name: "element_id", Type: String, Required: true, Doc: "The element."},
			{Name: "user_id", Type: String, Doc: "Who deleted it."},
		},
		Doc:     "An element was removed.",
		Example: `{"diagram_id":"d-architecture","element_id":"el-1","user_id":"ada"}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "diagram.saved",
		Home:    Pattern{"diagram", "diagram_id"},
		Fields: []Field{
			{Name: "diagram_id", Type: String, Required: true, Doc: "The diagram."},
			{Name: "storage_key", Type: String, Required: true, Doc: "Where the diagram is stored."},
			{Name: "timestamp", Type: String, Doc: "When it was saved, as the saver wrote it."},
		},
		Doc:     "A diagram was saved.",
		Example: `{"diagram_id":"d-architecture","storage_key":"diagrams/d-architecture/0007.json","timestamp":"2026-11-22T10:15:00Z"}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "diagram.locked",
		Home:    Pattern{"diagram", "diagram_id"},
		Fields: []Field{
			{Name: "diagram_id", Type: String, Required: true, Doc: "The diagram."},
			{Name: "user_id", Type: String, Required: true, Doc: "Who holds the lock."},
			{Name: "reason", Type: String, Required: true, MayBeEmpty: true, Doc: "Why it is locked, for people."},
		},
		Doc:     "A diagram was locked.",
		Example: `{"diagram_id":"d-architecture","user_id":"ada","reason":"review in progress"}`,
	},
	{
		Service:   schema.Excalidraw,
		Name:      "cursor.moved",
		Transient: true,
		Home:      Pattern{"collaboration", "room_id"},
		Fields: []Field{
			{Name: "room_id", Type: String, Required: true, Doc: "The collaboration room."},
			{Name: "user_id", Type: String, Required: true, Doc: "Whose cursor it is."},
			{Name: "x", Type: Number, Required: true, Doc: "Horizontal position on the canvas."},
			{Name: "y", Type: Number, Required: true, Doc: "Vertical position on the canvas."},
			{Name: "color", Type: String, Doc: "The colour of the user's cursor."},
		},
		Doc:     "A user's cursor moved.",
		Example: `{"room_id":"room-1","user_id":"ada","x":312.5,"y":88,"color":"#1971c2"}`,
	},
	{
		Service:   schema.Excalidraw,
		Name:      "selection.changed",
		Transient: true,
		Home:      Pattern{"collaboration", "room_id"},
		Fields: []Field{
			{Name: "room_id", Type: String, Required: true, Doc: "The collaboration room."},
			{Name: "user_id", Type: String, Required: true, Doc: "Whose selection it is."},
			{Name: "element_ids", Type: Strings, Required: true, Aliases: []string{"selections"}, Doc: "The selected elements; an empty array clears the selection."},
		},
		Doc:     "A user selected other elements.",
		Example: `{"room_id":"room-1","user_id":"ada","element_ids":["el-1","el-4"]}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "user.joined",
		Home:    Pattern{"collaboration", "room_id"},
		Fields: []Field{
			{Name: "room_id", Type: String, Required: true, Doc: "The collaboration room."},
			{Name: "user_id", Type: String, Required: true, Doc: "Who joined."},
			{Name: "name", Type: String, Required: true, Doc: "The name to show."},
			{Name: "color", Type: String, Doc: "The colour of the user's cursor."},
		},
		Doc:     "A user entered a collaboration room.",
		Example: `{"room_id":"room-1","user_id":"ada","name":"Ada","color":"#1971c2"}`,
	},
	{
		Service: schema.Excalidraw,
		Name:    "user.left",
		Home:    Pattern{"collaboration", "room_id"},
		Fields: []Field{
			{Name: "room_id", Type: String, Required: true, Doc: "The collaboration room."},
			{Name: "user_id", Type: String, Required: true, Doc: "Who left."},
		},
		Doc:     "A user left a collaboration room.",
		Example: `{"room_id":"room-1","user_id":"ada"}`,
	},
}
