package ir

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Check tells whether the module keeps every invariant that its types state:
// references in range, forward edges, each value defined once and before its
// uses, operands as the opcode needs them, and by interval analysis every
// table index and leaf index in range. The error joins all findings.
func Check(m *Module) error {
	c := &checker{m: m}
	if len(m.Leaves) == 0 || m.Leaves[0] != (Leaf{Verdict: Allow, Reason: ByDefault}) {
		c.fail("leaf 0 must be %v", Leaf{Verdict: Allow, Reason: ByDefault})
	}
	for i, l := range m.Leaves {
		c.leaf(i, l)
	}
	for i, t := range m.Tables {
		var most uint32
		for _, v := range t.Data {
			most = max(most, v)
		}
		if t.Max != most || len(t.Data) == 0 {
			c.fail("table %d: %d entries, max %d, is %d", i, len(t.Data), t.Max, most)
		}
	}
	for i, cl := range m.Classifiers {
		if cl.Kind < PathClass || cl.Kind > IntClass || cl.Field == "" || cl.Classes < 1 {
			c.fail("classifier %d is incomplete", i)
		}
	}
	seen := map[string]bool{}
	for _, f := range m.Funcs {
		if f.Hook == "" || seen[f.Hook] {
			c.fail("func %q is not the only one of its hook", f.Hook)
		}
		seen[f.Hook] = true
		c.function(f)
	}
	return errors.Join(c.errs...)
}

type checker struct {
	m    *Module
	f    *Func
	errs []error
	defs []def
}

// def is where a value is defined and what it can be.
type def struct {
	block int // -1: not defined
	lo    int64
	hi    int64
}

func (c *checker) fail(format string, args ...any) {
	if c.f != nil {
		format = "func " + c.f.Hook + ": " + format
	}
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) leaf(i int, l Leaf) {
	if l.Verdict < Allow || l.Verdict > Audit || l.Reason < ByRule || l.Reason > Unresolved {
		c.fail("leaf %d: verdict or reason is invalid", i)
	}
	denies := l.Verdict == Deny || l.Verdict == Kill
	if denies != (l.Errno != 0) || l.Errno < 0 || l.Errno > 4095 || l.Rule < 0 || (i > 0) != (l.Op != "") {
		c.fail("leaf %d: %v", i, l)
	}
	if i > 0 && l.Verdict == Allow {
		c.fail("leaf %d allows, only leaf 0 may", i)
	}
}

func (c *checker) function(f *Func) {
	c.f = f
	defer func() { c.f = nil }()
	if len(f.Blocks) == 0 {
		c.fail("no blocks")
		return
	}
	before := len(c.errs)
	for i, b := range f.Blocks {
		if b.ID != i {
			c.fail("b%d is at %d", b.ID, i)
		}
		c.shape(b)
	}
	if len(c.errs) > before {
		return // what follows relies on the edges
	}
	idom := f.Dominators()
	c.defs = make([]def, f.NumValues)
	for i := range c.defs {
		c.defs[i].block = -1
	}
	for i, b := range f.Blocks {
		if idom[i] < 0 {
			c.fail("b%d cannot be reached", i)
			continue
		}
		for _, in := range b.Instrs {
			c.instr(idom, i, in)
		}
		c.term(idom, i, b.Term)
	}
	for v, d := range c.defs {
		if d.block < 0 {
			c.fail("v%d is not defined", v)
		}
	}
}

// shape checks a terminator's form and that its edges go forward.
func (c *checker) shape(b *Block) {
	t := b.Term
	want := map[TermKind]int{Jump: 1, Branch: 2, Switch: len(t.Cases) + 1, Decide: 0}
	n, ok := want[t.Kind]
	if !ok || len(t.To) != n || t.Kind != Switch && len(t.Cases) > 0 || t.Kind == Switch && len(t.Cases) == 0 {
		c.fail("b%d: malformed terminator", b.ID)
	}
	for i := 1; i < len(t.Cases); i++ {
		if t.Cases[i-1] >= t.Cases[i] {
			c.fail("b%d: cases are not ascending", b.ID)
		}
	}
	for _, s := range t.To {
		if s <= b.ID || s >= len(c.f.Blocks) {
			c.fail("b%d: edge to b%d", b.ID, s)
		}
	}
	if t.Kind == Branch && (t.Cmp < Eq || t.Cmp > Set) {
		c.fail("b%d: comparison is invalid", b.ID)
	}
}

// use checks an operand and gives its interval.
func (c *checker) use(idom []int, block int, v Value) def {
	unknown := def{lo: math.MinInt64, hi: math.MaxInt64}
	if v < 0 || int(v) >= len(c.defs) || c.defs[v].block < 0 {
		c.fail("b%d: v%d is used and not defined before", block, v)
		return unknown
	}
	d := c.defs[v]
	for b := block; b != d.block; b = idom[b] {
		if b == 0 {
			c.fail("b%d: v%d of b%d does not dominate its use", block, v, d.block)
			return unknown
		}
	}
	return d
}

