package codegen

import (
	"fmt"
	"math"
	"slices"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
)

var conds = map[ir.Cmp]emit.Cond{ir.Eq: emit.JEq, ir.Ne: emit.JNe, ir.Lt: emit.JSLt, ir.Le: emit.JSLe, ir.Gt: emit.JSGt, ir.Ge: emit.JSGe, ir.Set: emit.JSet}

// term ends block number i; a jump to the next block is left out.
func (p *program) term(t *ir.Term, i int) error {
	p.Line(p.line(t.Span))
	switch t.Kind {
	case ir.Jump:
		p.jumpTo(t.To[0], i)
	case ir.Branch:
		c, ok := conds[t.Cmp]
		if !ok {
			return fmt.Errorf("no code for comparison %d", t.Cmp)
		}
		x := p.use(t.X, emit.R0)
		var y operand
		if t.Y >= 0 {
			y.reg, y.isReg = p.use(t.Y, emit.R1), true
		} else {
			y.imm = t.Imm
		}
		p.fork(c, x, y, t.To[0], t.To[1], i)
	case ir.Switch:
		p.cases(p.use(t.X, emit.R0), t.Cases, t.To, i)
	case ir.Decide:
		if t.X < 0 {
			p.decide(t.Imm)
			return nil
		}
		p.Store(emit.W, emit.FP, slotLeaf, p.use(t.X, emit.R2))
		p.sharedTail = true
		p.Goto(p.tail)
	default:
		return fmt.Errorf("no code for terminator %d", t.Kind)
	}
	return nil
}

// jumpTo goes to a block from the end of another. One that only decides is
// repeated instead: it is as short as the jump and what follows it, and a long
// function has fewer far targets.
func (p *program) jumpTo(block, from int) {
	b := p.f.Blocks[block]
	switch {
	case block == from+1:
		p.reached[block] = true
	case len(b.Instrs) == 0 && b.Term.Kind == ir.Decide && b.Term.X < 0:
		p.decide(b.Term.Imm)
	default:
		p.Goto(p.label(block))
	}
}

// label is a block's label, for a jump to it.
func (p *program) label(block int) emit.Label {
	p.reached[block] = true
	return p.blocks[block]
}

// decide ends the program with a leaf.
func (p *program) decide(leaf int64) {
	if leaf == 0 && !p.audits {
		p.Const(emit.R0, 0)
		p.Exit()
		return
	}
	if leaf < 0 || leaf >= int64(len(p.Module.Leaves)) {
		p.Errorf("leaf %d of %d", leaf, len(p.Module.Leaves))
	}
	p.StoreImm(emit.W, emit.FP, slotLeaf, leaf)
	p.sharedTail = true
	p.Goto(p.tail)
}

// operand is the second one of a comparison: a register or a number.
type operand struct {
	reg   emit.Reg
	isReg bool
	imm   int64
}

// compare jumps if x cond y; R1 holds an immediate that is too wide.
func (p *program) compare(c emit.Cond, x emit.Reg, y operand, to emit.Label) {
	switch {
	case y.isReg:
		p.Jump(c, x, y.reg, to)
	case y.imm >= math.MinInt32 && y.imm <= math.MaxInt32:
		p.JumpImm(c, x, y.imm, to)
	default:
		p.Const(emit.R1, y.imm)
		p.Jump(c, x, emit.R1, to)
	}
}

var inverse = map[emit.Cond]emit.Cond{emit.JEq: emit.JNe, emit.JNe: emit.JEq, emit.JSLt: emit.JSGe, emit.JSGe: emit.JSLt, emit.JSGt: emit.JSLe, emit.JSLe: emit.JSGt}

// shallow is a height from which on the order of verification matters.
const shallow = 64

// fork ends block number from: to block yes if x cond y, else to block no.
//
// The verifiers follow the code behind a conditional jump first and put the
// jump's target off; they give up when 8,192 are put off
// (BPF_COMPLEXITY_LIMIT_JMP_SEQ). So the jump leads to where the longer way is: a
// chain of any length then has one target put off at a time.
func (p *program) fork(c emit.Cond, x emit.Reg, y operand, yes, no, from int) {
	yesFirst := p.height[yes] < p.height[no]
	if max(p.height[yes], p.height[no]) < shallow {
		yesFirst = yes == from+1
	}
	if !yesFirst {
		p.compare(c, x, y, p.label(yes))
		p.jumpTo(no, from)
		return
	}
	inv, ok := inverse[c]
	if !ok { // JSet has no opposite
		p.Move(emit.R0, x)
		if !y.isReg {
			p.Const(emit.R1, y.imm)
			y.reg = emit.R1
		}
		p.Op(emit.And, emit.R0, y.reg)
		x, y, inv = emit.R0, operand{}, emit.JEq
	}
	p.compare(inv, x, y, p.label(no))
	p.jumpTo(yes, from)
}

// cases is a balanced tree of comparisons over the intervals.
func (p *program) cases(x emit.Reg, bounds []int64, to []int, from int) {
	switch len(bounds) {
	case 0:
		p.jumpTo(to[0], from)
		return
	case 1:
		p.fork(emit.JSLe, x, operand{imm: bounds[0]}, to[0], to[1], from)
		return
	}
	mid := len(bounds) / 2
	low, high := to[:mid+1], to[mid+1:]
	other := p.NewLabel()
	if p.highest(low) < p.highest(high) {
		p.compare(emit.JSGt, x, operand{imm: bounds[mid]}, other)
		p.cases(x, bounds[:mid], low, -2)
		p.Bind(other)
		p.cases(x, bounds[mid+1:], high, from)
		return
	}
	p.compare(emit.JSLe, x, operand{imm: bounds[mid]}, other)
	p.cases(x, bounds[mid+1:], high, -2)
	p.Bind(other)
	p.cases(x, bounds[:mid], low, from)
}

func (p *program) highest(blocks []int) int {
	h := 0
	for _, b := range blocks {
		h = max(h, p.height[b])
	}
	return h
}

// heights gives for each block how many forks the longest way from it has.
func heights(f *ir.Func) []int {
	h := make([]int, len(f.Blocks))
	for i, b := range slices.Backward(f.Blocks) {
		for _, s := range b.Term.To {
			h[i] = max(h[i], h[s])
		}
		if len(b.Term.To) > 1 {
			h[i]++
		}
	}
	return h
}
