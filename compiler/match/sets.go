package match

import (
	"slices"
)

// An atomSet is the number of an interned, ascending list of atoms; 0 is the empty list.
type atomSet = int32

// atomSets interns lists of atoms, so that equal lists have equal numbers.
type atomSets struct {
	start []uint32 // list i is items[start[i]:start[i+1]]
	items []int32
	table hashIndex
	buf   []int32
	group []int32  // by atom: number of its group, or 0
	seen  []uint32 // by group: stamp of the last list that has one of its atoms
	stamp uint32
}

func newAtomSets(atoms []Atom) *atomSets {
	s := &atomSets{start: []uint32{0}, group: make([]int32, len(atoms))}
	number := map[int]int32{0: 0}
	for i, a := range atoms {
		id, ok := number[a.Group]
		if !ok {
			id = int32(len(number))
			number[a.Group] = id
		}
		s.group[i] = id
	}
	s.seen = make([]uint32, len(number))
	s.intern(nil)
	return s
}

func (s *atomSets) list(id atomSet) []int32 { return s.items[s.start[id]:s.start[id+1]] }

// intern returns the number of an ascending list, which it copies.
func (s *atomSets) intern(list []int32) atomSet {
	return s.table.lookup(hashInts(0, list), func(id int32) bool {
		return slices.Equal(s.list(id), list)
	}, func() int32 {
		s.items = append(s.items, list...)
		s.start = append(s.start, uint32(len(s.items)))
		return int32(len(s.start) - 2)
	})
}

// decides reports whether an atom makes no difference to the set: it is in the
// set, or an earlier one of its group is.
func (s *atomSets) decides(id atomSet, atom int32) bool {
	list := s.list(id)
	i, ok := slices.BinarySearch(list, atom)
	if g := s.group[atom]; !ok && g != 0 {
		return slices.ContainsFunc(list[:i], func(a int32) bool { return s.group[a] == g })
	}
	return ok
}

// union returns the set with more atoms, in any order, added, and without those
// that an earlier one of their group hides.
func (s *atomSets) union(id atomSet, more []int32) atomSet {
	if len(more) == 0 {
		return id
	}
	s.buf = append(append(s.buf[:0], s.list(id)...), more...)
	slices.Sort(s.buf)
	s.buf = slices.Compact(s.buf)
	if len(s.seen) > 1 {
		s.stamp++
		s.buf = slices.DeleteFunc(s.buf, func(atom int32) bool {
			g := s.group[atom]
			hidden := g != 0 && s.seen[g] == s.stamp
			s.seen[g] = s.stamp
			return hidden
		})
	}
	return s.intern(s.buf)
}

// hashIndex is an open-addressing hash table of numbers whose keys live
// elsewhere. Its content depends on nothing but the order of insertion.
type hashIndex struct {
	slots  []int32  // number + 1, or 0
	hashes []uint64 // of the numbers in slots
	used   int
}

// lookup returns the number for which equal holds, else that which add makes.
func (h *hashIndex) lookup(hash uint64, equal func(int32) bool, add func() int32) int32 {
	if h.used*2 >= len(h.slots) {
		h.grow()
	}
	mask := uint64(len(h.slots) - 1)
	i := hash & mask
	for ; h.slots[i] != 0; i = (i + 1) & mask {
		if h.hashes[i] == hash && equal(h.slots[i]-1) {
			return h.slots[i] - 1
		}
	}
	id := add()
	h.slots[i], h.hashes[i] = id+1, hash
	h.used++
	return id
}

// find returns the number for which equal holds, or none.
func (h *hashIndex) find(hash uint64, equal func(int32) bool) int32 {
	if len(h.slots) == 0 {
		return none
	}
	mask := uint64(len(h.slots) - 1)
	for i := hash & mask; h.slots[i] != 0; i = (i + 1) & mask {
		if h.hashes[i] == hash && equal(h.slots[i]-1) {
			return h.slots[i] - 1
		}
	}
	return none
}

func (h *hashIndex) grow() {
	slots, hashes := h.slots, h.hashes
	size := max(64, 2*len(slots))
	h.slots, h.hashes = make([]int32, size), make([]uint64, size)
	mask := uint64(size - 1)
	for j, id := range slots {
		if id == 0 {
			continue
		}
		i := hashes[j] & mask
		for h.slots[i] != 0 {
			i = (i + 1) & mask
		}
		h.slots[i], h.hashes[i] = id, hashes[j]
	}
}

// mix adds a value to a hash.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

func hashInts(h uint64, list []int32) uint64 {
	h = mix(h, uint64(len(list)))
	for _, v := range list {
		h = mix(h, uint64(uint32(v)))
	}
	return h
}
