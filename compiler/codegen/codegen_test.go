package codegen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/compiler/rt"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/source"
)

func hookNamed(t *testing.T, name string) *hook.Hook {
	for _, h := range hook.Hooks() {
		if h.Name == name {
			return h
		}
	}
	require.FailNow(t, "no hook "+name)
	return nil
}

func generate(m *ir.Module) (*object.File, error) {
	return Generate(Input{Module: m, Hooks: hook.Hooks(), Files: []*source.File{source.New("p.snp", "policy p\n")}, Operations: hook.Operations()})
}

// mustGenerate generates code and writes an object of it, which checks the code's form.
func mustGenerate(t *testing.T, m *ir.Module) *object.File {
	t.Helper()
	require.NoError(t, ir.Check(m))
	f, err := generate(m)
	require.NoError(t, err)
	sources := []object.Source{{Name: "p.snp", Text: "policy p\n"}}
	f.Meta = object.Meta{Compiler: "test", Policy: "p", Digest: object.SourceDigest(sources), Sources: sources}
	_, err = object.Write(f)
	require.NoError(t, err)
	return f
}

const leaves = `module "p"
leaf 0 allow default 0
leaf 1 deny rule 1 op net.socket errno 13
leaf 2 kill rule 2 op net.socket errno 4095
leaf 3 audit rule 3 op net.socket
leaf 4 deny default 4 op net.socket errno 1
`

func parse(t *testing.T, text string) *ir.Module {
	m, err := ir.Parse(text)
	require.NoError(t, err)
	return m
}

// same compares the code with the interpreter for one event.
func same(t *testing.T, m *ir.Module, f *object.File, ev *event) {
	t.Helper()
	ev.mod = m
	audit, verdict := ir.Run(m, ev.hook.Name, ev)
	k, got := run(t, m, f, ev)
	var want []uint64
	if audit != 0 {
		want = append(want, uint64(audit))
	}
	if verdict != 0 {
		want = append(want, uint64(verdict))
	}
	l := m.Leaves[verdict]
	require.Equal(t, want, k.reported, "reported leaves, event %v\n%s", ev.args, m)
	require.EqualValues(t, -l.Errno, got, "event %v\n%s", ev.args, m)
	require.Equal(t, l.Verdict == ir.Kill, k.killed)
}

var values = []int64{0, 1, -1, 2, -2, 3, 7, -7, 63, 64, 65, 1000, math.MaxInt32, math.MinInt32, -40, 41}

func events(t *testing.T, n int, seed uint64, use func(ev *event)) {
	r := rand.New(rand.NewPCG(seed, 1))
	h := hookNamed(t, "socket_create")
	for i := range n {
		ev := &event{hook: h}
		for range 4 {
			v := values[r.IntN(len(values))]
			if r.IntN(3) == 0 {
				v = int64(r.Uint64())
			}
			// The upper half of a small argument is not defined.
			ev.args = append(ev.args, uint64(uint32(v))|uint64(i)<<50)
		}
		use(ev)
	}
}

var (
	binary2  = []string{"add", "sub", "mul", "and", "or", "xor", "shl", "shr"}
	divide   = []string{"div", "mod"}
	wide     = []int64{1 << 31, 1<<31 - 1, -1 << 31, -1<<31 - 1, math.MaxInt64, math.MinInt64, 1<<40 + 5, 5, -5, 2, -2}
	compares = []string{"==", "!=", "<", "<=", ">", ">=", "&"}
)

// TestArithmeticAndComparisons runs each opcode and comparison with values and
// with immediates of all widths, and compares with the interpreter.
func TestArithmeticAndComparisons(t *testing.T) {
	var bodies []string
	for _, op := range binary2 {
		bodies = append(bodies, fmt.Sprintf("v2 = %s v0, v1", op))
		for _, imm := range wide {
			bodies = append(bodies, fmt.Sprintf("v2 = %s v0, %d", op, imm))
		}
	}
	for _, op := range divide {
		for _, imm := range wide {
			bodies = append(bodies, fmt.Sprintf("v2 = %s v0, %d", op, imm))
		}
	}
	for _, imm := range wide {
		bodies = append(bodies, fmt.Sprintf("v2 = const %d", imm))
	}
	for i, body := range bodies {
		second := "v1"
		if i%3 > 0 {
			second = fmt.Sprint(wide[i%len(wide)])
		}
		text := leaves + "\nfunc socket_create values 3 {\nb0:\n\tv0 = field family\n\tv1 = field type\n\t" + body +
			fmt.Sprintf("\n\tif v2 %s %s then b1 else b2\nb1:\n\tdecide leaf %d\nb2:\n\tdecide leaf 4\n}\n", compares[i%len(compares)], second, i%3)
		text = strings.ReplaceAll(text, "decide leaf 3", "decide leaf 0")
		m := parse(t, text)
		f := mustGenerate(t, m)
		events(t, 60, uint64(i), func(ev *event) { same(t, m, f, ev) })
	}
}

