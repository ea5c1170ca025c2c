package catalogue

import "github.com/bodhisattva/indranet/schema"

var sessionBuddyRows = []Row{
	{
		Service: schema.SessionBuddy,
		Name:    "session.created",
		Home:    Pattern{"sessions", ""},
		Fields: []Field{
			{Name: "session_id", Type: String, Required: true, Doc: "The session."},
			{Name: "context", Type: Object, Required: true, Doc: "What the session starts with."},
		},
		Doc:     "A session began.",
		Example: `{"session_id":"s-77","context":{"project":"indranet","branch":"main"}}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "session.updated",
		Home:    Pattern{"sessions", ""},
		Fields: []Field{
			{Name: "session_id", Type: String, Required: true, Doc: "The session."},
			{Name: "changes", Type: Object, Required: true, Doc: "What changed, with the new values."},
		},
		Doc:     "A session's context changed.",
		Example: `{"session_id":"s-77","changes":{"branch":"release"}}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "session.checkpoint",
		Home:    Pattern{"sessions", ""},
		Fields: []Field{
			{Name: "session_id", Type: String, Required: true, Doc: "The session."},
			{Name: "checkpoint_id", Type: String, Doc: "The checkpoint."},
		},
		Doc:     "A session's state was kept, to come back to.",
		Example: `{"session_id":"s-77","checkpoint_id":"cp-3"}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "session.closed",
		Home:    Pattern{"sessions", ""},
		Fields: []Field{
			{Name: "session_id", Type: String, Required: true, Doc: "The session."},
			{Name: "reason", Type: String, Doc: "Why it ended, for people."},
		},
		Doc:     "A session ended.",
		Example: `{"session_id":"s-77","reason":"idle for an hour"}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "knowledge.captured",
		Home:    Pattern{"knowledge", ""},
		Fields: []Field{
			{Name: "knowledge_id", Type: String, Required: true, Doc: "The piece of knowledge."},
			{Name: "type", Type: String, Required: true, Doc: "Its type, for example decision."},
		},
		Doc:     "A piece of knowledge was kept.",
		Example: `{"knowledge_id":"k-12","type":"decision"}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "knowledge.search_result",
		Home:    Pattern{"knowledge", ""},
		Fields: []Field{
			{Name: "query", Type: String, Doc: "What was searched for."},
			{Name: "results", Type: Any, Doc: "What was found."},
		},
		Doc:     "A search in the kept knowledge was answered.",
		Example: `{"query":"retry budget","results":[{"knowledge_id":"k-12","score":0.81}]}`,
	},
	{
		Service: schema.SessionBuddy,
		Name:    "metrics.update",
		Home:    Pattern{"metrics", ""},
		Fields: []Field{
			{Name: "timestamp", Type: String, Required: true, Doc: "When the figures were taken, as the publisher wrote it."},
			{Name: "metrics", Type: Object, Required: true, Doc: "The figures by name."},
		},
		Doc:     "The figures of all sessions were taken.",
		Example: `{"timestamp":"2026-11-22T10:15:00Z","metrics":{"active_sessions":4,"tool_calls":219}}`,
	},
}
