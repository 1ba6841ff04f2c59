package match

import (
	"encoding/binary"
	"slices"
)

// Sizes and fields of the table; the package documentation explains them.
const (
	// FinalState is added to an accept class to make the state that ends a match.
	FinalState = 1 << 23
	// StateSize is the unit of a state, SlotSize that of a branch slot, in bytes.
	StateSize = 8
	SlotSize  = 4
	// Guard is how many bytes past a valid state or slot offset may be loaded.
	Guard = 24
	// PathSlack is how many bytes past the terminating NUL of a path must be
	// readable, whatever they hold.
	PathSlack = 7

	kindRun    = 0 // low bits of a record's header
	kindBranch = 1
	kindScan   = 3

	maxRun     = 8
	maxRetries = 2 // longest chain of runs that fail without ending the match
)

// record is one entry of the table before it has an offset.
type record struct {
	kind  uint64
	other target  // run: state after a failure; branch: default
	next  target  // run
	word  uint64  // run: the bytes to compare
	count int     // run: how many
	row   int32   // branch
	scan  [2]byte // branch
}

func (r *record) size() int {
	switch r.kind {
	case kindRun:
		return 16
	case kindScan:
		return 24
	}
	return 8
}

// encoder lays out a graph as a table.
type encoder struct {
	g     *graph
	limit int

	links   []link
	retries []int8 // by state: steps without consuming that may follow; see plan

	place   []int32 // by state: index of its record, or none
	records []record
	offset  []uint32 // by record, in units of StateSize
	size    int

	rows     [][]edge // branch rows; a target for byte 0 is the end
	entries  int      // of all rows
	rowIndex hashIndex
}

// A link describes a state that differs from another in one byte only, its
// fail state: the two can be told apart by comparing one byte, and several
// such states in a row by comparing a word.
type link struct {
	fail target // noTarget: there is none; unknownLink: not looked for yet
	next target
	b    byte
	dist int32 // links from here to the end of the chain; 0 until known
}

const (
	planUnknown = int8(-1)
	planActive  = int8(-2)
	unknownLink = noTarget - 1
)

// encode returns the automaton for the graph.
func encode(g *graph, sets *atomSets, start target, maxTable int) (*Automaton, *overrun) {
	e := &encoder{g: g, limit: maxTable}
	e.links = make([]link, len(g.def))
	e.retries = make([]int8, len(g.def))
	e.place = make([]int32, len(g.def))
	for i := range e.links {
		e.links[i].fail = unknownLink
		e.retries[i] = planUnknown
		e.place[i] = none
	}
	if !e.collect(start) {
		return nil, &overrun{tableBytes, maxTable}
	}
	c := e.pack()
	a := &Automaton{}
	classOf := e.classes(sets, start, a)
	a.Table = e.write(c, classOf)
	if len(a.Table) > maxTable {
		return nil, &overrun{tableBytes, maxTable}
	}
	if len(a.Classes) > MaxClasses {
		return nil, &overrun{"accept classes", MaxClasses}
	}
	a.Start = e.state(start, classOf)
	retries := 0
	for _, r := range e.retries {
		retries = max(retries, int(r))
	}
	a.MaxSteps = (MaxPath + 1) * (1 + retries)
	a.Stats = Stats{
		States: len(g.def), Records: len(e.records), Rows: len(e.rows), Entries: e.entries,
		CombSlots: c.used, Bytes: len(a.Table), Retries: retries,
	}
	for i := range e.records {
		switch e.records[i].kind {
		case kindRun:
			a.Stats.Runs++
		case kindScan:
			a.Stats.Scans++
		}
	}
	for _, c := range a.Classes {
		a.Stats.ClassItems += len(c)
	}
	return a, nil
}

// link returns the link of a state.
func (e *encoder) link(s int32) *link {
	l := &e.links[s]
	if l.fail != unknownLink {
		return l
	}
	l.fail = noTarget
	g := e.g
	if def := g.def[s]; def.tag() == tagFinal {
		bytes, to := g.row(s)
		ends := !def.is(g.end[s])
		switch {
		case len(bytes) == 1 && !ends:
			*l = link{fail: def, next: to[0], b: bytes[0]}
		case len(bytes) == 0 && ends:
			*l = link{fail: def, next: final(g.end[s])}
		}
	}
	if f := g.hint[s]; l.fail == noTarget && f != noTarget && f.tag() == tagState {
		if b, n := e.difference(s, f); n == 1 {
			*l = link{fail: f, next: g.step(tagState|target(s), b), b: b}
		}
	}
	return l
}