// TestEveryInstruction has every opcode and terminator in one function.
func TestEveryInstruction(t *testing.T) {
	m := parse(t, leaves+`classifier 0 "c" int of family classes 4
table 0 "t" max 4 {0 1 2 4 0 4}
table 1 "a" max 3 {0 3 0 3 3}

func socket_create values 7 {
b0:
	v0 = class 0
	v1 = lookup 1[v0]
	report v1
	v2 = field protocol
	switch v2 {..-5: b2, ..0: b1, ..1: b3, ..9: b2, ..1000: b4, else: b5}
b1:
	v3 = class 0
	v4 = lookup 0[v3 + 1]
	decide v4
b2:
	jump b4
b3:
	v5 = const 4294967296
	if v2 < v5 then b4 else b5
b4:
	decide leaf 2
b5:
	v6 = class 0
	if v6 & 2 then b6 else b7
b6:
	decide leaf 0
b7:
	decide leaf 1
}
`)
	m.Classifiers[0].Data = someInts(t)
	f := mustGenerate(t, m)
	for class := range 5 {
		for _, protocol := range []int64{math.MinInt32, -6, -5, -4, 0, 1, 2, 9, 10, 1000, 1001} {
			same(t, m, f, &event{hook: hookNamed(t, "socket_create"), args: []uint64{0, 0, uint64(protocol), 0}, class: []int{class}})
		}
	}
}

func someInts(t *testing.T) *match.IntClasses {
	data, err := match.Partition([]match.IntSet{{{Lo: 1, Hi: 5}}, {{Lo: 9, Hi: 9}}, {{Lo: 20, Hi: 30}}})
	require.NoError(t, err)
	return data
}

// TestBrokenIndexesDeny: numbers that the checker excludes deny and report nothing.
func TestBrokenIndexesDeny(t *testing.T) {
	m := parse(t, leaves+"classifier 0 \"c\" int of family classes 4\ntable 0 \"t\" max 1 {0 1 1 1 0}\nfunc socket_create values 2 {\nb0:\n\tv0 = class 0\n\tv1 = lookup 0[v0]\n\tdecide v1\n}\n")
	m.Classifiers[0].Data = someInts(t)
	f := mustGenerate(t, m)
	for _, class := range []int{5, 6, 1 << 20, -1, math.MinInt32} {
		k, got := run(t, m, f, &event{hook: hookNamed(t, "socket_create"), args: make([]uint64, 4), class: []int{class}, mod: m})
		require.EqualValues(t, -1, got)
		require.Empty(t, k.reported)
	}
}

