package parser

import (
	"github.com/alecthomas/participle/v2/lexer"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
)

// The build functions turn what a grammar captured into a node of the tree.

func (p *parser) identOf(t lexer.Token) ast.Ident {
	return ast.Ident{Sp: p.span(t.Pos.Offset, t.Pos.Offset+len(t.Value)), Name: t.Value}
}

func (p *parser) optionalIdent(t *lexer.Token) *ast.Ident {
	if t == nil {
		return nil
	}
	id := p.identOf(*t)
	return &id
}

func (p *parser) words(ws []word) []ast.Ident {
	var out []ast.Ident
	for _, w := range ws {
		out = append(out, p.identOf(w.Tok))
	}
	return out
}

func (p *parser) plains(ws []plain) []ast.Ident {
	var out []ast.Ident
	for _, w := range ws {
		out = append(out, p.identOf(w.Tok))
	}
	return out
}

func (p *parser) exprOf(t *lexer.Token) ast.Expr {
	if t == nil {
		return nil
	}
	return p.exprs[t.Pos.Column]
}

func (p *parser) stringOf(t *lexer.Token) *ast.StringLit {
	if t == nil {
		return nil
	}
	return p.stringLit(p.rawToken(*t))
}

func (p *parser) durationOf(t lexer.Token) *ast.DurationLit {
	v, _ := parseDuration(t.Value)
	return &ast.DurationLit{Sp: p.spanOf(p.rawToken(t)), Value: v}
}

// rawToken gives back the place of a header token that is no condition.
func (p *parser) rawToken(t lexer.Token) token {
	return token{start: int32(t.Pos.Offset), end: int32(t.Pos.Offset + len(t.Value))}
}

// whole is the span of a header.
func (p *parser) whole(h *header) source.Span {
	return p.span(h.tokens[0].Pos.Offset, p.endOf(h.tokens[len(h.tokens)-1]))
}

func buildPolicy(p *parser, h *header, c *policyGrammar) ast.Stmt {
	return &ast.PolicyStmt{Sp: p.whole(h), Name: p.identOf(c.Name)}
}

func buildImport(p *parser, h *header, c *importGrammar) ast.Stmt {
	return &ast.ImportStmt{Sp: p.whole(h), Path: p.stringOf(&c.Path)}
}

func buildParam(p *parser, h *header, c *paramGrammar) ast.Stmt {
	return &ast.ParamStmt{Sp: p.whole(h), Name: p.identOf(c.Name), Type: p.identOf(c.Type), Default: p.exprOf(c.Default)}
}

func buildSet(p *parser, h *header, c *setGrammar) ast.Stmt {
	set, ok := p.exprOf(&c.Set).(*ast.SetLit)
	if !ok {
		return &ast.BadStmt{Sp: p.whole(h)}
	}
	return &ast.SetStmt{Sp: p.whole(h), Name: p.identOf(c.Name), Kind: p.identOf(c.Kind), Set: set}
}

func buildDefault(p *parser, h *header, c *defaultGrammar) ast.Stmt {
	return &ast.DefaultStmt{Sp: p.whole(h), Deny: c.Verb.Value == "deny", Ops: p.words(c.Ops)}
}

var verbs = map[string]ast.Verb{"allow": ast.Allow, "deny": ast.Deny, "kill": ast.Kill, "audit": ast.Audit}

func buildRule(p *parser, h *header, c *ruleGrammar) ast.Stmt {
	return &ast.RuleStmt{Sp: p.whole(h), Verb: verbs[c.Verb.Value], VerbSp: p.identOf(c.Verb).Sp, Ops: p.words(c.Ops),
		Name: p.optionalIdent(c.Name), When: p.exprOf(c.When), Unless: p.exprOf(c.Unless),
		Errno: p.optionalIdent(c.Errno), Because: p.stringOf(c.Because)}
}

