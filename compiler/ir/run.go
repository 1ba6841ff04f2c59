package ir

import "fmt"

// Event gives the interpreter the values of one event.
type Event interface {
	// Int is the value of a scalar field.
	Int(field string) int64
	// Class is the class of the event's value by a classifier: 0 … c.Classes.
	Class(c *Classifier) int
}

// Run interprets the function of a hook: the meaning of the representation,
// against which passes and code are tested. It gives the indexes of the leaf
// that was reported as audit (0: none) and of the verdict. A hook without a
// function allows. It panics where Check would have complained.
func Run(m *Module, hook string, ev Event) (audit, verdict int) {
	for _, f := range m.Funcs {
		if f.Hook == hook {
			return runFunc(m, f, ev)
		}
	}
	return 0, 0
}

func runFunc(m *Module, f *Func, ev Event) (audit, verdict int) {
	vals := make([]int64, f.NumValues)
	operand := func(v Value, imm int64) int64 {
		if v >= 0 {
			return vals[v]
		}
		return imm
	}
	b := f.Blocks[0]
	for {
		for _, in := range b.Instrs {
			switch in.Op {
			case Const:
				vals[in.Def] = in.Imm
			case Field:
				vals[in.Def] = ev.Int(in.Name)
			case Class:
				c := m.Classifiers[in.ID]
				n := ev.Class(c)
				if n < 0 || n > c.Classes {
					panic(fmt.Sprintf("ir: class %d of classifier %s", n, c.Name))
				}
				vals[in.Def] = int64(n)
			case Lookup:
				vals[in.Def] = int64(m.Tables[in.ID].Data[vals[in.X]+in.Imm])
			case Report:
				if vals[in.X] != 0 {
					if audit != 0 {
						panic("ir: two reports for one event")
					}
					audit = int(vals[in.X])
				}
			default:
				vals[in.Def] = Eval(in.Op, vals[in.X], operand(in.Y, in.Imm))
			}
		}
		t := b.Term
		switch t.Kind {
		case Jump:
			b = f.Blocks[t.To[0]]
		case Branch:
			i := 1
			if t.Cmp.Eval(vals[t.X], operand(t.Y, t.Imm)) {
				i = 0
			}
			b = f.Blocks[t.To[i]]
		case Switch:
			i := 0
			for i < len(t.Cases) && vals[t.X] > t.Cases[i] {
				i++
			}
			b = f.Blocks[t.To[i]]
		case Decide:
			return audit, int(operand(t.X, t.Imm))
		default:
			panic("ir: invalid terminator")
		}
	}
}

// Eval computes an arithmetic opcode as machine code does: wrapping, shift
// counts modulo 64. Division by 0 gives 0 and its remainder x, as on the
// kernel's machine; Check refuses it.
func Eval(op Opcode, x, y int64) int64 {
	switch op {
	case Add:
		return x + y
	case Sub:
		return x - y
	case Mul:
		return x * y
	case Div:
		if y == 0 {
			return 0
		}
		return x / y
	case Mod:
		if y == 0 {
			return x
		}
		return x % y
	case And:
		return x & y
	case Or:
		return x | y
	case Xor:
		return x ^ y
	case Shl:
		return x << (uint64(y) & 63)
	case Shr:
		return x >> (uint64(y) & 63)
	}
	panic(fmt.Sprintf("ir: %v is not arithmetic", op))
}

// Eval compares as a Branch does.
func (c Cmp) Eval(x, y int64) bool {
	switch c {
	case Eq:
		return x == y
	case Ne:
		return x != y
	case Lt:
		return x < y
	case Le:
		return x <= y
	case Gt:
		return x > y
	case Ge:
		return x >= y
	case Set:
		return x&y != 0
	}
	panic("ir: invalid comparison")
}
