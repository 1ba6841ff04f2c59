package match

import "slices"

// A subset is a state of the deterministic automaton as determinisation makes
// it: the atoms that already hold for sure, and a set of nodes.
type subset struct {
	settled    atomSet
	end        atomSet // settled and those whose pattern ends here
	nodes, num uint32  // members: arena[nodes:nodes+num]
	edges, deg uint32  // row: rows[edges:edges+deg]
	def        target
	hint       target
	alias      target // in the minimal graph, if it is there already
}

// determiniser builds the deterministic automaton by subset construction, with
// three additions that keep it small. A node is left out of a set if the only
// atom that it can lead to holds already; if another member, a later star, can
// do all that it can (so that `**a**b**c` stays linear); and a set that is a
// single node above a trie of literals goes to the minimal graph directly. An
// atom that an earlier one of its group hides counts as one that holds already.
type determiniser struct {
	nfa  *nfa
	opt  Options
	sets *atomSets
	g    *graph

	states  []subset
	arena   []int32
	rows    []edge
	index   hashIndex
	visited int // nodes, by closures and by literal

	counts []int64 // members by atom: who is to blame
	over   *overrun

	seen       []uint32 // by node: last closure that reached it
	marked     []uint32 // by node: last closure that holds this loop
	lastMarked int32    // largest loop of the closure at hand
	stamp      uint32
	m          moves
	list       []int32 // of the closure at hand
	stack      []int32
	atoms      []int32
}

func newDeterminiser(n *nfa, sets *atomSets, opt Options) *determiniser {
	return &determiniser{
		nfa: n, opt: opt, sets: sets, g: newGraph(),
		counts: make([]int64, len(sets.group)),
		seen:   make([]uint32, len(n.nodes)),
		marked: make([]uint32, len(n.nodes)),
	}
}

// run determinises everything reachable and returns the start.
func (d *determiniser) run() (target, *overrun) {
	start := d.enter(0, []int32{0})
	for i := 0; i < len(d.states) && d.over == nil; i++ {
		d.expand(i)
	}
	if d.over == nil {
		d.findHints()
	}
	return start, d.over
}

// blamed counts, by atom, what made the automaton large.
func (d *determiniser) blamed() []int64 {
	for _, c := range d.counts {
		if c > 0 {
			return d.counts
		}
	}
	return d.nfa.weights(len(d.counts))
}

// charge notes the work done and reports whether the limits still hold.
func (d *determiniser) charge(members int) bool {
	d.visited += members
	switch limit := d.opt.MaxStates; {
	case d.over != nil:
	case len(d.states) > limit:
		d.over = &overrun{"states", limit}
	case len(d.rows) > 8*limit:
		d.over = &overrun{"transitions", 8 * limit}
	case len(d.arena) > 16*limit:
		d.over = &overrun{"set members", 16 * limit}
	case d.visited > 32*limit:
		d.over = &overrun{"node visits", 32 * limit}
	case len(d.sets.items) > 4*limit || len(d.sets.start) > MaxClasses:
		d.over = &overrun{"members of accept classes", 4 * limit}
	}
	return d.over == nil
}

// enter returns the target for a set of nodes, which need not be closed.
func (d *determiniser) enter(settled atomSet, nodes []int32) target {
	settled = d.close(settled, nodes)
	d.reduce(settled)
	return d.intern(settled, d.list)
}

// close sets d.list to all that the nodes reach without reading, and returns
// the atoms that hold from there on.
func (d *determiniser) close(settled atomSet, nodes []int32) atomSet {
	n := d.nfa
	d.stamp++
	d.list = d.list[:0]
	d.atoms = d.atoms[:0]
	d.stack = append(d.stack[:0], nodes...)
	for len(d.stack) > 0 {
		p := d.stack[len(d.stack)-1]
		d.stack = d.stack[:len(d.stack)-1]
		if d.seen[p] == d.stamp {
			continue
		}
		d.seen[p] = d.stamp
		d.list = append(d.list, p)
		for e := n.nodes[p].silent; e != none; e = n.eps[e].next {
			d.stack = append(d.stack, n.eps[e].to)
		}
		if n.nodes[p].loop == loopAny {
			d.atoms = n.acceptedBy(d.atoms, p)
		}
	}
	d.charge(len(d.list))
	return d.sets.union(settled, d.atoms)
}

// acceptedBy appends the atoms with a pattern that ends at the node.
func (n *nfa) acceptedBy(atoms []int32, p int32) []int32 {
	for a := n.nodes[p].accept; a != none; a = n.accepts[a].next {
		atoms = append(atoms, n.accepts[a].atom)
	}
	return atoms
}

