package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// inModule makes a module of files and works in it.
func inModule(t *testing.T, files map[string]string) {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module example.org/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	t.Chdir(root)
}

const tag = "//go:build kernel\n\n"

func TestFindPackages(t *testing.T) {
	files := map[string]string{
		"a/a.go":                 "package a\n",
		"a/a_test.go":            "package a\nimport \"testing\"\nfunc TestHost(t *testing.T) {}\n",
		"a/one_kernel_test.go":   tag + "package a\nimport \"testing\"\nfunc TestOne(t *testing.T) {}\nfunc Testify() {}\nfunc TestMain(m *testing.M) {}\ntype x int\nfunc (x) TestMethod(t *testing.T) {}\n",
		"a/two_kernel_test.go":   tag + "package a_test\nimport \"testing\"\nfunc TestTwo(t *testing.T) {}\nfunc FuzzIt(f *testing.F) {}\n",
		"b/b.go":                 "package b\n",
		"c/three_kernel_test.go": tag + "package c\nimport \"testing\"\nfunc TestThree(t *testing.T) {}\n",
		"d/broken.go":            "package d\nimport \"example.org/m/missing\"\n",
	}
	inModule(t, files)
	find := func(run string, patterns ...string) map[string]string {
		t.Helper()
		found, err := findPackages(t.Context(), patterns, run)
		require.NoError(t, err)
		got := map[string]string{}
		for _, p := range found {
			got[p.ImportPath] = p.pattern
		}
		return got
	}
	require.Equal(t, map[string]string{
		"example.org/m/a": "^(TestOne|TestTwo|FuzzIt)$",
		"example.org/m/c": "^(TestThree)$",
	}, find("", "./..."), "host tests stay out, and a package that is broken but has no kernel test does not matter")
	require.Equal(t, map[string]string{"example.org/m/a": "^(TestTwo)$/sub/x"}, find("Two/sub/x", "./..."))
	require.Equal(t, map[string]string{"example.org/m/c": "^(TestThree)$"}, find("", "./b", "./c"))
	require.Empty(t, find("Nothing", "./..."))
	_, err := findPackages(t.Context(), []string{"./missing"}, "")
	require.Error(t, err)
	_, err = findPackages(t.Context(), []string{"./a", "./missing"}, "")
	require.Error(t, err)
	_, err = findPackages(t.Context(), []string{"./..."}, "(")
	require.ErrorContains(t, err, "-run")
}

// A kernel test that would run on hosts, or nowhere, is an error.
func TestFindPackagesRefuses(t *testing.T) {
	const test = "package a\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n"
	for constraint, want := range map[string]string{
		"":                               "lacks //go:build kernel",
		"//go:build linux\n\n":           "lacks //go:build kernel",
		"//go:build !kernel\n\n":         "not built with the tag kernel",
		"//go:build kernel && arm64\n\n": "not built with the tag kernel",
	} {
		inModule(t, map[string]string{"a/x_kernel_test.go": constraint + test, "a/a.go": "package a\n"})
		_, err := findPackages(t.Context(), []string{"./..."}, "")
		require.ErrorContains(t, err, want, constraint)
	}
}

func TestBuildTests(t *testing.T) {
	inModule(t, map[string]string{
		"a/x_kernel_test.go": tag + "package a\nimport \"testing\"\nfunc TestX(t *testing.T) {}\n",
		"b/x_kernel_test.go": tag + "package b\nimport \"testing\"\nfunc TestX(t *testing.T) { undefined() }\n",
	})
	found, err := findPackages(t.Context(), []string{"./..."}, "")
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.NoError(t, buildTests(t.Context(), found, t.TempDir()))
	require.NoError(t, found[0].broken)
	require.FileExists(t, found[0].binary)
	require.Equal(t, "/src/a", found[0].guest)
	require.ErrorContains(t, found[1].broken, "undefined: undefined")
}

func TestSplitRun(t *testing.T) {
	for run, want := range map[string][2]string{
		"":            {"", ""},
		"A":           {"A", ""},
		"A/b/c":       {"A", "/b/c"},
		"A[/]b/c":     {"A[/]b", "/c"},
		"(A/x|B)/c":   {"(A/x|B)", "/c"},
		`A\/b/c`:      {`A\/b`, "/c"},
		"[(]/x":       {"[(]", "/x"},
		"^TestA$/^b$": {"^TestA$", "/^b$"},
	} {
		top, rest := splitRun(run)
		require.Equal(t, want, [2]string{top, rest}, run)
	}
}

func TestIsTestName(t *testing.T) {
	for name, want := range map[string]bool{
		"Test": true, "TestX": true, "Test_x": true, "TestÄ": true, "FuzzX": true,
		"Testx": false, "TestMain": false, "BenchmarkX": false, "testX": false, "Tes": false,
	} {
		require.Equal(t, want, isTestName(name), name)
	}
}
