package rt

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// An automaton that gives all texts one class has no record: its table is a
// guard only. It still tells texts from an unresolved one.
func TestClassOfAllTexts(t *testing.T) {
	a, err := match.Compile([]match.Atom{{Patterns: []match.Pattern{{Kind: match.Glob, Text: "**"}}}}, match.Options{})
	require.NoError(t, err)
	require.Len(t, a.Table, match.Guard)
	c := &ir.Classifier{Name: "all", Kind: ir.PathClass, Field: "path", Classes: len(a.Classes), Data: a}
	table, err := ClassifierTable(c)
	require.NoError(t, err)
	require.Equal(t, a.Table, table)
	for _, h := range hook.Hooks() {
		if h.Name == "path_unlink" {
			_, err := Class(h, c, "all")
			require.NoError(t, err)
		}
	}
}
