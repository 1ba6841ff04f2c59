package lower

import (
	"encoding/binary"
	"slices"

	"github.com/snappy-policy/snappy/lang/source"
)

// A stage decides a part of a program, the entries start … end-1, as a
// multiway decision DAG: each node tests one variable, in the fixed order, and
// has a child per class of cells; nodes that decide equally are one. What the
// part does not decide goes on at entry end, or where a jump leads.
type stage struct {
	prog       *program
	start, end int
	nodes      []node
	root       int32
	// ranks, if not nil, says that the stage is a part of a run that is decided
	// by ranks: outcomes of nodes are ranks, or fall. last is set in the last part.
	ranks *ranking
	last  bool
	// direct: the part is one entry, too entangled for a DAG; its condition is
	// evaluated operator by operator.
	direct bool
	entry  item
	// kids, if not nil, says that the stage only tests one variable: outcome
	// kidOutcome(i) of its DAG goes on at kids[i], which decides the rest.
	kids []*stage
	next *stage
}

// node is a terminal (v is -1) with an outcome, or tests variable v. A node with
// one kid tests nothing: it says that what follows needs the variable's class.
type node struct {
	v    int32
	out  outcome
	kids []int32
	// def is the kid of the cells that are not listed, an index of kids.
	def   int32
	cells []cellKid
	need  bool
	span  source.Span
}

// cellKid says to which kid a cell leads.
type cellKid struct{ cell, kid int32 }

// item is what remains of an entry.
type item struct {
	pos int32 // of the entry
	f   formula
	out outcome
}

// state is a residual list: the first item that holds is taken, final if none does.
type state struct {
	items []item
	final outcome
}

// builder builds the DAG of one stage.
type builder struct {
	stage  *stage
	fs     *formulas
	end    int // of the stage; jumps to it or behind leave the stage
	nodes  []node
	index  map[string]int32 // nodes by state
	same   map[string]int32 // nodes by what they test and where they lead
	prog   *program
	inner  int // nodes that are not terminal
	budget int // what may still be spent; negative: too much was
	worlds map[int32]*world
}

// work is what a DAG may cost before something else is tried: what any may, and
// what each entry adds. The entries of its tables count too.
type work struct{ base, entry int }

var usualWork = work{1 << 13, 64}

// maxInner and innerShare bound the inner nodes of a DAG for a whole program: a
// larger one is code that tables would do better.
const (
	maxInner   = 256
	innerShare = 1.0 / 16 // per entry
)

// tryItems builds the DAG of a list; false if that costs too much.
func (s *stage) tryItems(fs *formulas, items []item) bool {
	b := &builder{stage: s, fs: fs, end: s.end, prog: s.prog, index: map[string]int32{}, same: map[string]int32{}, worlds: map[int32]*world{},
		budget: fs.work.base + fs.work.entry*len(items)}
	final := leaveProgram(s.prog, jumpTo(s.end))
	if s.ranks != nil {
		b.end, final = 0, fall
	}
	s.root = b.node(b.normalise(items, final))
	s.nodes = b.nodes
	if s.ranks == nil && b.inner > maxInner+int(innerShare*float64(len(items))) {
		return false
	}
	return b.budget >= 0 || len(items) == 0
}

// inside tells whether an outcome is a jump within the stage.
func (b *builder) inside(o outcome) bool { return !o.isLeaf() && int(o.pos()) < b.end }

// normalise drops what cannot matter: items that are false, items behind one
// that is true, and items at the end that lead where the list leads anyway.
func (b *builder) normalise(items []item, final outcome) state {
	for {
		kept, fin := b.prune(items, final)
		again := false
		last := int32(-1)
		if len(kept) > 0 {
			last = kept[len(kept)-1].pos
		}
		for i, it := range kept {
			if b.inside(it.out) && it.out.pos() > last {
				kept[i].out = fin
				again = true
			}
		}
		for len(kept) > 0 && kept[len(kept)-1].out == fin {
			kept = kept[:len(kept)-1]
			again = again || len(kept) > 0 && b.inside(kept[len(kept)-1].out)
		}
		if !again {
			return state{kept, fin}
		}
		items, final = kept, fin
	}
}

