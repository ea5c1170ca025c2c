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
	files := make(map[string][]byte)
	rows := catalogue.Default().Rows()
	for _, service := range schema.Services() {
		source, err := structs(service, rows)
		if err != nil {
			return nil, fmt.Errorf("gen: structs of %s: %w", service, err)
		}
		files[goPackage(service)+"/events_gen.go"] = source
	}
	return files, nil
}
