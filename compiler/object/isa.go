package object

// Opcode bytes are put together from these parts, named as in
// include/uapi/linux/bpf.h and Documentation/bpf/standardization/
// instruction-set.rst: class | mode | size for loads and stores, class | source
// | operation for the others.
const (
	ClassLD    = 0x00
	ClassLDX   = 0x01
	ClassST    = 0x02
	ClassSTX   = 0x03
	ClassALU   = 0x04
	ClassJMP   = 0x05
	ClassJMP32 = 0x06
	ClassALU64 = 0x07

	SizeW  = 0x00
	SizeH  = 0x08
	SizeB  = 0x10
	SizeDW = 0x18

	ModeIMM    = 0x00
	ModeMEM    = 0x60
	ModeMEMSX  = 0x80 // sign-extending load, Linux 6.6
	ModeATOMIC = 0xc0

	SourceK = 0x00
	SourceX = 0x08

	OpAdd  = 0x00
	OpSub  = 0x10
	OpMul  = 0x20
	OpDiv  = 0x30
	OpOr   = 0x40
	OpAnd  = 0x50
	OpLsh  = 0x60
	OpRsh  = 0x70
	OpNeg  = 0x80
	OpMod  = 0x90
	OpXor  = 0xa0
	OpMov  = 0xb0
	OpArsh = 0xc0
	OpEnd  = 0xd0

	OpJa   = 0x00
	OpJeq  = 0x10
	OpJgt  = 0x20
	OpJge  = 0x30
	OpJset = 0x40
	OpJne  = 0x50
	OpJsgt = 0x60
	OpJsge = 0x70
	OpCall = 0x80
	OpExit = 0x90
	OpJlt  = 0xa0
	OpJle  = 0xb0
	OpJslt = 0xc0
	OpJsle = 0xd0

	// OpLddw is the 64-bit immediate load, the only two-slot instruction.
	OpLddw = ClassLD | ModeIMM | SizeDW
)

// Operations of an atomic instruction; they are its Imm. The size is SizeW or
// SizeDW. All of them: Linux 5.12.
const (
	AtomicAdd      = 0x00
	AtomicOr       = 0x40
	AtomicAnd      = 0x50
	AtomicXor      = 0xa0
	AtomicFetch    = 0x01 // added to one of the above: Src receives the old value
	AtomicXchg     = 0xe1
	AtomicCmpXchg  = 0xf1 // compares with r0, which receives the old value
	AtomicFetchAdd = AtomicAdd | AtomicFetch
	AtomicFetchOr  = AtomicOr | AtomicFetch
	AtomicFetchAnd = AtomicAnd | AtomicFetch
	AtomicFetchXor = AtomicXor | AtomicFetch
)

// Values of the source register that give an immediate another meaning
// (BPF_PSEUDO_*).
const (
	pseudoCall = 1
)

const (
	insnSize    = 8
	maxRegister = 10
)

func class(op uint8) uint8  { return op & 0x07 }
func mode(op uint8) uint8   { return op & 0xe0 }
func size(op uint8) uint8   { return op & 0x18 }
func source(op uint8) uint8 { return op & 0x08 }
func opBits(op uint8) uint8 { return op & 0xf0 }

// accessBytes is the width of a load or store in bytes.
func accessBytes(op uint8) uint32 {
	switch size(op) {
	case SizeB:
		return 1
	case SizeH:
		return 2
	case SizeW:
		return 4
	default:
		return 8
	}
}

// slots is the number of 8-byte slots that the instruction occupies.
func (in *Insn) slots() int {
	if in.Op == OpLddw {
		return 2
	}
	return 1
}

func (in *Insn) isCall() bool { return in.Op == ClassJMP|OpCall }

// jumpSlots returns the distance of a jump, counted in slots from the
// instruction after it. ok is false for instructions that do not jump.
func (in *Insn) jumpSlots() (distance int64, ok bool) {
	switch c, o := class(in.Op), opBits(in.Op); {
	case c != ClassJMP && c != ClassJMP32, o == OpCall, o == OpExit:
		return 0, false
	case c == ClassJMP32 && o == OpJa:
		return in.Imm, true
	default:
		return int64(in.Off), true
	}
}

// endsFlow says that the next instruction is not reached from this one.
func (in *Insn) endsFlow() bool {
	return in.Op == ClassJMP|OpExit || in.Op == ClassJMP|OpJa || in.Op == ClassJMP32|OpJa
}
