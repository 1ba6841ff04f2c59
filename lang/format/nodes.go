package format

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
)

// ident prints a name.
func (p *printer) ident(id ast.Ident) {
	p.at(id.Sp)
	p.text(id.Name)
	p.space = true
}

// names prints names joined with commas, broken where the source is.
func (p *printer) names(ids []ast.Ident) {
	for i, id := range ids {
		if i > 0 {
			p.text2(",")
			p.breakIf(ids[i-1].Sp, id.Sp)
		}
		p.goOn(func() { p.ident(id) })
	}
}

// text2 appends without a space before, with one behind.
func (p *printer) text2(s string) {
	p.space = false
	p.text(s)
	p.space = true
}

// breakIf ends the line where the source has a newline between two things.
func (p *printer) breakIf(a, b source.Span) {
	if p.broken(a, b) && !p.hasComment(source.Span{File: a.File, Start: a.End, End: b.Start}) {
		p.end()
	}
}

// goOn prints with the indent of lines that go on.
func (p *printer) goOn(f func()) {
	old := p.extra
	p.extra = max(p.extra, 1)
	f()
	p.extra = old
}

// clause prints a keyword and what follows it, if there is something.
func (p *printer) clause(keyword string, x ast.Expr) {
	if x != nil {
		p.word(keyword)
		p.goOn(func() { p.expr(x, 0) })
	}
}

func (p *printer) identClause(keyword string, id *ast.Ident) {
	if id != nil {
		p.word(keyword)
		p.ident(*id)
	}
}

func (p *printer) ops(keyword string, ids []ast.Ident) {
	if len(ids) > 0 {
		if keyword != "" {
			p.word(keyword)
		}
		p.names(ids)
	}
}

func (p *printer) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.PolicyStmt:
		p.word("policy")
		p.ident(s.Name)
	case *ast.ImportStmt:
		p.word("import")
		p.expr(s.Path, 0)
	case *ast.ParamStmt:
		p.word("param")
		p.ident(s.Name)
		p.text2(":")
		p.goOn(func() { p.ident(s.Type) })
		if s.Default != nil {
			p.split(classParam)
			p.clause("=", s.Default)
		}
	case *ast.SetStmt:
		p.word("set")
		p.ident(s.Name)
		p.split(classSet)
		p.word("=")
		p.goOn(func() { p.ident(s.Kind) })
		p.expr(s.Set, 0)
	case *ast.DefaultStmt:
		p.word("default")
		if s.Deny {
			p.word("deny")
		} else {
			p.word("allow")
		}
		p.ops("for", s.Ops)
	case *ast.RuleStmt:
		p.rule(s)
	case *ast.StateStmt:
		p.word("state")
		p.ident(s.Name)
		p.text2(":")
		p.goOn(func() { p.ident(s.Type) })
		p.word("per")
		p.ident(s.Scope)
		p.clause("=", s.Init)
	case *ast.OnStmt:
		p.word("on")
		p.ops("", s.Ops)
		p.clause("when", s.When)
		if s.Inc {
			p.word("inc")
			p.ident(s.State)
		} else {
			p.word("set")
			p.ident(s.State)
			p.clause("=", s.Value)
		}
	case *ast.LimitStmt:
		p.word("limit")
		p.ops("", s.Ops)
		p.word("to")
		p.expr(s.Count, 0)
		p.word("per")
		p.expr(s.Per, 0)
		p.identClause("per", s.Scope)
		p.clause("when", s.When)
	case *ast.WhenBlock:
		p.clause("when", s.Cond)
		p.block(s.Sp, func(end int) { p.stmts(s.Body, end) })
	case *ast.UnresolvedStmt:
		p.word("on unresolved allow")
		p.ops("for", s.Ops)
	case *ast.HelperStmt:
		p.helper(s)
	case *ast.TestStmt:
		p.word("test")
		p.expr(s.Name, 0)
		p.block(s.Sp, func(end int) { p.steps(s.Steps, end) })
	default:
		panic(fmt.Sprintf("format: unknown statement %T", s))
	}
}

func (p *printer) rule(s *ast.RuleStmt) {
	p.word(s.Verb.String())
	p.ops("", s.Ops)
	p.identClause("as", s.Name)
	p.split(classRule)
	if s.When == nil && s.Unless == nil {
		p.cur.split = 0
	}
	p.clause("when", s.When)
	p.clause("unless", s.Unless)
	p.identClause("errno", s.Errno)
	if s.Because != nil {
		p.word("because")
		p.expr(s.Because, 0)
	}
}

