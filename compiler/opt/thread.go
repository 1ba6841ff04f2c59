package opt

import (
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// thread leads edges past blocks that only jump, and joins a block with its
// successor where each is the other's only one.
func thread(_ *ir.Module, f *ir.Func) {
	// Successors come later, so from the end each is final when it is needed.
	final := make([]int, len(f.Blocks))
	for i := len(f.Blocks) - 1; i >= 0; i-- {
		b := f.Blocks[i]
		for j, s := range b.Term.To {
			b.Term.To[j] = final[s]
		}
		if b.Term.Kind != ir.Jump && len(b.Term.To) > 0 && !slices.ContainsFunc(b.Term.To, func(s int) bool { return s != b.Term.To[0] }) {
			b.Term = ir.Term{Kind: ir.Jump, X: -1, Y: -1, To: b.Term.To[:1], Span: b.Term.Span}
		}
		final[i] = i
		if b.Term.Kind == ir.Jump && len(b.Instrs) == 0 {
			final[i] = b.Term.To[0]
		}
	}
	compact(f)
	preds := make([]int, len(f.Blocks))
	for _, b := range f.Blocks {
		for _, s := range b.Term.To {
			preds[s]++
		}
	}
	for i := len(f.Blocks) - 1; i >= 0; i-- {
		b := f.Blocks[i]
		if b.Term.Kind == ir.Jump && preds[b.Term.To[0]] == 1 {
			next := f.Blocks[b.Term.To[0]]
			b.Instrs = append(b.Instrs, next.Instrs...)
			b.Term = next.Term
			next.Instrs = nil
			next.Term = ir.Term{Kind: ir.Decide, X: -1, Y: -1} // unreachable now
		}
	}
	compact(f)
}