// prune drops false items and those that a true one hides.
func (b *builder) prune(items []item, final outcome) ([]item, outcome) {
	kept := make([]item, 0, len(items))
	var labels []int32 // where kept items jump to, ascending
	skip := int32(-1)  // nothing reaches the items before it
	for _, it := range items {
		if it.f == isFalse || it.pos < skip {
			continue
		}
		if it.f == isTrue {
			i, _ := slices.BinarySearch(labels, it.pos+1)
			switch {
			case b.inside(it.out) && (i == len(labels) || labels[i] >= it.out.pos()):
				skip = it.out.pos()
				continue
			case i == len(labels):
				return kept, it.out
			}
			skip = labels[i]
		} else if b.inside(it.out) {
			if i, ok := slices.BinarySearch(labels, it.out.pos()); !ok {
				labels = slices.Insert(labels, i, it.out.pos())
			}
		}
		kept = append(kept, it)
	}
	return kept, final
}

// node gives the node of a state.
func (b *builder) node(s state) int32 {
	b.budget -= 1 + len(s.items)
	key := make([]byte, 0, 4+12*len(s.items))
	key = binary.LittleEndian.AppendUint32(key, uint32(s.final))
	for _, it := range s.items {
		key = binary.LittleEndian.AppendUint32(key, uint32(it.pos))
		key = binary.LittleEndian.AppendUint32(key, uint32(it.f))
		key = binary.LittleEndian.AppendUint32(key, uint32(it.out))
	}
	if n, ok := b.index[string(key)]; ok {
		return n
	}
	id := b.unique(b.expand(s))
	b.index[string(key)] = id
	return id
}

// unique gives the node that tests the same and leads to the same.
func (b *builder) unique(n node) int32 {
	if len(n.kids) == 1 && !n.need {
		return n.kids[0]
	}
	key := make([]byte, 1, 13+8*len(n.cells))
	key = binary.LittleEndian.AppendUint32(key, uint32(n.v))
	key = binary.LittleEndian.AppendUint32(key, uint32(n.out))
	if n.v >= 0 && b.budget >= 0 {
		key = binary.LittleEndian.AppendUint32(key, uint32(n.kids[n.def]))
		for _, c := range n.cells {
			key = binary.LittleEndian.AppendUint32(key, uint32(c.cell))
			key = binary.LittleEndian.AppendUint32(key, uint32(n.kids[c.kid]))
		}
	}
	id, ok := b.same[string(key)]
	if !ok {
		b.nodes = append(b.nodes, n)
		id = int32(len(b.nodes) - 1)
		b.same[string(key)] = id
		if n.v >= 0 {
			b.inner++
		}
	}
	return id
}

func (b *builder) expand(s state) node {
	v := int32(noVar)
	for _, it := range s.items {
		v = min(v, b.fs.at(it.f).lo)
	}
	if v == noVar {
		return b.terminal(s.final)
	}
	if b.budget < 0 {
		return node{v: -1, out: s.final} // the stage is thrown away
	}
	n := node{v: v}
	for _, it := range s.items {
		if b.fs.at(it.f).lo == v {
			n.span = b.prog.entries[it.pos].span
			break
		}
	}
	return b.split(n, s)
}

// terminal is the node of an outcome, behind those that say which classes it needs.
func (b *builder) terminal(o outcome) node {
	n := node{v: -1, out: o}
	if b.stage.needs(o) {
		for _, v := range slices.Backward(b.stage.ranks.vars) {
			n = node{v: v.order, kids: []int32{b.unique(n)}, need: true}
		}
	}
	return n
}

