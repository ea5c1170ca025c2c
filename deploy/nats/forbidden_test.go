package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/edge/feed"
	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// request is something that a role tries.
type request struct {
	subject string
	body    string
	reply   string
}

// TestNobodyCanDoMore has every role try what it may not, with each subject as the
// target of a message and, since JetStream answers to whatever subject it is told, as the
// target of an answer. Nothing may happen: neither to the streams, nor live.
func TestNobodyCanDoMore(t *testing.T) { nobodyCanDoMore(t, single(t)) }

func nobodyCanDoMore(t *testing.T, d *deployment) {
	t.Helper()
	for _, service := range schema.Services() {
		p, err := publisher.New(d.connect(t, role(service)))
		must(t, err)
		_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry")})
		must(t, err)
		p.Close()
		// As a request an empty payload is one that needs no arguments.
		_, err = d.connect(t, role(service)).Request("ev."+string(service)+".empty", nil, patience)
		must(t, err)
	}
	must(t, putRevocation(t.Context(), d.connect(t, operator)))
	live := d.eavesdrop(t)
	before := d.state(t)
	for _, r := range roles() {
		t.Run(string(r), func(t *testing.T) { d.tries(t, r) })
	}
	after := d.state(t)
	for name, was := range before {
		now, ok := after[name]
		if !ok {
			t.Errorf("%s is gone", name)
			continue
		}
		if now.config != was.config || now.created != was.created || now.first != was.first {
			t.Errorf("%s was changed:\n%+v\n%+v", name, was, now)
		}
		for _, m := range now.foreign {
			t.Errorf("%s holds what its publisher did not write: %s", name, m)
		}
	}
	if len(after) != len(before) {
		t.Errorf("streams %v", after)
	}
	for _, subject := range live.strange(t) {
		t.Errorf("live: %s", subject)
	}
}

// tries has r try all that it may not.
func (d *deployment) tries(t *testing.T, r role) {
	t.Helper()
	// The last of all: violations are reported in order.
	end := request{subject: "the.end"}
	refused, ended := map[string]bool{}, make(chan struct{})
	nc := d.connect(t, r, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if match := violation.FindStringSubmatch(err.Error()); match != nil && errors.Is(err, nats.ErrPermissionViolation) {
			if match[1] == end.subject {
				close(ended)
				return
			}
			refused[match[1]] = true
		}
	}))
	list := append(writes(r), reads(r)...)
	for _, req := range slices.Concat(list, answers(r), []request{end}) {
		must(t, nc.PublishMsg(&nats.Msg{Subject: req.subject, Reply: req.reply, Data: []byte(req.body)}))
	}
	must(t, nc.FlushTimeout(patience))
	wait(t, ended, "every violation")
	for _, req := range list {
		if !refused[req.subject] {
			t.Errorf("%s may send to %s", r, req.subject)
		}
	}
}

var violation = regexp.MustCompile(`(?i)publish to "([^"]+)"`)

// stored are all streams.
func stored() []string { return append(streams(), stream.RevocationsStream) }

// writes lists what would change something, and r may not.
func writes(r role) (list []request) {
	for _, name := range stored() {
		apis := []string{
			"STREAM.DELETE.", "STREAM.PURGE.", "STREAM.MSG.DELETE.", "STREAM.RESTORE.",
			"STREAM.LEADER.STEPDOWN.", "STREAM.PEER.REMOVE.", "CONSUMER.CREATE.",
		}
		if r != operator {
			apis = append(apis, "STREAM.UPDATE.", "STREAM.CREATE.")
			list = append(list, request{subject: "$JS.API.STREAM.UPDATE." + name, body: `{"name":"` + name + `","subjects":["x.>"],"max_msgs":1}`})
		}
		for _, api := range apis {
			list = append(list, request{subject: "$JS.API." + api + name})
		}
		list = append(list, request{subject: "$JS.API.STREAM.MSG.DELETE." + name, body: `{"seq":1}`})
	}
	for _, service := range schema.Services() {
		for _, class := range []schema.Class{schema.Stored, schema.Transient, schema.Live} {
			if role(service) != r || class == schema.Live {
				list = append(list, request{subject: string(class) + "." + string(service) + ".registry", body: `{"forged":1}`})
			}
		}
	}
	if r != operator {
		list = append(list, request{subject: "$KV.IND_REVOCATIONS.token.1"}, request{subject: "$KV.IND_REVOCATIONS.token.9", body: "x"})
	}
	return append(list,
		request{subject: "$JS.API.STREAM.CREATE.OTHER", body: `{"name":"OTHER","subjects":["other"]}`},
		request{subject: "$JS.API.STREAM.RESTORE.OTHER", body: `{}`}, request{subject: "$JS.API.META.LEADER.STEPDOWN"},
		request{subject: "$SYS.REQ.SERVER.PING"}, request{subject: "$SYS.REQ.USER.INFO"},
		request{subject: "elsewhere", body: "x"})
}

