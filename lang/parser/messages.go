package parser

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// MaxErrors is how many errors of one file are reported; a note tells when
// there were more.
const MaxErrors = 100

// reporter collects the errors of one file. All messages of the parser are here.
type reporter struct {
	file    *source.File
	list    diag.List
	dropped bool
}

func (r *reporter) full() bool { return r.dropped }

func (r *reporter) add(code diag.Code, start, end int, message, help string) *diag.Diagnostic {
	if len(r.list) >= MaxErrors {
		r.dropped = true
		return &diag.Diagnostic{}
	}
	r.list = append(r.list, diag.Diagnostic{Code: code, Severity: diag.Error, Message: message, Help: help,
		Span: source.Span{File: r.file, Start: start, End: end}})
	return &r.list[len(r.list)-1]
}

// sorted gives the errors by position.
func (r *reporter) sorted() diag.List {
	sort.SliceStable(r.list, func(i, j int) bool { return r.list[i].Span.Start < r.list[j].Span.Start })
	if r.dropped {
		end := len(r.file.Text)
		if n := len(r.list); n > 0 {
			end = r.list[n-1].Span.Start
		}
		r.list = append(r.list, diag.Diagnostic{Code: diag.TooManyErrors, Severity: diag.Note,
			Message: fmt.Sprintf("too many errors; only the first %d are shown", MaxErrors),
			Span:    source.Span{File: r.file, Start: end, End: end}})
	}
	return r.list
}

// clip shortens source text for a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		n := most
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return s
}

// quote puts source text into a message.
func quote(s string) string { return "`" + strings.ToValidUTF8(clip(s), "\ufffd") + "`" }

// Lexical errors.

func (r *reporter) tooLarge() {
	r.add(diag.FileTooLarge, 0, 0, fmt.Sprintf("the file is %d bytes long; at most %d are read", len(r.file.Text), source.MaxSize),
		"split the policy into files and import them")
}

func (r *reporter) invalidUTF8(start, end int) {
	r.add(diag.InvalidUTF8, start, end, fmt.Sprintf("invalid UTF-8: byte 0x%02x", r.file.Text[start]),
		`save the file as UTF-8; other bytes in a string are written as escapes such as "\xff"`)
}

func (r *reporter) controlChar(start, end int, c byte) {
	what := fmt.Sprintf("control character %s", quoteRune(rune(c)))
	help := "remove it; in a string write an escape"
	switch c {
	case 0:
		what = "NUL byte"
		help = "remove it; policies are text"
	case '\r':
		what = "carriage return without a newline"
		help = "end lines with a newline"
	}
	r.add(diag.ControlChar, start, end, what, help)
}

func (r *reporter) byteOrderMark(start, end int) {
	r.add(diag.ByteOrderMark, start, end, "the file begins with a byte order mark", "save it as UTF-8 without one")
}

func (r *reporter) invisibleChar(start, end int, c rune) {
	r.add(diag.InvisibleChar, start, end, fmt.Sprintf("invisible character %s", quoteRune(c)),
		fmt.Sprintf(`remove it, or write it in a string as "\u%04x", so that readers see what the policy says`, c))
}

func (r *reporter) unknownChar(start, end int, c rune) {
	help := ""
	switch c {
	case ';':
		help = "a statement ends at the end of its line"
	case '[', ']':
		help = "sets are written in braces: { … }"
	case '$', '@':
		help = "names of params and sets are written bare"
	case '~':
		help = "paths are matched with `matches`"
	}
	r.add(diag.UnknownChar, start, end, fmt.Sprintf("unexpected character %s", quote(string(c))), help)
}

func (r *reporter) nonASCIIName(start, end int, word string) {
	help := "names have the letters a to z only, since others can look the same"
	for i, c := range word {
		if c >= utf8.RuneSelf {
			help += fmt.Sprintf("; the character at byte %d is %s", i+1, quoteRune(c))
			break
		}
	}
	r.add(diag.NonASCIIName, start, end, fmt.Sprintf("the name %s holds a character that is not ASCII", quote(word)), help)
}

func (r *reporter) malformedName(start, end int, word string) {
	help := "names are lower case letters, digits, `_` and inner `-`, and begin with a letter; constants are all upper case"
	if lower := strings.ToLower(word); isName(lower) {
		help = fmt.Sprintf("names are lower case: %s", quote(lower))
	}
	r.add(diag.MalformedName, start, end, fmt.Sprintf("%s is neither a name nor a constant", quote(word)), help)
}

func (r *reporter) unterminatedString(start, end int) {
	r.add(diag.UnterminatedString, start, end, "this string is not closed on its line", "close it with `\"`")
}

