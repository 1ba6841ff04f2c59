package ir

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads the text form that Module.String writes: m.String() of the result
// equals the text without comments. Classifiers have no Data and nothing has a
// span. It checks the form only; see Check for the invariants. The error names
// the line.
func Parse(text string) (*Module, error) {
	p := &parser{}
	for i, line := range strings.Split(text, "\n") {
		if c := strings.Index(line, " ; "); c >= 0 {
			line = line[:c]
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if p.m == nil {
		return nil, fmt.Errorf("no module")
	}
	if p.f != nil {
		return nil, fmt.Errorf("func %s is not closed", p.f.Hook)
	}
	return p.m, nil
}

type parser struct {
	m *Module
	f *Func
	b *Block
	// terminated tells that b has its terminator.
	terminated bool
}

func (p *parser) line(s string) error {
	t := &tokens{rest: s}
	switch word := t.word(); {
	case p.m == nil:
		if word != "module" {
			return fmt.Errorf("want module")
		}
		p.m = &Module{Policy: t.quoted()}
	case p.f != nil:
		return p.inFunc(s)
	case word == "leaf":
		if t.int() != int64(len(p.m.Leaves)) {
			return fmt.Errorf("leaf out of order")
		}
		l := Leaf{Verdict: lookupName(t, verdictNames), Reason: lookupName(t, reasonNames), Rule: int(t.int())}
		if t.accept("op ") {
			l.Op = t.word()
		}
		if t.accept("errno ") {
			l.Errno = int(t.int())
		}
		p.m.Leaves = append(p.m.Leaves, l)
	case word == "classifier":
		if t.int() != int64(len(p.m.Classifiers)) {
			return fmt.Errorf("classifier out of order")
		}
		c := &Classifier{Name: t.quoted(), Kind: lookupName(t, kindNames)}
		t.want("of ")
		c.Field = t.word()
		t.want("classes ")
		c.Classes = int(t.int())
		p.m.Classifiers = append(p.m.Classifiers, c)
	case word == "table":
		if t.int() != int64(len(p.m.Tables)) {
			return fmt.Errorf("table out of order")
		}
		p.m.Tables = append(p.m.Tables, t.table())
	case word == "func":
		p.f = &Func{Hook: t.word()}
		t.want("values ")
		p.f.NumValues = int(t.int())
		t.want("{")
	default:
		return fmt.Errorf("unknown %q", word)
	}
	return t.end()
}

func (p *parser) inFunc(s string) error {
	if s == "}" || strings.HasPrefix(s, "b") && strings.HasSuffix(s, ":") {
		if p.b != nil && !p.terminated {
			return fmt.Errorf("b%d has no terminator", p.b.ID)
		}
		p.b, p.terminated = nil, false
		if s == "}" {
			p.m.Funcs = append(p.m.Funcs, p.f)
			p.f = nil
			return nil
		}
		t := &tokens{rest: s}
		p.b = &Block{ID: t.block()}
		t.want(":")
		if p.b.ID != len(p.f.Blocks) {
			return fmt.Errorf("block out of order")
		}
		p.f.Blocks = append(p.f.Blocks, p.b)
		return t.end()
	}
	if p.b == nil || p.terminated {
		return fmt.Errorf("instruction outside of a block")
	}
	t := &tokens{rest: s}
	if strings.HasPrefix(s, "v") || strings.HasPrefix(s, "report ") {
		p.b.Instrs = append(p.b.Instrs, t.instr())
	} else {
		p.b.Term = t.term()
		p.terminated = true
	}
	return t.end()
}

// tokens reads one line; the first error stays and makes the rest read zeros.
type tokens struct {
	rest string
	err  error
}

func (t *tokens) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
	t.rest = ""
}

func (t *tokens) end() error {
	if t.err == nil && t.rest != "" {
		t.fail("unexpected %q", t.rest)
	}
	return t.err
}

func (t *tokens) accept(s string) bool {
	rest, ok := strings.CutPrefix(t.rest, s)
	if ok {
		t.rest = strings.TrimLeft(rest, " ")
	}
	return ok
}

func (t *tokens) want(s string) {
	if !t.accept(s) {
		t.fail("want %q before %q", s, t.rest)
	}
}

// take cuts the longest prefix of bytes that keep says to keep.
func (t *tokens) take(keep func(byte) bool) string {
	n := 0
	for n < len(t.rest) && keep(t.rest[n]) {
		n++
	}
	s := t.rest[:n]
	t.rest = strings.TrimLeft(t.rest[n:], " ")
	return s
}

func (t *tokens) word() string { return t.take(func(b byte) bool { return b != ' ' }) }

func (t *tokens) int() int64 {
	s := t.take(func(b byte) bool { return b == '-' || b >= '0' && b <= '9' })
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.fail("want a number, got %q", s)
	}
	return n
}

