// Package catalogue is the single source of truth about events: the table of the
// 47 catalogued names in 53 (service, event) pairs, the channels they are published
// to and the views that select them. Everything that speaks of single events is
// derived from it: the Go structs of the packages beside this one, the JSON Schemas,
// the AsyncAPI document, the TypeScript types and the validation of payloads that
// are only known as JSON (Parse).
//
// The rows of a service stand in rows_<service>.go. After a change there, run
// "make generate"; a test compares what is generated with what is checked in.
//
// A Catalogue is immutable and safe for concurrent use.
package catalogue
