// Package emit assembles functions for policy objects. It is the only place
// that turns labels into jump offsets, and it range-checks every jump,
// immediate, memory offset and stack access: nothing is truncated in silence.
//
// Input: calls on a Builder, an instruction each. Output: an object.Func.
// The code generator and the runtime routines (compiler/rt) both write through
// it, so that what the verifiers insist on is known in one place.
package emit

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/compiler/object"
)

// Reg is a register of the eBPF machine.
type Reg uint8

// The registers. R0 returns, R1 to R5 pass arguments and are clobbered by
// calls, R6 to R9 survive calls, FP is the read-only frame pointer.
const (
	R0 Reg = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	FP
)

// Size is the width of a memory access.
type Size uint8

// The sizes: 1, 2, 4 and 8 bytes.
const (
	B  Size = object.SizeB
	H  Size = object.SizeH
	W  Size = object.SizeW
	DW Size = object.SizeDW
)

// SizeOf gives the Size of n bytes; ok is false if there is none.
func SizeOf(n int) (s Size, ok bool) {
	switch n {
	case 1:
		return B, true
	case 2:
		return H, true
	case 4:
		return W, true
	case 8:
		return DW, true
	}
	return 0, false
}

// ALU is an arithmetic operation.
type ALU uint8

// The arithmetic operations. Div and Mod are unsigned.
const (
	Add  ALU = object.OpAdd
	Sub  ALU = object.OpSub
	Mul  ALU = object.OpMul
	Div  ALU = object.OpDiv
	Or   ALU = object.OpOr
	And  ALU = object.OpAnd
	Lsh  ALU = object.OpLsh
	Rsh  ALU = object.OpRsh
	Mod  ALU = object.OpMod
	Xor  ALU = object.OpXor
	Mov  ALU = object.OpMov
	Arsh ALU = object.OpArsh
)

// Cond is the condition of a jump.
type Cond uint8

// The conditions; those with an S compare signed.
const (
	JEq  Cond = object.OpJeq
	JNe  Cond = object.OpJne
	JGt  Cond = object.OpJgt
	JGe  Cond = object.OpJge
	JLt  Cond = object.OpJlt
	JLe  Cond = object.OpJle
	JSet Cond = object.OpJset
	JSGt Cond = object.OpJsgt
	JSGe Cond = object.OpJsge
	JSLt Cond = object.OpJslt
	JSLe Cond = object.OpJsle
)

// StackSize is the room below FP, in bytes (MAX_BPF_STACK, include/linux/filter.h).
const StackSize = 512

// Label is a place in the code. Make it with NewLabel, place it with Bind.
type Label int

// Field names a kernel field for CO-RE: its offset in Struct is filled in when
// the object is loaded. Path never crosses a pointer.
func Field(structName string, path ...string) *object.CoreField {
	return &object.CoreField{Kind: object.FieldOffset, Struct: structName, Path: path}
}

// Builder assembles one function. Errors are collected and returned by Build.
type Builder struct {
	name   string
	params []btf.FuncParam
	ret    btf.Type
	code   []object.Insn
	refs   []Label // refs[i]: target of code[i], or -1
	labels []int   // instruction index of each label, -1 while unbound
	line   object.Line
	fresh  bool // the line has not been attached yet
	errs   []error
}

// New starts a function. line is the source line of its first instructions.
func New(name string, params []btf.FuncParam, ret btf.Type, line object.Line) *Builder {
	return &Builder{name: name, params: params, ret: ret, line: line, fresh: true}
}

// Line sets the source line of the instructions that follow.
func (b *Builder) Line(l object.Line) {
	if l.Line != 0 && l != b.line {
		b.line, b.fresh = l, true
	}
}

// Len is the number of instructions so far.
func (b *Builder) Len() int { return len(b.code) }

// Errorf records an error that Build will return.
func (b *Builder) Errorf(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf("function %s: instruction %d: "+format, append([]any{b.name, len(b.code)}, args...)...))
}

func (b *Builder) put(in object.Insn, target Label) {
	if in.Dst > uint8(FP) || in.Src > uint8(FP) {
		b.Errorf("register out of range")
		return
	}
	if b.fresh {
		in.Line, b.fresh = b.line, false
	}
	b.code = append(b.code, in)
	b.refs = append(b.refs, target)
}

func (b *Builder) imm32(v int64) int64 {
	if v < math.MinInt32 || v > math.MaxInt32 {
		b.Errorf("immediate %d does not fit in 32 bits", v)
	}
	return v
}

// checkMem refuses stack accesses outside the frame and unaligned ones, and
// offsets beyond 16 bits.
func (b *Builder) checkMem(base Reg, off int, s Size) {
	n := map[Size]int{B: 1, H: 2, W: 4, DW: 8}[s]
	if off < math.MinInt16 || off > math.MaxInt16 {
		b.Errorf("memory offset %d does not fit in 16 bits", off)
	}
	if base == FP && (off < -StackSize || off+n > 0 || off%n != 0) {
		b.Errorf("stack access of %d bytes at %d", n, off)
	}
}

