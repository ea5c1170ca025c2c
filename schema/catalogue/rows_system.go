package catalogue

import (
	"slices"

	"github.com/bodhisattva/indranet/schema"
)

// SystemEvents is the one name that every service publishes.
const SystemEvents = "system.events"

// systemRow is the row of SystemEvents of one service.
func systemRow(service schema.Service) Row {
	return Row{
		Service: service,
		Name:    SystemEvents,
		Home:    Pattern{"global", ""},
		Fields: []Field{
			{Name: "service", Type: String, NotSent: true, Doc: "The service that it is about."},
			{Name: "message", Type: String, Doc: "What happened, for people."},
			{Name: "level", Type: String, Doc: "How serious it is, for example info, warning or error."},
		},
		Doc:     "Something happened that concerns the whole service. Any other field is passed on.",
		Example: `{"message":"maintenance begins at 22:00 UTC","level":"info","window_minutes":30}`,
	}
}

// catalogued returns the 53 rows: the services in their order, then SystemEvents
// once a service.
func catalogued() []Row {
	rows := slices.Concat(mahavishnuRows, dhruvaRows, excalidrawRows, fastblocksRows,
		akoshaRows, crackerjackRows, sessionBuddyRows)
	for _, service := range schema.Services() {
		rows = append(rows, systemRow(service))
	}
	return rows
}
