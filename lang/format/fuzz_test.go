package format_test

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// FuzzFormat holds what Format promises for any text without errors.
func FuzzFormat(f *testing.F) {
	files, err := filepath.Glob("../../testdata/syntax/good/*.txtar")
	require.NoError(f, err)
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		require.NoError(f, err)
		for _, section := range a.Files {
			if section.Name == "input.snp" || section.Name == "fmt" {
				f.Add(string(section.Data))
			}
		}
	}
	for _, c := range diag.Codes() {
		f.Add(c.Good)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, errs := parser.Parse(source.New("fuzz.snp", text)); len(errs) == 0 {
			requireSame(t, text, formatted(t, text))
		}
	})
}
