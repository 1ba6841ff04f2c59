package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/tools/internal/summary"
)

func TestCases(t *testing.T) {
	var sum summary.Summary
	for _, tc := range []struct {
		name, script string
		code         int
	}{
		{"good", "echo fine", 0},
		{"silent", "true", 0},
		{"bad", "echo one; echo two >&2; exit 3", 1},
	} {
		var out, errs strings.Builder
		require.Equal(t, tc.code, run([]string{tc.name, "sh", "-c", tc.script}, &out, &errs))
		require.Equal(t, tc.code == 0, errs.Len() == 0)
		require.NoError(t, sum.Read("host", strings.NewReader(out.String())))
	}
	var got []string
	for _, c := range sum.Cases() {
		got = append(got, c.Name()+": "+c.Output)
	}
	require.Equal(t, []string{"(checks) good: fine\n", "(checks) silent: ", "(checks) bad: one\ntwo\nsh: exit status 3\n"}, got)
	require.False(t, sum.Good(summary.NoSkips{}))
}

func TestUsage(t *testing.T) {
	var out, errs strings.Builder
	require.Equal(t, 1, run([]string{"name"}, &out, &errs))
	require.Contains(t, errs.String(), "usage")
	require.Equal(t, 1, run([]string{"name", "/does/not/exist"}, &out, &errs))
	require.Contains(t, out.String(), `"fail"`)
}
