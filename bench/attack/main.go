//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/bodhisattva/indranet/bench/attack/foe"
)

func main() {
	if os.Getenv(roleKey) != "" {
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := attackFor(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func attackFor(ctx context.Context, args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	r, err := run(ctx, s, progress)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, s.command())
	}
	r.print(out)
	if !r.ok() {
		return errors.New("attack: not all that must hold did: " + s.command())
	}
	return nil
}

func parse(args []string, help io.Writer) (settings, error) {
	s := newSettings()
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.DurationVar(&s.duration, "duration", s.duration, "how long the attack lasts")
	flags.DurationVar(&s.calm, "calm", 0, "how long each calm round lasts (default a fifth of the attack, between 10s and 2m)")
	flags.IntVar(&s.clients, "clients", s.clients, "number of good clients")
	flags.Float64Var(&s.events, "events", s.events, "events published a second, all channels together")
	flags.Uint64Var(&s.seed, "seed", rand.Uint64N(1_000_000), "decides what attackers say, and when")
	flags.Func("rate", "`factors` of the attackers' rates: 2 for all kinds, history=0.5 for one, separated by commas", func(text string) (err error) {
		s.factors, err = parseFactors(text)
		return err
	})
	flags.Func("only", "comma-separated `parts` of the names of kinds: no others take part", func(text string) error {
		s.only = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		return nil
	})
	flags.Usage = func() {
		fmt.Fprint(help, "usage: attack [flags]\n\n")
		flags.PrintDefaults()
		fmt.Fprint(help, "\nThe kinds of attack, with connections (or messages) a second:\n")
		for _, k := range foe.Kinds() {
			fmt.Fprintf(help, "  %-16s %6g  %s\n", k.Name, k.Rate, k.Does)
		}
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("attack: %q is no flag", flags.Arg(0))
	}
	return s, s.check()
}
