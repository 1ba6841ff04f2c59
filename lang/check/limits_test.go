package check_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// Just inside the limits everything is accepted, and quickly.
func TestAtTheLimits(t *testing.T) {
	start := time.Now()
	p := mustCheck(t, "policy p\n"+strings.Repeat("deny exec when uid == 0\n", check.MaxRules))
	require.Len(t, p.Rules, check.MaxRules)
	require.Equal(t, check.MaxRules, p.Rules[check.MaxRules-1].ID)

	var b strings.Builder
	b.WriteString("policy p\nset ids = int { 1")
	for i := 1; i < check.MaxMembers; i++ {
		fmt.Fprintf(&b, ",%d", 2*i+1)
	}
	b.WriteString(" }\n" + strings.Repeat("deny exec when uid in ids\n", 1000))
	p = mustCheck(t, b.String())
	first, last := p.Rules[0].Cond.(*check.IntIn), p.Rules[999].Cond.(*check.IntIn)
	require.Len(t, first.Ranges, check.MaxMembers)
	require.Same(t, &first.Ranges[0], &last.Ranges[0], "the members of a set are not copied for each use")
	require.Less(t, time.Since(start), 10*time.Second)
}

// Rules and members count those of imports, and each limit is reported once.
func TestLimitsAreReportedOnce(t *testing.T) {
	for _, code := range []diag.Code{diag.TooManyRules, diag.TooManyMembers, diag.ConditionsTooLarge} {
		info, ok := diag.Explain(code)
		require.True(t, ok)
		p, list := checkText(t, info.Example())
		require.Nil(t, p)
		require.Len(t, list, 1, "%v", list)
		require.Equal(t, code, list[0].Code)
	}
	half := strings.Repeat("deny exec when uid == 0\n", check.MaxRules/2)
	_, list := checkText(t, "-- main.snp --\npolicy p\nimport \"./a.snp\"\nimport \"./b.snp\"\ndeny exec\n-- a.snp --\n"+half+"-- b.snp --\n"+half)
	require.Equal(t, diag.TooManyRules, list[0].Code)
}

// Inputs within the size limit that could cost more than linear time.
func TestHostileInputs(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.NewReplacer("#-1", fmt.Sprint(i-1), "#", fmt.Sprint(i)).Replace(format))
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"sets that name each other in a chain": "set s0 = port { 1 }\n" + strings.Replace(many(8000, "set s# = port { s#-1, # }\n"), "set s0 = port { s-1, 0 }\n", "", 1),
		"a chain that never resolves":          many(20_000, "set s# = port { s#-1 }\n"),
		"unknown names beside many sets":       many(10_000, "set set# = port { 1 }\n") + many(10_000, "deny net.bind when port in sat#\n"),
		"the same default":                     many(9000, "default deny for file.change\n"),
		"a large set in braces in many rules":  "set s = path { " + many(10_000, "\"/a#\",") + " }\n" + many(5000, "deny exec when path in { s, \"/x#\" }\n"),
		"long globs":                           many(100, "deny exec when path matches \""+strings.Repeat("{a*,?}", 1500)+"\"\n"),
		"tests of unknown rules":               many(5000, "deny exec as r#\n") + "test \"t\" {\n" + many(5000, "exec => deny by q#\n") + "}\n",
		"wide conditions":                      many(40, "deny exec when uid == 0"+strings.Repeat(" or uid == 1", 990)+"\n"),
		"blocks in blocks":                     strings.Repeat("when uid == gid or uid == 5 {\n", 90) + many(9000, "deny exec\n") + strings.Repeat("}\n", 90),
		"groups in many rules":                 many(9000, "deny file.change, file.see when uid == owner\n"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			text := "policy p\n" + text
			require.LessOrEqual(t, len(text), source.MaxSize)
			tree, _ := parser.Parse(source.New("p.snp", text))
			_, list := check.Tree(tree, nil, types.Language())
			require.LessOrEqual(t, len(list), 2*check.MaxErrors+1)
			require.Less(t, time.Since(start), 5*time.Second)
		})
	}
}

