package emit

import (
	"math"

	"github.com/snappy-policy/snappy/compiler/object"
)

// Kernels before 6.6 have no jump of more than 16 bits. A function that is
// longer gets islands: runs of plain jumps that nothing falls into, every
// islandEvery slots. A jump out of reach goes to the next island on its way,
// and on from there. There is room for 32,767 - islandEvery jumps on an island.
const islandEvery = 16 << 10

// island is a run of jumps before instruction at.
type island struct {
	at    int
	over  bool          // a jump around it is needed: the code before falls through
	entry map[Label]int // index of the jump to a label
	jumps []Label
}

// slots is how much room the island takes.
func (is *island) slots() int {
	if is.over && len(is.jumps) > 0 {
		return len(is.jumps) + 1
	}
	return len(is.jumps)
}

// layout assigns slots to the instructions and islands of a function.
type layout struct {
	b       *Builder
	islands []*island
	slot    []int // of each instruction, without islands
	// before is, for each island, how many slots the islands up to and with it take.
	before []int
}

func (b *Builder) newLayout() *layout {
	l := &layout{b: b, slot: make([]int, len(b.code)+1)}
	next := islandEvery
	for i, in := range b.code {
		l.slot[i+1] = l.slot[i] + 1
		if in.Op == object.OpLddw {
			l.slot[i+1]++
		}
		if l.slot[i+1] >= next && i+1 < len(b.code) {
			over := in.Op != object.ClassJMP|object.OpJa && in.Op != object.ClassJMP|object.OpExit
			// Look for a place that nothing falls into, for a while.
			if over && l.slot[i+1] < next+islandEvery/8 {
				continue
			}
			l.islands = append(l.islands, &island{at: i + 1, over: over, entry: map[Label]int{}})
			next = l.slot[i+1] + islandEvery
		}
	}
	l.before = make([]int, len(l.islands))
	return l
}

// first is the number of islands before instruction i; one that is exactly there counts.
func (l *layout) first(i int) int {
	lo, hi := 0, len(l.islands)
	for lo < hi {
		if mid := (lo + hi) / 2; l.islands[mid].at <= i {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// at is the final slot of instruction i.
func (l *layout) at(i int) int {
	if n := l.first(i); n > 0 {
		return l.slot[i] + l.before[n-1]
	}
	return l.slot[i]
}

// entryAt is the final slot of jump j of island k.
func (l *layout) entryAt(k, j int) int {
	is := l.islands[k]
	return l.slot[is.at] + l.before[k] - len(is.jumps) + j
}

func inReach(from, to int) bool {
	d := to - from - 1
	return d >= math.MinInt16 && d <= math.MaxInt16
}

// hop is the slot to which a jump at slot from has to go for a label, if k is the next
// island on its way. need is false if it is the label itself.
func (l *layout) hop(from, k int, to Label) (slot int, need bool) {
	target := l.at(l.b.labels[to])
	if inReach(from, target) || k < 0 || k >= len(l.islands) {
		return target, false
	}
	if j, ok := l.islands[k].entry[to]; ok {
		return l.entryAt(k, j), true
	}
	return 0, true
}

// settle adds jumps to islands until each jump reaches its target. Islands
// only grow, so that what is out of reach stays so, and no jump on an island is
// left that nothing uses.
func (l *layout) settle() {
	for changed := true; changed; {
		changed = false
		sum := 0
		for k, is := range l.islands {
			sum += is.slots()
			l.before[k] = sum
		}
		want := func(from, k int, to Label) {
			if _, need := l.hop(from, k, to); !need {
				return
			}
			is := l.islands[k]
			if _, ok := is.entry[to]; !ok {
				is.entry[to] = len(is.jumps)
				is.jumps = append(is.jumps, to)
				changed = true
			}
		}
		for i, to := range l.b.refs {
			if to >= 0 {
				want(l.at(i), l.next(i, to), to)
			}
		}
		for k, is := range l.islands {
			for j, to := range is.jumps[:len(is.jumps):len(is.jumps)] {
				want(l.entryAt(k, j), l.after(k, to), to)
			}
		}
	}
}

// next is the next island on the way from instruction i to a label.
func (l *layout) next(i int, to Label) int {
	if l.b.labels[to] > i {
		return l.first(i)
	}
	return l.first(i) - 1
}

// after is the next island on the way from island k to a label.
func (l *layout) after(k int, to Label) int {
	if l.b.labels[to] >= l.islands[k].at {
		return k + 1
	}
	return k - 1
}

// place puts the islands into the code and sets every jump's offset. It
// returns the number of jumps that are out of reach nevertheless.
func (l *layout) place() (code []object.Insn, bad int) {
	set := func(in *object.Insn, from, k int, to Label) {
		slot, _ := l.hop(from, k, to)
		if !inReach(from, slot) {
			bad++
			return
		}
		in.Off = int32(slot - from - 1)
	}
	k := 0
	for i, in := range l.b.code {
		for ; k < len(l.islands) && l.islands[k].at == i; k++ {
			is := l.islands[k]
			jump := object.Insn{Op: object.ClassJMP | object.OpJa}
			if is.slots() > len(is.jumps) {
				jump.Off = int32(len(is.jumps))
				code = append(code, jump)
			}
			for j, to := range is.jumps {
				set(&jump, l.entryAt(k, j), l.after(k, to), to)
				code = append(code, jump)
			}
		}
		if to := l.b.refs[i]; to >= 0 {
			set(&in, l.at(i), l.next(i, to), to)
		}
		code = append(code, in)
	}
	return code, bad
}