func buildState(p *parser, h *header, c *stateGrammar) ast.Stmt {
	return &ast.StateStmt{Sp: p.whole(h), Name: p.identOf(c.Name), Type: p.identOf(c.Type), Scope: p.identOf(c.Scope), Init: p.exprOf(c.Init)}
}

func buildOn(p *parser, h *header, c *onGrammar) ast.Stmt {
	s := &ast.OnStmt{Sp: p.whole(h), Ops: p.words(c.Ops), When: p.exprOf(c.When), Inc: c.Inc != nil, Value: p.exprOf(c.Value)}
	if s.Inc {
		s.State = p.identOf(*c.Inc)
	} else {
		s.State = p.identOf(*c.Set)
	}
	return s
}

func buildUnresolved(p *parser, h *header, c *unresolvedStmtGrammar) ast.Stmt {
	return &ast.UnresolvedStmt{Sp: p.whole(h), Ops: p.words(c.Ops)}
}

func buildLimit(p *parser, h *header, c *limitGrammar) ast.Stmt {
	n, _ := parseInt(c.Count.Value)
	return &ast.LimitStmt{Sp: p.whole(h), Ops: p.words(c.Ops), Count: &ast.IntLit{Sp: p.identOf(c.Count).Sp, Value: n},
		Per: p.durationOf(c.Per), Scope: p.optionalIdent(c.Scope), When: p.exprOf(c.When)}
}

func buildWhen(p *parser, h *header, c *whenGrammar) ast.Stmt {
	return &ast.WhenBlock{Sp: p.whole(h), Cond: p.exprOf(&c.Cond)}
}

func buildHelper(p *parser, h *header, c *helperGrammar) ast.Stmt {
	return &ast.HelperStmt{Sp: p.whole(h), Name: p.identOf(c.Name), Params: p.plains(c.Params), Result: p.identOf(c.Result),
		Kfunc: p.stringOf(c.Kfunc), Optional: c.Optional != nil}
}

func buildTest(p *parser, h *header, c *testGrammar) ast.Stmt {
	return &ast.TestStmt{Sp: p.whole(h), Name: p.stringOf(&c.Name)}
}

func (p *parser) args(as []argGrammar) []ast.TestArg {
	var out []ast.TestArg
	for _, a := range as {
		arg := ast.TestArg{Field: p.identOf(a.Field)}
		for _, v := range a.Values {
			arg.Values = append(arg.Values, p.exprOf(&v.Tok))
		}
		arg.Sp = arg.Field.Sp.To(arg.Values[len(arg.Values)-1].Span())
		out = append(out, arg)
	}
	return out
}

func buildEvent(p *parser, h *header, c *eventGrammar) ast.TestStep {
	s := &ast.EventStep{Sp: p.whole(h), Op: p.identOf(c.Op), Args: p.args(c.Args)}
	if e := c.Expect; e != nil {
		s.Expect = &ast.Expect{Sp: p.span(e.Arrow.Pos.Offset, s.Sp.End), Verdict: verbs[e.Verdict.Value], VerdictSp: p.identOf(e.Verdict).Sp,
			By: p.optionalIdent(e.By), Errno: p.optionalIdent(e.Errno), AuditedBy: p.plains(e.Audited)}
	}
	return s
}

func buildSubject(p *parser, h *header, c *subjectGrammar) ast.TestStep {
	return &ast.SubjectStep{Sp: p.whole(h), Args: p.args(c.Args)}
}

func buildMove(p *parser, h *header, c *moveGrammar) ast.TestStep {
	return &ast.MoveStep{Sp: p.whole(h), Kind: p.identOf(c.Kind)}
}

func buildWait(p *parser, h *header, c *waitGrammar) ast.TestStep {
	return &ast.WaitStep{Sp: p.whole(h), For: p.durationOf(c.For)}
}

func buildStack(p *parser, h *header, c *stackGrammar) ast.TestStep {
	return &ast.StackStep{Sp: p.whole(h), Path: p.stringOf(&c.Path)}
}
