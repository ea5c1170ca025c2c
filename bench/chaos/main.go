//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if text := os.Getenv(roleKey); text != "" {
		if err := play(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var s settings
	flag.Uint64Var(&s.seed, "seed", rand.Uint64N(1_000_000), "decides what is published, who subscribes and what breaks")
	flag.DurationVar(&s.duration, "duration", time.Minute, "how long things break")
	flag.IntVar(&s.clients, "clients", 100, "number of subscribers")
	flag.IntVar(&s.channels, "channels", 20, "number of channels, divided among the services")
	flag.Float64Var(&s.rate, "rate", 150, "publishing calls a second, all channels together")
	flag.BoolVar(&s.calm, "calm", false, "break nothing")
	flag.DurationVar(&s.settle, "settle", time.Minute, "how long clients may take to get to the last events")
	flag.StringVar(&s.plant, "plant", "", "a fault that the edges have, in a build with the tag plant: "+strings.Join(plants, ", "))
	flag.Func("only", "comma-separated parts of the names of faults: no others happen", func(text string) error {
		s.only = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		return nil
	})
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := chaos(ctx, s)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func chaos(ctx context.Context, s settings) error {
	if err := s.check(); err != nil {
		return err
	}
	r, err := run(ctx, s, os.Stdout)
	if err != nil {
		return fmt.Errorf("%w (seed %d)", err, s.seed)
	}
	r.print(os.Stdout)
	if !r.ok() {
		return errors.New("chaos: promises were broken: " + s.command())
	}
	return nil
}

func (s settings) check() error {
	if s.duration <= 0 || s.clients <= 0 || s.channels < len(services) || s.rate <= 0 || s.settle <= 0 {
		return errors.New("chaos: -duration, -settle, -clients and -rate must be positive, and -channels at least 2")
	}
	return s.checkPlant()
}

// command is how to run it again.
func (s settings) command() string {
	text := fmt.Sprintf("-seed %d -duration %s -settle %s -clients %d -channels %d -rate %g", s.seed, s.duration, s.settle, s.clients, s.channels, s.rate)
	if s.calm {
		text += " -calm"
	}
	if len(s.only) > 0 {
		text += " -only '" + strings.Join(s.only, ",") + "'"
	}
	if s.plant != "" {
		return "go run -tags plant ./bench/chaos " + text + " -plant " + s.plant
	}
	return "go run ./bench/chaos " + text
}
