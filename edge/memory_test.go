package edge

import (
	"testing"

	"github.com/bodhisattva/indranet/edge/request"
)

func TestLittleMemoryIsSavedUntilThereIsEnough(t *testing.T) {
	budget := request.NewBudget(0)
	m := newMemory(1000, budget)
	for _, step := range []struct {
		used   uint64
		scarce bool
	}{{0, false}, {899, false}, {900, true}, {850, true}, {801, true}, {799, false}, {899, false}, {2000, true}} {
		m.used = func() uint64 { return step.used }
		if m.look(); m.scarce.Load() != step.scarce || budget.Over() != step.scarce {
			t.Errorf("at %d: scarce %v, over %v", step.used, m.scarce.Load(), budget.Over())
		}
	}
	if mapped() == 0 {
		t.Error("the process has no memory")
	}
}
