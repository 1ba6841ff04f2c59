package lower

import "encoding/binary"

// reducer cuts a DAG down to the ways from the root to the nodes that test one
// variable: the region behind its classifier can be reached by no other way.
type reducer struct {
	nodes []node
	fs    *formulas
	r     *region
	goal  int32
	memo  map[int32]int32
	same  map[string]int32
}

// anyClass is the goal of reaching any class that is not at hand.
const anyClass = -1

// impossible stands for a node that does not lead to the goal.
const impossible = -1

func (d *reducer) node(id int32) int32 {
	n := d.nodes[id]
	if n.v < 0 {
		return impossible
	}
	if v := d.fs.vars[n.v]; v.kind == classVar {
		if _, ok := d.r.classes[n.v]; !ok {
			if n.v == d.goal || d.goal == anyClass {
				return id
			}
			return impossible
		}
	}
	if m, ok := d.memo[id]; ok {
		return m
	}
	out := node{v: n.v, span: n.span}
	index := map[int32]int32{}
	kids := make([]int32, len(n.kids))
	for i, k := range n.kids {
		m := d.node(k)
		if m == impossible {
			kids[i] = anyCell
			continue
		}
		j, ok := index[m]
		if !ok {
			j = int32(len(out.kids))
			index[m] = j
			out.kids = append(out.kids, m)
		}
		kids[i] = j
	}
	result := int32(impossible)
	switch {
	case len(out.kids) == 1:
		result = out.kids[0]
	case len(out.kids) > 1:
		mapped := func(kid int32) int32 {
			if kid == anyCell {
				return anyCell
			}
			return kids[kid]
		}
		out.def = mapped(n.def)
		for _, c := range n.cells {
			out.cells = append(out.cells, cellKid{c.cell, mapped(c.kid)})
		}
		key := binary.LittleEndian.AppendUint32(nil, uint32(out.v))
		key = binary.LittleEndian.AppendUint32(key, uint32(out.kid(out.def)))
		for _, c := range out.cells {
			key = binary.LittleEndian.AppendUint32(key, uint32(c.cell))
			key = binary.LittleEndian.AppendUint32(key, uint32(out.kid(c.kid)))
		}
		var ok bool
		if result, ok = d.same[string(key)]; !ok {
			d.nodes = append(d.nodes, out)
			result = int32(len(d.nodes) - 1)
			d.same[string(key)] = result
		}
	}
	d.memo[id] = result
	return result
}

// kid is the node of a kid's index, impossible for anyCell.
func (n *node) kid(i int32) int32 {
	if i == anyCell {
		return impossible
	}
	return n.kids[i]
}
