package check

import (
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// operand is one side of a comparison, checked.
type operand struct {
	kind operandKind
	sp   source.Span
	// value of kind intOperand; a constant if it is an *IntConst.
	value Value
	// use is the field, for fieldOperand and for an intOperand that is a field alone.
	use    *fieldUse
	text   string       // textOperand, pathOperand, stringOperand
	prefix netip.Prefix // addrOperand
	cond   Cond         // condOperand
}

type operandKind uint8

const (
	badOperand    operandKind = iota // an error was reported
	intOperand                       // int or flags
	fieldOperand                     // a path, string or addr field
	textOperand                      // a string literal, for a path or a string
	pathOperand                      // a param of type path
	stringOperand                    // a param of type string
	addrOperand                      // an address or prefix
	condOperand                      // a bool: field, constant or condition
)

// typeName names the operand's type in messages.
func (o operand) typeName() string {
	switch o.kind {
	case intOperand:
		if o.use != nil && o.use.field.Kind == types.Flags {
			return "flags"
		}
		return "an int"
	case fieldOperand:
		return kindName(o.use.field.Kind)
	case textOperand:
		return "a string"
	case pathOperand:
		return "a path"
	case stringOperand:
		return "a string"
	case addrOperand:
		return "an addr"
	case condOperand:
		return "a bool"
	}
	return "invalid"
}

func (o operand) constant() (int64, bool) {
	if k, ok := o.value.(*IntConst); ok && o.kind == intOperand {
		return k.Value, true
	}
	return 0, false
}

// enumHint is the enum in which the constants of a comparison are looked up.
// plain tells that the fields compared have no named values.
type enumHint struct {
	enum  *types.Enum
	plain *types.Field
}

// hint finds the enum of the first field that has one among the expressions.
func (c *checker) hint(sc *scope, exprs ...ast.Expr) enumHint {
	var h enumHint
	pending := exprs
	for len(pending) > 0 && h.enum == nil {
		e := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		switch e := e.(type) {
		case *ast.ParenExpr:
			pending = append(pending, e.X)
		case *ast.UnaryExpr:
			pending = append(pending, e.X)
		case *ast.BinaryExpr:
			if arithmetic(e.Op) {
				pending = append(pending, e.Y, e.X)
			}
		case *ast.NameExpr:
			if f := c.peekField(sc, e.Ident.Name); f != nil {
				h.enum = f.Enum
				if h.plain == nil {
					h.plain = f
				}
			}
		}
	}
	if h.enum != nil {
		h.plain = nil
	}
	return h
}

// peekField looks a field up without reporting anything.
func (c *checker) peekField(sc *scope, name string) *types.Field {
	if sc == nil {
		return nil
	}
	if f := c.schema.SubjectField(name); f != nil {
		return f
	}
	for _, u := range sc.uses {
		if f := u.Op.Field(name); f != nil {
			return f
		}
	}
	return nil
}

func arithmetic(op ast.Op) bool { return op >= ast.OpAdd && op <= ast.OpShr }

// operand checks an expression that stands for a value.
func (c *checker) operand(sc *scope, e ast.Expr, h enumHint, depth int) operand {
	if depth > maxDepth {
		c.err(diag.TooDeep, e.Span(), "", "the expression is nested too deeply")
		return operand{}
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return c.operand(sc, e.X, h, depth+1)
	case *ast.IntLit:
		if e.Value > math.MaxInt64 {
			c.err(diag.ConstantOverflow, e.Sp, "integers are signed and have 64 bits", "%s is too large", quote(e.Sp.Text()))
			return operand{}
		}
		return constant(e.Sp, int64(e.Value))
	case *ast.StringLit:
		return operand{kind: textOperand, sp: e.Sp, text: e.Value}
	case *ast.BoolLit:
		return operand{kind: condOperand, sp: e.Sp, cond: &Const{e.Sp, e.Value}}
	case *ast.AddrLit:
		p, ok := parsePrefix(e.Text)
		if !ok {
			c.err(diag.BadAddress, e.Sp, "", "%s is not an address or prefix that events can have", quote(e.Text))
			return operand{}
		}
		return operand{kind: addrOperand, sp: e.Sp, prefix: p}
	case *ast.NameExpr:
		return c.nameOperand(sc, e.Ident, h)
	case *ast.UnaryExpr:
		if e.Op == ast.OpNeg {
			return c.negate(sc, e, h, depth)
		}
	case *ast.BinaryExpr:
		if arithmetic(e.Op) {
			return c.arith(sc, e, h, depth)
		}
	case *ast.CallExpr:
		c.callLater(e)
		return operand{}
	case *ast.DurationLit:
		c.err(diag.NotValue, e.Sp, "", "a duration cannot be compared with anything")
		return operand{}
	case *ast.SetLit:
		c.err(diag.NotValue, e.Sp, "a set stands after `in`", "a set is not a value")
		return operand{}
	case *ast.RangeExpr:
		c.err(diag.NotValue, e.Span(), "a range stands after `in` or in a set", "a range is not a value")
		return operand{}
	case *ast.BadExpr:
		return operand{}
	}
	// What is left are conditions: and, or, not, comparisons.
	cond := c.cond(sc, e, depth+1)
	if cond == nil {
		return operand{}
	}
	return operand{kind: condOperand, sp: cond.Span(), cond: cond}
}

func constant(sp source.Span, v int64) operand {
	return operand{kind: intOperand, sp: sp, value: &IntConst{sp, v}}
}

func (c *checker) callLater(e *ast.CallExpr) {
	if e.Fun.Name == "has" {
		c.err(diag.CallLater, e.Sp, "to test flags write `flags has O_CREAT`", "`has(…)` asks for a helper; helpers are not supported yet")
		return
	}
	c.err(diag.CallLater, e.Sp, "", "call of %s: helpers are not supported yet", quote(e.Fun.Name))
}

// nameOperand resolves a name: a constant of the enum that is compared with,
// then a param, a field, any other constant.
func (c *checker) nameOperand(sc *scope, id ast.Ident, h enumHint) operand {
	if v, ok := h.enum.Lookup(id.Name); ok {
		return constant(id.Sp, v)
	}
	if p := c.params[id.Name]; p != nil {
		return c.paramOperand(p, id)
	}
	if isConstant(id.Name) {
		return c.constantOperand(id, h)
	}
	use, found := c.field(sc, id)
	if use != nil {
		switch use.field.Kind {
		case types.Int, types.Flags:
			return operand{kind: intOperand, sp: id.Sp, use: use, value: &IntField{id.Sp, use.field}}
		case types.Bool:
			return operand{kind: condOperand, sp: id.Sp, use: use, cond: &BoolIs{id.Sp, use.field}}
		}
		return operand{kind: fieldOperand, sp: id.Sp, use: use}
	}
	if found {
		return operand{}
	}
	if s := c.sets[id.Name]; s != nil {
		s.used = true
		c.err(diag.NotValue, id.Sp, "membership is written `field in "+id.Name+"`", "%s is a set, not a value", quote(id.Name))
		return operand{}
	}
	c.unknownName(sc, id, h)
	return operand{}
}

func (c *checker) unknownName(sc *scope, id ast.Ident, h enumHint) {
	names := c.fieldNames(sc)
	for _, p := range c.prmList {
		names = append(names, p.decl.Name.Name)
	}
	if h.enum != nil {
		for _, v := range h.enum.Values {
			names = append(names, v.Name)
		}
	}
	help := c.minusInName(sc, id.Name)
	if help == "" {
		help = c.didYouMean(id.Name, names, "")
	}
	c.err(diag.UnknownName, id.Sp, help, "there is no field, param or constant named %s", quote(id.Name))
}

// minusInName explains `uid-1`, which is one name because names hold hyphens.
func (c *checker) minusInName(sc *scope, name string) string {
	for i := 1; i+1 < len(name); i++ {
		if name[i] == '-' && (c.peekField(sc, name[:i]) != nil || c.params[name[:i]] != nil) {
			return "a hyphen belongs to a name; to subtract write `" + name[:i] + " - " + name[i+1:] + "`"
		}
	}
	return ""
}

// isConstant tells names in upper case.
func isConstant(name string) bool { return name != "" && name[0] >= 'A' && name[0] <= 'Z' }

// constantOperand resolves an upper-case name that is not in the enum of the
// comparison. Where no field tells the enum, any enum that gives the name one
// value will do.
func (c *checker) constantOperand(id ast.Ident, h enumHint) operand {
	var of []*types.Enum
	var value int64
	for _, e := range c.schema.Enums {
		if e.Name == types.EnumCaps && h.enum != e {
			continue // the same names as EnumCap, which tells the numbers
		}
		if v, ok := e.Lookup(id.Name); ok {
			of, value = append(of, e), v
		}
	}
	if len(of) > 0 && h.enum == nil && h.plain == nil {
		return constant(id.Sp, value)
	}
	if len(of) > 0 {
		where := "a field without named values"
		if h.enum != nil {
			where = "a value of " + quote(h.enum.Name)
		} else if h.plain != nil {
			where = quote(h.plain.Name) + ", which has no named values"
		}
		c.err(diag.ForeignConstant, id.Sp, "", "%s is a constant of %s; it is compared with %s", quote(id.Name), quote(of[0].Name), where)
		return operand{}
	}
	var names []string
	for _, e := range c.schema.Enums {
		if h.enum == nil || h.enum == e {
			for _, v := range e.Values {
				names = append(names, v.Name)
			}
		}
	}
	help := c.didYouMean(id.Name, names, "")
	if _, ok := c.schema.Errnos.Lookup(id.Name); ok {
		help = "an errno stands only after the word errno"
	}
	if strings.HasPrefix(id.Name, "SIGRT") {
		help = "real-time signals have no names here; they are the numbers 32 to 64"
	}
	c.err(diag.UnknownConstant, id.Sp, help, "there is no constant named %s", quote(id.Name))
	return operand{}
}

// integer checks that an operand is one.
func (c *checker) integer(o operand) bool {
	if o.kind == intOperand {
		return true
	}
	if o.kind != badOperand {
		c.err(diag.NotInteger, o.sp, "", "arithmetic needs ints; this is %s", o.typeName())
	}
	return false
}

func (c *checker) negate(sc *scope, e *ast.UnaryExpr, h enumHint, depth int) operand {
	if lit, ok := e.X.(*ast.IntLit); ok && lit.Value == 1<<63 {
		return constant(e.Sp, math.MinInt64)
	}
	x := c.operand(sc, e.X, h, depth+1)
	if !c.integer(x) {
		return operand{}
	}
	return c.combine(ast.OpSub, e.Sp, constant(e.Sp, 0), x)
}

// arith checks a chain of arithmetic operators along its left side.
func (c *checker) arith(sc *scope, e *ast.BinaryExpr, h enumHint, depth int) operand {
	var chain []*ast.BinaryExpr
	var first ast.Expr = e
	for {
		b, ok := first.(*ast.BinaryExpr)
		if !ok || !arithmetic(b.Op) {
			break
		}
		chain = append(chain, b)
		first = b.X
	}
	if depth+len(chain) > maxDepth {
		c.err(diag.TooDeep, first.Span(), "", "the expression is nested too deeply")
		return operand{}
	}
	x := c.operand(sc, first, h, depth+1)
	ok := c.integer(x)
	for i := len(chain) - 1; i >= 0; i-- {
		y := c.operand(sc, chain[i].Y, h, depth+1)
		if yok := c.integer(y); !yok || !ok {
			ok = false
			continue
		}
		x = c.combine(chain[i].Op, x.sp.To(y.sp), x, y)
		ok = x.kind == intOperand
	}
	if !ok {
		return operand{}
	}
	return x
}

// combine makes x op y, folding constants.
func (c *checker) combine(op ast.Op, sp source.Span, x, y operand) operand {
	a, aConst := x.constant()
	b, bConst := y.constant()
	switch op {
	case ast.OpDiv, ast.OpMod:
		if !bConst {
			c.err(diag.DivisorNotConstant, y.sp, "", "the right side of %s must be a constant", quote(op.String()))
			return operand{}
		}
		if b == 0 {
			c.err(diag.DivisionByZero, y.sp, "", "division by zero")
			return operand{}
		}
	case ast.OpShl, ast.OpShr:
		if bConst && (b < 0 || b > 63) {
			c.err(diag.ShiftCount, y.sp, "", "the count of a shift must be 0 to 63, not %d", b)
			return operand{}
		}
	}
	if aConst && bConst {
		v, ok := fold(op, a, b)
		if !ok {
			c.err(diag.ConstantOverflow, sp, "integers are signed and have 64 bits", "the constant %d %s %d overflows", a, op, b)
			return operand{}
		}
		return constant(sp, v)
	}
	// The kernel's division has no -1 case; write it with other operators.
	if b == -1 && op == ast.OpDiv {
		return operand{kind: intOperand, sp: sp, value: &Arith{sp, ast.OpSub, &IntConst{sp, 0}, x.value}}
	}
	if b == -1 && op == ast.OpMod {
		return operand{kind: intOperand, sp: sp, value: &Arith{sp, ast.OpBitAnd, x.value, &IntConst{sp, 0}}}
	}
	return operand{kind: intOperand, sp: sp, value: &Arith{sp, op, x.value, y.value}}
}

// fold works out a constant; ok is false if it overflows. The divisor is not 0
// and a shift count is 0 to 63.
func fold(op ast.Op, a, b int64) (v int64, ok bool) {
	switch op {
	case ast.OpAdd:
		v = a + b
		return v, (v > a) == (b > 0) || b == 0
	case ast.OpSub:
		v = a - b
		return v, (v < a) == (b > 0) || b == 0
	case ast.OpMul:
		hi, lo := bits.Mul64(magnitude(a), magnitude(b))
		limit := uint64(math.MaxInt64)
		if (a < 0) != (b < 0) {
			limit++
		}
		return a * b, hi == 0 && lo <= limit
	case ast.OpDiv:
		return a / b, a != math.MinInt64 || b != -1
	case ast.OpMod:
		if b == -1 {
			return 0, true
		}
		return a % b, true
	case ast.OpBitAnd:
		return a & b, true
	case ast.OpBitOr:
		return a | b, true
	case ast.OpBitXor:
		return a ^ b, true
	case ast.OpShl:
		v = a << b
		return v, v>>b == a
	case ast.OpShr:
		return a >> b, true
	}
	return 0, false
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// parsePrefix reads an address, as a prefix of full length, or a prefix.
// IPv4-mapped IPv6 becomes IPv4; zones are refused.
func parsePrefix(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}
