// Package ast is the syntax tree of the policy language, as the parser makes
// it and the formatter prints it: what was written, nothing resolved.
package ast

import "github.com/snappy-policy/snappy/lang/source"

// Node is a piece of syntax that knows where it stands.
type Node interface{ Span() source.Span }

// File is one parsed file.
type File struct {
	Source   *source.File
	Stmts    []Stmt
	Comments []*Comment // all comments in source order; the formatter places them
}

// Policy gives the file's policy statement; nil in a library.
func (f *File) Policy() *PolicyStmt {
	for _, s := range f.Stmts {
		if p, ok := s.(*PolicyStmt); ok {
			return p
		}
	}
	return nil
}

// Comment is "# …" up to, without, the newline.
type Comment struct {
	Sp   source.Span
	Text string // with the '#'
}

// Ident is a name as written: set and rule names, fields and operations (dotted).
type Ident struct {
	Sp   source.Span
	Name string
}

// Stmt is a statement of a file or of a when block.
type Stmt interface {
	Node
	stmt()
}

type (
	// PolicyStmt is `policy NAME`.
	PolicyStmt struct {
		Sp   source.Span
		Name Ident
	}
	// ImportStmt is `import "path"`.
	ImportStmt struct {
		Sp   source.Span
		Path *StringLit
	}
	// ParamStmt is `param NAME: TYPE = DEFAULT`; Default may be nil.
	ParamStmt struct {
		Sp      source.Span
		Name    Ident
		Type    Ident
		Default Expr
	}
	// SetStmt is `set NAME = KIND { … }`.
	SetStmt struct {
		Sp   source.Span
		Name Ident
		Kind Ident
		Set  *SetLit
	}
	// DefaultStmt is `default allow|deny [for OP, …]`.
	DefaultStmt struct {
		Sp   source.Span
		Deny bool
		Ops  []Ident // empty: global
	}
	// RuleStmt is a rule: `VERB OP, … [as NAME] [when C] [unless C] [errno E] [because "…"]`.
	RuleStmt struct {
		Sp      source.Span
		Verb    Verb
		VerbSp  source.Span
		Ops     []Ident
		Name    *Ident // as NAME
		When    Expr   // may be nil
		Unless  Expr   // may be nil
		Errno   *Ident // may be nil
		Because *StringLit
	}
	// StateStmt is `state NAME: bool|int per process|namespace [= V]`.
	StateStmt struct {
		Sp    source.Span
		Name  Ident
		Type  Ident
		Scope Ident
		Init  Expr // may be nil
	}
	// OnStmt is `on OP, … [when C] set S = E` or `… inc S`.
	OnStmt struct {
		Sp    source.Span
		Ops   []Ident
		When  Expr
		Inc   bool
		State Ident
		Value Expr // nil for inc
	}
	// LimitStmt is `limit OP, … to N per D [per process|namespace] [when C]`.
	LimitStmt struct {
		Sp    source.Span
		Ops   []Ident
		Count *IntLit
		Per   *DurationLit
		Scope *Ident // may be nil
		When  Expr
	}
	// WhenBlock is `when C { … }`; only rules, on, limit and when blocks stand inside.
	WhenBlock struct {
		Sp   source.Span
		Cond Expr
		Body []Stmt
	}
	// UnresolvedStmt is `on unresolved allow [for OP, …]`.
	UnresolvedStmt struct {
		Sp  source.Span
		Ops []Ident
	}
	// HelperStmt is `helper NAME(T, …) -> T [= kfunc "symbol"] [optional]`.
	HelperStmt struct {
		Sp       source.Span
		Name     Ident
		Params   []Ident
		Result   Ident
		Kfunc    *StringLit // may be nil
		Optional bool
	}
	// TestStmt is `test "…" { … }`.
	TestStmt struct {
		Sp    source.Span
		Name  *StringLit
		Steps []TestStep
	}
	// BadStmt stands for a statement that could not be parsed; an error was reported.
	BadStmt struct{ Sp source.Span }
)

// Verb is a rule's verb.
type Verb uint8

// The verbs; the zero value is invalid.
const (
	Allow Verb = iota + 1
	Deny
	Kill
	Audit
)