func (r *reporter) badEscape(start, end int, text string) {
	r.add(diag.BadEscape, start, end, fmt.Sprintf("unknown or incomplete escape %s in a string", quote(text)),
		`escapes are those of Go: \\ \" \n \t \xhh \uhhhh; a glob's backslash is written \\`)
}

func (r *reporter) nulInString(start, end int) {
	r.add(diag.NULInString, start, end, "a string cannot hold a NUL byte", "the kernel ends names at a NUL, so nothing would match")
}

func (r *reporter) otherQuote(start, end int, inner string) {
	r.add(diag.OtherQuote, start, end, "strings are written in double quotes", fmt.Sprintf("write \"%s\"", clip(inner)))
}

func (r *reporter) badNumber(start, end int, word string, duration bool, problem numberError) {
	what := "integer"
	if duration {
		what = "duration"
	}
	switch problem {
	case numberTooLarge:
		limit := "64 bits"
		if duration {
			limit = "292 years"
		}
		r.add(diag.NumberTooLarge, start, end, fmt.Sprintf("the %s %s does not fit into %s", what, quote(word), limit), "")
	case numberOldOctal:
		r.add(diag.LeadingZero, start, end, fmt.Sprintf("the integer %s has a leading zero", quote(word)),
			fmt.Sprintf("write 0o%s for octal, or the decimal number without the zero", strings.TrimLeft(clip(word), "0_")))
	case numberUnit:
		r.add(diag.MalformedNumber, start, end, fmt.Sprintf("%s has an unknown unit", quote(word)),
			"sizes end in K, M or G, durations in s, m or h; a name cannot begin with a digit")
	default:
		help := "integers are decimal, 0x… or 0o…, with `_` between digits only"
		if duration {
			help = "durations are decimal integers without a leading zero, and end in s, m or h"
		}
		r.add(diag.MalformedNumber, start, end, fmt.Sprintf("malformed %s %s", what, quote(word)), help)
	}
}

func (r *reporter) badAddress(start, end int, text string) {
	help := "addresses are written like 10.0.0.1 or fd00::1"
	switch {
	case strings.Contains(text, "%"):
		help = "an address in a policy has no zone"
	case strings.Contains(text, ".") && strings.Contains(text, ":"):
		help = "compare address and port separately: addr == … and port == …"
	}
	r.add(diag.BadAddress, start, end, fmt.Sprintf("%s is not an address", quote(text)), help)
}

func (r *reporter) badPrefix(start, end int, text string) {
	r.add(diag.BadPrefix, start, end, fmt.Sprintf("%s is not a CIDR prefix", quote(text)),
		"prefixes are written like 10.0.0.0/8 (length 0 to 32) or fd00::/8 (length 0 to 128)")
}

func (r *reporter) hostBits(start, end int, text, masked string) {
	r.add(diag.HostBits, start, end, fmt.Sprintf("%s has bits set beyond its prefix length", quote(text)),
		fmt.Sprintf("did you mean %s?", masked))
}

func (r *reporter) foreignOperator(start, end int, op string) {
	word := map[string]string{"&&": "and", "||": "or", "!": "not", "=": "=="}[op]
	r.add(diag.ForeignOperator, start, end, fmt.Sprintf("%s is not an operator in conditions", quote(op)),
		fmt.Sprintf("write `%s`", word))
}

// Errors in conditions, values and sets.

// related adds the place of an opening bracket.
func (r *reporter) related(d *diag.Diagnostic, t token, message string) {
	d.Related = append(d.Related, diag.Related{Message: message,
		Span: source.Span{File: r.file, Start: int(t.start), End: int(t.end)}})
}

func (r *reporter) tooDeep(start, end int) {
	r.add(diag.TooDeep, start, end, fmt.Sprintf("nested more than %d deep", MaxNesting), "name parts of the condition as sets, or split the rule")
}

func (r *reporter) tooLong(start, end int) {
	r.add(diag.ExpressionTooLong, start, end, fmt.Sprintf("the condition has more than %d operators in a chain", MaxHeight),
		"put the values into a set and write `in SET`")
}

func (r *reporter) chained(start, end int) {
	r.add(diag.ChainedComparison, start, end, "comparisons do not chain", "join them with `and`, or add parentheses")
}

func (r *reporter) notInside(start, end int) {
	r.add(diag.MisplacedNot, start, end, "`not` stands inside a comparison or calculation", "write `not` before the whole comparison, or add parentheses")
}

func (r *reporter) notBefore(start, end int, op string) {
	r.add(diag.MisplacedNot, start, end, fmt.Sprintf("`not` cannot stand before `%s`", op), fmt.Sprintf("write `not X %s Y`", op))
}

func (r *reporter) expectedValue(start, end int, found string) {
	r.add(diag.ExpectedValue, start, end, fmt.Sprintf("expected a condition or value, found %s", found), "")
}

