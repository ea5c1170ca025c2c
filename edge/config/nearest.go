package config

import (
	"maps"
	"slices"
	"strings"
)

// nearest is the key that was probably meant: of those that the section has, or, where
// none is close, the same or a closer name in another section beneath root.
func nearest(name string, section, root *tree) string {
	best, distance := "", 1<<30
	for _, known := range slices.Sorted(maps.Keys(section.children)) {
		if d := edits(name, known); d < distance {
			best, distance = known, d
		}
	}
	if distance*2 <= len(best) {
		return best
	}
	var look func(t *tree, path string)
	look = func(t *tree, path string) {
		for _, known := range slices.Sorted(maps.Keys(t.children)) {
			child := t.children[known]
			full := strings.TrimPrefix(path+"."+known, ".")
			// Elsewhere only a better name counts, since it is the less likely place.
			if d := edits(name, known); d+1 < distance {
				best, distance = full, d+1
			}
			look(child, full)
		}
	}
	look(root, "")
	return best
}

// edits counts the letters to insert, drop or change to make one word of the other.
// Beyond 64 letters it does not look.
func edits(a, b string) int {
	from, to := []rune(a), []rune(b)
	if len(from) > 64 {
		return len(from)
	}
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, q := range to {
			change := diagonal
			if r != q {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
