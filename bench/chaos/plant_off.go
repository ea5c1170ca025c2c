//go:build unix && !plant

package main

// plantable is true in a build whose edges can have faults.
const plantable = false
