package lower

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/opt"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/types"
)

// Components anywhere in a path multiply: n of them have 2^n combinations.
// Rules that ask for nothing else hide each other; others take several automata.
func TestComponentsAnywhere(t *testing.T) {
	tgt := testTarget(t)
	s := types.Language()
	path, to := s.Operation("file.rename").Field("path"), s.Operation("file.rename").Field("to")
	uid := s.SubjectField("uid")
	const n = 24
	anywhere := func(i int) check.Cond { return pathIs(path, check.Glob, fmt.Sprintf("**/n%02d/**", i)) }
	for _, c := range []struct {
		name    string
		deny    []string
		rule    func(i int) ruleOf
		classes int // of the largest classifier; 0: several per field
	}{
		{"alike", nil, func(i int) ruleOf { return ruleOf{ast.Deny, []string{"file.open"}, false, anywhere(i)} }, n + 1},
		{"deny and kill", nil, func(i int) ruleOf {
			return ruleOf{[]ast.Verb{ast.Deny, ast.Kill}[i%2], []string{"file.open", "file.write"}, false, anywhere(i)}
		}, n + 1},
		{"group", nil, func(i int) ruleOf { return ruleOf{ast.Deny, groupOps(s, "file.change"), true, anywhere(i)} }, n + 1},
		{"allow", []string{"file.open", "file.write"}, func(i int) ruleOf {
			return ruleOf{ast.Allow, []string{"file.open", "file.write"}, false, anywhere(i)}
		}, n + 1},
		{"allow group", groupOps(s, "file.change"), func(i int) ruleOf {
			if i < 6 {
				return ruleOf{ast.Allow, groupOps(s, "file.change"), true, anywhere(i)}
			}
			return ruleOf{ast.Allow, groupOps(s, "file.change"), true, pathIs(path, check.Literal, fmt.Sprintf("/%d", i))}
		}, 0},
		{"asked for twice", nil, func(i int) ruleOf {
			if i%2 == 0 {
				return ruleOf{ast.Audit, []string{"file.open"}, false, anywhere(i / 2)}
			}
			return ruleOf{ast.Deny, []string{"file.open"}, false, &check.And{Xs: []check.Cond{intIs(uid, int64(i/2)), anywhere(i / 2)}}}
		}, 0},
		{"either path", nil, func(i int) ruleOf {
			f := []*types.Field{path, to}[i%2]
			return ruleOf{ast.Deny, []string{"file.rename"}, false, pathIs(f, check.Glob, fmt.Sprintf("**/n%02d/**", i/2))}
		}, 0},
		{"with users", nil, func(i int) ruleOf {
			return ruleOf{ast.Deny, []string{"file.open"}, false, &check.And{Xs: []check.Cond{intIs(uid, int64(i)), anywhere(i)}}}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rules []ruleOf
			for i := range n {
				rules = append(rules, c.rule(i))
			}
			p := policyOf(s, c.deny, rules...)
			m, diags := lowerTo(p, tgt, usualWork)
			require.Empty(t, diags)
			require.NoError(t, opt.Run(m, opt.Options{Check: true}))
			most, of := 0, map[string]int{}
			for _, cl := range m.Classifiers {
				if cl.Kind == ir.PathClass {
					most = max(most, cl.Classes)
					of[strings.Split(cl.Name, ".")[0]+cl.Field]++
				}
			}
			if c.classes > 0 {
				require.Equal(t, c.classes, most)
				for _, count := range of {
					require.Equal(t, 1, count)
				}
			}
			g := &gen{rand.New(rand.NewPCG(1, 1)), tgt}
			for _, f := range m.Funcs {
				h := tgt.Hook(f.Hook)
				for range 300 {
					ev := g.event(h)
					n := pick(g, []int{4, n})
					ev.Ints["uid"] = int64(g.IntN(n))
					for _, field := range []string{"path", "to"} {
						text := ""
						for range g.IntN(4) {
							text += fmt.Sprintf("/n%02d", g.IntN(n))
						}
						ev.Strings[field] = text + "/x"
					}
					same(t, p, m, h, ev, c.name)
				}
			}
		})
	}
}
