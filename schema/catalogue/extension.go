package catalogue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bodhisattva/indranet/schema"
)

// maxName bounds the names of events and fields, in bytes.
const maxName = 64

// reserved are names of protocol events, which are no facts of a service.
var reserved = []string{"token.expiring"}

// checkExtension says which rule a declared row breaks, if it breaks one.
func (c *Catalogue) checkExtension(row *Row) error {
	if c.services[row.Service] == nil {
		return schema.ErrUnknownService
	}
	if !validEventName(row.Name) {
		return fmt.Errorf("an event's name is two or more words of a-z, 0-9 and _ with dots between, %d bytes at most", maxName)
	}
	if slices.Contains(reserved, row.Name) {
		return errors.New("the name belongs to the protocol")
	}
	for i := range c.rows {
		if c.rows[i].Name == row.Name && (!c.rows[i].Extension || c.rows[i].Service == row.Service) {
			return fmt.Errorf("the name is taken by %s", c.rows[i].Service)
		}
	}
	if err := checkHome(row); err != nil {
		return err
	}
	return checkFields(row)
}

func checkHome(row *Row) error {
	if _, err := schema.NewChannel(row.Home.Kind, ""); err != nil {
		return err
	}
	for i := range viewTable {
		view := &viewTable[i]
		if view.Of(row.Service) && view.Kind == row.Home.Kind && !view.SharesHome {
			return fmt.Errorf("%w: %q is a view, nothing can be published to it", schema.ErrChannel, row.Home.Kind)
		}
	}
	if row.Home.Field == "" {
		return nil
	}
	if field := row.Field(row.Home.Field); field.Type != String || !field.Required || field.MayBeEmpty || field.NotSent {
		return fmt.Errorf("the field %q makes the channel, so it must be a required string", field.Name)
	}
	return nil
}

func checkFields(row *Row) error {
	if row.Spread != "" || len(row.AnyOf) > 0 {
		return errors.New("only catalogued events have fields to spread or to choose from")
	}
	seen := map[string]bool{OccurredAt: true}
	for i := range row.Fields {
		field := &row.Fields[i]
		for _, name := range append([]string{field.Name}, field.Aliases...) {
			if !validFieldName(name) {
				return fmt.Errorf("the field %q: a field's name is letters, digits and _, %d bytes at most", clip(name), maxName)
			}
			// encoding/json matches names without regard to case, so two that differ in
			// nothing else cannot be told apart.
			folded := strings.ToLower(name)
			if seen[folded] {
				return fmt.Errorf("the field %q is declared twice or reserved", name)
			}
			seen[folded] = true
		}
		switch field.Type {
		case String, Number, Integer, Object, Strings, Any, Time:
		default:
			return fmt.Errorf("the field %q has no known type", field.Name)
		}
		switch {
		case field.NotSent:
			return fmt.Errorf("the field %q cannot be left out of what is sent", field.Name)
		case field.Nullable && field.Type != Any:
			return fmt.Errorf("the field %q may be null only with the type any", field.Name)
		case len(field.Enum) > 0 && field.Type != String:
			return fmt.Errorf("the field %q lists values, so it must be a string", field.Name)
		}
	}
	return nil
}

// validEventName reports whether name is dotted words, such as "workflow.started".
func validEventName(name string) bool {
	if len(name) > maxName || !strings.Contains(name, ".") {
		return false
	}
	for word := range strings.SplitSeq(name, ".") {
		if word == "" || word[0] < 'a' || word[0] > 'z' {
			return false
		}
		for i := range len(word) {
			if c := word[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
				return false
			}
		}
	}
	return true
}

func validFieldName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// clip makes a name that somebody sent fit for an error message, which quotes it.
func clip(name string) string {
	if len(name) <= maxName {
		return name
	}
	return strings.ToValidUTF8(name[:maxName], "") + "…"
}

// nearest returns the name that is the fewest edits away, the first of several.
func nearest(name string, names []string) string {
	name = clip(name)
	best, distance := "", -1
	for _, candidate := range names {
		if d := edits(name, candidate); distance < 0 || d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short texts, counted in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
