package parser

import (
	"strconv"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
)

// Limits of one condition. They keep every later phase, which walks the tree
// recursively, away from the end of the stack.
const (
	// MaxNesting is how deep parentheses, `not`, calls and when blocks nest.
	MaxNesting = 100
	// MaxHeight is the largest height of an expression's tree; a chain of n
	// operands of the same operator has height n.
	MaxHeight = 1000
)

// Precedences, from loose to tight. Comparisons do not chain; all others are
// left-associative. `not` stands between `and` and the comparisons.
const (
	precOr = iota + 1
	precAnd
	precNot
	precCompare
	precBitOr
	precBitAnd
	precShift
	precAdd
	precMul
)

type binaryOp struct {
	op   ast.Op
	prec int
}

var symbolOps = [...]binaryOp{
	tokEq: {ast.OpEq, precCompare}, tokNe: {ast.OpNe, precCompare}, tokLt: {ast.OpLt, precCompare},
	tokLe: {ast.OpLe, precCompare}, tokGt: {ast.OpGt, precCompare}, tokGe: {ast.OpGe, precCompare},
	tokPipe: {ast.OpBitOr, precBitOr}, tokCaret: {ast.OpBitXor, precBitOr}, tokAmp: {ast.OpBitAnd, precBitAnd},
	tokShl: {ast.OpShl, precShift}, tokShr: {ast.OpShr, precShift},
	tokPlus: {ast.OpAdd, precAdd}, tokMinus: {ast.OpSub, precAdd},
	tokStar: {ast.OpMul, precMul}, tokSlash: {ast.OpDiv, precMul}, tokPercent: {ast.OpMod, precMul},
	// Both were reported; they are read as what the author meant.
	tokForeignAnd: {ast.OpAnd, precAnd}, tokForeignOr: {ast.OpOr, precOr}, tokAssign: {ast.OpEq, precCompare},
}

var wordOps = map[string]binaryOp{
	"or": {ast.OpOr, precOr}, "and": {ast.OpAnd, precAnd},
	"in": {ast.OpIn, precCompare}, "matches": {ast.OpMatches, precCompare},
	"under": {ast.OpUnder, precCompare}, "has": {ast.OpHas, precCompare},
}

// binaryOpAt tells which binary operator a token is; prec 0 if none.
func (p *parser) binaryOpAt(t token) binaryOp {
	if t.kind == tokName {
		if t.end-t.start > 7 {
			return binaryOp{}
		}
		return wordOps[p.textOf(t)]
	}
	if int(t.kind) < len(symbolOps) {
		return symbolOps[t.kind]
	}
	return binaryOp{}
}

// expression parses a whole condition or value. After an error p.bad is set and
// the result is a BadExpr.
func (p *parser) expression() ast.Expr {
	x, _ := p.binary(precOr, false)
	return p.finish(x)
}

// finish gives a BadExpr in place of what was read of a broken expression.
func (p *parser) finish(x ast.Expr) ast.Expr {
	if !p.bad {
		return x
	}
	return p.badExpr()
}

func (p *parser) badExpr() ast.Expr {
	t := p.toks[p.i]
	return &ast.BadExpr{Sp: p.span(int(t.start), int(t.end))}
}

// fail makes the expression bad; the caller has reported why.
func (p *parser) fail() (ast.Expr, int) {
	p.bad = true
	return p.badExpr(), 1
}

// enter counts a level of nesting; the caller leaves with p.nesting--.
func (p *parser) enter(t token) bool {
	p.nesting++
	if p.nesting <= MaxNesting {
		return true
	}
	p.errs.tooDeep(int(t.start), int(t.end))
	p.bad = true
	return false
}

// binary parses operands joined by operators of at least the given precedence,
// by precedence climbing. set tells whether a set literal may stand here. It
// returns the tree and its height.
func (p *parser) binary(least int, set bool) (ast.Expr, int) {
	x, height := p.unary(least, set)
	compared := false
	for !p.bad {
		t := p.peek()
		b := p.binaryOpAt(t)
		if b.prec == 0 && p.isWord(t, "not") && least <= precCompare {
			if o := p.binaryOpAt(p.toks[min(p.i+1, len(p.toks)-1)]); o.prec == precCompare {
				p.errs.notBefore(int(t.start), int(t.end), o.op.String())
				return p.fail()
			}
		}
		if b.prec == 0 || b.prec < least {
			break
		}
		if b.prec == precCompare {
			if compared {
				p.errs.chained(int(t.start), int(t.end))
				return p.fail()
			}
			compared = true
			if t.kind == tokAssign {
				p.errs.foreignOperator(int(t.start), int(t.end), "=")
			}
		}
		p.i++
		var y ast.Expr
		var h int
		if b.op == ast.OpIn {
			y, h = p.rangeOr(precCompare+1, true)
		} else {
			y, h = p.binary(b.prec+1, b.prec == precCompare)
		}
		if p.bad {
			break
		}
		height = max(height, h) + 1
		if height > MaxHeight {
			p.errs.tooLong(int(t.start), int(t.end))
			return p.fail()
		}
		x = &ast.BinaryExpr{Op: b.op, OpSp: p.spanOf(t), X: x, Y: y}
	}
	return x, height
}

