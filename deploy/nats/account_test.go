package nats_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// TestPublishersSeeNothingOfOthers has a publisher try to read.
func TestPublishersSeeNothingOfOthers(t *testing.T) {
	d := single(t)
	nc := d.connect(t, role(schema.Dhruva))
	heard := make(chan *nats.Msg, 1000)
	for _, subject := range []string{"live.>", "now.>", "ev.>", "ev.dhruva.>", "live.dhruva.>", "$JS.>", "$KV.>", "_R_.>", ">", "_INBOX.>"} {
		_, err := nc.ChanSubscribe(subject, heard)
		must(t, err)
	}
	must(t, nc.FlushTimeout(patience))
	for _, service := range schema.Services() {
		if service != schema.Dhruva {
			p, err := publisher.New(d.connect(t, role(service)))
			must(t, err)
			_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry")})
			must(t, err)
			_, err = p.Publish(t.Context(), event{service: service, channel: channel(t, "registry"), transient: true})
			must(t, err)
			must(t, p.Flush(t.Context()))
			p.Close()
		}
	}
	get := directget.New(d.connect(t, edge))
	_, err := get.Leader(t.Context(), schema.Mahavishnu.Stream(), directget.LeaderRequest{Seq: 1})
	must(t, err)
	must(t, nc.FlushTimeout(patience))
	for len(heard) > 0 {
		t.Errorf("heard %s", (<-heard).Subject)
	}
	mine := directget.New(d.connect(t, role(schema.Dhruva))).WithStall(200 * time.Millisecond)
	for _, name := range append(streams(), "KV_IND_REVOCATIONS") {
		_, direct := mine.Get(t.Context(), name, directget.Request{Seq: 1, Batch: 1}, func(*directget.Message) error { return nil })
		_, leader := mine.Info(t.Context(), name)
		if own := name == schema.Dhruva.Stream(); own != (direct == nil) || own != (leader == nil) {
			t.Errorf("%s: direct get %v, info %v", name, direct, leader)
		}
	}
}
