package lower

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/lang/source"
)

// writer writes the nodes of a DAG in one region.
type writer struct {
	*emitter
	s     *stage
	nodes []node
	r     *region
	memo  map[int32]int
	// wanted are the blocks at which classes will be computed, by variable or, with
	// together, at anyClass.
	wanted   map[int32]int
	together bool
}

func (w *writer) node(id int32) int {
	if w.mod.over {
		return w.allowBlock() // the function is thrown away
	}
	if b, ok := w.memo[id]; ok {
		return b
	}
	b := w.fresh(id)
	w.memo[id] = b
	return b
}

func (w *writer) fresh(id int32) int {
	n := &w.nodes[id]
	if n.v < 0 {
		return w.finishBlock(w.s, n.out, w.r)
	}
	v := w.fs.vars[n.v]
	if v.kind == classVar {
		class, ok := w.r.classes[n.v]
		if !ok {
			goal := n.v
			if w.together {
				goal = anyClass
			}
			b, ok := w.wanted[goal]
			if !ok {
				b = w.block()
				w.wanted[goal] = b
			}
			return b
		}
		if n.need {
			return w.node(n.kids[0])
		}
		b := w.block()
		w.onClass(b, class, w.ways(n, v.cells(), v.known+1), n.span)
		return b
	}
	b := w.block()
	switch v.kind {
	case compareVar:
		w.onCompare(b, v, n)
	case scalarVar:
		w.onScalar(b, v, n)
	}
	return b
}

func (w *writer) onCompare(b int, v *variable, n *node) {
	to := w.ways(n, v.known, v.known) // false, true
	x, y := w.eval(b, v.x, n.span), ir.Value(-1)
	t := ir.Term{Kind: ir.Branch, Cmp: v.cmp, Span: n.span}
	if v.y.isConst() {
		t.Imm = v.y.imm
	} else {
		y = w.eval(b, v.y, n.span)
	}
	t.X, t.Y = x, y
	t.To = []int{w.blockOf(to[1]), w.blockOf(to[0])}
	w.term(b, t)
}

// eval computes an expression.
func (e *emitter) eval(b int, x *expr, sp source.Span) ir.Value {
	switch {
	case x.field != nil:
		return e.instr(b, ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: x.field.Name, Span: sp})
	case x.isConst():
		return e.instr(b, ir.Instr{Op: ir.Const, X: -1, Y: -1, Imm: x.imm, Span: sp})
	}
	in := ir.Instr{Op: x.op, X: e.eval(b, x.x, sp), Y: -1, Span: sp}
	if x.y.isConst() {
		in.Imm = x.y.imm
	} else {
		in.Y = e.eval(b, x.y, sp)
	}
	return e.instr(b, in)
}

// A way is where a node's kid leads: a block, or a leaf that has no block yet,
// as -2 - leaf, or impossible.
type way int

func (w *writer) way(id int32) way {
	switch {
	case id == impossible:
		return impossible
	case w.isLeaf(id):
		return -2 - way(w.nodes[id].out)
	}
	return way(w.node(id))
}

// isLeaf tells whether a node is a leaf of the program.
func (w *writer) isLeaf(id int32) bool {
	return w.s.ranks == nil && w.nodes[id].v < 0 && w.nodes[id].out.isLeaf()
}

func (x way) isLeaf() bool { return x <= -2 }
func (x way) leaf() uint32 { return uint32(-2 - x) }

// blockOf gives the block of a way.
func (w *writer) blockOf(x way) int {
	if x.isLeaf() {
		return w.outcomeBlock(w.s, outcome(x.leaf()), w.r)
	}
	return int(x)
}

// ways lists where the cells of a node lead; cells that cannot be are impossible.
func (w *writer) ways(n *node, cells, size int) []way {
	kids := make([]way, len(n.kids))
	for i, k := range n.kids {
		kids[i] = w.way(k)
	}
	of := func(kid int32) way {
		if kid == anyCell {
			return impossible
		}
		return kids[kid]
	}
	out := make([]way, size)
	for i := range out {
		out[i] = impossible
		if i < cells {
			out[i] = of(n.def)
		}
	}
	for _, c := range n.cells {
		out[c.cell] = of(c.kid)
	}
	return out
}

// run is an interval of values up to hi that leads one way.
type run struct {
	hi int64
	to way
}

// addRun appends an interval; what leads nowhere joins its neighbour.
func addRun(runs []run, hi int64, to way) []run {
	last := len(runs) - 1
	if last >= 0 && (runs[last].to == to || to == impossible || runs[last].to == impossible) {
		runs[last].hi = hi
		if runs[last].to == impossible {
			runs[last].to = to
			if last > 0 && runs[last-1].to == to {
				runs[last-1].hi = hi
				runs = runs[:last]
			}
		}
		return runs
	}
	return append(runs, run{hi, to})
}

func (w *writer) onScalar(b int, v *variable, n *node) {
	to := w.ways(n, v.known, v.known)
	var runs []run
	for _, s := range v.spans {
		t := way(impossible)
		if s.cell != anyCell {
			t = to[s.cell]
		}
		runs = addRun(runs, s.hi, t)
	}
	if m, ok := v.x.mask(); ok && len(runs) == 2 && m > 0 && m&(m-1) == 0 {
		// One bit: test it where it is.
		x := w.eval(b, v.x.x, n.span)
		w.term(b, ir.Term{Kind: ir.Branch, X: x, Y: -1, Imm: m, Cmp: ir.Set, To: []int{w.blockOf(runs[1].to), w.blockOf(runs[0].to)}, Span: n.span})
		return
	}
	if v.x.field != nil && len(runs) > maxCases {
		if id, classes, ok := w.intClasses(v, to); ok {
			class := w.instr(b, ir.Instr{Op: ir.Class, X: -1, Y: -1, ID: id, Span: n.span})
			w.onClass(b, class, classes, n.span)
			return
		}
	}
	w.dispatch(b, w.eval(b, v.x, n.span), runs, n.span)
}

