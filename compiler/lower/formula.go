package lower

import (
	"encoding/binary"
	"math"
	"slices"
)

// A tree is a condition in three-valued logic over the hook's variables.
type tree struct {
	op   treeOp
	kids []*tree
	v    *variable // leaf
	atom int32
}

type treeOp uint8

const (
	treeFalse treeOp = iota + 1
	treeTrue
	treeLeaf
	treeAnd
	treeOr
	treeNot
)

// unresolvable tells whether the condition can be unresolved.
func (t *tree) unresolvable() bool {
	if t.op == treeLeaf {
		return t.v.unresolvable
	}
	return slices.ContainsFunc(t.kids, (*tree).unresolvable)
}

// A formula is a two-valued condition in negation normal form, hash-consed:
// equal numbers, equal formulas. A three-valued condition c gives two: "c is
// true" and "c is true or unresolved"; the unresolved cell of a variable is a
// value like any other, for which a literal says what it is.
type formula int32

const (
	isFalse formula = 0
	isTrue  formula = 1
)

type formulaOp uint8

const (
	constOp formulaOp = iota + 1
	litOp
	andOp
	orOp
)

// literal holds in the known cells in which its atom holds (or, with neg, in
// the others), and in the unresolved cell if unres is set.
type literal struct {
	v, atom    int32
	neg, unres bool
}

type formulaNode struct {
	op   formulaOp
	lit  literal
	kids []formula
	// lo and hi are the first and last variable that it tests.
	lo, hi int32
}

// noVar is behind every variable.
const noVar = math.MaxInt32

type formulas struct {
	vars  []*variable
	work  work
	nodes []formulaNode
	lits  map[literal]formula
	index map[string]formula
	// memo of the present restriction.
	memo  []formula
	stamp []uint32
	now   uint32
	steps int // formulas visited, a measure of work
}

func newFormulas(vars []*variable, w work) *formulas {
	fs := &formulas{vars: vars, work: w, lits: map[literal]formula{}, index: map[string]formula{}}
	fs.add(formulaNode{op: constOp, lo: noVar, hi: -1})
	fs.add(formulaNode{op: constOp, lo: noVar, hi: -1})
	return fs
}

func (fs *formulas) add(n formulaNode) formula {
	fs.nodes = append(fs.nodes, n)
	fs.memo = append(fs.memo, 0)
	fs.stamp = append(fs.stamp, 0)
	return formula(len(fs.nodes) - 1)
}

func (fs *formulas) at(f formula) *formulaNode { return &fs.nodes[f] }

func (fs *formulas) literal(l literal) formula {
	v := fs.vars[l.v]
	if !v.unresolvable {
		l.unres = false
	}
	// A set that nothing is in, or everything, needs no test.
	if n := len(v.holders[l.atom]); n == 0 || n == v.known {
		value := (n > 0) != l.neg
		if !v.unresolvable || value == l.unres {
			return constFormula(value)
		}
	}
	f, ok := fs.lits[l]
	if !ok {
		f = fs.add(formulaNode{op: litOp, lit: l, lo: l.v, hi: l.v})
		fs.lits[l] = f
	}
	return f
}

func constFormula(b bool) formula {
	if b {
		return isTrue
	}
	return isFalse
}

// join is the conjunction or disjunction of formulas.
func (fs *formulas) join(op formulaOp, kids []formula) formula {
	unit, zero := isTrue, isFalse
	if op == orOp {
		unit, zero = isFalse, isTrue
	}
	flat := make([]formula, 0, len(kids))
	for _, k := range kids {
		switch {
		case k == zero:
			return zero
		case k == unit:
		case fs.at(k).op == op:
			flat = append(flat, fs.at(k).kids...)
		default:
			flat = append(flat, k)
		}
	}
	slices.Sort(flat)
	flat = slices.Compact(flat)
	switch len(flat) {
	case 0:
		return unit
	case 1:
		return flat[0]
	}
	for _, k := range flat {
		if n := fs.at(k); n.op == litOp {
			c := n.lit
			c.neg = !c.neg
			c.unres = fs.vars[c.v].unresolvable && !c.unres
			if f, ok := fs.lits[c]; ok {
				if _, both := slices.BinarySearch(flat, f); both {
					return zero
				}
			}
		}
	}
	if op == orOp {
		if common := fs.common(flat); len(common) > 0 {
			return fs.factor(common, flat)
		}
	}
	key := make([]byte, 1, 1+4*len(flat))
	key[0] = byte(op)
	n := formulaNode{op: op, kids: flat, lo: noVar, hi: -1}
	for _, k := range flat {
		key = binary.LittleEndian.AppendUint32(key, uint32(k))
		n.lo = min(n.lo, fs.at(k).lo)
		n.hi = max(n.hi, fs.at(k).hi)
	}
	if f, ok := fs.index[string(key)]; ok {
		return f
	}
	f := fs.add(n)
	fs.index[string(key)] = f
	return f
}

