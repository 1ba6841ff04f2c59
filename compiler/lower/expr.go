package lower

import (
	"fmt"
	"math"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// expr is an integer-valued expression over scalar fields.
type expr struct {
	field *target.Field // or nil
	op    ir.Opcode     // Const, or arithmetic on x and y
	imm   int64         // of Const
	x, y  *expr
	key   string
	cost  hook.Cost
}

func fieldExpr(f *target.Field) *expr {
	return &expr{field: f, key: f.Name, cost: f.Cost}
}

func constExpr(n int64) *expr {
	return &expr{op: ir.Const, imm: n, key: fmt.Sprint(n)}
}

// arithExpr builds x op y, folding constants and moving the constant of a
// commutative operation to the right.
func arithExpr(op ir.Opcode, x, y *expr) *expr {
	if x.isConst() && y.isConst() {
		return constExpr(ir.Eval(op, x.imm, y.imm))
	}
	commutes := op == ir.Add || op == ir.Mul || op == ir.And || op == ir.Or || op == ir.Xor
	if commutes && (x.isConst() || !y.isConst() && x.key > y.key) {
		x, y = y, x
	}
	return &expr{op: op, x: x, y: y, key: fmt.Sprintf("(%s %v %s)", x.key, op, y.key), cost: max(x.cost, y.cost)}
}

func (e *expr) isConst() bool { return e.field == nil && e.op == ir.Const }

// mask is the constant of a bitwise and; ok is false for any other expression.
func (e *expr) mask() (m int64, ok bool) {
	if e.field == nil && e.op == ir.And && e.y.isConst() {
		return e.y.imm, true
	}
	return 0, false
}

func (e *expr) firstField() int {
	switch {
	case e.field != nil:
		return e.field.Index
	case e.op == ir.Const:
		return math.MaxInt
	}
	return min(e.x.firstField(), e.y.firstField())
}