func (v Verb) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Kill:
		return "kill"
	case Audit:
		return "audit"
	}
	return "invalid"
}

// TestStep is one line of a test block.
type TestStep interface {
	Node
	testStep()
}

type (
	// EventStep is `OP field=value … => VERDICT`.
	EventStep struct {
		Sp     source.Span
		Op     Ident
		Args   []TestArg
		Expect *Expect // nil for a line without =>, such as `exec path="…"` that moves a process on
	}
	// SubjectStep is `as field=value …`.
	SubjectStep struct {
		Sp   source.Span
		Args []TestArg
	}
	// MoveStep is `fork` or `exit`.
	MoveStep struct {
		Sp   source.Span
		Kind Ident
	}
	// WaitStep is `wait DURATION`.
	WaitStep struct {
		Sp  source.Span
		For *DurationLit
	}
	// StackStep is `stack "other.snp"`.
	StackStep struct {
		Sp   source.Span
		Path *StringLit
	}
)

// TestArg is `field=value`; a flag set `read,write` has several values.
type TestArg struct {
	Sp     source.Span
	Field  Ident
	Values []Expr
}

// Expect is the part after `=>`.
type Expect struct {
	Sp        source.Span
	Verdict   Verb // Allow, Deny or Kill
	VerdictSp source.Span
	By        *Ident  // may be nil
	Errno     *Ident  // may be nil
	AuditedBy []Ident // may be empty
}

// Expr is a condition or a value.
type Expr interface {
	Node
	expr()
}

type (
	// BinaryExpr is X OP Y.
	BinaryExpr struct {
		Op   Op
		OpSp source.Span
		X, Y Expr
	}
	// UnaryExpr is `not X` or `-X`.
	UnaryExpr struct {
		Sp source.Span
		Op Op
		X  Expr
	}
	// ParenExpr is ( X ).
	ParenExpr struct {
		Sp source.Span
		X  Expr
	}
	// CallExpr is NAME(ARGS); has(HELPER) is one too.
	CallExpr struct {
		Sp   source.Span
		Fun  Ident
		Args []Expr
	}
	// NameExpr is a field (dotted), set, param, state or constant (upper case).
	NameExpr struct{ Ident Ident }
	// IntLit is an integer in any base, suffixes applied. Negative numbers are UnaryExpr.
	IntLit struct {
		Sp    source.Span
		Value uint64
	}
	// StringLit is a quoted string, unquoted in Value.
	StringLit struct {
		Sp    source.Span
		Value string
	}
	// BoolLit is true or false.
	BoolLit struct {
		Sp    source.Span
		Value bool
	}
	// DurationLit is 10s, 5m, 1h; Value in nanoseconds.
	DurationLit struct {
		Sp    source.Span
		Value uint64
	}
	// AddrLit is an address or a CIDR as written, validated by the parser (net/netip).
	AddrLit struct {
		Sp   source.Span
		Text string
	}
	// RangeExpr is LO..HI.
	RangeExpr struct{ Lo, Hi Expr }
	// SetLit is { a, b, … }.
	SetLit struct {
		Sp    source.Span
		Elems []Expr
	}
	// BadExpr stands for an expression that could not be parsed; an error was reported.
	BadExpr struct{ Sp source.Span }
)

// Op is an operator.
type Op uint8

// The operators; the zero value is invalid.
const (
	OpOr Op = iota + 1
	OpAnd
	OpNot
	OpEq
	OpNe
	OpLt
	OpLe
	OpGt
	OpGe
	OpIn
	OpMatches
	OpUnder
	OpHas
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpMod
	OpBitAnd
	OpBitOr
	OpBitXor
	OpShl
	OpShr
	OpNeg
)

var opText = [...]string{OpOr: "or", OpAnd: "and", OpNot: "not", OpEq: "==", OpNe: "!=", OpLt: "<", OpLe: "<=", OpGt: ">", OpGe: ">=",
	OpIn: "in", OpMatches: "matches", OpUnder: "under", OpHas: "has", OpAdd: "+", OpSub: "-", OpMul: "*", OpDiv: "/", OpMod: "%",
	OpBitAnd: "&", OpBitOr: "|", OpBitXor: "^", OpShl: "<<", OpShr: ">>", OpNeg: "-"}

