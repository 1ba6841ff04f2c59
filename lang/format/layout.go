package format

import (
	"strings"
	"unicode/utf8"
)

// class tells lines of which a part is put under each other.
type class uint8

const (
	classRule  class = iota + 1 // the first when or unless
	classSet                    // =
	classParam                  // =
	classTest                   // =>
)

// line is a line of the output; the zero line is blank.
type line struct {
	indent  int
	text    string
	class   class
	split   int // byte offset in text of the part to be put under its like, with its space; 0: none
	comment string
	alone   bool // text is a comment
}

// Widths beyond which a line is left as it is, so that one long line does not
// push its neighbours to the right.
const (
	maxHead = 48
	maxText = 100
)

// layout puts parts and comments of neighbouring lines under each other.
func layout(lines []line) string {
	for i := 0; i < len(lines); {
		n := i + 1
		for n < len(lines) && lines[i].class != 0 && lines[n].class == lines[i].class && lines[n].indent == lines[i].indent {
			n++
		}
		align(lines[i:n])
		i = n
	}
	var b strings.Builder
	for i := 0; i < len(lines); {
		n := i + 1
		for n < len(lines) && lines[i].comment != "" && lines[n].comment != "" && lines[n].indent == lines[i].indent {
			n++
		}
		width := 0
		for _, l := range lines[i:n] {
			if w := utf8.RuneCountInString(l.text); w <= maxText {
				width = max(width, w)
			}
		}
		for _, l := range lines[i:n] {
			if l.text != "" {
				b.WriteString(strings.Repeat(" ", l.indent*indentWidth))
				b.WriteString(l.text)
			}
			if l.comment != "" {
				b.WriteString(strings.Repeat(" ", max(width-utf8.RuneCountInString(l.text), 0)+2))
				b.WriteString(l.comment)
			}
			b.WriteByte('\n')
		}
		i = n
	}
	return b.String()
}

// align pads the heads of a run of lines to the width of the widest.
func align(run []line) {
	width := 0
	for _, l := range run {
		if w := utf8.RuneCountInString(l.text[:l.split]); l.split > 0 && w <= maxHead {
			width = max(width, w)
		}
	}
	for i := range run {
		l := &run[i]
		if w := utf8.RuneCountInString(l.text[:l.split]); l.split > 0 && w < width {
			l.text = l.text[:l.split] + strings.Repeat(" ", width-w) + l.text[l.split:]
		}
	}
}