// maxCases is the number of intervals above which a table is preferred to comparisons.
const maxCases = 16

// dispatch ends a block by going to the run that a value lies in.
func (w *writer) dispatch(b int, x ir.Value, runs []run, sp source.Span) {
	switch {
	case len(runs) == 1:
		w.jump(b, w.blockOf(runs[0].to))
	case len(runs) == 2:
		w.term(b, ir.Term{Kind: ir.Branch, X: x, Y: -1, Imm: runs[0].hi, Cmp: ir.Le, To: []int{w.blockOf(runs[0].to), w.blockOf(runs[1].to)}, Span: sp})
	case len(runs) == 3 && runs[0].to == runs[2].to && runs[0].hi+1 == runs[1].hi:
		w.term(b, ir.Term{Kind: ir.Branch, X: x, Y: -1, Imm: runs[1].hi, Cmp: ir.Eq, To: []int{w.blockOf(runs[1].to), w.blockOf(runs[0].to)}, Span: sp})
	default:
		t := ir.Term{Kind: ir.Switch, X: x, Y: -1, Span: sp}
		for i, r := range runs {
			if i+1 < len(runs) {
				t.Cases = append(t.Cases, r.hi)
			}
			t.To = append(t.To, w.blockOf(r.to))
		}
		w.term(b, t)
	}
}

// intClasses makes a classifier of a scalar for one node, whose classes are the
// ways that the node leads, and gives the ways by class; ok is false if there
// are so many ways that comparisons are no worse.
func (w *writer) intClasses(v *variable, to []way) (id int, classes []way, ok bool) {
	ints := v.part.data.(*match.IntClasses)
	count := map[way]int{}
	leaves := true
	for _, cell := range ints.Class {
		if t := to[cell]; t != impossible {
			count[t]++
			leaves = leaves && t.isLeaf()
		}
	}
	if 2*len(count) > len(ints.Class) && !leaves {
		return 0, nil, false
	}
	// The most frequent way is class 0, which needs no set.
	first := way(impossible)
	for _, cell := range ints.Class {
		if t := to[cell]; t != impossible && (first == impossible || count[t] > count[first]) {
			first = t
		}
	}
	setOf := map[way]int{first: -1, impossible: -1}
	var sets []match.IntSet
	var ways []way
	for i, start := range ints.Starts {
		t := to[ints.Class[i]]
		end := ^uint64(0)
		if i+1 < len(ints.Starts) {
			end = ints.Starts[i+1] - 1
		}
		k, known := setOf[t]
		if !known {
			k = len(sets)
			setOf[t] = k
			sets = append(sets, nil)
			ways = append(ways, t)
		}
		if k >= 0 {
			sets[k] = append(sets[k], match.IntRange{Lo: start, Hi: end})
		}
	}
	data, err := match.Partition(sets)
	if err != nil {
		panic(fmt.Sprintf("lower: %v", err)) // the sets are disjoint, so their classes are few
	}
	classes = []way{first}
	for _, in := range data.Classes[1:] {
		classes = append(classes, ways[in[0]])
	}
	id, ok = w.mod.intClassifier(w.hook, v, data)
	return id, append(classes, impossible), ok
}

// onClass ends a block by going where a class leads: by comparisons if few, else
// by tables. to has an entry for each class and one for unresolved.
func (w *writer) onClass(b int, class ir.Value, to []way, sp source.Span) {
	var runs []run
	for i, t := range to {
		runs = addRun(runs, int64(i), t)
	}
	if len(runs) <= maxCases/2 || w.mod.bytes+4*len(to) > MaxTableBytes/2 {
		// Comparisons too if tables are scarce; the other half is for those of ranks.
		w.dispatch(b, class, runs, sp)
		return
	}
	// Which of the blocks, all leaves being 0.
	blocks := []int{-1}
	number := map[way]uint32{}
	which := make([]uint32, len(to))
	leaf := make([]uint32, len(to))
	leaves := false
	for i, t := range to {
		switch {
		case t == impossible:
		case t.isLeaf():
			leaf[i] = t.leaf()
			leaves = true
		default:
			k, ok := number[t]
			if !ok {
				k = uint32(len(blocks))
				number[t] = k
				blocks = append(blocks, int(t))
			}
			which[i] = k
		}
	}
	atLeaves := b
	if len(blocks) > 1 {
		if leaves {
			atLeaves = w.block()
			blocks[0] = atLeaves
		} else {
			blocks[0] = blocks[1]
		}
		x := w.instr(b, ir.Instr{Op: ir.Lookup, X: class, Y: -1, ID: w.mod.table(w.hook, numberTableKind, which), Span: sp})
		var runs []run
		for i, to := range blocks {
			runs = addRun(runs, int64(i), way(to))
		}
		w.dispatch(b, x, runs, sp)
	}
	if leaves {
		x := w.instr(atLeaves, ir.Instr{Op: ir.Lookup, X: class, Y: -1, ID: w.mod.table(w.hook, leafTableKind, leaf), Span: sp})
		w.finishValue(atLeaves, x)
	}
}

// finishValue ends a block with a leaf that is a value.
func (w *writer) finishValue(b int, leaf ir.Value) {
	if w.s.prog.audit {
		w.report(b, leaf, w.r)
		return
	}
	w.term(b, ir.Term{Kind: ir.Decide, X: leaf, Y: -1})
}
