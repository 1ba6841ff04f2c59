package difftest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/internal/progen"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/format"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// policies is the number of random policies that each test on the host takes.
const policies = 2000

func compileText(t *testing.T, text string) *compiler.Result {
	t.Helper()
	r, list := compiler.Compile(fstest.MapFS{"p.snp": {Data: []byte(text)}}, "p.snp", compiler.Options{Version: "test", CheckPasses: true})
	if list.HasErrors() {
		var b strings.Builder
		require.NoError(t, diag.Text(&b, list, diag.TextOptions{}))
		require.FailNow(t, "the policy does not compile", "%s\n%s", b.String(), text)
	}
	return r
}

// TestRandomPoliciesCompile: every well-typed policy becomes an object, and
// always the same one.
func TestRandomPoliciesCompile(t *testing.T) {
	rules, bytesMade := 0, 0
	for seed := range uint64(policies) {
		text := progen.Policy(rand.New(rand.NewPCG(seed, 1)), progen.Default(), progen.Options{Kill: true})
		r := compileText(t, text)
		again := compileText(t, text)
		require.True(t, bytes.Equal(r.Object, again.Object), "seed %d: two compilations differ\n%s", seed, text)
		require.NoError(t, checkReach(r.File), "seed %d\n%s", seed, text)
		rules += len(r.Policy.Rules)
		bytesMade += len(r.Object)
	}
	t.Logf("%d policies, %d rules, %d bytes of objects", policies, rules, bytesMade)
}

// TestFormatKeepsMeaning: the canonical form says the same, and is its own.
func TestFormatKeepsMeaning(t *testing.T) {
	for seed := range uint64(policies) {
		text := progen.Policy(rand.New(rand.NewPCG(seed, 1)), progen.Default(), progen.Options{Kill: true})
		formatted := reformat(t, text)
		require.Equal(t, meaning(t, text), meaning(t, formatted), "seed %d\n%s", seed, text)
		require.Equal(t, formatted, reformat(t, formatted), "seed %d", seed)
	}
	t.Logf("%d policies", policies)
}

func reformat(t *testing.T, text string) string {
	t.Helper()
	tree, list := parser.Parse(source.New("p.snp", text))
	require.False(t, list.HasErrors(), "%s", text)
	out, err := format.Format(tree)
	require.NoError(t, err)
	return out
}

// meaning is the checked policy as text.
func meaning(t *testing.T, text string) string {
	t.Helper()
	r, list := compiler.Check(fstest.MapFS{"p.snp": {Data: []byte(text)}}, "p.snp", compiler.Options{})
	require.False(t, list.HasErrors(), "%s", text)
	var b strings.Builder
	require.NoError(t, check.Fprint(&b, r.Policy))
	for _, ru := range r.Policy.Rules {
		fmt.Fprintf(&b, "%d: %d operations\n", ru.ID, len(ru.Ops))
	}
	return b.String()
}
