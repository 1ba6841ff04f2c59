package lower

import (
	"maps"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/kernel/hook"
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
