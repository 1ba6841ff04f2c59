package lower

import (
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/lang/source"
)

// enterDirect writes a stage of one entry operator by operator: all classes
// that the condition needs first, then one test per literal. The size is
// linear in the condition, which is what a DAG could not promise.
func (e *emitter) enterDirect(s *stage, r *region) int {
	b := e.block()
	classes := e.classesOf(s.entry.f)
	if s.needs(s.entry.out) || s.needs(fall) {
		for _, v := range s.ranks.vars {
			classes = append(classes, v.order)
		}
	}
	for _, v := range classes {
		if _, ok := r.classes[v]; !ok {
			r = e.classify(b, e.fs.vars[v], r)
		}
	}
	r = e.ranked(b, s.ranks, r)
	d := &directWriter{e, s, r, s.prog.entries[s.entry.pos].span, map[directKey]int{}}
	e.jump(b, d.test(s.entry.f, e.finishBlock(s, s.entry.out, r), e.finishBlock(s, fall, r)))
	return b
}

// classesOf lists the class variables of a formula in order.
func (e *emitter) classesOf(f formula) []int32 {
	var out []int32
	seen := map[formula]bool{}
	var walk func(formula)
	walk = func(f formula) {
		if seen[f] {
			return
		}
		seen[f] = true
		n := e.fs.at(f)
		if n.op == litOp && e.fs.vars[n.lit.v].kind == classVar {
			out = append(out, n.lit.v)
		}
		for _, k := range n.kids {
			walk(k)
		}
	}
	walk(f)
	slices.Sort(out)
	return slices.Compact(out)
}

type directWriter struct {
	*emitter
	s    *stage
	r    *region
	span source.Span
	memo map[directKey]int
}

type directKey struct {
	f         formula
	hit, miss int
}

// test gives the block that goes to hit if the formula holds, else to miss.
func (d *directWriter) test(f formula, hit, miss int) int {
	switch f {
	case isTrue:
		return hit
	case isFalse:
		return miss
	}
	k := directKey{f, hit, miss}
	if b, ok := d.memo[k]; ok {
		return b
	}
	n := d.fs.at(f)
	var b int
	switch n.op {
	case litOp:
		b = d.literal(n.lit, hit, miss)
	case andOp:
		b = hit
		for _, kid := range slices.Backward(n.kids) {
			b = d.test(kid, b, miss)
		}
	case orOp:
		b = miss
		for _, kid := range slices.Backward(n.kids) {
			b = d.test(kid, hit, b)
		}
	}
	d.memo[k] = b
	return b
}

// literal writes the test of one variable as a node with two leaves would be.
func (d *directWriter) literal(l literal, hit, miss int) int {
	v := d.fs.vars[l.v]
	w := &writer{emitter: d.emitter, s: d.s, r: d.r, memo: map[int32]int{0: miss, 1: hit}}
	w.nodes = []node{{v: -1}, {v: -1}} // both are in memo
	n := node{v: l.v, kids: []int32{0, 1}, span: d.span}
	value := func(holds bool) int32 {
		if holds != l.neg {
			return 1
		}
		return 0
	}
	n.def = value(false)
	for _, c := range v.holders[l.atom] {
		n.cells = append(n.cells, cellKid{c, value(true)})
	}
	if v.unresolvable {
		k := int32(0)
		if l.unres {
			k = 1
		}
		n.cells = append(n.cells, cellKid{int32(v.known), k})
	}
	w.nodes = append(w.nodes, n)
	return w.node(2)
}

// arrange orders a function's blocks so that edges lead forward, drops those
// that cannot be reached, and renumbers blocks and values.
func arrange(f *ir.Func) {
	state := make([]bool, len(f.Blocks))
	var post []int
	type frame struct{ block, next int }
	stack := []frame{{0, 0}}
	state[0] = true
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		to := f.Blocks[top.block].Term.To
		if top.next == len(to) {
			post = append(post, top.block)
			stack = stack[:len(stack)-1]
			continue
		}
		// The last successor first, so that the first comes first in the result.
		s := to[len(to)-1-top.next]
		top.next++
		if !state[s] {
			state[s] = true
			stack = append(stack, frame{s, 0})
		}
	}
	slices.Reverse(post)
	place := make([]int, len(f.Blocks))
	blocks := make([]*ir.Block, len(post))
	for i, old := range post {
		place[old] = i
		blocks[i] = f.Blocks[old]
		blocks[i].ID = i
	}
	number := make([]ir.Value, f.NumValues)
	count := ir.Value(0)
	for _, b := range blocks {
		for _, in := range b.Instrs {
			if in.Def >= 0 {
				number[in.Def] = count
				count++
			}
		}
	}
	renumber := func(v *ir.Value) {
		if *v >= 0 {
			*v = number[*v]
		}
	}
	for _, b := range blocks {
		for i := range b.Instrs {
			renumber(&b.Instrs[i].Def)
			renumber(&b.Instrs[i].X)
			renumber(&b.Instrs[i].Y)
		}
		renumber(&b.Term.X)
		renumber(&b.Term.Y)
		for i, s := range b.Term.To {
			b.Term.To[i] = place[s]
		}
	}
	f.Blocks, f.NumValues = blocks, int(count)
}
