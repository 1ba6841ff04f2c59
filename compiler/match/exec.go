package match

import (
	"encoding/binary"
	"fmt"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Match runs the table over a path and returns its accept class, an index of
// Classes. A NUL byte ends the path, as it does in the kernel. It executes
// exactly the steps that the package documentation prescribes and panics if a
// bound that the kernel checks is broken: a table of Compile never does that.
func (a *Automaton) Match(path []byte) int {
	class, _ := a.run(path, true)
	return class
}

// run also returns the number of steps. Without scan, scan records are read as
// the branches that they are.
func (a *Automaton) run(path []byte, scan bool) (class, steps int) {
	le := binary.LittleEndian
	limit := uint64(len(a.Table) - Guard)
	state, pos := uint64(a.Start), 0
	for {
		at := state * StateSize
		if at > limit {
			if state < FinalState || state >= FinalState+uint64(len(a.Classes)) {
				panic(fmt.Sprintf("match: state %d is outside of the table", state))
			}
			return int(state - FinalState), steps
		}
		steps++
		h := le.Uint64(a.Table[at:])
		w := loadPath(path, pos)
		if h&1 == kindRun {
			if w<<(h&63) == le.Uint64(a.Table[at+8:]) {
				pos += int(h >> 8 & 255)
				state = h >> 16 & (1<<24 - 1)
			} else {
				state = h >> 40
			}
			continue
		}
		if scan && h&3 == kindScan {
			x, y := w^le.Uint64(a.Table[at+8:]), w^le.Uint64(a.Table[at+16:])
			m := ((w-ones)&^w | (x-ones)&^x | (y-ones)&^y) & highs
			if m == 0 {
				pos += 8
				continue
			}
			k := ((m & -m) >> 7) * 0x0001020304050607 >> 56
			pos += int(k)
			w >>= 8 * k
		}
		b := w & 255
		slot := (h>>16&(1<<24-1) + b) * SlotSize
		if slot > limit {
			panic(fmt.Sprintf("match: slot at %d is outside of the table", slot))
		}
		pos++
		state = h >> 40
		if e := le.Uint32(a.Table[slot:]); uint64(e&255) == b {
			state = uint64(e >> 8)
		}
	}
}

// loadPath loads 8 bytes of a NUL-terminated path. Bytes behind the NUL may be
// anything; these are chosen to be noticed if they were used.
func loadPath(path []byte, pos int) uint64 {
	var buf [8]byte
	for i := range buf {
		buf[i] = 0xfb
	}
	if pos > len(path) {
		panic("match: read behind the end of the path")
	}
	if n := copy(buf[:], path[pos:]); n < len(buf) {
		buf[n] = 0
	}
	return binary.LittleEndian.Uint64(buf[:])
}
