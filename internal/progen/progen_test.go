package progen

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

func TestEqualSeedsGiveEqualText(t *testing.T) {
	for seed := range uint64(50) {
		one := Policy(rand.New(rand.NewPCG(seed, 1)), Default(), Options{})
		two := Policy(rand.New(rand.NewPCG(seed, 1)), Default(), Options{})
		require.Equal(t, one, two)
	}
}

func TestOptions(t *testing.T) {
	for seed := range uint64(300) {
		text := Policy(rand.New(rand.NewPCG(seed, 1)), Default(), Options{NoCapability: true})
		require.NotContains(t, text, "capability")
		require.NotContains(t, text, "default deny\n")
		require.NotContains(t, text, "kill")
		text = Policy(rand.New(rand.NewPCG(seed, 1)), Default(), Options{Only: []string{"capability"}})
		require.NotContains(t, text, "file.")
	}
}

// What matters is left over, in the smallest form that says it.
func TestShrink(t *testing.T) {
	text := `policy p
set s = path { "/a", "/b", "/c" }
default deny for exec, file.open
when uid == 0 {
    allow exec when path == "/x"
    deny file.write as r2 when (path in s and mode == 1) or not (flags has O_TRUNC) unless gid == 1 errno EIO because "b"
}
audit exec
`
	valid := func(text string) bool {
		_, list := parser.Parse(source.New("p.snp", text))
		return !list.HasErrors()
	}
	asked := 0
	small := Shrink(text, 1000, func(text string) bool {
		asked++
		return valid(text) && strings.Contains(text, "deny file.write") && strings.Contains(text, "O_TRUNC") && strings.Contains(text, `"/b"`)
	})
	require.Equal(t, "policy p\nset s = path { \"/b\" }\n\ndeny file.write when flags has O_TRUNC\n", small)
	require.Less(t, asked, 200)
	require.Equal(t, text, Shrink(text, 1000, func(string) bool { return false }))
}
