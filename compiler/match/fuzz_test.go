package match

import (
	"errors"
	"testing"
	"unicode/utf8"
)

// FuzzGlob compares table and reference on one glob and one path, beside
// patterns that share its start, and checks that nothing panics.
func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{
		{"/etc/{shadow,gshadow}*", "/etc/shadow-"}, {"**a**b", "/a/b"}, {"[^a-z]?*", "A/"}, {"{,a{b,c}*}x", "abx"},
		{`\*[\]-]`, "*-"}, {"/a/**", "/a/"}, {"**", ""}, {"[\x80-\xff]", "\xc3"}, {"*a??????????????", "aaaa"}, {"{**,*}{*,**}", "//"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, glob, path string) {
		err := ParseGlob(glob)
		var syntax *GlobError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(glob) || syntax.Msg == "" || !utf8.ValidString(syntax.Msg) {
				t.Fatalf("%#v", err)
			}
			if GlobMatch(glob, path) {
				t.Fatal("a malformed glob matches")
			}
			return
		}
		want := GlobMatch(glob, path)
		for _, atoms := range [][]Atom{
			{{Patterns: []Pattern{{Glob, glob}}}},
			{{Patterns: []Pattern{{Glob, glob}}}, {Patterns: []Pattern{{Literal, "/etc/shadow"}, {Glob, "**.bak"}}}, {Patterns: []Pattern{{Glob, "/etc/*"}, {Glob, glob + "/**"}}}},
		} {
			a, err := Compile(atoms, Options{MaxStates: 1 << 12})
			var limit *LimitError
			var pattern *PatternError
			if errors.As(err, &limit) || errors.As(err, &pattern) && len(glob)+3 > MaxPattern {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			class := a.Classes[a.Match([]byte(path))]
			if got := len(class) > 0 && class[0] == 0; got != want {
				t.Fatalf("table says %v, reference %v", got, want)
			}
			check(t, a, atoms, path)
		}
	})
}

// FuzzAtoms derives a list of patterns and paths from bytes.
func FuzzAtoms(f *testing.F) {
	f.Add([]byte("/a/**\n/a/b\n\n**.c\n{x,y}*\n\n"), []byte("/a/b\n/a/c.c\n"))
	f.Fuzz(func(t *testing.T, patterns, paths []byte) {
		if len(patterns) > 300 || len(paths) > 300 {
			return
		}
		atoms := []Atom{{}}
		for len(patterns) > 0 {
			line := patterns
			for i, b := range patterns {
				if b == '\n' {
					line = patterns[:i]
					break
				}
			}
			patterns = patterns[min(len(line)+1, len(patterns)):]
			p := Pattern{Glob, string(line)}
			switch {
			case len(line) == 0:
				atoms = append(atoms, Atom{})
				continue
			case line[0] == '=':
				p = Pattern{Literal, string(line[1:])}
			case line[0] == '<':
				p = Pattern{Under, string(line[1:])}
			}
			last := &atoms[len(atoms)-1]
			last.Patterns = append(last.Patterns, p)
		}
		a, err := Compile(atoms, Options{MaxStates: 1 << 12})
		var limit *LimitError
		var pattern *PatternError
		if errors.As(err, &limit) || errors.As(err, &pattern) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i <= len(paths); i++ {
			if i == len(paths) || paths[i] == '\n' {
				check(t, a, atoms, string(paths[:i]))
				paths, i = paths[min(i+1, len(paths)):], -1
				if len(paths) == 0 {
					return
				}
			}
		}
	})
}

// FuzzIntegers compares the search with membership.
func FuzzIntegers(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 0, 255}, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, v uint64) {
		sets := make([]IntSet, 3)
		widen := func(b byte) uint64 { // both ends of the space
			if b < 128 {
				return uint64(b)
			}
			return ^uint64(255 - b)
		}
		for i := 0; i+1 < len(data) && i < 64; i += 2 {
			lo, hi := widen(data[i]), widen(data[i+1])
			sets[i/2%3] = append(sets[i/2%3], IntRange{min(lo, hi), max(lo, hi)})
		}
		checkInts(t, sets, []uint64{v})
	})
}
