package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	good = `{"Action":"run","Package":"p","Test":"T"}
{"Action":"pass","Package":"p","Test":"T"}
{"Action":"pass","Package":"p"}
`
	skip = `{"Label":"6.1","Action":"skip","Package":"p","Test":"T"}
{"Label":"6.1","Action":"pass","Package":"p"}
`
)

func testsum(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	code = run(args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestStandardInput(t *testing.T) {
	code, out, _ := testsum(t, good)
	require.Equal(t, 0, code)
	require.True(t, strings.HasSuffix(out, "\n1 passed, 0 failed, 0 skipped\n"), out)
	_, out, _ = testsum(t, good, "-progress")
	require.True(t, strings.HasPrefix(out, "host  ok   p 0.0s\n"), out)
	code, out, _ = testsum(t, "")
	require.Equal(t, 1, code, "nothing ran")
	require.True(t, strings.HasSuffix(out, "\n0 passed, 1 failed, 0 skipped\n"), out)
	code, _, errs := testsum(t, "no json\n")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "line 1 is no test event")
}

func TestFiles(t *testing.T) {
	host, vm := write(t, "x.json", good), write(t, "vm.json", skip)
	code, out, _ := testsum(t, "", "host="+host, vm)
	require.Equal(t, 0, code)
	require.Contains(t, out, " host       1       0        0\n")
	require.Contains(t, out, "  6.1       0       0        1\n")
	require.True(t, strings.HasSuffix(out, "\n1 passed, 0 failed, 1 skipped\n"), out)

	code, _, _ = testsum(t, "", "-no-skips", "host="+host, vm)
	require.Equal(t, 1, code)
	code, _, _ = testsum(t, "", "-no-skips=6.1", "host="+host, vm)
	require.Equal(t, 1, code)
	code, _, _ = testsum(t, "", "-no-skips=host", "host="+host, vm)
	require.Equal(t, 0, code)
}

func TestBadArguments(t *testing.T) {
	code, _, errs := testsum(t, "", filepath.Join(t.TempDir(), "missing"))
	require.Equal(t, 2, code)
	require.Contains(t, errs, "missing")
	code, _, errs = testsum(t, "", write(t, "empty.json", ""))
	require.Equal(t, 2, code)
	require.Contains(t, errs, "is empty")
	code, _, _ = testsum(t, "", "-unknown")
	require.Equal(t, 2, code)
}
