//go:build unix

package main

import (
	"context"
	"time"
)

// task is a function that runs beside its caller, who must end it.
type task struct {
	done   chan struct{}
	cancel context.CancelFunc
	// err is set when done is closed.
	err error
}

func background(ctx context.Context, f func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(t.done)
		if err := f(ctx); ctx.Err() == nil {
			t.err = err
		}
	}()
	return t
}

// within reports whether the task ends by itself within the time.
func (t *task) within(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.done:
		return true
	case <-timer.C:
		return false
	}
}

// end cancels the task where it still runs, and waits for it.
func (t *task) end() {
	t.cancel()
	<-t.done
}
