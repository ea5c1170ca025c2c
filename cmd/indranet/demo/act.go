package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/system"
)

// actLength is how long an act lasts. Every story ends within it.
const actLength = 45 * time.Second

// beat is one event and its moment, counted from the act's beginning.
type beat struct {
	at    time.Duration
	event schema.Event
}

// act is a script and the cast that its stories share: that the workflow of one
// service, the test run of another and the session of a third speak of the same
// things is what makes them one story.
type act struct {
	rng   *rand.Rand
	start time.Time
	beats []beat

	number           uint64
	project          string // the repository that is worked on
	branch           string
	user, friend     person
	pool             string
	worker           string
	broken, healthy  string // the adapter that fails and the one that replaces it
	version          string
	session          string
	workflow, retry  string // the one that fails and the one that succeeds
	firstRun, rerun  string // test runs, likewise
	page             string
	component        string
	template         string
	topic            string // of the diagram and of the room in which it is drawn
	knowledge, query string
}

// person is somebody who draws and develops.
type person struct{ id, name, color string }

var (
	people = []person{
		{"ada", "Ada", "#1971c2"}, {"bodhi", "Bodhi", "#e8590c"}, {"chitra", "Chitra", "#2f9e44"}, {"diego", "Diego", "#9c36b5"},
	}
	projects = []string{"github.com/lesleslie/crackerjack", "github.com/lesleslie/fastblocks", "github.com/lesleslie/session-buddy"}
	branches = []string{"main", "retry-budget", "faster-search", "cart-totals"}
	pools    = []string{"pool-eu", "pool-us"}
	backups  = []string{"haystack", "langchain", "dspy", "semantic-kernel"}
	screens  = []struct{ page, component, template string }{
		{"checkout", "cart", "templates/cart.html"},
		{"dashboard", "run_table", "templates/run_table.html"},
		{"search", "result_list", "templates/result_list.html"},
	}
	topics  = []string{"architecture", "retry-flow", "rollout"}
	queries = []string{"retry budget", "adapter timeouts", "chunk size", "cart total rounding"}
)

// adapterRepo is where the adapters of the demo come from.
const adapterRepo = "github.com/lesleslie/adapters"

// steady is the adapter that is announced again and again, whatever else happens.
const steady = "llamaindex"

// newAct writes the script of act n that begins at start.
func newAct(seed, n uint64, start time.Time) *act {
	rng := rand.New(rand.NewPCG(seed, n))
	tag := func(prefix string) string { return fmt.Sprintf("%s-%06x", prefix, rng.Uint32N(1<<24)) }
	a := &act{
		rng: rng, start: start, number: n,
		project: pick(rng, projects), branch: pick(rng, branches), pool: pick(rng, pools),
		worker:  fmt.Sprintf("worker-%d", 1+rng.IntN(8)),
		version: fmt.Sprintf("1.%d.%d", n, rng.IntN(10)),
		session: tag("s"), workflow: tag("wf"), retry: tag("wf"), firstRun: tag("run"), rerun: tag("run"),
		topic: pick(rng, topics), knowledge: tag("k"), query: pick(rng, queries),
	}
	first := rng.IntN(len(people))
	a.user, a.friend = people[first], people[(first+1+rng.IntN(len(people)-1))%len(people)]
	first = rng.IntN(len(backups))
	a.broken, a.healthy = backups[first], backups[(first+1+rng.IntN(len(backups)-1))%len(backups)]
	screen := pick(rng, screens)
	a.page, a.component, a.template = screen.page, screen.component, screen.template

	a.announce()
	a.measure()
	opened := a.openSession()
	failed := a.failWorkflow(opened)
	swapped := a.swapAdapter(failed)
	completed := a.repeatWorkflow(swapped)
	gated := a.testChange(completed)
	a.closeSession(gated)
	a.buildPage(opened)
	a.draw(opened)
	a.analyse(failed, gated)
	slices.SortStableFunc(a.beats, func(x, y beat) int { return cmp.Compare(x.at, y.at) })
	return a
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// story lays beats one behind the other. Stories of an act overlap.
type story struct {
	act *act
	at  time.Duration
}

func (a *act) story(from time.Duration) *story { return &story{a, from} }

// wait moves on by d, varied by a tenth.
func (s *story) wait(d time.Duration) {
	tenth := int64(d / 10)
	s.at += d + time.Duration(s.act.rng.Int64N(2*tenth+1)-tenth)
}

// publish puts an event at the story's moment.
func (s *story) publish(event schema.Event) {
	s.act.beats = append(s.act.beats, beat{s.at, event})
}

// then waits and publishes.
func (s *story) then(d time.Duration, event schema.Event) {
	s.wait(d)
	s.publish(event)
}

// clock is the story's moment as payloads write it.
func (s *story) clock() string { return s.act.start.Add(s.at).UTC().Format(time.RFC3339) }

// notice is a system event of a service.
func notice(service schema.Service, level, message string, extra map[string]any) system.Event {
	return system.Event{Service: service, Level: level, Message: message, Extra: extra}
}
