package codegen

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/compiler/rt"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// machine runs a hook's program as the kernel's would, as far as programs use
// it: routines of compiler/rt are replaced by what the event says, so that only
// scalar arguments of hooks can be fields. It refuses what no verifier accepts:
// reads of stack or registers that were not written.
type machine struct {
	t      *testing.T
	module *ir.Module
	file   *object.File
	ev     *event
	reg    [11]uint64
	known  [11]bool
	stack  [stackBytes]byte
	init   [stackBytes]bool
	tables map[string]uint64 // address of each
	// reported are the leaves that were reported, with what was said to be built.
	reported []uint64
	classes  map[string]int // calls of each classifier
	killed   bool
}

const (
	stackBytes = 512
	stackTop   = 1 << 40
	ctxBase    = 1 << 41
	tableBase  = 1 << 42
)

// event gives arguments by index and classes by classifier.
type event struct {
	hook  *hook.Hook
	args  []uint64
	class []int
	mod   *ir.Module
}

func (e *event) Int(name string) int64 {
	for _, f := range e.hook.Fields {
		if f.Name != name {
			continue
		}
		s := f.Read.(hook.Scalar)
		v := int64(int32(uint32(e.args[s.Base.Arg])))
		if !s.Signed {
			v = int64(e.args[s.Base.Arg] & (1<<(8*s.Size) - 1))
		}
		v >>= s.Shift
		if s.Mask != 0 {
			v &= s.Mask
		}
		return v
	}
	panic("no field " + name)
}

func (e *event) Class(c *ir.Classifier) int {
	for i, o := range e.mod.Classifiers {
		if o == c {
			return e.class[i]
		}
	}
	panic("no classifier")
}

// run gives the return value of the program of the event's hook.
func run(t *testing.T, m *ir.Module, f *object.File, ev *event) (*machine, int32) {
	k := &machine{t: t, module: m, file: f, ev: ev, tables: map[string]uint64{}, classes: map[string]int{}}
	for i, tab := range f.Tables {
		k.tables[tab.Name] = tableBase + uint64(i)<<32
	}
	k.set(1, ctxBase)
	k.set(10, stackTop)
	var code []object.Insn
	for _, p := range f.Programs {
		if p.Hook == ev.hook.Name {
			code = p.Code
		}
	}
	require.NotEmpty(t, code)
	return k, k.execute(code)
}

func (k *machine) set(r uint8, v uint64) { k.reg[r], k.known[r] = v, true }

func (k *machine) get(r uint8) uint64 {
	if !k.known[r] {
		k.t.Fatalf("R%d is read before it is written", r)
	}
	return k.reg[r]
}

func (k *machine) memory(addr uint64, n int, store bool) []byte {
	switch {
	case addr >= tableBase:
		tab := k.file.Tables[(addr-tableBase)>>32].Data
		off := int(addr & (1<<32 - 1))
		require.False(k.t, store)
		require.LessOrEqual(k.t, off+n, len(tab), "read behind a table")
		return tab[off : off+n]
	case addr >= ctxBase:
		require.False(k.t, store)
		buf := make([]byte, 8*len(k.ev.args))
		for i, a := range k.ev.args {
			binary.LittleEndian.PutUint64(buf[8*i:], a)
		}
		off := int(addr - ctxBase)
		return buf[off : off+n]
	}
	off := int(int64(addr) - stackTop + stackBytes)
	require.GreaterOrEqual(k.t, off, stackBytes-frameLimit, "below the frame")
	for i := off; i < off+n; i++ {
		if store {
			k.init[i] = true
		}
		require.True(k.t, k.init[i], "stack is read before it is written")
	}
	return k.stack[off : off+n]
}

