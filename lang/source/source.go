// Package source holds policy source files, positions in them and spans.
//
// A position is a file and a byte offset; line and column are derived, both
// counted from 1, the column in bytes. Every AST node, checked rule, IR value
// and emitted instruction carries a Span, so that a verifier's complaint about
// an instruction can be reported at the line of the policy that caused it.
package source

import (
	"fmt"
	"sort"
	"strings"
)

// MaxSize is the largest source text of one file, in bytes (docs/language.md, limits).
const MaxSize = 1 << 20

// File is one source file. It is immutable after New and safe for concurrent use.
type File struct {
	// Name is what diagnostics and events print, as the user gave it.
	Name string
	// Text is the whole source.
	Text string

	lines []int // byte offset at which each line starts
}

// New makes a File and indexes its lines.
func New(name, text string) *File {
	f := &File{Name: name, Text: text, lines: []int{0}}
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' {
			f.lines = append(f.lines, i+1)
		}
	}
	return f
}

// LineCol gives the line and the byte column, both from 1, of a byte offset.
// Offsets outside the text are clamped to its ends.
func (f *File) LineCol(offset int) (line, col int) {
	offset = max(0, min(offset, len(f.Text)))
	i := sort.Search(len(f.lines), func(i int) bool { return f.lines[i] > offset }) - 1
	return i + 1, offset - f.lines[i] + 1
}

// Line gives the text of a line (from 1) without its newline; "" if there is no such line.
func (f *File) Line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	s := f.Text[f.lines[n-1]:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, "\r")
}

// Span is a half-open range of bytes [Start, End) in a file. The zero Span is
// "nowhere": it belongs to things that no source text caused.
type Span struct {
	File       *File
	Start, End int
}

// IsZero reports whether the span is nowhere.
func (s Span) IsZero() bool { return s.File == nil }

// Line is the line, from 1, at which the span starts; 0 for the zero Span.
func (s Span) Line() int {
	if s.File == nil {
		return 0
	}
	l, _ := s.File.LineCol(s.Start)
	return l
}

// Text is the source text of the span.
func (s Span) Text() string {
	if s.File == nil {
		return ""
	}
	return s.File.Text[s.Start:s.End]
}

// String is "name:line:col", or "-" for the zero Span.
func (s Span) String() string {
	if s.File == nil {
		return "-"
	}
	l, c := s.File.LineCol(s.Start)
	return fmt.Sprintf("%s:%d:%d", s.File.Name, l, c)
}

// To spans from the start of s to the end of t, which lies in the same file.
func (s Span) To(t Span) Span { return Span{s.File, s.Start, t.End} }