// Trees that no parser makes are refused, not followed to the end of the stack.
func TestDeepTrees(t *testing.T) {
	f := source.New("p.snp", "policy p\n")
	sp := source.Span{File: f, Start: 0, End: 1}
	uid := &ast.NameExpr{Ident: ast.Ident{Sp: sp, Name: "uid"}}
	one := &ast.IntLit{Sp: sp, Value: 1}
	deep := map[string]func(ast.Expr) ast.Expr{
		"not":        func(e ast.Expr) ast.Expr { return &ast.UnaryExpr{Sp: sp, Op: ast.OpNot, X: e} },
		"paren":      func(e ast.Expr) ast.Expr { return &ast.ParenExpr{Sp: sp, X: e} },
		"neg":        func(e ast.Expr) ast.Expr { return &ast.UnaryExpr{Sp: sp, Op: ast.OpNeg, X: e} },
		"plus left":  func(e ast.Expr) ast.Expr { return &ast.BinaryExpr{Op: ast.OpAdd, X: e, Y: one} },
		"plus right": func(e ast.Expr) ast.Expr { return &ast.BinaryExpr{Op: ast.OpAdd, X: one, Y: e} },
		"and right":  func(e ast.Expr) ast.Expr { return &ast.BinaryExpr{Op: ast.OpAnd, X: uid, Y: e} },
		"equal":      func(e ast.Expr) ast.Expr { return &ast.BinaryExpr{Op: ast.OpEq, X: e, Y: one} },
	}
	for name, wrap := range deep {
		t.Run(name, func(t *testing.T) {
			var e ast.Expr = uid
			for range 20_000 {
				e = wrap(e)
			}
			tree := &ast.File{Source: f, Stmts: []ast.Stmt{
				&ast.PolicyStmt{Sp: sp, Name: ast.Ident{Sp: sp, Name: "p"}},
				&ast.RuleStmt{Sp: sp, Verb: ast.Deny, Ops: []ast.Ident{{Sp: sp, Name: "exec"}}, When: e},
			}}
			p, list := check.Tree(tree, nil, types.Language())
			require.Nil(t, p)
			require.True(t, list.HasErrors())
		})
	}
}

// Bad nodes, which stand for what could not be parsed, add no errors of their own.
func TestBrokenTreesAreChecked(t *testing.T) {
	tree, errs := parser.Parse(source.New("p.snp", "policy p\nset s = port { 80, ,, }\ndeny net.bind when port in s and\ndeny exec when uidd == 0\nfrob\n"))
	require.True(t, errs.HasErrors())
	_, list := check.Tree(tree, nil, types.Language())
	require.Len(t, list, 1)
	require.Equal(t, diag.UnknownName, list[0].Code)
}

// FuzzCheck: no input makes the checker fail, and a policy it accepts keeps the
// promises of policy.go.
func FuzzCheck(f *testing.F) {
	for _, c := range diag.Codes() {
		if c.Generate == nil {
			f.Add(c.Bad)
			f.Add(c.Good)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, errs := parser.Parse(source.New("p.snp", text))
		p, list := check.Tree(tree, nil, types.Language())
		require.Equal(t, p == nil, list.HasErrors())
		if p == nil || errs.HasErrors() {
			return
		}
		var b strings.Builder
		require.NoError(t, check.Fprint(&b, p))
		ids := map[int]bool{}
		for _, d := range p.Defaults {
			require.False(t, ids[d.ID])
			ids[d.ID] = true
		}
		for _, r := range p.Rules {
			require.False(t, ids[r.ID])
			ids[r.ID] = true
			require.NotEmpty(t, r.Ops)
			require.NotNil(t, r.Cond)
			check.Walk(r.Cond, func(x check.Cond) { requireWellFormed(t, x) })
		}
		for id := range len(ids) {
			require.True(t, ids[id+1], "ids are 1 to n")
		}
	})
}