func (t *tokens) quoted() string {
	q, err := strconv.QuotedPrefix(t.rest)
	if err != nil {
		t.fail("want a quoted string before %q", t.rest)
		return ""
	}
	t.rest = strings.TrimLeft(t.rest[len(q):], " ")
	s, _ := strconv.Unquote(q)
	return s
}

func lookupName[K ~uint8](t *tokens, names map[K]string) K {
	w := t.word()
	for k, n := range names {
		if n == w {
			return k
		}
	}
	t.fail("unknown word %q", w)
	return 0
}

func (t *tokens) value() Value {
	t.want("v")
	return Value(t.int())
}

func (t *tokens) block() int {
	t.want("b")
	return int(t.int())
}

func (t *tokens) operand() (Value, int64) {
	if strings.HasPrefix(t.rest, "v") {
		return t.value(), 0
	}
	return -1, t.int()
}

// maxTableText bounds the entries of a table in text, so that a repeat count cannot ask for all memory.
const maxTableText = 1 << 20

func (t *tokens) table() *Table {
	tab := &Table{Name: t.quoted()}
	t.want("max ")
	tab.Max = uint32(t.int())
	t.want("{")
	for t.err == nil && !t.accept("}") {
		v, n := t.int(), int64(1)
		if t.accept("x") {
			n = t.int()
		}
		if v < 0 || v > 1<<32-1 || n < 1 || n > maxTableText-int64(len(tab.Data)) {
			t.fail("table entry out of range")
			break
		}
		for range n {
			tab.Data = append(tab.Data, uint32(v))
		}
	}
	return tab
}

func (t *tokens) instr() Instr {
	in := Instr{Def: -1, X: -1, Y: -1}
	if t.accept("report ") {
		in.Op, in.X = Report, t.value()
		return in
	}
	in.Def = t.value()
	t.want("=")
	in.Op = lookupName(t, opNames)
	switch in.Op {
	case Const:
		in.Imm = t.int()
	case Field:
		in.Name = t.word()
	case Class:
		in.ID = int(t.int())
	case Lookup:
		in.ID = int(t.int())
		t.want("[")
		in.X = t.value()
		if t.accept("+ ") {
			in.Imm = t.int()
		}
		t.want("]")
	default:
		in.X = t.value()
		t.want(",")
		in.Y, in.Imm = t.operand()
	}
	return in
}

func (t *tokens) term() Term {
	term := Term{X: -1, Y: -1}
	switch w := t.word(); w {
	case "jump":
		term.Kind, term.To = Jump, []int{t.block()}
	case "if":
		term.Kind, term.X = Branch, t.value()
		term.Cmp = lookupName(t, cmpNames)
		term.Y, term.Imm = t.operand()
		t.want("then ")
		term.To = append(term.To, t.block())
		t.want("else ")
		term.To = append(term.To, t.block())
	case "switch":
		term.Kind, term.X = Switch, t.value()
		t.want("{")
		for t.accept("..") {
			term.Cases = append(term.Cases, t.int())
			t.want(":")
			term.To = append(term.To, t.block())
			t.want(",")
		}
		t.want("else:")
		term.To = append(term.To, t.block())
		t.want("}")
	case "decide":
		term.Kind = Decide
		if t.accept("leaf ") {
			term.Imm = t.int()
		} else {
			term.X = t.value()
		}
	default:
		t.fail("unknown terminator %q", w)
	}
	return term
}
