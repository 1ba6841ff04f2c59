package parser

import (
	"errors"
	"io"

	"github.com/alecthomas/participle/v2/lexer"

	"github.com/snappy-policy/snappy/lang/ast"
)

// Token types that the statement grammars see.
const (
	symName      lexer.TokenType = iota + 1 // plain name
	symOperation                            // dotted name or wildcard
	symKeyword                              // reserved word
	symConstant
	symString
	symInteger
	symDuration
	symCondition // a whole condition, value or set, already parsed
	symPunct
	symBad // refused by the lexer, already reported
)

// symbols implements lexer.Definition for the statement grammars.
type symbols struct{}

func (symbols) Symbols() map[string]lexer.TokenType {
	return map[string]lexer.TokenType{"EOF": lexer.EOF, "Name": symName, "Operation": symOperation, "Keyword": symKeyword,
		"Constant": symConstant, "String": symString, "Integer": symInteger, "Duration": symDuration,
		"Condition": symCondition, "Punct": symPunct, "Bad": symBad}
}

// Lex is not used: a grammar reads one statement, which the parser has cut out.
func (symbols) Lex(string, io.Reader) (lexer.Lexer, error) {
	return nil, errors.New("the statement grammars read headers, not files")
}

// header is a statement without its block: the tokens that its grammar reads.
// It implements lexer.Lexer. In a token, Pos.Offset is the byte offset in the
// file; in a symCondition, Pos.Column is the index into parser.exprs.
type header struct {
	tokens []lexer.Token
	end    int
	next   int
}

// Next gives the tokens one after the other, then EOF for ever.
func (h *header) Next() (lexer.Token, error) {
	if h.next >= len(h.tokens) {
		return lexer.Token{Type: lexer.EOF, Pos: lexer.Position{Offset: h.end}}, nil
	}
	h.next++
	return h.tokens[h.next-1], nil
}

// maxHeader is how many tokens a statement may have outside conditions and sets.
const maxHeader = 4096

// assigns says what stands behind `=` in a statement.
type assigns uint8

const (
	assignsValue assigns = iota + 1 // one expression
	assignsSet                      // KIND { … }
	assignsList                     // values joined with commas
	assignsWord                     // nothing that is folded
)

// header reads the next statement up to its end or its block, and folds each
// condition, value and set into one token.
func (p *parser) header(g *grammar) *header {
	h := &p.head
	*h = header{tokens: h.tokens[:0]}
	p.exprs = p.exprs[:0]
	p.open, p.bad, p.first = 0, false, p.i
	for {
		t := p.peek()
		switch t.kind {
		case tokNewline, tokEOF, tokRBrace:
			p.endHeader(h)
			return h
		case tokLBrace:
			if g.block != blockNone {
				p.endHeader(h)
				return h
			}
			if g.assigns == assignsSet {
				p.fold(h, func() ast.Expr { return p.finish(p.setLit()) }, g)
				continue
			}
		}
		if len(h.tokens) >= maxHeader {
			p.errs.headerTooLong(int(t.start), int(t.end))
			h.tokens = append(h.tokens, lexer.Token{Type: symBad, Pos: lexer.Position{Offset: int(t.start)}})
			p.endHeader(h)
			p.skipStatement()
			return h
		}
		p.i++
		h.tokens = append(h.tokens, p.symbol(t))
		switch t.kind {
		case tokName:
			if w := p.textOf(t); g.conditions && (w == "when" || w == "unless") {
				p.fold(h, p.expression, g)
			}
		case tokLParen:
			p.open++
		case tokRParen:
			p.open = max(p.open-1, 0)
		case tokLBrace:
			p.skipBraces()
		case tokAssign:
			switch g.assigns {
			case assignsValue:
				p.fold(h, p.expression, g)
			case assignsList:
				p.foldList(h, g)
			}
		}
	}
}