// randomFunc is a function of many values that live long, in a DAG of blocks.
func randomFunc(r *rand.Rand, blocks, size int) *ir.Func {
	f := &ir.Func{Hook: "socket_create"}
	emit := func(b *ir.Block, in ir.Instr) ir.Value {
		in.Def = ir.Value(f.NumValues)
		f.NumValues++
		b.Instrs = append(b.Instrs, in)
		return in.Def
	}
	var shared []ir.Value
	for i := range blocks {
		b := &ir.Block{ID: i}
		have := append([]ir.Value{}, shared...)
		if i == 0 {
			for _, name := range []string{"family", "type", "protocol", "kern"} {
				have = append(have, emit(b, ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: name}))
			}
		}
		pick := func() ir.Value { return have[r.IntN(len(have))] }
		imm := func() int64 {
			if r.IntN(4) == 0 {
				return wide[r.IntN(len(wide))]
			}
			return values[r.IntN(len(values))]
		}
		for range r.IntN(size) {
			in := ir.Instr{Op: ir.Add + ir.Opcode(r.IntN(int(ir.Shr-ir.Add)+1)), X: pick(), Y: -1, Imm: imm()}
			switch {
			case in.Op == ir.Div || in.Op == ir.Mod:
				in.Imm = []int64{2, -2, 3, 7, 1 << 40, math.MinInt64, math.MaxInt64, -9}[r.IntN(8)]
			case r.IntN(2) == 0:
				in.Y, in.Imm = pick(), 0
			}
			have = append(have, emit(b, in))
		}
		if i == 0 {
			shared = have
		}
		to := func() int { return i + 1 + r.IntN(min(blocks-i-1, 5)) }
		b.Term = ir.Term{Kind: ir.Decide, X: -1, Y: -1, Imm: []int64{0, 1, 2, 4}[r.IntN(4)]}
		if i+1 < blocks {
			switch b.Term.X = pick(); r.IntN(3) {
			case 0:
				b.Term.Kind, b.Term.Cases, b.Term.Imm = ir.Switch, []int64{math.MinInt32, -3, 0, 1, 2, 64, 1 << 33}[r.IntN(6):], 0
				for range len(b.Term.Cases) + 1 {
					b.Term.To = append(b.Term.To, to())
				}
			default:
				b.Term = ir.Term{Kind: ir.Branch, X: b.Term.X, Y: -1, Imm: imm(), Cmp: ir.Eq + ir.Cmp(r.IntN(7)), To: []int{to(), to()}}
				if r.IntN(2) == 0 {
					b.Term.Y, b.Term.Imm = pick(), 0
				}
			}
		}
		f.Blocks = append(f.Blocks, b)
	}
	return reachable(f)
}

// reachable turns each block that nothing reaches into the target of the one before.
func reachable(f *ir.Func) *ir.Func {
	seen := make([]bool, len(f.Blocks))
	seen[0] = true
	for i, b := range f.Blocks {
		if !seen[i] {
			prev := f.Blocks[i-1]
			if prev.Term.Kind == ir.Decide {
				prev.Term = ir.Term{Kind: ir.Jump, X: -1, Y: -1, To: []int{i}}
			} else {
				prev.Term.To[0] = i
			}
			return reachable(f)
		}
		for _, s := range b.Term.To {
			seen[s] = true
		}
	}
	return f
}

// TestRandomFunctions compares code with the interpreter, with few and with so
// many values alive that they do not fit into the frame.
func TestRandomFunctions(t *testing.T) {
	base := parse(t, leaves)
	recomputed := 0
	for seed := range uint64(160) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := *base
		m.Funcs = []*ir.Func{randomFunc(r, 1+r.IntN(30), 1+int(seed%50))}
		before := m.String()
		f := mustGenerate(t, &m)
		require.Equal(t, before, m.String(), "the module is not changed")
		p := &program{generator: &generator{Input: Input{Module: &m}}, f: m.Funcs[0]}
		if p.scan(keep) != nil {
			recomputed++
		}
		events(t, 40, seed, func(ev *event) { same(t, &m, f, ev) })
	}
	t.Logf("%d of 160 functions had values recomputed", recomputed)
	require.Greater(t, recomputed, 10)
	require.Less(t, recomputed, 150)
}

// nested gives a right-leaning expression over fields: v0 op (v1 op (…)).
func nested(fields []string, depth int) *ir.Func {
	f := &ir.Func{Hook: "socket_create"}
	b := &ir.Block{}
	put := func(in ir.Instr) ir.Value {
		in.Def = ir.Value(f.NumValues)
		f.NumValues++
		b.Instrs = append(b.Instrs, in)
		return in.Def
	}
	var leaf []ir.Value
	var at []ir.Value
	for _, n := range fields {
		at = append(at, put(ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: n}))
	}
	for i := range depth {
		leaf = append(leaf, put(ir.Instr{Op: ir.Mul, X: at[i%len(at)], Y: -1, Imm: int64(i + 2)}))
	}
	v := at[0]
	for i := depth - 1; i >= 0; i-- {
		v = put(ir.Instr{Op: []ir.Opcode{ir.Sub, ir.Add, ir.Xor}[i%3], X: leaf[i], Y: v})
	}
	b.Term = ir.Term{Kind: ir.Branch, X: v, Y: -1, Imm: 7, Cmp: ir.Gt, To: []int{1, 2}}
	f.Blocks = []*ir.Block{b, {ID: 1, Term: ir.Term{Kind: ir.Decide, X: -1, Y: -1, Imm: 1}}, {ID: 2, Term: ir.Term{Kind: ir.Decide, X: -1, Y: -1}}}
	return f
}

