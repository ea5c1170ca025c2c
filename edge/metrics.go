package edge

import (
	"fmt"

	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
)

// register makes the counters of all parts visible at /metrics.
func (e *Edge) register() {
	count := func(name string, value func() uint64) {
		e.metrics.NewGauge(name, func() float64 { return float64(value()) })
	}
	for _, s := range e.services {
		server := s.server
		label := fmt.Sprintf(`{service=%q}`, s.name)
		feeds := &server.Feeds.Stats
		e.metrics.NewGauge("websocket_connections_current"+label, func() float64 { return float64(server.Connections()) })
		e.metrics.NewGauge("indranet_subscriptions_current"+label, func() float64 { return float64(server.Stats.Subscriptions.Load()) })
		e.metrics.NewGauge("indranet_replay_bytes_current"+label, func() float64 { return float64(server.Stats.PageBytes.Load()) })
		e.metrics.NewGauge("indranet_stream_serving"+label, func() float64 { return one(server.Feeds.Serving()) })
		e.metrics.NewGauge("indranet_feeds_current"+label, func() float64 { return float64(feeds.Feeds.Load()) })
		e.metrics.NewGauge("indranet_feeds_lingering_current"+label, func() float64 { return float64(feeds.Lingering.Load()) })
		count("indranet_feeds_refused_total"+label, feeds.Full.Load)
		replay := e.budget.Replay(s.name)
		count("indranet_replay_waits_total"+label, replay.Waits)
		e.metrics.NewGauge("indranet_replay_waiting_current"+label, func() float64 { return float64(replay.Waiting()) })
		e.metrics.NewGauge("indranet_auth_failing_addresses_current"+label, func() float64 { return float64(s.failures.Len()) })
		count("indranet_requests_total"+label, server.Stats.Requests.Load)
		for _, code := range server.Stats.Refused.Codes() {
			count(fmt.Sprintf(`indranet_requests_refused_total{service=%q,error_code=%q}`, s.name, code), func() uint64 { return server.Stats.Refused.Count(code) })
		}
		count("indranet_connections_retired_total"+label, server.Stats.Retired.Load)
		count("indranet_histories_shortened_total"+label, server.Stats.Shortened.Load)
		count("indranet_events_delivered_total"+label, server.Stats.Events.Load)
		count("indranet_subscriptions_reset_total"+label, server.Stats.Resets.Load)
		count("indranet_feed_events_total"+label, feeds.Delivered.Load)
		count("indranet_feed_duplicates_total"+label, feeds.Dropped.Load)
		count("indranet_feed_transient_total"+label, feeds.Passed.Load)
		count("indranet_feed_expired_total"+label, feeds.Expired.Load)
		count("indranet_feed_epochs_total"+label, feeds.Epochs.Load)
		count("indranet_log_reads_total"+label, feeds.Reads.Load)
		count("indranet_log_read_events_total"+label, feeds.ReadEvents.Load)
		count("indranet_log_reads_shared_total"+label, feeds.Shared.Load)
		count("indranet_log_scans_total"+label, feeds.Scans.Load)
		count("indranet_log_reads_stale_total"+label, feeds.Stale.Load)
		count(fmt.Sprintf(`indranet_feed_repairs_total{service=%q,found_by="chain"}`, s.name), feeds.ChainRepairs.Load)
		count(fmt.Sprintf(`indranet_feed_repairs_total{service=%q,found_by="tail_check"}`, s.name), feeds.TailRepairs.Load)
		stats := s.engine.Stats()
		count("websocket_connections_total"+label, stats.Opened.Load)
		count("websocket_messages_received_total"+label, stats.MessagesIn.Load)
		count("websocket_frames_sent_total"+label, stats.FramesOut.Load)
		count("websocket_bytes_received_total"+label, stats.BytesIn.Load)
		count("websocket_bytes_sent_total"+label, stats.BytesOut.Load)
		count("websocket_flushes_total"+label, stats.Flushes.Load)
		for _, code := range conn.Codes() {
			count(fmt.Sprintf(`websocket_connections_closed_total{service=%q,code="%d",reason=%q}`, s.name, code, code.String()), func() uint64 { return stats.Closed(code) })
		}
	}
	count("indranet_nats_forged_total", e.bus.Stats.Forged.Load)
	count("indranet_nats_slow_consumer_total", e.bus.Stats.Slow.Load)
	count("indranet_nats_denied_total", e.bus.Stats.Denied.Load)
	count("indranet_nats_reconnects_total", e.bus.Stats.Reconnects.Load)
	for name, pair := range e.pairs {
		label := fmt.Sprintf(`{listener=%q}`, name)
		e.metrics.NewGauge("indranet_tls_certificate_expires_timestamp_seconds"+label, func() float64 { return float64(pair.Expires().Unix()) })
		count("indranet_tls_certificates_loaded_total"+label, pair.Stats().Loaded.Load)
		count("indranet_tls_certificates_refused_total"+label, pair.Stats().Refused.Load)
	}
	for name, l := range e.gated {
		label := fmt.Sprintf(`{listener=%q}`, name)
		count("indranet_handshakes_accepted_total"+label, l.Accepted)
		count("indranet_handshakes_paced_total"+label, l.Paced)
		count("indranet_accept_errors_total"+label, l.Failed)
		e.metrics.NewGauge("indranet_handshakes_half_open_current"+label, func() float64 { return float64(l.HalfOpen()) })
		for _, reason := range limit.Reasons() {
			count(fmt.Sprintf(`indranet_handshakes_refused_total{listener=%q,reason=%q}`, name, reason), func() uint64 { return l.Refused(reason) })
		}
	}
	e.metrics.NewGauge("indranet_inbound_bytes_current", func() float64 { return float64(e.budget.Inbound.Used()) })
	count("indranet_inbound_shed_total", e.budget.Inbound.Shed)
	e.metrics.NewGauge("indranet_queued_bytes_current", func() float64 { return float64(e.budget.Used()) })
	e.metrics.NewGauge("indranet_queued_over_budget", func() float64 { return one(e.budget.Over()) })
	e.metrics.NewGauge("indranet_memory_scarce", func() float64 { return one(e.memory.scarce.Load()) })
	e.metrics.NewGauge("indranet_memory_bytes_current", func() float64 { return float64(e.memory.used()) })
	e.metrics.NewGauge("indranet_revocations_current", func() float64 { return float64(e.revoked.Len()) })
	e.metrics.NewGauge("indranet_revocations_fresh", func() float64 { return one(e.revocationsFresh() == nil) })
	e.metrics.NewGauge("indranet_nats_connected", func() float64 { return one(e.bus.Connected()) })
}

// one is how a metric says yes.
func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
