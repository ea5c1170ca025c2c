package schema_test

import (
	"errors"
	"math"
	"testing"

	"github.com/bodhisattva/indranet/schema"
)

func TestCheckNamesEveryBadFieldInOrder(t *testing.T) {
	var c schema.Check
	c.ID("a", "")
	c.ID("b", "*")
	c.ID("c", "x\x00")
	c.ID("ok", "x")
	c.NonEmpty("d", "")
	c.NonEmpty("e", "\xff")
	c.NonEmpty("ok", "x")
	c.Text("f", "\xff")
	c.Text("ok", "")
	c.Texts("g", []string{"x", "\xff", "\xff"})
	c.Texts("ok", nil)
	c.Number("h", math.NaN())
	c.Number("i", math.Inf(-1))
	c.Number("ok", 0)
	c.OneOf("j", "z", "x", "y")
	c.OneOf("ok", "y", "x", "y")
	c.Present("k", false)
	c.Present("ok", true)
	err := c.Err("some.event")
	if !errors.Is(err, schema.ErrInvalid) {
		t.Fatalf("error %v", err)
	}
	const want = `invalid event some.event: a may not be empty; b may not be "*"; c holds a control character; ` +
		`d may not be empty; e is not valid UTF-8; f is not valid UTF-8; g holds text that is not valid UTF-8; ` +
		`h must be a finite number; i must be a finite number; j must be one of x, y; k is required`
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if err := new(schema.Check).Err("some.event"); err != nil {
		t.Errorf("an empty check fails with %v", err)
	}
}
