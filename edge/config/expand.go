package config

import (
	"fmt"
	"regexp"
	"strings"
)

// expansion is a text with its variables replaced.
type expansion struct {
	text string
	// vars are the variables that were named, also where a default was used; used are
	// those whose value is in the text.
	vars, used []string
	// unset are those that have neither a value nor a default.
	unset []string
	// written tells that a part of the text stands in the file: a default that is not
	// empty, or all of it.
	written bool
	// problem is what is wrong with the text, without repeating it.
	problem string
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,199}$`)

// expand replaces ${NAME} and ${NAME:-default} in a text; $${ stands for ${. As in a
// shell, the default is for a variable that is unset or empty. What a variable holds is
// not looked at again.
func expand(text string, env func(string) (string, bool)) expansion {
	var e expansion
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(before)
			break
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			text = after
			continue
		}
		b.WriteString(before)
		inner, rest, closed := strings.Cut(after, "}")
		name, normal, hasDefault := strings.Cut(inner, ":-")
		switch {
		case !closed:
			e.problem = "has a ${ without its } (write $${ for a plain ${)"
			return e
		case strings.Contains(normal, "${"):
			e.problem = "has a variable within the default of another one"
			return e
		case !variable.MatchString(name):
			e.problem = "has a ${…} that is neither ${NAME} nor ${NAME:-default} (write $${ for a plain ${)"
			return e
		}
		e.vars = append(e.vars, name)
		value, set := env(name)
		switch {
		case hasDefault && value == "":
			b.WriteString(normal)
		case set:
			b.WriteString(value)
			e.used = append(e.used, name)
		default:
			e.unset = append(e.unset, name)
		}
		if b.Len() > maxText {
			e.problem = fmt.Sprintf("is longer than %d bytes with its variables", maxText)
			return e
		}
		// The default stands in the file whether it is used or not.
		e.written = e.written || normal != ""
		text = rest
	}
	e.text = b.String()
	e.written = e.written || len(e.vars) == 0 && e.text != ""
	return e
}
