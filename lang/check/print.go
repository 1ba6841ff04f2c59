package check

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/snappy-policy/snappy/lang/types"
)

// Fprint writes a policy as text, one rule or default a line, without
// positions. Golden files and dumps use it; it is not meant to be read back.
func Fprint(w io.Writer, p *Policy) error {
	var b strings.Builder
	fmt.Fprintf(&b, "policy %s\n", p.Name)
	for _, q := range p.Params {
		fmt.Fprintf(&b, "param %s: %s = %s\n", q.Name, q.Kind, strconv.Quote(q.Value))
	}
	rules, defaults := p.Rules, p.Defaults
	for len(rules)+len(defaults) > 0 {
		if len(defaults) == 0 || len(rules) > 0 && rules[0].ID < defaults[0].ID {
			b.WriteString(rules[0].text())
			rules = rules[1:]
		} else {
			b.WriteString(defaults[0].text())
			defaults = defaults[1:]
		}
	}
	for _, t := range p.Tests {
		fmt.Fprintf(&b, "test %q\n", t.Name.Value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Rule) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", r.ID, r.Verb)
	for i, u := range r.Ops {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + u.Op.Name)
		if u.Each {
			b.WriteString("*")
		}
	}
	if r.Name != "" {
		b.WriteString(" as " + r.Name)
	}
	b.WriteString(" when " + CondText(r.Cond))
	if r.Errno != 0 {
		fmt.Fprintf(&b, " errno %d", r.Errno)
	}
	if r.Because != "" {
		fmt.Fprintf(&b, " because %q", r.Because)
	}
	b.WriteByte('\n')
	return b.String()
}

func (d *Default) text() string {
	verb := "allow"
	if d.Deny {
		verb = "deny"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d default %s", d.ID, verb)
	for i, op := range d.Ops {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s/%d", op.Name, d.Rank[op])
	}
	b.WriteByte('\n')
	return b.String()
}

// CondText writes a condition on one line, in the language's own words where
// it has them; literals are quoted, globs stand after ~ and directories after under.
func CondText(x Cond) string {
	var b strings.Builder
	condText(&b, x)
	return b.String()
}

func condText(b *strings.Builder, x Cond) {
	list := func(word string, xs []Cond) {
		b.WriteByte('(')
		for i, y := range xs {
			if i > 0 {
				b.WriteString(" " + word + " ")
			}
			condText(b, y)
		}
		b.WriteByte(')')
	}
	switch x := x.(type) {
	case *Const:
		b.WriteString(strconv.FormatBool(x.Value))
	case *And:
		list("and", x.Xs)
	case *Or:
		list("or", x.Xs)
	case *Not:
		b.WriteString("not ")
		condText(b, x.X)
	case *BoolIs:
		b.WriteString(x.Field.Name)
	case *IntIn:
		intInText(b, x)
	case *IntCmp:
		valueText(b, x.X)
		b.WriteString(" " + x.Op.String() + " ")
		valueText(b, x.Y)
	case *HasFlags:
		fmt.Fprintf(b, "%s has %#x", x.Field.Name, uint64(x.Mask))
	case *PathIn:
		patternsText(b, x.Field, x.Patterns)
	case *StringIn:
		patternsText(b, x.Field, x.Patterns)
	case *AddrIn:
		fmt.Fprintf(b, "%s in {", x.Field.Name)
		for i, p := range x.Prefixes {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(" " + p.String())
		}
		b.WriteString(" }")
	default:
		panic(fmt.Sprintf("check: unknown condition %T", x))
	}
}

func intInText(b *strings.Builder, x *IntIn) {
	valueText(b, x.X)
	if len(x.Ranges) == 1 && x.Ranges[0].Lo == x.Ranges[0].Hi {
		fmt.Fprintf(b, " == %d", x.Ranges[0].Lo)
		return
	}
	b.WriteString(" in {")
	for i, r := range x.Ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + r.String())
	}
	b.WriteString(" }")
}

// String writes a range as in policies; the ends of the integers are left out.
func (r Range) String() string {
	switch {
	case r.Lo == r.Hi:
		return strconv.FormatInt(r.Lo, 10)
	case r.Lo == math.MinInt64 && r.Hi == math.MaxInt64:
		return ".."
	case r.Lo == math.MinInt64:
		return fmt.Sprintf("..%d", r.Hi)
	case r.Hi == math.MaxInt64:
		return fmt.Sprintf("%d..", r.Lo)
	}
	return fmt.Sprintf("%d..%d", r.Lo, r.Hi)
}

func valueText(b *strings.Builder, v Value) {
	switch v := v.(type) {
	case *IntField:
		b.WriteString(v.Field.Name)
	case *IntConst:
		b.WriteString(strconv.FormatInt(v.Value, 10))
	case *Arith:
		b.WriteByte('(')
		valueText(b, v.X)
		b.WriteString(" " + v.Op.String() + " ")
		valueText(b, v.Y)
		b.WriteByte(')')
	default:
		panic(fmt.Sprintf("check: unknown value %T", v))
	}
}

func patternsText(b *strings.Builder, f *types.Field, ps []Pattern) {
	b.WriteString(f.Name + " in {")
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + p.String())
	}
	b.WriteString(" }")
}

// String writes a pattern: "text", ~"glob", under "dir".
func (p Pattern) String() string {
	switch p.Kind {
	case Literal:
		return strconv.Quote(p.Text)
	case Glob:
		return "~" + strconv.Quote(p.Text)
	case Under:
		return "under " + strconv.Quote(p.Text)
	}
	panic("check: unknown kind of pattern")
}
