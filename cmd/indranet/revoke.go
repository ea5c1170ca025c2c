package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
)

type revokeCmd struct {
	Token  string    `xor:"what" required:"" placeholder:"JTI" help:"Revoke the token with this id."`
	User   string    `xor:"what" required:"" placeholder:"NAME" help:"Revoke the tokens of this user that were issued until now."`
	All    bool      `xor:"what" required:"" help:"Revoke everybody's tokens that were issued until now."`
	Before time.Time `placeholder:"TIME" help:"With --user or --all: those issued before this RFC 3339 time instead."`
	Undo   bool      `help:"Take the revocation back. Closed connections stay closed."`
	natsFlags
}

// Help is shown by --help.
func (revokeCmd) Help() string {
	return `Edges know of it within a second: they close the connections with 4003 and refuse the tokens from then on. It holds for all services. A revocation is kept for 30 days, which no accepted token outlives. What is revoked: nats kv ls IND_REVOCATIONS. The id of a token: indranet token inspect. NATS may let nobody but the operator revoke.

Examples:

    indranet revoke --token 7Q2M4PZ3…
    indranet revoke --user alice
    indranet revoke --all --before 2026-01-02T15:04:05Z`
}

// Validate checks what kong cannot.
func (c *revokeCmd) Validate() error {
	if c.Token != "" && !c.Before.IsZero() {
		return errors.New("--before goes with --user or --all")
	}
	return nil
}

// Run revokes.
func (c *revokeCmd) Run(ctx context.Context, std stdio) error {
	now := time.Now()
	r := auth.Revocation{Token: c.Token, User: c.User, Before: c.Before, At: now}
	if c.Token == "" && c.Before.IsZero() {
		r.Before = now
	}
	value, err := r.Marshal()
	if err != nil {
		return err
	}
	ctx, nc, err := c.connect(ctx, "revoke")
	if err != nil {
		return err
	}
	defer nc.Close()
	if c.Undo {
		if err := stream.DeleteRevocation(ctx, nc, r.Key()); err != nil {
			return because(ctx, err)
		}
		fmt.Fprintf(std.out, "not revoked any more: %s, key %s\n", c.what(r), r.Key())
		return nil
	}
	if err := stream.PutRevocation(ctx, nc, r.Key(), value); err != nil {
		return because(ctx, err)
	}
	fmt.Fprintf(std.out, "revoked: %s, key %s\n", c.what(r), r.Key())
	return nil
}

// what says in words what r takes back, since its key is a hash.
func (c *revokeCmd) what(r auth.Revocation) string {
	what := "all tokens"
	switch {
	case c.Token != "":
		return fmt.Sprintf("the token %q", c.Token)
	case c.User != "":
		what = fmt.Sprintf("the tokens of %q", c.User)
	}
	if c.Undo {
		return what
	}
	return what + " issued until " + r.Before.UTC().Format(time.RFC3339)
}
