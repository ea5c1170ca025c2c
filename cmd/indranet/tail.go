package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/gobwas/ws"

	"github.com/bodhisattva/indranet/edge/client"
	"github.com/bodhisattva/indranet/edge/conn"
)

type tailCmd struct {
	channelArgs
	Since position `default:"now" placeholder:"WHERE" help:"Where to begin: ${since}."`
	Epoch string   `placeholder:"EPOCH" help:"The incarnation of the log that the position belongs to, from a receipt or an ack."`
	JSON  bool     `name:"json" help:"Print whole messages of the protocol."`
	Count int      `placeholder:"N" help:"End after N events."`
	URL   string   `name:"url" placeholder:"WS" help:"Read through an edge instead of from NATS: ws://HOST or wss://HOST; where there is no path, /ws/SERVICE is added."`
	edgeFlags
	natsFlags
}

// Help is shown by --help.
func (tailCmd) Help() string {
	return `One event a line: time, position, name, data. A transient event has no position. What could not be recovered is said on standard error. Connections that break are made again, and no event is lost meanwhile. Ctrl-C ends it.

Examples:

    indranet tail dhruva global
    indranet tail mahavishnu 'workflow:*' --since start
    indranet tail dhruva adapter:llamaindex --since last:20 --count 20 --json
    indranet tail dhruva lifecycle --since 118 --epoch kzx2v5a7q3m4n6p8
    indranet tail excalidraw cursor --url ws://127.0.0.1:8080
    indranet tail dhruva global --url wss://ws-dhruva.example.com:8693 --token-file token.txt --ca our-ca.pem`
}

// Validate checks what the flags mean together.
func (c *tailCmd) Validate() error {
	if err := c.channelArgs.Validate(); err != nil {
		return err
	}
	if c.Count < 0 {
		return errors.New("--count is negative")
	}
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
			return errors.New("--url is no ws:// or wss:// address")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/ws/" + string(c.Service.Service)
		}
		c.URL = u.String()
	} else if c.CA != "" {
		return errors.New("--ca goes with --url; that of NATS is --tlsca")
	}
	return c.Since.within(c.Epoch)
}

// Run prints events until it is told to end.
func (c *tailCmd) Run(ctx context.Context, std stdio) error {
	out := &printer{out: std.out, err: std.err, asJSON: c.JSON, limit: c.Count}
	err := c.follow(ctx, out, std.err)
	switch {
	case errors.Is(err, errEnough):
		return nil
	case ctx.Err() == nil:
		return err
	case c.Count > 0:
		return fmt.Errorf("interrupted after %d of %d events", out.n, c.Count)
	}
	return nil // Ctrl-C is how a tail without a count ends.
}

func (c *tailCmd) follow(ctx context.Context, out *printer, problems io.Writer) error {
	if c.URL == "" {
		return followLog(ctx, c.natsFlags, c.target, c.Since.Since, out, problems)
	}
	trust, err := c.tls()
	if err != nil {
		return err
	}
	err = client.Follow(ctx, client.Config{
		URL: c.URL, Service: c.Service.Service, Channel: c.Channel, Since: c.Since.json, Token: c.token(), TLS: trust,
	}, out, warnings(problems))
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("the certificate of %s is not trusted, set --ca: %w", c.URL, innermost(err))
	}
	var answer client.StatusError
	var plain tls.RecordHeaderError
	var local *fs.PathError // The token's file, or where events are printed.
	switch {
	case err == nil || errors.Is(err, errEnough) || errors.As(err, &local) || ctx.Err() != nil:
		return err
	case errors.As(err, &answer):
		return fmt.Errorf("%s answers %w", c.URL, answer)
	case errors.As(err, &plain):
		return fmt.Errorf("what answers at %s has no TLS, try %s", c.URL, strings.Replace(c.URL, "wss:", "ws:", 1))
	case errors.Is(err, ws.ErrHandshakeBadProtocol), errors.Is(err, ws.ErrMalformedResponse):
		return fmt.Errorf("what answers at %s is no WebSocket without TLS, try %s", c.URL, strings.Replace(c.URL, "ws:", "wss:", 1))
	case !errors.Is(err, client.ErrRefused):
		return fmt.Errorf("no edge answers at %s, set --url: %w", c.URL, innermost(err))
	}
	var closed client.ClosedError
	if errors.As(err, &closed) && closed.Code == conn.CloseUnauthorized {
		return fmt.Errorf("%w; set --token-file or INDRANET_TOKEN (why a token is refused: indranet token inspect)", err)
	}
	return err
}

// edgeFlags say how to come to an edge.
type edgeFlags struct {
	TokenFile file `env:"INDRANET_TOKEN_FILE" placeholder:"FILE" help:"With --url: the file with the token, read at every connection; the token itself may be in the environment as INDRANET_TOKEN."`
	CA        file `name:"ca" placeholder:"FILE" help:"With --url: who may have signed the certificate of the edge (PEM). Default: whom this machine trusts."`
}

// token returns what tells the token, nil where there is none. It is no argument,
// which everybody on the machine could read.
func (e edgeFlags) token() func() (string, error) {
	if e.TokenFile != "" {
		return func() (string, error) {
			text, err := os.ReadFile(string(e.TokenFile))
			return strings.TrimSpace(string(text)), err
		}
	}
	if token := strings.TrimSpace(os.Getenv("INDRANET_TOKEN")); token != "" {
		return func() (string, error) { return token, nil }
	}
	return nil
}

// tls returns whom to trust, nil for the default.
func (e edgeFlags) tls() (*tls.Config, error) {
	if e.CA == "" {
		return nil, nil
	}
	roots, err := readCA(string(e.CA))
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, err
}

// readCA reads authorities.
func readCA(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s holds no certificate in PEM", path)
	}
	return roots, nil
}
