package lower

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/opt"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
	"github.com/stretchr/testify/require"
)

// policyOf makes a policy of rules over operations; a name that ends in ":each"
// is meant as part of a group.
type ruleOf struct {
	verb ast.Verb
	ops  []string
	each bool
	cond check.Cond
}

func policyOf(s *types.Schema, deny []string, rules ...ruleOf) *check.Policy {
	p := &check.Policy{Name: "p", Schema: s}
	for _, name := range deny {
		p.Defaults = append(p.Defaults, &check.Default{ID: len(p.Defaults) + 1, Deny: true, Ops: []*types.Operation{s.Operation(name)}, Rank: map[*types.Operation]int{s.Operation(name): 2}})
	}
	file := source.New("p.snp", "")
	for _, r := range rules {
		out := &check.Rule{ID: len(p.Defaults) + len(p.Rules) + 1, Verb: r.verb, Cond: r.cond, Span: source.Span{File: file}}
		for _, name := range r.ops {
			out.Ops = append(out.Ops, check.OpUse{Op: s.Operation(name), Each: r.each})
		}
		p.Rules = append(p.Rules, out)
	}
	return p
}

func groupOps(s *types.Schema, name string) (out []string) {
	for _, op := range s.Group(name).Ops {
		out = append(out, op.Name)
	}
	return out
}

func pathIs(f *types.Field, kind check.PatternKind, text string) check.Cond {
	return &check.PathIn{Field: f, Patterns: []check.Pattern{{Kind: kind, Text: text}}}
}

func intIs(f *types.Field, n int64) check.Cond {
	return &check.IntIn{X: &check.IntField{Field: f}, Ranges: []check.Range{{Lo: n, Hi: n}}}
}