// split computes the kids of a node: cells in which the same of the atoms hold
// that the state asks for lead to the same kid.
func (b *builder) split(n node, s state) node {
	v := b.fs.vars[n.v]
	b.fs.begin()
	asked := map[int32]bool{}
	var atoms []int32
	// always are the items that may hold in any cell, by atom those that need it.
	var always []int32
	needs := map[int32][]int32{}
	before := b.fs.steps
	for i, it := range s.items {
		node := b.fs.at(it.f)
		if node.lo != n.v {
			always = append(always, int32(i))
			continue
		}
		b.fs.collect(it.f, n.v, func(a int32) {
			if !asked[a] {
				asked[a] = true
				atoms = append(atoms, a)
			}
		})
		if l, ok := b.fs.guard(it.f, n.v); ok {
			needs[l.atom] = append(needs[l.atom], int32(i))
		} else {
			always = append(always, int32(i))
		}
	}
	slices.Sort(atoms)
	w := b.worlds[n.v]
	if w == nil {
		w = &world{v: n.v, has: make([]uint32, len(v.holders))}
		b.worlds[n.v] = w
	}

	kidOf := map[int32]int32{} // node to kid
	kid := func(st state) int32 {
		id := b.node(st)
		k, ok := kidOf[id]
		if !ok {
			k = int32(len(n.kids))
			kidOf[id] = k
			n.kids = append(n.kids, id)
		}
		return k
	}
	listed := b.signatures(v, atoms)
	bySignature := map[string]int32{}
	in := func(sig []byte) int32 {
		k, ok := bySignature[string(sig)]
		if !ok {
			k = kid(b.restrict(s, w, sig, always, needs))
			bySignature[string(sig)] = k
		}
		return k
	}
	n.def = -1
	if len(listed) < v.known {
		n.def = in(nil)
	}
	for _, l := range listed {
		if b.budget < 0 {
			break
		}
		k := in(l.sig)
		if n.def < 0 {
			n.def = k
		}
		if k != n.def {
			n.cells = append(n.cells, cellKid{l.cell, k})
		}
	}
	if v.unresolvable && b.budget >= 0 {
		w.unresolved = true
		k := kid(b.restrictAll(s, w))
		w.unresolved = false
		if k != n.def {
			n.cells = append(n.cells, cellKid{int32(v.known), k})
		}
	}
	b.budget -= len(listed) + (b.fs.steps - before)
	if len(n.cells) > maxCases && v.kind == classVar {
		b.budget -= v.known / 8
	}
	return n
}

// cellSignature is a cell with those of the atoms asked for that hold in it.
type cellSignature struct {
	cell int32
	sig  []byte // atoms, 4 bytes each
}

// signatures lists the known cells in which any of the atoms holds.
func (b *builder) signatures(v *variable, atoms []int32) []cellSignature {
	var pairs []uint64
	for _, a := range atoms {
		for _, c := range v.holders[a] {
			pairs = append(pairs, uint64(c)<<32|uint64(a))
		}
	}
	b.budget -= len(pairs)
	if b.budget < 0 {
		return nil
	}
	slices.Sort(pairs)
	bytes := make([]byte, 0, 4*len(pairs))
	var out []cellSignature
	for i := 0; i < len(pairs); {
		cell, from := int32(pairs[i]>>32), len(bytes)
		for ; i < len(pairs) && int32(pairs[i]>>32) == cell; i++ {
			bytes = binary.LittleEndian.AppendUint32(bytes, uint32(pairs[i]))
		}
		out = append(out, cellSignature{cell, bytes[from:]})
	}
	return out
}

// restrict gives what remains of a state in a cell with a signature.
func (b *builder) restrict(s state, w *world, sig []byte, always []int32, needs map[int32][]int32) state {
	w.gen++
	b.fs.begin()
	alive := slices.Clone(always)
	for i := 0; i < len(sig); i += 4 {
		a := int32(binary.LittleEndian.Uint32(sig[i:]))
		w.has[a] = w.gen
		alive = append(alive, needs[a]...)
	}
	if len(alive) > len(always) {
		slices.Sort(alive)
	}
	b.budget -= len(alive)
	items := make([]item, 0, len(alive))
	for _, i := range alive {
		it := s.items[i]
		it.f = b.fs.restrict(it.f, w)
		items = append(items, it)
		if it.f == isTrue && len(s.items) > 64 && !b.jumpsBehind(items) {
			break // nothing behind it can matter
		}
	}
	return b.normalise(items, s.final)
}

// jumpsBehind tells whether any of the items leads past the last one.
func (b *builder) jumpsBehind(items []item) bool {
	last := items[len(items)-1]
	if b.inside(last.out) {
		return true
	}
	for _, it := range items {
		if b.inside(it.out) && it.out.pos() > last.pos {
			return true
		}
	}
	return false
}

// restrictAll gives what remains of a state in a world, whatever the items need.
func (b *builder) restrictAll(s state, w *world) state {
	b.fs.begin()
	b.budget -= len(s.items)
	items := make([]item, len(s.items))
	for i, it := range s.items {
		items[i] = it
		items[i].f = b.fs.restrict(it.f, w)
	}
	return b.normalise(items, s.final)
}
