package check_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

var update = flag.Bool("update", false, "rewrite the sections of testdata/check")

const cases = "../../testdata/check"

// checkFiles checks the first file with the others as its imports.
func checkFiles(t testing.TB, files []txtar.File) (*check.Policy, diag.List) {
	t.Helper()
	trees := map[string]*ast.File{}
	for _, f := range files {
		tree, errs := parser.Parse(source.New(f.Name, string(f.Data)))
		require.Empty(t, errs, "%s does not parse", f.Name)
		trees["./"+f.Name] = tree
	}
	imports := map[*ast.ImportStmt]*ast.File{}
	for _, tree := range trees {
		for _, s := range tree.Stmts {
			if in, ok := s.(*ast.ImportStmt); ok {
				require.Contains(t, trees, in.Path.Value)
				imports[in] = trees[in.Path.Value]
			}
		}
	}
	return check.Tree(trees["./"+files[0].Name], imports, types.Language())
}

// checkText checks a policy in one file, or in several in txtar form.
func checkText(t testing.TB, text string) (*check.Policy, diag.List) {
	t.Helper()
	a := txtar.Parse([]byte(text))
	if len(a.Files) == 0 {
		a.Files = []txtar.File{{Name: "input.snp", Data: []byte(text)}}
	}
	return checkFiles(t, a.Files)
}

// mustCheck checks a policy that has no errors.
func mustCheck(t testing.TB, text string) *check.Policy {
	t.Helper()
	p, list := checkText(t, text)
	require.False(t, list.HasErrors(), "%v", list)
	return p
}

// TestGolden holds each case of testdata/check: what is reported, as users see
// it, in section report; the checked policy, if there is one, in section policy.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(cases, "*", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, cases+"/"), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			var inputs []txtar.File
			for _, f := range a.Files {
				if strings.HasSuffix(f.Name, ".snp") {
					inputs = append(inputs, f)
				}
			}
			p, list := checkFiles(t, inputs)
			require.Equal(t, list.HasErrors(), p == nil)
			var report, policy bytes.Buffer
			require.NoError(t, diag.Text(&report, list, diag.TextOptions{}))
			want := append([]txtar.File{}, inputs...)
			if len(list) > 0 {
				want = append(want, txtar.File{Name: "report", Data: report.Bytes()})
			}
			if p != nil {
				require.NoError(t, check.Fprint(&policy, p))
				want = append(want, txtar.File{Name: "policy", Data: policy.Bytes()})
			}
			got := string(txtar.Format(&txtar.Archive{Comment: a.Comment, Files: want}))
			if *update {
				require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(txtar.Format(a)), got, "run with -update after looking at the difference")
		})
	}
}
