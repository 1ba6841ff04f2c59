package lower

import (
	"bytes"
	"flag"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/opt"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/types"
	"os"
)

var update = flag.Bool("update", false, "rewrite the ir sections of testdata/lower")

const cases = "../../testdata/lower"

// lowerSource compiles a policy text; it must be free of errors up to lowering.
func lowerSource(t testing.TB, text string) (*ir.Module, diag.List) {
	unit, errs := load.Load(fstest.MapFS{"input.snp": {Data: []byte(text)}}, "input.snp", load.Options{})
	require.False(t, errs.HasErrors(), "%v", errs)
	p, errs := check.Check(unit, types.Language())
	require.False(t, errs.HasErrors(), "%v", errs)
	return Lower(p)
}

// TestGolden holds the representation of small policies, after all passes.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(cases, "*.txtar"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), 12)
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			require.Equal(t, "input.snp", a.Files[0].Name)
			m, diags := lowerSource(t, string(a.Files[0].Data))
			require.Empty(t, diags)
			require.NoError(t, opt.Run(m, opt.Options{Check: true}))
			got := m.String()
			back, err := ir.Parse(got)
			require.NoError(t, err)
			require.Equal(t, withoutComments(got), back.String())
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "ir", Data: []byte(got)})
				require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o644))
				return
			}
			require.Len(t, a.Files, 2)
			require.Equal(t, string(a.Files[1].Data), got)
		})
	}
}

func withoutComments(text string) string {
	var b bytes.Buffer
	for line := range strings.Lines(text) {
		if i := strings.Index(line, " ; "); i >= 0 {
			line = line[:i] + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// What is cheap is tested before a path is built, and a path is built only
// where the verdict depends on it.
func TestCheapFirst(t *testing.T) {
	m, diags := lowerSource(t, "policy p\ndeny file.write when uid == 0 and path == \"/x\"\n")
	require.Empty(t, diags)
	require.NoError(t, opt.Run(m, opt.Options{Check: true}))
	require.Len(t, m.Funcs, 1)
	f := m.Funcs[0]
	idom := f.Dominators()
	for i, b := range f.Blocks {
		for _, in := range b.Instrs {
			if in.Op != ir.Class {
				continue
			}
			// Every way here has tested access, then uid.
			var tested []string
			for d := idom[i]; ; d = idom[d] {
				for _, x := range f.Blocks[d].Instrs {
					if x.Op == ir.Field && f.Blocks[d].Term.X == x.Def {
						tested = append(tested, x.Name)
					}
				}
				if d == 0 {
					break
				}
			}
			require.Equal(t, []string{"uid", "access"}, tested)
			return
		}
	}
	require.Fail(t, "no path is classified")
}

// Each code of the compiler has an example that earns it and one that does not.
func TestRefusals(t *testing.T) {
	at := map[diag.Code]string{
		diag.TablesTooLarge:     "input.snp:3:1",
		diag.PatternsTooComplex: "input.snp:2:16",
		diag.SetsTooComplex:     "input.snp:2:23",
		diag.UnresolvableValue:  "input.snp:2:23",
	}
	for code, span := range at {
		info, ok := diag.Explain(code)
		require.True(t, ok)
		start := time.Now()
		m, diags := lowerSource(t, info.Example())
		require.Less(t, time.Since(start), time.Minute, "work is bounded")
		require.Nil(t, m)
		require.Len(t, diags, 1, code)
		require.Equal(t, code, diags[0].Code)
		require.Equal(t, diag.Error, diags[0].Severity)
		require.Equal(t, span, diags[0].Span.String(), code)
		m, diags = lowerSource(t, info.Good)
		require.Empty(t, diags)
		require.NoError(t, ir.Check(m))
	}
	m, diags := lowerSource(t, "policy p\ndeny net.connect when port + 1 == 80\n")
	require.Nil(t, m)
	require.Equal(t, diag.UnresolvableValue, diags[0].Code)
}
