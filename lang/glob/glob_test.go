package glob_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/snappy-policy/snappy/lang/glob"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob    string
		yes, no []string
	}{
		{"", []string{""}, []string{"a", "/"}},
		{"/a", []string{"/a"}, []string{"/a/", "/ab", "", "a", "/A"}},
		{"/?", []string{"/a", "/\xff", "/."}, []string{"/", "//", "/ab", "/\x00"}},
		{"/é", []string{"/é"}, []string{"/e"}},
		{"/??", []string{"/é"}, []string{"/e"}},
		{"/*", []string{"/", "/a", "/a.b"}, []string{"", "/a/b", "a"}},
		{"/*/b", []string{"/a/b", "//b"}, []string{"/b", "/a/c/b"}},
		{"/a*c*", []string{"/ac", "/abc", "/abbcb"}, []string{"/a", "/ab/c"}},
		{"/x/**", []string{"/x/", "/x/a", "/x/a/b"}, []string{"/x", "/xa"}},
		{"**", []string{"", "/", "/a/b"}, []string{"\x00"}},
		{"***", []string{"", "/a/b"}, nil},
		{"/**/b", []string{"//b", "/a/b", "/a/c/b"}, []string{"/b"}},
		{"/[a-c]", []string{"/a", "/b", "/c"}, []string{"/d", "/", "//"}},
		{"/[^a-c]", []string{"/d", "/\xff"}, []string{"/a", "//", "/", "/\x00"}},
		{"/[.-0]", []string{"/.", "/0"}, []string{"//"}},
		{"/[a-]", []string{"/a", "/-"}, []string{"/b"}},
		{"/[-a]", []string{"/a", "/-"}, []string{"/b"}},
		{`/[\]^\-]`, []string{"/]", "/^", "/-"}, []string{`/\`}},
		{"/[a^]", []string{"/a", "/^"}, []string{"/b"}},
		{"/[*?{]", []string{"/*", "/?", "/{"}, []string{"/a"}},
		{"/{a,b}", []string{"/a", "/b"}, []string{"/", "/ab", "/{a,b}"}},
		{"/{a,}b", []string{"/ab", "/b"}, []string{"/bb"}},
		{"/{a}", []string{"/a"}, []string{"/"}},
		{"/{a,{b,c}d}e", []string{"/ae", "/bde", "/cde"}, []string{"/be", "/ade"}},
		{"/{,a}{,b}", []string{"/", "/a", "/b", "/ab"}, []string{"/ba"}},
		{"/{*,**/x}", []string{"/a", "/a/x"}, []string{"/a/b"}},
		{"/etc/{shadow,gshadow}*", []string{"/etc/shadow", "/etc/gshadow-"}, []string{"/etc/shadow/x", "/etc/passwd"}},
		{`/\*\?\[\]\{\}\,\\`, []string{`/*?[]{},\`}, []string{"/"}},
		{`/{a\,b,c\}}`, []string{"/a,b", "/c}"}, []string{"/a"}},
		{"/a,b", []string{"/a,b"}, []string{"/a"}},
		{"/.*", []string{"/.", "/.a"}, []string{"/a", "/.a/b"}},
	} {
		require.NoError(t, glob.Check(c.glob), c.glob)
		for _, s := range c.yes {
			require.True(t, glob.Match(c.glob, s), "%s should match %q", c.glob, s)
		}
		for _, s := range c.no {
			require.False(t, glob.Match(c.glob, s), "%s should not match %q", c.glob, s)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]string{
		"/[":                       "1: [ is never closed",
		"/[^":                      "1: [ is never closed",
		"/[a":                      "1: [ is never closed",
		"/[a-":                     "1: [ is never closed",
		`/[a\`:                     "1: [ is never closed",
		`/[a-\`:                    "1: [ is never closed",
		"/[]":                      `1: the class is empty; write \] for the character`,
		"/[^]":                     `1: the class is empty; write \] for the character`,
		"/[!a]":                    `2: a class is negated with ^, as in [^a-z]; write \! for the character`,
		"/[b-a]":                   "2: the range 'b'-'a' is reversed",
		"/[a/]":                    "3: a class never matches '/'",
		"/[+-/]":                   "2: a class never matches '/'",
		"/[^\x01-.0-\xff]":         "1: the class matches nothing",
		"/]":                       `1: ] without [; write \] for the character`,
		"/}":                       `1: } without {; write \} for the character`,
		"/{a}}":                    `4: } without {; write \} for the character`,
		"/{a":                      "1: { is never closed",
		"/{a,":                     "1: { is never closed",
		"/{a,{b}":                  "1: { is never closed",
		"/{}":                      `1: {} matches nothing but the empty string; write \{\} for the characters`,
		`/\`:                       `1: the \ at the end escapes nothing`,
		"/a\x00":                   "2: a NUL byte never occurs in a path",
		strings.Repeat("{", 33):    "32: braces nest deeper than 32",
		strings.Repeat("a", 65537): "65536: a glob has at most 65536 bytes",
	} {
		err := glob.Check(text)
		var e *glob.Error
		require.ErrorAs(t, err, &e, "%q", text)
		require.Equal(t, want, fmt.Sprintf("%d: %v", e.Offset, err), "%q", text)
		require.False(t, glob.Match(text, text))
	}
	require.NoError(t, glob.Check(strings.Repeat("{", 32)+"a"+strings.Repeat("}", 32)))
}

func TestLiteralAndQuote(t *testing.T) {
	for text, want := range map[string]string{"/a": "/a", `/\*`: "/*", "": "", "a,b": "a,b"} {
		g, err := glob.Parse(text)
		require.NoError(t, err)
		s, ok := g.Literal()
		require.True(t, ok)
		require.Equal(t, want, s)
	}
	for _, text := range []string{"*", "?", "[a]", "{a}"} {
		g, err := glob.Parse(text)
		require.NoError(t, err)
		_, ok := g.Literal()
		require.False(t, ok, text)
		require.True(t, glob.HasMeta(text))
	}
	require.False(t, glob.HasMeta("/a,b-c"))
	rapid.Check(t, func(t *rapid.T) {
		s := strings.ReplaceAll(rapid.String().Draw(t, "s"), "\x00", "")
		g, err := glob.Parse(glob.Quote(s))
		require.NoError(t, err)
		got, ok := g.Literal()
		require.True(t, ok)
		require.Equal(t, s, got)
	})
}

// Patterns that take backtracking matchers exponential time.
func TestMatchIsNotExponential(t *testing.T) {
	start := time.Now()
	s := "/" + strings.Repeat("a", 4000)
	require.False(t, glob.Match("/"+strings.Repeat("a*", 100)+"b", s))
	require.False(t, glob.Match("/"+strings.Repeat("{a,aa}", 200)+"b", s))
	require.True(t, glob.Match(strings.Repeat("**", 500), s))
	nested := "a"
	for range 30 {
		nested = "{" + nested + "," + nested[:min(len(nested), 500)] + "}"
		if glob.Check(nested) != nil {
			nested = "{a}"
		}
	}
	require.NotPanics(t, func() { glob.Match(nested, s) })
	require.Less(t, time.Since(start), 10*time.Second)
}

func TestPathFlaw(t *testing.T) {
	for text, want := range map[string]glob.Flaw{
		"": glob.Fine, "/": glob.Fine, "/a": glob.Fine, "/a/b.c": glob.Fine, "/...": glob.Fine, "/.a/..b": glob.Fine,
		"**": glob.Fine, "*": glob.Fine, "**/a": glob.Fine, "/*": glob.Fine, "/a/*": glob.Fine, "/a/**": glob.Fine, "/*/": glob.FinalSlash,
		"/**/a": glob.Fine, "{/a,b}": glob.Fine, "{,b}": glob.Fine, "/a/{,b}": glob.Fine, "?": glob.Relative, "/?": glob.Fine,
		"a": glob.Relative, "a/b": glob.Relative, "*.conf": glob.Relative, "{a,b}/c": glob.Relative, "../a": glob.Relative, "[ab]/": glob.Relative,
		"//a": glob.DoubledSlash, "/a//b": glob.DoubledSlash, "/a//*": glob.DoubledSlash,
		"/./a": glob.Dot, "/a/.": glob.Dot, "/.": glob.Dot, "/a/[.]": glob.Dot,
		"/../a": glob.DotDot, "/a/..": glob.DotDot, "/a/..{,/b}": glob.DotDot,
		"/a/": glob.FinalSlash, "/a/*/": glob.FinalSlash,
		"/a//": glob.Impossible, "/a//../b": glob.Impossible, "//./": glob.Impossible,
		"/" + strings.Repeat("a", 4094): glob.Fine, "/" + strings.Repeat("a", 4095): glob.TooLong,
		"/" + strings.Repeat("a", 4094) + "?": glob.TooLong, "/{b," + strings.Repeat("a", 4095) + "}": glob.Fine,
	} {
		g, err := glob.Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, g.PathFlaw(), "%.40q", text)
		if s, ok := g.Literal(); ok {
			require.Equal(t, want, glob.LiteralFlaw(s), "%.40q", text)
		}
	}
	require.Equal(t, glob.Impossible, glob.LiteralFlaw("/a\x00"))
}

