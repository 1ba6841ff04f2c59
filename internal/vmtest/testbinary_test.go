package vmtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// module makes a module with the given files, and returns its folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module example.org/m\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	}
	return root
}

func TestGuestDir(t *testing.T) {
	root := module(t, map[string]string{"a/b/x.go": "package b\n"})
	for dir, want := range map[string]string{"": "/src", "a": "/src/a", "a/b": "/src/a/b"} {
		got, err := GuestDir(filepath.Join(root, dir))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := GuestDir(".")
	require.NoError(t, err)
	require.Equal(t, "/src/internal/vmtest", got)
}

func TestReadNeeds(t *testing.T) {
	root := module(t, map[string]string{
		"p/a_kernel_test.go": "//go:build kernel\n\npackage p\n\n//vmtest:file ../x y\n//vmtest:timeout 90s\n//vmtest:busybox\n",
		"p/b_kernel_test.go": "package p\n//vmtest:build ./cmd /bin/cmd\n//vmtest:module overlay\n//vmtest:tmpfs-root\n//vmtest:program bpftool\n",
		"p/c_test.go":        "package p\n//vmtest:no directives in other files\n",
	})
	got, err := ReadNeeds(filepath.Join(root, "p"))
	require.NoError(t, err)
	require.Equal(t, Needs{
		Copies: []Copy{{"../x", "y"}}, Builds: []Copy{{"./cmd", "/bin/cmd"}}, Modules: []string{"overlay"}, Programs: []string{"bpftool"},
		Busybox: true, TmpfsRoot: true, Timeout: 90 * time.Second,
	}, got)
	for _, bad := range []string{"", "files a b", "file a", "busybox x", "timeout never", "timeout -1s"} {
		root := module(t, map[string]string{"a_kernel_test.go": "package p\n//vmtest:" + bad + "\n"})
		_, err := ReadNeeds(root)
		require.ErrorContains(t, err, "a_kernel_test.go:2: //vmtest:"+bad)
	}
}

func TestAddTest(t *testing.T) {
	root := module(t, map[string]string{
		"p/p_kernel_test.go":  "//vmtest:file ../shared.txt ../shared.txt\n//vmtest:build ../cmd/hello /bin/hello\n//vmtest:module overlay\n//vmtest:program ldd\n",
		"p/testdata/one.txt":  "1",
		"shared.txt":          "s",
		"cmd/hello/main.go":   "package main\n\nfunc main() { println(\"hello\") }\n",
		"cmd/broken/main.go":  "package main\n",
		"cmd/library/main.go": "package library\n",
	})
	pkg := filepath.Join(root, "p")
	build := t.TempDir()
	// A program to stand for the test binary, which also tries buildStatic.
	program, err := buildStatic(t.Context(), pkg, "../cmd/hello", build)
	require.NoError(t, err)
	require.NoError(t, CheckStatic(program))

	cfg := Config{Modules: []string{"overlay"}}
	test := TestBinary{Binary: program, Source: pkg, Guest: "/src/p"}
	for range 2 { // a second time adds nothing
		_, err = cfg.AddTest(t.Context(), test, build)
		require.NoError(t, err)
		require.Equal(t, []File{
			{Host: program, Guest: "/rig/test/src/p/example.org_m_cmd_hello", Mode: 0o755},
			{Host: filepath.Join(pkg, "testdata"), Guest: "/src/p/testdata"},
			{Host: filepath.Join(root, "shared.txt"), Guest: "/src/shared.txt"},
			{Host: program, Guest: "/bin/hello", Mode: 0o755},
		}, cfg.Files)
		require.Equal(t, []string{"overlay"}, cfg.Modules)
		require.Equal(t, []string{"ldd"}, cfg.Programs)
	}
	_, err = buildStatic(t.Context(), pkg, "../cmd/broken", build)
	require.ErrorContains(t, err, "go build")
	_, err = buildStatic(t.Context(), pkg, "../cmd/library", build)
	require.ErrorContains(t, err, "is not one main package")
	_, err = cfg.AddTest(t.Context(), TestBinary{Binary: filepath.Join(root, "shared.txt"), Source: pkg, Guest: "/src/p"}, build)
	require.Error(t, err, "not a program")
}
