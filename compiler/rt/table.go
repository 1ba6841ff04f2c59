package rt

import (
	"errors"
	"fmt"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
)

// ErrData is a classifier whose Data is not what its kind calls for.
var ErrData = errors.New("classifier has no fitting data")

// ClassifierTable gives the bytes of a classifier's table: for PathClass and
// StringClass that of the automaton, for IntClass that of match.IntClasses, for
// AddrClass the table of IPv4 followed by that of IPv6, both a multiple of 4
// bytes long, the first of 8. The error is an ErrData.
func ClassifierTable(c *ir.Classifier) ([]byte, error) {
	classes, table := 0, []byte(nil)
	switch data := c.Data.(type) {
	case *match.Automaton:
		if data != nil && (c.Kind == ir.PathClass || c.Kind == ir.StringClass) {
			classes, table = len(data.Classes), data.Table
		}
	case *match.IntClasses:
		if data != nil && c.Kind == ir.IntClass {
			classes, table = len(data.Classes), data.Table
			if len(table) != 12<<data.Steps {
				return nil, fmt.Errorf("%w: %s: %d bytes for %d steps", ErrData, c.Name, len(table), data.Steps)
			}
		}
	case *match.AddrClasses:
		if data != nil && c.Kind == ir.AddrClass {
			classes = len(data.Classes)
			table = append(append(table, data.V4...), data.V6...)
			if len(data.V4) != 8<<data.V4Steps || len(data.V6) != 20<<data.V6Steps {
				return nil, fmt.Errorf("%w: %s: %d and %d bytes for %d and %d steps", ErrData, c.Name, len(data.V4), len(data.V6), data.V4Steps, data.V6Steps)
			}
		}
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("%w: %s: kind %d with %T", ErrData, c.Name, c.Kind, c.Data)
	}
	if classes != c.Classes {
		return nil, fmt.Errorf("%w: %s: %d classes, but the table has %d", ErrData, c.Name, c.Classes, classes)
	}
	if _, ok := c.Data.(*match.Automaton); ok && len(table) < match.Guard {
		return nil, fmt.Errorf("%w: %s: a table of %d bytes", ErrData, c.Name, len(table))
	}
	return table, nil
}
