package edge

import (
	"runtime"
	"testing"

	"github.com/bodhisattva/indranet/edge/request"
)

func TestLittleMemoryIsSavedUntilThereIsEnough(t *testing.T) {
	budget := request.NewBudget(0)
	m := newMemory(1000, budget)
	for _, step := range []struct {
		used   uint64
		scarce bool
	}{{0, false}, {749, false}, {750, true}, {700, true}, {651, true}, {649, false}, {749, false}, {2000, true}} {
		m.used = func() uint64 { return step.used }
		if m.look(); m.scarce.Load() != step.scarce || budget.Over() != step.scarce {
			t.Errorf("at %d: scarce %v, over %v", step.used, m.scarce.Load(), budget.Over())
		}
	}
	before := living()
	ballast := make([]byte, 64<<20)
	runtime.GC()
	if grown := living() - before; grown < 60<<20 || grown > 80<<20 {
		t.Errorf("64 MiB that live count as %d bytes", grown)
	}
	runtime.KeepAlive(ballast)
}
