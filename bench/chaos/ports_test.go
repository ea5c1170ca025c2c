//go:build unix

package main

import "testing"

func TestNoPortIsGivenToTwoRuns(t *testing.T) {
	given := map[int]bool{}
	for range 50 {
		claim, ports, err := claimPorts(9)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = claim.Close() }()
		for _, port := range ports {
			if given[port] {
				t.Errorf("%d is given twice", port)
			}
			given[port] = true
		}
	}
}
