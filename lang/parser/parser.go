// Package parser makes the syntax tree of a policy file.
//
// Input is a source.File, output the ast.File and all errors of the file: a
// statement that cannot be read becomes a BadStmt, an expression a BadExpr, and
// parsing goes on with the next statement. A file with errors must not be used
// for anything but reporting.
//
// Three parts share the work:
//
//   - The lexer (lexer.go, address.go) is written by hand: names with dots and
//     hyphens, bare addresses, and the rule that a newline ends a statement
//     unless the line goes on are outside what a table of regular expressions
//     says well, and it must refuse what a reader cannot see.
//   - Statements are participle grammars (grammar.go), one for each keyword. The
//     grammars are private; build.go turns what they capture into the tree.
//   - Conditions, values and sets (expr.go) are parsed by precedence climbing. A
//     grammar sees each of them as a single token: participle's recursion cannot
//     be bounded, it stops at the first error, and it would hold every member of
//     a set of 100,000 as a 64-byte token.
//
// The parser uses memory linear in the size of the file and no more stack than
// MaxNesting allows, whatever the input.
package parser

import (
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// Parse reads a file. It always returns a tree; if the list has errors the tree
// may hold Bad nodes. At most MaxErrors errors are reported, in source order,
// followed by a note when there were more. A file above source.MaxSize is not
// looked at.
func Parse(f *source.File) (*ast.File, diag.List) {
	errs := &reporter{file: f}
	tree := &ast.File{Source: f}
	if len(f.Text) > source.MaxSize {
		errs.tooLarge()
		return tree, errs.sorted()
	}
	p := &parser{file: f, text: f.Text, errs: errs}
	p.toks, tree.Comments = scan(f, errs)
	tree.Stmts = p.statements(nil)
	p.checkPolicyFirst(tree)
	return tree, errs.sorted()
}

// parser holds the state of one Parse.
type parser struct {
	file *source.File
	text string
	toks []token
	i    int // next token
	// first is the token at which the current statement begins.
	first int
	errs  *reporter

	bad     bool  // the expression being read is broken, and that was reported
	nesting int   // of expressions and blocks
	open    int   // brackets open; newlines inside them mean nothing
	opener  token // innermost open bracket

	head  header     // of the current statement
	exprs []ast.Expr // its conditions, values and sets
}

func (p *parser) textOf(t token) string { return p.text[t.start:t.end] }
func (p *parser) span(start, end int) source.Span {
	return source.Span{File: p.file, Start: start, End: end}
}
func (p *parser) spanOf(t token) source.Span       { return p.span(int(t.start), int(t.end)) }
func (p *parser) ident(t token) ast.Ident          { return ast.Ident{Sp: p.spanOf(t), Name: p.textOf(t)} }
func (p *parser) isWord(t token, word string) bool { return t.kind == tokName && p.textOf(t) == word }

// peek gives the next token that means something: inside brackets newlines do
// not. The beginning of a statement shows as a newline even there, so that an
// unclosed bracket spoils one statement and not the rest of the file.
func (p *parser) peek() token {
	for p.open > 0 && p.toks[p.i].kind == tokNewline {
		p.i++
	}
	t := p.toks[p.i]
	if t.bol && t.kind == tokName && p.i != p.first && p.startsStatement(p.i) {
		return token{tokNewline, false, t.start, t.start}
	}
	return t
}

// found describes a token for "…, found X".
func (p *parser) found(t token) string {
	switch t.kind {
	case tokEOF:
		return "the end of the file"
	case tokNewline:
		return "the end of the line"
	case tokName:
		if w := p.textOf(t); reserved[w] {
			return "the keyword " + quote(w)
		}
	case tokString:
		return "the string " + quote(p.textOf(t))
	}
	return quote(p.textOf(t))
}

// startsStatement tells whether a statement begins at a keyword that is the
// first word of its line. Most keywords may also be fields, so what follows counts.
func (p *parser) startsStatement(i int) bool {
	next := p.toks[min(i+1, len(p.toks)-1)]
	switch p.textOf(p.toks[i]) {
	case "when":
		return true
	case "import", "test":
		return next.kind == tokString
	case "policy", "param", "set", "default", "allow", "deny", "kill", "audit", "state", "on", "limit", "helper":
		return next.kind == tokName && !next.bol && !reserved[p.textOf(next)]
	}
	return false
}

// statements reads up to the end of the file, or of a block if block is given.
func (p *parser) statements(block *token) []ast.Stmt {
	var out []ast.Stmt
	for !p.errs.full() {
		t := p.toks[p.i]
		switch t.kind {
		case tokNewline:
			p.i++
			continue
		case tokEOF:
			if block != nil {
				p.errs.unclosed(*block, p.textOf(*block))
			}
			return out
		case tokRBrace:
			if block != nil {
				return out
			}
			p.errs.unmatched(int(t.start), int(t.end), p.textOf(t))
			p.i++
			continue
		}
		out = append(out, p.statement(block != nil))
	}
	return out
}

// statement reads one statement and leaves the parser behind it.
func (p *parser) statement(inBlock bool) ast.Stmt {
	first := p.toks[p.i]
	word := p.textOf(first)
	g := grammarFor(word)
	if first.kind != tokName || g == nil {
		if first.kind != tokBad {
			p.errs.notStatement(int(first.start), int(first.end), p.found(first), word, first.kind == tokName)
		}
		p.skipStatement()
		return &ast.BadStmt{Sp: p.span(int(first.start), int(p.prevEnd(first)))}
	}
	if inBlock && !g.inBlock {
		p.errs.notInBlock(int(first.start), int(first.end), word)
	}
	if word == "on" && p.isWord(p.toks[p.i+1], "unresolved") {
		g = unresolvedGrammar
	}
	h := p.header(g)
	s, ok := g.parse(p, h)
	if !ok {
		s = &ast.BadStmt{Sp: p.span(int(first.start), h.end)}
	}
	switch g.block {
	case blockRules:
		return p.whenBlock(s, first)
	case blockTest:
		return p.testBlock(s, first)
	}
	p.endStatement()
	return s
}

// prevEnd is the end of the token before the next one, at least that of t.
func (p *parser) prevEnd(t token) int32 {
	for i := p.i - 1; i >= 0 && p.toks[i].start >= t.start; i-- {
		if p.toks[i].kind != tokNewline {
			return p.toks[i].end
		}
	}
	return t.end
}

// endStatement makes sure that the statement is over.
func (p *parser) endStatement() {
	switch t := p.peek(); t.kind {
	case tokNewline, tokEOF, tokRBrace:
	default:
		p.skipStatement()
	}
}

// skipStatement goes to the end of a broken statement: a newline outside
// brackets, the brace that closes the block around it, or the next statement.
func (p *parser) skipStatement() {
	for depth, first := 0, true; ; first = false {
		t := p.toks[p.i]
		if !first && t.bol && t.kind == tokName && p.startsStatement(p.i) {
			return
		}
		switch t.kind {
		case tokEOF:
			return
		case tokNewline:
			if depth == 0 {
				return
			}
		case tokLBrace, tokLParen:
			depth++
		case tokRParen:
			depth = max(depth-1, 0)
		case tokRBrace:
			if depth == 0 && !first {
				return
			}
			depth = max(depth-1, 0)
		}
		p.i++
	}
}

// whenBlock reads the body of `when C { … }`.
func (p *parser) whenBlock(s ast.Stmt, first token) ast.Stmt {
	w, ok := s.(*ast.WhenBlock)
	fine := ok
	if ok {
		_, bad := w.Cond.(*ast.BadExpr)
		fine = !bad
	}
	open, opened := p.openBlock(fine)
	if !opened {
		return &ast.BadStmt{Sp: s.Span()}
	}
	if !ok {
		w = &ast.WhenBlock{Cond: p.badExpr()}
	}
	p.nesting++
	if p.nesting > MaxNesting {
		p.errs.tooDeep(int(first.start), int(first.end))
		p.skipBlock()
	} else {
		w.Body = p.statements(&open)
	}
	p.nesting--
	w.Sp = p.span(int(first.start), p.closeBlock(first))
	return w
}

// testBlock reads the body of `test "…" { … }`.
func (p *parser) testBlock(s ast.Stmt, first token) ast.Stmt {
	t, ok := s.(*ast.TestStmt)
	open, opened := p.openBlock(ok)
	if !opened {
		return &ast.BadStmt{Sp: s.Span()}
	}
	var steps []ast.TestStep
	for !p.errs.full() {
		switch k := p.toks[p.i]; {
		case k.kind == tokNewline:
			p.i++
			continue
		case k.kind == tokRBrace:
		case k.kind == tokEOF || k.bol && k.kind == tokName && p.startsStatement(p.i):
			p.errs.unclosed(open, "{")
		default:
			if step := p.step(); step != nil {
				steps = append(steps, step)
			}
			continue
		}
		break
	}
	end := p.closeBlock(first)
	if !ok {
		return &ast.BadStmt{Sp: p.span(int(first.start), end)}
	}
	t.Steps = steps
	t.Sp = p.span(int(first.start), end)
	return t
}

// step reads one line of a test; nil after an error.
func (p *parser) step() ast.TestStep {
	first := p.toks[p.i]
	if first.kind != tokName {
		if first.kind != tokBad {
			p.errs.notStep(int(first.start), int(first.end), p.found(first))
		}
		p.skipStatement()
		return nil
	}
	g := stepGrammarFor(p.textOf(first))
	h := p.header(g)
	s, ok := g.parseStep(p, h)
	p.endStatement()
	if !ok {
		return nil
	}
	return s
}

// openBlock takes the brace that opens a block. report tells that a missing one
// is the first error of the statement.
func (p *parser) openBlock(report bool) (token, bool) {
	t := p.peek()
	if t.kind != tokLBrace {
		if last := p.lastToken(); report {
			p.errs.expectedBlock(int(last.end), int(last.end), p.found(t))
		}
		p.endStatement()
		return t, false
	}
	p.i++
	return t, true
}

// closeBlock takes the brace at the end of a block, if it is there, and gives the block's end.
func (p *parser) closeBlock(first token) int {
	if p.toks[p.i].kind == tokRBrace {
		p.i++
		end := int(p.toks[p.i-1].end)
		p.endStatementAfterBlock()
		return end
	}
	return int(p.prevEnd(first))
}

// endStatementAfterBlock reports what stands behind a block on the same line.
func (p *parser) endStatementAfterBlock() {
	switch t := p.toks[p.i]; t.kind {
	case tokNewline, tokEOF, tokRBrace:
	default:
		p.errs.afterBlock(int(t.start), int(t.end), p.found(t))
		p.skipStatement()
	}
}

// skipBlock goes to the brace that closes the current block.
func (p *parser) skipBlock() {
	for depth := 0; p.toks[p.i].kind != tokEOF; p.i++ {
		switch p.toks[p.i].kind {
		case tokLBrace:
			depth++
		case tokRBrace:
			if depth == 0 {
				return
			}
			depth--
		}
	}
}

// checkPolicyFirst holds the policy statement to its place.
func (p *parser) checkPolicyFirst(tree *ast.File) {
	var first *ast.PolicyStmt
	for i, s := range tree.Stmts {
		q, ok := s.(*ast.PolicyStmt)
		switch {
		case !ok:
		case first != nil:
			p.errs.secondPolicy(q.Sp, first.Sp)
		default:
			first = q
			if _, bad := tree.Stmts[0].(*ast.BadStmt); i > 0 && !bad {
				p.errs.policyNotFirst(q.Sp)
			}
		}
	}
}

// suggestStatement gives the keyword that a word may have been meant to be.
func suggestStatement(word string) string {
	return diag.Suggest(strings.ToLower(word), statementWords)
}
