package catalogue

import "github.com/bodhisattva/indranet/schema"

var dhruvaRows = []Row{
	{
		Service: schema.Dhruva,
		Name:    "adapter.activated",
		Home:    Pattern{"adapter", "adapter_id"},
		Fields: []Field{
			{Name: "adapter_id", Type: String, Required: true, Doc: "The adapter."},
			{Name: "repo", Type: String, Required: true, Doc: "The repository that the adapter comes from."},
			{Name: "version", Type: String, Required: true, Doc: "The version that is active now."},
			{Name: "config", Type: Object, Doc: "The adapter's configuration."},
		},
		Doc:     "An adapter came online.",
		Example: `{"adapter_id":"llamaindex","repo":"github.com/lesleslie/adapters","version":"1.4.0","config":{"chunk_size":512}}`,
	},
	{
		Service: schema.Dhruva,
		Name:    "adapter.deactivated",
		Home:    Pattern{"adapter", "adapter_id"},
		Fields: []Field{
			{Name: "adapter_id", Type: String, Required: true, Doc: "The adapter."},
			{Name: "repo", Type: String, Required: true, Doc: "The repository that the adapter comes from."},
			{Name: "reason", Type: String, Required: true, MayBeEmpty: true, Doc: "Why it went offline, for people."},
		},
		Doc:     "An adapter went offline.",
		Example: `{"adapter_id":"llamaindex","repo":"github.com/lesleslie/adapters","reason":"replaced by 1.5.0"}`,
	},
	{
		Service: schema.Dhruva,
		Name:    "adapter.swapped",
		Home:    Pattern{"distribution", "repo"},
		Fields: []Field{
			{Name: "old_adapter", Type: String, Required: true, Doc: "The adapter that was taken out."},
			{Name: "new_adapter", Type: String, Required: true, Doc: "The adapter that took its place."},
			{Name: "repo", Type: String, Required: true, Doc: "The repository of both."},
		},
		Doc:     "One adapter took the place of another.",
		Example: `{"old_adapter":"llamaindex","new_adapter":"haystack","repo":"github.com/lesleslie/adapters"}`,
	},
	{
		Service: schema.Dhruva,
		Name:    "distribution.completed",
		Home:    Pattern{"distribution", "repo"},
		Fields: []Field{
			{Name: "repo", Type: String, Required: true, Doc: "The repository that was distributed."},
			{Name: "adapters_count", Type: Integer, Required: true, Doc: "How many adapters were distributed."},
			{Name: "adapters", Type: Strings, Doc: "The ids of the adapters."},
			{Name: "duration_ms", Type: Number, Aliases: []string{"duration"}, Doc: "How long it took, in milliseconds."},
		},
		Doc:     "A distribution of a repository's adapters finished.",
		Example: `{"repo":"github.com/lesleslie/adapters","adapters_count":2,"adapters":["llamaindex","haystack"],"duration_ms":1840}`,
	},
	{
		Service: schema.Dhruva,
		Name:    "registry.updated",
		Home:    Pattern{"registry", ""},
		Fields: []Field{
			{Name: "version", Type: String, Required: true, Aliases: []string{"registry_version"}, Doc: "The registry's new version."},
			{Name: "added", Type: Strings, Doc: "The ids of adapters that are new."},
			{Name: "removed", Type: Strings, Doc: "The ids of adapters that are gone."},
			{Name: "updated", Type: Strings, Doc: "The ids of adapters that changed."},
		},
		Spread:  "changes",
		Doc:     "The registry of adapters changed.",
		Example: `{"version":"2026.11.3","added":["haystack"],"removed":[],"updated":["llamaindex"]}`,
	},
	{
		Service: schema.Dhruva,
		Name:    "lifecycle.changed",
		Home:    Pattern{"lifecycle", ""},
		Fields: []Field{
			{Name: "entity_type", Type: String, Required: true, Doc: "What kind of thing changed, for example adapter."},
			{Name: "entity_id", Type: String, Required: true, Doc: "Which one changed."},
			{Name: "old_state", Type: String, Required: true, MayBeEmpty: true, Doc: "The state before, empty where there was none."},
			{Name: "new_state", Type: String, Required: true, Doc: "The state from now on."},
		},
		Doc:     "Something passed from one state of its life to another.",
		Example: `{"entity_type":"adapter","entity_id":"llamaindex","old_state":"loading","new_state":"active"}`,
	},
}
