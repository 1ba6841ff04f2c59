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
	m := machine{a: a, path: path, scan: true, state: a.Start}
	return m.run()
}

// machine executes a table.
type machine struct {
	a     *Automaton
	path  []byte
	scan  bool // use the scanning of branches that have it
	state uint32
	pos   int
	steps int
}

func (m *machine) done() bool { return m.state > m.a.Limit() }

// run makes all steps and returns the class.
func (m *machine) run() int {
	for !m.done() {
		m.step()
	}
	class := int(m.state) - FinalState
	if class < 0 || class >= len(m.a.Classes) {
		panic(fmt.Sprintf("match: state %d is outside of the table", m.state))
	}
	return class
}

func (m *machine) step() {
	m.steps++
	le := binary.LittleEndian
	record := m.a.Table[m.state*StateSize:][:Guard]
	h := le.Uint64(record)
	w := loadPath(m.path, m.pos)
	if h&1 == kindRun {
		if w<<(h&63) == le.Uint64(record[8:]) {
			m.pos += int(h >> 8 & 255)
			m.state = uint32(h >> 16 & 0xffffff)
		} else {
			m.state = uint32(h >> 40)
		}
		return
	}
	if m.scan && h&3 == kindScan {
		x, y := w^le.Uint64(record[8:]), w^le.Uint64(record[16:])
		zero := ((w-ones)&^w | (x-ones)&^x | (y-ones)&^y) & highs
		if zero == 0 {
			m.pos += 8
			return
		}
		k := ((zero & -zero) >> 7) * 0x0001020304050607 >> 56
		m.pos += int(k)
		w >>= 8 * k
	}
	b := w & 255
	slot := (h>>16&0xffffff + b) * SlotSize
	if slot > uint64(len(m.a.Table)-Guard) {
		panic(fmt.Sprintf("match: slot at %d is outside of the table", slot))
	}
	m.pos++
	m.state = uint32(h >> 40)
	if e := le.Uint32(m.a.Table[slot:]); uint64(e&255) == b {
		m.state = e >> 8
	}
}

// loadPath loads 8 bytes of a NUL-terminated path. Bytes behind the NUL may be
// anything; these are chosen to be noticed if they were used.
func loadPath(path []byte, pos int) uint64 {
	if pos+8 <= len(path) {
		return binary.LittleEndian.Uint64(path[pos:])
	}
	if pos > len(path) {
		panic("match: read behind the end of the path")
	}
	buf := [8]byte{0xfb, 0xfb, 0xfb, 0xfb, 0xfb, 0xfb, 0xfb, 0xfb}
	if n := copy(buf[:], path[pos:]); n < len(buf) {
		buf[n] = 0
	}
	return binary.LittleEndian.Uint64(buf[:])
}
