package codegen

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/rt"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/source"
)

// The frame of a program, below FP. The numbers of leaves lie where verifiers do
// not follow values (4 bytes that do not begin a word of 8): so they verify the tail
// and the routines that it calls once, not once for each leaf.
const (
	slotBuilt = -8  // 8 bytes: which paths have been built, as rt.Report wants it
	slotLeaf  = -12 // 4 bytes: the verdict
	slotAudit = -20 // 4 bytes: what to report besides, 0 if nothing
	spillBase = -32 // first spilled value; further ones below
)

// program generates one hook's program.
type program struct {
	*generator
	*emit.Builder
	f      *ir.Func
	h      *hook.Hook
	fields map[string]*hook.Field

	at     []place // of each value
	blocks []emit.Label
	height []int // of each block, see heights
	// reached tells which blocks the code so far leads to; verifiers refuse others.
	reached []bool
	length  map[source.Span]int // of the code that a span caused
	memo    map[int]int         // classifier → stack slot of its class, if several blocks ask for it
	tail    emit.Label
	broken  emit.Label
	// sharedTail and brokenUsed tell whether anything jumps there.
	sharedTail, brokenUsed bool
	audits                 bool // the function has reports besides the verdict's
}

// longest is the span that caused most of the code.
func (p *program) longest() source.Span {
	var best source.Span
	for s, n := range p.length {
		b := p.length[best]
		if n > b || n == b && best.File != nil && cmp.Or(strings.Compare(s.File.Name, best.File.Name), s.Start-best.Start, s.End-best.End) < 0 {
			best = s
		}
	}
	return best
}

func (p *program) generate() error {
	if err := p.allocate(); err != nil {
		return err
	}
	p.height, p.length = heights(p.f), map[source.Span]int{}
	p.reached = make([]bool, len(p.f.Blocks))
	p.reached[0] = true
	for range p.f.Blocks {
		p.blocks = append(p.blocks, p.NewLabel())
	}
	p.tail, p.broken = p.NewLabel(), p.NewLabel()
	p.Move(emit.R6, emit.R1)
	p.StoreImm(emit.DW, emit.FP, slotBuilt, 0)
	if p.audits = audits(p.f); p.audits {
		p.StoreImm(emit.W, emit.FP, slotAudit, 0)
	}
	for _, id := range sortedKeys(p.memo) {
		p.StoreImm(emit.DW, emit.FP, p.memo[id], -1)
	}
	for i, b := range p.f.Blocks {
		if !p.reached[i] {
			continue
		}
		p.Bind(p.blocks[i])
		start := p.Len()
		count := func(s source.Span) {
			if !s.IsZero() {
				p.length[s] += p.Len() - start
			}
			start = p.Len()
		}
		for j := range b.Instrs {
			if err := p.instr(&b.Instrs[j]); err != nil {
				return fmt.Errorf("block %d, instruction %d: %w", b.ID, j, err)
			}
			count(b.Instrs[j].Span)
		}
		if err := p.term(&b.Term, i); err != nil {
			return fmt.Errorf("block %d: %w", b.ID, err)
		}
		count(b.Term.Span)
	}
	p.finish()
	return nil
}

func (p *program) instr(in *ir.Instr) error {
	p.Line(p.line(in.Span))
	switch in.Op {
	case ir.Const:
		r := p.target(in.Def)
		p.Const(r, in.Imm)
		p.define(in.Def, r)
	case ir.Field:
		r, err := p.field(in.Name, p.target(in.Def))
		if err != nil {
			return err
		}
		p.define(in.Def, r)
	case ir.Class:
		if err := p.class(in.ID); err != nil {
			return err
		}
		p.define(in.Def, emit.R0)
	case ir.Lookup:
		p.lookup(in)
	case ir.Report:
		// One event has one report at most. The tail makes it.
		p.Store(emit.W, emit.FP, slotAudit, p.use(in.X, emit.R2))
	default:
		return p.arith(in)
	}
	return nil
}

func audits(f *ir.Func) bool {
	return slices.ContainsFunc(f.Blocks, func(b *ir.Block) bool {
		return slices.ContainsFunc(b.Instrs, func(in ir.Instr) bool { return in.Op == ir.Report })
	})
}