func TestDeepExpressions(t *testing.T) {
	m := parse(t, leaves)
	m.Funcs = []*ir.Func{nested([]string{"family", "type", "protocol", "kern"}, 1000)}
	f := mustGenerate(t, m)
	events(t, 30, 3, func(ev *event) { same(t, m, f, ev) })
}

// balanced builds a full tree whose leaves are products of fields, none equal.
func balanced(put func(ir.Instr) ir.Value, at []ir.Value, next *int, height int) ir.Value {
	if height == 0 {
		*next++
		return put(ir.Instr{Op: ir.Mul, X: at[*next%len(at)], Y: -1, Imm: int64(*next + 2)})
	}
	x := balanced(put, at, next, height-1)
	return put(ir.Instr{Op: ir.Xor, X: x, Y: balanced(put, at, next, height-1)})
}

// TestFrameHoldsTheWorstCase: at each hook, all scalar fields, each read before
// and used after an expression of as many operands as a source of 1 MiB can
// have (2^17 products of 8 bytes each), together with a slot for each text.
func TestFrameHoldsTheWorstCase(t *testing.T) {
	for _, h := range hook.Hooks() {
		f := &ir.Func{Hook: h.Name}
		b := &ir.Block{}
		put := func(in ir.Instr) ir.Value {
			in.Def = ir.Value(f.NumValues)
			f.NumValues++
			b.Instrs = append(b.Instrs, in)
			return in.Def
		}
		var at []ir.Value
		m := parse(t, leaves)
		for _, fields := range [][]hook.Field{hook.Subject(), h.Fields} {
			for _, field := range fields {
				switch read := field.Read.(type) {
				case hook.Scalar:
					at = append(at, put(ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: field.Name}))
				case hook.Computed:
					switch read.Name {
					case hook.ComputedAddr, hook.ComputedSockAddr, hook.ComputedPort, hook.ComputedSockPort:
						m.Classifiers = append(m.Classifiers, &ir.Classifier{Kind: ir.AddrClass, Field: field.Name})
					default:
						at = append(at, put(ir.Instr{Op: ir.Field, X: -1, Y: -1, Name: field.Name}))
					}
				default:
					m.Classifiers = append(m.Classifiers, &ir.Classifier{Kind: ir.PathClass, Field: field.Name})
				}
			}
		}
		for i := range m.Classifiers {
			for range 2 {
				put(ir.Instr{Op: ir.Class, X: -1, Y: -1, ID: i})
			}
		}
		next := 0
		v := balanced(put, at, &next, 17)
		for _, a := range at {
			v = put(ir.Instr{Op: ir.Add, X: v, Y: a})
		}
		b.Term = ir.Term{Kind: ir.Switch, X: v, Y: -1}
		f.Blocks = []*ir.Block{b}
		p := &program{generator: &generator{Input: Input{Module: m}}, f: f, h: h, fields: map[string]*hook.Field{}}
		for _, fields := range [][]hook.Field{hook.Subject(), h.Fields} {
			for i := range fields {
				p.fields[fields[i].Name] = &fields[i]
			}
		}
		require.NoError(t, p.allocate(), "%s: %d fields, %d texts", h.Name, len(at), len(m.Classifiers))
	}
}

// chain is a list of n rules with a computed condition each.
func chain(n int) *ir.Func {
	f := &ir.Func{Hook: "socket_create", NumValues: 2}
	first := &ir.Block{Instrs: []ir.Instr{{Op: ir.Field, Def: 0, X: -1, Y: -1, Name: "family"}, {Op: ir.Field, Def: 1, X: -1, Y: -1, Name: "type"}}}
	f.Blocks = append(f.Blocks, first)
	for i := range n {
		b := first
		if i > 0 {
			b = &ir.Block{ID: 2 * i}
			f.Blocks = append(f.Blocks, b)
		}
		f.Blocks = append(f.Blocks, &ir.Block{ID: 2*i + 1, Term: ir.Term{Kind: ir.Decide, X: -1, Y: -1, Imm: int64([]int{1, 2, 4}[i%3])}})
		x := ir.Value(f.NumValues)
		f.NumValues += 2
		b.Instrs = append(b.Instrs, ir.Instr{Op: ir.Mul, Def: x, X: 0, Y: -1, Imm: int64(i + 1)}, ir.Instr{Op: ir.Add, Def: x + 1, X: x, Y: 1})
		b.Term = ir.Term{Kind: ir.Branch, X: x + 1, Y: -1, Cmp: ir.Eq, Imm: int64(7*i + 3), To: []int{2*i + 1, 2*i + 2}}
	}
	f.Blocks = append(f.Blocks, &ir.Block{ID: 2 * n, Term: ir.Term{Kind: ir.Decide, X: -1, Y: -1}})
	return f
}

