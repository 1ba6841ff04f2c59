package match

import "slices"

// A target is where a transition leads: a state of the minimal graph, a final
// outcome (the atoms that hold whatever follows) or, while determinising, a
// subset that is not minimised yet.
type target uint32

const (
	tagState  target = 0 << 30
	tagFinal  target = 1 << 30
	tagSubset target = 2 << 30
	tagMask   target = 3 << 30
	noTarget  target = tagMask // no value
)

func final(s atomSet) target       { return tagFinal | target(s) }
func (t target) tag() target       { return t & tagMask }
func (t target) index() int32      { return int32(t &^ tagMask) }
func (t target) is(s atomSet) bool { return t == final(s) }

// graph is a deterministic automaton with states that are pairwise different:
// no two accept the same paths for the same atoms.
//
// A state leads to its default for every byte that has no edge; edges are
// ascending and none equals the default. At the end of the path it yields the
// atoms of its end set.
type graph struct {
	def    []target
	end    []atomSet
	hint   []target // a state from which this one may differ in one byte only
	start  []uint32 // edges of state i are [start[i], start[i+1])
	bytes  []byte
	to     []target
	lookup hashIndex
}

func newGraph() *graph { return &graph{start: []uint32{0}} }

// edge is a transition by one byte.
type edge struct {
	b  byte
	to target
}

// state returns the state with this row, made if need be. Edges are ascending,
// differ from def, and all targets are states of the graph or final.
func (g *graph) state(def target, end atomSet, edges []edge) target {
	if len(edges) == 0 && def.is(end) {
		return def
	}
	h := mix(mix(1, uint64(def)), uint64(end))
	for _, e := range edges {
		h = mix(h, uint64(e.to)<<8|uint64(e.b))
	}
	return target(g.lookup.lookup(h, func(id int32) bool {
		if g.def[id] != def || g.end[id] != end {
			return false
		}
		lo, hi := g.start[id], g.start[id+1]
		if int(hi-lo) != len(edges) {
			return false
		}
		for i, e := range edges {
			if g.bytes[lo+uint32(i)] != e.b || g.to[lo+uint32(i)] != e.to {
				return false
			}
		}
		return true
	}, func() int32 { return g.append(def, end, edges) }))
}

func (g *graph) append(def target, end atomSet, edges []edge) int32 {
	g.def = append(g.def, def)
	g.end = append(g.end, end)
	g.hint = append(g.hint, noTarget)
	for _, e := range edges {
		g.bytes = append(g.bytes, e.b)
		g.to = append(g.to, e.to)
	}
	g.start = append(g.start, uint32(len(g.bytes)))
	return int32(len(g.def) - 1)
}

// row returns the edges of a state.
func (g *graph) row(s int32) ([]byte, []target) {
	lo, hi := g.start[s], g.start[s+1]
	return g.bytes[lo:hi], g.to[lo:hi]
}

// step returns where a target leads by byte b; 0 ends the path.
func (g *graph) step(t target, b byte) target {
	if t.tag() == tagFinal {
		return t
	}
	s := t.index()
	if b == 0 {
		return final(g.end[s])
	}
	bytes, to := g.row(s)
	if i, ok := slices.BinarySearch(bytes, b); ok {
		return to[i]
	}
	return g.def[s]
}
