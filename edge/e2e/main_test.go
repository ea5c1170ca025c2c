package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// Static after TestMain has begun.
var (
	binary string   // the program under test
	inputs []string // the files that the tests depend on, beside those of this package
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "indranet-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "indranet")
	if inputs, err = listInputs(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := build(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// build compiles the program, under the race detector if the tests run under it:
// then a data race makes the program end with a status that the tests refuse.
func build(output string) error {
	args := []string{"build", "-o", output}
	if raceDetector() {
		args = append(args, "-race")
	}
	command := exec.Command("go", append(args, "../../cmd/indranet")...)
	if printed, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", command.Args, err, printed)
	}
	return nil
}

// listInputs lists every file that the program is built from, and every peer.
// Directories are among them for the sake of new files.
func listInputs() ([]string, error) {
	const files = `{{if and .Module .Module.Main}}{{.Module.GoMod}}
{{.Dir}}
{{range .GoFiles}}{{$.Dir}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$.Dir}}/{{.}}
{{end}}{{end}}`
	listed, err := exec.Command("go", "list", "-deps", "-f", files, "../../cmd/indranet").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	peers, err := filepath.Glob("peers/*")
	return append(peers, strings.Fields(string(listed))...), err
}

// lookAt looks at files. The test cache of go remembers at what a test has looked,
// and runs it again when one of these changed.
func lookAt(t *testing.T, files ...string) {
	t.Helper()
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
}

func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}
