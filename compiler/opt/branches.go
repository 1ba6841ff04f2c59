package opt

import (
	"math"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// branches merges tests of one value: a block that does nothing but test the
// value that its predecessor tested is decided there.
func branches(_ *ir.Module, f *ir.Func) {
	for i := len(f.Blocks) - 1; i >= 0; i-- {
		b := f.Blocks[i]
		x, mine, ok := runsOf(b.Term)
		if !ok {
			continue
		}
		var out []run
		lo := int64(math.MinInt64)
		for _, r := range mine {
			next := f.Blocks[r.to]
			y, theirs, ok := runsOf(next.Term)
			if !ok || y != x || len(next.Instrs) > 0 {
				out = addRun(out, r)
			} else {
				from := lo
				for _, t := range theirs {
					if t.hi >= from && from <= r.hi {
						out = addRun(out, run{min(t.hi, r.hi), t.to})
						from = min(t.hi, r.hi) + 1
						if t.hi >= r.hi {
							break
						}
					}
				}
			}
			lo = r.hi + 1 // not used after the last run
		}
		if len(out) <= len(mine)+maxGrowth {
			b.Term = termOf(b.Term, out)
		}
	}
	thread(nil, f)
}

// maxGrowth is by how many cases a merged test may exceed the first.
const maxGrowth = 4

// run is an interval of values, up to hi, that leads to a block.
type run struct {
	hi int64
	to int
}

func addRun(runs []run, r run) []run {
	if n := len(runs); n > 0 && runs[n-1].to == r.to {
		runs[n-1].hi = r.hi
		return runs
	}
	return append(runs, r)
}

// runsOf gives a comparison of one value with constants as intervals.
func runsOf(t ir.Term) (x ir.Value, runs []run, ok bool) {
	switch t.Kind {
	case ir.Switch:
		for i, to := range t.To {
			hi := int64(math.MaxInt64)
			if i < len(t.Cases) {
				hi = t.Cases[i]
			}
			runs = addRun(runs, run{hi, to})
		}
		return t.X, runs, true
	case ir.Branch:
		if t.Y >= 0 || t.Cmp == ir.Set {
			return 0, nil, false
		}
		yes, no := t.To[0], t.To[1]
		cut := func(hi int64, low, high int) []run { return []run{{hi, low}, {math.MaxInt64, high}} }
		switch t.Cmp {
		case ir.Le:
			if t.Imm == math.MaxInt64 {
				return 0, nil, false
			}
			return t.X, cut(t.Imm, yes, no), true
		case ir.Gt:
			if t.Imm == math.MaxInt64 {
				return 0, nil, false
			}
			return t.X, cut(t.Imm, no, yes), true
		case ir.Lt:
			if t.Imm == math.MinInt64 {
				return 0, nil, false
			}
			return t.X, cut(t.Imm-1, yes, no), true
		case ir.Ge:
			if t.Imm == math.MinInt64 {
				return 0, nil, false
			}
			return t.X, cut(t.Imm-1, no, yes), true
		case ir.Eq, ir.Ne:
			if t.Cmp == ir.Ne {
				yes, no = no, yes
			}
			if t.Imm > math.MinInt64 {
				runs = addRun(runs, run{t.Imm - 1, no})
			}
			runs = addRun(runs, run{t.Imm, yes})
			if t.Imm < math.MaxInt64 {
				runs = addRun(runs, run{math.MaxInt64, no})
			}
			return t.X, runs, true
		}
	}
	return 0, nil, false
}

// termOf is the simplest terminator for intervals.
func termOf(t ir.Term, runs []run) ir.Term {
	out := ir.Term{X: t.X, Y: -1, Span: t.Span}
	switch {
	case len(runs) == 1:
		out.Kind, out.X, out.To = ir.Jump, -1, []int{runs[0].to}
	case len(runs) == 2:
		out.Kind, out.Cmp, out.Imm = ir.Branch, ir.Le, runs[0].hi
		out.To = []int{runs[0].to, runs[1].to}
	case len(runs) == 3 && runs[0].to == runs[2].to && runs[0].hi+1 == runs[1].hi:
		out.Kind, out.Cmp, out.Imm = ir.Branch, ir.Eq, runs[1].hi
		out.To = []int{runs[1].to, runs[0].to}
	default:
		out.Kind = ir.Switch
		for i, r := range runs {
			if i+1 < len(runs) {
				out.Cases = append(out.Cases, r.hi)
			}
			out.To = append(out.To, r.to)
		}
	}
	return out
}
