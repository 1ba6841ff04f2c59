package match

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// maxClassItems bounds the total length of the lists of classes of one result.
const maxClassItems = 4 << 20

// key is an unsigned number of 128 bits.
type key struct{ hi, lo uint64 }

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// next returns k+1 and whether it is a key.
func (k key) next() (key, bool) {
	lo, carry := bits.Add64(k.lo, 1, 0)
	hi, over := bits.Add64(k.hi, 0, carry)
	return key{hi, lo}, over == 0
}

// span is a range of keys, both ends included.
type span struct{ lo, hi key }

// interval is a maximal range of keys for which the same sets hold: from start
// to the key before the start of the next interval.
type interval struct {
	start key
	class int32 // identity of a set until numberClasses replaces it
}

// sweeper partitions key spaces by membership in sets. The sets that hold are
// kept as a binary tree over the indexes in which equal trees are one node, so
// that a change costs the depth of the tree and equality is that of numbers.
type sweeper struct {
	depth int        // of the tree: 1<<depth indexes
	nodes [][2]int32 // children by index bit; 0 is empty, 1 a leaf that is present
	index hashIndex
}

func newSweeper(sets int) *sweeper {
	return &sweeper{depth: bits.Len(uint(max(sets-1, 0))), nodes: make([][2]int32, 2)}
}

// toggle returns the tree with one index added, or removed if it is present.
func (s *sweeper) toggle(tree int32, index, level int) int32 {
	if level == 0 {
		return 1 - tree
	}
	c := s.nodes[tree]
	side := index >> (level - 1) & 1
	c[side] = s.toggle(c[side], index, level-1)
	if c == [2]int32{} {
		return 0
	}
	return s.index.lookup(hashInts(uint64(level), c[:]), func(id int32) bool { return s.nodes[id] == c }, func() int32 {
		s.nodes = append(s.nodes, c)
		return int32(len(s.nodes) - 1)
	})
}

// list appends the indexes in a tree, ascending.
func (s *sweeper) list(out []int, tree int32, base, level int) []int {
	if tree == 0 {
		return out
	}
	if level == 0 {
		return append(out, base)
	}
	out = s.list(out, s.nodes[tree][0], base, level-1)
	return s.list(out, s.nodes[tree][1], base+1<<(level-1), level-1)
}

// partition returns the intervals of the key space; the first starts at 0.
func (s *sweeper) partition(sets [][]span) []interval {
	type event struct {
		at  key
		set int
	}
	var events []event
	for i, set := range sets {
		for _, r := range merge(set) {
			events = append(events, event{r.lo, i})
			if after, ok := r.hi.next(); ok {
				events = append(events, event{after, i})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return compareKeys(a.at, b.at) })
	out := []interval{{}}
	tree := int32(0)
	for i := 0; i < len(events); {
		at := events[i].at
		for ; i < len(events) && events[i].at == at; i++ {
			tree = s.toggle(tree, events[i].set, s.depth)
		}
		switch last := &out[len(out)-1]; {
		case last.start == at:
			last.class = tree
		case last.class != tree:
			out = append(out, interval{at, tree})
		}
	}
	return out
}

// merge returns the spans sorted, with those that touch joined.
func merge(spans []span) []span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return compareKeys(a.lo, b.lo) })
	out := spans[:0]
	for _, r := range spans {
		if len(out) > 0 {
			last := &out[len(out)-1]
			after, ok := last.hi.next()
			if !ok || compareKeys(r.lo, after) <= 0 {
				if compareKeys(r.hi, last.hi) > 0 {
					last.hi = r.hi
				}
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// numberClasses replaces the identities in the intervals by class numbers, the
// empty class first and the others in lexical order, and returns the classes.
func (s *sweeper) numberClasses(lists ...[]interval) ([][]int, error) {
	number := map[int32]int32{0: 0}
	type class struct {
		tree int32
		list []int
	}
	var classes []class
	items := 0
	for _, l := range lists {
		for _, v := range l {
			if _, ok := number[v.class]; ok {
				continue
			}
			number[v.class] = 0
			c := class{v.class, s.list(nil, v.class, 0, s.depth)}
			if items += len(c.list); items > maxClassItems {
				return nil, fmt.Errorf("sets overlap in too many ways: more than %d members of classes", maxClassItems)
			}
			classes = append(classes, c)
		}
	}
	slices.SortFunc(classes, func(a, b class) int { return slices.Compare(a.list, b.list) })
	out := [][]int{{}}
	for _, c := range classes {
		number[c.tree] = int32(len(out))
		out = append(out, c.list)
	}
	for _, l := range lists {
		for i := range l {
			l[i].class = number[l[i].class]
		}
	}
	return out, nil
}

// paddedSteps returns the number of steps of a search over n keys; its table
// has 1<<steps.
func paddedSteps(n int) int { return bits.Len(uint(n - 1)) }
