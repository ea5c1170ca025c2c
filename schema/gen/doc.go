// Package gen generates, from the catalogue, everything that repeats it in another
// form. All of it is checked in, so that nobody who builds the project has to run a
// generator; a test that plain "go test" runs compares it with what the catalogue
// says today. "make generate" (or "go generate ./schema/gen") writes it anew.
//
// What is generated, below the directory schema:
//
//	<service>/events_gen.go             the Go structs of the events
//	gen/jsonschema/<service>/<event>.json  a JSON Schema (2020-12) of each payload
//	gen/asyncapi.json                   an AsyncAPI 3.1 document of the WebSocket side
//	gen/events.ts                       TypeScript types, a union told apart by "event"
//	gen/EVENTS.md                       the catalogue for people
//
// The schemas and types describe payloads as readers get them: in the catalogue's
// spelling, and open, since a payload may hold fields that the catalogue does not
// name. What publishers may send beyond that, such as older spellings, is in the
// descriptions.
//
// The JSON Schemas are validated with each row's example, the AsyncAPI document
// against the official schema of AsyncAPI 3.1.0. testdata/events_test.ts uses the
// TypeScript types in every way that they promise; it is checked with
//
//	npx -p typescript tsc --noEmit --strict schema/gen/testdata/events_test.ts
//
// schema/system, the package of the event that all services share, is written by
// hand: its service is a field and its other fields are free.
package gen

//go:generate go run ./cmd ..
