package eval

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/types"
)

// Trace tells what each rule said about an event.
type Trace struct {
	Event Event
	Lines []TraceLine // by instance of the event, then by rule
}

// TraceLine is what one rule said about one operation of the event. Rules that
// are not about the operation have no line.
type TraceLine struct {
	Rule   *check.Rule
	Op     *types.Operation
	Swap   bool // the second direction of an exchange: path and to swapped
	Result Truth
	// Why are the leaves of the condition with what they saw, in the order of the
	// condition; those of a rule over a group come once for each path.
	Why []Leaf
}

// Explain writes the verdict and the trace for people to read.
func (v Verdict) Explain(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", eventText(v.Trace.Event), v.summary())
	for _, l := range v.Trace.Lines {
		l.explain(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary is the verdict on one line.
func (v Verdict) summary() string {
	var b strings.Builder
	b.WriteString(v.Action.String())
	switch {
	case v.Rule != nil:
		b.WriteString(" by " + place(v.Rule))
	case v.Default != nil:
		fmt.Fprintf(&b, " by the default at %s", v.Default.Span)
	case v.Reason == ByInvalid:
		b.WriteString(": this is no operation that policies judge")
	default:
		b.WriteString(": nothing is declared for it")
	}
	if v.Reason == ByUnresolved {
		b.WriteString(", which depends on a value that could not be resolved")
	}
	if v.Errno != 0 {
		fmt.Fprintf(&b, ", errno %d", v.Errno)
	}
	if v.Audit != 0 {
		fmt.Fprintf(&b, "; audited by rule %d", v.Audit)
	}
	return b.String()
}

// place is a rule's number, place and name: "rule 3 at web.snp:7:1 (secrets)".
func place(r *check.Rule) string {
	s := fmt.Sprintf("rule %d at %s", r.ID, r.Span)
	if r.Name != "" {
		s += " (" + r.Name + ")"
	}
	return s
}

func (l TraceLine) explain(b *strings.Builder) {
	direction := ""
	if l.Swap {
		direction = ", the other way round"
	}
	fmt.Fprintf(b, "  %s %s, %s%s: %s\n", l.Rule.Verb, place(l.Rule), l.Op.Name, direction, l.Result)
	for _, leaf := range l.Why {
		text := leaf.Cond.Span().Text()
		if text == "" {
			text = check.CondText(leaf.Cond)
		}
		fmt.Fprintf(b, "    %-10s %s", leaf.Result, oneLine(text))
		switch {
		case leaf.Value.kind == unresolvedValue:
		case leaf.Field != "":
			fmt.Fprintf(b, "   (%s = %s)", leaf.Field, leaf.Value)
		default:
			fmt.Fprintf(b, "   (left side = %s)", leaf.Value)
		}
		b.WriteByte('\n')
	}
}

// oneLine shortens source text to a line.
func oneLine(s string) string {
	const most = 80
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= most {
		return s
	}
	n := most
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// String writes a value as policies do; "none" is no address.
func (v Value) String() string {
	switch v.kind {
	case intValue:
		return strconv.FormatInt(v.num, 10)
	case boolValue:
		return strconv.FormatBool(v.num != 0)
	case textValue:
		return strconv.Quote(v.text)
	case addrValue:
		if !v.addr.IsValid() {
			return "none"
		}
		return v.addr.String()
	case unresolvedValue:
		return "unresolved"
	}
	return "invalid"
}

// eventText writes an event on one line, fields sorted by name.
func eventText(ev Event) string {
	var b strings.Builder
	b.WriteString(ev.Op)
	fields := func(m map[string]Value) {
		names := make([]string, 0, len(m))
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, " %s=%s", name, m[name])
		}
	}
	fields(ev.Fields)
	if ev.Exchange {
		b.WriteString(" exchange")
	}
	if len(ev.Subject) > 0 {
		b.WriteString(" as")
		fields(ev.Subject)
	}
	return b.String()
}
