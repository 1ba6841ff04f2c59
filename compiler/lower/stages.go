package lower

import "slices"

// buildStages decides a program in one DAG or, if that costs too much, in one for
// each cell of a variable, or run by run. splits counts the splits so far.
func buildStages(fs *formulas, p *program, splits int) *stage {
	s := &stage{prog: p, end: len(p.entries)}
	items := make([]item, len(p.entries))
	for i, e := range p.entries {
		items[i] = item{int32(i), e.cond, leaveProgram(p, e.out)}
	}
	if s.tryItems(fs, items) {
		return s
	}
	if v := splitVar(fs, p); v != nil && splits < maxSplits {
		return splitProgram(fs, p, v, splits+1)
	}
	var first, last *stage
	for i, start := range p.runs {
		end := len(p.entries)
		if i+1 < len(p.runs) {
			end = p.runs[i+1]
		}
		if start == end {
			continue
		}
		run := rankRun(fs, p, start, end)
		if first == nil {
			first = run
		} else {
			last.next = run
		}
		for last = run; last.next != nil; {
			last = last.next
		}
	}
	return first
}

// Limits of splitting a program by a variable.
const (
	maxSplits     = 2 // one within the other
	maxSplitCells = 4
	splitShare    = 8 // of that many entries, one at least tests the variable
)

// splitVar chooses a scalar of few cells that many entries test, such as the
// guard of an instance: without it they may be about paths alone.
func splitVar(fs *formulas, p *program) *variable {
	count := make([]int, len(fs.vars))
	for _, e := range p.entries {
		fs.begin()
		fs.eachVar(e.cond, func(v int32) { count[v]++ })
	}
	var best *variable
	for i, v := range fs.vars {
		if v.kind != classVar && v.known <= maxSplitCells && count[i]*splitShare >= len(p.entries) && (best == nil || count[i] > count[best.order]) {
			best = v
		}
	}
	return best
}

// splitProgram decides a program for each cell of a variable on its own.
func splitProgram(fs *formulas, p *program, v *variable, splits int) *stage {
	s := &stage{prog: p, end: len(p.entries)}
	n := node{v: v.order, span: v.span}
	w := &world{v: v.order, has: make([]uint32, len(v.holders))}
	for cell, atoms := range v.atoms {
		w.gen++
		for _, a := range atoms {
			w.has[a] = w.gen
		}
		fs.begin()
		part := &program{audit: p.audit, runs: p.runs, entries: slices.Clone(p.entries)}
		for i := range part.entries {
			part.entries[i].cond = fs.restrict(part.entries[i].cond, w)
		}
		s.kids = append(s.kids, buildStages(fs, part, splits))
		s.nodes = append(s.nodes, node{v: -1, out: kidOutcome(cell)})
		n.kids = append(n.kids, int32(cell))
		if cell > 0 {
			n.cells = append(n.cells, cellKid{int32(cell), int32(cell)})
		}
	}
	s.root = int32(len(s.nodes))
	s.nodes = append(s.nodes, n)
	return s
}

// kidOutcome is the outcome that goes on at a kid of a stage.
func kidOutcome(i int) outcome { return fall + 1 + outcome(i) }
