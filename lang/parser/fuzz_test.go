package parser

import (
	"bytes"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// FuzzParse holds what Parse promises for any text: a tree and errors that lie
// in the file, at most MaxErrors of them in source order, and no Bad node
// without an error.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(cases, "*", "*.txtar"))
	require.NoError(f, err)
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		require.NoError(f, err)
		f.Add(string(a.Files[0].Data))
	}
	for _, c := range diag.Codes() {
		f.Add(c.Bad)
	}
	f.Fuzz(func(t *testing.T, text string) { checkParse(t, text) })
}

func checkParse(t *testing.T, text string) {
	t.Helper()
	file := source.New("fuzz.snp", text)
	tree, errs := Parse(file)
	require.Same(t, file, tree.Source)
	inside := func(sp source.Span) {
		require.Same(t, file, sp.File)
		require.True(t, 0 <= sp.Start && sp.Start <= sp.End && sp.End <= len(text), "%d..%d of %d", sp.Start, sp.End, len(text))
	}
	bad := false
	ast.Walk(tree, func(n ast.Node) bool {
		inside(n.Span())
		switch n.(type) {
		case *ast.BadStmt, *ast.BadExpr:
			bad = true
		}
		return true
	})
	last := 0
	for _, s := range tree.Stmts {
		require.GreaterOrEqual(t, s.Span().Start, last, "statements in order, none inside another")
		last = s.Span().End
	}
	for _, c := range tree.Comments {
		inside(c.Sp)
		require.Equal(t, c.Text, c.Sp.Text())
	}
	require.True(t, errs.HasErrors() || !bad, "a Bad node without an error")
	checkErrors(t, file, errs)
}

// checkErrors holds what Parse promises about errors.
func checkErrors(t *testing.T, file *source.File, errs diag.List) {
	t.Helper()
	inside := func(sp source.Span) {
		require.Same(t, file, sp.File)
		require.True(t, 0 <= sp.Start && sp.Start <= sp.End && sp.End <= len(file.Text), "%d..%d of %d", sp.Start, sp.End, len(file.Text))
	}
	require.LessOrEqual(t, len(errs), MaxErrors+1)
	require.True(t, sort.SliceIsSorted(errs, func(i, j int) bool { return errs[i].Span.Start < errs[j].Span.Start }))
	for _, e := range errs {
		inside(e.Span)
		for _, r := range e.Related {
			inside(r.Span)
		}
		info, ok := diag.Explain(e.Code)
		require.True(t, ok, e.Code)
		require.Equal(t, info.Severity, e.Severity)
		require.NotEmpty(t, e.Message)
	}
	var out bytes.Buffer
	require.NoError(t, diag.Text(&out, errs, diag.TextOptions{}))
	require.False(t, strings.ContainsAny(out.String(), "\x00\x1b\r"), "nothing that a terminal obeys")
}
