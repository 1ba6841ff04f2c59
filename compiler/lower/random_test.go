package lower

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/opt"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/types"
	"github.com/stretchr/testify/require"
)

func testTarget(t testing.TB) *target.Target {
	tgt, err := target.New(types.Language(), hook.Hooks())
	require.NoError(t, err)
	return tgt
}

// gen makes random policies that are well typed and speak of few values, so
// that conditions and events meet.
type gen struct {
	*rand.Rand
	t *target.Target
}

func pick[T any](g *gen, xs []T) T { return xs[g.IntN(len(xs))] }

var somePaths = []string{"", "/", "/a", "/a/b", "/a/c", "/b", "/b/x", "/a/b/c"}

var somePatterns = []check.Pattern{
	{Kind: check.Literal, Text: "/a"}, {Kind: check.Literal, Text: "/a/b"}, {Kind: check.Literal, Text: ""},
	{Kind: check.Under, Text: "/a"}, {Kind: check.Under, Text: "/"}, {Kind: check.Under, Text: "/b"},
	{Kind: check.Glob, Text: "/a/*"}, {Kind: check.Glob, Text: "/{a,b}"}, {Kind: check.Glob, Text: "**/[bx]"},
}

var someAddrs = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fd00::1")}

var somePrefixes = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("127.0.0.1/32")}

var someInts = []int64{0, 1, 2, 3, 4, 8, 15, 16, 0o100000, 0o100644, 1 << 25, -1, 4294967295}

// common lists the supported fields that all operations have.
func common(ops []*types.Operation, s *types.Schema) []*types.Field {
	fields := slices.Clone(s.Subject)
	for _, f := range ops[0].Fields {
		if !slices.ContainsFunc(ops, func(o *types.Operation) bool { return o.Field(f.Name) == nil || o.Field(f.Name).Kind != f.Kind }) {
			fields = append(fields, f, f, f)
		}
	}
	return slices.DeleteFunc(fields, func(f *types.Field) bool { return f.Unsupported != "" })
}

func (g *gen) cond(fields []*types.Field, depth int) check.Cond {
	if depth > 0 && g.IntN(3) > 0 {
		switch g.IntN(5) {
		case 0, 1:
			return &check.And{Xs: []check.Cond{g.cond(fields, depth-1), g.cond(fields, depth-1)}}
		case 2, 3:
			return &check.Or{Xs: []check.Cond{g.cond(fields, depth-1), g.cond(fields, depth-1), g.cond(fields, depth-1)}}
		default:
			return &check.Not{X: g.cond(fields, depth-1)}
		}
	}
	if g.IntN(20) == 0 {
		return &check.Const{Value: g.IntN(2) == 0}
	}
	f := pick(g, fields)
	switch f.Kind {
	case types.Bool:
		return &check.BoolIs{Field: f}
	case types.Path:
		return &check.PathIn{Field: f, Patterns: g.patterns()}
	case types.String:
		return &check.StringIn{Field: f, Patterns: g.patterns()}
	case types.Addr:
		ps := []netip.Prefix{pick(g, somePrefixes)}
		return &check.AddrIn{Field: f, Prefixes: ps}
	}
	ints := slices.DeleteFunc(slices.Clone(fields), func(f *types.Field) bool {
		return f.Unresolvable || f.Kind != types.Int && f.Kind != types.Flags
	})
	switch k := g.IntN(8); {
	case f.Unresolvable || k < 4:
		return &check.IntIn{X: &check.IntField{Field: f}, Ranges: g.ranges()}
	case k == 4:
		return &check.HasFlags{Field: f, Mask: pick(g, []int64{1, 2, 3, 4, 8, 12, -1 << 63})}
	case k == 5:
		return &check.IntCmp{Op: pick(g, []ast.Op{ast.OpEq, ast.OpNe, ast.OpLt, ast.OpLe, ast.OpGt, ast.OpGe}), X: g.value(ints, 1), Y: g.value(ints, 1)}
	default:
		return &check.IntIn{X: g.value(ints, 2), Ranges: g.ranges()}
	}
}

func (g *gen) patterns() []check.Pattern {
	var out []check.Pattern
	for range 1 + g.IntN(2) {
		out = append(out, pick(g, somePatterns))
	}
	return out
}

func (g *gen) ranges() []check.Range {
	var out []check.Range
	points := slices.Clone(someInts)
	slices.Sort(points)
	for i := 0; i < len(points); i++ {
		if g.IntN(5) == 0 {
			j := min(len(points)-1, i+g.IntN(3))
			if len(out) == 0 || out[len(out)-1].Hi+1 < points[i] {
				out = append(out, check.Range{Lo: points[i], Hi: points[j]})
			}
			i = j
		}
	}
	if out == nil {
		return []check.Range{{Lo: -1 << 63, Hi: pick(g, someInts)}}
	}
	return out
}

