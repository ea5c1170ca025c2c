package nats_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// TestOneAccountWouldNotDo shows why every role has an account of its own: with
// permissions alone a publisher has an answer delivered as a request to delete another's
// stream. Where this fails, the server has begun to check where answers go, and
// accounts.conf may become one account with users.
func TestOneAccountWouldNotDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.conf")
	must(t, os.WriteFile(file, []byte(`
		listen: "127.0.0.1:-1"
		jetstream { store_dir: "`+t.TempDir()+`", max_file_store: 1GB }
		accounts { ONE {
			jetstream: enabled
			users: [
				{ user: operator, password: o }
				{ user: dhruva, password: d, permissions {
					publish: ["ev.dhruva.>", "$JS.API.DIRECT.GET.IND_DHRUVA"]
					subscribe: "_INBOX_DHRUVA.>"
				} }
			]
		} }`), 0o600))
	srv := run(t, file)
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	connect := func(user string, options ...nats.Option) *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL(), append(options, nats.UserInfo(user, user[:1]))...)
		must(t, err)
		t.Cleanup(nc.Close)
		return nc
	}
	nc := connect("operator")
	_, err := publisher.EnsureStreams(t.Context(), nc, publisher.StreamConfig{MaxBytes: 1 << 20}, schema.Dhruva, schema.Mahavishnu)
	must(t, err)
	dhruva := connect("dhruva", nats.CustomInboxPrefix("_INBOX_DHRUVA"))
	_, err = dhruva.Request("ev.dhruva.registry", nil, patience)
	must(t, err)
	must(t, dhruva.PublishRequest("$JS.API.DIRECT.GET.IND_DHRUVA", "$JS.API.STREAM.DELETE.IND_MAHAVISHNU", []byte(`{"seq":1}`)))
	until(t, "IND_MAHAVISHNU to be deleted by dhruva's publisher with server "+server.VERSION, func() bool {
		_, err := directget.New(nc).Info(t.Context(), schema.Mahavishnu.Stream())
		return errors.Is(err, directget.ErrNotFound)
	})
}

// TestStrangersAreRefused connects without a key, with a password and with another key.
func TestStrangersAreRefused(t *testing.T) {
	d := single(t)
	other := keys(t) // Known to no server.
	options, err := other[edge].Options()
	must(t, err)
	for name, option := range map[string]nats.Option{
		"nobody": nats.Name("x"), "a password": nats.UserInfo("edge", "edge"), "a token": nats.Token("edge"), "another key": options[0],
	} {
		nc, err := nats.Connect(d.url, option)
		if err == nil {
			nc.Close()
			t.Errorf("%s was let in", name)
		}
	}
}

// TestPublishersSeeNothingOfOthers has every publisher, and the operator, listen to
// whatever the others write, and to what is asked and answered.
func TestPublishersSeeNothingOfOthers(t *testing.T) { publishersSeeNothingOfOthers(t, single(t)) }

func publishersSeeNothingOfOthers(t *testing.T, d *deployment) {
	t.Helper()
	publishers := map[schema.Service]*publisher.Publisher{}
	for _, service := range schema.Services() {
		p, err := publisher.New(d.connect(t, role(service)))
		must(t, err)
		defer p.Close()
		publishers[service] = p
	}
	get := directget.New(d.connect(t, edge))
	for _, r := range roles() {
		if r == edge {
			continue
		}
		nc := d.connect(t, r)
		heard := make(chan *nats.Msg, 1000)
		own, other := string(r), string(schema.Dhruva)
		if own == other {
			other = string(schema.Mahavishnu)
		}
		for _, subject := range []string{
			"live.>", "now.>", "ev.>", "live." + other + ".>", "now." + other + ".>", "ev." + other + ".>",
			"live." + own + ".>", "ev." + own + ".>", "$JS.>", "$KV.>", "_R_.>", ">", "_INBOX.>",
		} {
			_, err := nc.ChanSubscribe(subject, heard)
			must(t, err)
		}
		must(t, nc.FlushTimeout(patience))
		for service, p := range publishers {
			if role(service) != r {
				_, err := p.Publish(t.Context(), event{service: service, channel: channel(t, "registry")})
				must(t, err)
				_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry"), transient: true})
				must(t, err)
				must(t, p.Flush(t.Context()))
				_, err = get.Leader(t.Context(), service.Stream(), directget.LeaderRequest{Seq: 1})
				must(t, err)
			}
		}
		must(t, nc.FlushTimeout(patience))
		for len(heard) > 0 {
			t.Errorf("%s heard %s", r, (<-heard).Subject)
		}
		nc.Close()
	}
}