var aluOps = map[ir.Opcode]emit.ALU{ir.Add: emit.Add, ir.Sub: emit.Sub, ir.Mul: emit.Mul, ir.And: emit.And, ir.Or: emit.Or,
	ir.Xor: emit.Xor, ir.Shl: emit.Lsh, ir.Shr: emit.Arsh}

func (p *program) arith(in *ir.Instr) error {
	if in.Op == ir.Div || in.Op == ir.Mod {
		return p.divide(in)
	}
	op, ok := aluOps[in.Op]
	if !ok {
		return fmt.Errorf("no code for opcode %d", in.Op)
	}
	x := p.use(in.X, emit.R0)
	p.Move(emit.R0, x)
	shift := in.Op == ir.Shl || in.Op == ir.Shr
	switch {
	case in.Y >= 0:
		y := p.use(in.Y, emit.R1)
		if shift {
			p.Move(emit.R1, y)
			p.OpImm(emit.And, emit.R1, 63)
			y = emit.R1
		}
		p.Op(op, emit.R0, y)
	case shift:
		p.OpImm(op, emit.R0, in.Imm&63)
	case in.Imm >= math.MinInt32 && in.Imm <= math.MaxInt32:
		p.OpImm(op, emit.R0, in.Imm)
	default:
		p.Const(emit.R1, in.Imm)
		p.Op(op, emit.R0, emit.R1)
	}
	p.define(in.Def, emit.R0)
	return nil
}

// divide is signed division by a constant. Kernels before 6.6 only divide
// unsigned, so magnitudes are divided and the sign is put back: of X, and for
// Div also of the divisor. The magnitude of the least integer is itself,
// unsigned, so it divides right.
func (p *program) divide(in *ir.Instr) error {
	if in.Imm == 0 || in.Y >= 0 {
		return fmt.Errorf("division needs a constant other than 0")
	}
	magnitude := uint64(in.Imm)
	if in.Imm < 0 {
		magnitude = -magnitude
	}
	x := p.use(in.X, emit.R0)
	p.Move(emit.R0, x)
	p.Move(emit.R2, emit.R0)
	positive, done := p.NewLabel(), p.NewLabel()
	p.JumpImm(emit.JSGe, emit.R0, 0, positive)
	p.Neg(emit.R0)
	p.Bind(positive)
	op := emit.Div
	if in.Op == ir.Mod {
		op = emit.Mod
	}
	if magnitude <= math.MaxInt32 {
		p.OpImm(op, emit.R0, int64(magnitude))
	} else {
		p.Const(emit.R1, int64(magnitude))
		p.Op(op, emit.R0, emit.R1)
	}
	negate := emit.JSLt
	if in.Op == ir.Div && in.Imm < 0 {
		negate = emit.JSGe
	}
	flip := p.NewLabel()
	p.JumpImm(negate, emit.R2, 0, flip)
	p.Goto(done)
	p.Bind(flip)
	p.Neg(emit.R0)
	p.Bind(done)
	p.define(in.Def, emit.R0)
	return nil
}

// lookup reads a decision. The index is compared again: the verifier asks for
// it, and a wrong one must deny.
func (p *program) lookup(in *ir.Instr) {
	n := len(p.Module.Tables[in.ID].Data)
	x := p.use(in.X, emit.R1)
	p.Move(emit.R1, x)
	if in.Imm != 0 {
		p.OpImm(emit.Add, emit.R1, in.Imm)
	}
	p.brokenUsed = true
	p.JumpImm(emit.JGe, emit.R1, int64(n), p.broken)
	p.OpImm(emit.Lsh, emit.R1, 2)
	p.TableAddr(emit.R2, TableDecisions, uint32(p.base[in.ID]*4))
	p.Op(emit.Add, emit.R2, emit.R1)
	r := p.target(in.Def)
	p.Load(emit.W, r, emit.R2, 0)
	p.define(in.Def, r)
}

