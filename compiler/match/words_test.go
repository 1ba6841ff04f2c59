package match

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wordPattern makes patterns as policies have them: long components from a
// small stock, so that they share prefixes and tails, with stars here and there.
func wordPattern(r *rand.Rand) Pattern {
	stock := []string{"usr", "share", "application", "application-data", "config.conf", "x.conf", ".ssh", "lib", "libexec", "a", "ab", "aab", "site-packages", "ssssssssssssss"}
	word := func() string { return stock[r.IntN(len(stock))] }
	s := ""
	for n := r.IntN(5); n >= 0; n-- {
		s += "/"
		switch r.IntN(12) {
		case 0:
			s += "*"
		case 1:
			s += "**"
		case 2:
			s += word() + "*"
		case 3:
			s += "*" + word()
		case 4:
			s += "{" + word() + "," + word() + "}"
		case 5:
			s += word()[1:] + "?" + word()
		case 6:
			s += "[a-s]" + word()
		default:
			s += word()
		}
	}
	switch r.IntN(10) {
	case 0:
		return Pattern{Literal, s}
	case 1:
		return Pattern{Under, s}
	case 2:
		return Pattern{Glob, "**" + s[1:]}
	case 3:
		return Pattern{Glob, s + "/**"}
	case 4:
		return Pattern{Glob, s + "{,.bak,.conf}"}
	}
	return Pattern{Glob, s}
}

// wordPath makes a path near a pattern: stars become words or pieces of other
// patterns, and a byte may be changed, dropped or doubled.
func wordPath(r *rand.Rand, patterns []Pattern) string {
	pick := func() string { return patterns[r.IntN(len(patterns))].Text }
	s := pick()
	for _, c := range []string{"**", "*", "?", "[a-s]"} {
		for strings.Contains(s, c) {
			fill := ""
			switch r.IntN(4) {
			case 0:
				fill = "a"
			case 1:
				fill = strings.Map(func(b rune) rune {
					if strings.ContainsRune("*?[]{},", b) {
						return -1
					}
					return b
				}, pick())
				fill = fill[:r.IntN(len(fill)+1)]
			case 2:
				fill = "/.bak"
			}
			s = strings.Replace(s, c, fill, 1)
		}
	}
	for strings.Contains(s, "{") {
		open, end := strings.Index(s, "{"), strings.Index(s, "}")
		parts := strings.Split(s[open+1:end], ",")
		s = s[:open] + parts[r.IntN(len(parts))] + s[end+1:]
	}
	if s == "" {
		return s
	}
	switch i := r.IntN(len(s)); r.IntN(8) {
	case 0:
		return s[:i] + string([]byte{byte(1 + r.IntN(255))}) + s[i+1:]
	case 1:
		return s[:i] + s[i+1:]
	case 2:
		return s[:i] + s[i:i+1] + s[i:]
	case 3:
		return s[:i]
	case 4:
		return s + s[i:]
	}
	return s
}

func TestRandomWords(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	pairs, runs, scans, retries := 0, 0, 0, 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 6))
		atoms := make([]Atom, 1+r.IntN(4))
		var all []Pattern
		for i := range atoms {
			for range 1 + r.IntN(4) {
				atoms[i].Patterns = append(atoms[i].Patterns, wordPattern(r))
			}
			all = append(all, atoms[i].Patterns...)
		}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err, "seed %d %v", seed, atoms)
		for range 60 {
			check(t, a, atoms, wordPath(r, all))
			pairs++
		}
		retries = max(retries, a.Stats.Retries)
		runs += a.Stats.Runs
		scans += a.Stats.Scans
	}
	t.Logf("%d pairs; %d runs, %d scans, retries up to %d", pairs, runs, scans, retries)
	require.NotZero(t, runs)
	require.NotZero(t, scans)
	require.Equal(t, maxRetries, retries)
}

// TestResume stops a match before each step and goes on with another path that
// has the same bytes from there on.
func TestResume(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		atoms := []Atom{{Patterns: []Pattern{wordPattern(r), wordPattern(r), wordPattern(r)}}}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err)
		path := []byte(wordPath(r, atoms[0].Patterns))
		m := machine{a: a, path: path, scan: true, state: a.Start}
		for class := a.Match(path); !m.done(); m.step() {
			other := append(make([]byte, m.pos), path[m.pos:]...)
			again := machine{a: a, path: other, scan: r.IntN(2) == 0, state: m.state, pos: m.pos}
			require.Equal(t, class, again.run())
		}
	}
}

// TestBehindTheEnd shows that bytes behind the NUL never matter.
func TestBehindTheEnd(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 8))
		atoms := []Atom{{Patterns: []Pattern{wordPattern(r), wordPattern(r)}}, {Patterns: []Pattern{wordPattern(r)}}}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err)
		full := []byte(wordPath(r, append(atoms[0].Patterns, atoms[1].Patterns...)))
		for i := range full {
			cut := append([]byte{}, full...)
			cut[i] = 0
			require.Equal(t, a.Match(full[:i]), a.Match(cut))
		}
	}
}
