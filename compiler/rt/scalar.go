package rt

import (
	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// LoadScalar emits dst = the value of a Scalar recipe. ctx holds the program's
// context and survives; dst must differ from it. R0 to R5 are lost. A NULL pointer on the
// way yields 0.
func LoadScalar(b *emit.Builder, dst, ctx emit.Reg, s hook.Scalar) {
	r := &routine{b}
	size, ok := emit.SizeOf(int(s.Size))
	if !ok {
		b.Errorf("scalar of %d bytes", s.Size)
		return
	}
	if s.Base.Current {
		r.currentTask()
		b.Move(dst, emit.R0)
	} else {
		r.loadArg(dst, ctx, s.Base.Arg)
	}
	if n := len(s.Steps); n > 0 {
		null, end := b.NewLabel(), b.NewLabel()
		// The current task is never NULL, and code that is never reached is refused.
		if !s.Base.Current {
			b.JumpImm(emit.JEq, dst, 0, null)
		}
		r.follow(dst, s.Steps[:n-1], null)
		// The address is formed first because the field may be a struct, of
		// which the value is the first part.
		last := s.Steps[n-1]
		r.loadPart(size, dst, dst, emit.Field(last.Struct, last.Members...), 0)
		if b.Used(null) {
			b.Goto(end)
			b.Bind(null)
			b.Const(dst, 0)
			b.Bind(end)
		}
	}
	// The upper bytes of a small argument are undefined, those of a load zero.
	if bits := int64(64 - 8*int(s.Size)); bits > 0 {
		switch {
		case s.Signed:
			b.OpImm(emit.Lsh, dst, bits)
			b.OpImm(emit.Arsh, dst, bits)
		case len(s.Steps) == 0:
			b.OpImm(emit.Lsh, dst, bits)
			b.OpImm(emit.Rsh, dst, bits)
		}
	}
	if s.Shift > 0 {
		b.OpImm(emit.Rsh, dst, int64(s.Shift))
	}
	if s.Mask != 0 {
		b.OpImm(emit.And, dst, s.Mask)
	}
}
