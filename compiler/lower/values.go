package lower

import (
	"fmt"
	"net/netip"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
)

// Values is an event for ir.Run: values by field name. It classifies with the
// reference executors of compiler/match. Absent values are 0, "" and no address.
type Values struct {
	Ints       map[string]int64
	Strings    map[string]string // paths too
	Addrs      map[string]netip.Addr
	Unresolved map[string]bool
}

// Int implements ir.Event. It panics if the field is unresolved: the
// representation has no way to read such a field but a classifier.
func (v *Values) Int(field string) int64 {
	if v.Unresolved[field] {
		panic(fmt.Sprintf("lower: unresolved field %s is read", field))
	}
	return v.Ints[field]
}

// Class implements ir.Event.
func (v *Values) Class(c *ir.Classifier) int {
	if v.Unresolved[c.Field] {
		return c.Classes
	}
	switch data := c.Data.(type) {
	case *match.Automaton:
		return data.Match([]byte(v.Strings[c.Field]))
	case *match.AddrClasses:
		return data.Lookup(v.Addrs[c.Field])
	case *match.IntClasses:
		return data.Lookup(uint64(v.Ints[c.Field]))
	}
	panic(fmt.Sprintf("lower: classifier %s has data %T", c.Name, c.Data))
}
