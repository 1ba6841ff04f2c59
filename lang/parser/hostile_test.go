package parser

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// Bounds for 1 MiB of anything. Measured were 0.5 s and 56 MiB at most; a step
// that is quadratic in the size of the file would take minutes.
const (
	hostileTime = 20 * time.Second
	hostileHeap = 100 << 20 // live while the tree is held
)

// TestHostileInput parses 1 MiB of each of these (64 KiB with -short). Parse must come back in time,
// keep its promises and hold little memory.
func TestHostileInput(t *testing.T) {
	size := source.MaxSize
	if testing.Short() {
		size /= 16
	}
	full := func(prefix, unit, suffix string) string {
		return prefix + strings.Repeat(unit, (size-len(prefix)-len(suffix))/len(unit)) + suffix
	}
	for name, text := range map[string]string{
		"parentheses":            full("", "(", ""),
		"parentheses in a rule":  full("policy p\ndeny exec when ", "(", ""),
		"closed parentheses":     full("policy p\ndeny exec when ", "()", ""),
		"closing parentheses":    full("policy p\ndeny exec when ", ")", ""),
		"braces":                 full("", "{", ""),
		"braces in a set":        full("policy p\nset a = int ", "{", ""),
		"set in set":             full("policy p\nset a = int { ", "{1},", "}"),
		"closing braces":         full("", "}", ""),
		"closing braces by line": full("", "}\n", ""),
		"quotes":                 full("", "\"", ""),
		"open quotes":            full("", "\"\n", ""),
		"backslashes":            full("policy p\nimport \"", "\\", "\""),
		"bad escapes":            full("policy p\nimport \"", "\\q", "\""),
		"not":                    full("policy p\ndeny exec when ", "not ", "a"),
		"minus":                  full("policy p\ndeny exec when ", "-", "1"),
		"or":                     full("policy p\ndeny exec when a", " or a", ""),
		"plus":                   full("policy p\ndeny exec when a", "+a", ""),
		"right-nested":           full("policy p\ndeny exec when a", " or (a and a", ""),
		"comparisons":            full("policy p\ndeny exec when a", "==a", ""),
		"many long conditions":   full("policy p\n", "deny exec when a"+strings.Repeat("+a", 900)+"==1\n", ""),
		"calls":                  full("policy p\ndeny exec when ", "f(", ""),
		"arguments":              full("policy p\ndeny exec when f(1", ",1", ")"),
		"large set":              full("policy p\nset a = int {1", ",1", "}"),
		"set without commas":     full("policy p\nset a = int {1", " 1", "}"),
		"set of commas":          full("policy p\nset a = int {", ",", "}"),
		"set of strings":         full("policy p\nset a = path {\"\"", ",\"\"", "}"),
		"set of names":           full("policy p\nset a = path {a", ",a", "}"),
		"unclosed set":           full("policy p\nset a = int {1", ",1", ""),
		"unclosed sets":          full("policy p\n", "set a = int {1\n", ""),
		"rules":                  full("policy p\n", "deny a\n", ""),
		"when blocks":            full("policy p\n", "when a{\n", ""),
		"closed when blocks":     full("policy p\n", "when a{}\n", ""),
		"tests":                  full("policy p\n", "test \"\"{\n", ""),
		"test lines":             full("policy p\ntest \"\"{\n", "a\n", "}\n"),
		"test arguments":         full("policy p\ntest \"\"{\na", " a=1", "\n}\n"),
		"test values":            full("policy p\ntest \"\"{\na a=1", ",1", "\n}\n"),
		"operations":             full("policy p\ndeny a", ",a", ""),
		"words":                  full("policy p\ndeny a", " a", ""),
		"wrong lines":            full("policy p\n", "x\n", ""),
		"keywords":               full("", "deny ", ""),
		"keywords by line":       full("", "deny\n", ""),
		"policies":               full("", "policy p\n", ""),
		"dots":                   full("policy p\ndeny a", ".a", ""),
		"hyphens":                full("policy p\ndeny a", "-a", ""),
		"only dots":              full("", ".", ""),
		"long name":              full("policy p\nset ", "a", " = int { 1 }"),
		"digits":                 full("policy p\nset a = int {", "1", "}"),
		"underscores":            full("policy p\nset a = int {1", "_1", "}"),
		"colons":                 full("policy p\nset a = cidr {", ":", "}"),
		"address":                full("policy p\nset a = cidr {1", ".1", "}"),
		"half addresses":         full("policy p\nset a = cidr {", "a:", "}"),
		"nearly addresses":       full("", "ab:c ", ""),
		"addresses":              full("policy p\nset a = cidr {::", ",::", "}"),
		"slashes":                full("policy p\nset a = path {", "/", "}"),
		"bare paths":             full("policy p\nset a = path {/", ",/", "}"),
		"dotted paths":           full("", "./ ", ""),
		"comments":               full("", "#\n", ""),
		"long comment":           full("#", "#", ""),
		"newlines":               full("", "\n", ""),
		"spaces":                 full("", " ", ""),
		"NUL":                    full("", "\x00", ""),
		"NUL and letters":        full("", "\x00a", ""),
		"carriage returns":       full("", "\r", ""),
		"byte order marks":       full("", "\ufeff", ""),
		"invalid UTF-8":          full("", "\xff", ""),
		"cut UTF-8":              full("", "\xe2\x80a", ""),
		"bidi":                   full("", "\u202ea", ""),
		"letters of others":      full("", "\u0430", ""),
		"other letters by line":  full("", "\u0430\n", ""),
		"single quotes":          full("", "'", ""),
		"operators":              full("policy p\ndeny a when a", "&&a", ""),
		"bangs":                  full("policy p\ndeny a when ", "!", "a"),
		"ranges":                 full("policy p\ndeny a when a in 1", "..1", ""),
		"equals":                 full("policy p\nset a ", "= ", ""),
		"verdicts":               full("policy p\ntest \"\"{\na ", "=>", "\n}\n"),
		"semicolons":             full("", "; ", ""),
	} {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, len(text), source.MaxSize)
			file := source.New("hostile.snp", text)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			tree, errs := Parse(file)
			took := time.Since(start)
			runtime.GC()
			runtime.ReadMemStats(&after)
			t.Logf("%v, %d MiB live, %d MiB allocated, %d errors", took.Round(time.Millisecond),
				(int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20, (after.TotalAlloc-before.TotalAlloc)>>20, len(errs))
			require.Less(t, took, hostileTime)
			require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(hostileHeap))
			runtime.KeepAlive(tree)
			checkErrors(t, file, errs)
		})
	}
}

