package ir

// Dominators gives each block's immediate dominator: the last block that every
// way from the entry to it passes. The entry's is itself; an unreachable
// block's is -1. Edges must go forward.
func (f *Func) Dominators() []int {
	idom := make([]int, len(f.Blocks))
	for i := range idom {
		idom[i] = -1
	}
	if len(idom) > 0 {
		idom[0] = 0
	}
	for i, b := range f.Blocks {
		if idom[i] < 0 {
			continue
		}
		// Every predecessor of a successor that comes later only narrows its
		// dominator, and all are seen before the successor itself is.
		for _, s := range b.Term.To {
			if idom[s] < 0 {
				idom[s] = i
			} else {
				idom[s] = CommonDominator(idom, idom[s], i)
			}
		}
	}
	return idom
}

// CommonDominator is the last block that dominates both a and b, by the result of Dominators.
func CommonDominator(idom []int, a, b int) int {
	for a != b {
		if a > b {
			a = idom[a]
		} else {
			b = idom[b]
		}
	}
	return a
}
