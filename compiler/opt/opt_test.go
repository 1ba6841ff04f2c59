package opt

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// module wraps blocks in a module with three leaves, a classifier and a table.
func module(values string, blocks string) string {
	return `module "p"
leaf 0 allow default 0
leaf 1 deny rule 1 op file.open errno 13
leaf 2 deny rule 2 op file.open errno 13
classifier 0 "c0" path of path classes 2
table 0 "t" max 2 {0 1 2}

func file_open values ` + values + " {\n" + strings.TrimLeft(blocks, "\n") + "}\n"
}

// TestPasses holds what each pass does to a small function.
func TestPasses(t *testing.T) {
	for _, c := range []struct{ name, pass, before, after string }{
		{"constants fold", "fold", module("6", `
b0:
	v0 = const 5
	v1 = add v0, 2
	v2 = field access
	v3 = mul v2, v1
	v4 = const 1
	v5 = lookup 0[v4 + 1]
	if v3 == v0 then b1 else b2
b1:
	if v1 > 6 then b2 else b3
b2:
	decide v5
b3:
	decide leaf 0
`), module("6", `
b0:
	v0 = const 5
	v1 = const 7
	v2 = field access
	v3 = mul v2, 7
	v4 = const 1
	v5 = const 2
	if v3 == 5 then b1 else b2
b1:
	jump b2
b2:
	decide leaf 2
b3:
	decide leaf 0
`)},
		{"empty blocks go", "thread", module("2", `
b0:
	v0 = field access
	if v0 == 1 then b1 else b2
b1:
	jump b3
b2:
	v1 = field uid
	jump b4
b3:
	decide leaf 1
b4:
	if v1 == 0 then b5 else b6
b5:
	jump b7
b6:
	jump b7
b7:
	decide leaf 2
`), module("2", `
b0:
	v0 = field access
	if v0 == 1 then b2 else b1
b1:
	v1 = field uid
	decide leaf 2
b2:
	decide leaf 1
`)},
		{"fields are read once, at the common dominator", "loads", module("8", `
b0:
	v0 = class 0
	if v0 == 0 then b1 else b4
b1:
	v1 = field uid
	v2 = add v1, 1
	if v2 == 3 then b2 else b3
b2:
	v3 = field uid
	v4 = field gid
	v5 = add v3, 1
	if v5 == v4 then b3 else b5
b3:
	decide leaf 1
b4:
	v6 = field uid
	v7 = class 0
	if v6 == v7 then b3 else b5
b5:
	decide leaf 2
`), module("4", `
b0:
	v0 = class 0
	v1 = field uid
	if v0 == 0 then b1 else b4
b1:
	v2 = add v1, 1
	if v2 == 3 then b2 else b3
b2:
	v3 = field gid
	if v2 == v3 then b3 else b5
b3:
	decide leaf 1
b4:
	if v1 == v0 then b3 else b5
b5:
	decide leaf 2
`)},
		{"a field is read before its first use", "loads", module("3", `
b0:
	v0 = field uid
	v1 = add v0, 1
	if v1 == 1 then b1 else b2
b1:
	v2 = field uid
	if v2 == 0 then b2 else b3
b2:
	decide leaf 1
b3:
	decide leaf 2
`), module("2", `
b0:
	v0 = field uid
	v1 = add v0, 1
	if v1 == 1 then b1 else b2
b1:
	if v0 == 0 then b2 else b3
b2:
	decide leaf 1
b3:
	decide leaf 2
`)},
		{"tests of one value are one", "branches", module("1", `
b0:
	v0 = field access
	if v0 == 1 then b1 else b2
b1:
	if v0 > 0 then b4 else b5
b2:
	if v0 <= 3 then b3 else b5
b3:
	if v0 >= 3 then b4 else b5
b4:
	decide leaf 1
b5:
	decide leaf 2
`), module("1", `
b0:
	v0 = field access
	switch v0 {..0: b2, ..1: b1, ..2: b2, ..3: b1, else: b2}
b1:
	decide leaf 1
b2:
	decide leaf 2
`)},
		{"a test of bits is left alone", "branches", module("1", `
b0:
	v0 = field access
	if v0 & 1 then b1 else b2
b1:
	if v0 == 1 then b2 else b3
b2:
	decide leaf 1
b3:
	decide leaf 2
`), module("1", `
b0:
	v0 = field access
	if v0 & 1 then b1 else b2
b1:
	if v0 == 1 then b2 else b3
b2:
	decide leaf 1
b3:
	decide leaf 2
`)},
		{"what nothing uses goes", "dead", module("4", `
b0:
	v0 = field access
	v1 = class 0
	v2 = lookup 0[v1]
	v3 = add v0, 1
	decide v2
b1:
	decide leaf 0
`), module("2", `
b0:
	v0 = class 0
	v1 = lookup 0[v0]
	decide v1
`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ir.Parse(c.before)
			require.NoError(t, err)
			i := slices.IndexFunc(Passes(), func(p Pass) bool { return p.Name == c.pass })
			Passes()[i].Run(m, m.Funcs[0])
			require.Equal(t, c.after, m.String())
			// Again changes nothing.
			Passes()[i].Run(m, m.Funcs[0])
			require.Equal(t, c.after, m.String())
		})
	}
}

// The table is in an order that its own constraints allow, and says why.
func TestPassTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Passes() {
		require.NotEmpty(t, p.Why, p.Name)
		require.False(t, seen[p.Name])
		for _, a := range p.After {
			require.True(t, seen[a], "%s runs before %s", p.Name, a)
		}
		seen[p.Name] = true
	}
}

func TestRunNamesThePass(t *testing.T) {
	m, err := ir.Parse(module("1", "b0:\n\tv0 = field access\n\tdecide leaf 1\n"))
	require.NoError(t, err)
	var ran []string
	require.NoError(t, Run(m, Options{Check: true, Trace: func(p string) { ran = append(ran, p) }}))
	require.Len(t, ran, len(Passes()))
	require.Equal(t, module("0", "b0:\n\tdecide leaf 1\n"), m.String())
	m.Funcs[0].Blocks[0].Term.Imm = 9
	require.ErrorContains(t, Run(m, Options{Check: true}), "before the passes")
}
