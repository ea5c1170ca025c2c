//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
)

// plantKey is the environment variable by which an edge that was built with the tag
// plant learns which fault it has.
const plantKey = "INDRANET_PLANT"

// plants are the faults that edges can have. Each must be found.
var plants = []string{"tail-check-off", "chain-repair-off", "dedup-off", "ring-frame-dropped", "stale-replica-believed"}

func (s settings) checkPlant() error {
	switch {
	case s.plant == "":
		return nil
	case !plantable:
		return fmt.Errorf("chaos: -plant %s: only a build with -tags plant can have faults", s.plant)
	case !slices.Contains(plants, s.plant):
		return fmt.Errorf("chaos: -plant %s is none of %s", s.plant, strings.Join(plants, ", "))
	}
	return nil
}
