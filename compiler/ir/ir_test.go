package ir

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample uses every opcode and terminator.
const sample = `module "web"
leaf 0 allow default 0
leaf 1 deny rule 3 op file.open errno 13
leaf 2 kill rule 4 op file.write errno 1
leaf 3 audit rule 5 op file.read
leaf 4 deny unresolved 3 op file.open errno 13
classifier 0 "c0" path of path classes 3
classifier 1 "c1" int of port classes 2
table 0 "verdicts" max 4 {0 1x2 4 0x3}
table 1 "audits" max 3 {0x3 3}

func file_open values 19 {
b0:
	v0 = const -7
	v1 = field access
	v2 = class 0
	v3 = lookup 1[v2]
	report v3
	if v1 & 2 then b1 else b2
b1:
	v4 = add v1, 5
	v5 = sub v4, v1
	v6 = mul v5, v5
	v7 = div v6, 3
	v8 = mod v7, -2
	v9 = and v8, 1
	v10 = or v9, v1
	v11 = xor v10, v0
	v12 = shl v11, 3
	v13 = shr v12, 2
	if v13 == v12 then b2 else b3
b2:
	v14 = class 1
	switch v14 {..0: b3, ..1: b4, else: b5}
b3:
	v15 = lookup 0[v2]
	decide v15
b4:
	v16 = and v2, 3
	v17 = lookup 0[v16 + 3]
	v18 = or v16, 1
	decide leaf 2
b5:
	jump b6
b6:
	decide leaf 0
}
`

func parse(t *testing.T, text string) *Module {
	m, err := Parse(text)
	require.NoError(t, err)
	return m
}

func TestRoundTrip(t *testing.T) {
	m := parse(t, sample)
	require.NoError(t, Check(m))
	require.Equal(t, sample, m.String())
	// Comments and blank space carry nothing.
	require.Equal(t, sample, parse(t, strings.ReplaceAll(sample, "\tv0 = const -7\n", "\n   v0 =  const -7 ; p.snp:3:1\n")).String())
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"module \"web\"", "modul", "want module"},
		{"leaf 1 deny", "leaf 2 deny", "leaf out of order"},
		{"deny rule 3", "dany rule 3", `unknown word "dany"`},
		{"classes 3", "classes x", "want a number"},
		{"0 1x2", "0 1x99999999999", "table entry out of range"},
		{"0 1x2", "0 -1x2", "table entry out of range"},
		{"b1:\n", "b7:\n", "block out of order"},
		{"\tif v1 & 2 then b1 else b2\n", "", "b0 has no terminator"},
		{"then b1 else b2", "then b1", `want "else "`},
		{"const -7", "const -7 8", `unexpected "8"`},
		{"jump b6", "hop b6", "unknown terminator"},
		{"\tdecide leaf 0\n}\n", "\tdecide leaf 0\n", "is not closed"},
		{"leaf 0 allow default 0", "elf", `unknown "elf"`},
		{"b0:\n", "", "outside of a block"},
	} {
		require.Contains(t, sample, c.old)
		_, err := Parse(strings.Replace(sample, c.old, c.new, 1))
		require.ErrorContains(t, err, c.want, c.new)
	}
	_, err := Parse("")
	require.ErrorContains(t, err, "no module")
}