// requireWellFormed holds a condition against the doc comments of its type.
func requireWellFormed(t require.TestingT, x check.Cond) {
	patterns := func(ps []check.Pattern) {
		require.NotEmpty(t, ps)
		for _, p := range ps {
			require.NotZero(t, p.Kind)
		}
	}
	switch x := x.(type) {
	case *check.And:
		require.GreaterOrEqual(t, len(x.Xs), 2)
	case *check.Or:
		require.GreaterOrEqual(t, len(x.Xs), 2)
	case *check.BoolIs:
		require.Equal(t, types.Bool, x.Field.Kind)
	case *check.IntIn:
		require.NotEmpty(t, x.Ranges)
		for i, r := range x.Ranges {
			require.LessOrEqual(t, r.Lo, r.Hi)
			if i > 0 {
				require.Greater(t, r.Lo-1, x.Ranges[i-1].Hi, "sorted, disjoint, not adjacent")
			}
		}
		_, isConst := x.X.(*check.IntConst)
		require.False(t, isConst)
	case *check.IntCmp:
		_, xConst := x.X.(*check.IntConst)
		_, yConst := x.Y.(*check.IntConst)
		require.False(t, xConst || yConst)
	case *check.HasFlags:
		require.Equal(t, types.Flags, x.Field.Kind)
		require.NotZero(t, x.Mask)
	case *check.PathIn:
		require.Equal(t, types.Path, x.Field.Kind)
		patterns(x.Patterns)
	case *check.StringIn:
		require.Equal(t, types.String, x.Field.Kind)
		patterns(x.Patterns)
	case *check.AddrIn:
		require.NotEmpty(t, x.Prefixes)
		for i, p := range x.Prefixes {
			require.Equal(t, p.Masked(), p)
			require.False(t, p.Addr().Is4In6() && p.Bits() >= 96)
			for _, q := range x.Prefixes[:i] {
				require.False(t, q.Bits() <= p.Bits() && q.Contains(p.Addr()), "none inside another")
				require.Negative(t, q.Addr().Compare(p.Addr()), "sorted")
			}
		}
	}
}

func TestPrefixesAreNormal(t *testing.T) {
	p := mustCheck(t, "policy p\ndeny net.connect when addr in { 10.0.0.0/8, 10.1.0.0/16, 0.0.0.0/1, ::/0, fd00::/8, ::ffff:1.2.3.4, 192.0.2.0/24, 192.0.2.1 }\n")
	in := p.Rules[0].Cond.(*check.AddrIn)
	requireWellFormed(t, in)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::/0")}, in.Prefixes)
}

func TestUnits(t *testing.T) {
	fsys := fstest.MapFS{
		"main.snp": {Data: []byte("policy p\nimport \"./lib.snp\"\ndeny net.bind when port in web\n")},
		"lib.snp":  {Data: []byte("set web = port { 80 }\nset spare = port { 1 }\nallow exec when uid == 0\n")},
		"bad.snp":  {Data: []byte("default deny\ndeny exec when udi == 0\n")},
	}
	unit := func(name string) *load.Unit {
		u, errs := load.Load(fsys, name, load.Options{})
		require.Empty(t, errs)
		return u
	}
	p, list := check.Check(unit("main.snp"), types.Language())
	require.Empty(t, list)
	require.Len(t, p.Rules, 2)
	require.Len(t, p.Files, 2)
	require.Equal(t, "main.snp", p.Files[0].Name)

	p, list = check.Check(unit("lib.snp"), types.Language())
	require.Nil(t, p)
	require.Equal(t, diag.MissingPolicy, list[0].Code)
	require.Empty(t, check.Library(unit("lib.snp"), types.Language()))
	list = check.Library(unit("bad.snp"), types.Language())
	require.Len(t, list, 2)
	require.Equal(t, diag.LibraryStatement, list[0].Code)
	require.Equal(t, diag.UnknownName, list[1].Code)
}
