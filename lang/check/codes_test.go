package check_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/diag"
)

// ours tells the codes that this package reports.
func ours(c diag.Code) bool { return c >= "SNP0300" && c <= "SNP0499" }

func codesOf(list diag.List) map[diag.Code]diag.Severity {
	codes := map[diag.Code]diag.Severity{}
	for _, d := range list {
		codes[d.Code] = d.Severity
	}
	return codes
}

// The example of each code earns it, and no error of another code; the
// corrected one has nothing to report.
func TestCodeExamples(t *testing.T) {
	n := 0
	for _, c := range diag.Codes() {
		if !ours(c.Code) {
			continue
		}
		n++
		t.Run(string(c.Code)+" "+c.Title, func(t *testing.T) {
			_, list := checkText(t, c.Example())
			got := codesOf(list)
			require.Contains(t, got, c.Code)
			require.Equal(t, c.Severity, got[c.Code])
			for code, severity := range got {
				require.True(t, code == c.Code || severity != diag.Error, "also %s: %v", code, list)
			}
			p, list := checkText(t, c.Good)
			require.Empty(t, list)
			require.NotNil(t, p)
		})
	}
	require.Greater(t, n, 70)
}

// Each code has a golden case or, where the input is too large to write down, an
// example that is generated.
func TestEveryCodeHasACase(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(cases, "*", "*.txtar"))
	require.NoError(t, err)
	seen := map[diag.Code]int{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^\S+: (?:error|warning|note)\[(SNP\d{4})\]`).FindAllSubmatch(text, -1) {
			seen[diag.Code(m[1])]++
		}
	}
	total := 0
	for _, c := range diag.Codes() {
		if ours(c.Code) {
			require.True(t, seen[c.Code] > 0 || c.Generate != nil, "no case for %s %s", c.Code, c.Title)
			total += seen[c.Code]
		}
	}
	for _, c := range slices.Sorted(maps.Keys(seen)) {
		_, ok := diag.Explain(c)
		require.True(t, ok, "%s is not explained", c)
	}
	require.Greater(t, total, 200)
}
