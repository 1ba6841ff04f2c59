//go:build !kernel

package object

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"
)

// encodings pairs instructions with their bytes, worked out from the tables of
// the kernel's instruction set document, and with the name that an independent
// disassembler gives them.
var encodings = []struct {
	name string
	in   Insn
	hex  string
}{
	// 64-bit arithmetic
	{"AddImm dst: r1 imm: -2", Insn{Op: ClassALU64 | OpAdd, Dst: 1, Imm: -2}, "07 01 0000 feffffff"},
	{"AddReg dst: r1 src: r2", Insn{Op: ClassALU64 | OpAdd | SourceX, Dst: 1, Src: 2}, "0f 21 0000 00000000"},
	{"SubImm dst: r3 imm: 5", Insn{Op: ClassALU64 | OpSub, Dst: 3, Imm: 5}, "17 03 0000 05000000"},
	{"MulReg dst: r3 src: r9", Insn{Op: ClassALU64 | OpMul | SourceX, Dst: 3, Src: 9}, "2f 93 0000 00000000"},
	{"DivImm dst: r3 imm: 7", Insn{Op: ClassALU64 | OpDiv, Dst: 3, Imm: 7}, "37 03 0000 07000000"},
	{"SDivImm dst: r3 imm: 7", Insn{Op: ClassALU64 | OpDiv, Dst: 3, Off: 1, Imm: 7}, "37 03 0100 07000000"},
	{"OrReg dst: r3 src: r4", Insn{Op: ClassALU64 | OpOr | SourceX, Dst: 3, Src: 4}, "4f 43 0000 00000000"},
	{"AndImm dst: r3 imm: 255", Insn{Op: ClassALU64 | OpAnd, Dst: 3, Imm: 255}, "57 03 0000 ff000000"},
	{"LShImm dst: r3 imm: 63", Insn{Op: ClassALU64 | OpLsh, Dst: 3, Imm: 63}, "67 03 0000 3f000000"},
	{"RShReg dst: r3 src: r4", Insn{Op: ClassALU64 | OpRsh | SourceX, Dst: 3, Src: 4}, "7f 43 0000 00000000"},
	{"NegImm dst: r3 imm: 0", Insn{Op: ClassALU64 | OpNeg, Dst: 3}, "87 03 0000 00000000"},
	{"ModImm dst: r3 imm: 10", Insn{Op: ClassALU64 | OpMod, Dst: 3, Imm: 10}, "97 03 0000 0a000000"},
	{"SModReg dst: r3 src: r4", Insn{Op: ClassALU64 | OpMod | SourceX, Dst: 3, Src: 4, Off: 1}, "9f 43 0100 00000000"},
	{"XorReg dst: r3 src: r3", Insn{Op: ClassALU64 | OpXor | SourceX, Dst: 3, Src: 3}, "af 33 0000 00000000"},
	{"MovImm dst: r0 imm: -2147483648", Insn{Op: ClassALU64 | OpMov, Imm: math.MinInt32}, "b7 00 0000 00000080"},
	{"MovReg dst: r6 src: rfp", Insn{Op: ClassALU64 | OpMov | SourceX, Dst: 6, Src: 10}, "bf a6 0000 00000000"},
	{"MovSX32Reg dst: r6 src: r1", Insn{Op: ClassALU64 | OpMov | SourceX, Dst: 6, Src: 1, Off: 32}, "bf 16 2000 00000000"},
	{"ArShImm dst: r3 imm: 32", Insn{Op: ClassALU64 | OpArsh, Dst: 3, Imm: 32}, "c7 03 0000 20000000"},
	{"BSwap16 dst: r3", Insn{Op: ClassALU64 | OpEnd, Dst: 3, Imm: 16}, "d7 03 0000 10000000"},
	// 32-bit arithmetic
	{"AddImm32 dst: r1 imm: 2147483647", Insn{Op: ClassALU | OpAdd, Dst: 1, Imm: math.MaxInt32}, "04 01 0000 ffffff7f"},
	{"MovReg32 dst: r1 src: r2", Insn{Op: ClassALU | OpMov | SourceX, Dst: 1, Src: 2}, "bc 21 0000 00000000"},
	{"MovSX8Reg32 dst: r1 src: r2", Insn{Op: ClassALU | OpMov | SourceX, Dst: 1, Src: 2, Off: 8}, "bc 21 0800 00000000"},
	{"LShImm32 dst: r1 imm: 31", Insn{Op: ClassALU | OpLsh, Dst: 1, Imm: 31}, "64 01 0000 1f000000"},
	{"SwapLE dst: r1", Insn{Op: ClassALU | OpEnd, Dst: 1, Imm: 64}, "d4 01 0000 40000000"},
	{"SwapBE dst: r1", Insn{Op: ClassALU | OpEnd | SourceX, Dst: 1, Imm: 32}, "dc 01 0000 20000000"},
	// jumps
	{"Ja off: -3", Insn{Op: ClassJMP | OpJa, Off: -3}, "05 00 fdff 00000000"},
	{"Ja32 imm: 70000", Insn{Op: ClassJMP32 | OpJa, Imm: 70000}, "06 00 0000 70110100"},
	{"JEqImm dst: r1 off: 32767 imm: 3", Insn{Op: ClassJMP | OpJeq, Dst: 1, Off: math.MaxInt16, Imm: 3}, "15 01 ff7f 03000000"},
	{"JGTReg dst: r1 off: 2 src: r2", Insn{Op: ClassJMP | OpJgt | SourceX, Dst: 1, Src: 2, Off: 2}, "2d 21 0200 00000000"},
	{"JGEImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJge, Dst: 1, Off: 2, Imm: 1}, "35 01 0200 01000000"},
	{"JSetImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJset, Dst: 1, Off: 2, Imm: 1}, "45 01 0200 01000000"},
	{"JNE32Imm dst: r1 off: -32768 imm: -1", Insn{Op: ClassJMP32 | OpJne, Dst: 1, Off: math.MinInt16, Imm: -1}, "56 01 0080 ffffffff"},
	{"JSGTImm dst: r1 off: 2 imm: -1", Insn{Op: ClassJMP | OpJsgt, Dst: 1, Off: 2, Imm: -1}, "65 01 0200 ffffffff"},
	{"JSGE32Reg dst: r1 off: 2 src: r2", Insn{Op: ClassJMP32 | OpJsge | SourceX, Dst: 1, Src: 2, Off: 2}, "7e 21 0200 00000000"},
	{"JLTImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJlt, Dst: 1, Off: 2, Imm: 1}, "a5 01 0200 01000000"},
	{"JLEImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJle, Dst: 1, Off: 2, Imm: 1}, "b5 01 0200 01000000"},
	{"JSLTImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJslt, Dst: 1, Off: 2, Imm: 1}, "c5 01 0200 01000000"},
	{"JSLEImm dst: r1 off: 2 imm: 1", Insn{Op: ClassJMP | OpJsle, Dst: 1, Off: 2, Imm: 1}, "d5 01 0200 01000000"},
	{"Call FnGetCurrentPidTgid", Insn{Op: ClassJMP | OpCall, Imm: 14}, "85 00 0000 0e000000"},
	{"Exit", Insn{Op: ClassJMP | OpExit}, "95 00 0000 00000000"},
	// loads and stores
	{"LdImmDW dst: r1 imm: -2401053088876216593", Insn{Op: OpLddw, Dst: 1, Imm: -0x2152411021524111}, "18 01 0000 efbeadde 00000000 efbeadde"},
	{"LdXMemB dst: r1 src: r2 off: 1 imm: 0", Insn{Op: ClassLDX | ModeMEM | SizeB, Dst: 1, Src: 2, Off: 1}, "71 21 0100 00000000"},
	{"LdXMemH dst: r1 src: r2 off: 2 imm: 0", Insn{Op: ClassLDX | ModeMEM | SizeH, Dst: 1, Src: 2, Off: 2}, "69 21 0200 00000000"},
	{"LdXMemW dst: r1 src: r2 off: 4 imm: 0", Insn{Op: ClassLDX | ModeMEM | SizeW, Dst: 1, Src: 2, Off: 4}, "61 21 0400 00000000"},
	{"LdXMemDW dst: r1 src: rfp off: -8 imm: 0", Insn{Op: ClassLDX | ModeMEM | SizeDW, Dst: 1, Src: 10, Off: -8}, "79 a1 f8ff 00000000"},
	{"LdXMemSXW dst: r1 src: r2 off: 4 imm: 0", Insn{Op: ClassLDX | ModeMEMSX | SizeW, Dst: 1, Src: 2, Off: 4}, "81 21 0400 00000000"},
	{"LdXMemSXB dst: r1 src: r2 off: 4 imm: 0", Insn{Op: ClassLDX | ModeMEMSX | SizeB, Dst: 1, Src: 2, Off: 4}, "91 21 0400 00000000"},
	{"StMemB dst: r1 src: r0 off: 1 imm: 255", Insn{Op: ClassST | ModeMEM | SizeB, Dst: 1, Off: 1, Imm: 255}, "72 01 0100 ff000000"},
	{"StMemH dst: r1 src: r0 off: 2 imm: 1", Insn{Op: ClassST | ModeMEM | SizeH, Dst: 1, Off: 2, Imm: 1}, "6a 01 0200 01000000"},
	{"StMemW dst: r1 src: r0 off: 4 imm: 1", Insn{Op: ClassST | ModeMEM | SizeW, Dst: 1, Off: 4, Imm: 1}, "62 01 0400 01000000"},
	{"StMemDW dst: rfp src: r0 off: -16 imm: -1", Insn{Op: ClassST | ModeMEM | SizeDW, Dst: 10, Off: -16, Imm: -1}, "7a 0a f0ff ffffffff"},
	{"StXMemB dst: r1 src: r2 off: 1 imm: 0", Insn{Op: ClassSTX | ModeMEM | SizeB, Dst: 1, Src: 2, Off: 1}, "73 21 0100 00000000"},
	{"StXMemH dst: r1 src: r2 off: 2 imm: 0", Insn{Op: ClassSTX | ModeMEM | SizeH, Dst: 1, Src: 2, Off: 2}, "6b 21 0200 00000000"},
	{"StXMemW dst: r1 src: r2 off: 4 imm: 0", Insn{Op: ClassSTX | ModeMEM | SizeW, Dst: 1, Src: 2, Off: 4}, "63 21 0400 00000000"},
	{"StXMemDW dst: rfp src: r2 off: -8 imm: 0", Insn{Op: ClassSTX | ModeMEM | SizeDW, Dst: 10, Src: 2, Off: -8}, "7b 2a f8ff 00000000"},
	// atomics
	{"StXAtomicAddW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicAdd), "c3 21 0800 00000000"},
	{"StXAtomicOrW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicOr), "c3 21 0800 40000000"},
	{"StXAtomicAndW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicAnd), "c3 21 0800 50000000"},
	{"StXAtomicXorW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicXor), "c3 21 0800 a0000000"},
	{"StXAtomicFetchAddW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicFetchAdd), "c3 21 0800 01000000"},
	{"StXAtomicFetchOrW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicFetchOr), "c3 21 0800 41000000"},
	{"StXAtomicFetchAndW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicFetchAnd), "c3 21 0800 51000000"},
	{"StXAtomicFetchXorW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicFetchXor), "c3 21 0800 a1000000"},
	{"StXAtomicXchgW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicXchg), "c3 21 0800 e1000000"},
	{"StXAtomicCmpXchgW dst: r1 src: r2 off: 8", atomic(SizeW, AtomicCmpXchg), "c3 21 0800 f1000000"},
	{"StXAtomicAddDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicAdd), "db 21 0800 00000000"},
	{"StXAtomicOrDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicOr), "db 21 0800 40000000"},
	{"StXAtomicAndDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicAnd), "db 21 0800 50000000"},
	{"StXAtomicXorDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicXor), "db 21 0800 a0000000"},
	{"StXAtomicFetchAddDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicFetchAdd), "db 21 0800 01000000"},
	{"StXAtomicFetchOrDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicFetchOr), "db 21 0800 41000000"},
	{"StXAtomicFetchAndDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicFetchAnd), "db 21 0800 51000000"},
	{"StXAtomicFetchXorDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicFetchXor), "db 21 0800 a1000000"},
	{"StXAtomicXchgDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicXchg), "db 21 0800 e1000000"},
	{"StXAtomicCmpXchgDW dst: r1 src: r2 off: 8", atomic(SizeDW, AtomicCmpXchg), "db 21 0800 f1000000"},
}

func atomic(size uint8, op int64) Insn {
	return Insn{Op: ClassSTX | ModeATOMIC | size, Dst: 1, Src: 2, Off: 8, Imm: op}
}

func TestEncoding(t *testing.T) {
	for _, c := range encodings {
		t.Run(c.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
			require.NoError(t, err)
			got, err := appendInsn(nil, &c.in)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Len(t, got, c.in.slots()*insnSize)

			all, err := asm.AppendInstructions(nil, bytes.NewReader(got), binary.LittleEndian, "linux")
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.Equal(t, c.name, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(fmt.Sprintf("%v", all)), "0:")))
		})
	}
}

// TestEncodingRefuses: whatever the kernel would refuse or the encoding would
// cut off is an error, never other bytes.
func TestEncodingRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		in         Insn
	}{
		{"jump too far", "does not fit in 16 bits", Insn{Op: ClassJMP | OpJa, Off: 32768}},
		{"jump too far back", "does not fit in 16 bits", Insn{Op: ClassJMP | OpJa, Off: -32769}},
		{"store too far", "does not fit in 16 bits", Insn{Op: ClassSTX | ModeMEM | SizeB, Off: 40000}},
		{"immediate", "does not fit in 32 bits", Insn{Op: ClassALU64 | OpMov, Imm: 1 << 31}},
		{"negative immediate", "does not fit in 32 bits", Insn{Op: ClassALU64 | OpMov, Imm: math.MinInt32 - 1}},
		{"32-bit immediate as unsigned", "does not fit in 32 bits", Insn{Op: ClassALU | OpMov, Imm: math.MaxUint32}},
		{"store of a large immediate", "does not fit in 32 bits", Insn{Op: ClassST | ModeMEM | SizeDW, Dst: 10, Off: -8, Imm: 1 << 40}},
		{"destination register", "register out of range", Insn{Op: ClassALU64 | OpMov, Dst: 11}},
		{"source register", "register out of range", Insn{Op: ClassALU64 | OpMov | SourceX, Src: 16}},
		{"atomic of one byte", "unknown opcode", Insn{Op: ClassSTX | ModeATOMIC | SizeB}},
		{"atomic operation", "unknown atomic operation", Insn{Op: ClassSTX | ModeATOMIC | SizeW, Imm: 0x60}},
		{"exchange without fetch", "unknown atomic operation", Insn{Op: ClassSTX | ModeATOMIC | SizeW, Imm: 0xe0}},
		{"legacy packet load", "unknown opcode", Insn{Op: 0x20}},
		{"legacy indirect packet load", "unknown opcode", Insn{Op: 0x40}},
		{"sign-extending load of 8 bytes", "unknown opcode", Insn{Op: ClassLDX | ModeMEMSX | SizeDW}},
		{"store with atomic mode", "unknown opcode", Insn{Op: ClassST | ModeATOMIC | SizeW}},
		{"arithmetic operation", "unknown opcode", Insn{Op: ClassALU64 | 0xe0}},
		{"jump operation", "unknown opcode", Insn{Op: ClassJMP | 0xe0}},
		{"call through a register", "unknown opcode", Insn{Op: ClassJMP | OpCall | SourceX}},
		{"32-bit exit", "unknown opcode", Insn{Op: ClassJMP32 | OpExit}},
		{"negation of a register", "unknown opcode", Insn{Op: ClassALU64 | OpNeg | SourceX}},
		{"byte swap from register form", "unknown opcode", Insn{Op: ClassALU64 | OpEnd | SourceX, Imm: 16}},
		{"byte swap width", "byte swap of 8 bits", Insn{Op: ClassALU | OpEnd, Imm: 8}},
		{"shift", "shift by 64 bits", Insn{Op: ClassALU64 | OpLsh, Imm: 64}},
		{"32-bit shift", "shift by 32 bits", Insn{Op: ClassALU | OpArsh, Imm: 32}},
		{"negative shift", "shift by -1 bits", Insn{Op: ClassALU | OpRsh, Imm: -1}},
		{"division", "division by the constant 0", Insn{Op: ClassALU64 | OpDiv}},
		{"remainder", "division by the constant 0", Insn{Op: ClassALU | OpMod}},
		{"helper 0", "helper number 0", Insn{Op: ClassJMP | OpCall}},
		{"call with destination", "does not use", Insn{Op: ClassJMP | OpCall, Imm: 1, Dst: 1}},
		{"call with unknown source", "does not use", Insn{Op: ClassJMP | OpCall, Imm: 1, Src: 2}},
		{"exit with value", "does not use", Insn{Op: ClassJMP | OpExit, Imm: 1}},
		{"immediate and register", "does not use", Insn{Op: ClassALU64 | OpAdd | SourceX, Imm: 1}},
		{"register and immediate", "does not use", Insn{Op: ClassALU64 | OpAdd, Src: 1, Imm: 1}},
		{"add with offset", "does not use", Insn{Op: ClassALU64 | OpAdd, Off: 1}},
		{"sign extension of 32 bits to 32", "does not use", Insn{Op: ClassALU | OpMov | SourceX, Off: 32}},
		{"sign extension of an immediate", "does not use", Insn{Op: ClassALU64 | OpMov, Off: 8}},
		{"jump with register and immediate", "does not use", Insn{Op: ClassJMP | OpJeq | SourceX, Imm: 1}},
		{"load with immediate", "does not use", Insn{Op: ClassLDX | ModeMEM | SizeB, Imm: 1}},
		{"store of immediate and register", "does not use", Insn{Op: ClassST | ModeMEM | SizeB, Src: 1}},
		{"immediate load with offset", "does not use", Insn{Op: OpLddw, Off: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := []byte{1, 2, 3}
			got, err := appendInsn(before, &c.in)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, before, got)
		})
	}
}

// TestEncodingOfEveryOpcode: each of the 256 opcodes is either refused or
// decodes, by the library, to the same opcode.
func TestEncodingOfEveryOpcode(t *testing.T) {
	accepted := 0
	for op := range 256 {
		for _, imm := range []int64{0, 1, 16} {
			in := Insn{Op: uint8(op), Imm: imm}
			b, err := appendInsn(nil, &in)
			if err != nil {
				continue
			}
			accepted++
			require.Equal(t, byte(op), b[0])
			var back asm.Instruction
			require.NoError(t, back.Unmarshal(bytes.NewReader(b), binary.LittleEndian, "linux"), "opcode %#02x", op)
			require.Equal(t, imm, back.Constant)
		}
	}
	require.Greater(t, accepted, 150)
}