// Op is dst = dst op src, 64 bit.
func (b *Builder) Op(op ALU, dst, src Reg) {
	b.put(object.Insn{Op: object.ClassALU64 | object.SourceX | uint8(op), Dst: uint8(dst), Src: uint8(src)}, -1)
}

// OpImm is dst = dst op imm, 64 bit; imm is sign-extended from 32 bits.
func (b *Builder) OpImm(op ALU, dst Reg, imm int64) {
	if (op == Div || op == Mod) && imm == 0 {
		b.Errorf("division by the constant zero")
	}
	if (op == Lsh || op == Rsh || op == Arsh) && (imm < 0 || imm > 63) {
		b.Errorf("shift by %d", imm)
	}
	b.put(object.Insn{Op: object.ClassALU64 | object.SourceK | uint8(op), Dst: uint8(dst), Imm: b.imm32(imm)}, -1)
}

// Op32 is dst = uint32(dst) op uint32(src), upper half zero.
func (b *Builder) Op32(op ALU, dst, src Reg) {
	b.put(object.Insn{Op: object.ClassALU | object.SourceX | uint8(op), Dst: uint8(dst), Src: uint8(src)}, -1)
}

// Neg is dst = -dst, 64 bit.
func (b *Builder) Neg(dst Reg) {
	b.put(object.Insn{Op: object.ClassALU64 | object.OpNeg, Dst: uint8(dst)}, -1)
}

// SwapBE converts the low bits (16, 32 or 64) of dst from big endian, upper bits zero.
func (b *Builder) SwapBE(dst Reg, bits int64) {
	if bits != 16 && bits != 32 && bits != 64 {
		b.Errorf("byte swap of %d bits", bits)
	}
	b.put(object.Insn{Op: object.ClassALU | object.SourceX | object.OpEnd, Dst: uint8(dst), Imm: bits}, -1)
}

// Move is dst = src.
func (b *Builder) Move(dst, src Reg) {
	if dst != src {
		b.Op(Mov, dst, src)
	}
}

// Const is dst = v, by the shortest instruction.
func (b *Builder) Const(dst Reg, v int64) {
	switch {
	case v >= math.MinInt32 && v <= math.MaxInt32:
		b.OpImm(Mov, dst, v)
	default:
		b.put(object.Insn{Op: object.OpLddw, Dst: uint8(dst), Imm: v}, -1)
	}
}

// Load is dst = *(size*)(src+off), zero-extended.
func (b *Builder) Load(s Size, dst, src Reg, off int) {
	b.checkMem(src, off, s)
	b.put(object.Insn{Op: object.ClassLDX | object.ModeMEM | uint8(s), Dst: uint8(dst), Src: uint8(src), Off: int32(off)}, -1)
}

// LoadField is dst = *(size*)(src+offset of the kernel field).
func (b *Builder) LoadField(s Size, dst, src Reg, f *object.CoreField) {
	b.put(object.Insn{Op: object.ClassLDX | object.ModeMEM | uint8(s), Dst: uint8(dst), Src: uint8(src), Core: f}, -1)
}

// AddField is dst += offset of the kernel field (or another CO-RE fact).
func (b *Builder) AddField(dst Reg, f *object.CoreField) {
	b.put(object.Insn{Op: object.ClassALU64 | object.SourceK | object.OpAdd, Dst: uint8(dst), Core: f}, -1)
}

// ConstField is dst = the CO-RE fact f.
func (b *Builder) ConstField(dst Reg, f *object.CoreField) {
	b.put(object.Insn{Op: object.ClassALU64 | object.SourceK | object.OpMov, Dst: uint8(dst), Core: f}, -1)
}

// Store is *(size*)(dst+off) = src.
func (b *Builder) Store(s Size, dst Reg, off int, src Reg) {
	b.checkMem(dst, off, s)
	b.put(object.Insn{Op: object.ClassSTX | object.ModeMEM | uint8(s), Dst: uint8(dst), Src: uint8(src), Off: int32(off)}, -1)
}

// StoreImm is *(size*)(dst+off) = imm, sign-extended from 32 bits for DW.
func (b *Builder) StoreImm(s Size, dst Reg, off int, imm int64) {
	b.checkMem(dst, off, s)
	b.put(object.Insn{Op: object.ClassST | object.ModeMEM | uint8(s), Dst: uint8(dst), Off: int32(off), Imm: b.imm32(imm)}, -1)
}

