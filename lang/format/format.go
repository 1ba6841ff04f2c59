// Package format prints syntax trees in the canonical form of the language.
//
// Input is a tree without Bad nodes, output its text: four spaces of indent a
// block, one space between words, clauses, `=` and `=>` of neighbouring lines
// under each other, comments where they were, at most one blank line in a row.
// What the author broke over lines stays broken at the same operators, commas
// and set members; literals stay as written. Formatting does not change the
// tree, and formatting again does not change the text.
//
// Trees that were built and not parsed (zero spans) print too: literals from
// their values, with parentheses where precedence needs them.
package format

import (
	"errors"
	"fmt"
	"sort"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
)

// ErrBad is returned for a tree that holds Bad nodes, which stand for text that
// the parser could not read and that would be lost.
var ErrBad = errors.New("format: the file has syntax errors")

// Format prints a file. The error is ErrBad or nil.
func Format(f *ast.File) (string, error) {
	bad := false
	ast.Walk(f, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.BadStmt, *ast.BadExpr:
			bad = true
		}
		return !bad
	})
	if bad {
		return "", ErrBad
	}
	p := &printer{comments: f.Comments}
	p.stmts(f.Stmts, len(textOf(f.Source)))
	return layout(p.lines), nil
}

func textOf(f *source.File) string {
	if f == nil {
		return ""
	}
	return f.Text
}

const (
	indentWidth = 4
	// setWidth is how wide a set that was written on one line may become, and how
	// far members that were written on one line of a set are filled.
	setWidth = 100
)

// printer turns a tree into lines. It goes through the tree in source order and
// puts each comment down when it comes to the first thing behind it.
type printer struct {
	lines  []line
	cur    line
	indent int
	extra  int  // added to the indent of a line that goes on
	space  bool // a space is due before the next text
	flat   bool // no comments and no line breaks: to measure

	comments []*ast.Comment
	next     int // first comment not printed
	// pos is the place in the source behind what was printed last; -1 at the
	// beginning of a block, where no blank line goes.
	pos  int
	file *source.File
}

// text appends to the current line.
func (p *printer) text(s string) {
	if p.cur.text == "" {
		p.cur.indent = p.indent + p.extra
	} else if p.space {
		p.cur.text += " "
	}
	p.cur.text += s
	p.space = false
}

// word appends with a space before and after.
func (p *printer) word(s string) {
	p.space = true
	p.text(s)
	p.space = true
}

// split marks where the text of lines of the same class is put under each other.
func (p *printer) split(c class) {
	p.cur.class = c
	p.cur.split = len(p.cur.text)
}

// end finishes the current line.
func (p *printer) end() {
	if p.cur.text != "" {
		p.lines = append(p.lines, p.cur)
	}
	p.cur = line{}
	p.space = false
}

// at notes that the source up to sp was printed, and before that puts down the
// comments in front of it. A zero span stands for nothing in the source.
func (p *printer) at(sp source.Span) {
	if sp.IsZero() || p.flat {
		return
	}
	p.file = sp.File
	p.flush(sp.Start, false)
	p.passed(sp.End)
}

// passed moves on in the source, but not beyond a comment that is still to come:
// it would no longer be known to stand on the line of what is before it.
func (p *printer) passed(end int) {
	if p.next < len(p.comments) && p.comments[p.next].Sp.Start < end {
		return
	}
	p.pos = max(p.pos, end)
}

// flush puts down the comments that begin before a place in the source. Each
// ends its line. blank tells whether blank lines before them are kept.
func (p *printer) flush(upto int, blank bool) {
	for ; p.next < len(p.comments) && p.comments[p.next].Sp.Start < upto; p.next++ {
		c := p.comments[p.next]
		p.file = c.Sp.File
		if p.cur.text != "" && p.sameLine(p.pos, c.Sp.Start) {
			p.cur.comment = c.Text
			p.end()
		} else {
			p.end()
			if blank {
				p.gap(c.Sp.Start)
			}
			p.lines = append(p.lines, line{indent: p.indent + p.extra, text: c.Text, alone: true})
		}
		p.pos = c.Sp.End
	}
}

// trail puts down a comment that stands on the line of what was printed last.
func (p *printer) trail() {
	if p.next < len(p.comments) {
		if c := p.comments[p.next]; p.cur.text != "" && c.Sp.File == p.file && p.pos >= 0 && c.Sp.Start >= p.pos && p.sameLine(p.pos, c.Sp.Start) {
			p.cur.comment = c.Text
			p.pos = c.Sp.End
			p.next++
		}
	}
	p.end()
}

// gap puts a blank line where the source has one or several before start.
func (p *printer) gap(start int) {
	if p.pos >= 0 && p.lineOf(start)-p.lineOf(p.pos) > 1 && len(p.lines) > 0 {
		p.lines = append(p.lines, line{})
	}
}

func (p *printer) lineOf(offset int) int {
	n, _ := p.file.LineCol(offset)
	return n
}

func (p *printer) sameLine(a, b int) bool { return a >= 0 && p.lineOf(a) == p.lineOf(b) }

// broken tells whether the source has a newline between two things.
func (p *printer) broken(a, b source.Span) bool {
	if p.flat || a.IsZero() || b.IsZero() {
		return false
	}
	p.file = a.File
	return !p.sameLine(a.End, b.Start)
}

// hasComment tells whether a comment begins inside a span.
func (p *printer) hasComment(sp source.Span) bool {
	if sp.IsZero() || p.flat {
		return false
	}
	i := sort.Search(len(p.comments), func(i int) bool { return p.comments[i].Sp.Start >= sp.Start })
	return i < len(p.comments) && p.comments[i].Sp.Start < sp.End
}

// stmts prints statements and the comments between and behind them, up to the
// place where their block or file ends.
func (p *printer) stmts(list []ast.Stmt, end int) {
	p.pos = -1
	for i, s := range list {
		sp := s.Span()
		switch {
		case !sp.IsZero():
			p.file = sp.File
			p.flush(sp.Start, true)
			p.gap(sp.Start)
		case i > 0 && fmt.Sprintf("%T", s) != fmt.Sprintf("%T", list[i-1]):
			p.lines = append(p.lines, line{})
		}
		first := len(p.lines)
		p.stmt(s)
		if !sp.IsZero() {
			p.passed(sp.End)
		}
		p.trail()
		switch s.(type) {
		case *ast.WhenBlock, *ast.TestStmt: // their lines are statements and steps
		default:
			p.unalign(first)
		}
	}
	p.flush(end, true)
}

// unalign leaves a statement as it is that takes several lines.
func (p *printer) unalign(first int) {
	if len(p.lines) > first+1 {
		for i := range p.lines[first:] {
			p.lines[first+i].class = 0
		}
	}
}

// block prints the body of a block behind its header.
func (p *printer) block(sp source.Span, body func(end int)) {
	p.word("{")
	if p.file != nil && !sp.IsZero() && !p.blockOpened(sp) {
		p.pos = -1
	}
	p.trail()
	p.indent++
	body(max(sp.End-1, 0))
	p.indent--
	p.pos = sp.End - 1
	p.text("}")
}

// blockOpened moves the position to behind the opening brace of a block, so that
// a comment on its line stays there. The tree does not hold the brace's place,
// but only spaces stand between what was printed last and the brace.
func (p *printer) blockOpened(sp source.Span) bool {
	text := p.file.Text
	for i := max(p.pos, sp.Start); i < sp.End; i++ {
		if text[i] == '{' {
			p.pos = i + 1
			return true
		}
	}
	return false
}
