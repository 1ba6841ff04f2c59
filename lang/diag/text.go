package diag

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/source"
)

// TextOptions says how Text writes.
type TextOptions struct {
	// Color marks severities and carets with ANSI escapes.
	Color bool
}

// Text writes diagnostics for people and for editors that know the format of
// compilers:
//
//	file:line:col: error[SNP0123]: message
//	    the source line
//	        ^~~~
//	file:line:col: note: message
//	    …
//	help: what to do
//
// Characters that a terminal would obey or hide are shown as <U+202E>, in the
// source as in messages; of a long line the part around the span is shown. The
// error is that of the writer.
func Text(w io.Writer, l List, opt TextOptions) error {
	t := &textWriter{color: opt.Color}
	for _, d := range l {
		t.heading(d.Span, d.Severity.String()+"["+string(d.Code)+"]", severityColor[d.Severity], d.Message)
		t.excerpt(d.Span)
		for _, r := range d.Related {
			t.heading(r.Span, "note", severityColor[Note], r.Message)
			t.excerpt(r.Span)
		}
		if d.Help != "" {
			fmt.Fprintf(&t.out, "help: %s\n", visible(d.Help))
		}
	}
	_, err := io.WriteString(w, t.out.String())
	return err
}

var severityColor = [...]string{Error: "31", Warning: "35", Note: "36"}

type textWriter struct {
	out   strings.Builder
	color bool
}

func (t *textWriter) paint(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[1;" + code + "m" + s + "\x1b[0m"
}

func (t *textWriter) heading(sp source.Span, label, color, message string) {
	if !sp.IsZero() {
		fmt.Fprintf(&t.out, "%s: ", visible(sp.String()))
	}
	fmt.Fprintf(&t.out, "%s: %s\n", t.paint(color, label), visible(message))
}

// shownColumns is how many bytes of a source line are shown at most, and
// before how many of them are in front of the span.
const (
	shownColumns = 160
	shownBefore  = 80
)

// excerpt writes the first line of a span and marks the span under it.
func (t *textWriter) excerpt(sp source.Span) {
	if sp.IsZero() {
		return
	}
	number, col := sp.File.LineCol(sp.Start)
	line := sp.File.Line(number)
	from := min(col-1, len(line))
	to := min(from+max(sp.End-sp.Start, 0), len(line))

	start, end := 0, len(line)
	if len(line) > shownColumns {
		start = runeStart(line, max(0, min(from-shownBefore, len(line)-shownColumns)))
		end = runeStart(line, min(len(line), start+shownColumns))
	}
	var text, marks strings.Builder
	if start > 0 {
		text.WriteString("…")
		marks.WriteString(" ")
	}
	marked := false
	for i := start; i < end; {
		r, n := utf8.DecodeRuneInString(line[i:])
		cell := string(r)
		if r == utf8.RuneError && n == 1 {
			cell = fmt.Sprintf("<%02X>", line[i])
		} else if r != '\t' && hidden(r) {
			cell = fmt.Sprintf("<U+%04X>", r)
		}
		text.WriteString(cell)
		inside := i+n > from && i < to || from == to && i == from
		switch {
		case inside && !marked:
			marks.WriteString("^" + strings.Repeat("~", utf8.RuneCountInString(cell)-1))
			marked = true
		case inside:
			marks.WriteString(strings.Repeat("~", utf8.RuneCountInString(cell)))
		case marked:
		case r == '\t':
			marks.WriteByte('\t')
		default:
			marks.WriteString(strings.Repeat(" ", utf8.RuneCountInString(cell)))
		}
		i += n
	}
	if end < len(line) {
		text.WriteString("…")
	}
	mark := marks.String()
	if !marked { // behind the last character
		mark += "^"
	}
	blank := len(mark) - len(strings.TrimLeft(mark, " \t"))
	fmt.Fprintf(&t.out, "    %s\n    %s%s\n", text.String(), mark[:blank], t.paint("32", mark[blank:]))
}

// runeStart goes back to the beginning of the rune at a byte offset.
func runeStart(s string, i int) int {
	for i > 0 && i < len(s) && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// hidden tells characters that a terminal obeys or that a reader cannot see.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// visible replaces hidden characters and invalid bytes.
func visible(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || hidden(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, n := 0, 0; i < len(s); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "<%02X>", s[i])
		case hidden(r):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
