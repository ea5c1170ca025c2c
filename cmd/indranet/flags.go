package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// natsFlags say how to reach NATS.
type natsFlags struct {
	NATS    string `name:"nats" env:"NATS_URL" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"Where NATS is; several servers with commas between (${env})."`
	Creds   string `env:"NATS_CREDS" placeholder:"FILE" type:"existingfile" help:"The credentials file for NATS (${env})."`
	NKey    string `name:"nkey" env:"NATS_NKEY" placeholder:"FILE" type:"existingfile" help:"The file with the seed of the nkey for NATS (${env})."`
	TLSCA   string `name:"tlsca" env:"NATS_CA" placeholder:"FILE" type:"existingfile" help:"Who may have signed the certificate of NATS; demands TLS (${env})."`
	TLSCert string `name:"tlscert" env:"NATS_CERT" placeholder:"FILE" type:"existingfile" help:"The client certificate for NATS (${env})."`
	TLSKey  string `name:"tlskey" env:"NATS_KEY" placeholder:"FILE" type:"existingfile" help:"The key of --tlscert (${env})."`
}

// options are those that go with the URL.
func (n natsFlags) options() ([]nats.Option, error) {
	options, err := stream.Security{Creds: n.Creds, NKey: n.NKey, CA: n.TLSCA, Cert: n.TLSCert, Key: n.TLSKey}.Options()
	return append(options, nats.Timeout(5*time.Second)), err
}

// connect connects for a command that is soon done.
func (n natsFlags) connect(command string) (*nats.Conn, error) {
	options, err := n.options()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(n.NATS, append(options,
		nats.Name("indranet "+command), nats.MaxReconnects(-1), nats.PingInterval(2*time.Second))...)
	if err != nil {
		return nil, n.unreachable(err)
	}
	return nc, nil
}

// unreachable says which flag to look at, without repeating a password.
func (n natsFlags) unreachable(err error) error {
	servers := strings.Split(n.NATS, ",")
	for i, server := range servers {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil {
			servers[i] = u.Redacted()
		}
	}
	return fmt.Errorf("NATS cannot be reached at %s, set --nats or NATS_URL: %w", strings.Join(servers, ","), innermost(err))
}

// innermost is the cause of an error, without what the layers above say of it.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// serviceArg is the name or an alias of a service.
type serviceArg struct{ schema.Service }

// UnmarshalText reads the name.
func (s *serviceArg) UnmarshalText(text []byte) (err error) {
	s.Service, err = schema.ParseService(string(text))
	return err
}

// channelArgs name a channel of a service.
type channelArgs struct {
	Service serviceArg `arg:"" help:"The service, for example dhruva."`
	Channel string     `arg:"" help:"A channel or view of it, for example adapter:llamaindex, adapter:* or global."`

	target catalogue.Target
}

// Validate looks the channel up.
func (c *channelArgs) Validate() error {
	channel, err := schema.ParseChannel(c.Channel)
	if err != nil {
		return err
	}
	c.target, err = catalogue.Default().Lookup(c.Service.Service, channel)
	return err
}

// position is where to begin, as people write it.
type position struct {
	wire.Since
	// json is the same as the protocol writes it.
	json json.RawMessage
}

// sinceHelp explains every form of a position.
const sinceHelp = "start, now, a position N, last:N, an RFC 3339 time, or the JSON of the protocol"

// UnmarshalText reads any of the forms.
func (p *position) UnmarshalText(text []byte) error {
	word := string(text)
	switch last, isLast := strings.CutPrefix(word, "last:"); {
	case word == "start", word == "now":
		p.json = json.RawMessage(strconv.Quote(word))
	case isLast:
		p.json = json.RawMessage(`{"last":` + last + `}`)
	case strings.HasPrefix(word, "{"):
		p.json = json.RawMessage(word)
	case strings.Trim(word, "0123456789") == "" && word != "":
		p.json = json.RawMessage(`{"seq":` + word + `}`)
	default:
		if _, err := time.Parse(time.RFC3339Nano, word); err != nil {
			return errors.New("is none of " + sinceHelp)
		}
		p.json = json.RawMessage(`{"time":` + strconv.Quote(word) + `}`)
	}
	return p.parse()
}

func (p *position) parse() error {
	if !json.Valid(p.json) {
		return errors.New("is none of " + sinceHelp)
	}
	since, refusal := wire.ParseSince(p.json)
	if refusal != nil {
		return errors.New(strings.TrimPrefix(refusal.Message, "since: "))
	}
	p.Since = since
	return nil
}

// within says which incarnation of the log the position belongs to.
func (p *position) within(epoch string) error {
	if epoch == "" {
		return nil
	}
	if p.Kind != wire.SinceSeq || p.Epoch != "" && p.Epoch != epoch {
		return errors.New("--epoch goes with a --since that is a position")
	}
	p.Epoch = epoch
	fields := map[string]any{"seq": p.Seq, "epoch": p.Epoch}
	if p.ID != "" {
		fields["id"] = p.ID
	}
	text, err := json.Marshal(fields)
	p.json = text
	return err
}

// size is a number of bytes, written with an optional unit.
type size int64

var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText reads 134217728, 128MiB, 4GiB.
func (s *size) UnmarshalText(text []byte) error {
	for _, unit := range units {
		number, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n <= 0 || n > (1<<63-1)/unit.bytes {
			break
		}
		*s = size(n * unit.bytes)
		return nil
	}
	return errors.New("is not a size such as 128MiB or 4GiB")
}

// String writes the size with the largest unit that divides it.
func (s size) String() string {
	for _, unit := range units {
		if n := int64(s); n != 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return "0B"
}
