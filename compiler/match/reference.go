package match

import (
	"bytes"
	"strings"
)

// GlobMatch reports whether the glob matches the path. It works directly on
// the text of the pattern and shares nothing with [Compile] but the syntax
// check, so that each can be tested against the other. A malformed pattern
// matches nothing. Time is at most proportional to len(pattern)*len(path).
func GlobMatch(pattern, path string) bool {
	if ParseGlob(pattern) != nil {
		return false
	}
	path, _, _ = strings.Cut(path, "\x00")
	return newTextMatcher(pattern).match(path)
}

// MatchAtoms returns the indexes of the atoms that hold for the path,
// ascending. It is the definition that [Automaton.Match] is tested against.
// Malformed patterns match nothing.
func MatchAtoms(atoms []Atom, path []byte) []int {
	path, _, _ = bytes.Cut(path, []byte{0})
	var out []int
	held := map[int]bool{} // groups
	for i, a := range atoms {
		if held[a.Group] {
			continue
		}
		for _, p := range a.Patterns {
			if p.matches(string(path)) {
				out = append(out, i)
				held[a.Group] = a.Group != 0
				break
			}
		}
	}
	return out
}

func (p Pattern) matches(path string) bool {
	switch p.Kind {
	case Glob:
		return GlobMatch(p.Text, path)
	case Literal:
		return p.Text == path
	case Under:
		if p.Text == "" {
			return false
		}
		dir := strings.TrimRight(p.Text, "/")
		return dir != "" && path == dir || strings.HasPrefix(path, dir+"/")
	}
	return false
}

// A textMatcher simulates a glob as a nondeterministic automaton whose states
// are offsets into the pattern's text: "what remains to be matched is
// text[offset:]", where a ',' or '}' that ends an alternative means "go on
// after the braces". Offset len(text) accepts.
type textMatcher struct {
	text string
	// after[i] is, for a ',' or '}' that ends an alternative at i, the offset
	// behind the closing brace; 0 elsewhere.
	after []int
	// starts[i] lists, for a '{' at i, the offsets where alternatives start.
	starts map[int][]int
}

func newTextMatcher(text string) *textMatcher {
	m := &textMatcher{text, make([]int, len(text)), map[int][]int{}}
	var open []int
	ends := map[int][]int{}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			i = m.classEnd(i) - 1
		case '{':
			open = append(open, i)
			m.starts[i] = append(m.starts[i], i+1)
		case ',':
			if len(open) > 0 {
				o := open[len(open)-1]
				ends[o] = append(ends[o], i)
				m.starts[o] = append(m.starts[o], i+1)
			}
		case '}':
			o := open[len(open)-1]
			open = open[:len(open)-1]
			for _, e := range append(ends[o], i) {
				m.after[e] = i + 1
			}
		}
	}
	return m
}

// classEnd returns the offset behind the bracket expression at i.
func (m *textMatcher) classEnd(i int) int {
	for i++; m.text[i] != ']'; i++ {
		if m.text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// inClass reports whether the bracket expression at i holds b.
func (m *textMatcher) inClass(i int, b byte) bool {
	end := m.classEnd(i) - 1
	i++
	negated := m.text[i] == '^'
	if negated {
		i++
	}
	found := false
	literal := func() byte {
		if m.text[i] == '\\' {
			i++
		}
		i++
		return m.text[i-1]
	}
	for i < end {
		lo := literal()
		hi := lo
		if m.text[i] == '-' && i+1 < end {
			i++
			hi = literal()
		}
		found = found || lo <= b && b <= hi
	}
	return found != negated && b != '/'
}

func (m *textMatcher) match(path string) bool {
	now, next := newOffsets(len(m.text)+1), newOffsets(len(m.text)+1)
	m.reach(now, 0)
	for i := 0; i < len(path) && len(now.list) > 0; i++ {
		next.clear()
		for _, o := range now.list {
			if o < len(m.text) {
				m.consume(next, o, path[i])
			}
		}
		now, next = next, now
	}
	return now.has[len(m.text)]
}

// consume adds to next where offset o leads when byte b is read.
func (m *textMatcher) consume(next *offsets, o int, b byte) {
	switch c := m.text[o]; {
	case c == '*':
		if b != '/' || strings.HasPrefix(m.text[o:], "**") {
			m.reach(next, o)
		}
	case c == '?':
		if b != '/' {
			m.reach(next, o+1)
		}
	case c == '[':
		if m.inClass(o, b) {
			m.reach(next, m.classEnd(o))
		}
	case c == '\\':
		if b == m.text[o+1] {
			m.reach(next, o+2)
		}
	case c == '{' || m.after[o] != 0:
		// reach has gone on from here already
	case c == b:
		m.reach(next, o+1)
	}
}

// reach adds o and every offset that it leads to without reading.
func (m *textMatcher) reach(s *offsets, o int) {
	for pending := []int{o}; len(pending) > 0; {
		o, pending = pending[len(pending)-1], pending[:len(pending)-1]
		if s.has[o] {
			continue
		}
		s.has[o] = true
		s.list = append(s.list, o)
		switch {
		case o == len(m.text):
		case m.after[o] != 0:
			pending = append(pending, m.after[o])
		case strings.HasPrefix(m.text[o:], "**"):
			pending = append(pending, o+2)
		case m.text[o] == '*':
			pending = append(pending, o+1)
		case m.text[o] == '{':
			pending = append(pending, m.starts[o]...)
		}
	}
}

// offsets is a set of offsets that is cheap to clear.
type offsets struct {
	list []int
	has  []bool
}

func newOffsets(n int) *offsets { return &offsets{has: make([]bool, n)} }

func (s *offsets) clear() {
	for _, o := range s.list {
		s.has[o] = false
	}
	s.list = s.list[:0]
}
