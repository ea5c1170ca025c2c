package schema

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Problems that more than one check reports.
const (
	// ProblemRequired says that a required field is missing.
	ProblemRequired = "is required"
	// ProblemEmpty says that a field that must say something is the empty string.
	ProblemEmpty = "may not be empty"
	// ProblemAllID says that a field that makes the channel is AllID, which names
	// the view of a whole kind.
	ProblemAllID = `may not be "*"`
)

// Check collects what is wrong with the fields of one event. The Validate methods
// of the generated structs use it, and so does catalogue.Parse, so that a payload
// is judged alike whichever way it comes. A check that finds nothing allocates
// nothing. The zero value is ready; a Check belongs to one goroutine.
type Check struct {
	fields []FieldError
}

// Add records a problem of a field, in words that follow the field's name.
func (c *Check) Add(field, problem string) {
	c.fields = append(c.fields, FieldError{Field: field, Problem: problem})
}

// Present wants a required field to be there.
func (c *Check) Present(field string, present bool) {
	if !present {
		c.Add(field, ProblemRequired)
	}
}

// ID wants a field that makes the event's channel to be a channel's id: 1 to
// MaxChannelID bytes of UTF-8 without control characters, and not AllID.
func (c *Check) ID(field, value string) {
	switch value {
	case "":
		c.Add(field, ProblemEmpty)
	case AllID:
		c.Add(field, ProblemAllID)
	default:
		if problem := idProblem(value); problem != "" {
			c.Add(field, problem)
		}
	}
}

// NonEmpty wants UTF-8 text that says something.
func (c *Check) NonEmpty(field, value string) {
	if value == "" {
		c.Add(field, ProblemEmpty)
		return
	}
	c.Text(field, value)
}

// Text wants UTF-8 text, which may be empty.
func (c *Check) Text(field, value string) {
	if !utf8.ValidString(value) {
		c.Add(field, "is not valid UTF-8")
	}
}

// Texts wants every element to be UTF-8 text.
func (c *Check) Texts(field string, values []string) {
	for _, value := range values {
		if !utf8.ValidString(value) {
			c.Add(field, "holds text that is not valid UTF-8")
			return
		}
	}
}

// Number wants a number that JSON can write.
func (c *Check) Number(field string, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		c.Add(field, "must be a finite number")
	}
}

// OneOf wants one of the values that the catalogue names.
func (c *Check) OneOf(field, value string, known ...string) {
	for _, k := range known {
		if value == k {
			return
		}
	}
	c.Add(field, "must be one of "+strings.Join(known, ", "))
}

// Err returns nil when every check passed, and otherwise an *InvalidError that
// names the event and every bad field in the order of the checks.
func (c *Check) Err(event string) error {
	if len(c.fields) == 0 {
		return nil
	}
	return &InvalidError{Event: event, Fields: c.fields}
}
