package codegen

import (
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
)

// frameLimit is how much of the stack a program may use, in bytes. The chains of
// routines that it calls need less than the rest (MAX_BPF_STACK, 512,
// counts a chain of calls; TestStackOfCallChains).
const frameLimit = 288

// place is where a value lives: a register, or a stack slot.
type place struct {
	reg     emit.Reg
	slot    int // below FP; 0: in reg
	nowhere bool
}

// span is the life of a value in positions of the linear order of instructions.
// Blocks are in topological order and there are no loops, so that every path
// visits positions in ascending order and [def, last use] covers all of them.
type span struct {
	value    ir.Value
	def, end int
}

// allocate gives each value a place, with no more effort than it takes.
func (p *program) allocate() error {
	f := p.f
	for try := keep; ; try++ {
		err := p.scan(try)
		if err == nil || try == recomputeFields {
			return err
		}
		stable := func(string) bool { return false }
		if try+1 == recomputeFields {
			stable = p.stable
		}
		if p.f, err = recompute(f, stable); err != nil {
			return err
		}
	}
}

// scan gives each value a place by linear scan over R7, R8 and R9: of the
// values alive at one time those that are needed last go to the stack.
func (p *program) scan(try effort) error {
	spans := p.spans()
	p.at = make([]place, p.f.NumValues)
	free := []emit.Reg{emit.R9, emit.R8, emit.R7}
	var active []span // sorted by end
	var slots []span  // in use, by slot index; end is when it is free again
	spill := func(s span) {
		i := slices.IndexFunc(slots, func(o span) bool { return o.end < s.def })
		if i < 0 {
			i = len(slots)
			slots = append(slots, s)
		}
		slots[i] = s
		p.at[s.value] = place{slot: spillBase - 8*i}
	}
	insert := func(s span) {
		i, _ := slices.BinarySearchFunc(active, s, func(a, b span) int { return a.end - b.end })
		active = slices.Insert(active, i, s)
	}
	for _, s := range spans {
		if s.end < s.def { // never used
			p.at[s.value] = place{nowhere: true}
			continue
		}
		for len(active) > 0 && active[0].end < s.def {
			free = append(free, p.at[active[0].value].reg)
			active = active[1:]
		}
		switch {
		case len(free) > 0:
			p.at[s.value] = place{reg: free[len(free)-1]}
			free = free[:len(free)-1]
			insert(s)
		case active[len(active)-1].end > s.end:
			last := active[len(active)-1]
			active = active[:len(active)-1]
			p.at[s.value] = place{reg: p.at[last.value].reg}
			// Its slot must be free from its own definition on.
			spill(last)
			insert(s)
		default:
			spill(s)
		}
	}
	return p.memoSlots(len(slots), try)
}

// memoSlots gives a slot to each classifier that more than one instruction
// asks for: which of them runs first is known only at run time. Where room is
// short, classes of numbers that cannot change are found again.
func (p *program) memoSlots(spilled int, try effort) error {
	uses := map[int]int{}
	for _, b := range p.f.Blocks {
		for i := range b.Instrs {
			if b.Instrs[i].Op == ir.Class {
				uses[b.Instrs[i].ID]++
			}
		}
	}
	p.memo = map[int]int{}
	next := spillBase - 8*spilled
	for _, id := range sortedKeys(uses) {
		c := p.Module.Classifiers[id]
		if uses[id] > 1 && !(try == recomputeFields && c.Kind == ir.IntClass && p.stable(c.Field)) {
			p.memo[id] = next
			next -= 8
		}
	}
	if -next-8 > frameLimit {
		return fmt.Errorf("%w: %d bytes of stack, at most %d", ErrTooLarge, -next-8, frameLimit)
	}
	return nil
}

func (p *program) spans() []span {
	out := make([]span, p.f.NumValues)
	for i := range out {
		out[i] = span{value: ir.Value(i), def: -1, end: -2}
	}
	pos := 0
	use := func(v ir.Value) {
		if v >= 0 {
			out[v].end = pos
		}
	}
	for _, b := range p.f.Blocks {
		for i := range b.Instrs {
			in := &b.Instrs[i]
			use(in.X)
			use(in.Y)
			if in.Def >= 0 {
				out[in.Def].def = pos
			}
			pos++
		}
		use(b.Term.X)
		use(b.Term.Y)
		pos++
	}
	out = slices.DeleteFunc(out, func(s span) bool { return s.def < 0 })
	slices.SortFunc(out, func(a, b span) int { return a.def - b.def })
	return out
}

// use gives a register that holds v: its own, or tmp after loading it.
func (p *program) use(v ir.Value, tmp emit.Reg) emit.Reg {
	pl := p.at[v]
	if pl.slot == 0 {
		return pl.reg
	}
	p.Load(emit.DW, tmp, emit.FP, pl.slot)
	return tmp
}

// target is the register in which v is best computed.
func (p *program) target(v ir.Value) emit.Reg {
	if pl := p.at[v]; pl.slot == 0 && !pl.nowhere {
		return pl.reg
	}
	return emit.R0
}

// define puts r, the value of v, into its place.
func (p *program) define(v ir.Value, r emit.Reg) {
	switch pl := p.at[v]; {
	case pl.nowhere:
	case pl.slot != 0:
		p.Store(emit.DW, emit.FP, pl.slot, r)
	default:
		p.Move(pl.reg, r)
	}
}

func sortedKeys(m map[int]int) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
