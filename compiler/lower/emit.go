package lower

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/source"
)

// emitter writes a hook's stages as a function.
//
// A classifier is dear, in time and in what the verifier has to walk through,
// so it appears once, not once per node that needs it: all nodes that test the
// same class of a stage go to one block, which computes the class and then
// starts the stage again from its root, with the class at hand. The tests on
// the way are repeated, only those that tell the nodes apart; they are cheap.
// Such a place is a region: a part of the function in which certain classes
// are at hand. A region is entered at one block, which dominates it.
type emitter struct {
	mod      *moduleBuilder
	hook     string
	fs       *formulas
	blocks   []*ir.Block
	values   int
	starts   map[stageKey]int
	decide   map[outcome]int
	leaves   map[leafKey]int
	rankEnds map[rankKey]int
	after    *stage // of the verdict, which follows the audit; nil if there is none
	// bare is the region with nothing at hand; copies counts the regions of a stage.
	bare   *region
	copies map[*stage]int
}

// region is where classes are at hand, by variable.
type region struct {
	classes map[int32]ir.Value
	ranks   map[*ranking]ir.Value // the least rank by the tables
}

type stageKey struct {
	s *stage
	r *region
}

type leafKey struct {
	out outcome
	r   *region
}

func (e *emitter) block() int {
	e.blocks = append(e.blocks, &ir.Block{ID: len(e.blocks)})
	return len(e.blocks) - 1
}

func (e *emitter) instr(b int, in ir.Instr) ir.Value {
	in.Def = ir.Value(e.values)
	e.values++
	e.blocks[b].Instrs = append(e.blocks[b].Instrs, in)
	return in.Def
}

func (e *emitter) term(b int, t ir.Term) { e.blocks[b].Term = t }

func (e *emitter) jump(b, to int) {
	e.term(b, ir.Term{Kind: ir.Jump, X: -1, Y: -1, To: []int{to}})
}

// emitFunc writes the function: skipped events, the audit, the verdict.
// One of the stages may be nil: then that part does nothing.
func emitFunc(mod *moduleBuilder, h hookInfo, fs *formulas, audit, decide *stage) *ir.Func {
	e := &emitter{bare: &region{}, copies: map[*stage]int{}, mod: mod, hook: h.name, fs: fs, starts: map[stageKey]int{}, decide: map[outcome]int{}, leaves: map[leafKey]int{}, rankEnds: map[rankKey]int{}, after: decide}
	entry := e.block()
	at := e.skips(entry, h.skip)
	first := audit
	if first == nil {
		first = decide
	}
	e.jump(at, e.stage(first, int32(first.start), e.bare))
	f := &ir.Func{Hook: h.name, Blocks: e.blocks, NumValues: e.values}
	arrange(f)
	return f
}

// hookInfo is what the function needs of the hook besides its stages.
type hookInfo struct {
	name string
	skip []hook.Guard
}

// skips writes the guards of events that are no concern of policies, and gives
// the block in which the others go on.
func (e *emitter) skips(b int, guards []hook.Guard) int {
	for _, g := range guards {
		x := e.instr(b, ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: g.Field})
		if g.Mask != 0 {
			x = e.instr(b, ir.Instr{Op: ir.And, X: x, Y: -1, Imm: g.Mask})
		}
		skip, on := e.allowBlock(), e.block()
		if g.Not {
			skip, on = on, skip
		}
		for i, v := range g.Values {
			miss := on
			if i+1 < len(g.Values) {
				miss = e.block()
			}
			e.term(b, ir.Term{Kind: ir.Branch, X: x, Y: -1, Imm: v, Cmp: ir.Eq, To: []int{skip, miss}})
			b = miss
		}
		b = on
		if g.Not {
			b = skip
		}
	}
	return b
}

// allowBlock is the block of leaf 0.
func (e *emitter) allowBlock() int { return e.decideBlock(0) }

func (e *emitter) decideBlock(o outcome) int {
	b, ok := e.decide[o]
	if !ok {
		b = e.block()
		e.term(b, ir.Term{Kind: ir.Decide, X: -1, Y: -1, Imm: int64(o)})
		e.decide[o] = b
	}
	return b
}

