package compiler

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/diag"
)

// TestPanicsAreReported: a broken invariant is a diagnostic with the policy's
// name, not the end of the process.
func TestPanicsAreReported(t *testing.T) {
	files := fstest.MapFS{"p.snp": {Data: []byte("policy p\ndeny exec when uid == 0\n")}}
	r, list := Check(files, "p.snp", Options{})
	require.Empty(t, list)
	r.Policy.Rules[0].Cond = nil // the checker never does that
	list = r.compile(Options{})
	require.Len(t, list, 1)
	require.Equal(t, diag.CompilerBug, list[0].Code)
	require.Equal(t, diag.Error, list[0].Severity)
	require.Equal(t, "p.snp", list[0].Span.File.Name)
	require.Contains(t, list[0].Message, "BUG(snappy)")
	require.Contains(t, list[0].Message, "lower", "the stack")
	require.Nil(t, r.Object)
}