// endHeader notes where a header ends: right behind its last token.
func (p *parser) endHeader(h *header) {
	h.end = p.endOf(h.tokens[len(h.tokens)-1])
	p.open = 0
}

// skipBraces goes behind the brace that closes one that a statement does not
// have; the grammar refuses the opening one.
func (p *parser) skipBraces() {
	for depth := 1; depth > 0; p.i++ {
		switch t := p.toks[p.i]; {
		case t.kind == tokEOF || t.bol && t.kind == tokName && p.startsStatement(p.i):
			return
		case t.kind == tokLBrace:
			depth++
		case t.kind == tokRBrace:
			depth--
		}
	}
}

// fold parses an expression and puts one token for it into the header. Behind a
// broken expression it looks for the next clause.
func (p *parser) fold(h *header, parse func() ast.Expr, g *grammar) {
	start := int(p.peek().start)
	nesting := p.nesting
	p.bad = false
	e := parse()
	if p.bad {
		p.skipClause(g)
		e = &ast.BadExpr{Sp: p.span(start, max(start, int(p.prevEnd(token{start: int32(start), end: int32(start)}))))}
	}
	p.bad, p.open, p.nesting = false, 0, nesting
	p.exprs = append(p.exprs, e)
	h.tokens = append(h.tokens, lexer.Token{Type: symCondition, Pos: lexer.Position{Offset: start, Column: len(p.exprs) - 1}})
}

// foldList folds the values of a test argument.
func (p *parser) foldList(h *header, g *grammar) {
	value := func() ast.Expr {
		x, _ := p.binary(precMul+1, false)
		return p.finish(x)
	}
	p.fold(h, value, g)
	for t := p.peek(); t.kind == tokComma && len(h.tokens) < maxHeader; t = p.peek() {
		p.i++
		h.tokens = append(h.tokens, p.symbol(t))
		p.fold(h, value, g)
	}
}

// skipClause goes to the next clause of a statement, or its end.
func (p *parser) skipClause(g *grammar) {
	for depth := p.open; ; p.i++ {
		t := p.toks[p.i]
		switch {
		case t.kind == tokEOF || t.bol && t.kind == tokName && p.startsStatement(p.i):
			return
		case t.kind == tokNewline && depth == 0:
			return
		case t.kind == tokName && depth <= 1:
			switch p.textOf(t) {
			case "unless", "errno", "because":
				return
			}
		case t.kind == tokYields:
			return
		case t.kind == tokLBrace && depth == 0 && g.block != blockNone && p.toks[p.i+1].bol:
			return
		case t.kind == tokLBrace || t.kind == tokLParen:
			depth++
		case t.kind == tokRBrace && depth == 0:
			return
		case t.kind == tokRBrace || t.kind == tokRParen:
			depth = max(depth-1, 0)
		}
	}
}

// symbol is a token as the grammars see it.
func (p *parser) symbol(t token) lexer.Token {
	s := lexer.Token{Value: p.textOf(t), Pos: lexer.Position{Offset: int(t.start)}}
	switch t.kind {
	case tokName:
		s.Type = symName
		if reserved[s.Value] {
			s.Type = symKeyword
		} else if isDotted(s.Value) {
			s.Type = symOperation
		}
	case tokConst:
		s.Type = symConstant
	case tokString:
		s.Type = symString
	case tokInt:
		s.Type = symInteger
	case tokDuration:
		s.Type = symDuration
	case tokBad:
		s.Type = symBad
	default:
		s.Type = symPunct
	}
	return s
}

func isDotted(w string) bool {
	for i := 0; i < len(w); i++ {
		if w[i] == '.' {
			return true
		}
	}
	return false
}

// endOf is the byte offset behind a header token.
func (p *parser) endOf(t lexer.Token) int {
	if t.Type == symCondition {
		return p.exprs[t.Pos.Column].Span().End
	}
	return t.Pos.Offset + len(t.Value)
}