// difference counts the bytes by which two states differ, up to many, and
// returns the last.
func (e *encoder) difference(s int32, f target) (byte, int) {
	g := e.g
	if g.def[s] != g.def[f.index()] {
		return 0, 256
	}
	count, last := 0, byte(0)
	if g.end[s] != g.end[f.index()] {
		count++
	}
	sb, st := g.row(s)
	fb, ft := g.row(f.index())
	for i, j := 0, 0; i < len(sb) || j < len(fb); {
		switch {
		case j == len(fb) || i < len(sb) && sb[i] < fb[j]:
			count, last = count+1, sb[i]
			i++
		case i == len(sb) || fb[j] < sb[i]:
			count, last = count+1, fb[j]
			j++
		default:
			if st[i] != ft[j] {
				count, last = count+1, sb[i]
			}
			i++
			j++
		}
	}
	return last, count
}

// distance returns how many links follow each other from a state. Runs end
// where the distance is a multiple of maxRun, so that chains with a common tail
// share its records.
func (e *encoder) distance(from int32) int32 {
	s := from
	var path []int32
	dist := int32(0)
	for {
		l := e.link(s)
		if l.dist != 0 {
			dist = max(l.dist, 0)
			break
		}
		l.dist = -1 // being computed: a cycle ends the chain
		path = append(path, s)
		if l.next.tag() != tagState {
			break
		}
		next := l.next.index()
		if n := e.link(next); n.fail == noTarget || n.fail != e.g.step(l.fail, l.b) {
			break
		}
		s = next
	}
	for i := len(path) - 1; i >= 0; i-- {
		dist++
		e.links[path[i]].dist = dist
	}
	return e.links[from].dist
}

// plan decides whether a state becomes a run, and returns the number of bytes
// it compares; 0 means a branch.
func (e *encoder) plan(s int32) int {
	l := e.link(s)
	if l.fail == noTarget || e.retries[s] == planActive {
		return 0
	}
	n := int(e.distance(s)-1)%maxRun + 1
	if l.fail.tag() == tagFinal {
		e.retries[s] = 0
		return n
	}
	if n == 1 {
		e.retries[s] = 0
		return 0
	}
	if e.retries[s] == planUnknown {
		e.retries[s] = planActive
		after := e.retriesOf(l.fail.index())
		e.retries[s] = 0
		if after < maxRetries {
			e.retries[s] = after + 1
		}
	}
	if e.retries[s] == 0 {
		return 0
	}
	return n
}

// retriesOf returns how many steps that consume nothing may follow each other
// from a state.
func (e *encoder) retriesOf(s int32) int8 {
	if e.retries[s] == planActive {
		return maxRetries
	}
	if e.plan(s) == 0 {
		e.retries[s] = 0
	}
	return e.retries[s]
}

// collect makes the records of all states reachable from the start, each run
// followed by what comes after it. It reports whether they fit.
func (e *encoder) collect(start target) bool {
	stack := []target{start}
	for len(stack) > 0 {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if t.tag() != tagState || e.place[t.index()] != none {
			continue
		}
		s := t.index()
		e.place[s] = int32(len(e.records))
		r := e.record(s)
		e.records = append(e.records, r)
		e.offset = append(e.offset, uint32(e.size/StateSize))
		e.size += r.size()
		if e.size+SlotSize*e.entries > e.limit {
			return false
		}
		stack = append(stack, r.other)
		if r.kind == kindRun {
			stack = append(stack, r.next)
			continue
		}
		for _, x := range slices.Backward(e.rows[r.row]) {
			stack = append(stack, x.to)
		}
	}
	return true
}

func (e *encoder) record(s int32) record {
	if n := e.plan(s); n > 0 {
		r := record{kind: kindRun, count: n, other: e.link(s).fail}
		at := tagState | target(s)
		for i := range n {
			l := e.link(at.index())
			r.word |= uint64(l.b) << (8 * i)
			at = l.next
		}
		r.next = at
		return r
	}
	return e.branch(s)
}

