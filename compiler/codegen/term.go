package codegen

import (
	"fmt"
	"math"

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
		if t.Y >= 0 {
			p.Jump(c, x, p.use(t.Y, emit.R1), p.blocks[t.To[0]])
		} else {
			p.compare(c, x, t.Imm, p.blocks[t.To[0]])
		}
		p.jumpTo(t.To[1], i)
	case ir.Switch:
		p.cases(p.use(t.X, emit.R0), t.Cases, t.To, i)
	case ir.Decide:
		if t.X < 0 && t.Imm == 0 {
			p.Const(emit.R0, 0)
			p.Exit()
			return nil
		}
		if t.X >= 0 {
			p.Move(emit.R2, p.use(t.X, emit.R2))
		} else {
			if t.Imm < 0 || t.Imm >= int64(len(p.Module.Leaves)) {
				return fmt.Errorf("leaf %d of %d", t.Imm, len(p.Module.Leaves))
			}
			p.Const(emit.R2, t.Imm)
		}
		p.sharedTail = true
		p.Goto(p.tail)
	default:
		return fmt.Errorf("no code for terminator %d", t.Kind)
	}
	return nil
}

func (p *program) jumpTo(block, from int) {
	if block != from+1 {
		p.Goto(p.blocks[block])
	}
}

// compare jumps if x cond imm; R1 holds an immediate that is too wide.
func (p *program) compare(c emit.Cond, x emit.Reg, imm int64, to emit.Label) {
	if imm >= math.MinInt32 && imm <= math.MaxInt32 {
		p.JumpImm(c, x, imm, to)
		return
	}
	p.Const(emit.R1, imm)
	p.Jump(c, x, emit.R1, to)
}

// cases is a balanced tree of comparisons over the intervals.
func (p *program) cases(x emit.Reg, bounds []int64, to []int, from int) {
	if len(bounds) == 0 {
		p.jumpTo(to[0], from)
		return
	}
	if len(bounds) == 1 {
		p.compare(emit.JSLe, x, bounds[0], p.blocks[to[0]])
		p.jumpTo(to[1], from)
		return
	}
	mid := len(bounds) / 2
	low := p.NewLabel()
	p.compare(emit.JSLe, x, bounds[mid], low)
	p.cases(x, bounds[mid+1:], to[mid+1:], -2)
	p.Bind(low)
	p.cases(x, bounds[:mid], to[:mid+1], from)
}
