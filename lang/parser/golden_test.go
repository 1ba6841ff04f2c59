package parser

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

var update = flag.Bool("update", false, "rewrite the sections of testdata/syntax that this package owns")

const cases = "../../testdata/syntax"

// TestGolden holds each case of testdata/syntax: the tree in section ast, the
// errors as users see them in section errors. The input is in input.snp, or in
// input.quoted as a Go string where it has bytes that an editor would not keep.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(cases, "*", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			f, errs := Parse(source.New("input.snp", input(t, a)))
			var tree, messages bytes.Buffer
			require.NoError(t, ast.Fprint(&tree, f))
			require.NoError(t, diag.Text(&messages, errs, diag.TextOptions{}))
			if len(errs) > 0 {
				section(t, name, a, "errors", messages.Bytes())
			} else {
				section(t, name, a, "ast", tree.Bytes())
			}
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

// section compares a section of a case, or rewrites it with -update.
func section(t *testing.T, file string, a *txtar.Archive, name string, got []byte) {
	t.Helper()
	for i, f := range a.Files {
		if f.Name == name {
			if *update {
				a.Files[i].Data = got
				require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o644))
				return
			}
			require.Equal(t, string(f.Data), string(got))
			return
		}
	}
	require.True(t, *update, "no section %s; run with -update", name)
	a.Files = append(a.Files, txtar.File{Name: name, Data: got})
	require.NoError(t, os.WriteFile(file, txtar.Format(a), 0o644))
}