// class calls a classifier's routine, once per run.
func (p *program) class(id int) error {
	c := p.Module.Classifiers[id]
	fs, err := rt.Class(p.h, c, p.generator.class[id])
	if err != nil {
		return err
	}
	p.add(fs...)
	done := p.NewLabel()
	slot, memo := p.memo[id]
	if memo {
		p.Load(emit.DW, emit.R0, emit.FP, slot)
		p.JumpImm(emit.JNe, emit.R0, -1, done)
	}
	p.Move(emit.R1, emit.R6)
	p.CallFunc(rt.ClassFunc(p.h, c, p.generator.class[id]))
	if memo {
		p.Store(emit.DW, emit.FP, slot, emit.R0)
	}
	if bit := rt.Built(p.h, c.Field); bit != 0 {
		p.Load(emit.DW, emit.R1, emit.FP, slotBuilt)
		p.OpImm(emit.Or, emit.R1, int64(bit))
		p.Store(emit.DW, emit.FP, slotBuilt, emit.R1)
	}
	p.Bind(done)
	return nil
}

// field loads a scalar field, into r if it can, and tells into what.
func (p *program) field(name string, r emit.Reg) (emit.Reg, error) {
	f := p.fields[name]
	if f == nil {
		return 0, fmt.Errorf("hook %s has no field %q", p.h.Name, name)
	}
	switch read := f.Read.(type) {
	case hook.Scalar:
		rt.LoadScalar(p.Builder, r, emit.R6, read)
		return r, nil
	case hook.Computed:
		fs, err := rt.Computed(p.h, read.Name)
		if err != nil {
			return 0, err
		}
		p.add(fs...)
		p.Move(emit.R1, emit.R6)
		p.CallFunc(rt.ComputedFunc(p.h, read.Name))
		return emit.R0, nil
	}
	return 0, fmt.Errorf("field %q is no integer", name)
}

// callReport reports leaf R2. R6 to R9 survive.
func (p *program) callReport() {
	p.Load(emit.DW, emit.R3, emit.FP, slotBuilt)
	p.Move(emit.R1, emit.R6)
	p.CallFunc(rt.ReportFunc(p.h))
}

// finish writes the common tail: the verdict is in slotLeaf.
func (p *program) finish() {
	p.Line(p.firstLine())
	if p.sharedTail {
		p.brokenUsed = true
		p.Bind(p.tail)
		if p.audits {
			none := p.NewLabel()
			p.Load(emit.W, emit.R2, emit.FP, slotAudit)
			p.JumpImm(emit.JEq, emit.R2, 0, none)
			p.callReport()
			p.Bind(none)
		}
		allow, noKill := p.NewLabel(), p.NewLabel()
		p.Load(emit.W, emit.R2, emit.FP, slotLeaf)
		p.JumpImm(emit.JEq, emit.R2, 0, allow)
		p.JumpImm(emit.JGe, emit.R2, int64(len(p.Module.Leaves)), p.broken)
		p.Move(emit.R7, emit.R2)
		p.callReport()
		p.OpImm(emit.Lsh, emit.R7, 4) // abi.LeafSize
		p.TableAddr(emit.R8, abi.TableLeaves, 0)
		p.Op(emit.Add, emit.R8, emit.R7)
		p.Load(emit.B, emit.R1, emit.R8, abi.LeafVerdict)
		p.JumpImm(emit.JEq, emit.R1, abi.VerdictAllow, allow)
		p.JumpImm(emit.JNe, emit.R1, abi.VerdictKill, noKill)
		p.Const(emit.R1, sigkill)
		p.Call(helperSendSignal)
		p.Bind(noKill)
		p.Load(emit.H, emit.R1, emit.R8, abi.LeafErrno)
		p.OpImm(emit.And, emit.R1, 4095)
		p.JumpImm(emit.JEq, emit.R1, 0, p.broken)
		p.Const(emit.R0, 0)
		p.Op(emit.Sub, emit.R0, emit.R1)
		p.Exit()
		p.Bind(allow)
		p.Const(emit.R0, 0)
		p.Exit()
	}
	if p.brokenUsed {
		p.Bind(p.broken)
		p.Const(emit.R0, -1) // -EPERM: an index out of range is a fault of the compiler; deny
		p.Exit()
	}
}
