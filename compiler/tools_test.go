package compiler_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// TestToolsReadObjects: independent readers take compiled policies without a
// warning; llvm-objdump shows the lines of the policy where it knows BTF lines.
func TestToolsReadObjects(t *testing.T) {
	for _, name := range []string{"nginx", "audit-path", "net-ports", "empty"} {
		a, err := txtar.ParseFile(filepath.Join(cases, name+".txtar"))
		require.NoError(t, err)
		r, list := compileFiles(caseFiles(a))
		require.False(t, list.HasErrors())
		file := filepath.Join(t.TempDir(), "policy.bpf.o")
		require.NoError(t, os.WriteFile(file, r.Object, 0o644))
		for _, args := range [][]string{{"readelf", "-a", "-W"}, {"llvm-objdump", "-d", "-S"}} {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Logf("SKIPPED: %s is not installed", args[0])
				continue
			}
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(args[0], append(args[1:], file)...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			require.NoError(t, cmd.Run(), "%s: %s", args[0], stderr.String())
			require.Empty(t, stderr.String(), args[0])
			require.NotContains(t, strings.ToLower(stdout.String()), "warning", args[0])
			for _, p := range r.File.Programs {
				require.True(t, strings.Contains(stdout.String(), p.Name), "%s does not show %s", args[0], p.Name)
			}
			if args[0] == "llvm-objdump" && len(r.File.Programs) > 0 && llvmVersion(t) >= 18 {
				rule := r.Policy.Rules[0].Span
				line, _ := rule.File.LineCol(rule.Start)
				require.True(t, strings.Contains(stdout.String(), rule.File.Line(line)), "llvm-objdump does not show line %d", line)
			}
		}
	}
}

// llvmVersion is the major version of llvm-objdump, which shows lines from BTF
// from 18 on.
func llvmVersion(t *testing.T) int {
	out, err := exec.Command("llvm-objdump", "--version").Output()
	require.NoError(t, err)
	found := regexp.MustCompile(`version (\d+)`).FindSubmatch(out)
	require.NotNil(t, found)
	n, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return n
}