// pending gives how many conditional jumps a verifier puts off at most, which
// follows the code behind a jump first.
func pending(code []object.Insn) int {
	at := make([]int, len(code)+1)
	slots := map[int]int{}
	for i, in := range code {
		slots[at[i]] = i
		at[i+1] = at[i] + 1
		if in.Op == object.OpLddw {
			at[i+1]++
		}
	}
	seen := make([]bool, len(code))
	stack := []int{0}
	most := 0
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for !seen[pc] {
			seen[pc] = true
			in := code[pc]
			op := in.Op & 0xf0
			if in.Op&7 != object.ClassJMP || op == object.OpCall {
				pc++
				continue
			}
			if op == object.OpExit {
				break
			}
			target := slots[at[pc+1]+int(in.Off)]
			if op == object.OpJa {
				pc = target
				continue
			}
			stack = append(stack, target)
			most = max(most, len(stack))
			pc++
		}
	}
	return most
}

// TestLongFunctions: longer than a jump reaches; and the verifiers' limit on
// jumps that are put off (8,192) is far.
func TestLongFunctions(t *testing.T) {
	m := parse(t, leaves)
	m.Funcs = []*ir.Func{chain(9990)}
	f := mustGenerate(t, m)
	code := f.Programs[0].Code
	require.Greater(t, len(code), 60_000)
	require.Less(t, pending(code), 2*shallow)
	events(t, 10, 5, func(ev *event) { same(t, m, f, ev) })
	for _, i := range []int{0, 1, 5000, 9989} { // family 0: type decides
		same(t, m, f, &event{hook: hookNamed(t, "socket_create"), args: []uint64{0, uint64(7*i + 3), 0, 0}})
	}
}

// TestTooLong: a program beyond the limit is refused, naming what is longest.
func TestTooLong(t *testing.T) {
	text := source.New("p.snp", "policy p\ndeny exec\ndeny net.socket\n")
	m := parse(t, leaves)
	m.Funcs = []*ir.Func{chain(45_000)}
	_, err := generate(m)
	require.ErrorIs(t, err, ErrTooLarge)
	for i, b := range m.Funcs[0].Blocks {
		b.Term.Span = source.Span{File: text, Start: 9, End: 18}
		if i%3 == 0 {
			b.Term.Span = source.Span{File: text, Start: 19, End: 34}
		}
	}
	_, err = generate(m)
	var limit *LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "socket_create", limit.Hook)
	require.Equal(t, "p.snp:2:1", limit.Span.String())
	require.Greater(t, limit.Slots, MaxSlots)
	require.ErrorContains(t, err, "at most 250000")
}

