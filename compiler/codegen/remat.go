package codegen

import (
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// maxRebuilt is how many instructions a function may have after recompute.
const maxRebuilt = 1 << 20

// effort is what is done about values that do not fit into the frame.
type effort int

const (
	// keep leaves the function as it is: each value is computed once.
	keep effort = iota
	// recomputeValues computes arithmetic where it is used, operand that needs
	// more room first, so that only what was read of the event stays.
	recomputeValues
	// recomputeFields reads fields again, too, if they cannot have changed.
	recomputeFields
)

// recompute rewrites a function so that fewer values live at one time.
//
// What stays alive are classes, looked up numbers and fields: a hook has some
// twenty of them. An expression of n operands needs log2(n) places besides. The
// parser's limits bound n, and the frame holds both (TestFrameHoldsTheWorstCase).
func recompute(f *ir.Func, stable func(field string) bool) (*ir.Func, error) {
	r := &rebuilder{f: f, defs: make([]*ir.Instr, f.NumValues), value: make([]ir.Value, f.NumValues), need: make([]int, f.NumValues), stable: stable}
	out := &ir.Func{Hook: f.Hook}
	for _, b := range f.Blocks {
		r.out = nil
		for i := range b.Instrs {
			r.instr(&b.Instrs[i])
		}
		t := b.Term
		if t.Kind == ir.Branch && t.Y >= 0 && r.needs(t.Y) > r.needs(t.X) {
			t.Y = r.build(t.Y)
			t.X = r.build(t.X)
		} else {
			t.X = r.build(t.X)
			t.Y = r.build(t.Y)
		}
		out.Blocks = append(out.Blocks, &ir.Block{ID: b.ID, Instrs: r.out, Term: t})
		if r.total += len(r.out); r.total > maxRebuilt {
			return nil, fmt.Errorf("%w: more than %d instructions", ErrTooLarge, maxRebuilt)
		}
	}
	out.NumValues = r.values
	return out, nil
}

type rebuilder struct {
	f      *ir.Func
	defs   []*ir.Instr // of values that are computed where they are used
	value  []ir.Value  // of those that are not: the new value
	need   []int       // places that a value needs while it is computed; 0: not known yet
	stable func(string) bool
	out    []ir.Instr
	values int
	total  int
}

// instr takes over an instruction, or puts it off until its value is used.
func (r *rebuilder) instr(in *ir.Instr) {
	pure := in.Op == ir.Const || in.Op >= ir.Add && in.Op <= ir.Shr
	if pure || in.Op == ir.Field && r.stable(in.Name) {
		r.defs[in.Def] = in
		return
	}
	n := *in
	n.X, n.Y = r.build(in.X), r.build(in.Y)
	if in.Def >= 0 {
		n.Def = r.emit(n)
		r.value[in.Def] = n.Def
		return
	}
	r.out = append(r.out, n)
}

func (r *rebuilder) emit(n ir.Instr) ir.Value {
	n.Def = ir.Value(r.values)
	r.values++
	r.out = append(r.out, n)
	return n.Def
}

// needs is how many places computing v takes, its own included (Ershov number);
// operands that are at hand take none.
func (r *rebuilder) needs(v ir.Value) int {
	if v < 0 || r.defs[v] == nil {
		return 0
	}
	if r.need[v] == 0 {
		in := r.defs[v]
		x, y := r.needs(in.X), r.needs(in.Y)
		if in.Op == ir.Field || in.Op == ir.Const {
			x, y = 1, 0
		}
		if x == y && x > 0 {
			x++
		}
		r.need[v] = max(x, y, 1)
	}
	return r.need[v]
}

// build gives the new value of v, computing it if it was put off.
func (r *rebuilder) build(v ir.Value) ir.Value {
	if v < 0 {
		return v
	}
	in := r.defs[v]
	if in == nil {
		return r.value[v]
	}
	if r.total+len(r.out) > maxRebuilt {
		return 0 // recompute fails
	}
	n := *in
	if in.Op != ir.Field && in.Op != ir.Const {
		if r.needs(in.Y) > r.needs(in.X) {
			n.Y = r.build(in.Y)
			n.X = r.build(in.X)
		} else {
			n.X = r.build(in.X)
			n.Y = r.build(in.Y)
		}
	}
	return r.emit(n)
}

// stable tells whether a field has one value as long as a program runs: scalar
// arguments, and what only the task itself can change of itself.
func (p *program) stable(name string) bool {
	f := p.fields[name]
	if f == nil {
		return false
	}
	s, ok := f.Read.(hook.Scalar)
	if !ok {
		return false
	}
	if len(s.Steps) == 0 || !s.Base.Current {
		return len(s.Steps) == 0
	}
	first := s.Steps[0]
	return first.Struct == "task_struct" && len(first.Members) == 1 && slices.Contains([]string{"cred", "tgid", "pid"}, first.Members[0])
}