// reduce drops from d.list the nodes that add nothing, and sorts it.
func (d *determiniser) reduce(settled atomSet) {
	n, last := d.nfa, none
	keep := d.list[:0]
	for _, p := range d.list {
		if n.barren(p) {
			continue
		}
		if o := n.owner[p]; settled != 0 && o >= 0 && d.sets.decides(settled, o) {
			continue
		}
		if n.nodes[p].loop != loopNone {
			d.marked[p] = d.stamp
			last = max(last, p)
		}
		keep = append(keep, p)
	}
	d.list, d.lastMarked = keep, last
	if len(keep) > 1 && last != none {
		d.list = slices.DeleteFunc(keep, d.subsumed)
	}
	slices.Sort(d.list)
}

// barren reports whether a member of a closed set adds nothing to it: it reads
// nothing and no pattern ends there, or it only absorbs, which close has noted.
func (n *nfa) barren(p int32) bool {
	v := &n.nodes[p]
	if v.loop == loopNone {
		return v.first == none && v.accept == none
	}
	return n.absorbing(p)
}

// subsumed reports whether a marked star accepts whatever the node does: every
// accepting path from the node passes the star, and the star could have read
// all that the node reads until then.
func (d *determiniser) subsumed(p int32) bool {
	n := d.nfa
	free := true
	for q := p; n.via[q] != none && n.via[q] <= d.lastMarked; {
		free = free && n.free[q]
		q = n.via[q]
		if d.marked[q] == d.stamp && (free || n.nodes[q].loop == loopAny) {
			return true
		}
	}
	return false
}

// intern returns the target for a closed and reduced set.
func (d *determiniser) intern(settled atomSet, nodes []int32) target {
	if len(nodes) == 0 {
		return final(settled)
	}
	id := d.index.lookup(hashInts(uint64(settled), nodes), d.sameAs(settled, nodes), func() int32 {
		s := subset{settled: settled, nodes: uint32(len(d.arena)), num: uint32(len(nodes)), def: noTarget, hint: noTarget, alias: noTarget}
		d.arena = append(d.arena, nodes...)
		for _, p := range nodes {
			if o := d.nfa.owner[p]; o >= 0 {
				d.counts[o]++
			}
		}
		d.states = append(d.states, s)
		return int32(len(d.states) - 1)
	})
	return tagSubset | target(id)
}

// find returns the index of a subset, or none.
func (d *determiniser) find(settled atomSet, nodes []int32) int32 {
	if len(nodes) == 0 {
		return none
	}
	return d.index.find(hashInts(uint64(settled), nodes), d.sameAs(settled, nodes))
}

func (d *determiniser) sameAs(settled atomSet, nodes []int32) func(int32) bool {
	return func(id int32) bool {
		s := &d.states[id]
		return s.settled == settled && slices.Equal(d.arena[s.nodes:s.nodes+s.num], nodes)
	}
}

// expand computes the row of a subset.
func (d *determiniser) expand(i int) {
	s := d.states[i]
	members := d.arena[s.nodes : s.nodes+s.num : s.nodes+s.num]
	if len(members) == 1 && d.nfa.pure[members[0]] {
		d.states[i].alias = d.literal(s.settled, members[0])
		return
	}
	if !d.charge(len(members)) {
		return
	}
	m := d.moves(members)
	d.charge(len(m.bytes) + 4*len(m.classes))
	def := d.enter(s.settled, m.other)
	d.states[i].end = d.sets.union(s.settled, m.ends)
	first := len(d.rows)
	// No call below may use d.rows: the row is built at its end.
	to := noTarget
	for w := 0; w < 256; w++ {
		b := byte(w)
		if !m.special.has(b) {
			continue
		}
		if m.by(d.nfa, b); to == noTarget || !slices.Equal(m.now, m.last) {
			to = d.enter(s.settled, m.now)
			m.now, m.last = m.last, m.now
		}
		if to != def {
			d.rows = append(d.rows, edge{b, to})
		}
	}
	if d.nfa.spare < 0 {
		def = d.rebase(first, def)
	}
	st := &d.states[i]
	st.def, st.edges, st.deg = def, uint32(first), uint32(len(d.rows)-first)
}

// moves is where the members of a set lead.
type moves struct {
	other   []int32 // by a byte that nothing mentions
	slash   []int32 // by '/', without labelled children
	ends    []int32 // atoms with a pattern that ends here
	special byteSet // bytes that may lead elsewhere than other
	bytes   []edge  // labelled children: to is a node
	classes [][2]int32
	now     []int32 // what by returned
	last    []int32 // for the caller: an earlier now
}

