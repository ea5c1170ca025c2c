//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mode is one kind of measurement.
type mode interface {
	run(ctx context.Context, out, progress io.Writer) ([]*figures, error)
}

func main() {
	if os.Getenv(roleKey) != "" {
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// settleAfter is how long things that were disturbed may become calm.
const settleAfter = time.Second

const usageText = `usage: storm storm|return|distance|frozen [flags]

  storm     an edge is killed, its clients go to another one
  return    clients with missed events come to a fresh edge
  distance  one client returns from further and further back
  frozen    clients that stop reading, beside healthy ones

storm MODE -h lists the flags of a mode.
`

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(progress, usageText)
		return flag.ErrHelp
	}
	m, err := parse(args[0], args[1:], progress)
	if err != nil {
		return err
	}
	all, err := m.run(ctx, out, progress)
	if err != nil {
		return err
	}
	for _, f := range all {
		if !f.ok() {
			return errVerdict
		}
	}
	return nil
}

func parse(name string, args []string, help io.Writer) (mode, error) {
	flags := flag.NewFlagSet("storm "+name, flag.ContinueOnError)
	flags.SetOutput(help)
	var m mode
	switch name {
	case "storm":
		s := &storm{settle: settleAfter, channels: []int{1, 1000}, jitters: []time.Duration{0, 5 * time.Second}}
		flags.IntVar(&s.clients, "clients", 10_000, "number of clients")
		flags.Var((*list[int])(&s.channels), "channels", "numbers of channels that they are divided among")
		flags.IntVar(&s.missed, "missed", 20, "events that each of them misses")
		flags.IntVar(&s.size, "size", 256, "bytes of a payload, about")
		flags.Var((*list[time.Duration])(&s.jitters), "jitter", "times over which clients spread their reconnects, at random")
		flags.IntVar(&s.runs, "runs", 3, "runs of each setting")
		flags.IntVar(&s.dials, "dials", 0, "most handshakes in flight, 0 for no bound")
		flags.IntVar(&s.probes, "probes", 20, "number of healthy clients, each on a channel of its own")
		flags.Float64Var(&s.probeRate, "probe-rate", 500, "events a second, all probes together")
		flags.DurationVar(&s.calm, "calm", 10*time.Second, "how long the probes are measured before the storm")
		flags.StringVar(&s.profile, "cpuprofile", "", "file for a CPU profile of the edge that the clients go to")
		m = s
	case "return":
		c := &comeback{settle: settleAfter, missed: []int{50, 500}, channels: []int{1}}
		flags.IntVar(&c.clients, "clients", 5_000, "number of clients")
		flags.Var((*list[int])(&c.channels), "channels", "numbers of channels that they are divided among")
		flags.Var((*list[int])(&c.missed), "missed", "numbers of events that each of them missed")
		flags.IntVar(&c.size, "size", 256, "bytes of a payload, about")
		flags.IntVar(&c.rounds, "rounds", 5, "rounds of each setting")
		flags.IntVar(&c.dials, "dials", 0, "most handshakes in flight, 0 for no bound")
		flags.DurationVar(&c.goal, "goal", 1500*time.Millisecond, "bound of the median for 50 missed events, 0 for none")
		flags.StringVar(&c.profile, "cpuprofile", "", "file for a CPU profile of the last edge")
		m = c
	case "distance":
		d := &distance{distances: []int{0, 1000, 10_000, 100_000, 1_000_000}, settle: settleAfter / 2}
		flags.Var((*list[int])(&d.distances), "distances", "numbers of other messages between position and head, 0 among them")
		flags.IntVar(&d.missed, "missed", 20, "events that the client misses")
		flags.IntVar(&d.others, "others", 1000, "channels of the other messages")
		flags.IntVar(&d.size, "size", 256, "bytes of a payload, about")
		flags.IntVar(&d.rounds, "rounds", 5, "rounds")
		m = d
	case "frozen":
		z := &frozen{settle: settleAfter}
		flags.IntVar(&z.frozen, "frozen", 1000, "clients that stop reading")
		flags.IntVar(&z.healthy, "healthy", 200, "clients beside them")
		flags.Float64Var(&z.rate, "rate", 1000, "events a second on the channel of all")
		flags.IntVar(&z.size, "size", 512, "bytes of a payload, about")
		flags.DurationVar(&z.duration, "duration", time.Minute, "how long they stay frozen")
		flags.IntVar(&z.pairs, "pairs", 5, "pairs of runs, with and without frozen clients")
		flags.IntVar(&z.thaws, "thaws", 1, "of the runs with frozen clients, how many of the last thaw them")
		flags.StringVar(&z.profile, "cpuprofile", "", "file for a CPU profile of the last edge")
		m = z
	default:
		fmt.Fprint(help, usageText)
		return nil, flag.ErrHelp
	}
	err := flags.Parse(args)
	if err != nil {
		return nil, err
	}
	flags.VisitAll(func(f *flag.Flag) {
		number, ok := f.Value.(flag.Getter)
		if !ok || f.Name == "dials" || f.Name == "thaws" {
			return
		}
		if n, ok := number.Get().(int); ok && n <= 0 {
			err = fmt.Errorf("storm: -%s must be positive", f.Name)
		}
	})
	if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("storm: %q is no flag", flags.Arg(0))
	}
	return m, nil
}

// list is a flag with several values, separated by commas.
type list[T int | time.Duration] []T

// String implements flag.Value.
func (l *list[T]) String() string {
	var parts []string
	for _, v := range *l {
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, ",")
}

// Set implements flag.Value.
func (l *list[T]) Set(text string) error {
	*l = nil
	for part := range strings.SplitSeq(text, ",") {
		var v T
		var err error
		switch to := any(&v).(type) {
		case *int:
			*to, err = strconv.Atoi(part)
		case *time.Duration:
			*to, err = time.ParseDuration(part)
		}
		if err != nil || v < 0 {
			return fmt.Errorf("%q is not a list of values separated by commas", text)
		}
		*l = append(*l, v)
	}
	return nil
}
