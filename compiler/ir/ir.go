// Package ir is the typed intermediate representation between the checked
// policy and machine code: one function per LSM hook, whose blocks form a DAG
// (there are no loops; matching is one instruction) and whose values are 64-bit
// integers, each defined once.
//
// A function reads fields of the event, classifies paths, strings and
// addresses, looks classes up in tables, and ends in a verdict: the index of a
// leaf. It says nothing about registers, helpers or how a field is read.
package ir

import "github.com/snappy-policy/snappy/lang/source"

// Module is a policy in the intermediate representation.
type Module struct {
	Policy string
	Funcs  []*Func // in the order of the hook numbers
	// Leaves are the verdicts; Leaves[0] allows and reports nothing.
	Leaves []Leaf
	// Tables hold decisions as data.
	Tables []*Table
	// Classifiers turn a field into a small number.
	Classifiers []*Classifier
}

// Leaf is a verdict with what to report; see abi.Leaf.
type Leaf struct {
	Verdict Verdict
	Reason  Reason
	Rule    int    // rule or default id; 0 = none
	Op      string // operation
	Errno   int    // 1..4095; 0 for allow and audit
}

// Verdict is what a leaf does; the values are those of abi.VerdictX.
type Verdict uint8

// Reason is why; the values are those of abi.ReasonX.
type Reason uint8

// The verdicts and reasons; zero values are invalid.
const (
	Allow Verdict = iota + 1
	Deny
	Kill
	Audit
)

// The reasons.
const (
	ByRule Reason = iota + 1
	ByDefault
	Unresolved
)

// Table maps a small number to a small number.
type Table struct {
	Name string
	Data []uint32
	// Max is the largest value in Data.
	Max uint32
}

// ClassifierKind says what a classifier reads and how.
type ClassifierKind uint8

// The kinds; the zero value is invalid.
const (
	PathClass   ClassifierKind = iota + 1 // field of kind Path, automaton
	StringClass                           // field of kind String, automaton
	AddrClass                             // field of kind Addr, sorted prefixes
	IntClass                              // field of kind Int or Flags, sorted ranges
)

// Classifier maps a field's value to its class: 0 … Classes-1, class 0 being
// "in no set". A value that cannot be resolved has class Classes (one more).
type Classifier struct {
	Name  string
	Kind  ClassifierKind
	Field string // as the hook's table names it
	// Classes is the number of classes without the unresolved one.
	Classes int
	// Data is the classifier's table, of the type that compiler/match gives for
	// the kind: *match.Automaton, *match.AddrClasses or *match.IntClasses. Two
	// classifiers may share one.
	Data any
	// Span is the first condition that caused it.
	Span source.Span
}

// Func decides one hook's events.
type Func struct {
	Hook   string
	Blocks []*Block // Blocks[0] is the entry; topologically ordered: edges only go forward
	// NumValues is the number of values; ids are 0 … NumValues-1.
	NumValues int
}

// Block is a straight run of instructions that ends in a terminator.
type Block struct {
	ID     int
	Instrs []Instr
	Term   Term
}

// Value is the id of a value of a function. Every use is dominated by its definition.
type Value int

// Instr is an instruction. Def is the value it defines, or -1.
type Instr struct {
	Op   Opcode
	Def  Value
	X, Y Value  // operands; -1 if unused
	Imm  int64  // Const; the second operand of arithmetic if Y is -1
	Name string // Field: field name
	ID   int    // Class: classifier index; Lookup: table index
	Span source.Span
}

// Opcode is what an instruction does.
type Opcode uint8

// The opcodes; the zero value is invalid.
const (
	Const  Opcode = iota + 1 // Def = Imm
	Field                    // Def = the scalar field Name of the event
	Class                    // Def = class by classifier ID
	Lookup                   // Def = Tables[ID].Data[X + Imm]; the sum is known to be in range (checker), and checked again by the code
	Add                      // Def = X + (Y or Imm), wrapping, as all arithmetic here
	Sub
	Mul
	Div // signed, towards zero; divisor is Imm, not 0, not -1
	Mod // signed, sign of X; divisor is Imm, not 0, not -1
	And
	Or
	Xor
	Shl    // count modulo 64
	Shr    // arithmetic, count modulo 64
	Report // report leaf X (an audit rule that matched) unless it is 0; defines nothing
)

// Term ends a block.
type Term struct {
	Kind TermKind
	X, Y Value // Branch: operands (Y -1: Imm); Switch: X; Verdict: X is the leaf (-1: Imm)
	Imm  int64
	Cmp  Cmp
	// To are the successors: Jump 1; Branch 2 (true, false); Switch len(Cases)+1.
	To []int
	// Cases are the inclusive upper bounds, ascending and signed, of the intervals
	// of a Switch: X <= Cases[0] goes to To[0], else X <= Cases[1] to To[1], …, else To[len(Cases)].
	Cases []int64
	Span  source.Span
}

// TermKind is the kind of a terminator.
type TermKind uint8

// The terminators; the zero value is invalid.
const (
	Jump TermKind = iota + 1
	Branch
	Switch
	Decide // verdict: leaf X, or leaf Imm
)

// Cmp is the comparison of a Branch, on signed 64-bit integers.
type Cmp uint8

// The comparisons; the zero value is invalid. Set is "X & Y is not 0".
const (
	Eq Cmp = iota + 1
	Ne
	Lt
	Le
	Gt
	Ge
	Set
)