// reads lists what would tell something, and r may not: events and revocations, but for
// what role r is there for, and every other way to read those.
func reads(r role) (list []request) {
	for _, name := range stored() {
		apis := []string{"STREAM.SNAPSHOT.%s", "CONSUMER.DURABLE.CREATE.%s.c", "CONSUMER.MSG.NEXT.%s.c", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s"}
		if r != operator || name != stream.RevocationsStream {
			apis = append(apis, "DIRECT.GET.%s.a.b", "CONSUMER.CREATE.%s.c", "CONSUMER.CREATE.%s.c.a.b", "CONSUMER.INFO.%s.c")
			if !mayRead(r, name) {
				apis = append(apis, "DIRECT.GET.%s", "STREAM.MSG.GET.%s")
			}
		}
		if r != operator && !mayRead(r, name) {
			apis = append(apis, "STREAM.INFO.%s")
		}
		for _, api := range apis {
			list = append(list, request{subject: "$JS.API." + fmt.Sprintf(api, name), body: `{"seq":1}`})
		}
	}
	if r != operator {
		for _, api := range []string{"INFO", "STREAM.NAMES", "STREAM.LIST"} {
			list = append(list, request{subject: "$JS.API." + api})
		}
	}
	return list
}

// mayRead tells whether a stream is there for r to read: the edge's are all, a
// publisher's its own.
func mayRead(r role, name string) bool { return r == edge || name == schema.Service(r).Stream() }

// answers lists requests that r may make, with a subject that it may not write as the
// target of the answer. The operator has none: it is in the account of the streams,
// where nothing keeps an answer from getting there.
func answers(r role) (list []request) {
	if r == operator {
		return nil
	}
	for _, target := range writes(r) {
		for _, name := range stored() {
			if mayRead(r, name) {
				list = append(list,
					request{"$JS.API.DIRECT.GET." + name, `{"seq":1}`, target.subject},
					request{"$JS.API.DIRECT.GET." + name, `{"seq":2}`, target.subject},
					request{"$JS.API.STREAM.MSG.GET." + name, `{"seq":1}`, target.subject},
					request{"$JS.API.STREAM.INFO." + name, ``, target.subject})
			}
		}
		if r != edge {
			list = append(list, request{"ev." + string(r) + ".empty", "", target.subject})
		}
	}
	return list
}

func streams() []string {
	var names []string
	for _, service := range schema.Services() {
		names = append(names, service.Stream())
	}
	return names
}

// streamState is what may not change.
type streamState struct {
	config  string
	created time.Time
	first   uint64
	foreign []string
}

// state looks at every stream, with whatever is in it that its publisher did not write.
func (d *deployment) state(t *testing.T) map[string]streamState {
	t.Helper()
	nc := d.connect(t, operator)
	js, err := jetstream.New(nc)
	must(t, err)
	for _, service := range schema.Services() {
		// Behind whatever was asked of JetStream before.
		s, err := js.Stream(t.Context(), service.Stream())
		must(t, err)
		_, err = js.UpdateStream(t.Context(), s.CachedInfo().Config)
		must(t, err)
	}
	all := map[string]streamState{}
	lister := js.ListStreams(t.Context())
	for info := range lister.Info() {
		config, err := json.Marshal(info.Config)
		must(t, err)
		all[info.Config.Name] = streamState{config: string(config), created: info.Created, first: info.State.FirstSeq}
	}
	must(t, lister.Err())
	get := directget.New(d.connect(t, edge))
	for name, s := range all {
		for seq := uint64(1); ; {
			m, err := get.Leader(t.Context(), name, directget.LeaderRequest{Seq: seq, NextBySubj: ">"})
			if err != nil {
				break
			}
			seq = m.Seq + 1
			empty := strings.HasSuffix(m.Subject, ".empty") && len(m.Data) == 0
			if !empty && string(m.Data) != `{"n":1}` && m.Subject != "$KV.IND_REVOCATIONS.token.1" || m.Subject == "$KV.IND_REVOCATIONS.token.1" && string(m.Data) != "v" {
				s.foreign = append(s.foreign, m.Subject+" "+string(m.Data))
			}
		}
		all[name] = s
	}
	return all
}

// ear is what an edge takes for live events.
type ear struct {
	bus *stream.Bus

	// Guarded by mu.
	mu  sync.Mutex
	odd []string
}

// eavesdrop runs an edge that watches every service.
func (d *deployment) eavesdrop(t *testing.T) *ear {
	t.Helper()
	e := &ear{bus: d.bus(t)}
	for _, service := range schema.Services() {
		log := e.bus.Service(service)
		for _, transient := range []bool{false, true} {
			w, err := log.Watch(schema.Channel{}, transient, func(m feed.Message) {
				// What a publisher stored itself is no forgery.
				if transient || m.Channel.String() != "empty" || len(m.Data) > 0 {
					e.mu.Lock()
					e.odd = append(e.odd, fmt.Sprintf("%s %s %s", service, m.Channel, m.Data))
					e.mu.Unlock()
				}
			})
			must(t, err)
			t.Cleanup(w.Stop)
		}
		must(t, log.Flush(t.Context()))
	}
	return e
}

// strange is what was heard and nobody published.
func (e *ear) strange(t *testing.T) []string {
	t.Helper()
	must(t, e.bus.Service(schema.Dhruva).Flush(t.Context()))
	e.mu.Lock()
	defer e.mu.Unlock()
	t.Logf("%d forged", e.bus.Stats.Forged.Load())
	return e.odd
}

func putRevocation(ctx context.Context, nc *nats.Conn) error {
	return stream.PutRevocation(ctx, nc, "token.1", func([]byte, time.Time) []byte { return []byte("v") })
}