func (p *printer) helper(s *ast.HelperStmt) {
	p.word("helper")
	p.ident(s.Name)
	p.space = false
	p.text("(")
	p.names(s.Params)
	p.text2(")")
	p.word("->")
	p.goOn(func() { p.ident(s.Result) })
	if s.Kfunc != nil {
		p.word("=")
		p.goOn(func() {
			p.flushBefore(s.Kfunc.Sp)
			p.word("kfunc")
			p.expr(s.Kfunc, 0)
		})
	}
	if s.Optional {
		p.word("optional")
	}
}

// flushBefore puts down the comments before a thing whose keyword is printed first.
func (p *printer) flushBefore(sp source.Span) {
	if !sp.IsZero() && !p.flat {
		p.flush(sp.Start, false)
	}
}

// steps prints the lines of a test.
func (p *printer) steps(list []ast.TestStep, end int) {
	p.pos = -1
	for _, s := range list {
		if sp := s.Span(); !sp.IsZero() {
			p.file = sp.File
			p.flush(sp.Start, true)
			p.gap(sp.Start)
		}
		first := len(p.lines)
		p.step(s)
		if sp := s.Span(); !sp.IsZero() {
			p.passed(sp.End)
		}
		p.trail()
		p.unalign(first)
	}
	p.flush(end, true)
}

func (p *printer) step(s ast.TestStep) {
	switch s := s.(type) {
	case *ast.EventStep:
		p.ident(s.Op)
		p.args(s.Args)
		e := s.Expect
		if e == nil {
			return
		}
		p.split(classTest)
		p.word("=>")
		p.goOn(func() { p.at(e.VerdictSp); p.word(e.Verdict.String()) })
		p.identClause("by", e.By)
		p.identClause("errno", e.Errno)
		p.ops("audited by", e.AuditedBy)
	case *ast.SubjectStep:
		p.word("as")
		p.args(s.Args)
	case *ast.MoveStep:
		p.ident(s.Kind)
	case *ast.WaitStep:
		p.word("wait")
		p.expr(s.For, 0)
	case *ast.StackStep:
		p.word("stack")
		p.expr(s.Path, 0)
	default:
		panic(fmt.Sprintf("format: unknown test step %T", s))
	}
}

func (p *printer) args(args []ast.TestArg) {
	for _, a := range args {
		p.ident(a.Field)
		p.space = false
		p.text("=")
		p.goOn(func() {
			for i, v := range a.Values {
				if i > 0 {
					p.space = false
					p.text(",")
				}
				p.expr(v, precNegate)
				p.space = false
			}
		})
		p.space = true
	}
}

// Precedences as the parser has them; an operand of less is put in parentheses.
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
	precNegate
)

var precedence = [...]int{ast.OpOr: precOr, ast.OpAnd: precAnd, ast.OpNot: precNot,
	ast.OpEq: precCompare, ast.OpNe: precCompare, ast.OpLt: precCompare, ast.OpLe: precCompare, ast.OpGt: precCompare, ast.OpGe: precCompare,
	ast.OpIn: precCompare, ast.OpMatches: precCompare, ast.OpUnder: precCompare, ast.OpHas: precCompare,
	ast.OpBitOr: precBitOr, ast.OpBitXor: precBitOr, ast.OpBitAnd: precBitAnd, ast.OpShl: precShift, ast.OpShr: precShift,
	ast.OpAdd: precAdd, ast.OpSub: precAdd, ast.OpMul: precMul, ast.OpDiv: precMul, ast.OpMod: precMul, ast.OpNeg: precNegate}

// expr prints an expression that must bind at least as tightly as least. It
// writes a space before if one is due and leaves one due behind.
func (p *printer) expr(x ast.Expr, least int) {
	switch x := x.(type) {
	case *ast.BinaryExpr:
		p.binary(x, least)
	case *ast.UnaryExpr:
		p.enclose(precedence[x.Op] < least, func() {
			p.at(source.Span{File: x.Sp.File, Start: x.Sp.Start, End: x.Sp.Start + len(x.Op.String())})
			p.text(x.Op.String())
			p.space = x.Op == ast.OpNot
			p.expr(x.X, precedence[x.Op])
		})
	case *ast.ParenExpr:
		p.at(source.Span{File: x.Sp.File, Start: x.Sp.Start, End: x.Sp.Start + 1})
		p.text("(")
		p.expr(x.X, 0)
		p.close(x.Sp, ")")
	case *ast.CallExpr:
		p.at(x.Fun.Sp)
		p.text(x.Fun.Name)
		p.text("(")
		for i, a := range x.Args {
			if i > 0 {
				p.text2(",")
				p.breakIf(x.Args[i-1].Span(), a.Span())
			}
			p.expr(a, 0)
		}
		p.close(x.Sp, ")")
	case *ast.RangeExpr:
		p.expr(x.Lo, precBitOr)
		p.space = false
		p.text("..")
		p.expr(x.Hi, precBitOr)
	case *ast.SetLit:
		p.set(x)
	default:
		p.at(x.Span())
		p.text(literal(x))
	}
	p.space = true
}