func (d *determiniser) moves(members []int32) *moves {
	n, m := d.nfa, &d.m
	m.other, m.slash, m.ends, m.bytes, m.classes = m.other[:0], m.slash[:0], m.ends[:0], m.bytes[:0], m.classes[:0]
	m.special = byteSet{}
	for _, p := range members {
		v := &n.nodes[p]
		m.ends = n.acceptedBy(m.ends, p)
		switch v.loop {
		case loopAny:
			m.other = append(m.other, p)
			m.slash = append(m.slash, p)
		case loopComponent:
			m.other = append(m.other, p)
			m.special.add('/')
		}
		for c := v.first; c != none; c = n.nodes[c].next {
			label := n.nodes[c].label
			if label < 256 {
				m.bytes = append(m.bytes, edge{byte(label), target(c)})
				m.special.add(byte(label))
				continue
			}
			class := n.classes[label-256]
			m.classes = append(m.classes, [2]int32{label - 256, c})
			if class.negated {
				m.other = append(m.other, c)
				class.complement()
				m.special.add('/')
			}
			for w := range m.special {
				m.special[w] |= class.bytes[w]
			}
		}
	}
	slices.SortStableFunc(m.bytes, func(a, b edge) int { return int(a.b) - int(b.b) })
	return m
}

// by sets now to where byte b leads.
func (m *moves) by(n *nfa, b byte) {
	out := m.now[:0]
	if b == '/' {
		out = append(out, m.slash...)
	} else {
		for _, p := range m.other {
			if n.nodes[p].loop != loopNone {
				out = append(out, p)
			}
		}
		for _, c := range m.classes {
			if n.classes[c[0]].bytes.has(b) {
				out = append(out, c[1])
			}
		}
	}
	i, _ := slices.BinarySearchFunc(m.bytes, b, func(e edge, b byte) int { return int(e.b) - int(b) })
	for ; i < len(m.bytes) && m.bytes[i].b == b; i++ {
		out = append(out, int32(m.bytes[i].to))
	}
	m.now = out
}

// rebase makes the byte 0xff the one that defines the default, in the row at
// the end of d.rows. Only then, when every byte is mentioned somewhere, could
// equal states have different defaults.
func (d *determiniser) rebase(first int, def target) target {
	var full [256]target
	for b := range full {
		full[b] = def
	}
	for _, e := range d.rows[first:] {
		full[e.b] = e.to
	}
	d.rows = d.rows[:first]
	for b := 1; b < 256; b++ {
		if full[b] != full[255] {
			d.rows = append(d.rows, edge{byte(b), full[b]})
		}
	}
	return full[255]
}

// findHints sets the hint of each subset: the subset without the members that
// are farthest into a literal, where a match goes on once that literal has
// failed. Only subsets that exist anyway serve as hints, so they add no states.
// The encoder checks what a hint is worth.
func (d *determiniser) findHints() {
	n := d.nfa
	age := n.ages()
	var rest []int32
	for i := range d.states {
		s := &d.states[i]
		members := d.arena[s.nodes : s.nodes+s.num]
		oldest := int32(-1)
		for _, p := range members {
			if n.inLiteral(p) {
				oldest = max(oldest, age[p])
			}
		}
		if oldest < 0 {
			continue
		}
		rest = rest[:0]
		for _, p := range members {
			if age[p] != oldest || !n.inLiteral(p) {
				rest = append(rest, p)
			}
		}
		if id := d.find(s.settled, rest); id != none {
			s.hint = tagSubset | target(id)
		}
	}
}

// inLiteral reports whether a node only reads one certain byte.
func (n *nfa) inLiteral(p int32) bool {
	v := &n.nodes[p]
	c := v.first
	return v.loop == loopNone && v.accept == none && c != none && n.nodes[c].next == none && n.nodes[c].label < 256
}

// ages returns, by node, how many bytes were read since the last star.
func (n *nfa) ages() []int32 {
	age := make([]int32, len(n.nodes))
	for p := range n.nodes {
		for c := n.nodes[p].first; c != none; c = n.nodes[c].next {
			age[c] = age[p] + 1
		}
		for e := n.nodes[p].silent; e != none; e = n.eps[e].next {
			if to := n.eps[e].to; n.nodes[to].loop == loopNone {
				age[to] = max(age[to], age[p])
			}
		}
	}
	return age
}

// literal adds the trie below a pure node to the minimal graph.
func (d *determiniser) literal(settled atomSet, p int32) target {
	n := d.nfa
	v := &n.nodes[p]
	d.atoms = d.atoms[:0]
	for e := v.silent; e != none; e = n.eps[e].next {
		d.atoms = n.acceptedBy(d.atoms, n.eps[e].to)
	}
	settled = d.sets.union(settled, d.atoms)
	if o := n.owner[p]; o >= 0 && d.sets.decides(settled, o) || !d.charge(1) {
		return final(settled)
	}
	d.atoms = n.acceptedBy(d.atoms[:0], p)
	end := d.sets.union(settled, d.atoms)
	var edges []edge
	for c := v.first; c != none; c = n.nodes[c].next {
		if to := d.literal(settled, c); !to.is(settled) {
			edges = append(edges, edge{byte(n.nodes[c].label), to})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return int(a.b) - int(b.b) })
	t := d.g.state(final(settled), end, edges)
	if t.tag() == tagState {
		d.g.hint[t.index()] = final(settled)
	}
	return t
}
