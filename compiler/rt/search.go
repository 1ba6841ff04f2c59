package rt

import (
	"math/bits"

	"github.com/snappy-policy/snappy/compiler/emit"
)

// search emits the binary search of compiler/match's sorted tables: R0 = the
// class of the number in R7 (width 4 or 8) or of R7 and R9, upper and lower half
// (width 16). The table starts at byte off. R1 to R5 and R8 are lost.
//
// It takes no branches: a verifier would follow both ways of each, 2^steps in all.
func (r *routine) search(table string, off uint32, width uint32, steps int) {
	const index = emit.R8
	n := uint32(1) << steps
	r.Const(index, 0)
	for half := n / 2; half > 0; half /= 2 {
		r.TableAddr(emit.R1, table, off+half*width)
		r.Move(emit.R2, index)
		r.OpImm(emit.Lsh, emit.R2, int64(bits.TrailingZeros32(width)))
		r.Op(emit.Add, emit.R1, emit.R2)
		// R5 = -1 if the number is less than the key, else 0.
		switch width {
		case 4:
			r.Load(emit.W, emit.R2, emit.R1, 0)
			r.Move(emit.R5, emit.R7)
			r.Op(emit.Sub, emit.R5, emit.R2)
			r.OpImm(emit.Arsh, emit.R5, 63)
		case 8:
			r.Const(emit.R5, 0)
			r.Load(emit.DW, emit.R2, emit.R1, 0)
			r.borrow(emit.R7, emit.R2)
		case 16:
			r.Const(emit.R5, 0)
			r.Load(emit.DW, emit.R2, emit.R1, 8)
			r.borrow(emit.R9, emit.R2)
			r.Load(emit.DW, emit.R2, emit.R1, 0)
			r.borrow(emit.R7, emit.R2)
		default:
			r.Errorf("keys of %d bytes", width)
		}
		r.OpImm(emit.Xor, emit.R5, -1)
		r.OpImm(emit.And, emit.R5, int64(half))
		r.Op(emit.Add, index, emit.R5)
	}
	r.TableAddr(emit.R1, table, off+n*width)
	r.OpImm(emit.Lsh, index, 2)
	r.Op(emit.Add, emit.R1, index)
	r.Load(emit.W, emit.R0, emit.R1, 0)
}

// borrow is R5 = -1 if a - b - borrow is negative, else 0, for unsigned a and b
// and the borrow that R5 stands for likewise. R3, R4 and b are lost; a is kept.
// The top bit of (~a & b) | (~(a ^ b) & difference) is the borrow.
func (r *routine) borrow(a, b emit.Reg) {
	r.Move(emit.R3, a)
	r.Op(emit.Sub, emit.R3, b)
	r.Op(emit.Add, emit.R3, emit.R5) // the difference
	r.Move(emit.R4, a)
	r.OpImm(emit.Xor, emit.R4, -1)
	r.Move(emit.R5, emit.R4)
	r.Op(emit.And, emit.R5, b)
	r.Op(emit.Xor, emit.R4, b) // ~a ^ b is ~(a ^ b)
	r.Op(emit.And, emit.R4, emit.R3)
	r.Op(emit.Or, emit.R5, emit.R4)
	r.OpImm(emit.Arsh, emit.R5, 63)
}
