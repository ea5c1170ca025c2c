//go:build plant

package feed

import "os"

// planted is the fault of this process, one of the plant constants.
var planted = os.Getenv("INDRANET_PLANT")