// rangeOr parses an operand or LO..HI.
func (p *parser) rangeOr(least int, set bool) (ast.Expr, int) {
	lo, height := p.binary(least, set)
	if p.bad || p.peek().kind != tokRange {
		return lo, height
	}
	p.i++
	hi, h := p.binary(least, false)
	return &ast.RangeExpr{Lo: lo, Hi: hi}, max(height, h) + 1
}

func (p *parser) unary(least int, set bool) (ast.Expr, int) {
	t := p.peek()
	var op ast.Op
	var operand int
	switch {
	case t.kind == tokForeignNot || p.isWord(t, "not"):
		op, operand = ast.OpNot, precNot
		if least > precNot {
			p.errs.notInside(int(t.start), int(t.end))
			return p.fail()
		}
	case t.kind == tokMinus:
		op, operand = ast.OpNeg, precMul+1
	default:
		return p.primary(set)
	}
	defer func() { p.nesting-- }()
	if !p.enter(t) {
		return p.fail()
	}
	p.i++
	x, height := p.binary(operand, false)
	if p.bad {
		return x, height
	}
	return &ast.UnaryExpr{Sp: p.spanOf(t).To(x.Span()), Op: op, X: x}, height + 1
}

func (p *parser) primary(set bool) (ast.Expr, int) {
	t := p.peek()
	sp := p.spanOf(t)
	switch t.kind {
	case tokInt:
		p.i++
		v, _ := parseInt(p.textOf(t))
		return &ast.IntLit{Sp: sp, Value: v}, 1
	case tokDuration:
		p.i++
		v, _ := parseDuration(p.textOf(t))
		return &ast.DurationLit{Sp: sp, Value: v}, 1
	case tokString:
		p.i++
		return p.stringLit(t), 1
	case tokAddr:
		p.i++
		return &ast.AddrLit{Sp: sp, Text: p.textOf(t)}, 1
	case tokBad:
		p.i++
		return &ast.BadExpr{Sp: sp}, 1
	case tokConst:
		p.i++
		return &ast.NameExpr{Ident: p.ident(t)}, 1
	case tokName:
		return p.nameOrCall(t)
	case tokLParen:
		return p.paren(t)
	case tokLBrace:
		if set {
			return p.setLit(), 2
		}
	case tokSlash:
		return p.unquotedPath(t), 1
	}
	p.expectedOperand(t)
	return p.fail()
}

func (p *parser) stringLit(t token) *ast.StringLit {
	// The lexer checked the escapes.
	v, _ := strconv.Unquote(p.textOf(t))
	return &ast.StringLit{Sp: p.spanOf(t), Value: v}
}

func (p *parser) expectedOperand(t token) {
	if t.kind != tokNewline && t.kind != tokEOF {
		p.errs.expectedValue(int(t.start), int(t.end), p.found(t))
		return
	}
	last := p.lastToken()
	switch {
	case p.open == 0:
		p.errs.expectedValue(int(last.end), int(last.end), p.found(t))
	case last.kind != tokBad:
		p.errs.unclosed(p.opener, p.textOf(p.opener))
	}
}

// lastToken is the token before the next one, newlines aside.
func (p *parser) lastToken() token {
	i := p.i - 1
	for i > 0 && p.toks[i].kind == tokNewline {
		i--
	}
	return p.toks[max(i, 0)]
}

func (p *parser) nameOrCall(t token) (ast.Expr, int) {
	word := p.textOf(t)
	call := p.toks[p.i+1].kind == tokLParen
	switch {
	case word == "true" || word == "false":
		p.i++
		return &ast.BoolLit{Sp: p.spanOf(t), Value: word == "true"}, 1
	case word == "has" && call:
	case reserved[word]:
		p.expectedOperand(t)
		return p.fail()
	}
	p.i++
	if !call {
		return &ast.NameExpr{Ident: p.ident(t)}, 1
	}
	defer func() { p.nesting-- }()
	if !p.enter(t) {
		return p.fail()
	}
	open := p.openBracket()
	c := &ast.CallExpr{Fun: p.ident(t)}
	height := 0
	for p.peek().kind != tokRParen {
		arg, h := p.binary(precOr, true)
		if p.bad {
			return arg, h
		}
		height = max(height, h)
		c.Args = append(c.Args, arg)
		if p.peek().kind != tokComma {
			break
		}
		p.i++
	}
	end, ok := p.closeBracket(open, tokRParen)
	if !ok {
		return p.fail()
	}
	c.Sp = p.spanOf(t).To(p.spanOf(end))
	return c, height + 1
}

