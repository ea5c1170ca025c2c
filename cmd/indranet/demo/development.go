package demo

import (
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/crackerjack"
	"github.com/bodhisattva/indranet/schema/sessionbuddy"
)

// openSession begins the work of the act's person.
func (a *act) openSession() (end time.Duration) {
	s := a.story(0)
	s.then(600*time.Millisecond, sessionbuddy.SessionCreated{
		SessionID: a.session, Context: map[string]any{"project": a.project, "branch": "main", "user": a.user.id},
	})
	s.then(700*time.Millisecond, sessionbuddy.SessionUpdated{
		SessionID: a.session, Changes: map[string]any{"branch": a.branch},
	})
	s.then(500*time.Millisecond, sessionbuddy.KnowledgeSearchResult{
		Query:   a.query,
		Results: []any{map[string]any{"knowledge_id": "k-12", "score": 0.5 + float64(a.rng.IntN(50))/100}},
	})
	return s.at
}

// closeSession keeps what was learnt and ends the work.
func (a *act) closeSession(from time.Duration) {
	s := a.story(from)
	s.then(500*time.Millisecond, sessionbuddy.KnowledgeCaptured{KnowledgeID: a.knowledge, Type: "decision"})
	s.then(500*time.Millisecond, sessionbuddy.SessionCheckpoint{SessionID: a.session, CheckpointID: "cp-" + a.rerun})
	s.then(500*time.Millisecond, notice(schema.SessionBuddy, "info", "checkpoint stored", map[string]any{"session_id": a.session}))
	s.then(time.Second, sessionbuddy.SessionClosed{SessionID: a.session, Reason: "merged " + a.branch})
}

// measure tells now and then how the sessions are doing.
func (a *act) measure() {
	for s := a.story(time.Second); s.at < actLength-10*time.Second; {
		s.wait(9 * time.Second)
		s.publish(sessionbuddy.MetricsUpdate{
			Timestamp: s.clock(), Metrics: map[string]any{"active_sessions": 2 + a.rng.IntN(5), "tool_calls": 40 + a.rng.IntN(200)},
		})
	}
}

// testChange tests what the workflow made: one test fails, is repaired, and the gate
// that was closed opens.
func (a *act) testChange(from time.Duration) (end time.Duration) {
	const total = 412
	s := a.story(from)
	s.then(700*time.Millisecond, crackerjack.TestStarted{RunID: a.firstRun, TestSuite: "unit", Total: total})
	s.then(2*time.Second, crackerjack.TestFailed{
		RunID: a.firstRun, TestName: "test_" + a.component + "_total", Error: "assert 41 == 42",
		Traceback: "tests/test_" + a.component + ".py:17",
	})
	s.then(1500*time.Millisecond, crackerjack.TestCompleted{
		RunID: a.firstRun, Completed: total, Failed: 1, DurationSeconds: new(3 + float64(a.rng.IntN(100))/100),
	})
	s.then(200*time.Millisecond, a.gate("tests", "failed", 99.8, 100))
	s.then(3*time.Second, crackerjack.TestStarted{RunID: a.rerun, TestSuite: "unit", Total: total})
	s.then(3*time.Second, crackerjack.TestCompleted{
		RunID: a.rerun, Completed: total, Failed: 0, DurationSeconds: new(2.5 + float64(a.rng.IntN(100))/100),
	})
	line := 85 + float64(a.rng.IntN(120))/10
	s.then(300*time.Millisecond, crackerjack.CoverageUpdated{Project: a.project, Line: line, Branch: line - 4})
	s.then(200*time.Millisecond, a.gate("tests", "passed", 100, 100))
	s.then(200*time.Millisecond, a.gate("coverage", "passed", line, 85))
	s.then(400*time.Millisecond, notice(schema.Crackerjack, "info", "all gates of the project are open", map[string]any{"project": a.project}))
	return s.at
}

func (a *act) gate(name, status string, score, threshold float64) crackerjack.QualityGateChecked {
	return crackerjack.QualityGateChecked{Project: a.project, GateName: name, Status: status, Score: &score, Threshold: &threshold}
}
