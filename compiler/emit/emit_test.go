package emit

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/object"
)

var first = object.Line{Line: 1, Text: "policy p"}

func builder() *Builder {
	return New("f", nil, &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}, first)
}

// refusal builds a function of what use emits and returns the error.
func refusal(use func(b *Builder)) error {
	b := builder()
	use(b)
	b.Const(R0, 0)
	b.Exit()
	_, err := b.Build()
	return err
}

// TestRanges: the last value that fits, and the first that does not.
func TestRanges(t *testing.T) {
	for name, c := range map[string]struct {
		good, bad []func(b *Builder)
		want      string
	}{
		"immediate": {want: "32 bits",
			good: []func(*Builder){
				func(b *Builder) { b.OpImm(Add, R0, math.MaxInt32) },
				func(b *Builder) { b.OpImm(Add, R0, math.MinInt32) },
				func(b *Builder) { b.StoreImm(DW, FP, -8, math.MinInt32) },
				func(b *Builder) { b.Const(R1, math.MinInt64) },
			},
			bad: []func(*Builder){
				func(b *Builder) { b.OpImm(Add, R0, math.MaxInt32+1) },
				func(b *Builder) { b.OpImm(And, R0, math.MinInt32-1) },
				func(b *Builder) { b.StoreImm(DW, FP, -8, math.MaxInt32+1) },
				func(b *Builder) { b.Call(math.MaxInt32 + 1) },
				func(b *Builder) { l := b.NewLabel(); b.JumpImm(JEq, R0, 1<<31, l); b.Bind(l) },
			}},
		"memory offset": {want: "16 bits",
			good: []func(*Builder){
				func(b *Builder) { b.Load(DW, R0, R1, math.MaxInt16) },
				func(b *Builder) { b.Store(B, R1, math.MinInt16, R0) },
			},
			bad: []func(*Builder){
				func(b *Builder) { b.Load(DW, R0, R1, math.MaxInt16+1) },
				func(b *Builder) { b.Store(B, R1, math.MinInt16-1, R0) },
				func(b *Builder) { b.StoreImm(W, R1, math.MaxInt16+1, 0) },
				func(b *Builder) { b.Atomic(object.AtomicAdd, DW, R1, math.MaxInt16+1, R0) },
			}},
		"stack": {want: "stack access",
			good: []func(*Builder){
				func(b *Builder) { b.Store(DW, FP, -StackSize, R0) },
				func(b *Builder) { b.StoreImm(B, FP, -1, 0) },
				func(b *Builder) { b.StoreImm(W, FP, -4, 0) },
			},
			bad: []func(*Builder){
				func(b *Builder) { b.Store(DW, FP, -StackSize-8, R0) },
				func(b *Builder) { b.Store(DW, FP, 0, R0) },
				func(b *Builder) { b.Store(DW, FP, -4, R0) },
				func(b *Builder) { b.Load(DW, R0, FP, -12) },
				func(b *Builder) { b.Load(W, R0, FP, -2) },
				func(b *Builder) { b.Load(H, R0, FP, -3) },
				func(b *Builder) { b.Load(B, R0, FP, 0) },
			}},
		"shift": {want: "shift by",
			good: []func(*Builder){func(b *Builder) { b.OpImm(Lsh, R0, 0) }, func(b *Builder) { b.OpImm(Arsh, R0, 63) }},
			bad:  []func(*Builder){func(b *Builder) { b.OpImm(Lsh, R0, 64) }, func(b *Builder) { b.OpImm(Rsh, R0, -1) }, func(b *Builder) { b.OpImm(Arsh, R0, 64) }}},
		"division": {want: "division",
			good: []func(*Builder){func(b *Builder) { b.OpImm(Div, R0, 1) }, func(b *Builder) { b.OpImm(Mod, R0, 1) }},
			bad:  []func(*Builder){func(b *Builder) { b.OpImm(Div, R0, 0) }, func(b *Builder) { b.OpImm(Mod, R0, 0) }}},
		"byte swap": {want: "byte swap",
			good: []func(*Builder){func(b *Builder) { b.SwapBE(R0, 16) }, func(b *Builder) { b.SwapBE(R0, 64) }},
			bad:  []func(*Builder){func(b *Builder) { b.SwapBE(R0, 8) }, func(b *Builder) { b.SwapBE(R0, 0) }}},
		"atomic": {want: "atomic",
			good: []func(*Builder){func(b *Builder) { b.Atomic(object.AtomicXchg, W, R1, 4, R0) }},
			bad:  []func(*Builder){func(b *Builder) { b.Atomic(object.AtomicXchg, H, R1, 4, R0) }, func(b *Builder) { b.Atomic(object.AtomicXchg, B, R1, 4, R0) }}},
		"register": {want: "register",
			good: []func(*Builder){func(b *Builder) { b.Move(R9, FP) }},
			bad:  []func(*Builder){func(b *Builder) { b.Const(FP+1, 0) }, func(b *Builder) { b.Op(Add, R0, 16) }}},
		"label": {want: "label",
			good: []func(*Builder){func(b *Builder) { l := b.NewLabel(); b.Goto(l); b.Bind(l) }},
			bad: []func(*Builder){
				func(b *Builder) { b.Goto(b.NewLabel()) },
				func(b *Builder) { l := b.NewLabel(); b.Bind(l); b.Const(R0, 0); b.Bind(l) },
			}},
	} {
		for i, use := range c.good {
			require.NoError(t, refusal(use), "%s %d", name, i)
		}
		for i, use := range c.bad {
			require.ErrorContains(t, refusal(use), c.want, "%s %d", name, i)
		}
	}
	b := builder()
	l := b.NewLabel()
	b.Goto(l)
	b.Exit()
	b.Bind(l)
	_, err := b.Build()
	require.ErrorContains(t, err, "not placed before an instruction")
}

