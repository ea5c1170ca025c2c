package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/natstest"
	"github.com/bodhisattva/indranet/schema"
)

// permissive runs a server where everybody may do everything, but for the user "some",
// who may not publish to what deny lists.
func permissive(t *testing.T, deny ...string) *natstest.Server {
	t.Helper()
	return permitted(t, &server.SubjectPermission{Deny: deny})
}

// permitted lets the user "some" publish as permission says when the server starts.
func permitted(t *testing.T, permission *server.SubjectPermission) *natstest.Server {
	t.Helper()
	return natstest.Start(t, natstest.Streams(schema.Mahavishnu), natstest.Configure(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "all", Password: "p"},
			{Username: "some", Password: "p", Permissions: &server.Permissions{Publish: permission}},
		}
		o.NoAuthUser = "all"
	}))
}

// soon bounds what has to end at once: far less than DefaultTimeout and than
// DefaultAttemptTimeout.
const soon = 1500 * time.Millisecond

// wantForbidden wants err to say that nothing was stored, since subject is forbidden.
func wantForbidden(t *testing.T, err error, subject string) {
	t.Helper()
	var f *publisher.ForbiddenError
	if !errors.Is(err, publisher.ErrForbidden) || errors.Is(err, publisher.ErrUnknownOutcome) || !errors.As(err, &f) ||
		f.Subject != subject || f.Role != "mahavishnu" || !errors.Is(err, nats.ErrPermissionViolation) {
		t.Fatalf("got %v, want ErrForbidden of %s", err, subject)
	}
	if text := err.Error(); strings.Count(text, "NATS does not permit a publish to") != 1 || !strings.Contains(text, "use the key of the role mahavishnu") {
		t.Errorf("the error says %q", text)
	}
}

func TestWhatNATSForbidsEndsAtOnce(t *testing.T) {
	const event, info = "ev.mahavishnu.workflow.a", "$JS.API.STREAM.INFO.IND_MAHAVISHNU"
	for _, tc := range []struct{ name, deny, subject string }{
		{"the event", "ev.>", event},
		{"the stream", "$JS.API.>", info},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := permissive(t, tc.deny)
			heard := make(chan struct{}, 100)
			nc := srv.Connect(t, nats.UserInfo("some", "p"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if publisher.Forbidden(err) != nil {
					heard <- struct{}{}
				}
			}))
			p := newPublisher(t, nc)
			for name, call := range map[string]func() error{
				"publish": func() error {
					_, err := p.Publish(t.Context(), workflow("a"))
					return err
				},
				"batch": func() error {
					_, err := p.PublishBatch(t.Context(), []schema.Event{workflow("a"), workflow("a")})
					return err
				},
				"async": func() error {
					ack, err := p.PublishAsync(t.Context(), workflow("a"))
					if err == nil {
						_, err = ack.Wait(t.Context())
					}
					return err
				},
			} {
				began := time.Now()
				wantForbidden(t, call(), tc.subject)
				if took := time.Since(began); took > soon {
					t.Errorf("%s: took %v", name, took)
				}
			}
			for range 3 {
				select {
				case <-heard: // By the connection's own handler.
				case <-time.After(soon):
					t.Fatal("the connection's own handler did not hear of it")
				}
			}
			if list := ids(t, srv.Connect(t)); len(list) > 0 {
				t.Errorf("stored %v", list)
			}
		})
	}
}

func TestEveryForbiddenEventEndsAtOnce(t *testing.T) {
	srv := permissive(t, "ev.mahavishnu.workflow.*")
	p := newPublisher(t, srv.Connect(t, nats.UserInfo("some", "p")))
	began := time.Now()
	acks := map[string]*publisher.Ack{}
	for i := range 1000 {
		id := fmt.Sprint(i % 100)
		ack, err := p.PublishAsync(t.Context(), workflow(id))
		if err != nil {
			wantForbidden(t, err, "ev.mahavishnu.workflow."+id)
			continue
		}
		acks[id] = ack
	}
	for id, ack := range acks {
		_, err := ack.Wait(t.Context())
		wantForbidden(t, err, "ev.mahavishnu.workflow."+id)
	}
	if took := time.Since(began); took > publisher.DefaultTimeout/2 {
		t.Errorf("took %v", took)
	}
}

