package request

import (
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"github.com/bodhisattva/indranet/edge/audit"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// newServer is a server of dhruva that anybody may read from.
func newServer(set *feed.Set, limits Limits) *Server {
	return newServerWith(set, limits, Door{Anonymous: auth.ParsePermissions([]string{"dhruva:read"})})
}

func newServerWith(set *feed.Set, limits Limits, door Door) *Server {
	logger := slog.New(slog.DiscardHandler)
	door.Audit = audit.New(logger, metrics.NewSet())
	return NewServer(Config{
		About: About{Service: schema.Dhruva}, Catalogue: catalogue.Default(), Feeds: set, Limits: limits, Door: door,
		Connected: func() bool { return true }, Logger: logger,
	})
}