func (o Op) String() string {
	if int(o) < len(opText) && o != 0 {
		return opText[o]
	}
	return "invalid"
}

func (s *PolicyStmt) stmt()     {}
func (s *ImportStmt) stmt()     {}
func (s *ParamStmt) stmt()      {}
func (s *SetStmt) stmt()        {}
func (s *DefaultStmt) stmt()    {}
func (s *RuleStmt) stmt()       {}
func (s *StateStmt) stmt()      {}
func (s *OnStmt) stmt()         {}
func (s *LimitStmt) stmt()      {}
func (s *WhenBlock) stmt()      {}
func (s *UnresolvedStmt) stmt() {}
func (s *HelperStmt) stmt()     {}
func (s *TestStmt) stmt()       {}
func (s *BadStmt) stmt()        {}

func (s *EventStep) testStep()   {}
func (s *SubjectStep) testStep() {}
func (s *MoveStep) testStep()    {}
func (s *WaitStep) testStep()    {}
func (s *StackStep) testStep()   {}

func (e *BinaryExpr) expr()  {}
func (e *UnaryExpr) expr()   {}
func (e *ParenExpr) expr()   {}
func (e *CallExpr) expr()    {}
func (e *NameExpr) expr()    {}
func (e *IntLit) expr()      {}
func (e *StringLit) expr()   {}
func (e *BoolLit) expr()     {}
func (e *DurationLit) expr() {}
func (e *AddrLit) expr()     {}
func (e *RangeExpr) expr()   {}
func (e *SetLit) expr()      {}
func (e *BadExpr) expr()     {}

func (i Ident) Span() source.Span           { return i.Sp }
func (c *Comment) Span() source.Span        { return c.Sp }
func (s *PolicyStmt) Span() source.Span     { return s.Sp }
func (s *ImportStmt) Span() source.Span     { return s.Sp }
func (s *ParamStmt) Span() source.Span      { return s.Sp }
func (s *SetStmt) Span() source.Span        { return s.Sp }
func (s *DefaultStmt) Span() source.Span    { return s.Sp }
func (s *RuleStmt) Span() source.Span       { return s.Sp }
func (s *StateStmt) Span() source.Span      { return s.Sp }
func (s *OnStmt) Span() source.Span         { return s.Sp }
func (s *LimitStmt) Span() source.Span      { return s.Sp }
func (s *WhenBlock) Span() source.Span      { return s.Sp }
func (s *UnresolvedStmt) Span() source.Span { return s.Sp }
func (s *HelperStmt) Span() source.Span     { return s.Sp }
func (s *TestStmt) Span() source.Span       { return s.Sp }
func (s *BadStmt) Span() source.Span        { return s.Sp }
func (s *EventStep) Span() source.Span      { return s.Sp }
func (s *SubjectStep) Span() source.Span    { return s.Sp }
func (s *MoveStep) Span() source.Span       { return s.Sp }
func (s *WaitStep) Span() source.Span       { return s.Sp }
func (s *StackStep) Span() source.Span      { return s.Sp }
func (a TestArg) Span() source.Span         { return a.Sp }
func (e *Expect) Span() source.Span         { return e.Sp }
func (e *BinaryExpr) Span() source.Span     { return e.X.Span().To(e.Y.Span()) }
func (e *UnaryExpr) Span() source.Span      { return e.Sp }
func (e *ParenExpr) Span() source.Span      { return e.Sp }
func (e *CallExpr) Span() source.Span       { return e.Sp }
func (e *NameExpr) Span() source.Span       { return e.Ident.Sp }
func (e *IntLit) Span() source.Span         { return e.Sp }
func (e *StringLit) Span() source.Span      { return e.Sp }
func (e *BoolLit) Span() source.Span        { return e.Sp }
func (e *DurationLit) Span() source.Span    { return e.Sp }
func (e *AddrLit) Span() source.Span        { return e.Sp }
func (e *RangeExpr) Span() source.Span      { return e.Lo.Span().To(e.Hi.Span()) }
func (e *SetLit) Span() source.Span         { return e.Sp }
func (e *BadExpr) Span() source.Span        { return e.Sp }