// conjuncts are the operands of a conjunction, or the formula itself.
func (fs *formulas) conjuncts(f formula) []formula {
	if n := fs.at(f); n.op == andOp {
		return n.kids
	}
	return []formula{f}
}

// common lists the conjuncts that all of the formulas have.
func (fs *formulas) common(kids []formula) []formula {
	out := slices.Clone(fs.conjuncts(kids[0]))
	for _, k := range kids[1:] {
		cs := fs.conjuncts(k)
		out = slices.DeleteFunc(out, func(f formula) bool {
			_, in := slices.BinarySearch(cs, f)
			return !in
		})
		if len(out) == 0 {
			break
		}
	}
	return out
}

// factor gives a disjunction with its common conjuncts in front, so that a
// formula shows what it cannot do without.
func (fs *formulas) factor(common, kids []formula) formula {
	rest := make([]formula, len(kids))
	for i, k := range kids {
		cs := slices.DeleteFunc(slices.Clone(fs.conjuncts(k)), func(f formula) bool {
			_, in := slices.BinarySearch(common, f)
			return in
		})
		rest[i] = fs.join(andOp, cs)
	}
	return fs.join(andOp, append(slices.Clone(common), fs.join(orOp, rest)))
}

// fromTree gives the formula "t is true", or with may "t is true or
// unresolved"; neg is of the negation of t.
func (fs *formulas) fromTree(t *tree, neg, may bool) formula {
	switch t.op {
	case treeTrue:
		return constFormula(!neg)
	case treeFalse:
		return constFormula(neg)
	case treeLeaf:
		v := t.v
		if v.parts != nil {
			v = v.parts[v.sets.partOf[t.atom]]
		}
		return fs.literal(literal{v: v.order, atom: t.atom, neg: neg, unres: may})
	case treeNot:
		return fs.fromTree(t.kids[0], !neg, may)
	}
	op := andOp
	if (t.op == treeOr) != neg {
		op = orOp
	}
	kids := make([]formula, len(t.kids))
	for i, k := range t.kids {
		kids[i] = fs.fromTree(k, neg, may)
	}
	return fs.join(op, kids)
}

// A world is what is known of one variable: the atoms that hold, or that it is unresolved.
type world struct {
	v          int32
	has        []uint32 // stamped with gen for the atoms that hold
	gen        uint32
	unresolved bool
}

func (w *world) value(l literal) bool {
	if w.unresolved {
		return l.unres
	}
	return (w.has[l.atom] == w.gen) != l.neg
}

// begin starts a series of restrictions to one world.
func (fs *formulas) begin() { fs.now++ }

// restrict gives what remains of a formula in a world.
func (fs *formulas) restrict(f formula, w *world) formula {
	n := fs.at(f)
	if n.lo > w.v || n.hi < w.v {
		return f
	}
	fs.steps++
	if n.op == litOp {
		return constFormula(w.value(n.lit))
	}
	if fs.stamp[f] == fs.now {
		return fs.memo[f]
	}
	kids := make([]formula, len(n.kids))
	op := n.op
	for i, k := range n.kids {
		kids[i] = fs.restrict(k, w)
	}
	r := fs.join(op, kids)
	fs.memo[f], fs.stamp[f] = r, fs.now
	return r
}

// collect calls add for every atom of a variable in a formula, perhaps more
// than once. A series of calls after one begin visits each formula once.
func (fs *formulas) collect(f formula, v int32, add func(int32)) {
	n := fs.at(f)
	if n.lo > v || n.hi < v {
		return
	}
	if n.op == litOp {
		add(n.lit.atom)
		return
	}
	if fs.stamp[f] == fs.now {
		return
	}
	fs.stamp[f] = fs.now
	fs.steps++
	for _, k := range n.kids {
		fs.collect(k, v, add)
	}
}

// eachVar calls visit for every variable of a formula, perhaps more than once;
// a series of calls after one begin visits each formula once.
func (fs *formulas) eachVar(f formula, visit func(int32)) {
	n := fs.at(f)
	switch {
	case n.op == constOp || n.op != litOp && fs.stamp[f] == fs.now:
	case n.op == litOp:
		visit(n.lit.v)
	default:
		fs.stamp[f] = fs.now
		for _, k := range n.kids {
			fs.eachVar(k, visit)
		}
	}
}

// guard finds a literal of a variable without which the formula is false.
func (fs *formulas) guard(f formula, v int32) (literal, bool) {
	n := fs.at(f)
	if n.op == litOp {
		return n.lit, n.lit.v == v && !n.lit.neg
	}
	if n.op == andOp {
		for _, k := range n.kids {
			if kn := fs.at(k); kn.op == litOp && kn.lit.v == v && !kn.lit.neg {
				return kn.lit, true
			}
		}
	}
	return literal{}, false
}
