package match

import (
	"errors"
	"fmt"
	"strings"
)

// GlobError is a syntax error in a glob, at a byte offset of its text.
type GlobError struct {
	Offset int
	Msg    string
}

func (e *GlobError) Error() string { return fmt.Sprintf("offset %d: %s", e.Offset, e.Msg) }

// ParseGlob reports whether text is a well-formed glob; the error is a *GlobError.
func ParseGlob(text string) error {
	p := globParser{text: text}
	_, err := p.parse(0)
	return err
}

// byteSet is a set of byte values.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) remove(b byte)   { s[b>>6] &^= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

// A charClass is what `?` or brackets match. It holds neither '/' nor NUL.
// negated says whether a byte that no pattern mentions belongs to it.
type charClass struct {
	bytes   byteSet
	negated bool
}

// anyButSlash is the class of `?`.
func anyButSlash() charClass {
	c := charClass{negated: true}
	c.complement()
	return c
}

func (c *charClass) complement() {
	for i := range c.bytes {
		c.bytes[i] = ^c.bytes[i]
	}
	c.bytes.remove('/')
	c.bytes.remove(0)
}

// A globParser reads a glob and, if nfa is set, inserts what it reads into it.
// It needs no syntax tree: the trie of the automaton is one.
type globParser struct {
	text  string
	pos   int
	depth int // of braces
	nfa   *nfa
}

func (p *globParser) fail(offset int, msg string) error { return &GlobError{offset, msg} }

func (p *globParser) parse(at int32) (int32, error) {
	if len(p.text) > MaxPattern {
		return 0, p.fail(MaxPattern, fmt.Sprintf("pattern is longer than %d bytes", MaxPattern))
	}
	if i := strings.IndexByte(p.text, 0); i >= 0 {
		return 0, p.fail(i, "NUL byte never occurs in a path")
	}
	return p.sequence(at)
}

// sequence reads until the end of the text or, within braces, until their ','
// or '}', which it leaves. It returns the node after the last element.
func (p *globParser) sequence(at int32) (int32, error) {
	for p.pos < len(p.text) {
		offset := p.pos
		c := p.text[p.pos]
		switch c {
		case ',', '}':
			if p.depth > 0 {
				return at, nil
			}
			if c == '}' {
				return 0, p.fail(offset, "'}' without '{' (write \\} for the character)")
			}
			p.pos++
			at = p.byte(at, c)
		case ']':
			return 0, p.fail(offset, "']' without '[' (write \\] for the character)")
		case '\\':
			if p.pos+1 == len(p.text) {
				return 0, p.fail(offset, "'\\' at the end escapes nothing")
			}
			at = p.byte(at, p.text[p.pos+1])
			p.pos += 2
		case '?':
			p.pos++
			at = p.class(at, anyButSlash())
		case '*':
			for p.pos < len(p.text) && p.text[p.pos] == '*' {
				p.pos++
			}
			if p.nfa != nil {
				loop := loopComponent
				if p.pos-offset > 1 {
					loop = loopAny
				}
				at = p.nfa.star(at, loop)
			}
		case '[':
			class, err := p.brackets()
			if err != nil {
				return 0, err
			}
			at = p.class(at, class)
		case '{':
			var err error
			if at, err = p.braces(at); err != nil {
				return 0, err
			}
		default:
			p.pos++
			at = p.byte(at, c)
		}
	}
	return at, nil
}

func (p *globParser) byte(at int32, b byte) int32 {
	if p.nfa == nil {
		return at
	}
	return p.nfa.edge(at, int32(b))
}

func (p *globParser) class(at int32, c charClass) int32 {
	if p.nfa == nil {
		return at
	}
	return p.nfa.edge(at, p.nfa.classLabel(c))
}

// braces reads an alternation. Every alternative starts at the node where the
// braces do, so it shares that node's trie, and ends in one common node.
func (p *globParser) braces(at int32) (int32, error) {
	open := p.pos
	if p.depth++; p.depth > MaxNesting {
		return 0, p.fail(open, fmt.Sprintf("braces nest deeper than %d", MaxNesting))
	}
	p.pos++
	var ends []int32
	for {
		end, err := p.sequence(at)
		if err != nil {
			return 0, err
		}
		if p.pos == len(p.text) {
			return 0, p.fail(open, "'{' is never closed")
		}
		ends = append(ends, end)
		p.pos++
		if p.text[p.pos-1] == '}' {
			break
		}
	}
	p.depth--
	if p.pos == open+2 {
		return 0, p.fail(open, "empty braces")
	}
	if p.nfa == nil {
		return at, nil
	}
	return p.nfa.join(at, p.text[open:p.pos], ends), nil
}

// brackets reads a bracket expression.
func (p *globParser) brackets() (charClass, error) {
	open := p.pos
	p.pos++
	var c charClass
	if p.pos < len(p.text) && p.text[p.pos] == '^' {
		c.negated = true
		p.pos++
	}
	for first := true; ; first = false {
		offset := p.pos
		if offset == len(p.text) {
			return c, p.fail(open, "'[' is never closed")
		}
		if p.text[offset] == ']' {
			if first {
				return c, p.fail(open, "empty class (write \\] for the character)")
			}
			p.pos++
			break
		}
		lo, err := p.member(open)
		if err != nil {
			return c, err
		}
		hi := lo
		// A '-' before the closing bracket is the character itself.
		if rest := p.text[p.pos:]; len(rest) > 1 && rest[0] == '-' && rest[1] != ']' {
			p.pos++
			if hi, err = p.member(open); err != nil {
				return c, err
			}
		}
		if lo > hi {
			return c, p.fail(offset, fmt.Sprintf("reversed range %q-%q", lo, hi))
		}
		if lo == '/' || hi == '/' {
			return c, p.fail(offset, "a class never matches '/'")
		}
		for b := int(lo); b <= int(hi); b++ {
			c.bytes.add(byte(b))
		}
	}
	c.bytes.remove('/')
	if c.negated {
		c.complement()
	}
	if c.bytes == (byteSet{}) {
		return c, p.fail(open, "class matches nothing")
	}
	return c, nil
}

// member reads one byte of a bracket expression that opened at open.
func (p *globParser) member(open int) (byte, error) {
	if p.pos < len(p.text) && p.text[p.pos] == '\\' {
		p.pos++
	}
	if p.pos == len(p.text) {
		return 0, p.fail(open, "'[' is never closed")
	}
	p.pos++
	return p.text[p.pos-1], nil
}

var (
	errKind  = errors.New("unknown kind of pattern")
	errEmpty = errors.New("empty directory")
)

// checkPlain checks the text of a pattern without metacharacters.
func checkPlain(text string) error {
	if len(text) > MaxPattern {
		return fmt.Errorf("longer than %d bytes", MaxPattern)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return errors.New("NUL byte never occurs in a path")
	}
	return nil
}
