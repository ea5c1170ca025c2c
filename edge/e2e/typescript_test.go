package e2e_test

import (
	"os/exec"
	"testing"
)

// TestGeneratedTypesCompileAsPromised compiles the program that uses the generated
// TypeScript in every way that it promises, right and wrong ones.
func TestGeneratedTypesCompileAsPromised(t *testing.T) {
	const (
		compiler = "node_modules/.bin/tsc"
		types    = "../../schema/gen/events.ts"
		program  = "../../schema/gen/testdata/events_test.ts"
	)
	lookAt(t, types, program, "package-lock.json")
	command := exec.CommandContext(t.Context(), compiler, "--noEmit", "--strict", program)
	if printed, err := command.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v (where it is missing, run deploy/setup.sh)\n%s", err, printed)
	}
}