func (k *machine) execute(code []object.Insn) int32 {
	slots := map[int]int{} // instruction at a slot
	at := make([]int, len(code)+1)
	for i, in := range code {
		slots[at[i]] = i
		at[i+1] = at[i] + 1
		if in.Op == object.OpLddw {
			at[i+1]++
		}
	}
	for pc, steps := 0, 0; ; steps++ {
		require.Less(k.t, steps, 2_000_000)
		in := code[pc]
		pc++
		src := func() uint64 {
			if in.Op&0x08 == object.SourceX {
				return k.get(in.Src)
			}
			return uint64(in.Imm)
		}
		jump := func() {
			i, ok := slots[at[pc]+int(in.Off)]
			require.True(k.t, ok, "a jump into the middle of an instruction")
			require.True(k.t, in.Off >= -32768 && in.Off <= 32767)
			pc = i
		}
		size := map[uint8]int{object.SizeB: 1, object.SizeH: 2, object.SizeW: 4, object.SizeDW: 8}[in.Op&0x18]
		switch in.Op & 0x07 {
		case object.ClassALU64:
			if in.Op&0xf0 == object.OpMov {
				k.set(in.Dst, src())
			} else {
				k.set(in.Dst, k.alu(in.Op&0xf0, k.get(in.Dst), src()))
			}
		case object.ClassLD:
			v := uint64(in.Imm)
			if in.Ref.Kind == object.RefTable {
				v = k.tables[in.Ref.Name] + uint64(in.Ref.Offset)
			}
			k.set(in.Dst, v)
		case object.ClassLDX:
			var buf [8]byte
			copy(buf[:], k.memory(k.get(in.Src)+uint64(int64(in.Off)), size, false))
			k.set(in.Dst, binary.LittleEndian.Uint64(buf[:]))
		case object.ClassST, object.ClassSTX:
			v := uint64(in.Imm)
			if in.Op&0x07 == object.ClassSTX {
				v = k.get(in.Src)
			}
			var buf [8]byte
			binary.LittleEndian.PutUint64(buf[:], v)
			copy(k.memory(k.get(in.Dst)+uint64(int64(in.Off)), size, true), buf[:size])
		case object.ClassJMP:
			switch op := in.Op & 0xf0; op {
			case object.OpExit:
				return int32(uint32(k.get(0)))
			case object.OpJa:
				jump()
			case object.OpCall:
				k.call(in)
			default:
				if taken(op, k.get(in.Dst), src()) {
					jump()
				}
			}
		default:
			k.t.Fatalf("class of %#x", in.Op)
		}
	}
}

func (k *machine) alu(op uint8, x, y uint64) uint64 {
	switch op {
	case object.OpAdd:
		return x + y
	case object.OpSub:
		return x - y
	case object.OpMul:
		return x * y
	case object.OpDiv:
		return x / y
	case object.OpMod:
		return x % y
	case object.OpAnd:
		return x & y
	case object.OpOr:
		return x | y
	case object.OpXor:
		return x ^ y
	case object.OpLsh:
		return x << y
	case object.OpRsh:
		return x >> y
	case object.OpArsh:
		return uint64(int64(x) >> y)
	case object.OpNeg:
		return -x
	}
	k.t.Fatalf("alu %#x", op)
	return 0
}

func taken(op uint8, x, y uint64) bool {
	s, u := int64(x), int64(y)
	switch op {
	case object.OpJeq:
		return x == y
	case object.OpJne:
		return x != y
	case object.OpJgt:
		return x > y
	case object.OpJge:
		return x >= y
	case object.OpJlt:
		return x < y
	case object.OpJle:
		return x <= y
	case object.OpJset:
		return x&y != 0
	case object.OpJsgt:
		return s > u
	case object.OpJsge:
		return s >= u
	case object.OpJslt:
		return s < u
	case object.OpJsle:
		return s <= u
	}
	panic(fmt.Sprintf("jump %#x", op))
}

func (k *machine) call(in object.Insn) {
	var result uint64
	switch name := in.Ref.Name; {
	case name == "" && in.Imm == helperSendSignal:
		require.EqualValues(k.t, sigkill, k.get(1))
		k.killed = true
	case strings.HasPrefix(name, "rt_class_"):
		require.EqualValues(k.t, ctxBase, k.get(1))
		found := false
		for i, c := range k.module.Classifiers {
			for _, tab := range k.file.Tables {
				if !found && rt.ClassFunc(k.ev.hook, c, tab.Name) == name && strings.HasPrefix(tab.Name, "class") {
					result, found = uint64(k.ev.class[i]), true
				}
			}
		}
		require.True(k.t, found, name)
		k.classes[name]++
		require.Equal(k.t, 1, k.classes[name], "%s is called twice", name)
	case name == rt.ReportFunc(k.ev.hook):
		require.EqualValues(k.t, ctxBase, k.get(1))
		k.reported = append(k.reported, k.get(2))
		k.get(3)
	default:
		k.t.Fatalf("call of %q %d", name, in.Imm)
	}
	for r := uint8(1); r <= 5; r++ {
		k.known[r] = false
	}
	k.set(0, result)
}