func (r *reporter) expectedClosing(start, end int, found string, open token, text string) {
	d := r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected an operator or `%s`, found %s", closing(text), found), "")
	r.related(d, open, fmt.Sprintf("this `%s` is open", text))
}

func closing(open string) string {
	if open == "(" {
		return ")"
	}
	return "}"
}

func (r *reporter) unclosed(open token, text string) {
	r.add(diag.UnclosedBracket, int(open.start), int(open.end), fmt.Sprintf("this `%s` is not closed", text),
		fmt.Sprintf("add `%s`", closing(text)))
}

func (r *reporter) unmatched(start, end int, text string) {
	r.add(diag.UnmatchedBracket, start, end, fmt.Sprintf("this `%s` closes nothing", text), "")
}

func (r *reporter) setInSet(start, end int) {
	r.add(diag.SetInSet, start, end, "a set cannot hold a set in braces", "give the inner set a name with `set NAME = KIND { … }` and write the name here")
}

func (r *reporter) missingComma(start, end int, found string) {
	r.add(diag.MissingComma, start, end, fmt.Sprintf("expected `,` before %s", found), "the members of a set are separated by commas")
}

func (r *reporter) afterElement(start, end int, found string) {
	r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected `,` or `}` in a set, found %s", found), "")
}

func (r *reporter) unquotedPath(start, end int, text string) {
	r.add(diag.UnquotedPath, start, end, fmt.Sprintf("expected a value, found the bare path %s", quote(text)),
		fmt.Sprintf("paths are strings: write \"%s\"", clip(text)))
}

// Errors in statements.

// clauseWords begin the clauses of a rule, in the order in which they stand.
var clauseWords = []string{"as", "when", "unless", "errno", "because"}

func (r *reporter) notStatement(start, end int, found, word string, name bool) {
	switch {
	case wordOperators[word] && name || word == "as" || word == "errno" || word == "because":
		r.add(diag.LineBegins, start, end, fmt.Sprintf("a line cannot begin with `%s`", word),
			"a statement ends with its line unless the line ends in an operator, a comma or an opening bracket")
	case name:
		help := "statements begin with policy, import, param, set, default, allow, deny, kill, audit, state, on, limit, when, helper or test"
		if s := suggestStatement(word); s != "" {
			help = fmt.Sprintf("did you mean `%s`?", s)
		}
		r.add(diag.NotStatement, start, end, fmt.Sprintf("expected a statement, found %s", found), help)
	default:
		r.add(diag.NotStatement, start, end, fmt.Sprintf("expected a statement, found %s", found), "")
	}
}

func (r *reporter) notStep(start, end int, found string) {
	r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected a test line, found %s", found),
		"a test line is `OPERATION field=value … => VERDICT`, or begins with as, fork, exit, wait or stack")
}

func (r *reporter) notInBlock(start, end int, word string) {
	r.add(diag.NotInBlock, start, end, fmt.Sprintf("`%s` cannot stand in a when block", word),
		"only rules, `on`, `limit` and when blocks depend on a condition; move the statement out of the block")
}

func (r *reporter) expectedBlock(start, end int, found string) {
	r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected `{`, found %s", found), "the block is written { … } and begins on the same line")
}

func (r *reporter) afterBlock(start, end int, found string) {
	r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected the end of the line behind a block, found %s", found), "")
}

func (r *reporter) headerTooLong(start, end int) {
	r.add(diag.StatementTooLong, start, end, fmt.Sprintf("the statement has more than %d words", maxHeader), "")
}

func (r *reporter) secondPolicy(at, first source.Span) {
	d := r.add(diag.SecondPolicy, at.Start, at.End, "a file has one `policy` statement", "")
	d.Related = append(d.Related, diag.Related{Span: first, Message: "the first one is here"})
}

func (r *reporter) policyNotFirst(at source.Span) {
	r.add(diag.PolicyNotFirst, at.Start, at.End, "`policy` is not the first statement", "move it to the top of the file")
}