// TestFileTooLarge: a byte above the limit is refused without being looked at.
func TestFileTooLarge(t *testing.T) {
	tree, errs := Parse(source.New("large.snp", strings.Repeat("\n", source.MaxSize)))
	require.Empty(t, errs)
	require.Empty(t, tree.Stmts)
	tree, errs = Parse(source.New("large.snp", strings.Repeat("(", source.MaxSize+1)))
	require.Len(t, errs, 1)
	require.Equal(t, diag.FileTooLarge, errs[0].Code)
	require.Empty(t, tree.Stmts)
}

// TestManyErrors: the first MaxErrors errors, then a note.
func TestManyErrors(t *testing.T) {
	_, errs := Parse(source.New("many.snp", strings.Repeat("x\n", MaxErrors)))
	require.Len(t, errs, MaxErrors)
	_, errs = Parse(source.New("many.snp", strings.Repeat("x\n", MaxErrors+1)))
	require.Len(t, errs, MaxErrors+1)
	require.Equal(t, diag.TooManyErrors, errs[MaxErrors].Code)
	require.Equal(t, diag.Note, errs[MaxErrors].Severity)
}

// TestLimitsAreExact: the last that is accepted and the first that is refused.
func TestLimitsAreExact(t *testing.T) {
	for _, c := range []struct {
		name string
		text func(n int) string
		most int
		code diag.Code
	}{
		{"parentheses", func(n int) string {
			return "deny exec when " + strings.Repeat("(", n) + "a" + strings.Repeat(")", n) + "\n"
		}, MaxNesting, diag.TooDeep},
		{"not", func(n int) string { return "deny exec when " + strings.Repeat("not ", n) + "a\n" }, MaxNesting, diag.TooDeep},
		{"calls", func(n int) string {
			return "deny exec when " + strings.Repeat("f(", n) + "a" + strings.Repeat(")", n) + "\n"
		}, MaxNesting, diag.TooDeep},
		{"when blocks", func(n int) string { return strings.Repeat("when a {\n", n) + strings.Repeat("}\n", n) }, MaxNesting, diag.TooDeep},
		{"a chain", func(n int) string { return "deny exec when a" + strings.Repeat(" or a", n-1) + "\n" }, MaxHeight, diag.ExpressionTooLong},
		{"operations", func(n int) string { return "deny a" + strings.Repeat(", a", n-1) + "\n" }, maxHeader / 2, diag.StatementTooLong},
	} {
		_, errs := Parse(source.New("limit.snp", c.text(c.most)))
		require.Empty(t, errs, c.name)
		_, errs = Parse(source.New("limit.snp", c.text(c.most+1)))
		require.Len(t, errs, 1, c.name)
		require.Equal(t, c.code, errs[0].Code, c.name)
	}
}
