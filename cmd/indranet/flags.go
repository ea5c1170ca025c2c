package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/stream"
	"github.com/bodhisattva/indranet/edge/wire"
	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// natsFlags say how to reach NATS.
type natsFlags struct {
	NATS    string `name:"nats" env:"NATS_URL" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"Where NATS is; several servers with commas between (${env})."`
	Creds   file   `env:"NATS_CREDS" placeholder:"FILE" help:"The credentials file for NATS (${env})."`
	NKey    file   `name:"nkey" env:"NATS_NKEY" placeholder:"FILE" help:"The file with the seed of the nkey for NATS (${env})."`
	TLSCA   file   `name:"tlsca" env:"NATS_CA" placeholder:"FILE" help:"Who may have signed the certificate of NATS; demands TLS (${env})."`
	TLSCert file   `name:"tlscert" env:"NATS_CERT" placeholder:"FILE" help:"The client certificate for NATS (${env})."`
	TLSKey  file   `name:"tlskey" env:"NATS_KEY" placeholder:"FILE" help:"The key of --tlscert (${env})."`
}

// AfterApply lets a flag win over the variable of the other one.
func (n *natsFlags) AfterApply(parsed *kong.Context) error {
	if n.Creds == "" || n.NKey == "" {
		return nil
	}
	given := map[string]bool{}
	for _, step := range parsed.Path {
		if step.Flag != nil {
			given[step.Flag.Name] = true
		}
	}
	switch {
	case given["creds"] && given["nkey"]:
		return errors.New("--creds and --nkey exclude each other")
	case given["creds"]:
		n.NKey = ""
	case given["nkey"]:
		n.Creds = ""
	default:
		return errors.New("NATS_CREDS and NATS_NKEY are both set, unset one of them or give --creds or --nkey")
	}
	return nil
}

// file is the path of a file that exists, or empty: an environment may set a variable
// to nothing.
type file string

// UnmarshalText looks for the file.
func (f *file) UnmarshalText(text []byte) error {
	*f = ""
	if len(text) == 0 {
		return nil
	}
	path := kong.ExpandPath(string(text))
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory", path)
	}
	*f = file(path)
	return nil
}

// options are those that go with the URL.
func (n natsFlags) options() ([]nats.Option, error) {
	options, err := stream.Security{
		Creds: string(n.Creds), NKey: string(n.NKey), CA: string(n.TLSCA), Cert: string(n.TLSCert), Key: string(n.TLSKey),
	}.Options()
	return append(options, nats.Timeout(connectTimeout)), err
}

// Roles of deploy/nats that commands are for. That of publish is the service's.
const (
	roleOperator = "operator"
	roleEdge     = "edge"
)

// connect connects for a command of the operator's that is soon done. The context that
// it returns ends as soon as NATS does not permit something: asking again would not
// change that.
func (n natsFlags) connect(ctx context.Context, command string) (context.Context, *nats.Conn, error) {
	return n.connectAs(ctx, command, roleOperator)
}

// connectAs is connect for any role. What ctx leaves of time bounds it.
func (n natsFlags) connectAs(ctx context.Context, command, role string) (context.Context, *nats.Conn, error) {
	options, err := n.options()
	if err != nil {
		return nil, nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, nats.Timeout(max(min(time.Until(deadline), connectTimeout), time.Millisecond)))
	}
	ctx, end := context.WithCancelCause(ctx)
	nc, err := nats.Connect(n.NATS, append(options,
		nats.Name("indranet "+command), nats.MaxReconnects(-1), nats.PingInterval(2*time.Second),
		nats.ClosedHandler(func(*nats.Conn) { end(nil) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // Its default prints.
		endsWhereForbidden(end, role))...)
	if err != nil {
		end(nil)
		return nil, nil, n.unreachable(err)
	}
	return ctx, nc, nil
}

// Times of await and of each attempt to connect.
const (
	connectEvery   = 250 * time.Millisecond
	connectTimeout = 5 * time.Second
)

// await is connectAs that waits, as long as ctx says, for a NATS that is not there yet.
func (n natsFlags) await(ctx context.Context, command, role string) (context.Context, *nats.Conn, error) {
	for {
		connected, nc, err := n.connectAs(ctx, command, role)
		var network net.Error
		if err == nil || !errors.As(err, &network) && !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, io.EOF) {
			return connected, nc, err
		}
		select {
		case <-time.After(connectEvery):
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// endsWhereForbidden calls end with a *publisher.ForbiddenError for what NATS does not
// permit, and leaves every other error to the handler that there is. role is who may.
func endsWhereForbidden(end context.CancelCauseFunc, role string) nats.Option {
	return func(o *nats.Options) error {
		rest := o.AsyncErrorCB
		o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if f := publisher.Forbidden(err); f != nil {
				f.Role = role
				end(f)
			} else if rest != nil {
				rest(nc, sub, err)
			}
		}
		return nil
	}
}

// because is why a command failed: err, or what NATS does not permit.
func because(ctx context.Context, err error) error {
	var forbidden *publisher.ForbiddenError
	if err != nil && (errors.As(err, &forbidden) || errors.As(context.Cause(ctx), &forbidden)) {
		return fmt.Errorf("%w: --nkey or --creds", forbidden)
	}
	return err
}

// unreachable says which flag to look at, without repeating a password.
func (n natsFlags) unreachable(err error) error {
	servers := strings.Split(n.NATS, ",")
	for i, server := range servers {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil {
			servers[i] = u.Redacted()
		}
	}
	where := strings.Join(servers, ",")
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("NATS at %s does not know who asks, set --nkey (NATS_NKEY) or --creds (NATS_CREDS): %w", where, innermost(err))
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("NATS at %s has no TLS, which --tlsca (NATS_CA), --tlscert (NATS_CERT) and tls:// demand: %w", where, innermost(err))
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of NATS at %s is not trusted, set --tlsca (NATS_CA): %w", where, innermost(err))
	}
	return unreachableError{where, err}
}

// unreachableError says where nobody answers, in short.
type unreachableError struct {
	where string
	err   error
}

// Error has only the innermost cause.
func (u unreachableError) Error() string {
	return fmt.Sprintf("NATS cannot be reached at %s, set --nats or NATS_URL: %v", u.where, innermost(u.err))
}

// Unwrap returns the error of the connection.
func (u unreachableError) Unwrap() error { return u.err }

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
