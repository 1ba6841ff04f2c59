package match

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkSplit compares several automata with the definition on a path.
func checkSplit(t *testing.T, as []*Automaton, atoms []Atom, path string) {
	t.Helper()
	got := []int{}
	for _, a := range as {
		got = append(got, a.Classes[a.Match([]byte(path))]...)
	}
	slices.Sort(got)
	require.Equal(t, append([]int{}, MatchAtoms(atoms, []byte(path))...), got, "path %q", path)
}

func secrets(n int) (atoms []Atom) {
	for i := range n {
		a := glob(fmt.Sprintf("**/.secret%02d/**", i))
		a.Name = fmt.Sprintf("rules.snp:%d", i+1)
		atoms = append(atoms, a, glob(fmt.Sprintf("/srv/app%02d/*.conf", i)))
	}
	return atoms
}

func TestSplit(t *testing.T) {
	atoms := secrets(40)
	_, err := Compile(atoms, Options{MaxStates: 1 << 16})
	var limit *LimitError
	require.ErrorAs(t, err, &limit)

	as, err := CompileSplit(atoms, Options{})
	require.NoError(t, err)
	require.Greater(t, len(as), 2)
	total := 0
	for _, a := range as {
		total += len(a.Table)
	}
	t.Logf("%d automata, %d bytes", len(as), total)
	r := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		path := ""
		for range r.IntN(6) {
			path += []string{"/srv", "/x", fmt.Sprintf("/app%02d", r.IntN(42)), fmt.Sprintf("/.secret%02d", r.IntN(42)), "/a.conf"}[r.IntN(5)]
		}
		checkSplit(t, as, atoms, path)
	}

	again, err := CompileSplit(atoms, Options{})
	require.NoError(t, err)
	require.Equal(t, as, again)

	_, err = CompileSplit(atoms, Options{MaxTable: total - 1})
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "table bytes", limit.What)
	require.Equal(t, total-1, limit.Limit)
	_, err = CompileSplit(secrets(2000), Options{})
	require.ErrorAs(t, err, &limit)
	require.Contains(t, limit.Name, "rules.snp:")

	as, err = CompileSplit(nil, Options{})
	require.NoError(t, err)
	require.Len(t, as, 1)
	as, err = CompileSplit(perAtom(1000, "/usr/share/application%05d/config%05d.conf"), Options{})
	require.NoError(t, err)
	require.Len(t, as, 1, "no split without need")
	_, err = CompileSplit([]Atom{glob("a"), glob("[")}, Options{})
	var malformed *PatternError
	require.ErrorAs(t, err, &malformed)
	require.Equal(t, 1, malformed.Index)
}

// TestSettled shows that patterns of an atom that holds already add no states:
// behind /a/ only the other atom is of interest.
func TestSettled(t *testing.T) {
	secret := glob("/a/**")
	for i := range 12 {
		secret.Patterns = append(secret.Patterns, Pattern{Glob, fmt.Sprintf("/a/**x%02d**y%02d", i, i)})
	}
	atoms := []Atom{secret, glob("/a/**.bak")}
	a, err := Compile(atoms, Options{})
	require.NoError(t, err)
	t.Logf("%+v", a.Stats)
	require.Less(t, a.Stats.Subsets, 20)
	check(t, a, atoms, "/a/x00y00.bak")
}

// TestGroup compares grouped atoms with the definition; where only the first
// match counts, combinations do not multiply.
func TestGroup(t *testing.T) {
	atoms := secrets(40)
	for i := range atoms {
		atoms[i].Group = 7
	}
	a, err := Compile(atoms, Options{})
	require.NoError(t, err)
	require.Len(t, a.Classes, len(atoms)+1)
	t.Logf("%+v", a.Stats)
	require.Less(t, a.Stats.Subsets, 4000, "hidden atoms are left out of subsets")
	check(t, a, atoms, "/srv/app03/x.conf")
	check(t, a, atoms, "/srv/.secret09/.secret04/.secret12/x.conf")

	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 10))
		atoms := make([]Atom, 2+r.IntN(5))
		for i := range atoms {
			atoms[i].Group = []int{0, -3, 1 << 40}[r.IntN(3)]
			for n := r.IntN(3); n >= 0; n-- {
				atoms[i].Patterns = append(atoms[i].Patterns, randomPattern(r))
			}
		}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err)
		for range 20 {
			p := atoms[r.IntN(len(atoms))].Patterns
			check(t, a, atoms, samplePath(r, p[r.IntN(len(p))]))
		}
	}
}
