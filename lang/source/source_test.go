package source

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLineCol(t *testing.T) {
	f := New("p.snp", "ab\n\ncdé\r\nx")
	for _, c := range []struct{ offset, line, col int }{
		{0, 1, 1}, {1, 1, 2}, {2, 1, 3}, {3, 2, 1}, {4, 3, 1}, {6, 3, 3}, {8, 3, 5}, {9, 3, 6}, {10, 4, 1}, {11, 4, 2},
		{-5, 1, 1}, {99, 4, 2},
	} {
		line, col := f.LineCol(c.offset)
		require.Equal(t, [2]int{c.line, c.col}, [2]int{line, col}, c.offset)
	}
	for n, want := range map[int]string{0: "", 1: "ab", 2: "", 3: "cdé", 4: "x", 5: "", -1: ""} {
		require.Equal(t, want, f.Line(n), n)
	}
}

func TestSpan(t *testing.T) {
	f := New("p.snp", "one two\nthree")
	a, b := Span{f, 0, 3}, Span{f, 8, 13}
	require.Equal(t, "one", a.Text())
	require.Equal(t, "one two\nthree", a.To(b).Text())
	require.Equal(t, "p.snp:2:1", b.String())
	require.Equal(t, 2, b.Line())
	var nowhere Span
	require.True(t, nowhere.IsZero())
	require.False(t, a.IsZero())
	require.Equal(t, "-", nowhere.String())
	require.Equal(t, "", nowhere.Text())
	require.Equal(t, 0, nowhere.Line())
}
