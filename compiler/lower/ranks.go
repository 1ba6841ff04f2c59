package lower

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// Where one DAG for a whole program would be too large, each run of it (the
// denials, then what each instance has to be allowed by) is decided by ranks.
// The rank of an entry is its place in the run; the first entry that holds has
// the least. Entries that test nothing but paths (or whatever the run's base
// variables are) need no DAG: tables give the least rank among them, for any
// class. The others, the explicit ones, are decided by DAGs, in parts if need
// be; where one of them holds, its rank is compared with that of the tables.
// So the size adds up where it would multiply.

// fall is the outcome of a part none of whose entries holds.
const fall outcome = math.MinInt32

// ranking is a run decided by ranks.
type ranking struct {
	base baseSet
	// vars are the base variables that the tables need.
	vars []*variable
	// outcomes are by rank; final is that of no entry.
	outcomes []outcome
	final    outcome
	// none is the rank of no entry, 2^k-1, above every rank.
	none uint32
	// least is the least rank in a table; none if there are no tables.
	least uint32
	// one has, per base variable, the least rank by its cell alone; nil if there is none.
	one [][]uint32
	// What follows is about entries that test both of two base variables:
	// unresolved has, for each, the least rank by its cell while the other is
	// unresolved, and pairs the rest.
	unresolved [2][]uint32
	pairs      *pairTables
}

// pairTables gives the least rank by the known cells of two variables. Cells
// of different groups have none; else it is at matrix[place[0] + place[1]].
type pairTables struct {
	group, place [2][]uint32
	matrix       []uint32
}

// errPairs says that tables of pairs are too large.
var errPairs = errors.New("tables of pairs are too large")

// single is a part of an entry that tests one base variable.
type single struct {
	rank uint32
	f    formula
}

// rankRun decides entries start … end-1, which jump nowhere but to end. If tables
// of pairs would be too large, entries over two variables are explicit.
func rankRun(fs *formulas, p *program, start, end int) *stage {
	s, err := tryRun(fs, p, start, end, true)
	if err != nil {
		s, err = tryRun(fs, p, start, end, false)
	}
	if err != nil {
		panic(fmt.Sprintf("lower: %v without pairs", err))
	}
	return s
}

func tryRun(fs *formulas, p *program, start, end int, pairs bool) (*stage, error) {
	k := &ranking{final: leaveProgram(p, jumpTo(end))}
	base := baseVars(fs, p.entries[start:end])
	k.base = base
	var explicit []item
	singles := make([][]single, len(base))
	var mixed []both
	for i := start; i < end; i++ {
		e := p.entries[i]
		out := leaveProgram(p, e.out)
		if e.cond == isTrue {
			k.final = out
			break
		}
		if e.cond == isFalse {
			continue
		}
		if n := len(k.outcomes); n == 0 || k.outcomes[n-1] != out {
			k.outcomes = append(k.outcomes, out)
		}
		rank := uint32(len(k.outcomes) - 1)
		rest := isFalse
		for _, f := range fs.alternatives(e.cond) {
			at := base.of(fs, f)
			switch {
			case at == onBoth:
				if rects, ok := fs.rectangles(f, base[0].order); ok && pairs {
					mixed = append(mixed, both{rank, f, rects})
					continue
				}
				rest = fs.join(orOp, []formula{rest, f})
			case at >= 0:
				singles[at] = append(singles[at], single{rank, f})
			default:
				rest = fs.join(orOp, []formula{rest, f})
			}
		}
		if rest != isFalse {
			explicit = append(explicit, item{int32(i), rest, outcome(rank)})
		}
	}
	k.none = 1<<bits.Len(uint(len(k.outcomes))) - 1
	if err := k.fill(fs, base, singles, mixed); err != nil {
		return nil, err
	}
	return rankParts(fs, p, k, start, end, explicit), nil
}

func leaveProgram(p *program, o outcome) outcome {
	if !o.isLeaf() && int(o.pos()) == len(p.entries) {
		return 0
	}
	return o
}

// rankParts builds the stages of the explicit entries, at least one.
func rankParts(fs *formulas, p *program, k *ranking, start, end int, explicit []item) *stage {
	var parts []*stage
	var build func(items []item, last bool)
	build = func(items []item, last bool) {
		s := &stage{prog: p, start: start, end: end, ranks: k, last: last}
		if s.tryItems(fs, items) {
			parts = append(parts, s)
			return
		}
		if len(items) == 1 {
			s.direct, s.entry = true, items[0]
			parts = append(parts, s)
			return
		}
		mid := len(items) / 2
		build(items[:mid], false)
		build(items[mid:], last)
	}
	build(explicit, true)
	for i := range parts[1:] {
		parts[i].next = parts[i+1]
	}
	return parts[0]
}

// baseSet are the base variables, in the order of variables. Entries that test
// two of them are of use only if there are no more.
type baseSet []*variable

const (
	onNone = -1
	onBoth = -2
)

