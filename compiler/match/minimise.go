package match

import "slices"

// minimise turns the subsets into states of the minimal graph and returns the
// graph with the start's place in it. First, subsets whose outcome is fixed
// become final. Then those from which no cycle can be reached are added from
// the ends, equal rows once. What remains is refined: subsets are equal until a
// difference is found.
func (d *determiniser) minimise(start target) (*graph, target) {
	m := &minimiser{d: d, g: d.g, place: make([]target, len(d.states))}
	for i := range d.states {
		m.place[i] = d.states[i].alias
	}
	m.linkBack()
	m.findFixed()
	m.addAcyclic()
	m.refine()
	m.setHints()
	return m.g, m.resolve(start)
}

type minimiser struct {
	d     *determiniser
	g     *graph
	place []target // by subset: its target in the graph, or noTarget

	// Subsets that lead to subset i directly: preds[predStart[i]:predStart[i+1]].
	predStart []uint32
	preds     []int32

	edges []edge
}

// resolve returns the place of a target; a subset without one stays itself.
func (m *minimiser) resolve(t target) target {
	if t.tag() == tagSubset && m.place[t.index()] != noTarget {
		return m.place[t.index()]
	}
	return t
}

func (m *minimiser) row(i int32) []edge {
	s := &m.d.states[i]
	return m.d.rows[s.edges : s.edges+s.deg]
}

// successors calls f with every target of a subset; some come more than once.
func (m *minimiser) successors(i int32, f func(target)) {
	if m.d.states[i].alias != noTarget {
		return
	}
	f(m.d.states[i].def)
	for _, e := range m.row(i) {
		f(e.to)
	}
}

func (m *minimiser) linkBack() {
	count := len(m.place)
	m.predStart = make([]uint32, count+1)
	for i := int32(0); i < int32(count); i++ {
		m.successors(i, func(t target) {
			if t.tag() == tagSubset {
				m.predStart[t.index()+1]++
			}
		})
	}
	for i := 0; i < count; i++ {
		m.predStart[i+1] += m.predStart[i]
	}
	m.preds = make([]int32, m.predStart[count])
	fill := slices.Clone(m.predStart)
	for i := int32(0); i < int32(count); i++ {
		m.successors(i, func(t target) {
			if t.tag() == tagSubset {
				m.preds[fill[t.index()]] = i
				fill[t.index()]++
			}
		})
	}
}

func (m *minimiser) predecessors(i int32) []int32 {
	return m.preds[m.predStart[i]:m.predStart[i+1]]
}

// findFixed places the subsets from which every path ends in the same atoms.
// All are assumed to be so until a successor refutes it.
func (m *minimiser) findFixed() {
	open := make([]bool, len(m.place)) // refuted
	var work []int32
	refute := func(i int32) {
		if !open[i] {
			open[i] = true
			work = append(work, i)
		}
	}
	for i := range m.place {
		if m.place[i] != noTarget {
			if m.place[i].tag() != tagFinal {
				refute(int32(i))
			}
			continue
		}
		end := m.d.states[i].end
		m.successors(int32(i), func(t target) {
			switch t = m.resolve(t); t.tag() {
			case tagSubset:
				if m.d.states[t.index()].end != end {
					refute(int32(i))
				}
			default:
				if !t.is(end) {
					refute(int32(i))
				}
			}
		})
	}
	for len(work) > 0 {
		i := work[len(work)-1]
		work = work[:len(work)-1]
		for _, p := range m.predecessors(i) {
			refute(p)
		}
	}
	for i := range m.place {
		if m.place[i] == noTarget && !open[i] {
			m.place[i] = final(m.d.states[i].end)
		}
	}
}

// placeRow adds a subset whose successors all have a place.
func (m *minimiser) placeRow(i int32) {
	def := m.resolve(m.d.states[i].def)
	m.edges = m.edges[:0]
	for _, e := range m.row(i) {
		if to := m.resolve(e.to); to != def {
			m.edges = append(m.edges, edge{e.b, to})
		}
	}
	m.place[i] = m.g.state(def, m.d.states[i].end, m.edges)
}

func (m *minimiser) addAcyclic() {
	pending := make([]int32, len(m.place)) // successors without a place, with repeats
	var ready []int32
	for i := range m.place {
		if m.place[i] != noTarget {
			continue
		}
		m.successors(int32(i), func(t target) {
			if m.resolve(t).tag() == tagSubset {
				pending[i]++
			}
		})
		if pending[i] == 0 {
			ready = append(ready, int32(i))
		}
	}
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		m.placeRow(i)
		for _, p := range m.predecessors(i) {
			if m.place[p] != noTarget {
				continue
			}
			if pending[p]--; pending[p] == 0 {
				ready = append(ready, p)
			}
		}
	}
}

// setHints gives each state the hint of the first subset placed there.
func (m *minimiser) setHints() {
	for i := range m.d.states {
		t := m.place[i]
		if h := m.d.states[i].hint; t.tag() == tagState && h != noTarget && m.g.hint[t.index()] == noTarget {
			m.g.hint[t.index()] = m.resolve(h)
		}
	}
}
