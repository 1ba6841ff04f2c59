package load_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/source"
)

var update = flag.Bool("update", false, "rewrite the result sections of testdata/syntax/load")

// files makes a file system of the .snp files of an archive; the first is the main file.
func files(a *txtar.Archive) (fstest.MapFS, string) {
	fsys, main := fstest.MapFS{}, ""
	for _, f := range a.Files {
		if strings.HasSuffix(f.Name, ".snp") {
			fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			if main == "" {
				main = f.Name
			}
		}
	}
	return fsys, main
}

// TestGolden holds each case of testdata/syntax/load: the files in order and the
// errors as users see them, in the section result.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("../../testdata/syntax/load/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			fsys, main := files(a)
			u, errs := load.Load(fsys, main, load.Options{})
			checkUnit(t, u, errs)
			var got bytes.Buffer
			for _, f := range u.Files {
				got.WriteString("file " + f.Source.Name + "\n")
			}
			require.NoError(t, diag.Text(&got, errs, diag.TextOptions{}))
			last := &a.Files[len(a.Files)-1]
			if last.Name != "result" {
				require.True(t, *update, "no section result; run with -update")
				a.Files = append(a.Files, txtar.File{Name: "result"})
				last = &a.Files[len(a.Files)-1]
			}
			if *update {
				last.Data = got.Bytes()
				require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o644))
			}
			require.Equal(t, string(last.Data), got.String())
		})
	}
}

// checkUnit holds what Load promises of its result.
func checkUnit(t *testing.T, u *load.Unit, errs diag.List) {
	t.Helper()
	require.NotNil(t, u.Main)
	require.Same(t, u.Main, u.Files[0])
	known := map[*ast.File]bool{}
	for _, f := range u.Files {
		require.False(t, known[f], "each file once")
		known[f] = true
		for _, s := range f.Stmts {
			stmt, ok := s.(*ast.ImportStmt)
			if !ok {
				continue
			}
			require.True(t, u.Imports[stmt] != nil || errs.HasErrors(), "an import is resolved or reported")
		}
	}
	for _, f := range u.Imports {
		require.True(t, known[f])
		require.Nil(t, f.Policy())
	}
}

// TestExamples holds the examples of the codes of this package.
func TestExamples(t *testing.T) {
	seen := 0
	for _, c := range diag.Codes() {
		if c.Code < diag.ImportNotFound || c.Code > "SNP0299" {
			continue
		}
		seen++
		fsys, main := files(txtar.Parse([]byte(c.Example())))
		u, errs := load.Load(fsys, main, load.Options{})
		checkUnit(t, u, errs)
		require.Len(t, errs, 1, "%s: %v", c.Code, errs)
		require.Equal(t, c.Code, errs[0].Code)
		fsys, main = files(txtar.Parse([]byte(c.Good)))
		u, errs = load.Load(fsys, main, load.Options{})
		checkUnit(t, u, errs)
		require.Empty(t, errs, c.Code)
	}
	require.Equal(t, 9, seen)
}

func TestDiamondCountsOnce(t *testing.T) {
	fsys := fstest.MapFS{
		"dir/main.snp":   {Data: []byte("policy p\nimport \"./a.snp\"\nimport \"./sub/b.snp\"\n")},
		"dir/a.snp":      {Data: []byte("import \"../common.snp\"\n")},
		"dir/sub/b.snp":  {Data: []byte("import \"../../common.snp\"\n")},
		"common.snp":     {Data: []byte("set web = port { 80 }\n")},
		"dir/unused.snp": {Data: []byte("((((")},
	}
	u, errs := load.Load(fsys, "dir/main.snp", load.Options{Prefix: "x/"})
	require.Empty(t, errs)
	var names []string
	for _, f := range u.Files {
		names = append(names, f.Source.Name)
	}
	require.Equal(t, []string{"x/dir/main.snp", "x/dir/a.snp", "x/common.snp", "x/dir/sub/b.snp"}, names)
	a, b := u.Files[1].Stmts[0].(*ast.ImportStmt), u.Files[3].Stmts[0].(*ast.ImportStmt)
	require.Same(t, u.Imports[a], u.Imports[b])
	require.Len(t, u.Imports, 4)
}

