package ast_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	goast "go/ast"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	snp "github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// nodeTypes reads from the package's source which types have the marker methods
// of statements, test steps and expressions.
func nodeTypes(t *testing.T) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "ast.go", nil, 0)
	require.NoError(t, err)
	types := map[string]bool{}
	for _, d := range f.Decls {
		fn, ok := d.(*goast.FuncDecl)
		if !ok || fn.Recv == nil || !regexp.MustCompile(`^(stmt|testStep|expr)$`).MatchString(fn.Name.Name) {
			continue
		}
		types[fn.Recv.List[0].Type.(*goast.StarExpr).X.(*goast.Ident).Name] = true
	}
	require.Greater(t, len(types), 25)
	return types
}

// TestEveryNodeIsWalkedAndPrinted parses all cases, so that a node type that Walk
// or Fprint does not know panics, and a type that no case holds fails.
func TestEveryNodeIsWalkedAndPrinted(t *testing.T) {
	missing := nodeTypes(t)
	files, err := filepath.Glob("../../testdata/syntax/*/*.txtar")
	require.NoError(t, err)
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		require.NoError(t, err)
		f, _ := snp.Parse(source.New(name, string(a.Files[0].Data)))
		ast.Walk(f, func(n ast.Node) bool {
			delete(missing, reflect.TypeOf(n).Elem().Name())
			return true
		})
		require.NoError(t, ast.Fprint(&bytes.Buffer{}, f))
	}
	require.Empty(t, missing)
}

// other is a node that the package does not know.
type other struct{ ast.Stmt }

type otherExpr struct{ ast.Expr }

func TestUnknownNodesPanic(t *testing.T) {
	f := &ast.File{Stmts: []ast.Stmt{other{}}}
	require.Panics(t, func() { ast.Walk(f, func(ast.Node) bool { return true }) })
	require.Panics(t, func() { _ = ast.Fprint(&bytes.Buffer{}, f) })
	require.Panics(t, func() { ast.WalkExpr(otherExpr{}, func(ast.Node) bool { return true }) })
	ast.Walk(f, func(ast.Node) bool { return false })
}

func TestWalkOrderAndPruning(t *testing.T) {
	f, errs := snp.Parse(source.New("p.snp", "policy p\nwhen a { deny exec when b == 1 unless c because \"x\" }\nallow exec when d\n"))
	require.Empty(t, errs)
	var all, pruned []string
	note := func(out *[]string, n ast.Node) { *out = append(*out, n.Span().Text()) }
	ast.Walk(f, func(n ast.Node) bool { note(&all, n); return true })
	require.Equal(t, []string{"policy p", "when a { deny exec when b == 1 unless c because \"x\" }", "a",
		"deny exec when b == 1 unless c because \"x\"", "b == 1", "b", "1", "c", "\"x\"", "allow exec when d", "d"}, all)
	ast.Walk(f, func(n ast.Node) bool { note(&pruned, n); _, block := n.(*ast.WhenBlock); return !block })
	require.Equal(t, []string{"policy p", "when a { deny exec when b == 1 unless c because \"x\" }", "allow exec when d", "d"}, pruned)
}