// of tells which of the base variables a formula tests, if it tests no others.
func (b baseSet) of(fs *formulas, f formula) int {
	n := fs.at(f)
	if len(b) == 2 && n.lo == b[0].order && n.hi == b[1].order && n.hi == n.lo+1 {
		return onBoth
	}
	return slices.IndexFunc(b, func(v *variable) bool { return v.order == n.lo && v.order == n.hi })
}

// baseVars chooses the base variables: the paths, if any are tested; else the
// classifier that most entries test alone.
func baseVars(fs *formulas, entries []entry) baseSet {
	var paths baseSet
	for _, v := range fs.vars {
		if v.kind == classVar && v.class == ir.PathClass {
			paths = append(paths, v)
		}
	}
	if len(paths) > 0 {
		return paths
	}
	count := make([]int, len(fs.vars))
	var best *variable
	for _, e := range entries {
		if n := fs.at(e.cond); n.lo == n.hi && n.lo != noVar && fs.vars[n.lo].kind == classVar {
			count[n.lo]++
			if best == nil || count[n.lo] > count[best.order] {
				best = fs.vars[n.lo]
			}
		}
	}
	if best == nil {
		return nil
	}
	return baseSet{best}
}

// alternatives are the operands of a disjunction, or the formula itself.
func (fs *formulas) alternatives(f formula) []formula {
	if n := fs.at(f); n.op == orOp {
		return n.kids
	}
	return []formula{f}
}

// fill computes the tables. It returns errPairs if those of pairs are too large.
func (k *ranking) fill(fs *formulas, base baseSet, singles [][]single, mixed []both) error {
	k.least = k.none
	k.one = make([][]uint32, len(base))
	used := make([]bool, len(base))
	for i, list := range singles {
		if len(list) > 0 {
			k.one[i] = k.column(fs, base[i], list)
			used[i] = true
			k.least = min(k.least, list[0].rank)
		}
	}
	if len(mixed) > 0 {
		for i, v := range base {
			if list := unresolvedSingles(fs, base[1-i], mixed); len(list) > 0 {
				k.unresolved[i] = k.column(fs, v, list)
				used = []bool{true, true}
			}
		}
		var err error
		if k.pairs, err = pairUp(fs, base, mixed, k.none); err != nil {
			return err
		}
		if k.pairs != nil {
			used = []bool{true, true}
		}
		if used[0] && used[1] {
			k.least = min(k.least, mixed[0].rank)
		}
	}
	for i, v := range base {
		if used[i] {
			k.vars = append(k.vars, v)
		}
	}
	return nil
}

// unresolvedSingles gives what remains of entries over both variables while
// one of them is unresolved.
func unresolvedSingles(fs *formulas, v *variable, mixed []both) []single {
	if !v.unresolvable {
		return nil
	}
	w := &world{v: v.order, unresolved: true}
	fs.begin()
	var out []single
	for _, b := range mixed {
		if f := fs.restrict(b.f, w); f != isFalse {
			out = append(out, single{b.rank, f})
		}
	}
	return out
}

// column gives the least rank by the cell of one variable. The list is in the order of ranks.
func (k *ranking) column(fs *formulas, v *variable, list []single) []uint32 {
	out := make([]uint32, v.known+1)
	for i := range out {
		out[i] = k.none
	}
	open := make([]int32, 0, len(out)) // cells without a rank; nil while that is most of them
	tracking := false
	for _, s := range list {
		if s.f == isTrue {
			for c := range out {
				out[c] = min(out[c], s.rank)
			}
			break
		}
		if l, ok := fs.guard(s.f, v.order); ok {
			for _, c := range v.holders[l.atom] {
				if out[c] == k.none && fs.holdsIn(s.f, v, int(c)) {
					out[c] = s.rank
				}
			}
			if u := v.known; v.unresolvable && out[u] == k.none && fs.holdsIn(s.f, v, u) {
				out[u] = s.rank
			}
			continue
		}
		// The formula holds in most cells, so that few are open after the first.
		if !tracking {
			tracking = true
			for c := range out {
				open = append(open, int32(c))
			}
		}
		open = slices.DeleteFunc(open, func(c int32) bool {
			if out[c] == k.none && fs.holdsIn(s.f, v, int(c)) {
				out[c] = s.rank
			}
			return out[c] != k.none
		})
	}
	return out
}

// holdsIn evaluates a formula over one variable in one of its cells.
func (fs *formulas) holdsIn(f formula, v *variable, cell int) bool {
	n := fs.at(f)
	switch n.op {
	case constOp:
		return f == isTrue
	case litOp:
		if cell >= v.known {
			return n.lit.unres
		}
		return v.holds(n.lit.atom, cell) != n.lit.neg
	case andOp:
		for _, k := range n.kids {
			if !fs.holdsIn(k, v, cell) {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(n.kids, func(k formula) bool { return fs.holdsIn(k, v, cell) })
}

// needs tells whether an outcome of a part depends on the tables.
func (s *stage) needs(o outcome) bool {
	k := s.ranks
	if k == nil || k.least == k.none {
		return false
	}
	if o == fall {
		return s.last
	}
	return k.least < uint32(o)
}
