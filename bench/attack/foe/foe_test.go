//go:build linux

package foe

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/bench/attack/stage"
	"github.com/bodhisattva/indranet/edge"
	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/conn"
	"github.com/bodhisattva/indranet/edge/limit"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

func TestEveryKindHasANameAndAddressesOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	from := map[string]string{}
	army := New(Config{})
	for i, k := range kinds {
		if seen[k.name] || k.name == "" || k.does == "" || k.rate <= 0 || (k.shot == nil) == (k.stream == nil) {
			t.Errorf("%+v", k)
		}
		seen[k.name] = true
		for n := range k.addresses {
			for round := range 2 {
				a := newAttack(army, k, 1, i, round).from(n).String()
				if other, taken := from[a]; taken {
					t.Fatalf("%s and %s both come from %s", k.name, other, a)
				}
				from[a] = k.name
				if strings.HasPrefix(a, "127.0.") || strings.HasPrefix(a, "127.1.") {
					t.Fatalf("%s comes from %s", k.name, a)
				}
			}
		}
	}
}

const secret = "correct-horse-battery-staple-0123456789"

func mint(t *testing.T, user string, permissions ...string) string {
	t.Helper()
	token, err := auth.Mint(secret, auth.MintClaims{User: user, Permissions: permissions})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// serve starts an edge on a log with an event in every channel.
func serve(t *testing.T, channels []stage.Channel, change func(*edge.Config)) *edge.Edge {
	t.Helper()
	srv := natstest.Start(t)
	nc, err := nats.Connect(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{MaxBytes: 16 << 20}, schema.Services()...); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.EnsureRevocations(t.Context(), nc, 0); err != nil {
		t.Fatal(err)
	}
	pub, err := stage.NewPublisher(stage.PublisherConfig{NATS: srv.URL(), Channels: channels, Size: 300})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	pub.Do(t.Context(), stage.Order{Do: stage.Steady, Rate: 500})
	<-time.After(200 * time.Millisecond)
	if r := pub.Do(t.Context(), stage.Order{Do: stage.Halt}); r.Error != "" || slices.Contains(r.Counts, 0) {
		t.Fatalf("%+v", r)
	}
	everybody, err := limit.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := edge.Config{
		NATS: stream.Config{URL: srv.URL()}, HTTP: "127.0.0.1:0",
		Services: edge.Public(edge.Service{Auth: auth.Config{Secret: secret}, Conn: conn.Config{MaxConnections: 1000}}),
		Metrics:  edge.Operators{Addr: "127.0.0.1:0", Allow: everybody}, Admin: edge.Operators{Addr: "127.0.0.1:0", Allow: everybody},
		OpenMetrics: true, LocalOrigins: true,
	}
	change(&cfg)
	e, err := edge.New(cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		err = e.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = e.Stop(ctx)
	})
	return e
}

// weakOf gives every kind the same token.
func weakOf(token string) map[string][]string {
	weak := map[string][]string{}
	for _, k := range kinds {
		weak[k.name] = []string{token}
	}
	return weak
}

// costly are kinds of which one a second is enough of a load for a test.
var costly = []string{"half_message", "many_keys", "frame_flood", "lists_unread", "feed_churn", "message_flood"}

// attacked lets some kinds of attack run until enough has come of it, and returns that.
func attacked(t *testing.T, e *edge.Edge, cfg Config, enough func(Report) bool, names ...string) Report {
	t.Helper()
	cfg.Edge, cfg.Metrics, cfg.Admin = e.HTTPAddr().String(), e.MetricsAddr().String(), e.AdminAddr().String()
	cfg.Rates = map[string]float64{}
	for _, k := range kinds {
		if slices.Contains(names, k.name) {
			cfg.Rates[k.name] = min(30, 3*k.rate)
			if slices.Contains(costly, k.name) {
				cfg.Rates[k.name] = 1
			}
		}
	}
	army := New(cfg)
	defer army.Close()
	army.Do(t.Context(), Order{Do: Go})
	deadline := time.Now().Add(2 * time.Minute)
	for !enough(army.Do(t.Context(), Order{Do: Status})) && time.Now().Before(deadline) {
		<-time.After(50 * time.Millisecond)
	}
	return army.Do(t.Context(), Order{Do: Stop})
}

