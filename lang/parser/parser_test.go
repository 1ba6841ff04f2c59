package parser

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
)

// parseOK parses text that must have no errors and gives its dump.
func parseOK(t *testing.T, text string) string {
	t.Helper()
	f, errs := Parse(source.New("test.snp", text))
	for _, e := range errs {
		t.Errorf("%s: %s: %s", e.Span, e.Code, e.Message)
	}
	var b bytes.Buffer
	require.NoError(t, ast.Fprint(&b, f))
	return b.String()
}

// condition gives the dump of a condition on one line: operators as (op x y).
func condition(t *testing.T, text string) string {
	t.Helper()
	dump := parseOK(t, "policy p\nallow exec when "+text)
	_, dump, _ = strings.Cut(dump, "  when\n")
	var out strings.Builder
	depth := -1
	for line := range strings.Lines(dump) {
		word := strings.TrimLeft(strings.TrimRight(line, "\n"), " ")
		d := (len(line) - len(word) - 1) / 2
		for ; depth >= d; depth-- {
			out.WriteString(")")
		}
		if out.Len() > 0 {
			out.WriteString(" ")
		}
		out.WriteString("(" + strings.TrimPrefix(strings.TrimPrefix(word, "name "), "int "))
		depth = d
	}
	for ; depth >= 2; depth-- {
		out.WriteString(")")
	}
	return out.String()
}

// TestPrecedence holds the table of docs: or, and, not, comparisons, | ^, &,
// shifts, + -, * / %, unary minus, each tighter than the one before.
func TestPrecedence(t *testing.T) {
	for _, c := range []struct{ text, same string }{
		{"a or b and c", "a or (b and c)"},
		{"a and b or c", "(a and b) or c"},
		{"not a and b", "(not a) and b"},
		{"not a == b", "not (a == b)"},
		{"not not a", "not (not a)"},
		{"a == 1 | 2", "a == (1 | 2)"},
		{"a | b & c == 1", "(a | (b & c)) == 1"},
		{"a ^ b | c == 1", "((a ^ b) | c) == 1"},
		{"a & b << 2 == 1", "(a & (b << 2)) == 1"},
		{"a << b + 1 == 1", "(a << (b + 1)) == 1"},
		{"a + b * c == 1", "(a + (b * c)) == 1"},
		{"a - b - c == 1", "((a - b) - c) == 1"},
		{"a / b % c == 1", "((a / b) % c) == 1"},
		{"-a * b == 1", "((-a) * b) == 1"},
		{"a in 1 .. 2 + 3", "a in 1..(2 + 3)"},
		{"path under x or path matches y", "(path under x) or (path matches y)"},
		{"access has A | B", "access has (A | B)"},
	} {
		want := strings.ReplaceAll(condition(t, c.same), "(paren ", "")
		require.Equal(t, strings.Count(condition(t, c.text), "("), strings.Count(want, "("), c.text)
		require.Equal(t, strings.ReplaceAll(condition(t, c.text), ")", ""), strings.ReplaceAll(want, ")", ""), c.text)
	}
}

// TestLinear parses many small rules: time must grow with the text, not faster.
func TestLinear(t *testing.T) {
	rules := func(n int) string {
		var b strings.Builder
		b.WriteString("policy many\n")
		for i := range n {
			fmt.Fprintf(&b, "deny exec when uid==%d\n", i)
		}
		return b.String()
	}
	start := time.Now()
	f, errs := Parse(source.New("many.snp", rules(10_000)))
	require.Empty(t, errs)
	require.Len(t, f.Stmts, 10_001)
	require.Less(t, time.Since(start), 2*time.Second)
}

func BenchmarkParse10000Rules(b *testing.B) {
	var text strings.Builder
	text.WriteString("policy many\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "deny file.open, file.write as r%d when path under \"/srv/data%d\" and uid != %d errno EACCES\n", i, i, i)
	}
	f := source.New("many.snp", text.String())
	b.SetBytes(int64(len(f.Text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := Parse(f); len(errs) > 0 {
			b.Fatal(errs[0].Message)
		}
	}
}