func (c *checker) instr(idom []int, block int, in Instr) {
	out := def{block, math.MinInt64, math.MaxInt64}
	switch in.Op {
	case Const:
		out.lo, out.hi = in.Imm, in.Imm
	case Field:
		if in.Name == "" {
			c.fail("b%d: field without a name", block)
		}
	case Class:
		if in.ID < 0 || in.ID >= len(c.m.Classifiers) {
			c.fail("b%d: no classifier %d", block, in.ID)
			break
		}
		out.lo, out.hi = 0, int64(c.m.Classifiers[in.ID].Classes)
	case Lookup:
		out.lo, out.hi = c.lookup(idom, block, in)
	case Report:
		x := c.use(idom, block, in.X)
		c.leafRange(block, "report", x, in.X, true)
		if in.Def != -1 {
			c.fail("b%d: report defines a value", block)
		}
		return
	case Add, Sub, Mul, Div, Mod, And, Or, Xor, Shl, Shr:
		x, y := c.use(idom, block, in.X), def{lo: in.Imm, hi: in.Imm}
		if in.Y >= 0 {
			y = c.use(idom, block, in.Y)
		}
		if (in.Op == Div || in.Op == Mod) && (in.Y >= 0 || in.Imm == 0 || in.Imm == -1) {
			c.fail("b%d: divisor of v%d", block, in.Def)
		}
		out.lo, out.hi = interval(in.Op, x, y)
	default:
		c.fail("b%d: opcode is invalid", block)
	}
	if in.Def < 0 || int(in.Def) >= len(c.defs) {
		c.fail("b%d: definition of v%d", block, in.Def)
		return
	}
	if c.defs[in.Def].block >= 0 {
		c.fail("b%d: v%d is defined twice", block, in.Def)
	}
	c.defs[in.Def] = out
}

func (c *checker) lookup(idom []int, block int, in Instr) (lo, hi int64) {
	x := c.use(idom, block, in.X)
	if in.ID < 0 || in.ID >= len(c.m.Tables) {
		c.fail("b%d: no table %d", block, in.ID)
		return math.MinInt64, math.MaxInt64
	}
	t := c.m.Tables[in.ID]
	from, to := interval(Add, x, def{lo: in.Imm, hi: in.Imm})
	if from < 0 || to >= int64(len(t.Data)) {
		c.fail("b%d: v%d looks up %d..%d in table %d of %d entries", block, in.Def, from, to, in.ID, len(t.Data))
		return 0, int64(t.Max)
	}
	if to-from == int64(len(t.Data))-1 {
		return 0, int64(t.Max)
	}
	lo, hi = math.MaxInt64, 0
	for _, v := range t.Data[from : to+1] {
		lo, hi = min(lo, int64(v)), max(hi, int64(v))
	}
	return lo, hi
}

// leafRange checks that a value is the number of a leaf of the right kind.
func (c *checker) leafRange(block int, what string, d def, v Value, audit bool) {
	if d.lo < 0 || d.hi >= int64(len(c.m.Leaves)) {
		c.fail("b%d: %s of leaf v%d in %d..%d of %d leaves", block, what, v, d.lo, d.hi, len(c.m.Leaves))
		return
	}
	if d.lo == d.hi && d.lo > 0 && (c.m.Leaves[d.lo].Verdict == Audit) != audit {
		c.fail("b%d: %s of leaf %d, %v", block, what, d.lo, c.m.Leaves[d.lo])
	}
}

func (c *checker) term(idom []int, block int, t Term) {
	switch t.Kind {
	case Branch:
		c.use(idom, block, t.X)
		if t.Y >= 0 {
			c.use(idom, block, t.Y)
		}
	case Switch:
		c.use(idom, block, t.X)
	case Decide:
		d := def{lo: t.Imm, hi: t.Imm}
		if t.X >= 0 {
			d = c.use(idom, block, t.X)
		}
		c.leafRange(block, "decide", d, t.X, false)
	}
}

// interval bounds the result of arithmetic; everything where it might wrap.
func interval(op Opcode, x, y def) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	const limit = 1 << 62
	tame := x.lo > -limit && x.hi < limit && y.lo > -limit && y.hi < limit
	switch {
	case x.lo == x.hi && y.lo == y.hi:
		v := Eval(op, x.lo, y.lo)
		return v, v
	case op == Add && tame:
		return x.lo + y.lo, x.hi + y.hi
	case op == Sub && tame:
		return x.lo - y.hi, x.hi - y.lo
	case op == And && y.lo >= 0:
		return 0, y.hi
	case op == And && x.lo >= 0:
		return 0, x.hi
	case op == Or && x.lo >= 0 && y.lo >= 0:
		return 0, 1<<bits.Len64(uint64(x.hi|y.hi)) - 1
	}
	return lo, hi
}