// enclose prints in parentheses if they are needed.
func (p *printer) enclose(needed bool, f func()) {
	if needed {
		p.text("(")
	}
	f()
	if needed {
		p.space = false
		p.text(")")
	}
}

// close prints a closing bracket that stands at the end of a span.
func (p *printer) close(sp source.Span, bracket string) {
	if !sp.IsZero() {
		p.at(source.Span{File: sp.File, Start: sp.End - 1, End: sp.End})
	}
	p.space = false
	p.text(bracket)
}

func (p *printer) binary(x *ast.BinaryExpr, least int) {
	prec := precedence[x.Op]
	left := prec
	if prec == precCompare {
		left++ // comparisons do not chain
	}
	p.enclose(prec < least, func() {
		p.expr(x.X, left)
		p.word(x.Op.String())
		if !x.OpSp.IsZero() && !p.flat {
			p.passed(x.OpSp.End)
		}
		p.breakIf(x.X.Span(), x.Y.Span())
		p.expr(x.Y, prec+1)
	})
}

// set prints { … }, on one line if it was and fits, else with the members that
// stood on one line on one line.
func (p *printer) set(s *ast.SetLit) {
	if p.oneLine(s) {
		p.at(s.Sp)
		if len(s.Elems) == 0 {
			p.text("{ }")
			return
		}
		p.text("{")
		for i, e := range s.Elems {
			if i > 0 {
				p.text2(",")
			}
			p.space = true
			p.expr(e, precBitOr)
		}
		p.word("}")
		return
	}
	p.at(source.Span{File: s.Sp.File, Start: s.Sp.Start, End: s.Sp.Start + 1})
	p.text("{")
	extra := p.extra
	// Behind a line that goes on, the members stand deeper than it.
	if p.cur.indent > p.indent {
		extra = p.cur.indent - p.indent
	} else {
		extra = 0
	}
	saved := p.extra
	p.extra = extra + 1
	for i, e := range s.Elems {
		sp := e.Span()
		if !sp.IsZero() {
			p.flush(sp.Start, i > 0)
		}
		switch {
		case i == 0 || p.cur.text == "":
			p.end()
		case p.broken(s.Elems[i-1].Span(), sp), len(p.cur.text)+1+utf8.RuneCountInString(p.measure(e)) > setWidth:
			p.end()
		}
		if i > 0 && p.cur.text == "" && !sp.IsZero() {
			p.gap(sp.Start)
		}
		p.expr(e, precBitOr)
		p.text2(",")
	}
	if !s.Sp.IsZero() {
		p.flush(s.Sp.End-1, len(s.Elems) > 0)
		p.pos = s.Sp.End
	}
	p.end()
	p.extra = extra
	p.text("}")
	p.extra = saved
}

// oneLine tells whether a set is printed on one line.
func (p *printer) oneLine(s *ast.SetLit) bool {
	if p.flat {
		return true
	}
	if p.hasComment(s.Sp) {
		return false
	}
	if len(s.Elems) == 0 {
		return true
	}
	if !s.Sp.IsZero() {
		p.file = s.Sp.File
		if !p.sameLine(s.Sp.Start, s.Sp.End) {
			return false
		}
	}
	width := len(p.cur.text) + 4
	for _, e := range s.Elems {
		width += utf8.RuneCountInString(p.measure(e)) + 2
		if width > setWidth {
			return false
		}
	}
	return true
}

// measure prints an expression on one line without comments.
func (p *printer) measure(x ast.Expr) string {
	q := printer{flat: true}
	q.expr(x, precBitOr)
	return q.cur.text
}

// literal is the text of a name or literal: as written, or from its value if it was not written.
func literal(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.NameExpr:
		return x.Ident.Name
	case *ast.IntLit:
		if t := x.Sp.Text(); t != "" {
			return t
		}
		return strconv.FormatUint(x.Value, 10)
	case *ast.StringLit:
		if t := x.Sp.Text(); t != "" {
			return t
		}
		return strconv.QuoteToASCII(x.Value)
	case *ast.BoolLit:
		return strconv.FormatBool(x.Value)
	case *ast.DurationLit:
		if t := x.Sp.Text(); t != "" {
			return t
		}
		return strconv.FormatUint(x.Value/1e9, 10) + "s"
	case *ast.AddrLit:
		return x.Text
	}
	panic(fmt.Sprintf("format: unknown expression %T", x))
}
