package lower

import (
	"encoding/binary"
	"slices"
)

// both is a part of an entry that tests both base variables: it holds if one
// of the rectangles does.
type both struct {
	rank  uint32
	f     formula
	rects []rectangle
}

// rectangle holds if both formulas do, the one over the first variable and the
// one over the second.
type rectangle [2]formula

// maxRectangles bounds the rectangles of one formula; one with more is decided by a DAG.
const maxRectangles = 8

// rectangles gives a formula over two variables, of which first is one, as a
// union of rectangles; ok is false if that takes too many.
func (fs *formulas) rectangles(f formula, first int32) (rects []rectangle, ok bool) {
	n := fs.at(f)
	switch {
	case n.lo == n.hi && n.lo == first:
		return []rectangle{{f, isTrue}}, true
	case n.lo == n.hi || n.op == constOp:
		return []rectangle{{isTrue, f}}, true
	case n.op == orOp:
		for _, k := range n.kids {
			more, ok := fs.rectangles(k, first)
			if rects = append(rects, more...); !ok || len(rects) > maxRectangles {
				return nil, false
			}
		}
		return rects, true
	}
	rects = []rectangle{{isTrue, isTrue}}
	for _, k := range n.kids {
		more, ok := fs.rectangles(k, first)
		if !ok || len(rects)*len(more) > maxRectangles {
			return nil, false
		}
		var product []rectangle
		for _, a := range rects {
			for _, b := range more {
				product = append(product, rectangle{fs.join(andOp, []formula{a[0], b[0]}), fs.join(andOp, []formula{a[1], b[1]})})
			}
		}
		rects = product
	}
	return rects, true
}

// area is a rectangle as cells.
type area struct {
	rank  uint32
	cells [2][]int32 // known, ascending
}

// Limits of the work on pairs.
const (
	maxAreaCells = 1 << 23 // cells of all areas together
	maxChecks    = 1 << 24 // comparisons of areas

	maxMatrixBytes = MaxTableBytes / 4
)

// pairUp computes the least rank by pairs of known cells. Areas that share no
// cell of either variable do not meet, so each group of areas that do has a
// matrix of its own, whose rows and columns are the distinct kinds of cells.
func pairUp(fs *formulas, base baseSet, list []both, none uint32) (*pairTables, error) {
	areas, err := areasOf(fs, base, list)
	if err != nil {
		return nil, err
	}
	areas = dropCovered(base, areas)
	if len(areas) == 0 {
		return nil, nil
	}
	groups := groupAreas(base, areas)
	t := &pairTables{}
	for i, v := range base {
		t.group[i] = make([]uint32, v.known+1)
		t.place[i] = make([]uint32, v.known+1)
	}
	// Group 0 is for cells in no area, of the first variable, 1 of the second,
	// so that they equal nothing.
	for c := range t.group[1] {
		t.group[1][c] = 1
	}
	for g, members := range groups {
		if err := t.fillGroup(base, areas, members, uint32(g+2), none); err != nil {
			return nil, err
		}
	}
	// A place of one group may be added to one of another: the sum must lie in the table.
	var most [2]uint32
	for i := range t.place {
		most[i] = slices.Max(t.place[i])
	}
	for uint32(len(t.matrix)) <= most[0]+most[1] {
		t.matrix = append(t.matrix, none)
	}
	return t, nil
}

