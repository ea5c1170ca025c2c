package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds of a file. No configuration comes near them.
const (
	maxFile  = 256 << 10
	maxDepth = 32
)

// source is a file and what is in it.
type source struct {
	name string
	data []byte
}

// readFile reads no more than it must to know that a file is too large.
func readFile(name string) (source, error) {
	f, err := os.Open(name)
	if err != nil {
		return source{}, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return source{}, cause(err)
	}
	return source{name, data}, nil
}

// cause is an error without the path, which the position says.
func cause(err error) error {
	var detail *os.PathError
	if errors.As(err, &detail) {
		return detail.Err
	}
	return err
}

// parse reads the one document of a file, a mapping. It returns nil where there is
// none, or where something is wrong with the file as a whole.
func (p *problems) parse(src source) *yaml.Node {
	if len(src.data) > maxFile {
		p.add(Position{File: src.name}, "", "is larger than 256 KiB")
		return nil
	}
	if at, what := badByte(src.data); what != "" {
		at.File = src.name
		p.add(at, "", "%s", what)
		return nil
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(src.data)), yaml.WithPlugin(loaderlimits.New(
		loaderlimits.DepthFunc(func(depth int, _ *yaml.DepthContext) error {
			if depth > maxDepth {
				return errTooDeep
			}
			return nil
		}))))
	if err != nil {
		p.add(Position{File: src.name}, "", "cannot be read: %v", err)
		return nil
	}
	var document, second yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return nil // Nothing but comments.
	case err != nil:
		p.syntax(src.name, err)
		return nil
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.syntax(src.name, err)
		return nil
	default:
		p.add(Position{src.name, second.Line, second.Column}, "", "begins a second document (---), a file has one")
		return nil
	}
	if len(document.Content) != 1 {
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		p.add(Position{src.name, root.Line, root.Column}, "", "is %s, should be keys and values", shape(root))
		return nil
	}
	return root
}

var errTooDeep = fmt.Errorf("nested more than %d deep", maxDepth)

// badByte finds what no text file holds. The YAML library finds it too, but not where.
func badByte(data []byte) (Position, string) {
	line, column := 1, 1
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			return Position{Line: line, Column: column}, "is not UTF-8"
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return Position{Line: line, Column: column}, "holds a control character"
		case r == '\n':
			line, column = line+1, 0
		}
		rest = rest[n:]
		column++
	}
	return Position{}, ""
}

// syntax reports an error of the YAML library, without what it repeats of the file,
// which could be a part of a secret.
func (p *problems) syntax(file string, err error) {
	at := Position{File: file}
	text := "is not YAML"
	var detail *yaml.LoadError
	if errors.As(err, &detail) {
		at.Line, at.Column = detail.Mark.Line, max(detail.Mark.Column, 1)
		switch message := detail.Message; {
		case strings.HasPrefix(message, "unknown anchor"):
			text = noAliases
		case strings.HasPrefix(message, errTooDeep.Error()):
			text = "is " + message
		case strings.ContainsAny(message, "`\"") || strings.Contains(message, "found character '"):
		default:
			text += ": " + message
		}
	}
	p.add(at, "", "%s", text)
}

const noAliases = `anchors (&), aliases (*) and merge keys (<<) are not accepted; what services share belongs in the section defaults. A text that begins with & or * goes in quotes`

// shape says what a node is.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return "a single value"
	}
}

// odd reports a node that is more than a value: an anchor, an alias, a tag.
func (w *walker) odd(n *yaml.Node, name string) bool {
	switch {
	case n.Anchor != "" || n.Kind == yaml.AliasNode || n.Tag == "!!merge":
		w.add(w.at(n), name, noAliases)
	case n.Style&yaml.TaggedStyle != 0:
		w.add(w.at(n), name, "has a tag (!), which is not accepted; a text that begins with ! goes in quotes")
	default:
		return false
	}
	return true
}
