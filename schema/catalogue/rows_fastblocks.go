package catalogue

import "github.com/bodhisattva/indranet/schema"

var fastblocksRows = []Row{
	{
		Service: schema.Fastblocks,
		Name:    "component.updated",
		Home:    Pattern{"component", "component_id"},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "props", Type: Object, Required: true, Doc: "The component's properties."},
			{Name: "state", Type: Object, Required: true, Doc: "The component's state."},
		},
		Doc:     "A component's properties or state were replaced.",
		Example: `{"component_id":"cart","props":{"currency":"EUR"},"state":{"items":3}}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "component.mounted",
		Home:    Pattern{"page", "page_id"},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "page_id", Type: String, Required: true, Doc: "The page that it is on."},
			{Name: "props", Type: Object, Doc: "The component's properties."},
		},
		Doc:     "A component was put on a page.",
		Example: `{"component_id":"cart","page_id":"checkout","props":{"currency":"EUR"}}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "component.unmounted",
		Home:    Pattern{"page", "page_id"},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "page_id", Type: String, Required: true, Doc: "The page that it was on."},
		},
		Doc:     "A component was taken off a page.",
		Example: `{"component_id":"cart","page_id":"checkout"}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "page.rendered",
		Home:    Pattern{"page", "page_id"},
		Fields: []Field{
			{Name: "page_id", Type: String, Required: true, Doc: "The page."},
			{Name: "duration_ms", Type: Number, Required: true, Aliases: []string{"duration"}, Doc: "How long it took, in milliseconds."},
			{Name: "component_count", Type: Integer, Doc: "How many components the page has."},
		},
		Doc:     "A page was rendered.",
		Example: `{"page_id":"checkout","duration_ms":41.7,"component_count":18}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "state.changed",
		Home:    Pattern{"component", "component_id"},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "path", Type: String, Required: true, MayBeEmpty: true, Aliases: []string{"state_path"}, Doc: "Where in the component's state; empty is the whole of it."},
			{Name: "old_value", Type: Any, Nullable: true, Doc: "The value before."},
			{Name: "new_value", Type: Any, Required: true, Nullable: true, Aliases: []string{"value"}, Doc: "The value from now on."},
		},
		Doc:     "A value in a component's state changed.",
		Example: `{"component_id":"cart","path":"items","old_value":3,"new_value":4}`,
	},
	{
		Service:   schema.Fastblocks,
		Name:      "hot_reload.triggered",
		Transient: true,
		Home:      Pattern{"hot_reload", ""},
		Fields: []Field{
			{Name: "file_path", Type: String, Required: true, Doc: "The file that changed."},
			{Name: "affected_components", Type: Strings, Required: true, Aliases: []string{"components"}, Doc: "The components to reload."},
		},
		Doc:     "A source file changed and components should reload.",
		Example: `{"file_path":"templates/cart.html","affected_components":["cart","checkout-summary"]}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "render.started",
		Home:    Pattern{"render", ""},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "render_type", Type: String, Required: true, Doc: "How it is rendered, for example full or partial."},
		},
		Doc:     "A component began to render.",
		Example: `{"component_id":"cart","render_type":"partial"}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "render.completed",
		Home:    Pattern{"render", ""},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "duration_ms", Type: Number, Required: true, Aliases: []string{"duration"}, Doc: "How long it took, in milliseconds."},
			{Name: "result", Type: Any, Doc: "What the rendering produced."},
		},
		Doc:     "A component was rendered.",
		Example: `{"component_id":"cart","duration_ms":12.3,"result":{"bytes":5120}}`,
	},
	{
		Service: schema.Fastblocks,
		Name:    "render.failed",
		Home:    Pattern{"render", ""},
		Fields: []Field{
			{Name: "component_id", Type: String, Required: true, Doc: "The component."},
			{Name: "error", Type: String, Required: true, MayBeEmpty: true, Doc: "Why it failed, for people."},
		},
		Doc:     "A component could not be rendered.",
		Example: `{"component_id":"cart","error":"template cart.html: undefined variable total"}`,
	},
}