func TestConstantsAreShort(t *testing.T) {
	b := builder()
	for _, v := range []int64{0, -1, math.MaxInt32, math.MinInt32} {
		b.Const(R0, v)
	}
	for _, v := range []int64{math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64} {
		b.Const(R0, v)
	}
	b.Exit()
	f, err := b.Build()
	require.NoError(t, err)
	for i, in := range f.Code[:7] {
		require.Equal(t, i >= 4, in.Op == object.OpLddw)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int]Size{1: B, 2: H, 4: W, 8: DW} {
		s, ok := SizeOf(n)
		require.True(t, ok)
		require.Equal(t, want, s)
	}
	for _, n := range []int{0, 3, 16, -1} {
		_, ok := SizeOf(n)
		require.False(t, ok)
	}
}

func TestLines(t *testing.T) {
	b := builder()
	b.Const(R0, 1)
	b.Line(object.Line{}) // unknown: as before
	b.Const(R0, 2)
	b.Line(object.Line{Line: 7, Text: "deny exec"})
	b.Line(object.Line{Line: 8, Text: "kill exec"})
	b.Const(R0, 3)
	b.Line(object.Line{Line: 8, Text: "kill exec"})
	b.Exit()
	f, err := b.Build()
	require.NoError(t, err)
	var lines []uint32
	for _, in := range f.Code {
		lines = append(lines, in.Line.Line)
	}
	require.Equal(t, []uint32{1, 0, 8, 0}, lines)
}

// program is a function laid out in slots.
type program struct {
	code  []object.Insn
	at    []int // slot of each instruction
	index []int // instruction of each slot, -1 in the middle of one
}

func layOut(code []object.Insn) *program {
	p := &program{code: code}
	for i, in := range code {
		p.at = append(p.at, len(p.index))
		p.index = append(p.index, i)
		if in.Op == object.OpLddw {
			p.index = append(p.index, -1)
		}
	}
	return p
}

