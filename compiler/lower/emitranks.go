package lower

import (
	"github.com/snappy-policy/snappy/compiler/ir"
)

// ranked computes the least rank by the tables at the end of a block, if the
// classes that it takes are at hand, and gives the region behind that.
func (e *emitter) ranked(b int, k *ranking, r *region) *region {
	if _, done := r.ranks[k]; done || len(k.vars) == 0 {
		return r
	}
	for _, v := range k.vars {
		if _, ok := r.classes[v.order]; !ok {
			return r
		}
	}
	class := make([]ir.Value, len(k.base))
	for i, v := range k.base {
		class[i] = r.classes[v.order] // if it is needed
	}
	x := ir.Value(-1)
	add := func(y ir.Value) {
		if x >= 0 {
			y = e.least(b, x, y, k.none)
		}
		x = y
	}
	for i, t := range k.one {
		if t != nil {
			add(e.lookup(b, t, class[i]))
		}
	}
	for i, t := range k.unresolved {
		if t != nil {
			other := e.arith(b, ir.Sub, class[1-i], -1, int64(k.base[1-i].known))
			add(e.unless(b, e.lookup(b, t, class[i]), other, k.none))
		}
	}
	if p := k.pairs; p != nil {
		other := e.arith(b, ir.Sub, e.lookup(b, p.group[0], class[0]), e.lookup(b, p.group[1], class[1]), 0)
		at := e.arith(b, ir.Add, e.lookup(b, p.place[0], class[0]), e.lookup(b, p.place[1], class[1]), 0)
		add(e.unless(b, e.lookup(b, p.matrix, at), other, k.none))
	}
	inner := r.clone()
	inner.ranks[k] = x
	return inner
}

func (e *emitter) lookup(b int, table []uint32, x ir.Value) ir.Value {
	return e.instr(b, ir.Instr{Op: ir.Lookup, X: x, Y: -1, ID: e.mod.table(e.hook, numberTableKind, table)})
}

func (e *emitter) arith(b int, op ir.Opcode, x, y ir.Value, imm int64) ir.Value {
	return e.instr(b, ir.Instr{Op: op, X: x, Y: y, Imm: imm})
}

// least computes min(x, y) of two ranks without a branch: y + ((x-y) & (x-y)>>63).
// The mask says nothing new; it lets the checker see the range.
func (e *emitter) least(b int, x, y ir.Value, none uint32) ir.Value {
	d := e.arith(b, ir.Sub, x, y, 0)
	sign := e.arith(b, ir.Shr, d, -1, 63)
	m := e.arith(b, ir.Add, y, e.arith(b, ir.And, d, sign, 0), 0)
	return e.arith(b, ir.And, m, -1, int64(none))
}

// unless computes x, or none if d is not 0: x | ((d | -d)>>63 & none).
func (e *emitter) unless(b int, x, d ir.Value, none uint32) ir.Value {
	minus := e.arith(b, ir.Mul, d, -1, -1)
	sign := e.arith(b, ir.Shr, e.arith(b, ir.Or, d, minus, 0), -1, 63)
	return e.arith(b, ir.Or, x, e.arith(b, ir.And, sign, -1, int64(none)), 0)
}

// finishRank gives the block at which an outcome of a part is carried out: the
// lesser of its rank and that of the tables decides.
func (e *emitter) finishRank(s *stage, o outcome, r *region) int {
	k := s.ranks
	if o == fall && !s.last {
		return e.start(s.next, r)
	}
	key := rankKey{k, o, r}
	if b, ok := e.rankEnds[key]; ok {
		return b
	}
	b := e.block()
	e.rankEnds[key] = b
	switch {
	case !s.needs(o) && o == fall:
		e.jump(b, e.outcomeBlock(s, k.final, r))
	case !s.needs(o):
		e.jump(b, e.outcomeBlock(s, k.outcomes[o], r))
	case o == fall:
		e.tableOutcome(b, s, r.ranks[k], r)
	default:
		e.term(b, ir.Term{Kind: ir.Branch, X: r.ranks[k], Y: -1, Imm: int64(o), Cmp: ir.Lt,
			To: []int{e.tableBlock(s, r), e.outcomeBlock(s, k.outcomes[o], r)}})
	}
	return b
}

// tableBlock is the block at which the tables decide.
func (e *emitter) tableBlock(s *stage, r *region) int {
	key := rankKey{s.ranks, fall, r}
	if b, ok := e.rankEnds[key]; ok {
		return b
	}
	b := e.block()
	e.rankEnds[key] = b
	e.tableOutcome(b, s, r.ranks[s.ranks], r)
	return b
}

type rankKey struct {
	k *ranking
	o outcome
	r *region
}

// tableOutcome ends a block with the outcome of a rank.
func (e *emitter) tableOutcome(b int, s *stage, x ir.Value, r *region) {
	k := s.ranks
	leaf := make([]uint32, k.none+1)
	at := e.block()
	exitWay := way(impossible)
	var runs []run
	for i := range leaf {
		o := k.final
		if i < len(k.outcomes) {
			o = k.outcomes[i]
		}
		to := way(at)
		if o.isLeaf() {
			leaf[i] = uint32(o)
		} else {
			if exitWay == impossible {
				exitWay = way(e.outcomeBlock(s, o, r)) // a run has one exit
			}
			to = exitWay
		}
		runs = addRun(runs, int64(i), to)
	}
	w := &writer{emitter: e, s: s, r: r}
	w.dispatch(b, x, runs, s.prog.entries[s.start].span)
	w.finishValue(at, e.instr(at, ir.Instr{Op: ir.Lookup, X: x, Y: -1, ID: e.mod.table(e.hook, leafTableKind, leaf)}))
}
