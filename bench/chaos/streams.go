//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bodhisattva/indranet/publisher"
	"github.com/bodhisattva/indranet/publisher/directget"
	"github.com/bodhisattva/indranet/schema"
)

// adminTimeout bounds a change of a stream, which is tried until it is done: half a
// change would leave nobody knowing what is true.
const adminTimeout = 90 * time.Second

// insist tries one step of a change until it succeeds.
func insist(ctx context.Context, what string, step func(ctx context.Context) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := step(one)
		cancel()
		if err == nil {
			return nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return fmt.Errorf("chaos: %s: %w", what, err)
		}
	}
}

// change changes a stream's configuration: what is not changed stays.
func (f *fleet) change(ctx context.Context, service schema.Service, how func(*jetstream.StreamConfig)) error {
	js, err := jetstream.New(f.admin)
	if err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	return insist(ctx, "change of "+service.Stream(), func(ctx context.Context) error {
		stream, err := js.Stream(ctx, service.Stream())
		if err != nil {
			return err
		}
		cfg := stream.CachedInfo().Config
		cfg.Metadata = maps.Clone(cfg.Metadata)
		how(&cfg)
		_, err = js.UpdateStream(ctx, cfg)
		return err
	})
}

// front is the first position of a stream, as its leader says.
func (f *fleet) front(ctx context.Context, service schema.Service) (first uint64, err error) {
	err = insist(ctx, "state of "+service.Stream(), func(ctx context.Context) error {
		info, err := f.ask.Info(ctx, service.Stream())
		first = info.FirstSeq
		return err
	})
	return first, err
}

// limit makes a stream keep no more than its newest events, from now on. A limit that is
// lowered only for a moment does not do: a replica that did not hear of it, or that is
// killed before it wrote down what went, has its old front for ever.
func (f *fleet) limit(ctx context.Context, service schema.Service, keep uint64) (first uint64, err error) {
	if err := f.change(ctx, service, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = int64(keep) }); err != nil {
		return 0, err
	}
	if first, err = f.front(ctx, service); err != nil {
		return 0, err
	}
	for _, url := range f.urls {
		if err := reaches(ctx, url, service, first); err != nil {
			return 0, err
		}
	}
	return first, nil
}

// reaches waits until a node's replica begins at a position: a node answers itself who
// is connected to it.
func reaches(ctx context.Context, url string, service schema.Service, first uint64) error {
	return insist(ctx, "front of "+service.Stream(), func(ctx context.Context) error {
		nc, err := nats.Connect(url, nats.IgnoreDiscoveredServers(), nats.NoReconnect())
		if err != nil {
			return err
		}
		defer nc.Close()
		request := directget.Request{Seq: 1, NextBySubj: schema.ServiceSubject(schema.Stored, service)}
		_, err = directget.New(nc).Get(ctx, service.Stream(), request, func(m *directget.Message) error {
			if m.Seq < first {
				return fmt.Errorf("%s still begins at %d", url, m.Seq)
			}
			return nil
		})
		return err
	})
}

// drop lowers the limit and lifts it again without looking, while everybody publishes
// and nodes may be away. What replicas then hold differs for good.
func (f *fleet) drop(ctx context.Context, service schema.Service, keep uint64) (first uint64, err error) {
	err = f.change(ctx, service, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = int64(keep) })
	err = errors.Join(err, f.change(ctx, service, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = -1 }))
	if err != nil {
		return 0, err
	}
	return f.front(ctx, service)
}

// renew deletes a stream and creates it anew. It returns its epoch.
func (f *fleet) renew(ctx context.Context, service schema.Service) (epoch string, err error) {
	js, err := jetstream.New(f.admin)
	if err != nil {
		return "", fmt.Errorf("chaos: %w", err)
	}
	err = insist(ctx, "deletion of "+service.Stream(), func(ctx context.Context) error {
		err := js.DeleteStream(ctx, service.Stream())
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	err = insist(ctx, "creation of "+service.Stream(), func(ctx context.Context) error {
		report, err := publisher.EnsureStreams(ctx, f.admin, streamConfig, service)
		if err == nil {
			epoch = report[0].Epoch
		}
		return err
	})
	return epoch, err
}

// Bounds of how many events the streams keep. A limit is never higher than the one before
// it: a replica would keep what another one has not any more.
const (
	minKept = 100
	maxKept = 1500
)

// streamFaults change a stream: its front goes, or it gets a new epoch, as it is, as
// after a repair, or by being created anew, while nobody publishes.
func (f *faults) streamFaults() []fault {
	kept := map[schema.Service]uint64{}
	return []fault{
		{"front trimmed", 4, 0, 0, f.admin(func(ctx context.Context, service schema.Service, rng *rand.Rand) (string, error) {
			if kept[service] == 0 {
				kept[service] = maxKept
			}
			kept[service] = minKept + rng.Uint64N(kept[service]-minKept+1)
			f.book.trim(service, 0, kept[service], time.Since(f.start))
			first, err := f.fleet.limit(ctx, service, kept[service])
			return fmt.Sprintf("%s keeps %d and begins at %d", service, kept[service], first), err
		})},
		{carelessly, 1, 0, 0, f.admin(func(ctx context.Context, service schema.Service, rng *rand.Rand) (string, error) {
			begun := time.Since(f.start)
			first, err := f.fleet.drop(ctx, service, minKept+rng.Uint64N(maxKept))
			f.book.trim(service, first, 0, begun)
			return fmt.Sprintf("%s begins at %d", service, first), err
		})},
		{"epoch changed", 1, 0, 0, f.admin(func(ctx context.Context, service schema.Service, rng *rand.Rand) (string, error) {
			epoch := fmt.Sprintf("chaos-%x", rng.Uint64())
			f.book.begin(service, epoch, time.Since(f.start), false)
			return string(service), f.fleet.change(ctx, service, func(cfg *jetstream.StreamConfig) { cfg.Metadata[publisher.EpochKey] = epoch })
		})},
		{"stream created anew", 1, 0, 0, f.admin(func(ctx context.Context, service schema.Service, _ *rand.Rand) (string, error) {
			gate := f.book.gates[service]
			gate.Lock()
			defer gate.Unlock()
			begun := time.Since(f.start)
			epoch, err := f.fleet.renew(ctx, service)
			if err != nil {
				return "", err
			}
			f.book.begin(service, epoch, begun, true)
			delete(kept, service)
			return string(service), nil
		})},
	}
}

// admin is a fault of one service's stream, which is over when it has begun. It is done
// to its end, also when the run's ends meanwhile.
func (f *faults) admin(do func(ctx context.Context, service schema.Service, rng *rand.Rand) (string, error)) func(context.Context, *rand.Rand) (string, func() error) {
	return func(ctx context.Context, rng *rand.Rand) (string, func() error) {
		service := services[rng.IntN(len(services))]
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
		defer cancel()
		what, err := do(ctx, service, rng)
		if err != nil {
			return string(service) + ", failed", func() error { return err }
		}
		return what, nothing
	}
}
