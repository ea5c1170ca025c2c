//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/bodhisattva/indranet/bench/attack/foe"
	"github.com/bodhisattva/indranet/bench/attack/good"
	"github.com/bodhisattva/indranet/bench/attack/stage"
)

const (
	// roleKey is the environment variable that makes this program a child.
	roleKey = "INDRANET_ATTACK_CHILD"
	// secretKey is the one with the secret that signs tokens. Only the edge and the good
	// clients have it.
	secretKey = "INDRANET_ATTACK_SECRET"
)

// role is what a child is: one of the fields from NATS on is set.
type role struct {
	Name string
	// Nice is its nice value.
	Nice      int                    `json:",omitempty"`
	NATS      *natsRole              `json:",omitempty"`
	Edge      *edgeRole              `json:",omitempty"`
	Publisher *stage.PublisherConfig `json:",omitempty"`
	Good      *good.Config           `json:",omitempty"`
	Foe       *foe.Config            `json:",omitempty"`
	Burner    bool                   `json:",omitempty"`
}

type natsRole struct{ Dir string }

// dialogue is a child's side of the talk with its parent.
type dialogue struct {
	in  *bufio.Reader
	out *json.Encoder
}

// play runs a child until it is asked to end, by SIGTERM or the end of its standard
// input, which comes when its parent dies.
func play() error {
	d := dialogue{bufio.NewReaderSize(os.Stdin, 64<<10), json.NewEncoder(os.Stdout)}
	var r role
	if err := d.hear(&r); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	signal.Ignore(syscall.SIGINT) // The parent has it too, and ends its children.
	if err := r.settle(); err != nil {
		return err
	}
	var err error
	switch {
	case r.NATS != nil:
		err = r.NATS.play(d)
	case r.Edge != nil:
		err = r.Edge.play(ctx, d, os.Getenv(secretKey))
	case r.Publisher != nil:
		err = playPublisher(ctx, d, *r.Publisher)
	case r.Good != nil:
		err = playGood(ctx, d, *r.Good, os.Getenv(secretKey))
	case r.Foe != nil:
		army := foe.New(*r.Foe)
		defer army.Close()
		err = answer(ctx, d, army.Do)
	case r.Burner:
		err = playBurner(ctx, d)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	return nil
}

// rareCollections is the GC percentage of all but the edge: where few processors are shared,
// each collection of one process is time that the others have to wait, and who has a
// machine of its own collects there.
const rareCollections = 800

// settle prepares the process for its role.
func (r *role) settle() error {
	if r.Edge == nil {
		debug.SetGCPercent(rareCollections)
	}
	if r.Nice == 0 {
		return nil
	}
	// Its process group is its own, and holds all its threads.
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, r.Nice); err != nil {
		return fmt.Errorf("%s: cannot yield to others: %w", r.Name, err)
	}
	return nil
}

// hear takes one line. It fails with io.EOF when the parent has ended or asks to end.
func (d dialogue) hear(into any) error {
	line, err := d.in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// failed tells the parent why the child can't be reached.
func (d dialogue) failed(err error) error {
	return errors.Join(err, d.out.Encode(ready{Error: err.Error()}))
}

// answer says that the child is ready and then answers every order.
func answer[Order, Report any](ctx context.Context, d dialogue, do func(context.Context, Order) Report) error {
	if err := d.out.Encode(ready{}); err != nil {
		return err
	}
	for {
		var order Order
		if err := d.hear(&order); err != nil {
			return err
		}
		if err := d.out.Encode(do(ctx, order)); err != nil {
			return err
		}
	}
}

func (n *natsRole) play(d dialogue) error {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: n.Dir, JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		return d.failed(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(20 * time.Second) {
		return d.failed(errors.New("the server does not start"))
	}
	if err := d.out.Encode(ready{Address: srv.ClientURL()}); err != nil {
		return err
	}
	return d.hear(nil)
}

func playPublisher(ctx context.Context, d dialogue, cfg stage.PublisherConfig) error {
	p, err := stage.NewPublisher(cfg)
	if err != nil {
		return d.failed(err)
	}
	defer p.Close()
	return answer(ctx, d, p.Do)
}

func playGood(ctx context.Context, d dialogue, cfg good.Config, secret string) error {
	clients, err := good.New(cfg, secret)
	if err != nil {
		return d.failed(err)
	}
	defer clients.Close()
	return answer(ctx, d, clients.Do)
}

func playBurner(ctx context.Context, d dialogue) error {
	rest := func() {}
	defer func() { rest() }()
	return answer(ctx, d, func(ctx context.Context, b burning) burning {
		rest()
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			if b.Share > 0 {
				burn(ctx, b.Share)
			}
		}()
		rest = func() {
			cancel()
			<-done
		}
		return b
	})
}
