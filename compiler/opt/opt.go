// Package opt holds the passes over the intermediate representation: each
// takes a module that ir.Check accepts and leaves one that it accepts, with the
// same meaning and less to do.
//
// Input and output: an ir.Module, changed in place.
package opt

import (
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// Options of a run; the zero value is useful.
type Options struct {
	// Check checks the module before the first pass and after each.
	Check bool
	// Trace, if not nil, is told the name of each pass after it ran.
	Trace func(pass string)
}

// A Pass changes one function.
type Pass struct {
	Name string
	Run  func(*ir.Module, *ir.Func)
	// After names the passes that have to run before this one, and Why says the reason.
	After []string
	Why   string
}

// Passes lists the passes in the order in which they run.
func Passes() []Pass {
	return []Pass{
		{Name: "fold", Run: fold, Why: "constants that lowering could not see through become immediate operands"},
		{Name: "thread", Run: thread, After: []string{"fold"}, Why: "folded branches are jumps, and jumps over empty blocks hide equal targets"},
		{Name: "loads", Run: loads, After: []string{"thread"}, Why: "fewer blocks have closer common dominators"},
		{Name: "branches", Run: branches, After: []string{"loads"}, Why: "tests of one field are of one value only then"},
		{Name: "dead", Run: dead, After: []string{"branches"}, Why: "merged branches leave blocks and values behind that nothing uses"},
	}
}

// Run runs all passes. An error is a broken invariant of the compiler: it names
// the pass that broke it.
func Run(m *ir.Module, opts Options) error {
	if opts.Check {
		if err := ir.Check(m); err != nil {
			return fmt.Errorf("before the passes: %w", err)
		}
	}
	for _, p := range Passes() {
		for _, f := range m.Funcs {
			p.Run(m, f)
		}
		if opts.Trace != nil {
			opts.Trace(p.Name)
		}
		if opts.Check {
			if err := ir.Check(m); err != nil {
				return fmt.Errorf("after pass %s: %w", p.Name, err)
			}
		}
	}
	return nil
}

// compact drops blocks that cannot be reached and renumbers blocks and values,
// keeping their order.
func compact(f *ir.Func) {
	idom := f.Dominators()
	place := make([]int, len(f.Blocks))
	var blocks []*ir.Block
	for i, b := range f.Blocks {
		if idom[i] >= 0 {
			place[i] = len(blocks)
			b.ID = len(blocks)
			blocks = append(blocks, b)
		}
	}
	number := make([]ir.Value, f.NumValues)
	count := ir.Value(0)
	for _, b := range blocks {
		for i := range b.Instrs {
			if d := &b.Instrs[i].Def; *d >= 0 {
				number[*d] = count
				*d = count
				count++
			}
		}
	}
	f.Blocks, f.NumValues = blocks, int(count)
	replace(f, func(v ir.Value) ir.Value { return number[v] })
	for _, b := range blocks {
		for i, s := range b.Term.To {
			b.Term.To[i] = place[s]
		}
	}
}

// replace changes every operand.
func replace(f *ir.Func, by func(ir.Value) ir.Value) {
	each := func(v *ir.Value) {
		if *v >= 0 {
			*v = by(*v)
		}
	}
	for _, b := range f.Blocks {
		for i := range b.Instrs {
			each(&b.Instrs[i].X)
			each(&b.Instrs[i].Y)
		}
		each(&b.Term.X)
		each(&b.Term.Y)
	}
}

// defs lists the instruction that defines each value.
func defs(f *ir.Func) []*ir.Instr {
	out := make([]*ir.Instr, f.NumValues)
	for _, b := range f.Blocks {
		for i := range b.Instrs {
			if d := b.Instrs[i].Def; d >= 0 {
				out[d] = &b.Instrs[i]
			}
		}
	}
	return out
}

// dead removes values that nothing uses, then blocks that nothing reaches.
func dead(_ *ir.Module, f *ir.Func) {
	compact(f)
	used := make([]bool, f.NumValues)
	mark := func(v ir.Value) {
		if v >= 0 {
			used[v] = true
		}
	}
	// Definitions precede uses, so one pass from the end sees every use of a
	// value before its definition.
	for _, b := range slices.Backward(f.Blocks) {
		mark(b.Term.X)
		mark(b.Term.Y)
		for i := len(b.Instrs) - 1; i >= 0; i-- {
			in := b.Instrs[i]
			if in.Def < 0 || used[in.Def] {
				mark(in.X)
				mark(in.Y)
			}
		}
	}
	for _, b := range f.Blocks {
		b.Instrs = slices.DeleteFunc(b.Instrs, func(in ir.Instr) bool { return in.Def >= 0 && !used[in.Def] })
	}
	compact(f)
}
