package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/config"
	"github.com/bodhisattva/indranet/schema"
)

// keyFlags say where a service's secret comes from: never from an argument, which
// every user of the machine can read.
type keyFlags struct {
	Config    []string `short:"c" type:"existingfile" sep:"none" placeholder:"FILE" help:"Take the service's keys and rules from the configuration of the edges."`
	SecretEnv string   `placeholder:"NAME" help:"The environment variable with the secret. Default: that of the service, MAHAVISHNU_JWT_SECRET and so on."`
}

// accepts is what an edge accepts of a service.
func (k keyFlags) accepts(service schema.Service) (auth.Config, time.Duration, error) {
	if len(k.Config) > 0 {
		if k.SecretEnv != "" {
			return auth.Config{}, 0, errors.New("--config and --secret-env exclude each other")
		}
		cfg, _, err := config.Load(k.Config, os.LookupEnv)
		if err != nil {
			return auth.Config{}, 0, err
		}
		s, ok := cfg.Service(service)
		if !ok {
			return auth.Config{}, 0, fmt.Errorf("the configuration does not have %s", service)
		}
		accepted := serviceConfig(s, newLogs(io.Discard)).Auth
		accepted.Service = service
		return accepted, s.JWT.TokenExpiry, nil
	}
	name := k.SecretEnv
	if name == "" {
		name = secretVariable(service)
	}
	secret := os.Getenv(name)
	if secret == "" {
		return auth.Config{}, 0, fmt.Errorf("the environment variable %s is not set: it holds the secret of %s", name, service)
	}
	if err := auth.CheckSecret(secret); err != nil {
		return auth.Config{}, 0, fmt.Errorf("%s, the secret of %s, %w", name, service, err)
	}
	return auth.Config{Service: service, Secret: secret}, 0, nil
}

// secretVariable is how deployments call the variable with a service's secret.
func secretVariable(service schema.Service) string {
	name, _, _ := strings.Cut(string(service), "-mcp")
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_JWT_SECRET"
}

// tokenCmd makes and explains tokens.
type tokenCmd struct {
	Mint    mintCmd    `cmd:"" default:"withargs" help:"Print a token for a user (the default)."`
	Inspect inspectCmd `cmd:"" help:"Say of a token why an edge accepts or refuses it."`
}

// Help is shown by --help.
func (tokenCmd) Help() string {
	return `Without a command it is mint, with the flags of mint: -u for the user, -p for each permission; all are in indranet token mint --help.

Examples:

    indranet token dhruva -u alice -p dhruva:read
    indranet token inspect dhruva < token.txt`
}

// lifetime is how long a token lives.
type lifetime time.Duration

// UnmarshalText reads what configurations accept as a time: 600, 1.5s, 10m, 48h.
func (l *lifetime) UnmarshalText(text []byte) error {
	word := string(text)
	if strings.Trim(word, "0123456789.") == "" {
		word += "s"
	}
	d, err := time.ParseDuration(word)
	if err != nil || d < time.Second || d > auth.RevocationLife {
		return fmt.Errorf("is not a time in seconds or with a unit (600, 10m, 48h) from 1s to %.0fh", auth.RevocationLife.Hours())
	}
	*l = lifetime(d)
	return nil
}

type mintCmd struct {
	Service    serviceArg `arg:"" help:"The service, for example dhruva."`
	User       string     `short:"u" required:"" placeholder:"NAME" help:"Whom the token speaks for."`
	Permission []string   `short:"p" placeholder:"PERMISSION" help:"What it grants, for example dhruva:read, dhruva:read:adapter:llamaindex, workflow:read, dhruva:admin. Repeatable; none grants nothing."`
	Expiry     lifetime   `placeholder:"1h" help:"How long it lives, in seconds or with a unit, at most 720h. Default: that of the configuration, else 1h."`
	ID         string     `name:"id" placeholder:"JTI" help:"Its id, to revoke it by. Default: a random one."`
	Issuer     string     `placeholder:"NAME" help:"Its issuer (iss). Default: what the configuration requires."`
	Audience   string     `placeholder:"NAME" help:"Its audience (aud). Default: what the configuration requires."`
	keyFlags
}