// Each broken invariant is found.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"leaf 0 allow default 0", "leaf 0 deny rule 1 op x errno 1", "leaf 0 must be"},
		{"deny rule 3 op file.open errno 13\nleaf 2", "deny rule 3 op file.open\nleaf 2", "leaf 1"},
		{"audit rule 5 op file.read", "audit rule 5 op file.read errno 1", "leaf 3"},
		{"audit rule 5 op file.read", "allow rule 5 op file.read", "only leaf 0 may"},
		{"errno 13\nleaf 2", "errno 4096\nleaf 2", "leaf 1"},
		{"max 4", "max 5", "table 0: 7 entries, max 5, is 4"},
		{"classes 3", "classes 0", "classifier 0"},
		{"jump b6", "jump b5", "edge to b5"},
		{"jump b6", "jump b9", "edge to b9"},
		{"..0: b3, ..1: b4", "..1: b3, ..1: b4", "not ascending"},
		{"v5 = sub v4, v1", "v4 = sub v4, v1", "v4 is defined twice"},
		{"v5 = sub v4, v1", "v5 = sub v9, v1", "v9 is used and not defined"},
		{"v5 = sub v4, v1", "v5 = sub v99, v1", "v99 is used and not defined"},
		{"v16 = and v2, 3", "v16 = and v13, 3", "does not dominate"},
		{"values 19", "values 18", "definition of v18"},
		{"values 19", "values 20", "v19 is not defined"},
		{"div v6, 3", "div v6, 0", "divisor"},
		{"mod v7, -2", "mod v7, -1", "divisor"},
		{"div v6, 3", "div v6, v6", "divisor"},
		{"v2 = class 0", "v2 = class 2", "no classifier 2"},
		{"lookup 1[v2]", "lookup 2[v2]", "no table 2"},
		{"lookup 1[v2]", "lookup 1[v1]", "looks up"},
		{"lookup 1[v2]", "lookup 1[v2 + 1]", "looks up 1..4 in table 1 of 4 entries"},
		{"lookup 0[v16 + 3]", "lookup 0[v16 + 4]", "looks up 4..7"},
		{"lookup 0[v16 + 3]", "lookup 0[v16 + -1]", "looks up -1..2"},
		{"decide leaf 2", "decide leaf 5", "decide of leaf"},
		{"decide leaf 2", "decide leaf 3", "audit rule 5"},
		{"decide v15", "decide v1", "decide of leaf v1"},
		{"report v3", "report v0", "report of leaf v0"},
		{"jump b6", "decide leaf 0", "b6 cannot be reached"},
		{"func file_open", "func file_open values 1 {\nb0:\n\tv0 = const 0\n\tdecide v0\n}\nfunc file_open", "not the only one"},
	} {
		require.Contains(t, sample, c.old)
		m := parse(t, strings.Replace(sample, c.old, c.new, 1))
		require.ErrorContains(t, Check(m), c.want, c.new)
	}
	m := parse(t, sample)
	m.Funcs[0].Blocks = nil
	require.ErrorContains(t, Check(m), "no blocks")
	m = parse(t, sample)
	m.Funcs[0].Blocks[0].Term.Kind = 0
	require.ErrorContains(t, Check(m), "malformed terminator")
	m = parse(t, sample)
	m.Funcs[0].Blocks[0].Instrs[0].Op = 0
	require.ErrorContains(t, Check(m), "opcode is invalid")
	m = parse(t, sample)
	m.Funcs[0].Blocks[0].Term.Cmp = 0
	require.ErrorContains(t, Check(m), "comparison is invalid")
}

// event gives fixed values.
type event struct {
	ints    map[string]int64
	classes []int
}

func (e event) Int(name string) int64   { return e.ints[name] }
func (e event) Class(c *Classifier) int { return e.classes[c.Name[1]-'0'] }

func TestRun(t *testing.T) {
	m := parse(t, sample)
	for _, c := range []struct {
		access         int64
		path, port     int
		audit, verdict int
	}{
		{0, 0, 0, 0, 0},
		{0, 1, 0, 0, 1},
		{0, 3, 0, 3, 4},
		{0, 1, 1, 0, 2},
		{0, 3, 2, 3, 0},
		{2, 2, 2, 0, 1},
	} {
		audit, verdict := Run(m, "file_open", event{map[string]int64{"access": c.access}, []int{c.path, c.port}})
		require.Equal(t, []int{c.audit, c.verdict}, []int{audit, verdict}, c)
	}
	audit, verdict := Run(m, "capable", event{})
	require.Zero(t, audit)
	require.Zero(t, verdict)
	require.Panics(t, func() { Run(m, "file_open", event{classes: []int{4, 0}}) })
}