// A path that a glob matches and that is canonical shows that the glob has no flaw.
func TestPathFlawAgainstMatch(t *testing.T) {
	paths := []string{"", "/", "/a", "/a/b", "/b/a", "/.a", "/a.", "/...", "/ab", "/a/b/c"}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("/a.*?{,}[]b")), 0, 8, -1).Draw(t, "glob")
		g, err := glob.Parse(text)
		if err != nil {
			return
		}
		for _, p := range paths {
			if g.Match(p) {
				require.Equal(t, glob.Fine, g.PathFlaw(), "%q matches %q", text, p)
			}
		}
	})
}

// bytesAsRunes lets package regexp, which works on runes, work on bytes.
func bytesAsRunes(s string) string {
	r := make([]rune, len(s))
	for i := 0; i < len(s); i++ {
		r[i] = rune(s[i])
	}
	return string(r)
}

// asRegexp translates a well-formed glob: the second definition that the fuzzer compares with.
func asRegexp(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	lit := func(c byte) { fmt.Fprintf(&b, `\x{%x}`, c) }
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '?':
			b.WriteString(`[^/\x00]`)
		case c == '*':
			n := 1
			for i+1 < len(text) && text[i+1] == '*' {
				i++
				n++
			}
			b.WriteString(map[bool]string{true: `[^\x00]*`, false: `[^/\x00]*`}[n > 1])
		case c == '{':
			depth++
			b.WriteString("(?:")
		case c == '}':
			depth--
			b.WriteString(")")
		case c == ',' && depth > 0:
			b.WriteString("|")
		case c == '\\':
			i++
			lit(text[i])
		case c == '[':
			// The class as a list of bytes, worked out one by one.
			i++
			negated := text[i] == '^'
			if negated {
				i++
			}
			in := map[byte]bool{}
			one := func() byte {
				if text[i] == '\\' {
					i++
				}
				i++
				return text[i-1]
			}
			for text[i] != ']' {
				low := one()
				high := low
				if text[i] == '-' && text[i+1] != ']' {
					i++
					high = one()
				}
				for x := int(low); x <= int(high); x++ {
					in[byte(x)] = true
				}
			}
			b.WriteString("[")
			for x := 1; x < 256; x++ {
				if in[byte(x)] != negated && x != '/' {
					lit(byte(x))
				}
			}
			b.WriteString("]")
		default:
			lit(c)
		}
	}
	b.WriteString(`)\z`)
	return regexp.MustCompile(b.String())
}

func FuzzGlobMatch(f *testing.F) {
	for _, g := range []string{"", "/a", "/*", "/**/x", "/{a,{b,}c}*", "/[a-c^][^x]", `/\*\[`, "**a**", "/[-\\]a]?", "{,{,}}", "a,b", "\xff[\x80-\xff]"} {
		for _, s := range []string{"", "/a", "/b/x", "/acx", "/*[", "a,b", "/]z", "\xff\x80"} {
			f.Add(g, s)
		}
	}
	f.Fuzz(func(t *testing.T, text, s string) {
		g, err := glob.Parse(text)
		if err != nil {
			require.IsType(t, &glob.Error{}, err)
			require.LessOrEqual(t, err.(*glob.Error).Offset, len(text))
			return
		}
		if len(text) > 200 || len(s) > 200 {
			return
		}
		g.PathFlaw()
		require.Equal(t, asRegexp(text).MatchString(bytesAsRunes(s)), g.Match(s), "%q on %q", text, s)
	})
}
