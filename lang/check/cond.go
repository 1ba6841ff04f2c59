package check

import (
	"math"
	"net/netip"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// cond checks a condition; nil after reporting an error.
func (c *checker) cond(sc *scope, e ast.Expr, depth int) Cond {
	if depth > maxDepth {
		c.err(diag.TooDeep, e.Span(), "", "the condition is nested too deeply")
		return nil
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return c.cond(sc, e.X, depth+1)
	case *ast.BadExpr:
		return nil
	case *ast.UnaryExpr:
		if e.Op == ast.OpNot {
			x := c.cond(sc, e.X, depth+1)
			if x == nil {
				return nil
			}
			return negation(e.Sp, x)
		}
	case *ast.BinaryExpr:
		switch e.Op {
		case ast.OpAnd, ast.OpOr:
			return c.junction(sc, e, depth)
		case ast.OpEq, ast.OpNe, ast.OpLt, ast.OpLe, ast.OpGt, ast.OpGe:
			return c.compare(sc, e, depth)
		case ast.OpIn:
			return c.in(sc, e, depth)
		case ast.OpHas:
			return c.has(sc, e, depth)
		case ast.OpMatches:
			return c.matches(sc, e, e.Span(), depth)
		case ast.OpUnder:
			return c.under(sc, e, e.Span(), depth)
		}
	}
	o := c.operand(sc, e, enumHint{}, depth+1)
	switch o.kind {
	case condOperand:
		return o.cond
	case badOperand:
		return nil
	}
	help := ""
	if o.kind == intOperand && o.use != nil && o.use.field.Kind != types.Flags {
		help = "compare it, as in `" + o.use.field.Name + " != 0`"
	} else if o.use != nil && o.use.field.Kind == types.Flags {
		help = "test a flag, as in `" + o.use.field.Name + " has …`"
	}
	c.err(diag.NotCondition, o.sp, help, "a condition is needed here; this is %s", o.typeName())
	return nil
}

// negation makes `not x`, dropping a double one.
func negation(sp source.Span, x Cond) Cond {
	switch x := x.(type) {
	case *Const:
		return &Const{sp, !x.Value}
	case *Not:
		return x.X
	}
	return &Not{sp, x}
}

// junction checks a chain of `and` or of `or`. Constants are folded: that is
// sound in Kleene's logic, where false and X is false even if X is unresolved.
func (c *checker) junction(sc *scope, e *ast.BinaryExpr, depth int) Cond {
	op := e.Op
	var exprs []ast.Expr // last to first
	var first ast.Expr = e
	for {
		b, ok := first.(*ast.BinaryExpr)
		if !ok || b.Op != op {
			break
		}
		exprs = append(exprs, b.Y)
		first = b.X
	}
	exprs = append(exprs, first)
	sp := first.Span().To(exprs[0].Span())
	var xs []Cond
	ok := true
	var decided *Const
	for i := len(exprs) - 1; i >= 0; i-- {
		x := c.cond(sc, exprs[i], depth+1)
		switch x := x.(type) {
		case nil:
			ok = false
		case *Const:
			// `and` is decided by false and goes on after true; `or` the reverse.
			if x.Value == (op == ast.OpOr) {
				decided = x
			}
		case *And:
			if op == ast.OpAnd {
				xs = append(xs, x.Xs...)
			} else {
				xs = append(xs, x)
			}
		case *Or:
			if op == ast.OpOr {
				xs = append(xs, x.Xs...)
			} else {
				xs = append(xs, x)
			}
		default:
			xs = append(xs, x)
		}
	}
	switch {
	case !ok:
		return nil
	case decided != nil:
		return &Const{sp, decided.Value}
	case len(xs) == 0:
		return &Const{sp, op == ast.OpAnd}
	case len(xs) == 1:
		return xs[0]
	case op == ast.OpAnd:
		return &And{sp, xs}
	}
	return &Or{sp, xs}
}

// constantCond makes a condition that was decided by constants alone, with a warning.
func (c *checker) constantCond(sp source.Span, value bool) Cond {
	c.warn(diag.ConstantCondition, sp, "", "this is always %v", value)
	return &Const{sp, value}
}

var mirrored = map[ast.Op]ast.Op{ast.OpEq: ast.OpEq, ast.OpNe: ast.OpNe, ast.OpLt: ast.OpGt, ast.OpLe: ast.OpGe, ast.OpGt: ast.OpLt, ast.OpGe: ast.OpLe}

// compare checks X == Y and its like.
func (c *checker) compare(sc *scope, e *ast.BinaryExpr, depth int) Cond {
	h := c.hint(sc, e.X, e.Y)
	x := c.operand(sc, e.X, h, depth+1)
	y := c.operand(sc, e.Y, h, depth+1)
	if x.kind == badOperand || y.kind == badOperand {
		return nil
	}
	sp := x.sp.To(y.sp)
	op := e.Op
	if op != ast.OpEq && op != ast.OpNe && (x.kind != intOperand || y.kind != intOperand) {
		bad := x
		if x.kind == intOperand {
			bad = y
		}
		c.err(diag.NotComparable, bad.sp, "", "%s orders ints; this is %s", quote(op.String()), bad.typeName())
		return nil
	}
	// The field goes left.
	if x.kind != fieldOperand && y.kind == fieldOperand {
		x, y = y, x
	}
	switch {
	case x.kind == intOperand && y.kind == intOperand:
		return c.compareInts(sp, op, x, y)
	case x.kind == condOperand && y.kind == condOperand:
		return c.compareBools(sp, op, x, y)
	case x.kind == fieldOperand && y.kind == fieldOperand && x.use.field.Kind == y.use.field.Kind:
		c.err(diag.NotComparable, sp, "", "two fields of type %s cannot be compared", x.use.field.Kind)
		return nil
	case x.kind == fieldOperand:
		out, fits := c.equalText(sp, x, y)
		if x.use.field.Kind == types.Addr && y.kind == addrOperand {
			out, fits = c.equalAddr(sp, x, y), true
		}
		switch {
		case !fits:
		case out != nil && op == ast.OpNe:
			return negation(sp, out)
		default:
			return out
		}
	case x.kind != fieldOperand && y.kind != fieldOperand && x.kind == y.kind && x.kind != intOperand:
		c.err(diag.NotComparable, sp, "", "two constants are compared; one side must be a field")
		return nil
	}
	help := ""
	if x.kind == fieldOperand && x.use.field.Kind == types.Addr && y.kind == textOperand {
		help = "addresses are written without quotes"
	}
	c.err(diag.TypeMismatch, sp, help, "%s is compared with %s", x.typeName(), y.typeName())
	return nil
}

func (c *checker) equalAddr(sp source.Span, x, y operand) Cond {
	if !y.prefix.IsSingleIP() {
		c.err(diag.PrefixCompared, y.sp, "write `"+x.use.field.Name+" in "+y.prefix.String()+"`", "an address never equals a prefix")
		return nil
	}
	return &AddrIn{sp, x.use.field, []netip.Prefix{y.prefix}}
}

// compareInts folds comparisons with a constant into IntIn.
func (c *checker) compareInts(sp source.Span, op ast.Op, x, y operand) Cond {
	a, aConst := x.constant()
	b, bConst := y.constant()
	if aConst && bConst {
		none, _ := coverage(rangesOf(op, b), a, a)
		return c.constantCond(sp, !none)
	}
	if aConst {
		x, y, b, bConst, op = y, x, a, true, mirrored[op]
	}
	if !bConst {
		if x.use != nil && y.use != nil && x.use.field.Enum != y.use.field.Enum && x.use.field.Enum != nil && y.use.field.Enum != nil {
			c.err(diag.TypeMismatch, sp, "", "%s is %s, %s is %s", quote(x.use.field.Name), describe(x.use.field), quote(y.use.field.Name), describe(y.use.field))
			return nil
		}
		return &IntCmp{sp, op, x.value, y.value}
	}
	if x.use.isPort() && !c.portRange(y.sp, b) {
		return nil
	}
	return c.intIn(sp, x, rangesOf(op, b))
}

// rangesOf gives the values v for which `v op k` holds.
func rangesOf(op ast.Op, k int64) []Range {
	switch op {
	case ast.OpEq:
		return []Range{{k, k}}
	case ast.OpNe:
		return complement([]Range{{k, k}})
	case ast.OpLe:
		return []Range{{math.MinInt64, k}}
	case ast.OpGe:
		return []Range{{k, math.MaxInt64}}
	case ast.OpGt:
		return complement([]Range{{math.MinInt64, k}})
	}
	return complement([]Range{{k, math.MaxInt64}}) // OpLt
}

// intIn makes an IntIn and warns if the field's bounds decide it.
func (c *checker) intIn(sp source.Span, x operand, rs []Range) Cond {
	if v, ok := x.constant(); ok {
		none, _ := coverage(rs, v, v)
		return c.constantCond(sp, !none)
	}
	if len(rs) == 0 || len(rs) == 1 && rs[0] == (Range{math.MinInt64, math.MaxInt64}) {
		return c.constantCond(sp, len(rs) > 0)
	}
	if x.use != nil && x.use.bounded {
		if none, all := coverage(rs, x.use.min, x.use.max); none || all {
			c.warn(diag.ConstantCondition, sp, "", "this is always %v: %s is between %d and %d", all, quote(x.use.field.Name), x.use.min, x.use.max)
		}
	}
	return &IntIn{sp, x.value, rs}
}

// compareBools compares a bool with a constant, or two bool fields.
func (c *checker) compareBools(sp source.Span, op ast.Op, x, y operand) Cond {
	a, aConst := x.cond.(*Const)
	b, bConst := y.cond.(*Const)
	same := op == ast.OpEq
	switch {
	case aConst && bConst:
		return c.constantCond(sp, (a.Value == b.Value) == same)
	case aConst:
		return equalsConst(sp, y.cond, a.Value == same)
	case bConst:
		return equalsConst(sp, x.cond, b.Value == same)
	}
	_, xField := x.cond.(*BoolIs)
	_, yField := y.cond.(*BoolIs)
	if !xField || !yField {
		c.err(diag.NotComparable, sp, "write it with and, or and not", "two conditions cannot be compared")
		return nil
	}
	if same {
		return &Or{sp, []Cond{&And{sp, []Cond{x.cond, y.cond}}, &And{sp, []Cond{&Not{sp, x.cond}, &Not{sp, y.cond}}}}}
	}
	return &Or{sp, []Cond{&And{sp, []Cond{x.cond, &Not{sp, y.cond}}}, &And{sp, []Cond{&Not{sp, x.cond}, y.cond}}}}
}

func equalsConst(sp source.Span, x Cond, value bool) Cond {
	if value {
		return x
	}
	return negation(sp, x)
}

// has checks `flags has BITS`.
func (c *checker) has(sc *scope, e *ast.BinaryExpr, depth int) Cond {
	h := c.hint(sc, e.X)
	x := c.operand(sc, e.X, h, depth+1)
	if x.kind == badOperand {
		return nil
	}
	if x.use == nil || x.use.field.Kind != types.Flags {
		help := ""
		if x.kind == intOperand {
			help = "for bits of an int write `x & BITS == BITS`"
		}
		c.err(diag.HasWithoutFlags, x.sp, help, "the left side of `has` must be a flags field; this is %s", x.typeName())
		return nil
	}
	y := c.operand(sc, e.Y, h, depth+1)
	switch y.kind {
	case badOperand:
		return nil
	case intOperand:
	default:
		c.err(diag.TypeMismatch, y.sp, "", "the right side of `has` must be flags; this is %s", y.typeName())
		return nil
	}
	mask, ok := y.constant()
	if !ok {
		c.err(diag.NotConstant, y.sp, "write `a & b == b`", "the right side of `has` must be a constant")
		return nil
	}
	sp := x.sp.To(y.sp)
	if mask == 0 {
		help := ""
		if y.sp.Text() == "O_RDONLY" {
			help = "to ask how a file is opened use `access`, as in `not access has write`"
		}
		c.err(diag.HasNoBits, y.sp, help, "%s has no bits, so every value has them", quote(y.sp.Text()))
		return nil
	}
	if x.use.bounded && mask&^x.use.max != 0 && isMask(x.use.max) {
		c.warn(diag.ConstantCondition, sp, "", "this is always false: %s has only the bits %#x", quote(x.use.field.Name), x.use.max)
	}
	return &HasFlags{sp, x.use.field, mask}
}

// isMask tells numbers of the form 2^n - 1.
func isMask(n int64) bool { return n > 0 && n&(n+1) == 0 }

// in checks `x in SET`.
func (c *checker) in(sc *scope, e *ast.BinaryExpr, depth int) Cond {
	h := c.hint(sc, e.X)
	x := c.operand(sc, e.X, h, depth+1)
	if x.kind == badOperand {
		return nil
	}
	if x.kind != intOperand && x.kind != fieldOperand {
		c.err(diag.TypeMismatch, x.sp, "", "the left side of `in` must be an int, path, string or addr field; this is %s", x.typeName())
		return nil
	}
	switch y := unparen(e.Y).(type) {
	case *ast.SetLit:
		return c.inLiteral(x, y)
	case *ast.RangeExpr:
		if x.kind != intOperand {
			c.err(diag.TypeMismatch, y.Span(), "", "a range holds ints; the left side is %s", x.typeName())
			return nil
		}
		r, ok := c.constantRange(sc, y, h, x.use.isPort())
		if !ok {
			return nil
		}
		return c.intIn(x.sp.To(y.Span()), x, []Range{r})
	case *ast.NameExpr:
		if s := c.sets[y.Ident.Name]; s != nil {
			s.used = true
			if s.kind == badSet || !c.setFits(s, c.useOf(x), y.Ident.Sp) {
				return nil
			}
			return c.memberOf(x.sp.To(y.Ident.Sp), x, s.members)
		}
		if c.params[y.Ident.Name] == nil && !isConstant(y.Ident.Name) && c.peekField(sc, y.Ident.Name) == nil {
			var names []string
			for _, s := range c.setList {
				names = append(names, s.decl.Name.Name)
			}
			c.err(diag.UnknownSet, y.Ident.Sp, c.didYouMean(y.Ident.Name, names, ""), "there is no set named %s", quote(y.Ident.Name))
			return nil
		}
	case *ast.BadExpr:
		return nil
	}
	y := c.operand(sc, e.Y, h, depth+1)
	switch {
	case y.kind == badOperand:
		return nil
	case y.kind == addrOperand && x.kind == fieldOperand && x.use.field.Kind == types.Addr:
		return &AddrIn{x.sp.To(y.sp), x.use.field, []netip.Prefix{y.prefix}}
	case y.kind == textOperand:
		c.err(diag.NotSet, y.sp, "for one value write `==`, for a glob `matches`", "the right side of `in` must be a set; this is %s", y.typeName())
	default:
		c.err(diag.NotSet, y.sp, "put members in braces, as in `in { … }`", "the right side of `in` must be a set; this is %s", y.typeName())
	}
	return nil
}

// useOf gives the field of an operand; for arithmetic a plain int stands for it.
func (c *checker) useOf(x operand) *fieldUse {
	if x.use != nil {
		return x.use
	}
	return &fieldUse{field: &types.Field{Name: "the expression", Kind: types.Int}}
}

// setFits tells whether members of a declared set can be values of a field.
func (c *checker) setFits(s *set, use *fieldUse, sp source.Span) bool {
	f := use.field
	fits := false
	want := ""
	enum := ""
	if f.Enum != nil {
		enum = f.Enum.Name
	}
	switch f.Kind {
	case types.Path:
		fits, want = s.kind == pathSet, "path"
	case types.String:
		fits, want = s.kind == stringSet, "string"
	case types.Addr:
		fits, want = s.kind == cidrSet, "cidr"
	case types.Int, types.Flags:
		want = "int"
		switch {
		case use.isPort():
			fits, want = s.kind == portSet, "port"
		case enum == types.EnumCap:
			fits, want = s.kind == capSet, "cap"
		case enum == types.EnumSignal:
			fits, want = s.kind == signalSet, "signal"
		}
		fits = fits || s.kind == intSet
	default:
		c.err(diag.NotComparable, sp, "", "a bool cannot be in a set")
		return false
	}
	if !fits {
		d := c.err(diag.WrongSetKind, sp, "", "%s is a set of kind %s; %s needs a set of kind %s", quote(s.decl.Name.Name), s.kind, quote(f.Name), want)
		related(d, s.decl.Kind.Sp, "declared here")
	}
	return fits
}

// memberOf makes the condition that a field is in a set.
func (c *checker) memberOf(sp source.Span, x operand, m members) Cond {
	if x.kind == intOperand {
		if len(m.ranges) == 0 {
			return &Const{sp, false} // the empty set was reported where it is declared
		}
		return c.intIn(sp, x, m.ranges)
	}
	f := x.use.field
	switch {
	case f.Kind == types.Addr && len(m.prefixes) > 0:
		return &AddrIn{sp, f, m.prefixes}
	case f.Kind == types.Path && len(m.patterns) > 0:
		return &PathIn{sp, f, m.patterns}
	case f.Kind == types.String && len(m.patterns) > 0:
		return &StringIn{sp, f, m.patterns}
	}
	return &Const{sp, false}
}

// inLiteral checks `x in { … }`. Declared sets inside keep their members to
// themselves, so that a large set is not copied by every rule that names it.
func (c *checker) inLiteral(x operand, lit *ast.SetLit) Cond {
	use := c.useOf(x)
	kind := intSet
	switch use.field.Kind {
	case types.Path:
		kind = pathSet
	case types.String:
		kind = stringSet
	case types.Addr:
		kind = cidrSet
	}
	sp := x.sp.To(lit.Sp)
	b := c.newSetBuilder(kind, use)
	if x.use == nil {
		b.hint = enumHint{}
	}
	for _, e := range lit.Elems {
		b.element(e)
	}
	if b.bad {
		return nil
	}
	if len(lit.Elems) == 0 {
		c.warn(diag.SetEmpty, lit.Sp, "", "the set is empty: nothing is in it")
		return &Const{sp, false}
	}
	own := b.done()
	var xs []Cond
	if len(own.patterns)+len(own.ranges)+len(own.prefixes) > 0 {
		xs = append(xs, c.memberOf(sp, x, own))
	}
	for _, s := range b.named {
		if len(s.patterns)+len(s.ranges)+len(s.prefixes) > 0 {
			xs = append(xs, c.memberOf(sp, x, s.members))
		}
	}
	switch len(xs) {
	case 0:
		return &Const{sp, false} // all are empty, as was reported where they are declared
	case 1:
		return xs[0]
	}
	return &Or{sp, xs}
}
