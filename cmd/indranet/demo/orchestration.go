package demo

import (
	"fmt"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/dhruva"
	"github.com/bodhisattva/indranet/schema/mahavishnu"
)

// announceEvery is the time between two announcements of the steady adapter.
const announceEvery = 2500 * time.Millisecond

// announce repeats that the steady adapter is active, beginning at once: a newcomer
// never waits long for a first event.
func (a *act) announce() {
	for at := time.Duration(0); at < actLength; at += announceEvery {
		a.story(at).publish(dhruva.AdapterActivated{
			AdapterID: steady, Repo: adapterRepo, Version: fmt.Sprintf("1.4.%d", a.number),
			Config: map[string]any{"chunk_size": 256 << a.rng.IntN(3), "top_k": 4 + a.rng.IntN(5)},
		})
	}
}

// failWorkflow runs a workflow into an adapter that does not answer.
func (a *act) failWorkflow(from time.Duration) (end time.Duration) {
	s := a.story(from)
	s.then(500*time.Millisecond, mahavishnu.PoolStatusChanged{
		PoolID: a.pool, Status: map[string]any{"state": "running"},
		Metrics: map[string]any{"workers": 8, "busy": 2 + a.rng.IntN(4), "queue_size": 1 + a.rng.IntN(5)},
	})
	s.then(300*time.Millisecond, mahavishnu.WorkflowStarted{
		WorkflowID: a.workflow, Adapter: a.broken, Prompt: "Plan the change for " + a.branch + " of " + a.project,
	})
	s.then(200*time.Millisecond, a.workerIs("busy"))
	s.then(1500*time.Millisecond, mahavishnu.WorkflowStageCompleted{
		WorkflowID: a.workflow, StageName: "plan", Result: map[string]any{"steps": 3 + a.rng.IntN(5)},
	})
	s.then(2*time.Second, mahavishnu.WorkflowStageCompleted{
		WorkflowID: a.workflow, StageName: "retrieve", Result: map[string]any{"documents": 5 + a.rng.IntN(20)},
	})
	s.then(4*time.Second, mahavishnu.WorkflowFailed{
		WorkflowID: a.workflow, Error: "the generate stage timed out: " + a.broken + " did not answer",
	})
	s.then(100*time.Millisecond, a.workerIs("error"))
	s.then(800*time.Millisecond, notice(schema.Mahavishnu, "warning", "workflow failed and will be repeated",
		map[string]any{"workflow_id": a.workflow, "adapter": a.broken, "pool_id": a.pool}))
	return s.at
}

// swapAdapter replaces the adapter that failed.
func (a *act) swapAdapter(from time.Duration) (end time.Duration) {
	s := a.story(from)
	s.then(time.Second, dhruva.AdapterDeactivated{
		AdapterID: a.broken, Repo: adapterRepo, Reason: "timed out in " + a.workflow,
	})
	s.then(200*time.Millisecond, dhruva.LifecycleChanged{
		EntityType: "adapter", EntityID: a.healthy, OldState: "stored", NewState: "loading",
	})
	s.then(1200*time.Millisecond, dhruva.AdapterActivated{
		AdapterID: a.healthy, Repo: adapterRepo, Version: a.version,
		Config: map[string]any{"timeout_ms": 2000, "replaces": a.broken},
	})
	s.then(100*time.Millisecond, dhruva.LifecycleChanged{
		EntityType: "adapter", EntityID: a.healthy, OldState: "loading", NewState: "active",
	})
	s.then(300*time.Millisecond, dhruva.AdapterSwapped{OldAdapter: a.broken, NewAdapter: a.healthy, Repo: adapterRepo})
	s.then(1500*time.Millisecond, dhruva.DistributionCompleted{
		Repo: adapterRepo, AdaptersCount: 2, Adapters: []string{steady, a.healthy},
		DurationMS: new(900 + float64(a.rng.IntN(1200))),
	})
	s.then(200*time.Millisecond, dhruva.RegistryUpdated{
		Version: fmt.Sprintf("%s.%d", a.start.UTC().Format("2006.01.02"), a.number),
		Added:   []string{a.healthy}, Removed: []string{a.broken}, Updated: []string{steady},
	})
	s.then(300*time.Millisecond, notice(schema.Dhruva, "info", "registry is in sync with all mirrors", map[string]any{"mirrors": 3}))
	return s.at
}

// repeatWorkflow runs the workflow again, with the adapter that works.
func (a *act) repeatWorkflow(from time.Duration) (end time.Duration) {
	s := a.story(from)
	s.then(400*time.Millisecond, a.workerIs("idle"))
	s.then(400*time.Millisecond, mahavishnu.WorkflowStarted{
		WorkflowID: a.retry, Adapter: a.healthy, Prompt: "Plan the change for " + a.branch + " of " + a.project,
	})
	s.then(100*time.Millisecond, a.workerIs("busy"))
	for _, stage := range []string{"plan", "retrieve", "generate"} {
		s.then(1300*time.Millisecond, mahavishnu.WorkflowStageCompleted{
			WorkflowID: a.retry, StageName: stage, Result: map[string]any{"tokens": 200 + a.rng.IntN(3000)},
		})
	}
	s.then(500*time.Millisecond, mahavishnu.WorkflowCompleted{
		WorkflowID: a.retry, Result: map[string]any{"files_changed": 1 + a.rng.IntN(6), "replaces": a.workflow},
	})
	s.then(100*time.Millisecond, a.workerIs("idle"))
	s.then(200*time.Millisecond, mahavishnu.PoolStatusChanged{
		PoolID: a.pool, Metrics: map[string]any{"workers": 8, "busy": a.rng.IntN(3), "queue_size": 0},
	})
	return s.at
}

func (a *act) workerIs(status string) mahavishnu.WorkerStatusChanged {
	return mahavishnu.WorkerStatusChanged{WorkerID: a.worker, PoolID: a.pool, Status: status}
}
