package gen

import (
	"fmt"

	"github.com/bodhisattva/indranet/schema"
	"github.com/bodhisattva/indranet/schema/catalogue"
)

// Files returns every generated file by its path below the directory schema, with
// slashes. It touches no disk and always gives the same bytes for the same
// catalogue.
func Files() (map[string][]byte, error) {
	rows := catalogue.Default().Rows()
	files := make(map[string][]byte)
	add := func(path string, content []byte, err error) error {
		if err != nil {
			return fmt.Errorf("gen: %s: %w", path, err)
		}
		files[path] = content
		return nil
	}
	for _, service := range schema.Services() {
		content, err := structs(service, rows)
		if err := add(goPackage(service)+"/"+structsFile, content, err); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		content, err := schemaFile(&rows[i])
		if err := add("gen/jsonschema/"+string(rows[i].Service)+"/"+rows[i].Name+".json", content, err); err != nil {
			return nil, err
		}
	}
	for path, write := range map[string]func([]catalogue.Row) ([]byte, error){
		"gen/asyncapi.json": asyncAPI,
		"gen/events.ts":     typescript,
		"gen/EVENTS.md":     markdown,
	} {
		content, err := write(rows)
		if err := add(path, content, err); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// structsFile is the name of the generated file of a service's package.
const structsFile = "events_gen.go"
