//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bodhisattva/indranet/bench/chaos/check"
)

// planting is what finds a planted fault: what breaks, and what is then violated.
type planting struct {
	plant  string
	faults []string
	want   check.Violation
}

var plantings = []planting{
	// The live messages of the markers are lost in every run.
	{"tail-check-off", []string{"-calm"}, check.Lost},
	{"ring-frame-dropped", []string{"-calm"}, check.Lost},
	{"chain-repair-off", []string{"-only", "live messages lost"}, check.Lost},
	{"dedup-off", []string{"-only", "live messages lost in part"}, check.Twice},
	{"stale-replica-believed", []string{"-only", "replicas lag"}, check.Lost},
}

// TestEveryPlantedFaultIsCaught shows that a run finds what it is there to find: each
// fault that a build with the tag plant can have, and nothing where there is none.
func TestEveryPlantedFaultIsCaught(t *testing.T) {
	program := filepath.Join(t.TempDir(), "chaos")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "plant", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	play := func(t *testing.T, logs string, args ...string) (output string, err error) {
		t.Helper()
		args = append([]string{"-duration", "8s", "-clients", "30", "-channels", "40", "-rate", "200"}, args...)
		begin := time.Now()
		command := exec.CommandContext(t.Context(), program, args...)
		command.Env = append(os.Environ(), "TMPDIR="+logs)
		out, err := command.CombinedOutput()
		t.Logf("%v: %s, %v", args, time.Since(begin).Round(time.Second), err)
		return string(out), err
	}
	t.Run("no fault", func(t *testing.T) {
		t.Parallel()
		if out, err := play(t, os.TempDir(), "-only", "live messages lost,replicas lag"); err != nil {
			t.Error(out)
		}
	})
	for _, p := range plantings {
		t.Run(p.plant, func(t *testing.T) {
			t.Parallel()
			var out, found string
			// Another seed, where the machine was too busy for the faults to meet events.
			for range 3 {
				var err error
				out, err = play(t, t.TempDir(), append(p.faults, "-settle", "8s", "-plant", p.plant)...)
				if found = regexp.MustCompile(`(?m)^` + string(p.want) + `: .*`).FindString(out); err != nil && found != "" {
					t.Log(found)
					return
				}
			}
			t.Errorf("%s was not caught:\n%s", p.plant, out)
		})
	}
	if len(plantings) != len(plants) {
		t.Errorf("%d of %d faults are planted", len(plantings), len(plants))
	}
}

func TestABuildWithoutFaultsRefusesThem(t *testing.T) {
	s := settings{plant: plants[0]}
	err := s.checkPlant()
	if plantable == (err != nil) || err != nil && !strings.Contains(err.Error(), "-tags plant") {
		t.Errorf("got %v", err)
	}
	s.plant = "none"
	if s.checkPlant() == nil {
		t.Error("an unknown fault is accepted")
	}
}