func TestMainFileErrors(t *testing.T) {
	u, errs := load.Load(fstest.MapFS{"policy.snp": {}}, "polcy.snp", load.Options{})
	checkUnit(t, u, errs)
	require.Len(t, errs, 1)
	require.Equal(t, diag.ImportNotFound, errs[0].Code)
	require.True(t, errs[0].Span.IsZero())
	require.Equal(t, `did you mean "policy.snp"?`, errs[0].Help)

	_, errs = load.Load(fstest.MapFS{"d/a.snp": {}}, "d", load.Options{})
	require.Len(t, errs, 1)
	require.Equal(t, diag.ImportUnreadable, errs[0].Code)

	_, errs = load.Load(fstest.MapFS{}, "../x.snp", load.Options{})
	require.Len(t, errs, 1)
	require.Equal(t, diag.ImportUnreadable, errs[0].Code)

	_, errs = load.Load(fstest.MapFS{"l.snp": {Data: bytes.Repeat([]byte("\n"), source.MaxSize+1)}}, "l.snp", load.Options{})
	require.Len(t, errs, 1)
	require.Equal(t, diag.FileTooLarge, errs[0].Code)
}

// statOnly has one file of some mode, which must not be opened.
type statOnly struct{ mode fs.FileMode }

func (s statOnly) Open(name string) (fs.File, error) {
	panic("opened: " + name)
}

func (s statOnly) Stat(name string) (fs.FileInfo, error) {
	return fstest.MapFS{name: {Mode: s.mode}}.Stat(name)
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	for _, mode := range []fs.FileMode{fs.ModeNamedPipe, fs.ModeDevice | fs.ModeCharDevice, fs.ModeSocket, fs.ModeDir} {
		u, errs := load.Load(statOnly{mode}, "pipe.snp", load.Options{})
		checkUnit(t, u, errs)
		require.Len(t, errs, 1)
		require.Equal(t, diag.ImportUnreadable, errs[0].Code)
	}
}

// broken fails to open one file.
type broken struct{ fstest.MapFS }

func (b broken) Open(name string) (fs.File, error) {
	if name == "secret.snp" {
		return nil, &fs.PathError{Op: "open", Path: "/machine/secret.snp", Err: errors.New("permission denied")}
	}
	return b.MapFS.Open(name)
}

func TestUnreadableImportHidesTheMachinesPath(t *testing.T) {
	fsys := broken{fstest.MapFS{"main.snp": {Data: []byte("policy p\nimport \"./secret.snp\"\n")}, "secret.snp": {}}}
	u, errs := load.Load(fsys, "main.snp", load.Options{})
	checkUnit(t, u, errs)
	require.Len(t, errs, 1)
	require.Equal(t, `the file "secret.snp" cannot be read: permission denied`, errs[0].Message)
}

// TestLinksDoNotLeadOut: with os.Root a link out of the folder is refused.
func TestLinksDoNotLeadOut(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "outside.snp"), []byte("deny exec\n"), 0o644))
	in := filepath.Join(dir, "in")
	require.NoError(t, os.Mkdir(in, 0o755))
	if err := os.Symlink("../outside.snp", filepath.Join(in, "link.snp")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	require.NoError(t, os.WriteFile(filepath.Join(in, "main.snp"), []byte("policy p\nimport \"./link.snp\"\n"), 0o644))
	root, err := os.OpenRoot(in)
	require.NoError(t, err)
	defer root.Close()
	u, errs := load.Load(root.FS(), "main.snp", load.Options{})
	checkUnit(t, u, errs)
	require.Len(t, errs, 1)
	require.Equal(t, diag.ImportUnreadable, errs[0].Code)
}
