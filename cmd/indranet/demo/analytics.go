package demo

import (
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/akosha"
)

// analyse is what the analytics make of the others' stories: the failure is an
// anomaly, and after the gates opened the swap is an insight.
func (a *act) analyse(failed, gated time.Duration) {
	s := a.story(failed)
	s.then(1500*time.Millisecond, akosha.AnomalyDetected{
		AnomalyID: "an-" + a.workflow, Type: "latency_spike", Severity: "high",
		Description: a.broken + " answers ten times slower than usual",
		Metrics:     map[string]any{"p99_ms": 4000 + a.rng.IntN(3000), "adapter": a.broken},
	})
	s.then(6*time.Second, akosha.PatternDetected{
		Category: "reliability", PatternID: "pat-" + a.broken, Type: "repeated_timeout",
		Confidence:  float64(80+a.rng.IntN(19)) / 100,
		Description: a.broken + " times out under load",
	})
	s = a.story(gated)
	s.then(800*time.Millisecond, akosha.AggregationCompleted{
		AggregationID: "agg-" + a.session, RecordCount: int64(40_000 + a.rng.IntN(20_000)), Type: "session",
		Summary: map[string]any{"workflows": 2, "test_runs": 2},
	})
	s.then(900*time.Millisecond, akosha.InsightGenerated{
		InsightID: "in-" + a.retry, Type: "comparison", Title: a.healthy + " succeeds where " + a.broken + " failed",
		Data: map[string]any{"failed": a.workflow, "completed": a.retry},
	})
	s.then(400*time.Millisecond, notice(schema.Akosha, "info", "analysis of the session is complete", map[string]any{"session_id": a.session}))
}
