package format_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/format"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

var update = flag.Bool("update", false, "rewrite the fmt sections of testdata/syntax")

// TestGolden holds the canonical text of each good case in its section fmt.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../testdata/syntax/good/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			text := input(t, a)
			got := formatted(t, text)
			requireSame(t, text, got)
			for i, f := range a.Files {
				if f.Name != "fmt" {
					continue
				}
				if !*update {
					require.Equal(t, string(f.Data), got)
					return
				}
				a.Files = slices.Delete(a.Files, i, i+1)
				break
			}
			require.True(t, *update, "no section fmt; run with -update")
			a.Files = append(a.Files, txtar.File{Name: "fmt", Data: []byte(got)})
			require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o644))
		})
	}
}

func input(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	for _, f := range a.Files {
		switch f.Name {
		case "input.snp":
			return string(f.Data)
		case "input.quoted":
			text, err := strconv.Unquote(strings.TrimSpace(string(f.Data)))
			require.NoError(t, err)
			return text
		}
	}
	t.Fatal("the case has no input")
	return ""
}

func formatted(t *testing.T, text string) string {
	t.Helper()
	f, errs := parser.Parse(source.New("test.snp", text))
	for _, e := range errs {
		t.Fatalf("%s: %s\n%s", e.Span, e.Message, text)
	}
	out, err := format.Format(f)
	require.NoError(t, err)
	return out
}

// tree gives the dump without comments, and the comments in any order.
func tree(t *testing.T, text string) (string, []string) {
	t.Helper()
	f, errs := parser.Parse(source.New("test.snp", text))
	for _, e := range errs {
		t.Fatalf("%s: %s\n%s", e.Span, e.Message, text)
	}
	var comments []string
	for _, c := range f.Comments {
		comments = append(comments, c.Text)
	}
	slices.Sort(comments)
	f.Comments = nil
	var b bytes.Buffer
	require.NoError(t, ast.Fprint(&b, f))
	return b.String(), comments
}

// requireSame holds what formatting promises: the same tree, the same comments,
// and no change when it is done again.
func requireSame(t *testing.T, text, got string) {
	t.Helper()
	wantTree, wantComments := tree(t, text)
	gotTree, gotComments := tree(t, got)
	require.Equal(t, wantTree, gotTree, "formatting changed the tree of\n%s\nto\n%s", text, got)
	require.Equal(t, wantComments, gotComments, "formatting changed the comments of\n%s\nto\n%s", text, got)
	require.Equal(t, got, formatted(t, got), "formatting again changed the text")
	for line := range strings.Lines(got) {
		require.Equal(t, strings.TrimRight(line, " \t\n"), strings.TrimSuffix(line, "\n"), "trailing space")
	}
	require.NotContains(t, got, "\n\n\n")
	require.NotContains(t, got, "\r")
}

func TestFilesWithErrorsAreRefused(t *testing.T) {
	for _, text := range []string{"policy\n", "policy p\nallow exec when\n", "policy p\nset a = int { 08 }\n", "policy p\nwhen a {\nx\n}\n"} {
		f, errs := parser.Parse(source.New("bad.snp", text))
		require.True(t, errs.HasErrors(), text)
		out, err := format.Format(f)
		require.ErrorIs(t, err, format.ErrBad, text)
		require.Empty(t, out)
	}
}

// TestBuiltTrees prints trees that were never parsed: no spans, so literals come
// from their values and parentheses from precedence.
func TestBuiltTrees(t *testing.T) {
	name := func(s string) ast.Expr { return &ast.NameExpr{Ident: ast.Ident{Name: s}} }
	num := func(v uint64) ast.Expr { return &ast.IntLit{Value: v} }
	bin := func(op ast.Op, x, y ast.Expr) ast.Expr { return &ast.BinaryExpr{Op: op, X: x, Y: y} }
	un := func(op ast.Op, x ast.Expr) ast.Expr { return &ast.UnaryExpr{Op: op, X: x} }
	for want, x := range map[string]ast.Expr{
		"(a or b) and c":   bin(ast.OpAnd, bin(ast.OpOr, name("a"), name("b")), name("c")),
		"a or b and c":     bin(ast.OpOr, name("a"), bin(ast.OpAnd, name("b"), name("c"))),
		"a or (b or c)":    bin(ast.OpOr, name("a"), bin(ast.OpOr, name("b"), name("c"))),
		"(a == 1) == b":    bin(ast.OpEq, bin(ast.OpEq, name("a"), num(1)), name("b")),
		"not (a and b)":    un(ast.OpNot, bin(ast.OpAnd, name("a"), name("b"))),
		"not a == 1":       un(ast.OpNot, bin(ast.OpEq, name("a"), num(1))),
		"(not a) == b":     bin(ast.OpEq, un(ast.OpNot, name("a")), name("b")),
		"-(a + 1) == --b":  bin(ast.OpEq, un(ast.OpNeg, bin(ast.OpAdd, name("a"), num(1))), un(ast.OpNeg, un(ast.OpNeg, name("b")))),
		"a - (b - c) == 0": bin(ast.OpEq, bin(ast.OpSub, name("a"), bin(ast.OpSub, name("b"), name("c"))), num(0)),
		`a in { "\u00e9\n", 1..2, fd00::/8, true }`: bin(ast.OpIn, name("a"), &ast.SetLit{Elems: []ast.Expr{&ast.StringLit{Value: "é\n"},
			&ast.RangeExpr{Lo: num(1), Hi: num(2)}, &ast.AddrLit{Text: "fd00::/8"}, &ast.BoolLit{Value: true}}}),
		"f(a, 10s) and g()": bin(ast.OpAnd, &ast.CallExpr{Fun: ast.Ident{Name: "f"}, Args: []ast.Expr{name("a"), &ast.DurationLit{Value: 10e9}}},
			&ast.CallExpr{Fun: ast.Ident{Name: "g"}}),
	} {
		f := &ast.File{Stmts: []ast.Stmt{
			&ast.PolicyStmt{Name: ast.Ident{Name: "p"}},
			&ast.RuleStmt{Verb: ast.Deny, Ops: []ast.Ident{{Name: "exec"}, {Name: "file.*"}}, When: x},
		}}
		out, err := format.Format(f)
		require.NoError(t, err)
		require.Equal(t, "policy p\n\ndeny exec, file.* when "+want+"\n", out)
		requireSame(t, out, out)
	}
}

func TestWideSetIsFilled(t *testing.T) {
	var elems []ast.Expr
	for i := range 200 {
		elems = append(elems, &ast.IntLit{Value: uint64(i * 1000)})
	}
	out, err := format.Format(&ast.File{Stmts: []ast.Stmt{&ast.SetStmt{Name: ast.Ident{Name: "s"}, Kind: ast.Ident{Name: "int"}, Set: &ast.SetLit{Elems: elems}}}})
	require.NoError(t, err)
	require.Greater(t, strings.Count(out, "\n"), 10)
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(line), 110)
	}
	requireSame(t, out, out)
}