// branch makes the record of a state with a row.
func (e *encoder) branch(s int32) record {
	g := e.g
	def := g.def[s]
	var row []edge
	if !def.is(g.end[s]) {
		row = append(row, edge{0, final(g.end[s])})
	}
	bytes, to := g.row(s)
	for i, b := range bytes {
		row = append(row, edge{b, to[i]})
	}
	r := record{kind: kindBranch, other: def}
	exceptions := row
	if len(row) > 0 && row[0].b == 0 {
		exceptions = row[1:]
	}
	if def == tagState|target(s) && len(exceptions) <= len(r.scan) {
		r.kind = kindScan
		for i := range r.scan {
			if len(exceptions) > 0 {
				r.scan[i] = exceptions[min(i, len(exceptions)-1)].b
			}
		}
	}
	r.row = e.internRow(row)
	return r
}

func (e *encoder) internRow(row []edge) int32 {
	h := uint64(3)
	for _, x := range row {
		h = mix(h, uint64(x.to)<<8|uint64(x.b))
	}
	return e.rowIndex.lookup(h, func(id int32) bool { return slices.Equal(e.rows[id], row) }, func() int32 {
		e.rows = append(e.rows, row)
		e.entries += len(row)
		return int32(len(e.rows) - 1)
	})
}

// classes numbers the sets of atoms that the table can yield: the empty one
// first, the others in lexical order.
func (e *encoder) classes(sets *atomSets, start target, a *Automaton) []int32 {
	classOf := make([]int32, len(sets.start))
	var used []atomSet
	note := func(t target) {
		if t.tag() == tagFinal && t.index() != 0 && classOf[t.index()] == 0 {
			classOf[t.index()] = 1
			used = append(used, t.index())
		}
	}
	note(start)
	for i := range e.records {
		r := &e.records[i]
		note(r.other)
		if r.kind == kindRun {
			note(r.next)
			continue
		}
		for _, x := range e.rows[r.row] {
			note(x.to)
		}
	}
	slices.SortFunc(used, func(x, y atomSet) int { return slices.Compare(sets.list(x), sets.list(y)) })
	a.Classes = append(a.Classes, []int{})
	for i, id := range used {
		classOf[id] = int32(i + 1)
		class := make([]int, 0, len(sets.list(id)))
		for _, atom := range sets.list(id) {
			class = append(class, int(atom))
		}
		a.Classes = append(a.Classes, class)
	}
	return classOf
}

// state returns the state number of a target.
func (e *encoder) state(t target, classOf []int32) uint32 {
	if t.tag() == tagFinal {
		return FinalState + uint32(classOf[t.index()])
	}
	return e.offset[e.place[t.index()]]
}

// write lays out records, branch slots and the guard.
func (e *encoder) write(c *comb, classOf []int32) []byte {
	slots := e.size / SlotSize // where the slots begin
	table := make([]byte, e.size+c.used*SlotSize+Guard+StateSize-1)
	table = table[:len(table)/StateSize*StateSize]
	le := binary.LittleEndian
	for i := range e.records {
		r := &e.records[i]
		at := table[e.offset[i]*StateSize:]
		other := uint64(e.state(r.other, classOf)) << 40
		switch r.kind {
		case kindRun:
			n := uint64(r.count)
			le.PutUint64(at, 64-8*n|n<<8|uint64(e.state(r.next, classOf))<<16|other)
			le.PutUint64(at[8:], r.word<<(64-8*n))
		default:
			base := uint64(slots) + uint64(c.base[r.row])
			le.PutUint64(at, r.kind|base<<16|other)
			if r.kind == kindScan {
				le.PutUint64(at[8:], uint64(r.scan[0])*ones)
				le.PutUint64(at[16:], uint64(r.scan[1])*ones)
			}
		}
	}
	for i := range c.used {
		le.PutUint32(table[(slots+i)*SlotSize:], uint32(vacant(i)))
	}
	for id, row := range e.rows {
		for _, x := range row {
			slot := slots + int(c.base[id]) + int(x.b)
			le.PutUint32(table[slot*SlotSize:], uint32(x.b)|e.state(x.to, classOf)<<8)
		}
	}
	return table
}
