package gen

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// below is the directory schema as seen from this package.
const below = ".."

// howTo says how to bring the checked-in files up to date.
const howTo = `run "make generate" (go generate ./schema/gen) and commit what it changes`

func TestGeneratedFilesAreWhatTheCatalogueSays(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(below, filepath.FromSlash(path)))
		switch {
		case err != nil:
			t.Errorf("schema/%s is missing: %s", path, howTo)
		case !bytes.Equal(got, want):
			t.Errorf("schema/%s differs from the catalogue in line %d: %s", path, firstDifference(got, want), howTo)
		}
	}
}

func TestNoGeneratedFileIsLeftOver(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(below, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(below, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		generated := entry.Name() == structsFile || strings.HasPrefix(relative, "gen/jsonschema/")
		if generated && files[relative] == nil {
			t.Errorf("schema/%s belongs to no event any more: delete it", relative)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreAlwaysTheSame(t *testing.T) {
	first, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for path := range first {
		if !bytes.Equal(first[path], again[path]) {
			t.Errorf("schema/%s comes out differently the second time", path)
		}
	}
}

func TestGeneratedGoSaysThatItIsGenerated(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for path, content := range files {
		if strings.HasSuffix(path, ".go") {
			count++
			if line, _, _ := bytes.Cut(content, []byte("\n")); !strings.HasPrefix(string(line), "// Code generated ") || !strings.HasSuffix(string(line), " DO NOT EDIT.") {
				t.Errorf("%s begins with %q", path, line)
			}
		}
	}
	if count != 7 {
		t.Errorf("%d Go files, want one for each of 7 services", count)
	}
}

// firstDifference is the number of the first line that is not the same.
func firstDifference(a, b []byte) int {
	left, right := slices.Collect(bytes.Lines(a)), slices.Collect(bytes.Lines(b))
	for i := range min(len(left), len(right)) {
		if !bytes.Equal(left[i], right[i]) {
			return i + 1
		}
	}
	return min(len(left), len(right)) + 1
}
