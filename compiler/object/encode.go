package object

import (
	"encoding/binary"
	"fmt"
	"math"
)

// appendInsn appends the 8 (64-bit immediate load: 16) bytes of an instruction,
// or reports why the kernel would refuse it. The encoding is ours because the
// library's loses the operation of atomics, wraps offsets and truncates
// immediates without an error.
func appendInsn(b []byte, in *Insn) ([]byte, error) {
	if err := checkInsn(in); err != nil {
		return b, err
	}
	b = append(b, in.Op, in.Dst|in.Src<<4)
	b = binary.LittleEndian.AppendUint16(b, uint16(int16(in.Off)))
	b = binary.LittleEndian.AppendUint32(b, uint32(in.Imm))
	if in.Op == OpLddw {
		b = append(b, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(uint64(in.Imm)>>32))
	}
	return b, nil
}

// checkInsn accepts exactly the instructions of the conformance groups base32,
// base64, atomic32, atomic64, divmul32 and divmul64 with all reserved fields
// zero. Legacy packet loads, callx, arena casts and the like are no part of an
// LSM program.
func checkInsn(in *Insn) error {
	if in.Dst > maxRegister || in.Src > maxRegister {
		return fmt.Errorf("opcode %#02x: register out of range: dst r%d, src r%d", in.Op, in.Dst, in.Src)
	}
	if in.Off < math.MinInt16 || in.Off > math.MaxInt16 {
		return fmt.Errorf("opcode %#02x: offset %d does not fit in 16 bits", in.Op, in.Off)
	}
	if in.Op != OpLddw && (in.Imm < math.MinInt32 || in.Imm > math.MaxInt32) {
		return fmt.Errorf("opcode %#02x: immediate %d does not fit in 32 bits", in.Op, in.Imm)
	}
	switch class(in.Op) {
	case ClassALU, ClassALU64:
		return checkALU(in)
	case ClassJMP, ClassJMP32:
		return checkJump(in)
	case ClassLD:
		if in.Op != OpLddw {
			return unknown(in)
		}
		return reserved(in, in.Off == 0)
	default:
		return checkMemory(in)
	}
}

func checkALU(in *Insn) error {
	wide := class(in.Op) == ClassALU64
	reg := source(in.Op) == SourceX
	switch o := opBits(in.Op); o {
	case OpNeg:
		if reg {
			return unknown(in)
		}
		return reserved(in, in.Src == 0 && in.Off == 0 && in.Imm == 0)
	case OpEnd:
		if wide && reg {
			return unknown(in)
		}
		if in.Imm != 16 && in.Imm != 32 && in.Imm != 64 {
			return fmt.Errorf("opcode %#02x: byte swap of %d bits", in.Op, in.Imm)
		}
		return reserved(in, in.Src == 0 && in.Off == 0)
	case OpMov:
		if !reg {
			return reserved(in, in.Src == 0 && in.Off == 0)
		}
		extend := in.Off == 8 || in.Off == 16 || (in.Off == 32 && wide)
		return reserved(in, in.Imm == 0 && (in.Off == 0 || extend))
	case OpDiv, OpMod:
		if !reg && in.Imm == 0 {
			return fmt.Errorf("opcode %#02x: division by the constant 0", in.Op)
		}
		return reserved(in, (in.Off == 0 || in.Off == 1) && unusedOperand(in, reg))
	case OpLsh, OpRsh, OpArsh:
		bits := int64(32)
		if wide {
			bits = 64
		}
		if !reg && (in.Imm < 0 || in.Imm >= bits) {
			return fmt.Errorf("opcode %#02x: shift by %d bits", in.Op, in.Imm)
		}
		return reserved(in, in.Off == 0 && unusedOperand(in, reg))
	case OpAdd, OpSub, OpMul, OpOr, OpAnd, OpXor:
		return reserved(in, in.Off == 0 && unusedOperand(in, reg))
	default:
		return unknown(in)
	}
}

func checkJump(in *Insn) error {
	short := class(in.Op) == ClassJMP32
	reg := source(in.Op) == SourceX
	switch opBits(in.Op) {
	case OpJa:
		if reg {
			return unknown(in)
		}
		if short {
			return reserved(in, in.Dst == 0 && in.Src == 0 && in.Off == 0)
		}
		return reserved(in, in.Dst == 0 && in.Src == 0 && in.Imm == 0)
	case OpCall:
		if short || reg {
			return unknown(in)
		}
		if in.Src > pseudoCall {
			return reserved(in, false)
		}
		if in.Src == 0 && in.Imm <= 0 {
			return fmt.Errorf("call of helper number %d", in.Imm)
		}
		return reserved(in, in.Dst == 0 && in.Off == 0)
	case OpExit:
		if short || reg {
			return unknown(in)
		}
		return reserved(in, in.Dst == 0 && in.Src == 0 && in.Off == 0 && in.Imm == 0)
	case OpJeq, OpJgt, OpJge, OpJset, OpJne, OpJsgt, OpJsge, OpJlt, OpJle, OpJslt, OpJsle:
		return reserved(in, unusedOperand(in, reg))
	default:
		return unknown(in)
	}
}

func checkMemory(in *Insn) error {
	switch c, m := class(in.Op), mode(in.Op); {
	case c == ClassLDX && (m == ModeMEM || m == ModeMEMSX && size(in.Op) != SizeDW):
		return reserved(in, in.Imm == 0)
	case c == ClassST && m == ModeMEM:
		return reserved(in, in.Src == 0)
	case c == ClassSTX && m == ModeMEM:
		return reserved(in, in.Imm == 0)
	case c == ClassSTX && m == ModeATOMIC && (size(in.Op) == SizeW || size(in.Op) == SizeDW):
		switch in.Imm {
		case AtomicAdd, AtomicOr, AtomicAnd, AtomicXor,
			AtomicFetchAdd, AtomicFetchOr, AtomicFetchAnd, AtomicFetchXor,
			AtomicXchg, AtomicCmpXchg:
			return nil
		}
		return fmt.Errorf("opcode %#02x: unknown atomic operation %#x", in.Op, in.Imm)
	default:
		return unknown(in)
	}
}

// unusedOperand says that the operand which the source bit leaves out is zero.
func unusedOperand(in *Insn, reg bool) bool {
	if reg {
		return in.Imm == 0
	}
	return in.Src == 0
}

func unknown(in *Insn) error {
	return fmt.Errorf("unknown opcode %#02x", in.Op)
}

func reserved(in *Insn, clean bool) error {
	if clean {
		return nil
	}
	return fmt.Errorf("opcode %#02x: a field that it does not use is set: dst r%d, src r%d, off %d, imm %d",
		in.Op, in.Dst, in.Src, in.Off, in.Imm)
}