func (g *gen) value(ints []*types.Field, depth int) check.Value {
	if depth == 0 || g.IntN(3) == 0 {
		return &check.IntField{Field: pick(g, ints)}
	}
	op := pick(g, []ast.Op{ast.OpAdd, ast.OpSub, ast.OpMul, ast.OpDiv, ast.OpMod, ast.OpBitAnd, ast.OpBitOr, ast.OpBitXor, ast.OpShl, ast.OpShr})
	x := g.value(ints, depth-1)
	if op == ast.OpDiv || op == ast.OpMod {
		return &check.Arith{Op: op, X: x, Y: &check.IntConst{Value: pick(g, []int64{2, 3, -2})}}
	}
	if g.IntN(2) == 0 {
		return &check.Arith{Op: op, X: x, Y: &check.IntConst{Value: pick(g, []int64{0, 1, 3, 7, 63})}}
	}
	return &check.Arith{Op: op, X: x, Y: g.value(ints, depth-1)}
}

// policy makes a policy over the operations of one hook or a group.
func (g *gen) policy(rules, depth int) *check.Policy {
	s := g.t.Schema
	p := &check.Policy{Name: "p", Schema: s}
	h := pick(g, g.t.Hooks)
	var near []*types.Operation
	for _, inst := range h.Instances {
		near = append(near, inst.Op)
	}
	groups := []string{"file.change", "file.see"}
	id := 0
	for range rules {
		id++
		if g.IntN(5) == 0 {
			d := &check.Default{ID: id, Deny: g.IntN(3) > 0, Rank: map[*types.Operation]int{}}
			switch g.IntN(3) {
			case 0:
			case 1:
				op := pick(g, near)
				d.Ops = []*types.Operation{op}
				d.Rank[op] = 2
			case 2:
				for _, op := range s.Group(pick(g, groups)).Ops {
					d.Ops = append(d.Ops, op)
					d.Rank[op] = 1
				}
			}
			p.Defaults = append(p.Defaults, d)
			continue
		}
		r := &check.Rule{ID: id, Verb: pick(g, []ast.Verb{ast.Allow, ast.Allow, ast.Deny, ast.Deny, ast.Kill, ast.Audit})}
		if g.IntN(3) == 0 {
			for _, op := range s.Group(pick(g, groups)).Ops {
				r.Ops = append(r.Ops, check.OpUse{Op: op, Each: true})
			}
		} else {
			each := g.IntN(2) == 0
			for _, op := range s.Operations {
				if slices.Contains(near, op) && (len(r.Ops) == 0 || g.IntN(2) == 0) {
					r.Ops = append(r.Ops, check.OpUse{Op: op, Each: each})
				}
			}
		}
		var ops []*types.Operation
		for _, u := range r.Ops {
			ops = append(ops, u.Op)
		}
		r.Cond = g.cond(common(ops, s), depth)
		if r.Verb != ast.Audit && r.Verb != ast.Allow && g.IntN(4) == 0 {
			r.Errno = 2
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// event makes a random event of a hook.
func (g *gen) event(h *target.Hook) *Values {
	ev := &Values{Ints: map[string]int64{}, Strings: map[string]string{}, Addrs: map[string]netip.Addr{}, Unresolved: map[string]bool{}}
	for _, f := range h.AllFields() {
		kind := types.Int
		if f.Type != nil {
			kind = f.Type.Kind
			ev.Unresolved[f.Name] = f.Type.Unresolvable && g.IntN(8) == 0
		}
		switch kind {
		case types.Bool:
			ev.Ints[f.Name] = int64(g.IntN(2))
		case types.Path, types.String:
			ev.Strings[f.Name] = pick(g, somePaths)
		case types.Addr:
			ev.Addrs[f.Name] = pick(g, someAddrs)
		default:
			ev.Ints[f.Name] = pick(g, someInts)
		}
	}
	return ev
}

func leafAt(m *ir.Module, i int) ir.Leaf { return m.Leaves[i] }

// same compares the module with the oracle on one event.
func same(t *testing.T, p *check.Policy, m *ir.Module, h *target.Hook, ev *Values, seed string) {
	wantAudit, want := oracle(p, h, ev)
	a, v := ir.Run(m, h.Name, ev)
	if leafAt(m, a) != wantAudit || leafAt(m, v) != want {
		t.Fatalf("%s: hook %s\nwant %v, audit %v\n got %v, audit %v\nevent %v\n%s\n%s", seed, h.Name, want, wantAudit, leafAt(m, v), leafAt(m, a), ev, describe(p), m)
	}
}

func TestRandomPolicies(t *testing.T) {
	tgt := testTarget(t)
	pairs, funcs, before, after := 0, 0, 0, 0
	policies := 1000
	if testing.Short() {
		policies = 300
	}
	for seed := range policies {
		g := &gen{rand.New(rand.NewPCG(uint64(seed), 1)), tgt}
		p := g.policy(1+g.IntN(9), g.IntN(4))
		m, diags := lowerTo(p, tgt, pick(g, []work{usualWork, {}, {base: 20}, {base: 100}}))
		require.Empty(t, diags, "seed %d", seed)
		if err := ir.Check(m); err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, describe(p), m)
		}
		plain := clone(t, m)
		require.NoError(t, opt.Run(m, opt.Options{Check: true}), "seed %d", seed)
		before += size(plain)
		after += size(m)
		for _, h := range tgt.Hooks {
			n := 3
			if slices.ContainsFunc(m.Funcs, func(f *ir.Func) bool { return f.Hook == h.Name }) {
				n = 40
				funcs++
			}
			for range n {
				pairs++
				ev := g.event(h)
				same(t, p, plain, h, ev, fmt.Sprint("seed ", seed))
				same(t, p, m, h, ev, fmt.Sprint("optimised, seed ", seed))
			}
		}
	}
	t.Logf("%d policies, %d functions, %d events; %d instructions, %d after the passes", policies, funcs, pairs, before, after)
}

// clone copies a module by its text, with the classifiers' data.
func clone(t testing.TB, m *ir.Module) *ir.Module {
	out, err := ir.Parse(m.String())
	require.NoError(t, err)
	for i, c := range out.Classifiers {
		c.Data = m.Classifiers[i].Data
	}
	return out
}

// size counts instructions and terminators.
func size(m *ir.Module) int {
	n := 0
	for _, f := range m.Funcs {
		for _, b := range f.Blocks {
			n += len(b.Instrs) + 1
		}
	}
	return n
}

// describe prints a policy for a failing test.
func describe(p *check.Policy) string {
	var b strings.Builder
	for _, d := range p.Defaults {
		fmt.Fprintf(&b, "%d default deny=%v", d.ID, d.Deny)
		for _, op := range d.Ops {
			b.WriteString(" " + op.Name)
		}
		b.WriteString("\n")
	}
	for _, r := range p.Rules {
		fmt.Fprintf(&b, "%d %v", r.ID, r.Verb)
		for _, u := range r.Ops {
			fmt.Fprintf(&b, " %s/%v", u.Op.Name, u.Each)
		}
		fmt.Fprintf(&b, " when %s\n", condText(r.Cond))
	}
	return b.String()
}

func condText(c check.Cond) string {
	list := func(op string, xs []check.Cond) string {
		var parts []string
		for _, x := range xs {
			parts = append(parts, condText(x))
		}
		return "(" + strings.Join(parts, " "+op+" ") + ")"
	}
	switch c := c.(type) {
	case *check.Const:
		return fmt.Sprint(c.Value)
	case *check.And:
		return list("and", c.Xs)
	case *check.Or:
		return list("or", c.Xs)
	case *check.Not:
		return "not " + condText(c.X)
	case *check.BoolIs:
		return c.Field.Name
	case *check.IntIn:
		return fmt.Sprintf("%s in %v", valueText(c.X), c.Ranges)
	case *check.IntCmp:
		return fmt.Sprintf("%s %v %s", valueText(c.X), c.Op, valueText(c.Y))
	case *check.HasFlags:
		return fmt.Sprintf("%s has %d", c.Field.Name, c.Mask)
	case *check.PathIn:
		return fmt.Sprintf("%s in %v", c.Field.Name, c.Patterns)
	case *check.StringIn:
		return fmt.Sprintf("%s in %v", c.Field.Name, c.Patterns)
	case *check.AddrIn:
		return fmt.Sprintf("%s in %v", c.Field.Name, c.Prefixes)
	}
	return "?"
}

func valueText(v check.Value) string {
	switch v := v.(type) {
	case *check.IntConst:
		return fmt.Sprint(v.Value)
	case *check.IntField:
		return v.Field.Name
	case *check.Arith:
		return fmt.Sprintf("(%s %v %s)", valueText(v.X), v.Op, valueText(v.Y))
	}
	return "?"
}

// The order of rules does not change what is allowed, nor equal input the output.
func TestOrderAndDeterminism(t *testing.T) {
	tgt := testTarget(t)
	for seed := range 200 {
		g := &gen{rand.New(rand.NewPCG(uint64(seed), 2)), tgt}
		p := g.policy(2+g.IntN(9), g.IntN(4))
		w := pick(g, []work{usualWork, {}, {base: 50}})
		m, diags := lowerTo(p, tgt, w)
		require.Empty(t, diags)
		again, _ := lowerTo(p, tgt, w)
		require.Equal(t, m.String(), again.String())

		q := *p
		q.Rules = nil
		for i, j := range g.Perm(len(p.Rules)) {
			r := *p.Rules[j]
			r.ID = i + 1
			q.Rules = append(q.Rules, &r)
		}
		q.Defaults = nil
		for i, d := range p.Defaults {
			e := *d
			e.ID = len(q.Rules) + 1 + i
			q.Defaults = append(q.Defaults, &e)
		}
		other, diags := lowerTo(&q, tgt, w)
		require.Empty(t, diags)
		for _, f := range m.Funcs {
			h := tgt.Hook(f.Hook)
			for range 20 {
				ev := g.event(h)
				auditP, verdictP := ir.Run(m, h.Name, ev)
				auditQ, verdictQ := ir.Run(other, h.Name, ev)
				require.Equal(t, m.Leaves[verdictP].Verdict, other.Leaves[verdictQ].Verdict, "seed %d", seed)
				require.Equal(t, auditP != 0, auditQ != 0, "seed %d", seed)
			}
		}
	}
}
