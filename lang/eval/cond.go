package eval

import (
	"fmt"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/glob"
	"github.com/snappy-policy/snappy/lang/types"
)

// evaluation evaluates one condition for one instance.
type evaluation struct {
	*decision
	in   instance
	path string // the field that `path` stands for; "" for itself
	why  []Leaf // leaves that were looked at, in order
}

// Leaf is a part of a condition with the value that it looked at.
type Leaf struct {
	Cond   check.Cond
	Result Truth
	Field  string // the field whose value is given, "" for arithmetic of several
	Value  Value
}

// value gives the value of a field. A value of the wrong type is unresolved:
// whoever made the event does not know the field.
func (e *evaluation) value(f *types.Field) (Value, string) {
	name := f.Name
	if name == "path" && e.path != "" {
		name = e.path
	}
	if e.in.swap {
		switch name {
		case "path":
			name = "to"
		case "to":
			name = "path"
		}
	}
	v, ok := e.event.Fields[name]
	if e.policy.Schema.SubjectField(name) != nil {
		v, ok = e.event.Subject[name]
	}
	want := kindOf(f.Kind)
	if !ok {
		return Value{kind: want}, name
	}
	if v.kind != want {
		return Unresolved(), name
	}
	return v, name
}

// leaf records what a leaf found and gives its result.
func (e *evaluation) leaf(x check.Cond, f *types.Field, holds func(Value) bool) Truth {
	v, name := e.value(f)
	t := Unknown
	if v.kind != unresolvedValue {
		t = truth(holds(v))
	}
	e.why = append(e.why, Leaf{x, t, name, v})
	return t
}

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}

func (e *evaluation) cond(x check.Cond) Truth {
	switch x := x.(type) {
	case *check.Const:
		return truth(x.Value)
	case *check.And:
		t := True
		for _, y := range x.Xs {
			t = t.And(e.cond(y))
		}
		return t
	case *check.Or:
		t := False
		for _, y := range x.Xs {
			t = t.Or(e.cond(y))
		}
		return t
	case *check.Not:
		return e.cond(x.X).Not()
	case *check.BoolIs:
		return e.leaf(x, x.Field, func(v Value) bool { return v.num != 0 })
	case *check.HasFlags:
		return e.leaf(x, x.Field, func(v Value) bool { return v.num&x.Mask == x.Mask })
	case *check.PathIn:
		return e.leaf(x, x.Field, func(v Value) bool { return matchesAny(x.Patterns, v.text) })
	case *check.StringIn:
		return e.leaf(x, x.Field, func(v Value) bool { return matchesAny(x.Patterns, v.text) })
	case *check.AddrIn:
		return e.leaf(x, x.Field, func(v Value) bool {
			for _, p := range x.Prefixes {
				if p.Contains(v.addr) {
					return true
				}
			}
			return false
		})
	case *check.IntIn:
		n, ok := e.int(x.X)
		return e.intLeaf(x, x.X, n, ok, func() bool {
			for _, r := range x.Ranges {
				if r.Lo <= n && n <= r.Hi {
					return true
				}
			}
			return false
		})
	case *check.IntCmp:
		a, aOK := e.int(x.X)
		b, bOK := e.int(x.Y)
		return e.intLeaf(x, x.X, a, aOK && bOK, func() bool { return compare(x.Op, a, b) })
	}
	panic(fmt.Sprintf("eval: unknown condition %T", x))
}

// intLeaf is leaf for conditions over integer expressions.
func (e *evaluation) intLeaf(x check.Cond, v check.Value, n int64, ok bool, holds func() bool) Truth {
	name := ""
	if f, isField := v.(*check.IntField); isField {
		name = f.Field.Name
	}
	if !ok {
		e.why = append(e.why, Leaf{x, Unknown, name, Unresolved()})
		return Unknown
	}
	t := truth(holds())
	e.why = append(e.why, Leaf{x, t, name, Int(n)})
	return t
}

func compare(op ast.Op, a, b int64) bool {
	switch op {
	case ast.OpEq:
		return a == b
	case ast.OpNe:
		return a != b
	case ast.OpLt:
		return a < b
	case ast.OpLe:
		return a <= b
	case ast.OpGt:
		return a > b
	case ast.OpGe:
		return a >= b
	}
	panic("eval: not a comparison: " + op.String())
}

// int works out an integer expression; false if a field in it is unresolved.
func (e *evaluation) int(v check.Value) (int64, bool) {
	switch v := v.(type) {
	case *check.IntConst:
		return v.Value, true
	case *check.IntField:
		val, _ := e.value(v.Field)
		return val.num, val.kind != unresolvedValue
	case *check.Arith:
		a, aOK := e.int(v.X)
		b, bOK := e.int(v.Y)
		return arith(v.Op, a, b), aOK && bOK
	}
	panic(fmt.Sprintf("eval: unknown value %T", v))
}

// arith wraps at 64 bits. Shifts take their count modulo 64.
func arith(op ast.Op, a, b int64) int64 {
	switch op {
	case ast.OpAdd:
		return a + b
	case ast.OpSub:
		return a - b
	case ast.OpMul:
		return a * b
	case ast.OpDiv:
		return a / b
	case ast.OpMod:
		return a % b
	case ast.OpBitAnd:
		return a & b
	case ast.OpBitOr:
		return a | b
	case ast.OpBitXor:
		return a ^ b
	case ast.OpShl:
		return a << (uint64(b) & 63)
	case ast.OpShr:
		return a >> (uint64(b) & 63)
	}
	panic("eval: not an arithmetic operator: " + op.String())
}

func matchesAny(ps []check.Pattern, s string) bool {
	for _, p := range ps {
		if Matches(p, s) {
			return true
		}
	}
	return false
}

// Matches tells whether a pattern matches a path or string.
func Matches(p check.Pattern, s string) bool {
	switch p.Kind {
	case check.Literal:
		return p.Text == s
	case check.Glob:
		return glob.Match(p.Text, s)
	case check.Under:
		if p.Text == "/" {
			return strings.HasPrefix(s, "/")
		}
		return s == p.Text || strings.HasPrefix(s, p.Text+"/")
	}
	panic("eval: unknown kind of pattern")
}
