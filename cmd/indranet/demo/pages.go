package demo

import (
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/fastblocks"
)

// buildPage lets somebody edit a template while the page is open: the first render
// after the edit fails, the one after the repair does not.
func (a *act) buildPage(from time.Duration) {
	s := a.story(from)
	s.then(700*time.Millisecond, fastblocks.ComponentMounted{
		ComponentID: a.component, PageID: a.page, Props: map[string]any{"theme": "dark"},
	})
	s.then(300*time.Millisecond, fastblocks.PageRendered{
		PageID: a.page, DurationMS: a.millis(30, 60), ComponentCount: new(int64(12 + a.rng.IntN(8))),
	})
	count := 1 + a.rng.IntN(5)
	for range 4 {
		s.then(3*time.Second, fastblocks.StateChanged{ComponentID: a.component, Path: "items", OldValue: count, NewValue: count + 1})
		count++
	}
	saved := fastblocks.HotReloadTriggered{FilePath: a.template, AffectedComponents: []string{a.component, a.page + "-summary"}}
	s.then(2*time.Second, saved)
	s.then(200*time.Millisecond, fastblocks.RenderStarted{ComponentID: a.component, RenderType: "partial"})
	s.then(200*time.Millisecond, fastblocks.RenderFailed{
		ComponentID: a.component, Error: "template " + a.template + ": undefined variable total",
	})
	s.then(300*time.Millisecond, notice(schema.Fastblocks, "error", "a template does not render", map[string]any{"file_path": a.template}))
	s.then(5*time.Second, saved)
	s.then(200*time.Millisecond, fastblocks.RenderStarted{ComponentID: a.component, RenderType: "partial"})
	s.then(200*time.Millisecond, fastblocks.RenderCompleted{
		ComponentID: a.component, DurationMS: a.millis(8, 20), Result: map[string]any{"bytes": 2048 + a.rng.IntN(8192)},
	})
	s.then(100*time.Millisecond, fastblocks.ComponentUpdated{
		ComponentID: a.component, Props: map[string]any{"theme": "dark"}, State: map[string]any{"items": count},
	})
	s.then(200*time.Millisecond, fastblocks.PageRendered{
		PageID: a.page, DurationMS: a.millis(30, 60), ComponentCount: new(int64(12 + a.rng.IntN(8))),
	})
	s.then(8*time.Second, fastblocks.ComponentUnmounted{ComponentID: a.component, PageID: a.page})
}

// millis is a duration between low and high milliseconds, with one decimal.
func (a *act) millis(low, high int) float64 {
	return float64(10*low+a.rng.IntN(10*(high-low))) / 10
}
