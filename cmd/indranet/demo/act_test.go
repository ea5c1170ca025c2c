package demo

import (
	"testing"
	"time"

	"github.com/bodhisattva/indranet/schema/crackerjack"
	"github.com/bodhisattva/indranet/schema/excalidraw"
	"github.com/bodhisattva/indranet/schema/fastblocks"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
	"github.com/bodhisattva/indranet/schema/sessionbuddy"
)

// TestStoriesHoldTogether reads acts as a subscriber would, who keeps the state of
// everything: nothing happens to what does not exist, and everything that begins ends.
func TestStoriesHoldTogether(t *testing.T) {
	for seed := range uint64(300) {
		a := newAct(seed, seed%7, time.Unix(1_800_000_000, 0))
		open := map[string]bool{}
		begin := func(what string) {
			if open[what] {
				t.Errorf("seed %d: %s begins twice", seed, what)
			}
			open[what] = true
		}
		within := func(what string) {
			if !open[what] {
				t.Errorf("seed %d: something happens to %s, which is not there", seed, what)
			}
		}
		end := func(what string) {
			within(what)
			delete(open, what)
		}
		last := time.Duration(0)
		for _, b := range a.beats {
			if b.at < last || b.at >= actLength {
				t.Errorf("seed %d: %T at %s after %s", seed, b.event, b.at, last)
			}
			last = b.at
			switch e := b.event.(type) {
			case mahavishnu.WorkflowStarted:
				begin(e.WorkflowID)
			case mahavishnu.WorkflowStageCompleted:
				within(e.WorkflowID)
			case mahavishnu.WorkflowCompleted:
				end(e.WorkflowID)
			case mahavishnu.WorkflowFailed:
				end(e.WorkflowID)
			case crackerjack.TestStarted:
				begin(e.RunID)
			case crackerjack.TestFailed:
				within(e.RunID)
			case crackerjack.TestCompleted:
				end(e.RunID)
			case sessionbuddy.SessionCreated:
				begin(e.SessionID)
			case sessionbuddy.SessionUpdated:
				within(e.SessionID)
			case sessionbuddy.SessionCheckpoint:
				within(e.SessionID)
			case sessionbuddy.SessionClosed:
				end(e.SessionID)
			case fastblocks.ComponentMounted:
				begin(e.ComponentID)
			case fastblocks.StateChanged:
				within(e.ComponentID)
			case fastblocks.ComponentUpdated:
				within(e.ComponentID)
			case fastblocks.ComponentUnmounted:
				end(e.ComponentID)
			case fastblocks.RenderStarted:
				begin("render of " + e.ComponentID)
			case fastblocks.RenderFailed:
				end("render of " + e.ComponentID)
			case fastblocks.RenderCompleted:
				end("render of " + e.ComponentID)
			case excalidraw.UserJoined:
				begin(e.UserID)
			case excalidraw.CursorMoved:
				within(e.UserID)
			case excalidraw.SelectionChanged:
				within(e.UserID)
				for _, id := range e.ElementIDs {
					within(id)
				}
			case excalidraw.UserLeft:
				end(e.UserID)
			case excalidraw.ElementAdded:
				begin(e.ElementID)
			case excalidraw.ElementUpdated:
				within(e.ElementID)
			case excalidraw.ElementDeleted:
				end(e.ElementID)
			}
		}
		// What was drawn stays.
		for what := range open {
			if len(what) < 3 || what[:3] != "el-" {
				t.Errorf("seed %d: %s never ends", seed, what)
			}
		}
	}
}