// stage gives the block at which a program goes on from an entry.
func (e *emitter) stage(s *stage, pos int32, r *region) int {
	for int(pos) >= s.end {
		s = s.next
	}
	if int(pos) != s.start {
		panic("lower: jump into the middle of a stage")
	}
	return e.start(s, r)
}

// maxCopies bounds the regions in which one stage is written. In further ones it
// is entered as if no class were at hand: it asks again for what it needs, which
// code generation remembers.
const maxCopies = 4

// start gives the block at which a stage starts.
func (e *emitter) start(s *stage, r *region) int {
	k := stageKey{s, r}
	if b, ok := e.starts[k]; ok {
		return b
	}
	if e.copies[s] >= maxCopies && r != e.bare {
		return e.start(s, e.bare)
	}
	e.copies[s]++
	b := e.block()
	e.starts[k] = b
	if s.ranks != nil {
		r = e.ranked(b, s.ranks, r)
	}
	e.jump(b, e.enter(s, r))
	return b
}

// finishBlock gives the block at which an outcome of a node is carried out.
func (e *emitter) finishBlock(s *stage, o outcome, r *region) int {
	if s.ranks != nil {
		return e.finishRank(s, o, r)
	}
	return e.outcomeBlock(s, o, r)
}

// outcomeBlock gives the block of an outcome of the program.
func (e *emitter) outcomeBlock(s *stage, o outcome, r *region) int {
	switch {
	case s.kids != nil:
		return e.stage(s.kids[o-kidOutcome(0)], 0, r)
	case !o.isLeaf() && int(o.pos()) < len(s.prog.entries):
		return e.stage(s, o.pos(), r)
	case !o.isLeaf():
		return e.outcomeBlock(s, 0, r)
	case !s.prog.audit:
		return e.decideBlock(o)
	}
	k := leafKey{o, r}
	b, ok := e.leaves[k]
	if !ok {
		b = e.block()
		e.leaves[k] = b
		if o != 0 {
			e.report(b, e.instr(b, ir.Instr{Op: ir.Const, X: -1, Y: -1, Imm: int64(o)}), r)
		} else {
			e.jump(b, e.verdict(r))
		}
	}
	return b
}

// report ends a block of the audit with the report of a leaf; the verdict follows.
func (e *emitter) report(b int, leaf ir.Value, r *region) {
	e.blocks[b].Instrs = append(e.blocks[b].Instrs, ir.Instr{Op: ir.Report, Def: -1, X: leaf, Y: -1})
	e.jump(b, e.verdict(r))
}

// verdict is where the verdict starts, behind the audit.
func (e *emitter) verdict(r *region) int {
	if e.after == nil {
		return e.allowBlock()
	}
	return e.stage(e.after, int32(e.after.start), r)
}

// enter writes a stage in a region and gives its first block.
func (e *emitter) enter(s *stage, r *region) int {
	if s.direct {
		return e.enterDirect(s, r)
	}
	return e.write(s, s.nodes, s.root, r)
}

// maxRegions is the number of classifiers of a DAG above which all are run where
// one is needed first: otherwise each set of them has a region.
const maxRegions = 3

// write writes the nodes that are reached from root, and the regions that they lead to.
func (e *emitter) write(s *stage, nodes []node, root int32, r *region) int {
	w := &writer{emitter: e, s: s, nodes: nodes, r: r, memo: map[int32]int{}, wanted: map[int32]int{}}
	missing := e.missing(nodes, root, r)
	w.together = len(missing) > maxRegions
	first := w.node(root)
	for _, v := range slices.Sorted(maps.Keys(w.wanted)) {
		b := w.wanted[v]
		vars := []int32{v}
		if w.together {
			vars = missing
		}
		inner := r
		for _, v := range vars {
			inner = e.classify(b, e.fs.vars[v], inner)
		}
		if s.ranks != nil {
			inner = e.ranked(b, s.ranks, inner)
		}
		reduced := &reducer{nodes: slices.Clone(nodes), fs: e.fs, r: r, goal: v, memo: map[int32]int32{}, same: map[string]int32{}}
		start := reduced.node(root)
		e.jump(b, e.write(s, reduced.nodes, start, inner))
	}
	return first
}