// TestAnEdgeWithoutDoorsIsFoundOut: what an open edge gives away is a breach.
func TestAnEdgeWithoutDoorsIsFoundOut(t *testing.T) {
	t.Parallel()
	channels := stage.Channels(10, 4)
	e := serve(t, channels, func(*edge.Config) {})
	admin := mint(t, "root", "admin")
	want := []string{
		"first_message: an answer before the token", "first_message: an event for members", "foreign_token: a subscription of another service",
		"paths: a page of the operators'", "operators: a page of the operators'", "origin: let in from Origin: null",
		"forbidden: an answer to what must be refused: subscribe", "forbidden: an event for members", "bad_token: let in with a right token",
	}
	missing := func(r Report) (list []string) {
		for _, what := range want {
			if r.Breaches[what] == 0 {
				list = append(list, what)
			}
		}
		return list
	}
	r := attacked(t, e, Config{
		Weak: weakOf(admin), Foreign: admin, Bad: map[string]string{"a right token": admin},
		Public: stage.Names(channels, stage.Public), Forbidden: stage.Names(channels, stage.Members),
	}, func(r Report) bool { return len(missing(r)) == 0 }, "first_message", "foreign_token", "paths", "operators", "origin", "forbidden", "bad_token")
	if list := missing(r); len(list) > 0 {
		t.Errorf("not found: %q, of %q", list, slices.Sorted(maps.Keys(r.Breaches)))
	}
}

// TestAnEdgeWithDoorsGivesNothingAway: the same attacks, and all others.
func TestAnEdgeWithDoorsGivesNothingAway(t *testing.T) {
	t.Parallel()
	channels := stage.Channels(10, 4)
	e := serve(t, channels, func(c *edge.Config) {
		for name, s := range c.Services {
			s.RequireAuth, s.Anonymous = true, nil
			s.Limits.MessagesPerSecond = 100
			if name == stage.Service {
				s.AdminChannels = []string{stage.AdminChannel}
			}
			c.Services[name] = s
		}
		nobody, err := limit.ParseNetworks([]string{"192.0.2.0/24"})
		if err != nil {
			t.Fatal(err)
		}
		c.Metrics.Allow, c.Admin.Allow = nobody, nobody
		c.OpenMetrics, c.LocalOrigins = false, false
	})
	var weak []string
	for _, name := range stage.Names(channels, stage.Public) {
		weak = append(weak, string(stage.Service)+":read:"+name)
	}
	weak = append(weak, string(stage.Service)+":read:pool:*")
	var all []string
	for _, k := range kinds {
		all = append(all, k.name)
	}
	r := attacked(t, e, Config{
		Weak: weakOf(mint(t, "guest", weak...)), Foreign: mint(t, "alien", "dhruva:admin"),
		Public:    stage.Names(channels, stage.Public),
		Forbidden: append(stage.Names(channels, stage.Members), stage.AdminChannel, stage.WorkflowView, "global", "pool:*"),
	}, func(r Report) bool {
		return r.Took > 2*time.Second && !slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return o.Done == 0 })
	}, all...)
	if len(r.Breaches) > 0 {
		t.Errorf("breaches: %v", r.Breaches)
	}
	for _, o := range r.Outcomes {
		if o.Done == 0 || len(o.Ends) == 0 {
			t.Errorf("%+v", o)
		}
		for how := range o.Ends {
			if strings.HasPrefix(how, "failed") {
				t.Errorf("%s: %s", o.Kind, how)
			}
		}
	}
}
