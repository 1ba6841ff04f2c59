package opt

import "github.com/snappy-policy/snappy/compiler/ir"

// fold computes what is constant: arithmetic on constants, lookups at
// constant places, branches whose outcome is known; and it moves constants
// into the instructions that can hold them.
func fold(m *ir.Module, f *ir.Func) {
	def := defs(f)
	constant := func(v ir.Value) (int64, bool) {
		if v >= 0 && def[v].Op == ir.Const {
			return def[v].Imm, true
		}
		return 0, false
	}
	for _, b := range f.Blocks {
		for i := range b.Instrs {
			in := &b.Instrs[i]
			switch in.Op {
			case ir.Const, ir.Field, ir.Class, ir.Report:
				continue
			case ir.Lookup:
				if x, ok := constant(in.X); ok {
					*in = ir.Instr{Op: ir.Const, Def: in.Def, X: -1, Y: -1, Imm: int64(m.Tables[in.ID].Data[x+in.Imm]), Span: in.Span}
				}
				continue
			}
			if y, ok := constant(in.Y); ok && in.Op != ir.Div && in.Op != ir.Mod {
				in.Y, in.Imm = -1, y
			}
			if x, ok := constant(in.X); ok && in.Y < 0 {
				*in = ir.Instr{Op: ir.Const, Def: in.Def, X: -1, Y: -1, Imm: ir.Eval(in.Op, x, in.Imm), Span: in.Span}
			}
		}
		foldTerm(&b.Term, constant)
	}
}

func foldTerm(t *ir.Term, constant func(ir.Value) (int64, bool)) {
	jump := func(to int) { *t = ir.Term{Kind: ir.Jump, X: -1, Y: -1, To: []int{to}, Span: t.Span} }
	switch t.Kind {
	case ir.Branch:
		if y, ok := constant(t.Y); ok {
			t.Y, t.Imm = -1, y
		}
		if x, ok := constant(t.X); ok && t.Y < 0 {
			i := 1
			if t.Cmp.Eval(x, t.Imm) {
				i = 0
			}
			jump(t.To[i])
		}
	case ir.Switch:
		if x, ok := constant(t.X); ok {
			i := 0
			for i < len(t.Cases) && x > t.Cases[i] {
				i++
			}
			jump(t.To[i])
		}
	case ir.Decide:
		if x, ok := constant(t.X); ok {
			t.X, t.Imm = -1, x
		}
	}
}