// TestWideSwitch: more intervals than a jump reaches.
func TestWideSwitch(t *testing.T) {
	m := parse(t, leaves)
	f := &ir.Func{Hook: "socket_create", NumValues: 1}
	b := &ir.Block{Instrs: []ir.Instr{{Op: ir.Field, Def: 0, X: -1, Y: -1, Name: "family"}}, Term: ir.Term{Kind: ir.Switch, X: 0, Y: -1}}
	f.Blocks = []*ir.Block{b}
	for i := range 20_000 {
		if i > 0 {
			b.Term.Cases = append(b.Term.Cases, int64(3*i))
		}
		b.Term.To = append(b.Term.To, i+1)
		f.Blocks = append(f.Blocks, &ir.Block{ID: i + 1, Term: ir.Term{Kind: ir.Decide, X: -1, Y: -1, Imm: int64([]int{0, 1, 2, 4}[i%4])}})
	}
	m.Funcs = []*ir.Func{f}
	file := mustGenerate(t, m)
	require.Less(t, pending(file.Programs[0].Code), 64)
	for _, v := range []int64{-1, 0, 1, 3, 4, 30_000, 59_997, 59_998, 70_000} {
		same(t, m, file, &event{hook: hookNamed(t, "socket_create"), args: []uint64{uint64(v), 0, 0, 0}})
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		leaves + "func nowhere values 0 {\nb0:\n\tdecide leaf 0\n}\n":                                                                               "no hook",
		leaves + "func socket_create values 1 {\nb0:\n\tv0 = field nothing\n\tif v0 == 1 then b1 else b1\nb1:\n\tdecide leaf 0\n}\n":                "no field",
		leaves + "func socket_create values 0 {\nb0:\n\tdecide leaf 9\n}\n":                                                                         "leaf 9",
		leaves + "leaf 5 deny rule 1 op no.such errno 1\nfunc socket_create values 0 {\nb0:\n\tdecide leaf 0\n}\n":                                  "no operation",
		leaves + "leaf 5 deny rule 1 op exec\nfunc socket_create values 0 {\nb0:\n\tdecide leaf 0\n}\n":                                             "without an errno",
		leaves + "func file_open values 1 {\nb0:\n\tv0 = field path\n\tif v0 == 1 then b1 else b1\nb1:\n\tdecide leaf 0\n}\n":                       "no integer",
		leaves + "func socket_create values 2 {\nb0:\n\tv0 = field type\n\tv1 = div v0, 0\n\tif v1 == 1 then b1 else b1\nb1:\n\tdecide leaf 0\n}\n": "division",
	} {
		_, err := generate(parse(t, text))
		require.ErrorContains(t, err, want)
	}
	_, err := Generate(Input{Module: parse(t, leaves)})
	require.ErrorContains(t, err, "source")
}

// TestStackOfCallChains: whatever classifies, computes and reports at a hook
// leaves room for the frame of a program. Kernels round each frame up
// to 32 bytes.
func TestStackOfCallChains(t *testing.T) {
	automaton, err := match.Compile([]match.Atom{{Patterns: []match.Pattern{{Kind: match.Glob, Text: "/a/**/b*"}}}}, match.Options{})
	require.NoError(t, err)
	addrs, err := match.AddrPartition([]match.PrefixSet{{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	require.NoError(t, err)
	for _, h := range hook.Hooks() {
		funcs := map[string]object.Func{}
		add := func(fs []object.Func, err error) {
			require.NoError(t, err, h.Name)
			for _, f := range fs {
				funcs[f.Name] = f
			}
		}
		add(rt.Report(h, 10))
		for _, fields := range [][]hook.Field{hook.Subject(), h.Fields} {
			for _, f := range fields {
				c := &ir.Classifier{Name: f.Name, Field: f.Name, Kind: ir.IntClass, Classes: 4, Data: someInts(t)}
				switch read := f.Read.(type) {
				case hook.Scalar:
				case hook.Computed:
					if read.Name == hook.ComputedAddr || read.Name == hook.ComputedSockAddr {
						c.Kind, c.Data, c.Classes = ir.AddrClass, addrs, len(addrs.Classes)
					}
				default:
					c.Kind, c.Data, c.Classes = ir.PathClass, automaton, len(automaton.Classes)
					if _, ok := read.(hook.Comm); ok {
						c.Kind = ir.StringClass
					}
				}
				add(rt.Class(h, c, "class0"))
			}
		}
		var deepest func(name string) int
		deepest = func(name string) int {
			below := 0
			for _, in := range funcs[name].Code {
				if in.Ref.Kind == object.RefFunc {
					below = max(below, deepest(in.Ref.Name))
				}
			}
			return below + (max(1, frame(funcs[name].Code))+31)/32*32
		}
		for name := range funcs {
			require.LessOrEqual(t, deepest(name), emit.StackSize-frameLimit, name)
		}
	}
}

// frame is how far below FP code goes.
func frame(code []object.Insn) int {
	low := 0
	for i, in := range code {
		class := in.Op & 7
		switch {
		case class == object.ClassLDX && in.Src == 10, (class == object.ClassST || class == object.ClassSTX) && in.Dst == 10:
			low = min(low, int(in.Off))
		case in.Op == object.ClassALU64|object.OpMov|object.SourceX && in.Src == 10 && code[i+1].Op == object.ClassALU64|object.OpAdd:
			low = min(low, int(code[i+1].Imm))
		}
	}
	return -low
}
