//go:build kernel && icount

package rt

import (
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
)

// TestCost prints what the routines cost, in guest instructions. It needs a
// machine whose clock counts them (vmexec -icount). The figures are differences
// between a driver with and without a call.
func TestCost(t *testing.T) {
	debug.SetGCPercent(-1)
	dir := t.TempDir()
	deep := dir + "/1/2/3/4/5/6/7"
	require.NoError(t, os.MkdirAll(deep, 0o755))
	for _, d := range []string{dir, deep} {
		require.NoError(t, os.WriteFile(d+"/file", nil, 0o600))
	}
	measure := func(drivers []*driver, tables []object.Table, f func()) int64 {
		var progs []object.Program
		var funcs [][]object.Func
		for _, d := range drivers {
			d.quiet = true
			progs = append(progs, d.program(t))
			funcs = append(funcs, d.funcs)
		}
		coll := load(t, file(t, kernelConfig(t), tables, progs, funcs...))
		done := attach(t, coll)
		defer done()
		time.Sleep(time.Second)
		var rounds []int64
		for range 7 {
			var a, b unix.Timespec
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &a)
			for range 300 {
				f()
			}
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &b)
			rounds = append(rounds, (b.Nano()-a.Nano())/300)
		}
		return slices.Min(rounds[1:])
	}
	empty := func(hookName string) *driver { return &driver{hook: hookNamed(t, hookName)} }
	only := func(d *driver, call int) *driver {
		d.calls = d.calls[call : call+1]
		return d
	}
	for _, name := range []string{dir + "/file", deep + "/file"} {
		parts := strings.Count(name, "/")
		open := func() {
			fd, err := unix.Open(name, unix.O_RDONLY, 0)
			require.NoError(t, err)
			unix.Close(fd)
		}
		base := measure([]*driver{empty("file_open")}, nil, open)
		t.Logf("open, %2d names: d_path %d, walk %d", parts,
			measure([]*driver{only(walkedOpen(t), 0)}, nil, open)-base, measure([]*driver{only(walkedOpen(t), 1)}, nil, open)-base)
		chmod := func() { require.NoError(t, unix.Chmod(name, 0o600)) }
		t.Logf("chmod, %2d names: walk %d", parts, measure([]*driver{textDriver(t, "path_chmod")}, nil, chmod)-measure([]*driver{empty("path_chmod")}, nil, chmod))
	}

	for _, c := range []struct {
		what     string
		patterns []match.Pattern
		text     string
	}{
		{"literal, 8 bytes", []match.Pattern{{Kind: match.Literal, Text: "/aaaaaaa"}}, "/aaaaaaa"},
		{"literal, 40 bytes", []match.Pattern{{Kind: match.Literal, Text: "/" + strings.Repeat("abc", 13)}}, "/" + strings.Repeat("abc", 13)},
		{"literal, 1,000 bytes", []match.Pattern{{Kind: match.Literal, Text: "/" + strings.Repeat("abc", 333)}}, "/" + strings.Repeat("abc", 333)},
		{"differs at once", []match.Pattern{{Kind: match.Literal, Text: "/" + strings.Repeat("abc", 333)}}, "x" + strings.Repeat("abc", 333)},
		{"**b, 1,000 bytes of a", []match.Pattern{{Kind: match.Glob, Text: "**b"}}, strings.Repeat("a", 1000)},
		{"*[a-z]b*c, 1,000 bytes of a", []match.Pattern{{Kind: match.Glob, Text: "*[a-z]b*c"}}, strings.Repeat("a", 1000)},
	} {
		a, err := match.Compile([]match.Atom{{Patterns: c.patterns}}, match.Options{})
		require.NoError(t, err)
		link := func() {
			require.NoError(t, unix.Symlink(c.text, dir+"/link"))
			require.NoError(t, unix.Unlink(dir+"/link"))
		}
		d := newClassDriver(t, "path_symlink")
		d.class(t, &ir.Classifier{Kind: ir.PathClass, Field: "target", Classes: len(a.Classes), Data: a})
		built := textDriver(t, "path_symlink")
		built.calls = built.calls[1:] // the target
		base := measure([]*driver{built}, nil, link)
		t.Logf("%s: %d", c.what, measure([]*driver{d.driver}, d.tables, link)-base)
	}
}
