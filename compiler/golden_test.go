package compiler_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
)

var update = flag.Bool("update", false, "rewrite the sections of testdata/cases")

const cases = "../testdata/cases"

// caseFiles gives the policies of a case by name.
func caseFiles(a *txtar.Archive) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".snp") {
			files[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return files
}

func compileFiles(files fstest.MapFS) (*compiler.Result, diag.List) {
	return compiler.Compile(files, "input.snp", compiler.Options{Version: "test", CheckPasses: true})
}

func compileText(text string) (*compiler.Result, diag.List) {
	return compileFiles(fstest.MapFS{"input.snp": {Data: []byte(text)}})
}

// stages are the sections that a case may ask for by having them.
var stages = []struct {
	name string
	dump func(r *compiler.Result) (string, error)
}{
	{"policy", func(r *compiler.Result) (string, error) {
		var b bytes.Buffer
		err := check.Fprint(&b, r.Policy)
		return b.String(), err
	}},
	{"ir", func(r *compiler.Result) (string, error) { return r.DumpIR(), nil }},
	{"asm", func(r *compiler.Result) (string, error) { return programsOnly(r) }},
	{"object", summary},
}

var figures = regexp.MustCompile(`, \d+ instructions with subprograms|: \d+ bytes$`)

// summary describes the object without the sizes of what is the same for every policy.
func summary(r *compiler.Result) (string, error) {
	text, err := object.Describe(r.Object)
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "source ") {
			line = figures.ReplaceAllString(line, "")
		}
		b.WriteString(line + "\n")
	}
	return b.String(), err
}

// programsOnly leaves the routines of compiler/rt out of the listing: they are
// the same for every policy.
func programsOnly(r *compiler.Result) (string, error) {
	text, err := r.DumpAsm()
	var b strings.Builder
	show := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			show = strings.HasPrefix(line, "lsm/")
		}
		if show {
			b.WriteString(line)
		}
	}
	return b.String(), err
}

func caseNames(t testing.TB) []string {
	names, err := filepath.Glob(filepath.Join(cases, "*.txtar"))
	require.NoError(t, err)
	require.Greater(t, len(names), 40)
	return names
}

// TestGolden holds each case of testdata/cases: what is reported, and the forms
// of the policy that the case has sections for.
func TestGolden(t *testing.T) {
	listings := 0
	for _, name := range caseNames(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			require.NotEmpty(t, strings.TrimSpace(string(a.Comment)), "a case says what it shows")
			r, list := compileFiles(caseFiles(a))
			require.Equal(t, list.HasErrors(), r.Object == nil)
			if r.Module != nil {
				require.NoError(t, ir.Check(r.Module))
			}
			want := slices.DeleteFunc(slices.Clone(a.Files), func(f txtar.File) bool { return !strings.HasSuffix(f.Name, ".snp") })
			if len(list) > 0 {
				var b bytes.Buffer
				require.NoError(t, diag.Text(&b, list, diag.TextOptions{}))
				want = append(want, txtar.File{Name: "report", Data: b.Bytes()})
			}
			for _, s := range stages {
				if slices.ContainsFunc(a.Files, func(f txtar.File) bool { return f.Name == s.name }) {
					require.NotNil(t, r.Object, "no %s of a policy with errors", s.name)
					text, err := s.dump(r)
					require.NoError(t, err)
					want = append(want, txtar.File{Name: s.name, Data: []byte(text)})
					if s.name == "asm" {
						listings++
					}
				}
			}
			got := txtar.Format(&txtar.Archive{Comment: a.Comment, Files: want})
			if *update {
				require.NoError(t, os.WriteFile(name, got, 0o644))
				return
			}
			require.Equal(t, string(txtar.Format(a)), string(got), "run with -update after looking at the difference")
		})
	}
	require.LessOrEqual(t, listings, 6, "listings of instructions are read by nobody if there are many")
}

// TestCompilationIsDeterministic compiles each case again and again.
func TestCompilationIsDeterministic(t *testing.T) {
	for _, name := range caseNames(t) {
		a, err := txtar.ParseFile(name)
		require.NoError(t, err)
		first, _ := compileFiles(caseFiles(a))
		for range 3 {
			again, _ := compileFiles(caseFiles(a))
			require.True(t, bytes.Equal(first.Object, again.Object), name)
		}
	}
}