func (p *parser) paren(t token) (ast.Expr, int) {
	defer func() { p.nesting-- }()
	if !p.enter(t) {
		return p.fail()
	}
	open := p.openBracket()
	x, height := p.binary(precOr, false)
	if p.bad {
		return x, height
	}
	end, ok := p.closeBracket(open, tokRParen)
	if !ok {
		return p.fail()
	}
	return &ast.ParenExpr{Sp: p.spanOf(t).To(p.spanOf(end)), X: x}, height + 1
}

// bracket remembers the enclosing bracket while one is open.
type bracket struct{ self, outer token }

func (p *parser) openBracket() bracket {
	b := bracket{p.toks[p.i], p.opener}
	p.opener = b.self
	p.open++
	p.i++
	return b
}

// closeBracket takes the closing bracket or reports that it is missing.
func (p *parser) closeBracket(b bracket, want kind) (token, bool) {
	t := p.peek()
	if t.kind != want {
		switch t.kind {
		case tokNewline, tokEOF:
			// A string that is not closed hides the bracket; that was reported.
			if p.lastToken().kind != tokBad {
				p.errs.unclosed(b.self, p.textOf(b.self))
			}
		default:
			p.errs.expectedClosing(int(t.start), int(t.end), p.found(t), b.self, p.textOf(b.self))
		}
		return t, false
	}
	p.open--
	p.opener = b.outer
	p.i++
	return t, true
}

// setLit parses { a, b, … }; a comma may stand after the last element. A broken
// element is skipped up to its comma, so that each is reported.
func (p *parser) setLit() ast.Expr {
	open := p.openBracket()
	depth := p.open
	s := &ast.SetLit{}
	missing := false
	for {
		t := p.peek()
		if t.kind == tokRBrace || t.kind == tokNewline || t.kind == tokEOF {
			break
		}
		if p.errs.full() { // nothing more would be reported
			p.bad = true
			return p.badExpr()
		}
		if t.kind == tokLBrace {
			p.errs.setInSet(int(t.start), int(t.end))
			p.bad = true
		}
		var e ast.Expr
		if !p.bad {
			e, _ = p.rangeOr(precBitOr, false)
		}
		if p.bad {
			e = p.badExpr()
			p.bad = false
			p.open, p.opener = depth, open.self
			p.skipElement()
		}
		s.Elems = append(s.Elems, e)
		switch t = p.peek(); {
		case t.kind == tokComma:
			p.i++
		case startsElement(t.kind) && !missing:
			p.errs.missingComma(int(t.start), int(t.end), p.found(t))
			missing = true
		case !startsElement(t.kind) && t.kind != tokRBrace && t.kind != tokNewline && t.kind != tokEOF:
			p.errs.afterElement(int(t.start), int(t.end), p.found(t))
			p.skipElement()
			if p.peek().kind == tokComma {
				p.i++
			}
		}
	}
	end, ok := p.closeBracket(open, tokRBrace)
	if !ok {
		p.bad = true
	}
	s.Sp = p.spanOf(open.self).To(p.spanOf(end))
	return s
}

func startsElement(k kind) bool { return k >= tokName && k <= tokBad }

// skipElement goes to the comma or closing brace that ends a broken element.
func (p *parser) skipElement() {
	for depth := 0; ; p.i++ {
		switch t := p.peek(); t.kind {
		case tokNewline, tokEOF:
			return
		case tokLBrace, tokLParen:
			depth++
		case tokRParen:
			depth = max(depth-1, 0)
		case tokRBrace:
			if depth == 0 {
				return
			}
			depth--
		case tokComma:
			if depth == 0 {
				return
			}
		}
	}
}

// unquotedPath reports a path without quotes and skips it.
func (p *parser) unquotedPath(t token) ast.Expr {
	start := int(t.start)
	end := pathEnd(p.text, start)
	p.errs.unquotedPath(start, end, p.text[start:end])
	for p.toks[p.i].kind != tokEOF && int(p.toks[p.i].start) < end {
		p.i++
	}
	return &ast.BadExpr{Sp: p.span(start, end)}
}

// pathEnd is where a path without quotes ends.
func pathEnd(text string, start int) int {
	if n := strings.IndexAny(text[start:], " \t\r\n,{}()\"#"); n >= 0 {
		return start + n
	}
	return len(text)
}