// missing lists the class variables of a DAG that are not at hand, in order.
func (e *emitter) missing(nodes []node, root int32, r *region) []int32 {
	var out []int32
	seen := map[int32]bool{}
	var walk func(int32)
	walk = func(id int32) {
		if id == impossible || seen[id] {
			return
		}
		seen[id] = true
		n := &nodes[id]
		if n.v < 0 {
			return
		}
		if _, ok := r.classes[n.v]; !ok && e.fs.vars[n.v].kind == classVar {
			out = append(out, n.v)
		}
		for _, k := range n.kids {
			walk(k)
		}
	}
	walk(root)
	slices.Sort(out)
	return slices.Compact(out)
}

// classify computes a class in a block and gives the region behind it.
func (e *emitter) classify(b int, v *variable, r *region) *region {
	id := e.mod.classifierOf(e.hook, v)
	inner := r.clone()
	inner.classes[v.order] = e.instr(b, ir.Instr{Op: ir.Class, X: -1, Y: -1, ID: id, Span: v.span})
	return inner
}

func (r *region) clone() *region {
	inner := &region{map[int32]ir.Value{}, map[*ranking]ir.Value{}}
	maps.Copy(inner.classes, r.classes)
	maps.Copy(inner.ranks, r.ranks)
	return inner
}

// reducer cuts a DAG down to the ways from the root to the nodes that test one
// variable: the region behind its classifier can be reached by no other way.
type reducer struct {
	nodes []node
	fs    *formulas
	r     *region
	goal  int32
	memo  map[int32]int32
	same  map[string]int32
}

// anyClass is the goal of reaching any class that is not at hand.
const anyClass = -1

// impossible stands for a node that does not lead to the goal.
const impossible = -1

func (d *reducer) node(id int32) int32 {
	n := d.nodes[id]
	if n.v < 0 {
		return impossible
	}
	if v := d.fs.vars[n.v]; v.kind == classVar {
		if _, ok := d.r.classes[n.v]; !ok {
			if n.v == d.goal || d.goal == anyClass {
				return id
			}
			return impossible
		}
	}
	if m, ok := d.memo[id]; ok {
		return m
	}
	out := node{v: n.v, span: n.span}
	index := map[int32]int32{}
	kids := make([]int32, len(n.kids))
	for i, k := range n.kids {
		m := d.node(k)
		if m == impossible {
			kids[i] = anyCell
			continue
		}
		j, ok := index[m]
		if !ok {
			j = int32(len(out.kids))
			index[m] = j
			out.kids = append(out.kids, m)
		}
		kids[i] = j
	}
	result := int32(impossible)
	switch {
	case len(out.kids) == 1:
		result = out.kids[0]
	case len(out.kids) > 1:
		mapped := func(kid int32) int32 {
			if kid == anyCell {
				return anyCell
			}
			return kids[kid]
		}
		out.def = mapped(n.def)
		for _, c := range n.cells {
			out.cells = append(out.cells, cellKid{c.cell, mapped(c.kid)})
		}
		key := binary.LittleEndian.AppendUint32(nil, uint32(out.v))
		key = binary.LittleEndian.AppendUint32(key, uint32(out.kid(out.def)))
		for _, c := range out.cells {
			key = binary.LittleEndian.AppendUint32(key, uint32(c.cell))
			key = binary.LittleEndian.AppendUint32(key, uint32(out.kid(c.kid)))
		}
		var ok bool
		if result, ok = d.same[string(key)]; !ok {
			d.nodes = append(d.nodes, out)
			result = int32(len(d.nodes) - 1)
			d.same[string(key)] = result
		}
	}
	d.memo[id] = result
	return result
}

// kid is the node of a kid's index, impossible for anyCell.
func (n *node) kid(i int32) int32 {
	if i == anyCell {
		return impossible
	}
	return n.kids[i]
}

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
