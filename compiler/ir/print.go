package ir

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

var opNames = map[Opcode]string{
	Const: "const", Field: "field", Class: "class", Lookup: "lookup",
	Add: "add", Sub: "sub", Mul: "mul", Div: "div", Mod: "mod",
	And: "and", Or: "or", Xor: "xor", Shl: "shl", Shr: "shr", Report: "report",
}

var cmpNames = map[Cmp]string{Eq: "==", Ne: "!=", Lt: "<", Le: "<=", Gt: ">", Ge: ">=", Set: "&"}

var verdictNames = map[Verdict]string{Allow: "allow", Deny: "deny", Kill: "kill", Audit: "audit"}

var reasonNames = map[Reason]string{ByRule: "rule", ByDefault: "default", Unresolved: "unresolved"}

var kindNames = map[ClassifierKind]string{PathClass: "path", StringClass: "string", AddrClass: "addr", IntClass: "int"}

func nameOf[K comparable](names map[K]string, k K) string {
	if n, ok := names[k]; ok {
		return n
	}
	return fmt.Sprintf("invalid(%v)", k)
}

func (o Opcode) String() string         { return nameOf(opNames, o) }
func (c Cmp) String() string            { return nameOf(cmpNames, c) }
func (v Verdict) String() string        { return nameOf(verdictNames, v) }
func (r Reason) String() string         { return nameOf(reasonNames, r) }
func (k ClassifierKind) String() string { return nameOf(kindNames, k) }

// String is the leaf as the text form writes it, without its number:
// "deny rule 3 op file.open errno 13".
func (l Leaf) String() string {
	s := fmt.Sprintf("%s %s %d", l.Verdict, l.Reason, l.Rule)
	if l.Op != "" {
		s += " op " + l.Op
	}
	if l.Errno != 0 {
		s += fmt.Sprintf(" errno %d", l.Errno)
	}
	return s
}

// String is the stable text form of the module. Classifiers' data is not part
// of it; spans are written as comments. Parse reads it back.
func (m *Module) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "module %s\n", strconv.Quote(m.Policy))
	for i, l := range m.Leaves {
		fmt.Fprintf(&b, "leaf %d %s\n", i, l)
	}
	for i, c := range m.Classifiers {
		fmt.Fprintf(&b, "classifier %d %s %s of %s classes %d%s\n", i, strconv.Quote(c.Name), c.Kind, c.Field, c.Classes, comment(c.Span.String()))
	}
	for i, t := range m.Tables {
		fmt.Fprintf(&b, "table %d %s max %d {%s}\n", i, strconv.Quote(t.Name), t.Max, runs(t.Data))
	}
	for _, f := range m.Funcs {
		b.WriteString("\n")
		b.WriteString(f.String())
	}
	return b.String()
}

// runs writes numbers, repeated ones as VALUExCOUNT.
func runs(data []uint32) string {
	var b strings.Builder
	for i := 0; i < len(data); {
		n := 1
		for i+n < len(data) && data[i+n] == data[i] {
			n++
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.FormatUint(uint64(data[i]), 10))
		if n > 1 {
			b.WriteString("x" + strconv.Itoa(n))
		}
		i += n
	}
	return b.String()
}

func comment(span string) string {
	if span == "-" {
		return ""
	}
	return " ; " + span
}

// String is the text form of the function.
func (f *Func) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "func %s values %d {\n", f.Hook, f.NumValues)
	for _, blk := range f.Blocks {
		fmt.Fprintf(&b, "b%d:\n", blk.ID)
		for _, in := range blk.Instrs {
			fmt.Fprintf(&b, "\t%s%s\n", in, comment(in.Span.String()))
		}
		fmt.Fprintf(&b, "\t%s%s\n", blk.Term, comment(blk.Term.Span.String()))
	}
	b.WriteString("}\n")
	return b.String()
}

// String is the text form of the instruction, without its span.
func (in Instr) String() string {
	def := fmt.Sprintf("v%d = ", in.Def)
	switch in.Op {
	case Const:
		return fmt.Sprintf("%sconst %d", def, in.Imm)
	case Field:
		return def + "field " + in.Name
	case Class:
		return fmt.Sprintf("%sclass %d", def, in.ID)
	case Lookup:
		if in.Imm != 0 {
			return fmt.Sprintf("%slookup %d[v%d + %d]", def, in.ID, in.X, in.Imm)
		}
		return fmt.Sprintf("%slookup %d[v%d]", def, in.ID, in.X)
	case Report:
		return fmt.Sprintf("report v%d", in.X)
	}
	return fmt.Sprintf("%s%s v%d, %s", def, in.Op, in.X, operand(in.Y, in.Imm))
}

// operand is a value, or the immediate if there is none.
func operand(v Value, imm int64) string {
	if v < 0 {
		return strconv.FormatInt(imm, 10)
	}
	return fmt.Sprintf("v%d", v)
}

// String is the text form of the terminator, without its span.
func (t Term) String() string {
	switch t.Kind {
	case Jump:
		return fmt.Sprintf("jump b%d", t.To[0])
	case Branch:
		return fmt.Sprintf("if v%d %s %s then b%d else b%d", t.X, t.Cmp, operand(t.Y, t.Imm), t.To[0], t.To[1])
	case Switch:
		var b strings.Builder
		fmt.Fprintf(&b, "switch v%d {", t.X)
		for i, c := range t.Cases {
			fmt.Fprintf(&b, "..%d: b%d, ", c, t.To[i])
		}
		fmt.Fprintf(&b, "else: b%d}", t.To[len(t.To)-1])
		return b.String()
	case Decide:
		if t.X < 0 {
			return fmt.Sprintf("decide leaf %d", t.Imm)
		}
		return fmt.Sprintf("decide v%d", t.X)
	}
	return fmt.Sprintf("invalid terminator %d", t.Kind)
}

// Fprint writes the text form of the module.
func Fprint(w io.Writer, m *Module) error {
	_, err := io.WriteString(w, m.String())
	return err
}
