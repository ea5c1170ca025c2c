package config

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// walker goes through the nodes of one file.
type walker struct {
	*loading
	file string
}

func (w *walker) at(n *yaml.Node) Position { return Position{w.file, n.Line, n.Column} }

// entry is a key and its value in a file.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries are the keys of a section, each once; what is not a key is reported.
func (w *walker) entries(section *yaml.Node, path string) []entry {
	var list []entry
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(section.Content); i += 2 {
		k, v := section.Content[i], section.Content[i+1]
		if w.odd(k, path) {
			continue
		}
		if k.Kind != yaml.ScalarNode {
			w.add(w.at(k), path, "has %s where a key should be", shape(k))
			continue
		}
		name := k.Value
		if before, ok := first[name]; ok {
			w.add(w.at(k), join(path, printable(name)), "is there twice, first in line %d", before.Line)
			continue
		}
		first[name] = k
		list = append(list, entry{name, k, v})
	}
	return list
}

// join puts a key behind the path of its section.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// printable is a key as a problem may repeat it: one line, not too long.
func printable(name string) string {
	if len(name) > 64 {
		cut := 64
		for !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	quoted := strconv.Quote(name)
	if quoted[1:len(quoted)-1] == name && name != "" && !strings.ContainsAny(name, " :") {
		return name
	}
	return quoted
}

// section reads what a section sets into a layer. name is its path in the file, path
// that within the tree.
func (w *walker) section(n *yaml.Node, name, path string, t, root *tree, into layer) {
	if w.odd(n, name) || n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style == 0 {
		return // A key without a value is an empty section.
	}
	if n.Kind != yaml.MappingNode {
		w.add(w.at(n), name, "is %s, should be a section", shape(n))
		return
	}
	for _, e := range w.entries(n, name) {
		w.child(e, name, path, t, root, into)
	}
}

// child reads one key of a section.
func (w *walker) child(e entry, name, path string, t, root *tree, into layer) {
	child := t.children[e.name]
	if child == nil {
		w.unknown(e, name, t, root)
		return
	}
	full := join(name, e.name)
	switch {
	case child.ignored:
		if !w.odd(e.value, full) {
			w.ignore(w.at(e.key), full)
		}
	case child.key != nil:
		w.set(e, full, child.key, into)
	default:
		w.section(e.value, full, join(path, e.name), child, root, into)
	}
}

// unknown reports a key that a section does not have.
func (w *walker) unknown(e entry, name string, t, root *tree) {
	known := ""
	if !w.full() {
		known = nearest(e.name, t, root)
	}
	w.add(w.at(e.key), join(name, printable(e.name)), "is not a key that exists; the nearest is %s", known)
}

// set reads the value of a key.
func (w *walker) set(e entry, name string, k *key, into layer) {
	s := setting{at: w.at(e.value), name: name}
	it, written, ok := w.item(e.value, name)
	var wrong *fault
	if ok {
		if s.value, wrong = k.read(it); wrong != nil {
			w.add(wrong.at, name, "%s", wrong.text)
		}
	}
	if !ok || wrong != nil {
		s.broken, s.value = true, nil
		w.merge(into, k.path, s)
		return
	}
	for _, v := range it.values {
		s.vars = append(s.vars, v.vars...)
	}
	if written {
		w.literal(k, s)
	}
	w.merge(into, k.path, s)
}

// item reads a value or a list of values and replaces the variables. written tells that
// a value stands in the file itself.
func (w *walker) item(n *yaml.Node, name string) (it item, written, ok bool) {
	it.at = w.at(n)
	if w.odd(n, name) {
		return it, false, false
	}
	nodes := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode:
		it.list, nodes = true, n.Content
	case n.Kind != yaml.ScalarNode:
		w.add(it.at, name, "is %s, should be a value", shape(n))
		return it, false, false
	case n.Tag == "!!null":
		w.add(it.at, name, `has no value; leave the key out, or write "" if an empty text is meant`)
		return it, false, false
	}
	ok = true
	for _, n := range nodes {
		if it.list && w.odd(n, name) {
			ok = false
			continue
		}
		if n.Kind != yaml.ScalarNode {
			w.add(w.at(n), name, "has %s within a list, should be a single value", shape(n))
			ok = false
			continue
		}
		e := expand(n.Value, w.env)
		w.used(e.used)
		if e.problem != "" {
			w.add(w.at(n), name, "%s", e.problem)
			ok = false
		}
		for _, unset := range e.unset {
			w.add(w.at(n), name, "the environment variable %s is not set; set it, or write ${%s:-default} where it may be missing", unset, unset)
			ok = false
		}
		written = written || e.written
		it.values = append(it.values, scalar{text: e.text, tag: n.Tag, vars: e.vars, at: w.at(n)})
	}
	return it, written, ok
}
