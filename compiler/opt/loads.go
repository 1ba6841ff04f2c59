package opt

import (
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// loads reads each field once: at the last block that all its readers have in
// common before them. So one event is judged by one snapshot of its fields, even
// while another task changes a file's mode or owner, and code gets smaller. Then
// every value that was computed already on each way to a place is used again.
func loads(_ *ir.Module, f *ir.Func) {
	idom := f.Dominators()
	hoistFields(f, idom)
	number(f, idom)
	compact(f)
}

func hoistFields(f *ir.Func, idom []int) {
	type load struct {
		home  int
		instr ir.Instr
		times int
	}
	index := map[string]int{}
	var all []load
	for i, b := range f.Blocks {
		for _, in := range b.Instrs {
			if in.Op != ir.Field {
				continue
			}
			n, ok := index[in.Name]
			if !ok {
				n = len(all)
				index[in.Name] = n
				all = append(all, load{home: i, instr: in})
			}
			all[n].home = ir.CommonDominator(idom, all[n].home, i)
			all[n].times++
		}
	}
	same := make([]ir.Value, f.NumValues)
	for i := range same {
		same[i] = ir.Value(i)
	}
	for i, b := range f.Blocks {
		b.Instrs = slices.DeleteFunc(b.Instrs, func(in ir.Instr) bool {
			if in.Op != ir.Field {
				return false
			}
			l := all[index[in.Name]]
			same[in.Def] = l.instr.Def
			return l.home != i || l.times > 1
		})
	}
	// In a block that had no reader itself, loads go behind what is there: its
	// own instructions cannot use them.
	for _, l := range all {
		if l.times == 1 {
			continue
		}
		b := f.Blocks[l.home]
		at := 0
		for at < len(b.Instrs) && !uses(b.Instrs[at], same, l.instr.Def) {
			at++
		}
		b.Instrs = slices.Insert(b.Instrs, at, l.instr)
	}
	replace(f, func(v ir.Value) ir.Value { return same[v] })
}

// uses tells whether an instruction has an operand that will be v.
func uses(in ir.Instr, same []ir.Value, v ir.Value) bool {
	return in.X >= 0 && same[in.X] == v || in.Y >= 0 && same[in.Y] == v
}

// valueKey tells what an instruction computes.
type valueKey struct {
	op   ir.Opcode
	x, y ir.Value
	imm  int64
	name string
	id   int
}

// number replaces a value by an equal one whose definition dominates it.
func number(f *ir.Func, idom []int) {
	type known struct {
		block int
		value ir.Value
	}
	seen := map[valueKey][]known{}
	same := make([]ir.Value, f.NumValues)
	for i := range same {
		same[i] = ir.Value(i)
	}
	canonical := func(v ir.Value) ir.Value {
		if v < 0 {
			return v
		}
		return same[v]
	}
	for i, b := range f.Blocks {
		b.Instrs = slices.DeleteFunc(b.Instrs, func(in ir.Instr) bool {
			if in.Def < 0 {
				return false
			}
			k := valueKey{in.Op, canonical(in.X), canonical(in.Y), in.Imm, in.Name, in.ID}
			for _, s := range seen[k] {
				if dominates(idom, s.block, i) {
					same[in.Def] = s.value
					return true
				}
			}
			seen[k] = append(seen[k], known{i, in.Def})
			return false
		})
	}
	replace(f, func(v ir.Value) ir.Value { return same[v] })
}

func dominates(idom []int, a, b int) bool {
	for b > a {
		b = idom[b]
	}
	return a == b
}