// follow executes a function of moves, conditional jumps on R1 and plain jumps, and
// gives R0 at its end.
func (p *program) follow(t *testing.T, r1 int64) int64 {
	r0 := int64(-1)
	for pc, steps := 0, 0; ; steps++ {
		if steps > 1_000_000 {
			t.Fatal("no end")
		}
		in := p.code[pc]
		pc++
		jump := in.Op == object.ClassJMP|object.OpJa
		switch in.Op {
		case object.ClassALU64 | object.OpMov, object.OpLddw:
			if in.Dst == uint8(R0) {
				r0 = in.Imm
			}
		case object.ClassJMP | object.OpJeq:
			jump = r1 == in.Imm
		case object.ClassJMP | object.OpExit:
			return r0
		}
		if jump {
			if in.Off < math.MinInt16 || in.Off > math.MaxInt16 {
				t.Fatalf("offset %d", in.Off)
			}
			if pc = p.index[p.at[pc]+int(in.Off)]; pc < 0 {
				t.Fatal("a jump to the middle of an instruction")
			}
		}
	}
}

// TestIslands: functions of up to 300,000 slots, with jumps forward and back
// over any distance; each arrives. Nothing is on the islands that nothing uses.
func TestIslands(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := builder()
		const targets = 64
		places := make([]Label, targets)
		for i := range places {
			places[i] = b.NewLabel()
		}
		start, end := b.NewLabel(), b.NewLabel()
		b.Goto(start)
		// Landing places are spread over the code; each says its number.
		order := r.Perm(targets)
		filler := func(n int) {
			for range n {
				if r.IntN(8) == 0 {
					b.Const(R2, 1<<40)
				} else {
					b.Const(R2, 5)
				}
			}
		}
		total := 0
		for i, at := range order {
			if i == targets/2 {
				b.Bind(start)
				for k := range targets {
					b.JumpImm(JEq, R1, int64(k), places[k])
					if r.IntN(4) == 0 {
						filler(r.IntN(3000))
					}
				}
				b.Goto(end)
			}
			b.Bind(places[at])
			b.Const(R0, int64(1000+at))
			b.Goto(end)
			// What follows is reached by this jump only.
			in := b.NewLabel()
			b.JumpImm(JEq, R1, -7, in)
			b.Bind(in)
			n := r.IntN(9000)
			total += n
			filler(n)
		}
		b.Bind(end)
		b.Exit()
		f, err := b.Build()
		require.NoError(t, err)
		p := layOut(f.Code)
		for k := range targets {
			require.EqualValues(t, 1000+k, p.follow(t, int64(k)), "seed %d", seed)
		}
		require.EqualValues(t, -1, p.follow(t, 500))
		long := 0
		for _, in := range f.Code {
			if in.Op == object.ClassJMP|object.OpJa {
				long++
			}
		}
		require.Less(t, long, 2+targets+targets*(total/islandEvery+3))
	}
}

// TestShortFunctionsHaveNoIslands: jumps as far as their offsets reach are not changed.
func TestShortFunctionsHaveNoIslands(t *testing.T) {
	for _, n := range []int{0, islandEvery, math.MaxInt16 - 1, math.MaxInt16, math.MaxInt16 + 1} {
		b := builder()
		l := b.NewLabel()
		b.JumpImm(JEq, R1, 0, l)
		for range n {
			b.Const(R0, 1)
		}
		b.Bind(l)
		b.Const(R0, 2)
		b.Exit()
		f, err := b.Build()
		require.NoError(t, err)
		extra := len(f.Code) - (n + 3)
		require.Equal(t, n > math.MaxInt16, extra > 0, n)
		require.EqualValues(t, 2, layOut(f.Code).follow(t, 0))
		require.EqualValues(t, 2, layOut(f.Code).follow(t, 1))
	}
}

// TestTooManyFarJumps: what islands cannot hold is an error, not wrong code.
func TestTooManyFarJumps(t *testing.T) {
	b := builder()
	const n = 60_000
	labels := make([]Label, n)
	for i := range labels {
		labels[i] = b.NewLabel()
		b.JumpImm(JEq, R1, int64(i), labels[i])
	}
	for i := range labels {
		b.Bind(labels[i])
		b.Const(R0, int64(i))
	}
	b.Exit()
	_, err := b.Build()
	require.ErrorIs(t, err, ErrJumpRange)
}
