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
	// What other tests left behind goes at the first collection and not between the two.
	const size, tolerance = 256 << 20, 32 << 20
	runtime.GC()
	before := int64(living())
	ballast := make([]byte, size)
	runtime.GC()
	if grown := int64(living()) - before; grown < size-tolerance || grown > size+tolerance {
		t.Errorf("%d bytes that live count as %d", size, grown)
	}
	runtime.KeepAlive(ballast)
}
