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

// TestGolden holds the cases of testdata/syntax: of a good one the tree in section
// ast, of a bad one the errors as users see them in section errors. The input is in input.snp, or in
// input.quoted as a Go string where it has bytes that an editor would not keep.
func TestGolden(t *testing.T) {
	good, err := filepath.Glob(filepath.Join(cases, "good", "*.txtar"))
	require.NoError(t, err)
	bad, err := filepath.Glob(filepath.Join(cases, "bad", "*.txtar"))
	require.NoError(t, err)
	require.Greater(t, min(len(good), len(bad)), 25)
	for _, name := range append(good, bad...) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			f, errs := Parse(source.New("input.snp", input(t, a)))
			var tree, messages bytes.Buffer
			require.NoError(t, ast.Fprint(&tree, f))
			require.NoError(t, diag.Text(&messages, errs, diag.TextOptions{}))
			require.Equal(t, filepath.Base(filepath.Dir(name)) == "bad", errs.HasErrors(), messages.String())
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

// TestExamples holds the examples of the codes of this package: the bad one earns
// its code, the good one is free of errors.
func TestExamples(t *testing.T) {
	seen := 0
	for _, c := range diag.Codes() {
		if c.Code >= diag.ImportNotFound {
			continue
		}
		seen++
		_, errs := Parse(source.New("bad.snp", c.Example()))
		var codes []diag.Code
		for _, e := range errs {
			codes = append(codes, e.Code)
		}
		require.Contains(t, codes, c.Code)
		if c.Code != diag.TooManyErrors {
			require.Len(t, codes, 1, "one mistake, one error: %s", c.Code)
		}
		_, errs = Parse(source.New("good.snp", c.Good))
		require.Empty(t, errs, c.Code)
	}
	require.Greater(t, seen, 35)
}

func TestFirstTerms(t *testing.T) {
	for message, want := range map[string][]string{
		`unexpected token "x"`:                                                                   nil,
		`unexpected token "x" (expected <name>)`:                                                 {"<name>"},
		`unexpected token "(" (expected "=" <name> <condition>)`:                                 {`"="`},
		`unexpected token "x" (expected ("allow" | "deny") ("for" Word ("," Word)*)?)`:           {`"allow"`, `"deny"`},
		`unexpected token "x" (expected (("inc" <name>) | ("set" <name> "=" <condition>)))`:      {`"inc"`, `"set"`},
		`unexpected token "x" (expected ("a" ("b" | "c") | (<name> | Word) "d" | ("e" | "f")?))`: {`"a"`, "<name>", "Word", `"e"`, `"f"`},
		`unexpected token "x" (expected ")" "->" <name>)`:                                        {`")"`},
	} {
		require.Equal(t, want, firstTerms(message), message)
	}
}