// TestScale holds that large policies compile in bounded time and memory, to
// bounded code and tables, and mean what they say.
func TestScale(t *testing.T) {
	tgt := testTarget(t)
	s := types.Language()
	path := s.Operation("file.rename").Field("path")
	to := s.Operation("file.rename").Field("to")
	uid := s.SubjectField("uid")
	addr := s.Operation("net.connect").Field("addr")
	comm := s.SubjectField("comm")
	const n = 10000
	many := func(n int, make func(i int) ruleOf) []ruleOf {
		var out []ruleOf
		for i := range n {
			out = append(out, make(i))
		}
		return out
	}
	name := func(i int) string { return fmt.Sprintf("/srv/data/%03d/file%05d", i%997, i) }
	change := groupOps(s, "file.change")
	and := func(xs ...check.Cond) check.Cond { return &check.And{Xs: xs} }
	kind := func(i int) check.PatternKind { return []check.PatternKind{check.Literal, check.Under}[i%2] }
	for _, c := range []struct {
		name   string
		policy *check.Policy
		// Limits of what comes out.
		instructions, tables int
	}{
		{"10000 paths, open", policyOf(s, nil, many(n, func(i int) ruleOf {
			return ruleOf{ast.Deny, []string{"file.open"}, false, pathIs(path, kind(i), name(i))}
		})...), 16, 64},
		{"10000 paths, allow list", policyOf(s, []string{"file.open", "file.write"}, many(n, func(i int) ruleOf {
			return ruleOf{ast.Allow, []string{"file.open", "file.write"}, false, pathIs(path, kind(i), name(i))}
		})...), 16, 64},
		{"10000 paths, deny changes", policyOf(s, nil, many(n, func(i int) ruleOf { return ruleOf{ast.Deny, change, true, pathIs(path, kind(i), name(i))} })...), 200, 1024},
		{"10000 paths, allow changes", policyOf(s, change, many(n, func(i int) ruleOf { return ruleOf{ast.Allow, change, true, pathIs(path, kind(i), name(i))} })...), 300, 1024},
		{"1000 pairs", policyOf(s, nil, many(1000, func(i int) ruleOf {
			return ruleOf{ast.Deny, []string{"file.rename"}, false, and(pathIs(path, check.Literal, name(i)), pathIs(to, check.Literal, name(i+1)))}
		})...), 6000, 64},
		{"10000 networks", policyOf(s, nil, many(n, func(i int) ruleOf {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
			return ruleOf{ast.Deny, []string{"net.connect"}, false, &check.AddrIn{Field: addr, Prefixes: []netip.Prefix{p}}}
		})...), 16, 64},
		{"1000 users each with a path", policyOf(s, nil, many(1000, func(i int) ruleOf {
			return ruleOf{ast.Deny, []string{"file.open"}, false, and(intIs(uid, int64(i)), pathIs(path, kind(i), name(i)))}
		})...), 4000, 16},
		{"1000 users each with a path, changes", policyOf(s, nil, many(1000, func(i int) ruleOf {
			return ruleOf{ast.Deny, change, true, and(intIs(uid, int64(i)), pathIs(path, kind(i), name(i)))}
		})...), 60000, 64},
		{"1000 users and 1000 paths mixed", policyOf(s, nil, many(2000, func(i int) ruleOf {
			if i%2 == 0 {
				return ruleOf{ast.Deny, []string{"file.open"}, false, and(intIs(uid, int64(i)), pathIs(path, kind(i/2), name(i)))}
			}
			return ruleOf{ast.Deny, []string{"file.open"}, false, pathIs(path, kind(i/2), name(i))}
		})...), 6000, 64},
		{"100 commands and 5000 paths mixed", policyOf(s, nil, many(5000, func(i int) ruleOf {
			if i%50 == 0 {
				return ruleOf{ast.Deny, []string{"file.open"}, false, and(&check.StringIn{Field: comm, Patterns: []check.Pattern{{Kind: check.Literal, Text: fmt.Sprintf("c%d", i)}}}, pathIs(path, kind(i), name(i)))}
			}
			return ruleOf{ast.Deny, []string{"file.open"}, false, pathIs(path, kind(i), name(i))}
		})...), 600, 128},
		{"10000 users", policyOf(s, nil, many(n, func(i int) ruleOf {
			return ruleOf{ast.Deny, []string{"file.open"}, false, intIs(uid, int64(3*i))}
		})...), 16, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			m, diags := Lower(c.policy)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			require.Empty(t, diags)
			require.NoError(t, ir.Check(m))
			plain := size(m)
			start = time.Now()
			require.NoError(t, opt.Run(m, opt.Options{}))
			passes := time.Since(start)
			require.NoError(t, ir.Check(m))
			tables := 0
			for _, tab := range m.Tables {
				tables += 4 * len(tab.Data)
			}
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%v + %v, %d MiB allocated, %d functions, %d -> %d instructions, %d classifiers, %d tables of %d KiB",
				took.Round(time.Millisecond), passes.Round(time.Millisecond), allocated, len(m.Funcs), plain, size(m), len(m.Classifiers), len(m.Tables), tables>>10)
			require.LessOrEqual(t, size(m), c.instructions)
			require.LessOrEqual(t, tables>>10, c.tables)

			g := &gen{rand.New(rand.NewPCG(1, 1)), tgt}
			for _, f := range m.Funcs {
				h := tgt.Hook(f.Hook)
				for range 4 {
					ev := g.event(h)
					i := g.IntN(len(c.policy.Rules))
					ev.Strings["path"], ev.Strings["to"] = name(i), name(i+g.IntN(3)-1)+pick(g, []string{"", "", "/below"})
					ev.Strings["comm"] = fmt.Sprintf("c%d", i)
					ev.Ints["uid"] = int64(i + g.IntN(2))
					ev.Addrs["addr"] = netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
					for _, field := range []string{"path", "to", "addr"} {
						ev.Unresolved[field] = h.Field(field) != nil && g.IntN(10) == 0
					}
					same(t, c.policy, m, h, ev, c.name)
				}
			}
		})
	}
}
