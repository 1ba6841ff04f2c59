package match

import (
	"encoding/binary"
	"fmt"
	"math"
)

// IntRange is the numbers from Lo to Hi, both included.
type IntRange struct{ Lo, Hi uint64 }

// An IntSet is a condition on a number: it holds if one of its ranges does.
type IntSet []IntRange

// IntClasses classifies numbers of 64 bits.
//
// Table holds n = 1<<Steps keys of 8 bytes, then n class numbers of 4 bytes,
// little-endian. Keys ascend; the first is 0, and class i is that of the
// numbers from key i to the one before key i+1. Unused places at the end repeat
// the largest number and the last class. The search needs no branches:
//
//	i = 0
//	for half = n/2; half > 0; half /= 2:    // Steps times
//	    if key[i+half] <= v:  i += half
//	return class[i]
type IntClasses struct {
	Table   []byte
	Steps   int
	Starts  []uint64 // of the intervals, without the padding
	Class   []int    // of the intervals: index of Classes
	Classes [][]int  // indexes of the sets that hold, ascending; Classes[0] is empty
}

// Partition classifies all numbers by the sets that hold them. Neighbouring
// intervals have different classes. Work is O(n log n log len(sets)) for n
// ranges, apart from the length of the result. It returns an error for a
// reversed range, and if the lists of classes exceed 4 Mi members in total.
func Partition(sets []IntSet) (*IntClasses, error) {
	spans := make([][]span, len(sets))
	for i, set := range sets {
		for _, r := range set {
			if r.Lo > r.Hi {
				return nil, fmt.Errorf("set %d: range %d..%d is reversed", i, r.Lo, r.Hi)
			}
			// Keys of 128 bits: the end of the space is the upper half.
			spans[i] = append(spans[i], span{key{0, r.Lo}, key{0, r.Hi}})
		}
	}
	s := newSweeper(len(sets))
	intervals := s.partition(spans)
	// What starts at 1<<64 is not a number of 64 bits.
	if last := len(intervals) - 1; intervals[last].start.hi > 0 {
		intervals = intervals[:last]
	}
	classes, err := s.numberClasses(intervals)
	if err != nil {
		return nil, err
	}
	c := &IntClasses{Steps: paddedSteps(len(intervals)), Classes: classes}
	for _, v := range intervals {
		c.Starts = append(c.Starts, v.start.lo)
		c.Class = append(c.Class, int(v.class))
	}
	c.Table = encodeSearch(intervals, 8, func(table []byte, k key) {
		binary.LittleEndian.PutUint64(table, k.lo)
	})
	return c, nil
}

// Lookup runs the table for a number and returns the index of its class.
func (c *IntClasses) Lookup(v uint64) int {
	return search(c.Table, c.Steps, 8, func(at []byte) bool {
		return binary.LittleEndian.Uint64(at) <= v
	})
}

// encodeSearch lays out the keys of intervals, padded to a power of two with
// the largest key, and their classes.
func encodeSearch(intervals []interval, width int, put func([]byte, key)) []byte {
	n := 1 << paddedSteps(len(intervals))
	table := make([]byte, n*(width+4))
	for i := range n {
		v := interval{key{math.MaxUint64, math.MaxUint64}, intervals[len(intervals)-1].class}
		if i < len(intervals) {
			v = intervals[i]
		}
		put(table[i*width:], v.start)
		binary.LittleEndian.PutUint32(table[n*width+i*4:], uint32(v.class))
	}
	return table
}

// search runs the binary search that the tables are made for.
func search(table []byte, steps, width int, reached func([]byte) bool) int {
	n := 1 << steps
	i := 0
	for half := n / 2; half > 0; half /= 2 {
		if reached(table[(i+half)*width : (i+half+1)*width]) {
			i += half
		}
	}
	return int(binary.LittleEndian.Uint32(table[n*width+i*4:]))
}
