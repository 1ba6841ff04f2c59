// Package glob is the meaning of the policy language's globs: their syntax,
// what they match, and which of them no canonical path can match.
//
// Input is the text of a glob; the output is a Glob, to be matched against
// strings, or an *Error with the offset of what is wrong. Matching simulates a
// nondeterministic automaton, so it takes time proportional to the product of
// both lengths whatever the pattern. The compiler's automata are tested
// against this package.
//
// A glob is anchored at both ends and works on bytes:
//
//	?         one byte other than '/'
//	*         any run of bytes other than '/', perhaps empty
//	**        any run of bytes, '/' included, perhaps empty
//	[a-z]     one byte of the class, never '/'
//	[^a-z]    one byte outside the class, never '/'
//	{a,b}     either; alternatives may be empty and nest
//	\c        the byte c itself
//
// The characters ] and } outside their constructs must be escaped; a comma
// outside braces is itself. Nothing matches a NUL byte.
package glob

import (
	"fmt"
	"strings"
)

// Limits of a glob.
const (
	MaxLen   = 64 << 10 // bytes of text
	MaxDepth = 32       // nesting of braces
)

// Error tells what is wrong with a glob's text.
type Error struct {
	Offset int // byte offset in the text
	Msg    string
}

func (e *Error) Error() string { return e.Msg }

// Glob is a parsed glob. It is immutable and safe for concurrent use.
type Glob struct {
	prog []inst
}

// inst is an instruction of the automaton. Split goes on at both x and y,
// jump at x; the others read one byte and go on at the next instruction.
type inst struct {
	op    opcode
	b     byte
	class *class
	x, y  int
}

type opcode uint8

const (
	opByte      opcode = iota + 1 // b
	opClass                       // any byte of class
	opComponent                   // any byte but '/'
	opAny                         // any byte
	opSplit
	opJump
	opMatch // the end
)

// class is a set of bytes; it never holds '/' or NUL.
type class [4]uint64

func (c *class) add(b byte)      { c[b>>6] |= 1 << (b & 63) }
func (c *class) has(b byte) bool { return c[b>>6]>>(b&63)&1 != 0 }

// reads tells whether the instruction accepts a byte.
func (in *inst) reads(b byte) bool {
	if b == 0 {
		return false
	}
	switch in.op {
	case opByte:
		return in.b == b
	case opClass:
		return in.class.has(b)
	case opComponent:
		return b != '/'
	}
	return in.op == opAny
}

// Check tells whether text is a glob; the error is an *Error.
func Check(text string) error {
	_, err := Parse(text)
	return err
}

// Match tells whether text is a glob that matches s. For many strings, Parse once.
func Match(text, s string) bool {
	g, err := Parse(text)
	return err == nil && g.Match(s)
}

// Match tells whether the glob matches all of s.
func (g *Glob) Match(s string) bool {
	now, next := newStates(len(g.prog)), newStates(len(g.prog))
	g.enter(now, 0)
	for i := 0; i < len(s); i++ {
		if len(now.list) == 0 {
			return false
		}
		next.clear()
		for _, pc := range now.list {
			if g.prog[pc].reads(s[i]) {
				g.enter(next, pc+1)
			}
		}
		now, next = next, now
	}
	return now.has[len(g.prog)-1]
}

// enter adds pc and everything that is reached from it without reading.
func (g *Glob) enter(s *states, pc int) {
	for pending := []int{pc}; len(pending) > 0; {
		pc, pending = pending[len(pending)-1], pending[:len(pending)-1]
		if s.has[pc] {
			continue
		}
		s.has[pc] = true
		s.list = append(s.list, pc)
		switch in := &g.prog[pc]; in.op {
		case opSplit:
			pending = append(pending, in.y, in.x)
		case opJump:
			pending = append(pending, in.x)
		}
	}
}

// states is a set of places in the program that is cheap to clear.
type states struct {
	list []int
	has  []bool
}

func newStates(n int) *states { return &states{has: make([]bool, n)} }

func (s *states) clear() {
	for _, pc := range s.list {
		s.has[pc] = false
	}
	s.list = s.list[:0]
}

// Literal gives the only string that a glob matches, if it has no wildcard.
func (g *Glob) Literal() (string, bool) {
	out := make([]byte, 0, len(g.prog)-1)
	for _, in := range g.prog[:len(g.prog)-1] {
		if in.op != opByte {
			return "", false
		}
		out = append(out, in.b)
	}
	return string(out), true
}

// HasMeta tells whether text holds a character that is special in globs.
func HasMeta(text string) bool { return strings.ContainsAny(text, `*?[]{}\`) }

// Quote gives the glob that matches exactly s, which holds no NUL.
func Quote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(`*?[]{},\`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Parse reads a glob; the error is an *Error.
func Parse(text string) (*Glob, error) {
	if len(text) > MaxLen {
		return nil, &Error{MaxLen, fmt.Sprintf("a glob has at most %d bytes", MaxLen)}
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, &Error{i, "a NUL byte never occurs in a path"}
	}
	p := &parser{text: text}
	if err := p.sequence(); err != nil {
		return nil, err
	}
	p.emit(inst{op: opMatch})
	return &Glob{p.prog}, nil
}