// grammarError reports why a grammar refused a header.
func (p *parser) grammarError(g *grammar, h *header, err error) {
	for _, t := range h.tokens {
		if t.Type == symBad {
			return // reported when it was read
		}
	}
	var u *participle.UnexpectedTokenError
	if !errors.As(err, &u) {
		// The grammars cause no other error; should one, it is not swallowed.
		p.errs.add(diag.UnexpectedToken, h.tokens[0].Pos.Offset, h.end, err.Error(), g.form())
		return
	}
	t := u.Unexpected
	start, end := t.Pos.Offset, t.Pos.Offset+len(t.Value)
	found := p.foundSymbol(t)
	if t.Type == symCondition {
		end = p.endOf(t)
		if _, bad := p.exprs[t.Pos.Column].(*ast.BadExpr); bad {
			return
		}
	}
	terms := firstTerms(u.Message())
	wants := func(term string) bool { return len(terms) > 0 && terms[0] == term }
	r := p.errs
	switch {
	case t.Type == symKeyword && (wants("<name>") || wants("Plain") || wants("Word")):
		r.add(diag.ReservedWord, start, end, fmt.Sprintf("%s is a keyword and cannot be a name", quote(t.Value)), g.form())
	case t.Type == symOperation && (wants("<name>") || wants("Plain")):
		r.add(diag.DottedName, start, end, fmt.Sprintf("expected a plain name, found %s", quote(t.Value)), "only operations and fields have dots")
	case t.Type == symKeyword && len(terms) == 0 && g.inBlock && slices.Contains(clauseWords, t.Value):
		r.add(diag.ClauseOrder, start, end, fmt.Sprintf("`%s` stands here twice or in the wrong order", t.Value), g.form())
	case wants(`"allow"`) && t.Value == "audit" && g.parseStep != nil:
		r.add(diag.BadVerdict, start, end, "`audit` is no verdict", "write the verdict and `audited by NAME` behind it")
	case wants(`"allow"`) && g.parseStep != nil:
		r.add(diag.BadVerdict, start, end, fmt.Sprintf("expected a verdict, found %s", found), "verdicts are allow, deny and kill")
	case wants("<name>") && g.assigns == assignsSet && t.Type == symCondition:
		r.add(diag.UnexpectedToken, start, start+1, "expected the kind of the set before `{`",
			"kinds are path, cidr, port, int, string, cap, signal and op")
	case t.Value == "..":
		r.add(diag.UnexpectedToken, start, end, "a range stands only behind `in` and in a set", "")
	case len(terms) == 0:
		r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected the end of the statement, found %s", found), g.form())
	default:
		r.add(diag.UnexpectedToken, start, end, fmt.Sprintf("expected %s, found %s", g.describe(terms), found), g.form())
	}
}

// form is the help line that shows how a statement is written.
func (g *grammar) form() string { return "the form is: " + g.usage }

func (p *parser) foundSymbol(t lexer.Token) string {
	switch t.Type {
	case lexer.EOF:
		if next := p.peek(); next.kind == tokLBrace || next.kind == tokRBrace {
			return quote(p.textOf(next))
		}
		return "the end of the line"
	case symCondition:
		return "a value"
	case symKeyword:
		return "the keyword " + quote(t.Value)
	case symString:
		return "the string " + quote(t.Value)
	}
	return quote(t.Value)
}

// firstTerms gives what participle expected first: `"word"`, `<token>` or a
// production, several for alternatives. Its error holds the rest of the grammar
// in EBNF, of which only the beginning means something to an author.
func firstTerms(message string) []string {
	_, ebnf, ok := strings.Cut(message, "(expected ")
	if !ok {
		return nil
	}
	var terms []string
	// open holds, for each parenthesis around, whether a first term may still come.
	for open := []bool{true}; len(ebnf) > 0 && len(open) > 0; {
		last := len(open) - 1
		n := 1
		switch ebnf[0] {
		case '(':
			open = append(open, open[last])
		case ')':
			open = open[:last]
			if last > 0 {
				open[last-1] = false
			}
		case '|':
			open[last] = last == 0 || open[last-1]
		case ' ', '?', '*', '+', '!':
		default:
			if n = strings.IndexAny(ebnf, " )?*+!|"); ebnf[0] == '"' {
				n = strings.IndexByte(ebnf[1:], '"') + 2
			}
			if n <= 0 {
				n = len(ebnf)
			}
			if open[last] {
				terms = append(terms, ebnf[:n])
				open[last] = false
			}
		}
		ebnf = ebnf[n:]
	}
	return terms
}

var termText = map[string]string{
	"<name>": "a name", "<operation>": "an operation", "<constant>": "a constant such as ENOENT", "<string>": "a string in double quotes",
	"<integer>": "an integer", "<duration>": "a duration such as 10s", "<condition>": "a value",
	"Plain": "a name", "Word": "an operation", "ArgGrammar": "field=value", "ValueWord": "a value", "ExpectGrammar": "`=>`",
}

// describe says in words what the grammar expected.
func (g *grammar) describe(terms []string) string {
	var out []string
	for _, t := range terms {
		s, ok := termText[t]
		switch {
		case t == "<condition>" && g.assigns == assignsSet:
			s = "`{`"
		case !ok:
			s = "`" + strings.Trim(t, `"`) + "`"
		}
		out = append(out, s)
	}
	return strings.Join(out, " or ")
}
