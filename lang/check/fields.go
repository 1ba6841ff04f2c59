package check

import (
	"fmt"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/types"
)

// scope is where names of fields are looked up: the operations of one rule.
// The nil scope has no fields; constants are checked in it.
type scope struct {
	uses []OpUse
	key  string // names the operations; equal keys, equal meaning
	seen map[string]*fieldUse
}

func newScope(uses []OpUse) *scope {
	var key strings.Builder
	for _, u := range uses {
		key.WriteString(u.Op.Name)
		if u.Each {
			key.WriteByte('*')
		}
		key.WriteByte(' ')
	}
	return &scope{uses: uses, key: key.String(), seen: map[string]*fieldUse{}}
}

// fieldUse is a field as a rule sees it. A rule over several operations sees
// the weakest of what their fields promise.
type fieldUse struct {
	field    *types.Field // of the first operation that has it
	bounded  bool
	min, max int64
	maxLen   int
	verbatim bool // for every operation
}

func (u *fieldUse) isPort() bool {
	return u != nil && u.field.Name == "port" && u.field.Kind == types.Int
}

// field resolves a name that may be a field. found tells whether it is one
// anywhere in the schema; use is nil if it cannot be used here, which is reported.
func (c *checker) field(sc *scope, id ast.Ident) (use *fieldUse, found bool) {
	if sc == nil {
		if !c.anyField(id.Name) {
			return nil, false
		}
		c.err(diag.NotConstant, id.Sp, "", "%s is a field of events; a constant is needed here", quote(id.Name))
		return nil, true
	}
	if u, ok := sc.seen[id.Name]; ok && u != nil {
		return u, true
	}
	u, found := c.resolveField(sc, id)
	if u != nil {
		sc.seen[id.Name] = u
	}
	return u, found
}

func (c *checker) anyField(name string) bool {
	if c.schema.SubjectField(name) != nil {
		return true
	}
	for _, o := range c.schema.Operations {
		if o.Field(name) != nil {
			return true
		}
	}
	return false
}

func (c *checker) resolveField(sc *scope, id ast.Ident) (*fieldUse, bool) {
	if f := c.schema.SubjectField(id.Name); f != nil {
		return c.supported(f, id), true
	}
	var have, lack []*types.Operation
	for _, u := range sc.uses {
		if u.Op.Field(id.Name) != nil {
			have = append(have, u.Op)
		} else {
			lack = append(lack, u.Op)
		}
	}
	if len(lack) > 0 {
		if !c.anyField(id.Name) {
			return nil, false
		}
		c.fieldNotThere(id, have, lack)
		return nil, true
	}
	var out *fieldUse
	for _, o := range have {
		f := o.Field(id.Name)
		u := c.supported(f, id)
		switch {
		case u == nil:
			return nil, true
		case out == nil:
			out = u
		case f.Kind != out.field.Kind || f.Enum != out.field.Enum:
			c.err(diag.FieldDiffers, id.Sp, "write a rule for each", "%s is %s for %s and %s for %s",
				quote(id.Name), describe(out.field), have[0].Name, describe(f), o.Name)
			return nil, true
		default:
			out.bounded = out.bounded && u.bounded
			out.min, out.max = min(out.min, u.min), max(out.max, u.max)
			out.maxLen = max(out.maxLen, u.maxLen)
			out.verbatim = out.verbatim && u.verbatim
		}
	}
	return out, true
}

// supported refuses a field that this version does not read.
func (c *checker) supported(f *types.Field, id ast.Ident) *fieldUse {
	if f.Unsupported != "" {
		c.err(diag.FieldLater, id.Sp, "", "field %s is not supported yet: %s", quote(f.Name), f.Unsupported)
		return nil
	}
	return &fieldUse{field: f, bounded: f.Min != f.Max, min: f.Min, max: f.Max, maxLen: f.MaxLen, verbatim: f.Verbatim}
}

// fieldNotThere reports a field that some operations of the rule do not have.
func (c *checker) fieldNotThere(id ast.Ident, have, lack []*types.Operation) {
	help := ""
	if len(have) > 0 {
		help = "split the rule; " + quote(id.Name) + " is there for " + strings.Join(opNames(have), ", ")
	} else {
		var names []string
		for _, o := range c.schema.Operations {
			if o.Unsupported == "" && o.Field(id.Name) != nil && o.Field(id.Name).Unsupported == "" {
				names = append(names, o.Name)
			}
		}
		var own []string
		for _, f := range lack[0].Fields {
			own = append(own, f.Name)
		}
		switch {
		case diag.Suggest(id.Name, own) != "":
			help = "did you mean " + quote(diag.Suggest(id.Name, own)) + "?"
		case len(names) > 0:
			help = quote(id.Name) + " is a field of " + strings.Join(names, ", ")
		}
	}
	c.err(diag.FieldNotThere, id.Sp, help, "%s has no field %s", strings.Join(opNames(lack), ", "), quote(id.Name))
}

// describe names a field's type for messages: "an int", "a signal", "flags (access)".
func describe(f *types.Field) string {
	switch {
	case f.Kind == types.Flags && f.Enum != nil:
		return fmt.Sprintf("flags (%s)", f.Enum.Name)
	case f.Enum != nil:
		return fmt.Sprintf("an int (%s)", f.Enum.Name)
	}
	return kindName(f.Kind)
}

func kindName(k types.Kind) string {
	switch k {
	case types.Int, types.Addr:
		return "an " + k.String()
	case types.Flags:
		return "flags"
	}
	return "a " + k.String()
}

// fieldNames lists what a rule of these operations can name, for suggestions.
func (c *checker) fieldNames(sc *scope) []string {
	var names []string
	if sc == nil {
		return nil
	}
	for i, u := range sc.uses {
		for _, f := range u.Op.Fields {
			fresh := true
			for _, v := range sc.uses[:i] {
				fresh = fresh && v.Op.Field(f.Name) == nil
			}
			if fresh {
				names = append(names, f.Name)
			}
		}
	}
	for _, f := range c.schema.Subject {
		names = append(names, f.Name)
	}
	return names
}
