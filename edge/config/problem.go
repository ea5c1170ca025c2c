package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// maxProblems bounds what one Load reports. Where there are so many, the first ones
// are what helps.
const maxProblems = 100

// Position is a place in a file. Line and column count from 1; a line of 0 means
// the file as a whole, an empty file the configuration as a whole.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column.
func (p Position) String() string {
	switch {
	case p.File == "":
		return "configuration"
	case p.Line == 0:
		return p.File
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Problem is one thing that is wrong, or that an operator should know.
type Problem struct {
	Position
	// Key is the key it is about, as the file spells its path, for example
	// "services.dhruva.websocket.port". Empty where it is about no key.
	Key string
	// Text says what is wrong and what would be right. It holds no secret and nothing
	// from the environment.
	Text string
}

// Error returns position, key and text in one line.
func (p Problem) Error() string {
	if p.Key == "" {
		return p.Position.String() + ": " + p.Text
	}
	return p.Position.String() + ": " + p.Key + ": " + p.Text
}

// Error is everything that is wrong with a configuration, in the order of the files.
// errors.As finds the single Problem values.
type Error struct {
	Problems []Problem
	// More counts the problems beyond the first hundred.
	More int
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	var b strings.Builder
	if len(e.Problems) == 1 && e.More == 0 {
		return "config: " + e.Problems[0].Error()
	}
	fmt.Fprintf(&b, "config: %d problems:", len(e.Problems)+e.More)
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	return b.String()
}

// Unwrap returns the problems.
func (e *Error) Unwrap() []error {
	list := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		list[i] = p
	}
	return list
}

// Report is what an operator should know of a configuration beside its errors;
// String is what `indranet check-config` prints.
type Report struct {
	// Files are the files read, as they were given.
	Files []string
	// Warnings are worth a look; nothing refuses to start for them.
	Warnings []Problem
	// Ignored are the sections and keys of the services' own programs, which an edge
	// accepts and does not look at.
	Ignored []Problem
	// Disabled are the services that are configured and switched off.
	Disabled []schema.Service
	// Variables are the names of the environment variables that a value came from, sorted.
	Variables []string
}

// String returns the report as lines, each ending with a newline.
func (r Report) String() string {
	var b strings.Builder
	for _, file := range r.Files {
		fmt.Fprintf(&b, "read:     %s\n", file)
	}
	for _, p := range r.Warnings {
		fmt.Fprintf(&b, "warning:  %s\n", p.Error())
	}
	for _, p := range r.Ignored {
		fmt.Fprintf(&b, "ignored:  %s\n", p.Error())
	}
	for _, service := range r.Disabled {
		fmt.Fprintf(&b, "disabled: %s\n", service)
	}
	if len(r.Variables) > 0 {
		fmt.Fprintf(&b, "from the environment: %s\n", strings.Join(r.Variables, ", "))
	}
	return b.String()
}

// problems collects.
type problems struct {
	files []string // In the order given, for sorting.
	list  []Problem
	more  int
}

func (p *problems) add(at Position, key, format string, args ...any) {
	if p.full() {
		p.more++
		return
	}
	p.list = append(p.list, Problem{at, key, fmt.Sprintf(format, args...)})
}

// full tells who can save the work of composing a problem that nobody will see.
func (p *problems) full() bool { return len(p.list) >= maxProblems }

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	sortProblems(p.list, p.files)
	return &Error{p.list, p.more}
}

// sortProblems orders by file, line and column, and keeps what was found first first.
func sortProblems(list []Problem, files []string) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
}