// Help is shown by --help.
func (mintCmd) Help() string {
	return `Prints a token signed with the service's secret (HS256), for tests, scripts and services without an identity provider. The secret comes from the environment, and is the one that the edges have.

Examples:

    set -a; . ./indranet.env; set +a     # DHRUVA_JWT_SECRET and so on, as for the edges
    indranet token dhruva -u alice -p dhruva:read
    indranet token mahavishnu -u ci -p mahavishnu:read:workflow:42 --expiry 10m -c production.yaml`
}

// Run mints.
func (c *mintCmd) Run(std stdio) error {
	accepted, life, err := c.accepts(c.Service.Service)
	if err != nil {
		return err
	}
	if accepted.Secret == "" {
		return fmt.Errorf("%s has no secret: its tokens come from %s", c.Service.Service, accepted.JWKS)
	}
	if c.Expiry != 0 {
		life = time.Duration(c.Expiry)
	}
	claims := auth.MintClaims{User: c.User, Permissions: c.Permission, TokenID: c.ID, Life: life, Issuer: c.Issuer, Audience: c.Audience}
	if claims.Issuer == "" {
		claims.Issuer = accepted.Issuer
	}
	if claims.Audience == "" {
		claims.Audience = accepted.Audience
	}
	longest := cmp.Or(accepted.MaxLife, auth.DefaultMaxLife)
	if life > longest && len(c.Config) > 0 {
		return fmt.Errorf("--expiry %s is too long: edges of this configuration accept tokens that live at most %s (jwt.max_life)", life, longest)
	}
	token, err := auth.Mint(accepted.Secret, claims)
	if err != nil {
		return err
	}
	if life > longest {
		fmt.Fprintf(std.err, "indranet: edges refuse a token that lives longer than %s, unless jwt.max_life allows it\n", longest)
	}
	c.doubts(std.err)
	fmt.Fprintln(std.out, token)
	return nil
}

// doubts says which permissions hardly do what was meant.
func (c *mintCmd) doubts(to io.Writer) {
	service := c.Service.Service
	if len(c.Permission) == 0 {
		fmt.Fprintf(to, "indranet: the token grants nothing; with -p %s:read it would read\n", service)
	}
	for _, d := range auth.Doubts(service, c.Permission) {
		fmt.Fprintf(to, "indranet: %s %s\n", d.Permission, d.Text)
	}
}

type inspectCmd struct {
	Service serviceArg `arg:"" help:"The service that the token is for."`
	keyFlags
}

// Help is shown by --help.
func (inspectCmd) Help() string {
	return `Reads a token from standard input and says of every check of an edge whether it passes, and why not. Neither the secret nor the signature is printed. Exits 1 where an edge would refuse the token. Whether it was revoked is not looked up.

Examples:

    indranet token inspect dhruva < token.txt
    indranet token dhruva -u alice -p dhruva:read | indranet token inspect dhruva`
}

// Run inspects.
func (c *inspectCmd) Run(ctx context.Context, std stdio) error {
	accepted, _, err := c.accepts(c.Service.Service)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(std.in, 2*auth.MaxToken))
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	verifier, err := auth.NewVerifier(ctx, accepted, nil)
	if err != nil {
		return err
	}
	defer verifier.Close()
	var refused auth.Reason
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, f := range verifier.Explain(ctx, strings.TrimSpace(string(text))) {
		result := "ok"
		switch {
		case f.Reason != "":
			result = "REFUSED"
			if refused == "" {
				refused = f.Reason
			}
		case f.Warning:
			result = "warning"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Check, result, f.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if refused != "" {
		return fmt.Errorf("an edge refuses it: %s", refused)
	}
	fmt.Fprintln(std.out, "an edge accepts it, unless it was revoked")
	return nil
}
