package format_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// pieces cuts a policy roughly into tokens, spaces and newlines.
var pieces = regexp.MustCompile(`"(\\.|[^"\\\n])*"|#[^\n]*|[a-zA-Z_][\w.*-]*|[0-9][\w:./]*|[ \t]+|\n|.`)

// TestMutations moves, drops and adds newlines, comments and tokens in the good
// cases. What still parses must be formatted without loss.
func TestMutations(t *testing.T) {
	files, err := filepath.Glob("../../testdata/syntax/good/*.txtar")
	require.NoError(t, err)
	formattedOnes, commented := 0, 0
	for seed := range uint64(6000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, err := txtar.ParseFile(files[rng.IntN(len(files))])
		require.NoError(t, err)
		words := pieces.FindAllString(input(t, a), -1)
		for n := range 1 + rng.IntN(4) {
			if len(words) == 0 {
				break
			}
			i := rng.IntN(len(words))
			switch rng.IntN(6) {
			case 0, 1, 2:
				words[i] += fmt.Sprintf(" # added %d\n", n)
			case 3:
				words[i] += strings.Repeat("\n", 1+rng.IntN(3))
			case 4:
				words[i] = " "
			case 5:
				words[i] = words[rng.IntN(len(words))]
			}
		}
		text := strings.Join(words, "")
		f, errs := parser.Parse(source.New("mutated.snp", text))
		if len(errs) > 0 {
			continue
		}
		formattedOnes++
		if strings.Contains(text, "# added") && len(f.Comments) > 0 {
			commented++
		}
		got := formatted(t, text)
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { requireSame(t, text, got) }) {
			t.FailNow()
		}
	}
	require.Greater(t, formattedOnes, 500, "the mutations must leave enough that parses")
	require.Greater(t, commented, 200)
	t.Logf("%d texts, %d of them with added comments", formattedOnes, commented)
}
