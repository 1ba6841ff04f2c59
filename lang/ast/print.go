package ast

import (
	"fmt"
	"io"
	"strconv"
)

// Fprint writes a tree as indented text, one node a line, without positions:
// equal trees print equally wherever they stand in their files. Golden files and
// `dump --stage ast` use it; it is not meant to be read back.
func Fprint(w io.Writer, f *File) error {
	p := &printer{w: w}
	for _, s := range f.Stmts {
		p.stmt(s)
	}
	for _, c := range f.Comments {
		p.line("comment %s", strconv.Quote(c.Text))
	}
	return p.err
}

// printer writes lines and keeps the first error.
type printer struct {
	w     io.Writer
	depth int
	err   error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%*s%s\n", 2*p.depth, "", fmt.Sprintf(format, args...))
	}
}

// under writes a heading and what f writes below it.
func (p *printer) under(f func(), format string, args ...any) {
	p.line(format, args...)
	p.depth++
	f()
	p.depth--
}

func (p *printer) stmt(s Stmt) {
	switch s := s.(type) {
	case *PolicyStmt:
		p.line("policy %s", s.Name.Name)
	case *ImportStmt:
		p.line("import %q", s.Path.Value)
	case *ParamStmt:
		p.under(func() { p.optional("default", s.Default) }, "param %s: %s", s.Name.Name, s.Type.Name)
	case *SetStmt:
		p.under(func() { p.exprs(s.Set.Elems) }, "set %s = %s", s.Name.Name, s.Kind.Name)
	case *DefaultStmt:
		verb := Allow
		if s.Deny {
			verb = Deny
		}
		p.line("default %s%s", verb, names(s.Ops))
	case *RuleStmt:
		p.under(func() {
			p.ident("as", s.Name)
			p.optional("when", s.When)
			p.optional("unless", s.Unless)
			p.ident("errno", s.Errno)
			p.text("because", s.Because)
		}, "%s%s", s.Verb, names(s.Ops))
	case *StateStmt:
		p.under(func() { p.optional("init", s.Init) }, "state %s: %s per %s", s.Name.Name, s.Type.Name, s.Scope.Name)
	case *OnStmt:
		p.under(func() {
			p.optional("when", s.When)
			if s.Inc {
				p.line("inc %s", s.State.Name)
			} else {
				p.optional("set "+s.State.Name, s.Value)
			}
		}, "on%s", names(s.Ops))
	case *LimitStmt:
		p.under(func() {
			p.ident("scope", s.Scope)
			p.optional("when", s.When)
		}, "limit%s to %d per %dns", names(s.Ops), s.Count.Value, s.Per.Value)
	case *WhenBlock:
		p.under(func() {
			p.optional("cond", s.Cond)
			for _, b := range s.Body {
				p.stmt(b)
			}
		}, "when")
	case *UnresolvedStmt:
		p.line("on unresolved allow%s", names(s.Ops))
	case *HelperStmt:
		optional := ""
		if s.Optional {
			optional = " optional"
		}
		p.under(func() { p.text("kfunc", s.Kfunc) }, "helper %s(%s) -> %s%s", s.Name.Name, trimmed(s.Params), s.Result.Name, optional)
	case *TestStmt:
		p.under(func() {
			for _, t := range s.Steps {
				p.step(t)
			}
		}, "test %q", s.Name.Value)
	case *BadStmt:
		p.line("bad")
	default:
		panic(fmt.Sprintf("ast: unknown statement %T", s))
	}
}

func (p *printer) step(s TestStep) {
	switch s := s.(type) {
	case *EventStep:
		p.under(func() {
			p.args(s.Args)
			if e := s.Expect; e != nil {
				p.under(func() {
					p.ident("by", e.By)
					p.ident("errno", e.Errno)
					for _, a := range e.AuditedBy {
						p.line("audited by %s", a.Name)
					}
				}, "=> %s", e.Verdict)
			}
		}, "event %s", s.Op.Name)
	case *SubjectStep:
		p.under(func() { p.args(s.Args) }, "as")
	case *MoveStep:
		p.line("%s", s.Kind.Name)
	case *WaitStep:
		p.line("wait %dns", s.For.Value)
	case *StackStep:
		p.line("stack %q", s.Path.Value)
	default:
		panic(fmt.Sprintf("ast: unknown test step %T", s))
	}
}

func (p *printer) args(args []TestArg) {
	for _, a := range args {
		p.under(func() { p.exprs(a.Values) }, "%s", a.Field.Name)
	}
}

func (p *printer) exprs(xs []Expr) {
	for _, x := range xs {
		p.expr(x)
	}
}

func (p *printer) expr(x Expr) {
	switch x := x.(type) {
	case *BinaryExpr:
		p.under(func() { p.expr(x.X); p.expr(x.Y) }, "%s", x.Op)
	case *UnaryExpr:
		p.under(func() { p.expr(x.X) }, "unary %s", x.Op)
	case *ParenExpr:
		p.under(func() { p.expr(x.X) }, "paren")
	case *CallExpr:
		p.under(func() { p.exprs(x.Args) }, "call %s", x.Fun.Name)
	case *NameExpr:
		p.line("name %s", x.Ident.Name)
	case *IntLit:
		p.line("int %d", x.Value)
	case *StringLit:
		p.line("string %q", x.Value)
	case *BoolLit:
		p.line("bool %t", x.Value)
	case *DurationLit:
		p.line("duration %dns", x.Value)
	case *AddrLit:
		p.line("addr %s", x.Text)
	case *RangeExpr:
		p.under(func() { p.expr(x.Lo); p.expr(x.Hi) }, "range")
	case *SetLit:
		p.under(func() { p.exprs(x.Elems) }, "set")
	case *BadExpr:
		p.line("bad")
	default:
		panic(fmt.Sprintf("ast: unknown expression %T", x))
	}
}

func (p *printer) optional(label string, x Expr) {
	if x != nil {
		p.under(func() { p.expr(x) }, "%s", label)
	}
}

func (p *printer) ident(label string, id *Ident) {
	if id != nil {
		p.line("%s %s", label, id.Name)
	}
}

func (p *printer) text(label string, s *StringLit) {
	if s != nil {
		p.line("%s %q", label, s.Value)
	}
}

// names gives each name with a space before it.
func names(ids []Ident) string {
	s := ""
	for _, id := range ids {
		s += " " + id.Name
	}
	return s
}

func trimmed(ids []Ident) string {
	if len(ids) == 0 {
		return ""
	}
	return names(ids)[1:]
}
