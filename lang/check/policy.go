package check

import (
	"net/netip"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// Policy is a checked policy: names resolved, constants folded, sets expanded,
// groups flattened. It is what the reference evaluator and the compiler both
// read; it holds the meaning and nothing of how to enforce it.
type Policy struct {
	Name   string
	Schema *types.Schema
	// Files are the policy's file, then imports in the order of first import.
	Files []*source.File
	// Rules in source order, an import's rules standing at its import statement.
	Rules []*Rule
	// Defaults as declared, in source order. Where none applies the default is allow.
	Defaults []*Default
	Params   []*Param
	Tests    []*ast.TestStmt
}

// Rule is one rule with the conditions of its enclosing when blocks folded in.
type Rule struct {
	// ID is the rule's number in the policy, from 1, in source order over rules
	// and defaults together. Events carry it.
	ID   int
	Verb ast.Verb
	// Ops are the operations it speaks of, in schema order, each once.
	Ops     []OpUse
	Name    string // "" if it has none
	Cond    Cond   // never nil; True for an unconditional rule
	Errno   int    // 0: the default of the operation
	Because string
	Span    source.Span
}

// OpUse is an operation of a rule.
type OpUse struct {
	Op *types.Operation
	// Each tells that the operation came from a group, so that `path` stands for
	// each of Op.Paths: deny, kill and audit match if any path does, allow only
	// if all do. False: `path` is the field of that name.
	Each bool
}

// Default is a default statement.
type Default struct {
	ID   int // shares the numbering of rules
	Deny bool
	// Ops are the operations it is about; nil for the global default.
	Ops []*types.Operation
	// Rank orders defaults by how specific they are: 2 names the operation, 1 a
	// group that holds it, 0 global. Per operation, since one statement may mix.
	Rank map[*types.Operation]int
	Span source.Span
}

// Param is a parameter with the value in force.
type Param struct {
	Name  string
	Kind  types.Kind
	Value string // canonical text of the value
	Span  source.Span
}

// DefaultFor gives the default that decides for an operation; nil means allow
// because nothing was declared.
func (p *Policy) DefaultFor(op *types.Operation) *Default {
	var best *Default
	rank := -1
	for _, d := range p.Defaults {
		r, ok := d.Rank[op]
		if d.Ops == nil {
			r, ok = 0, true
		}
		if ok && r > rank {
			best, rank = d, r
		}
	}
	return best
}

// Cond is a condition. It is true, false or unresolved: a leaf whose field the
// kernel could not give is unresolved, and And, Or and Not follow Kleene's
// three-valued logic.
type Cond interface {
	Span() source.Span
	cond()
}

type (
	// Const is true or false.
	Const struct {
		Sp    source.Span
		Value bool
	}
	// And is true if all of Xs are; Xs has at least two.
	And struct {
		Sp source.Span
		Xs []Cond
	}
	// Or is true if any of Xs is; Xs has at least two.
	Or struct {
		Sp source.Span
		Xs []Cond
	}
	// Not negates.
	Not struct {
		Sp source.Span
		X  Cond
	}
	// BoolIs is a bool field, or a bool constant compared with one.
	BoolIs struct {
		Sp    source.Span
		Field *types.Field
	}
	// IntIn tells whether a value lies in a set of inclusive ranges, sorted,
	// disjoint and not adjacent. Comparisons with constants become IntIn.
	IntIn struct {
		Sp     source.Span
		X      Value
		Ranges []Range
	}
	// IntCmp compares two values, neither a constant. Op is Eq, Ne, Lt, Le, Gt or Ge; signed.
	IntCmp struct {
		Sp   source.Span
		Op   ast.Op
		X, Y Value
	}
	// HasFlags tells whether all bits of Mask are set; Mask is not 0.
	HasFlags struct {
		Sp    source.Span
		Field *types.Field
		Mask  int64
	}
	// PathIn tells whether a path matches any pattern. Field is of kind Path.
	PathIn struct {
		Sp       source.Span
		Field    *types.Field
		Patterns []Pattern
	}
	// StringIn tells whether a string matches any pattern. Field is of kind String.
	StringIn struct {
		Sp       source.Span
		Field    *types.Field
		Patterns []Pattern
	}
	// AddrIn tells whether an address lies in any prefix; false if the event has
	// no address. IPv4-mapped prefixes of /96 or longer are given as IPv4.
	AddrIn struct {
		Sp       source.Span
		Field    *types.Field
		Prefixes []netip.Prefix // masked, sorted, none inside another
	}
)

// Range is an inclusive range of signed 64-bit integers.
type Range struct{ Lo, Hi int64 }

// PatternKind says how a Pattern matches.
type PatternKind uint8

// The pattern kinds; the zero value is invalid.
const (
	Literal PatternKind = iota + 1 // equal bytes
	Glob                           // docs/language.md, globs
	Under                          // the directory itself and everything below
)

// Pattern is one way to match a path or string.
type Pattern struct {
	Kind PatternKind
	Text string
	Span source.Span
}

// Value is an integer-valued expression: signed 64-bit, wrapping.
type Value interface {
	Span() source.Span
	value()
}

type (
	// IntField is a field of kind Int or Flags.
	IntField struct {
		Sp    source.Span
		Field *types.Field
	}
	// IntConst is a constant inside arithmetic.
	IntConst struct {
		Sp    source.Span
		Value int64
	}
	// Arith is X op Y; op is Add, Sub, Mul, Div, Mod, BitAnd, BitOr, BitXor, Shl or
	// Shr. Div and Mod have a constant Y other than 0 and -1; they truncate towards zero. Shifts
	// take their count modulo 64; Shr is arithmetic.
	Arith struct {
		Sp   source.Span
		Op   ast.Op
		X, Y Value
	}
)

func (c *Const) cond()    {}
func (c *And) cond()      {}
func (c *Or) cond()       {}
func (c *Not) cond()      {}
func (c *BoolIs) cond()   {}
func (c *IntIn) cond()    {}
func (c *IntCmp) cond()   {}
func (c *HasFlags) cond() {}
func (c *PathIn) cond()   {}
func (c *StringIn) cond() {}
func (c *AddrIn) cond()   {}

func (v *IntField) value() {}
func (v *IntConst) value() {}
func (v *Arith) value()    {}

func (c *Const) Span() source.Span    { return c.Sp }
func (c *And) Span() source.Span      { return c.Sp }
func (c *Or) Span() source.Span       { return c.Sp }
func (c *Not) Span() source.Span      { return c.Sp }
func (c *BoolIs) Span() source.Span   { return c.Sp }
func (c *IntIn) Span() source.Span    { return c.Sp }
func (c *IntCmp) Span() source.Span   { return c.Sp }
func (c *HasFlags) Span() source.Span { return c.Sp }
func (c *PathIn) Span() source.Span   { return c.Sp }
func (c *StringIn) Span() source.Span { return c.Sp }
func (c *AddrIn) Span() source.Span   { return c.Sp }
func (v *IntField) Span() source.Span { return v.Sp }
func (v *IntConst) Span() source.Span { return v.Sp }
func (v *Arith) Span() source.Span    { return v.Sp }