func TestEval(t *testing.T) {
	const low = -1 << 63
	for _, c := range []struct {
		op         Opcode
		x, y, want int64
	}{
		{Add, low, -1, 1<<63 - 1}, {Sub, low, 1, 1<<63 - 1}, {Mul, low, -1, low}, {Div, -7, 2, -3}, {Mod, -7, 2, -1},
		{Div, 7, -2, -3}, {Mod, 7, -2, 1}, {Div, 1, 0, 0}, {Mod, 5, 0, 5}, {And, -1, 6, 6}, {Or, 5, 2, 7}, {Xor, 5, 1, 4},
		{Shl, 1, 64, 1}, {Shl, 1, -1, low}, {Shr, -8, 1, -4}, {Shr, -8, 65, -4},
	} {
		require.Equal(t, c.want, Eval(c.op, c.x, c.y), c)
	}
	require.Panics(t, func() { Eval(Field, 1, 1) })
	for cmp, want := range map[Cmp][3]bool{Eq: {false, true, false}, Ne: {true, false, true}, Lt: {true, false, false},
		Le: {true, true, false}, Gt: {false, false, true}, Ge: {false, true, true}} {
		for i, x := range []int64{-1, 0, 1} {
			require.Equal(t, want[i], cmp.Eval(x, 0), "%v %d", cmp, x)
		}
	}
	require.True(t, Set.Eval(6, 4))
	require.False(t, Set.Eval(6, 1))
}

// Intervals hold what arithmetic gives.
func TestIntervals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	number := func() int64 { return int64(r.Uint64()) >> r.IntN(64) }
	pair := func() def {
		a, b := number(), number()
		return def{lo: min(a, b), hi: max(a, b)}
	}
	within := func(d def) int64 {
		if width := uint64(d.hi) - uint64(d.lo); width != ^uint64(0) {
			return int64(uint64(d.lo) + r.Uint64N(width+1))
		}
		return int64(r.Uint64())
	}
	for range 200000 {
		op := Add + Opcode(r.IntN(int(Shr-Add)+1))
		x, y := pair(), pair()
		if r.IntN(3) == 0 {
			y.hi = y.lo
		}
		lo, hi := interval(op, x, y)
		v := Eval(op, within(x), within(y))
		require.True(t, lo <= v && v <= hi, "%v of %v, %v: %d not in %d..%d", op, x, y, v, lo, hi)
	}
}

// Dominators are the blocks without which the entry does not reach a block.
func TestDominators(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		f := &Func{}
		n := 2 + r.IntN(9)
		for i := range n {
			b := &Block{ID: i, Term: Term{Kind: Decide}}
			for range min(r.IntN(4), n-1-i) {
				b.Term.To = append(b.Term.To, i+1+r.IntN(n-1-i))
			}
			f.Blocks = append(f.Blocks, b)
		}
		reach := func(without int) []bool {
			seen := make([]bool, n)
			for i, b := range f.Blocks {
				if i == 0 && without != 0 {
					seen[0] = true
				}
				for _, s := range b.Term.To {
					seen[s] = seen[s] || seen[i] && s != without
				}
			}
			return seen
		}
		idom := f.Dominators()
		all := reach(-1)
		for b := 1; b < n; b++ {
			require.Equal(t, all[b], idom[b] >= 0)
			if !all[b] {
				continue
			}
			want := 0
			for d := range b {
				if d == 0 || !reach(d)[b] {
					want = d
				}
			}
			require.Equal(t, want, idom[b])
		}
	}
}

// Texts that are no module are errors, and what parses prints to what parses.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("module \"\"\nfunc x values 0 {\nb0:\n\tdecide leaf 0\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(m.String())
		require.NoError(t, err)
		require.Equal(t, m.String(), again.String())
		_ = Check(m)
	})
}