func areasOf(fs *formulas, base baseSet, list []both) ([]area, error) {
	memo := map[formula][]int32{}
	total := 0
	var out []area
	for _, b := range list {
		for _, r := range b.rects {
			a := area{rank: b.rank}
			for i, f := range r {
				cells, ok := memo[f]
				if !ok || f == isTrue {
					cells = fs.cellsOf(f, base[i])
					memo[f] = cells
				}
				a.cells[i] = cells
				total += len(cells)
			}
			if total > maxAreaCells {
				return nil, errPairs
			}
			if len(a.cells[0]) > 0 && len(a.cells[1]) > 0 {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// cellsOf lists the known cells of a variable in which a formula holds.
func (fs *formulas) cellsOf(f formula, v *variable) []int32 {
	var out []int32
	if l, ok := fs.guard(f, v.order); ok {
		for _, c := range v.holders[l.atom] {
			if fs.holdsIn(f, v, int(c)) {
				out = append(out, c)
			}
		}
		return out
	}
	for c := range v.known {
		if fs.holdsIn(f, v, c) {
			out = append(out, int32(c))
		}
	}
	return out
}

// dropCovered removes areas that lie in one of no higher rank. It gives up
// looking, which is harmless, when that takes too long.
func dropCovered(base baseSet, areas []area) []area {
	// Candidates that cover an area hold its first cell of both variables.
	at := make([][]int32, base[0].known)
	for i, a := range areas {
		for _, c := range a.cells[0] {
			at[c] = append(at[c], int32(i))
		}
	}
	checks := 0
	gone := make([]bool, len(areas))
	for i, a := range areas {
		for _, j := range at[a.cells[0][0]] {
			b := areas[j]
			if int(j) == i || gone[j] || b.rank > a.rank || b.rank == a.rank && len(b.cells[0])*len(b.cells[1]) < len(a.cells[0])*len(a.cells[1]) {
				continue
			}
			if checks += 1 + len(a.cells[0]) + len(a.cells[1]); checks > maxChecks {
				break
			}
			if subset(a.cells[0], b.cells[0]) && subset(a.cells[1], b.cells[1]) {
				gone[i] = true
				break
			}
		}
	}
	var out []area
	for i, a := range areas {
		if !gone[i] {
			out = append(out, a)
		}
	}
	return out
}

// subset tells whether all of a, ascending, are in b, ascending.
func subset(a, b []int32) bool {
	if len(a) > len(b) {
		return false
	}
	for _, x := range a {
		i, ok := slices.BinarySearch(b, x)
		if !ok {
			return false
		}
		b = b[i:]
	}
	return true
}

// groupAreas lists the areas of each group, groups in the order of their first area.
func groupAreas(base baseSet, areas []area) [][]int32 {
	parent := make([]int32, len(areas))
	for i := range parent {
		parent[i] = int32(i)
	}
	var root func(int32) int32
	root = func(i int32) int32 {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i, v := range base {
		first := make([]int32, v.known)
		for j := range first {
			first[j] = -1
		}
		for j, a := range areas {
			for _, c := range a.cells[i] {
				if first[c] < 0 {
					first[c] = int32(j)
				} else {
					x, y := root(first[c]), root(int32(j))
					parent[max(x, y)] = min(x, y)
				}
			}
		}
	}
	index := map[int32]int{}
	var out [][]int32
	for j := range areas {
		r := root(int32(j))
		g, ok := index[r]
		if !ok {
			g = len(out)
			index[r] = g
			out = append(out, nil)
		}
		out[g] = append(out[g], int32(j))
	}
	return out
}

// fillGroup adds the matrix of a group.
func (t *pairTables) fillGroup(base baseSet, areas []area, members []int32, group, none uint32) error {
	var kinds [2][][]int32 // the areas that hold a kind's cells
	kindOf := [2]map[int32]uint32{}
	for i := range base {
		in := map[int32][]int32{}
		var cells []int32
		for _, m := range members {
			for _, c := range areas[m].cells[i] {
				if in[c] == nil {
					cells = append(cells, c)
				}
				in[c] = append(in[c], m)
			}
		}
		slices.Sort(cells)
		index := map[string]uint32{}
		kindOf[i] = map[int32]uint32{}
		for _, c := range cells {
			key := make([]byte, 0, 4*len(in[c]))
			for _, m := range in[c] {
				key = binary.LittleEndian.AppendUint32(key, uint32(m))
			}
			k, ok := index[string(key)]
			if !ok {
				k = uint32(len(kinds[i]))
				index[string(key)] = k
				kinds[i] = append(kinds[i], in[c])
			}
			kindOf[i][c] = k
			t.group[i][c] = group
		}
	}
	start, width := uint32(len(t.matrix)), uint32(len(kinds[1]))
	if (uint64(start)+uint64(len(kinds[0]))*uint64(width))*4 > maxMatrixBytes {
		return errPairs
	}
	for c, k := range kindOf[0] {
		t.place[0][c] = start + k*width
	}
	for c, k := range kindOf[1] {
		t.place[1][c] = k
	}
	for _, row := range kinds[0] {
		for _, col := range kinds[1] {
			t.matrix = append(t.matrix, leastCommon(areas, row, col, none))
		}
	}
	return nil
}

// leastCommon is the least rank of an area that is in both lists, which ascend.
func leastCommon(areas []area, a, b []int32, none uint32) uint32 {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			return areas[a[0]].rank // areas are in the order of ranks
		}
	}
	return none
}