// Atomic is an atomic operation (object.AtomicX) on *(size*)(dst+off); size is W or DW.
func (b *Builder) Atomic(op int64, s Size, dst Reg, off int, src Reg) {
	if s != W && s != DW {
		b.Errorf("atomic of another size than 4 or 8")
	}
	b.checkMem(dst, off, s)
	b.put(object.Insn{Op: object.ClassSTX | object.ModeATOMIC | uint8(s), Dst: uint8(dst), Src: uint8(src), Off: int32(off), Imm: op}, -1)
}

// NewLabel makes a label, not yet placed.
func (b *Builder) NewLabel() Label {
	b.labels = append(b.labels, -1)
	return Label(len(b.labels) - 1)
}

// Bind places a label before the next instruction.
func (b *Builder) Bind(l Label) {
	if b.labels[l] >= 0 {
		b.Errorf("label %d is bound twice", l)
	}
	b.labels[l] = len(b.code)
}

// Used tells whether an instruction so far jumps to l. Verifiers refuse code
// that nothing reaches.
func (b *Builder) Used(l Label) bool { return slices.Contains(b.refs, l) }

// Jump goes to l if dst cond src, 64 bit.
func (b *Builder) Jump(c Cond, dst, src Reg, l Label) {
	b.put(object.Insn{Op: object.ClassJMP | object.SourceX | uint8(c), Dst: uint8(dst), Src: uint8(src)}, l)
}

// JumpImm goes to l if dst cond imm, 64 bit; imm is sign-extended from 32 bits.
func (b *Builder) JumpImm(c Cond, dst Reg, imm int64, l Label) {
	b.put(object.Insn{Op: object.ClassJMP | object.SourceK | uint8(c), Dst: uint8(dst), Imm: b.imm32(imm)}, l)
}

// Jump32Imm compares the low 32 bits.
func (b *Builder) Jump32Imm(c Cond, dst Reg, imm int32, l Label) {
	b.put(object.Insn{Op: object.ClassJMP32 | object.SourceK | uint8(c), Dst: uint8(dst), Imm: int64(imm)}, l)
}

// Goto goes to l.
func (b *Builder) Goto(l Label) {
	b.put(object.Insn{Op: object.ClassJMP | object.OpJa}, l)
}

// Call calls the helper with this number (include/uapi/linux/bpf.h). R1 to R5
// are lost, the result is in R0.
func (b *Builder) Call(helper int64) {
	b.put(object.Insn{Op: object.ClassJMP | object.OpCall, Imm: b.imm32(helper)}, -1)
}

// CallFunc calls a subprogram of the object.
func (b *Builder) CallFunc(name string) {
	b.put(object.Insn{Op: object.ClassJMP | object.OpCall, Ref: object.Ref{Kind: object.RefFunc, Name: name}}, -1)
}

// FuncAddr is dst = the address of a static subprogram, a helper's callback.
func (b *Builder) FuncAddr(dst Reg, name string) {
	b.put(object.Insn{Op: object.OpLddw, Dst: uint8(dst), Ref: object.Ref{Kind: object.RefFunc, Name: name}}, -1)
}

// MapAddr is dst = a map, for helpers.
func (b *Builder) MapAddr(dst Reg, name string) {
	b.put(object.Insn{Op: object.OpLddw, Dst: uint8(dst), Ref: object.Ref{Kind: object.RefMap, Name: name}}, -1)
}

// TableAddr is dst = the address of byte off of a read-only table.
func (b *Builder) TableAddr(dst Reg, name string, off uint32) {
	b.put(object.Insn{Op: object.OpLddw, Dst: uint8(dst), Ref: object.Ref{Kind: object.RefTable, Name: name, Offset: off}}, -1)
}

// Exit returns R0.
func (b *Builder) Exit() {
	b.put(object.Insn{Op: object.ClassJMP | object.OpExit}, -1)
}

// Build resolves the jumps and returns the function. The Builder is used up.
// Jumps beyond the 16 bits of their offset go by way of others (islands.go);
// ErrJumpRange tells that the function is too long even so.
func (b *Builder) Build() (object.Func, error) {
	for i, l := range b.refs {
		if l >= 0 && (b.labels[l] < 0 || b.labels[l] >= len(b.code)) {
			b.errs = append(b.errs, fmt.Errorf("function %s: instruction %d jumps to label %d, which is not placed before an instruction", b.name, i, l))
		}
	}
	if len(b.errs) > 0 {
		return object.Func{}, errors.Join(b.errs[:min(len(b.errs), 10)]...)
	}
	l := b.newLayout()
	l.settle()
	code, bad := l.place()
	if bad > 0 {
		return object.Func{}, fmt.Errorf("function %s: %d jumps: %w", b.name, bad, ErrJumpRange)
	}
	return object.Func{Name: b.name, Linkage: btf.StaticFunc, Params: b.params, Return: b.ret, Code: code}, nil
}

// ErrJumpRange is a jump that cannot be made with offsets of 16 bits, because
// too many different ones pass the same place.
var ErrJumpRange = errors.New("jump out of range")
