package match

import "slices"

// A refinement is a partition of subsets into blocks that are not known to
// differ. Members of block b are elems[start[b]:end[b]]; the first dirty[b] of
// them have a successor that changed its block since they were compared.
type refinement struct {
	m     *minimiser
	block []int32 // by subset; none if it has a place already
	at    []int32 // by subset: its index in elems
	elems []int32

	start, end, dirty []int32
	work              []int32 // blocks with dirty members
	row               []uint64
}

// refine finds the coarsest partition of the subsets without a place in which
// equal ones have equal rows, and adds a state for each block. Whenever a block
// splits, its largest part keeps the number, so that a subset changes its block
// at most log n times and the whole takes O(edges log n) row comparisons.
func (m *minimiser) refine() {
	r := &refinement{m: m, block: make([]int32, len(m.place)), at: make([]int32, len(m.place))}
	for i := range m.place {
		r.block[i] = none
		if m.place[i] == noTarget {
			r.block[i] = 0
			r.at[i] = int32(len(r.elems))
			r.elems = append(r.elems, int32(i))
		}
	}
	if len(r.elems) == 0 {
		return
	}
	n := int32(len(r.elems))
	r.start, r.end, r.dirty = []int32{0}, []int32{n}, []int32{n}
	r.work = []int32{0}
	for len(r.work) > 0 {
		b := r.work[len(r.work)-1]
		r.work = r.work[:len(r.work)-1]
		r.split(b)
	}
	r.place()
}

// blockTarget returns where a transition leads, by blocks.
func (r *refinement) blockTarget(t target) target {
	t = r.m.resolve(t)
	if t.tag() == tagSubset {
		return tagSubset | target(r.block[t.index()])
	}
	return t
}

// signature appends the row of a subset, by blocks.
func (r *refinement) signature(row []uint64, i int32) []uint64 {
	s := &r.m.d.states[i]
	def := r.blockTarget(s.def)
	row = append(row, uint64(def)<<32|uint64(uint32(s.end)))
	for _, e := range r.m.row(i) {
		if to := r.blockTarget(e.to); to != def {
			row = append(row, uint64(e.b)<<32|uint64(to))
		}
	}
	return row
}

// split divides a block by the rows of its dirty members and one clean one.
func (r *refinement) split(b int32) {
	lo, hi, dirty := r.start[b], r.end[b], r.dirty[b]
	r.dirty[b] = 0
	if hi-lo == 1 {
		return
	}
	compared := slices.Clone(r.elems[lo : lo+dirty])
	if lo+dirty < hi {
		compared = append(compared, r.elems[lo+dirty])
	}
	// Group by row: group numbers in order of first appearance.
	var rows []uint64
	var rowEnd []int
	var index hashIndex
	group := make([]int32, len(compared))
	for k, i := range compared {
		r.row = r.signature(r.row[:0], i)
		h := uint64(2)
		for _, v := range r.row {
			h = mix(h, v)
		}
		rowOf := func(g int32) []uint64 {
			from := 0
			if g > 0 {
				from = rowEnd[g-1]
			}
			return rows[from:rowEnd[g]]
		}
		group[k] = index.lookup(h, func(g int32) bool { return slices.Equal(rowOf(g), r.row) }, func() int32 {
			rows = append(rows, r.row...)
			rowEnd = append(rowEnd, len(rows))
			return int32(len(rowEnd) - 1)
		})
	}
	if len(rowEnd) == 1 {
		return
	}
	size := make([]int32, len(rowEnd))
	for _, g := range group[:dirty] {
		size[g]++
	}
	clean := none
	if lo+dirty < hi {
		clean = group[dirty]
		size[clean] += hi - lo - dirty
	}
	keep := int32(0)
	for g := range size {
		if size[g] > size[keep] {
			keep = int32(g)
		}
	}
	r.rearrange(b, compared[:dirty], group[:dirty], size, keep, clean)
}

// rearrange gives every group but keep a block of its own. Members of the clean
// group stay at the end of the block's range, the others are laid out before.
func (r *refinement) rearrange(b int32, members, group, size []int32, keep, clean int32) {
	lo, hi := r.start[b], r.end[b]
	next := make([]int32, len(size))
	from := lo
	for g := range size {
		if int32(g) == clean {
			continue
		}
		next[g] = from
		from += size[g]
	}
	if clean != none {
		next[clean] = from // its dirty members come first
	}
	fresh := make([]int32, len(size))
	for g := range size {
		first, last := next[g], next[g]+size[g]
		if int32(g) == clean {
			last = hi
		}
		if int32(g) == keep {
			fresh[g] = b
			r.start[b], r.end[b] = first, last
			continue
		}
		fresh[g] = int32(len(r.start))
		r.start = append(r.start, first)
		r.end = append(r.end, last)
		r.dirty = append(r.dirty, 0)
	}
	for k, i := range members {
		g := group[k]
		r.elems[next[g]] = i
		r.at[i] = next[g]
		next[g]++
	}
	for g := range size {
		if f := fresh[g]; f != b {
			for _, i := range r.elems[r.start[f]:r.end[f]] {
				r.block[i] = f
			}
		}
	}
	for g := range size {
		if f := fresh[g]; f != b {
			// touch reorders blocks, this one too if it leads to itself.
			for _, i := range slices.Clone(r.elems[r.start[f]:r.end[f]]) {
				for _, p := range r.m.predecessors(i) {
					r.touch(p)
				}
			}
		}
	}
}

// touch marks a subset as dirty.
func (r *refinement) touch(i int32) {
	b := r.block[i]
	if b == none {
		return
	}
	edge := r.start[b] + r.dirty[b]
	if r.at[i] < edge {
		return
	}
	if r.dirty[b] == 0 {
		r.work = append(r.work, b)
	}
	other, at := r.elems[edge], r.at[i]
	r.elems[edge], r.elems[at] = i, other
	r.at[i], r.at[other] = edge, at
	r.dirty[b]++
}

// place adds one state for each block, in the order of their first subsets.
func (r *refinement) place() {
	m := r.m
	state := make([]target, len(r.start))
	for b := range state {
		state[b] = noTarget
	}
	var first []int32
	next := target(len(m.g.def))
	for i, b := range r.block {
		if b != none && state[b] == noTarget {
			state[b] = next
			next++
			first = append(first, int32(i))
		}
	}
	for i, b := range r.block {
		if b != none {
			m.place[i] = state[b]
		}
	}
	for _, i := range first {
		def := m.resolve(m.d.states[i].def)
		m.edges = m.edges[:0]
		for _, e := range m.row(i) {
			if to := m.resolve(e.to); to != def {
				m.edges = append(m.edges, edge{e.b, to})
			}
		}
		m.g.append(def, m.d.states[i].end, m.edges)
	}
}
