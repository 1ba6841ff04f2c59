package match

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func glob(texts ...string) Atom {
	var a Atom
	for _, t := range texts {
		a.Patterns = append(a.Patterns, Pattern{Glob, t})
	}
	return a
}

// check compares the automaton with the definition on paths.
func check(t *testing.T, a *Automaton, atoms []Atom, path string) {
	t.Helper()
	want := MatchAtoms(atoms, []byte(path))
	m := machine{a: a, path: []byte(path), scan: true, state: a.Start}
	class := m.run()
	got := a.Classes[class]
	if len(want) == 0 {
		require.Zero(t, class, "path %q atoms %v", path, atoms)
	} else {
		require.Equal(t, want, got, "path %q atoms %v", path, atoms)
	}
	plain := machine{a: a, path: []byte(path), state: a.Start}
	require.Equal(t, class, plain.run())
	bound := (len(path) + 1) * (1 + a.Stats.Retries)
	require.LessOrEqual(t, m.steps, bound)
	require.LessOrEqual(t, plain.steps, bound)
}

func TestSemantics(t *testing.T) {
	for _, c := range []struct {
		glob    string
		yes, no []string
	}{
		{"", []string{""}, []string{"/", "a"}},
		{"**", []string{"", "/", "a", "/a/b", "\n", "\xff\xfe"}, nil},
		{"*", []string{"", "a", "abc", "\n", "\x80"}, []string{"/", "a/b"}},
		{"?", []string{"a", "\n", "\xff"}, []string{"", "/", "ab"}},
		{"/a", []string{"/a"}, []string{"", "/", "/a/", "/ab", "a"}},
		{"/a/**", []string{"/a/", "/a/b", "/a/b/c", "/a//"}, []string{"/a", "/ab", "", "/"}},
		{"/a/**/b", []string{"/a//b", "/a/x/b", "/a/x/y/b", "/a/b/b"}, []string{"/a/b", "/a/xb", "/a/x/bb"}},
		{"/a/*", []string{"/a/", "/a/b"}, []string{"/a", "/a/b/", "/a/b/c"}},
		{"***", []string{"", "/a/b"}, nil},
		{"****x", []string{"x", "/a/bx"}, []string{"", "xy"}},
		{"**/x", []string{"/x", "/a/x", "a/x"}, []string{"x", "/ax", "/x/"}},
		{"/a*b", []string{"/ab", "/axb", "/abb"}, []string{"/a/b", "/a"}},
		{"[a-c]", []string{"a", "b", "c"}, []string{"", "d", "-", "ab", "/"}},
		{"[^a-c]", []string{"d", "-", "^", "\xff", "\n"}, []string{"a", "b", "/", ""}},
		{"[!x]", []string{"!", "x"}, []string{"y", "^"}},
		{"[x^]", []string{"x", "^"}, []string{"y"}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{"[-a]", []string{"a", "-"}, []string{"b"}},
		{"[+-9]", []string{"+", "0", "9", "."}, []string{"/", ":"}},
		{"[\\]\\-]", []string{"]", "-"}, []string{"\\", "a"}},
		{"[a,b]", []string{"a", ",", "b"}, []string{"[a", "{"}},
		{"[*?{}]", []string{"*", "?", "{", "}"}, []string{"a", ""}},
		{"[[]", []string{"["}, []string{"]", "a"}},
		{"[\x80-\xff]", []string{"\x80", "\xff", "\xc3"}, []string{"\x7f", "a"}},
		{"{a,b}", []string{"a", "b"}, []string{"", "ab", "a,b", "{a,b}"}},
		{"{a}", []string{"a"}, []string{"{a}", ""}},
		{"{,a}b", []string{"b", "ab"}, []string{"a", "aab"}},
		{"{a,}", []string{"", "a"}, []string{"aa"}},
		{"{a,{b,c}d}e", []string{"ae", "bde", "cde"}, []string{"ade", "be", "e"}},
		{"{,a}{,a}{,a}", []string{"", "a", "aa", "aaa"}, []string{"aaaa", "b"}},
		{"{**,q}x", []string{"x", "/x", "qx", "a/bx"}, []string{"q", ""}},
		{"{*,q/r}x", []string{"x", "zx", "q/rx"}, []string{"q/x", "/x"}},
		{"{a*,b**}/c", []string{"a/c", "axx/c", "b/c", "bx/y/c"}, []string{"ax/y/c", "c", "/c"}},
		{"/etc/{shadow,gshadow}*", []string{"/etc/shadow", "/etc/gshadow-", "/etc/shadow~"}, []string{"/etc/passwd", "/etc/shadow/x"}},
		{"a,b", []string{"a,b"}, []string{"a", "b"}},
		{`\*\?\[\]\{\}\,\\\/`, []string{`*?[]{},\/`}, []string{"x", `\*`}},
		{`{a\,b,c\}}`, []string{"a,b", "c}"}, []string{"a", "c"}},
		{"{[,],[}]}", []string{",", "}"}, []string{"a"}},
		{"é?", []string{"éx"}, []string{"éé", "é"}},
		{"a\nb", []string{"a\nb"}, []string{"a", "ab"}},
		{"-!^~$", []string{"-!^~$"}, []string{""}},
		{"/0123456789abcdef/0123456789", []string{"/0123456789abcdef/0123456789"}, []string{"/0123456789abcdef/012345678", "/0123456789abcdef/01234567890", "/0123456789abcdeF/0123456789"}},
	} {
		t.Run(c.glob, func(t *testing.T) {
			require.NoError(t, ParseGlob(c.glob))
			atoms := []Atom{glob(c.glob)}
			a, err := Compile(atoms, Options{})
			require.NoError(t, err)
			for _, p := range c.yes {
				require.True(t, GlobMatch(c.glob, p), "GlobMatch %q", p)
				require.Equal(t, []int{0}, a.Classes[a.Match([]byte(p))], "Match %q", p)
				check(t, a, atoms, p)
			}
			for _, p := range c.no {
				require.False(t, GlobMatch(c.glob, p), "GlobMatch %q", p)
				require.Zero(t, a.Match([]byte(p)), "Match %q", p)
				check(t, a, atoms, p)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	atoms := []Atom{
		{Patterns: []Pattern{{Literal, "/a/*"}}},
		{Patterns: []Pattern{{Under, "/a"}}},
		{Patterns: []Pattern{{Under, "/"}}},
		{Patterns: []Pattern{{Under, "/a/b/"}}},
		{Patterns: []Pattern{{Literal, ""}}},
		{Patterns: []Pattern{{Under, "a"}, {Literal, "/x"}, {Glob, "/y?"}}},
		{},
		{Patterns: []Pattern{{Under, "///"}}},
	}
	a, err := Compile(atoms, Options{})
	require.NoError(t, err)
	for path, want := range map[string][]int{
		"": {4}, "/": {2, 7}, "/a": {1, 2, 7}, "/a/": {1, 2, 7}, "/a/*": {0, 1, 2, 7}, "/a/b": {1, 2, 3, 7},
		"/a/b/c": {1, 2, 3, 7}, "/a/bc": {1, 2, 7}, "/ab": {2, 7}, "a": {5}, "a/b": {5}, "ab": {},
		"/x": {2, 5, 7}, "/yz": {2, 5, 7}, "/y/": {2, 7},
		"/a\x00/b": {1, 2, 7}, "\x00": {4}, // NUL ends a path
	} {
		require.Equal(t, want, a.Classes[a.Match([]byte(path))], "%q", path)
		check(t, a, atoms, path)
	}
}

func TestGlobErrors(t *testing.T) {
	for _, c := range []struct {
		glob   string
		offset int
	}{
		{"[", 0}, {"a[b", 1}, {"[]", 0}, {"[^]", 0}, {"[^", 0}, {"[a-", 0}, {"[\\", 0}, {"[a\\]", 0}, {"[b-a]", 1}, {"[xb-a]", 2},
		{"]", 0}, {"a]", 1}, {"[a]]", 3}, {"[[:alpha:]]", 10},
		{"{", 0}, {"{a", 0}, {"{a,", 0}, {"x{a,{b}", 1}, {"}", 0}, {"a}", 1}, {"{a}}", 3}, {"{}", 0}, {"a{}", 1},
		{"\\", 0}, {"ab\\", 2}, {"{\\", 1}, {"a\x00b", 1}, {"[/]", 1}, {"[a-/]", 1}, {"[/-a]", 1}, {"[^\x01-\xff]", 0},
		{string(make([]byte, MaxPattern+1)), MaxPattern}, {strings.Repeat("{a,", MaxNesting+1) + strings.Repeat("}", MaxNesting+1), 3 * MaxNesting},
	} {
		err := ParseGlob(c.glob)
		var ge *GlobError
		require.ErrorAs(t, err, &ge, "%q", c.glob)
		require.Equal(t, c.offset, ge.Offset, "%q: %v", c.glob, err)
		require.NotEmpty(t, ge.Msg)
		require.False(t, GlobMatch(c.glob, "a"))
		_, err = Compile([]Atom{{Name: "rules.snp:7", Patterns: []Pattern{{Glob, c.glob}}}}, Options{})
		var pe *PatternError
		require.ErrorAs(t, err, &pe)
		require.ErrorAs(t, err, &ge)
		require.ErrorContains(t, err, "rules.snp:7")
	}
	for _, p := range []Pattern{{}, {Kind: 9, Text: "a"}, {Under, ""}, {Literal, "a\x00"}, {Literal, string(make([]byte, MaxPattern+1))}} {
		_, err := Compile([]Atom{{Patterns: []Pattern{p}}}, Options{})
		var pe *PatternError
		require.ErrorAs(t, err, &pe)
	}
}

func TestEmpty(t *testing.T) {
	for _, atoms := range [][]Atom{nil, {{}}, {{}, {}}} {
		a, err := Compile(atoms, Options{})
		require.NoError(t, err)
		require.Zero(t, a.Match([]byte("/a")))
		require.Zero(t, a.Match(nil))
	}
}

// randomGlob makes a small glob over few bytes, so that patterns overlap.
func randomGlob(r *rand.Rand, depth int) string {
	const letters = "aab/./"
	s := ""
	for n := r.IntN(6); n >= 0; n-- {
		switch r.IntN(14) {
		case 0:
			s += "*"
		case 1:
			s += "**"
		case 2:
			s += "?"
		case 3:
			s += []string{"[ab]", "[^a]", "[a-c]", "[^b/.]", "[.]", "[\x01-\xff]"}[r.IntN(5)]
		case 4, 5:
			if depth > 0 {
				s += "{"
				for k := r.IntN(3); k >= 0; k-- {
					s += randomGlob(r, depth-1)
					if k > 0 {
						s += ","
					}
				}
				s += "}"
			}
		default:
			s += string(letters[r.IntN(len(letters))])
		}
	}
	return s
}

func randomPattern(r *rand.Rand) Pattern {
	for {
		p := Pattern{Glob, randomGlob(r, 2)}
		switch r.IntN(8) {
		case 0:
			p.Kind = Literal
		case 1:
			p.Kind = Under
		}
		if p.Kind == Glob && ParseGlob(p.Text) != nil || p.Kind == Under && p.Text == "" {
			continue
		}
		return p
	}
}

// samplePath makes a path that nearly or really matches a glob: it walks the
// text, chooses for each metacharacter, and may spoil one byte.
func samplePath(r *rand.Rand, p Pattern) string {
	const bytes = "aab/./c\xff"
	any := func() string { return string(bytes[r.IntN(len(bytes))]) }
	s := ""
	for i := 0; i < len(p.Text); i++ {
		switch c := p.Text[i]; c {
		case '*':
			for n := r.IntN(4); n > 0; n-- {
				s += any()
			}
		case '?', '[', ']', '{', '}', ',', '^':
			if r.IntN(3) > 0 {
				s += any()
			}
		default:
			s += string(c)
		}
	}
	switch r.IntN(5) {
	case 0:
		if len(s) > 0 {
			i := r.IntN(len(s))
			s = s[:i] + any() + s[i+1:]
		}
	case 1:
		s += any()
	case 2:
		s = s[:r.IntN(len(s)+1)]
	}
	return s
}

func TestRandom(t *testing.T) {
	rounds := 6000
	if testing.Short() {
		rounds = 600
	}
	pairs := 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		atoms := make([]Atom, 1+r.IntN(5))
		for i := range atoms {
			for n := r.IntN(3); n >= 0; n-- {
				atoms[i].Patterns = append(atoms[i].Patterns, randomPattern(r))
			}
		}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err, "seed %d %v", seed, atoms)
		for range 40 {
			at := atoms[r.IntN(len(atoms))].Patterns
			check(t, a, atoms, samplePath(r, at[r.IntN(len(at))]))
			pairs++
		}
	}
	t.Logf("%d (pattern list, path) pairs", pairs)
}

func paths(n int, format string) Atom {
	var a Atom
	for i := range n {
		a.Patterns = append(a.Patterns, Pattern{Glob, fmt.Sprintf(format, i, i*7919%100000)})
	}
	return a
}

func perAtom(n int, format string) []Atom {
	var out []Atom
	for i := range n {
		out = append(out, glob(fmt.Sprintf(format, i, i*7919%100000)))
	}
	return out
}
