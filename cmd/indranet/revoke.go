package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bodhisattva/indranet/edge/auth"
	"github.com/bodhisattva/indranet/edge/stream"
)

type revokeCmd struct {
	Token  string    `xor:"what" placeholder:"JTI" help:"Revoke the token with this id."`
	User   string    `xor:"what" placeholder:"NAME" help:"Revoke the tokens of this user that were issued until now."`
	All    bool      `xor:"what" help:"Revoke everybody's tokens that were issued until now."`
	List   bool      `xor:"what" help:"Print what is revoked, a JSON object a line."`
	Before time.Time `placeholder:"TIME" help:"With --user or --all: those issued before this RFC 3339 time instead."`
	Undo   bool      `help:"Take the revocation back. Closed connections stay closed."`
	natsFlags
}

// Help is shown by --help.
func (revokeCmd) Help() string {
	return `Edges know of it within a second: they close the connections with 4003 and refuse the tokens from then on. It holds for all services. A revocation is kept for 30 days; no accepted token with an iat outlives it. A revocation never lets in again whom an earlier one keeps out; only --undo does. The id of a token: indranet token inspect. NATS may let nobody but the operator revoke.

Examples:

    indranet revoke --token 7Q2M4PZ3…
    indranet revoke --user alice
    indranet revoke --all --before 2026-01-02T15:04:05Z
    indranet revoke --list`
}

// Validate checks what kong cannot.
func (c *revokeCmd) Validate() error {
	switch {
	case c.Token == "" && c.User == "" && !c.All && !c.List:
		return errors.New("what to revoke: --token, --user or --all; or --list what is")
	case (c.Token != "" || c.List) && !c.Before.IsZero():
		return errors.New("--before goes with --user or --all")
	case c.List && c.Undo:
		return errors.New("--undo goes with --token, --user or --all")
	case c.Before.After(time.Now().Add(auth.MaxLeeway)):
		return errors.New("--before lies in the future: only tokens that have been issued can be revoked")
	}
	return nil
}

// Run revokes.
func (c *revokeCmd) Run(ctx context.Context, std stdio) error {
	r := c.revocation(time.Now())
	if _, err := r.Marshal(); err != nil && !c.List {
		return err
	}
	ctx, nc, err := c.connect(ctx, "revoke")
	if err != nil {
		return err
	}
	defer nc.Close()
	if c.List {
		err = c.list(ctx, nc, std.out)
	} else if c.Undo {
		err = c.undo(ctx, nc, r, std.out)
	} else {
		err = c.revoke(ctx, nc, r.Key(), std.out)
	}
	if err != nil {
		return because(ctx, err)
	}
	return nil
}

// revocation is what the flags say, made now.
func (c *revokeCmd) revocation(now time.Time) auth.Revocation {
	r := auth.Revocation{Token: c.Token, User: c.User, Before: c.Before, At: now}
	if c.Token == "" && c.Before.IsZero() {
		r.Before = now
	}
	return r
}

func (c *revokeCmd) revoke(ctx context.Context, nc *nats.Conn, key string, out io.Writer) error {
	var is auth.Revocation
	var invalid error
	done := "revoked"
	err := stream.PutRevocation(ctx, nc, key, func(old []byte, now time.Time) []byte {
		is, done = c.revocation(now), "revoked"
		// What cannot be read holds nothing to keep: edges ignore it.
		if was, err := auth.ParseRevocation(key, old); err == nil && was.Before.After(is.Before) {
			is, done = was, "revoked already"
		}
		var value []byte
		value, invalid = is.Marshal()
		return value
	})
	if err = errors.Join(err, invalid); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s, key %s\n", done, c.what(is), key)
	return nil
}

func (c *revokeCmd) undo(ctx context.Context, nc *nats.Conn, r auth.Revocation, out io.Writer) error {
	was, err := stream.DeleteRevocation(ctx, nc, r.Key())
	switch {
	case err != nil:
		return err
	case !was:
		return fmt.Errorf("there is no revocation of %s; all that there are: indranet revoke --list", c.what(r))
	}
	fmt.Fprintf(out, "not revoked any more: %s, key %s\n", c.what(r), r.Key())
	return nil
}

func (c *revokeCmd) list(ctx context.Context, nc *nats.Conn, out io.Writer) error {
	var lines []string
	err := stream.Revocations(ctx, nc, func(key string, value []byte) {
		r, err := auth.ParseRevocation(key, value)
		if err != nil {
			lines = append(lines, fmt.Sprintf(`{"key":%q,"ignored":%q}`, key, err))
			return
		}
		line, _ := r.Marshal() // It has just been found to be right.
		lines = append(lines, string(line))
	})
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
	return err
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