// TestForbiddenAfterAnUnansweredAttemptIsUnknown: the first attempt may have been stored.
func TestForbiddenAfterAnUnansweredAttemptIsUnknown(t *testing.T) {
	p := newPublisher(t, permissive(t, "ev.>").Connect(t, nats.UserInfo("some", "p")))
	_, err := p.Publish(t.Context(), workflow("a"), publisher.WithID("i"), publisher.WithFirstSent(time.Now()))
	if !errors.Is(err, publisher.ErrUnknownOutcome) || !errors.Is(err, publisher.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestForbiddenLookUpLeavesTheOutcomeUnknown(t *testing.T) {
	p := newPublisher(t, permissive(t, "$JS.API.STREAM.MSG.GET.>", "$JS.API.DIRECT.GET.>").Connect(t, nats.UserInfo("some", "p")))
	for name, call := range map[string]func() error{
		"event": func() error {
			_, err := p.Publish(t.Context(), workflow("a"), publisher.WithID("i"))
			return err
		},
		"batch": func() error {
			_, err := p.PublishBatch(t.Context(), []schema.Event{workflow("b")}, publisher.WithID("b"))
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := call(); !errors.Is(err, publisher.ErrUnknownOutcome) || !errors.Is(err, publisher.ErrForbidden) || time.Since(began) > soon {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
}

// TestAnotherSubjectsRefusalHarmsNobody: a connection may be used for more than events.
func TestAnotherSubjectsRefusalHarmsNobody(t *testing.T) {
	nc := permissive(t, "elsewhere", "ev.mahavishnu.workflow.no", "now.>").Connect(t, nats.UserInfo("some", "p"))
	p := newPublisher(t, nc)
	for range 10 {
		for _, subject := range []string{"elsewhere", "ev.mahavishnu.workflow.no", "now.mahavishnu.a"} {
			if err := nc.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, p, workflow("a"))
		if _, err := p.Publish(t.Context(), workflow("no")); !errors.Is(err, publisher.ErrForbidden) {
			t.Errorf("got %v", err)
		}
	}
}

// TestLackOfPermissionAfterAReconnectIsWaitedFor: a server that was started again with
// other permissions may get the right ones, and an event that was accepted before has
// time until then.
func TestLackOfPermissionAfterAReconnectIsWaitedFor(t *testing.T) {
	permission := &server.SubjectPermission{Allow: []string{">"}}
	srv := permitted(t, permission)
	refusals := make(chan struct{}, 100)
	nc := srv.Connect(t, nats.UserInfo("some", "p"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if publisher.Forbidden(err) != nil {
			refusals <- struct{}{}
		}
	}))
	p := newPublisher(t, nc)
	publish(t, p, workflow("a"))
	srv.Shutdown()
	ack, err := p.PublishAsync(t.Context(), workflow("a"))
	if err != nil {
		t.Fatal(err)
	}
	permission.Deny = []string{"$JS.API.>"}
	srv.Restart(t)
	<-refusals
	<-refusals
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := p.Publish(ctx, workflow("a")); !errors.Is(err, publisher.ErrForbidden) {
		t.Errorf("a new event: %v", err)
	}
	srv.Shutdown()
	permission.Deny = nil
	srv.Restart(t)
	if r, err := ack.Wait(t.Context()); err != nil || r.Seq != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestFlushTellsOfAForbiddenTransientEventOnce(t *testing.T) {
	p := newPublisher(t, permissive(t, "now.>").Connect(t, nats.UserInfo("some", "p")))
	for range 2 {
		if _, err := p.Publish(t.Context(), cursor()); err != nil {
			t.Fatal(err)
		}
		var f *publisher.ForbiddenError
		if err := p.Flush(t.Context()); !errors.Is(err, publisher.ErrForbidden) || !errors.As(err, &f) || f.Role != "excalidraw" {
			t.Errorf("got %v", err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("told again: %v", err)
		}
	}
}

func TestStreamsThatNATSForbidsAreNotTriedForLong(t *testing.T) {
	nc := permissive(t, "$JS.API.STREAM.*.IND_DHRUVA").Connect(t, nats.UserInfo("some", "p"))
	began := time.Now()
	report, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{}, schema.Mahavishnu, schema.Dhruva)
	if !errors.Is(err, publisher.ErrForbidden) || !strings.Contains(err.Error(), "the role operator") || len(report) != 1 {
		t.Errorf("%v, %v", report, err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestForbiddenReadsTheServersWords(t *testing.T) {
	for text, want := range map[string]publisher.ForbiddenError{
		`Permissions Violation for Publish to "a.b"`:                                {Subject: "a.b"},
		`Permissions Violation for Publish to "a\"b\\"`:                             {Subject: `a"b\`},
		`Permissions Violation for Subscription to "live.>" using queue "q"`:        {Subject: "live.>", Subscribe: true},
		`Permissions Violation for Subscription to "live.>" (sid "2")`:              {Subject: "live.>", Subscribe: true},
		`permissions violation for publish to "a" on connection [1] after a minute`: {Subject: "a"},
	} {
		f := publisher.Forbidden(fmt.Errorf("%w: %s", nats.ErrPermissionViolation, text))
		if f == nil || f.Subject != want.Subject || f.Subscribe != want.Subscribe {
			t.Errorf("%s: %+v", text, f)
		}
		if publisher.Forbidden(errors.New(text)) != nil {
			t.Errorf("%s is no error of NATS", text)
		}
	}
	for _, text := range []string{"", "Permissions Violation for Publish with Reply of \"a\"", `Permissions Violation for Publish to "a`} {
		if f := publisher.Forbidden(fmt.Errorf("%w: %s", nats.ErrPermissionViolation, text)); f != nil {
			t.Errorf("%s: %+v", text, f)
		}
	}
}
