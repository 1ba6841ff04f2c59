package glob

import "fmt"

// parser turns text into a program as it reads.
type parser struct {
	text  string
	pos   int
	depth int // of braces
	prog  []inst
}

func (p *parser) emit(in inst) int {
	p.prog = append(p.prog, in)
	return len(p.prog) - 1
}

func fail(offset int, format string, args ...any) error {
	return &Error{offset, fmt.Sprintf(format, args...)}
}

// sequence reads up to the end or, inside braces, up to their ',' or '}'.
func (p *parser) sequence() error {
	for p.pos < len(p.text) {
		at, c := p.pos, p.text[p.pos]
		switch c {
		case '?':
			p.pos++
			p.emit(inst{op: opComponent})
		case '*':
			for p.pos < len(p.text) && p.text[p.pos] == '*' {
				p.pos++
			}
			op := opComponent
			if p.pos-at > 1 {
				op = opAny
			}
			loop := p.emit(inst{op: opSplit, x: len(p.prog) + 1})
			p.emit(inst{op: op})
			p.emit(inst{op: opJump, x: loop})
			p.prog[loop].y = len(p.prog)
		case '[':
			cl, err := p.brackets()
			if err != nil {
				return err
			}
			p.emit(inst{op: opClass, class: cl})
		case '{':
			if err := p.braces(); err != nil {
				return err
			}
		case '\\':
			if at+1 == len(p.text) {
				return fail(at, `the \ at the end escapes nothing`)
			}
			p.pos += 2
			p.emit(inst{op: opByte, b: p.text[at+1]})
		case ']':
			return fail(at, `] without [; write \] for the character`)
		case '}':
			if p.depth > 0 {
				return nil
			}
			return fail(at, `} without {; write \} for the character`)
		case ',':
			if p.depth > 0 {
				return nil
			}
			fallthrough
		default:
			p.pos++
			p.emit(inst{op: opByte, b: c})
		}
	}
	return nil
}

// braces reads an alternation: for each alternative a split to it and to the
// next one, and a jump from its end to the end of all.
func (p *parser) braces() error {
	open := p.pos
	if p.depth++; p.depth > MaxDepth {
		return fail(open, "braces nest deeper than %d", MaxDepth)
	}
	var ends []int
	for {
		p.pos++
		split := p.emit(inst{op: opSplit, x: len(p.prog) + 1})
		if err := p.sequence(); err != nil {
			return err
		}
		if p.pos == len(p.text) {
			return fail(open, "{ is never closed")
		}
		ends = append(ends, p.emit(inst{op: opJump}))
		p.prog[split].y = len(p.prog)
		if p.text[p.pos] == '}' {
			// The last alternative has no next one.
			p.prog[split] = inst{op: opJump, x: split + 1}
			break
		}
	}
	if p.pos == open+1 {
		return fail(open, `{} matches nothing but the empty string; write \{\} for the characters`)
	}
	p.pos++
	p.depth--
	for _, e := range ends {
		p.prog[e].x = len(p.prog)
	}
	return nil
}

// brackets reads a class.
func (p *parser) brackets() (*class, error) {
	open := p.pos
	p.pos++
	negated := false
	if p.pos < len(p.text) {
		switch p.text[p.pos] {
		case '^':
			negated = true
			p.pos++
		case '!':
			return nil, fail(p.pos, `a class is negated with ^, as in [^a-z]; write \! for the character`)
		}
	}
	var c class
	for first := true; ; first = false {
		at := p.pos
		if at == len(p.text) {
			return nil, fail(open, "[ is never closed")
		}
		if p.text[at] == ']' {
			if first {
				return nil, fail(open, `the class is empty; write \] for the character`)
			}
			p.pos++
			break
		}
		low, ok := p.member()
		high := low
		if ok && p.pos+1 < len(p.text) && p.text[p.pos] == '-' && p.text[p.pos+1] != ']' {
			p.pos++
			high, ok = p.member()
		}
		if !ok {
			return nil, fail(open, "[ is never closed")
		}
		if low > high {
			return nil, fail(at, "the range %q-%q is reversed", low, high)
		}
		if low == '/' || high == '/' {
			return nil, fail(at, "a class never matches '/'")
		}
		for b := int(low); b <= int(high); b++ {
			c.add(byte(b))
		}
	}
	if negated {
		for i := range c {
			c[i] = ^c[i]
		}
	}
	c['/'>>6] &^= 1 << ('/' & 63)
	c[0] &^= 1
	if c == (class{}) {
		return nil, fail(open, "the class matches nothing")
	}
	return &c, nil
}

// member reads one byte of a class, perhaps escaped.
func (p *parser) member() (byte, bool) {
	if p.text[p.pos] == '\\' {
		p.pos++
	}
	if p.pos == len(p.text) {
		return 0, false
	}
	p.pos++
	return p.text[p.pos-1], true
}
