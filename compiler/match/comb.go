package match

import (
	"cmp"
	"slices"
)

// A comb is an arrangement of branch rows in one array of slots: the entry of
// row r for byte b is in slot base[r]+b, and rows interleave.
//
// An entry carries its byte, and no two rows have one base, so that the byte
// alone tells whether a slot belongs to a row: slot i with byte b belongs to
// the row with base i-b. No row has a base that is 255 modulo 256; a vacant
// slot carries the byte that would lead to such a base.
type comb struct {
	base []int32
	used int // slots, including those that a lookup may read behind the last entry
}

// vacant returns the byte of a slot without entry.
func vacant(slot int) byte { return byte(slot + 1) }

// maxTries bounds the search for a gap for one row; then it goes behind all others.
const maxTries = 1024

// pack arranges the rows, the longest first, each at the first gap that holds
// it. The search starts where it ended for the last row of the same length.
func (e *encoder) pack() *comb {
	c := &comb{base: make([]int32, len(e.rows))}
	order := make([]int32, len(e.rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int {
		return cmp.Compare(len(e.rows[y]), len(e.rows[x]))
	})
	var taken, based []bool // by slot: holds an entry; by slot: is a base
	at := func(list []bool, i int) bool { return i < len(list) && list[i] }
	set := func(list *[]bool, i int) {
		for i >= len(*list) {
			*list = append(*list, make([]bool, max(1024, len(*list)))...)
		}
		(*list)[i] = true
	}
	var cursor [257]int // by length of row
	last := 0           // end of the entries
	for _, id := range order {
		row := e.rows[id]
		first := 0
		if len(row) > 0 {
			first = int(row[0].b)
		}
		fits := func(base int) bool {
			if base < 0 || base&255 == 255 || at(based, base) {
				return false
			}
			for _, x := range row {
				if at(taken, base+int(x.b)) {
					return false
				}
			}
			return true
		}
		base, tries := cursor[len(row)], 0
		for !fits(base) {
			if tries++; tries == maxTries {
				base = max(base, last-first)
			} else {
				base++
			}
		}
		cursor[len(row)] = base
		set(&based, base)
		c.base[id] = int32(base)
		for _, x := range row {
			set(&taken, base+int(x.b))
			last = max(last, base+int(x.b)+1)
		}
		c.used = max(c.used, base+256)
	}
	return c
}
