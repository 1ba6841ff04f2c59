package lower

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
)

// testVars are two variables, the second of which can be unresolved; atoms 0, 1
// and 2 hold in cells {1}, {1, 2} and {2}.
func testVars() []*variable {
	var vars []*variable
	for i := range 2 {
		v := &variable{kind: classVar, order: int32(i), unresolvable: i == 1, sets: newAtomSets(), part: &part{lists: [][]int{{}, {0, 1}, {1, 2}}}}
		v.finish()
		vars = append(vars, v)
	}
	return vars
}

func TestFormulas(t *testing.T) {
	fs := newFormulas(testVars(), usualWork)
	lit := func(v, atom int32, neg, unres bool) formula { return fs.literal(literal{v, atom, neg, unres}) }
	or := func(fs_ ...formula) formula { return fs.join(orOp, fs_) }
	and := func(fs_ ...formula) formula { return fs.join(andOp, fs_) }
	a, b, x := lit(0, 0, false, false), lit(0, 1, false, false), lit(1, 0, false, false)

	require.Equal(t, a, lit(0, 0, false, true), "a variable that is always resolved has no unresolved cell")
	require.NotEqual(t, x, lit(1, 0, false, true))
	require.Equal(t, and(a, b, x), and(x, and(b, a), isTrue, a))
	require.Equal(t, isFalse, and(a, isFalse))
	require.Equal(t, isTrue, or(a, isTrue))
	require.Equal(t, isTrue, and())
	require.Equal(t, isFalse, or())

	// A formula and its negation; of an unresolved value neither may hold.
	require.Equal(t, isTrue, or(a, lit(0, 0, true, false)))
	require.Equal(t, isFalse, and(a, lit(0, 0, true, false)))
	require.Equal(t, isTrue, or(x, lit(1, 0, true, true)))
	require.NotEqual(t, isTrue, or(x, lit(1, 0, true, false)))
	require.NotEqual(t, isFalse, and(lit(1, 0, false, true), lit(1, 0, true, true)))

	// Common conjuncts come to the front, where guard finds them.
	f := or(and(a, x), and(a, lit(1, 2, false, false)))
	require.Equal(t, and(a, or(x, lit(1, 2, false, false))), f)
	l, ok := fs.guard(f, 0)
	require.True(t, ok)
	require.Equal(t, literal{0, 0, false, false}, l)
	require.Equal(t, a, or(a, and(a, x)), "absorption")

	// Restriction.
	w := &world{v: 0, has: []uint32{1, 1, 0}, gen: 1}
	fs.begin()
	require.Equal(t, or(x, lit(1, 2, false, false)), fs.restrict(f, w))
	w.gen++
	fs.begin()
	require.Equal(t, isFalse, fs.restrict(f, w))
	u := &world{v: 1, unresolved: true}
	fs.begin()
	require.Equal(t, isFalse, fs.restrict(f, u))
	fs.begin()
	require.Equal(t, a, fs.restrict(and(a, lit(1, 0, false, true)), u))
}

// A three-valued condition is true, and true or unresolved, as its two formulas say.
func TestFromTree(t *testing.T) {
	vars := testVars()
	fs := newFormulas(vars, usualWork)
	leaf := func(atom int32) *tree { return &tree{op: treeLeaf, v: vars[1], atom: atom} }
	not := func(t *tree) *tree { return &tree{op: treeNot, kids: []*tree{t}} }
	either := &tree{op: treeOr, kids: []*tree{leaf(0), not(leaf(0))}}
	for _, c := range []struct {
		t         *tree
		must, may []bool // by cell, unresolved last
	}{
		{leaf(0), []bool{false, true, false, false}, []bool{false, true, false, true}},
		{not(leaf(0)), []bool{true, false, true, false}, []bool{true, false, true, true}},
		{either, []bool{true, true, true, false}, []bool{true, true, true, true}},
		{not(either), []bool{false, false, false, false}, []bool{false, false, false, true}},
		{&tree{op: treeAnd, kids: []*tree{leaf(1), not(leaf(2))}}, []bool{false, true, false, false}, []bool{false, true, false, true}},
	} {
		must, may := fs.fromTree(c.t, false, false), fs.fromTree(c.t, false, true)
		for cell := range 4 {
			require.Equal(t, c.must[cell], fs.holdsIn(must, vars[1], cell))
			require.Equal(t, c.may[cell], fs.holdsIn(may, vars[1], cell))
		}
	}
}

func TestSubsets(t *testing.T) {
	for _, mask := range []uint64{0, 1, 2, 5, 0b1011000, 0xff00ff} {
		for _, lo := range []uint64{0, 1, 2, 3, 4, 5, 7, 0b1000001, 0b1011000, 0x0100, 0xff0001} {
			if lo > mask {
				continue
			}
			want := lo
			for want&^mask != 0 {
				want++
			}
			require.Equal(t, want, firstSubset(mask, lo), "%b from %b", mask, lo)
		}
	}
	require.Equal(t, uint64(1<<62), firstSubset(1<<62, 1))
	spans := []span{{-1, 0}, {0, 1}, {3, 2}, {4, 3}, {1<<63 - 1, 0}}
	require.Equal(t, []span{{-1, anyCell}, {0, 1}, {3, anyCell}, {4, 3}, {1<<63 - 1, anyCell}}, possibleSpans(spans, 4))
	require.Equal(t, spans, possibleSpans(spans, -1))
}

// Arithmetic of constants is folded, and constants stand on the right.
func TestExpressions(t *testing.T) {
	f := &expr{key: "uid"}
	require.Equal(t, int64(5), arithExpr(ir.Add, constExpr(2), constExpr(3)).imm)
	require.Equal(t, arithExpr(ir.And, f, constExpr(7)).key, arithExpr(ir.And, constExpr(7), f).key)
	require.NotEqual(t, arithExpr(ir.Sub, f, constExpr(7)).key, arithExpr(ir.Sub, constExpr(7), f).key)
}
