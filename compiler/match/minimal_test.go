package match

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// textStates explores the subset automaton of the reference matcher: a second
// determinisation that knows nothing of tries, defaults or final states.
func textStates(t *testing.T, atoms []Atom) (rows [][256]int, end []string) {
	var ms []*textMatcher
	var owner []byte
	for i, a := range atoms {
		for _, p := range a.Patterns {
			require.Equal(t, Glob, p.Kind)
			ms = append(ms, newTextMatcher(p.Text))
			owner = append(owner, byte(i))
		}
	}
	type config [][]int // offsets by matcher, ascending
	key := func(c config) string {
		var b []byte
		for _, os := range c {
			for _, o := range os {
				b = binary.AppendUvarint(b, uint64(o)+1)
			}
			b = append(b, 0)
		}
		return string(b)
	}
	id := map[string]int{}
	var list []config
	add := func(c config) int {
		k := key(c)
		if i, ok := id[k]; ok {
			return i
		}
		id[k] = len(list)
		list = append(list, c)
		return id[k]
	}
	sorted := func(s *offsets) (out []int) {
		for o, has := range s.has {
			if has {
				out = append(out, o)
			}
		}
		return out
	}
	start := make(config, len(ms))
	for i, m := range ms {
		s := newOffsets(len(m.text) + 1)
		m.reach(s, 0)
		start[i] = sorted(s)
	}
	add(start)
	for i := 0; i < len(list); i++ {
		require.Less(t, i, 5000)
		var row [256]int
		accepted := make([]byte, len(atoms))
		for k, m := range ms {
			for _, o := range list[i][k] {
				if o == len(m.text) {
					accepted[owner[k]] = 1
				}
			}
		}
		for b := 1; b < 256; b++ {
			c := make(config, len(ms))
			for k, m := range ms {
				s := newOffsets(len(m.text) + 1)
				for _, o := range list[i][k] {
					if o < len(m.text) {
						m.consume(s, o, byte(b))
					}
				}
				c[k] = sorted(s)
			}
			row[b] = add(c)
		}
		rows = append(rows, row)
		end = append(end, string(accepted))
	}
	return rows, end
}

// moore counts the states of the minimal automaton, and those of them whose
// outcome is fixed, by the textbook refinement.
func moore(rows [][256]int, end []string) (states, fixed int) {
	block := make([]int, len(rows))
	count := 0
	for {
		ids := map[string]int{}
		next := make([]int, len(rows))
		for i := range rows {
			k := []byte(end[i])
			k = binary.AppendUvarint(k, uint64(block[i]))
			for b := 1; b < 256; b++ {
				k = binary.AppendUvarint(k, uint64(block[rows[i][b]]))
			}
			id, ok := ids[string(k)]
			if !ok {
				id = len(ids)
				ids[string(k)] = id
			}
			next[i] = id
		}
		block = next
		if len(ids) == count {
			break
		}
		count = len(ids)
	}
	loops := map[int]bool{}
	for i, row := range rows {
		self := true
		for b := 1; b < 256; b++ {
			self = self && block[row[b]] == block[i]
		}
		if self {
			loops[block[i]] = true
		}
	}
	return count, len(loops)
}

// reachable counts the states of a graph that are reachable by transitions: a
// hint may keep others.
func reachable(g *graph, start target) int {
	seen := map[target]bool{}
	work := []target{start}
	for len(work) > 0 {
		t := work[len(work)-1]
		work = work[:len(work)-1]
		if t.tag() != tagState || seen[t] {
			continue
		}
		seen[t] = true
		work = append(work, g.def[t.index()])
		_, to := g.row(t.index())
		work = append(work, to...)
	}
	return len(seen)
}

func compileGraph(t *testing.T, atoms []Atom) (*graph, target) {
	n := newNFA()
	for i, a := range atoms {
		for _, p := range a.Patterns {
			require.NoError(t, n.insert(p, int32(i)))
		}
	}
	n.analyse()
	d := newDeterminiser(n, newAtomSets(atoms), Options{MaxStates: DefaultMaxStates, MaxTable: DefaultMaxTable})
	start, over := d.run()
	require.Nil(t, over)
	return d.minimise(start)
}

func TestMinimal(t *testing.T) {
	cases := [][]Atom{
		{glob("/a/b/c", "/a/x/c", "/b/b/c")},
		{glob("/a/**"), glob("/a/b/secret")},
		{glob("**")}, {glob("*")}, {glob("")}, {glob("**a**b**c**")},
		{glob("*a*b*c*")},
		{glob("/x/**y", "/z/**y")}, // two copies of one cyclic part
		{glob("{a,b}*{c,d}")},
		{glob("**", "a")}, {glob("{**,a}/b"), glob("[^a]*")},
		{glob("[\x01-\x7f]x", "[\x80-\xff]x")}, {glob("[^\x01-\x7f]*", "[\x01-\x7f]*")},
		{glob("[\x01-\x7f]x", "[^\x01-\x7f]x", "b*"), glob("??")},
	}
	rounds := 120
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 2))
		atoms := make([]Atom, 1+r.IntN(3))
		for i := range atoms {
			for n := r.IntN(2); n >= 0; n-- {
				p := randomPattern(r)
				for p.Kind != Glob || strings.Count(p.Text, "*") > 5 {
					p = randomPattern(r)
				}
				atoms[i].Patterns = append(atoms[i].Patterns, p)
			}
		}
		cases = append(cases, atoms)
	}
	for _, atoms := range cases {
		rows, end := textStates(t, atoms)
		states, fixed := moore(rows, end)
		g, start := compileGraph(t, atoms)
		require.Equal(t, states-fixed, reachable(g, start), "%v", atoms)
	}
}

// TestNoSpareByte mentions every byte, so that no byte stands for the others.
func TestNoSpareByte(t *testing.T) {
	var all Atom
	for b := 1; b < 256; b++ {
		if b != '/' {
			all.Patterns = append(all.Patterns, Pattern{Glob, string([]byte{'/', '\\', byte(b), 'x'})})
		}
	}
	atoms := []Atom{all, glob("/?x"), glob("/[^\xff]?"), glob("**y")}
	a, err := Compile(atoms, Options{})
	require.NoError(t, err)
	for b := 1; b < 256; b++ {
		for _, tail := range []string{"x", "y", "", "\xff"} {
			check(t, a, atoms, "/"+string([]byte{byte(b)})+tail)
		}
	}
	g, start := compileGraph(t, atoms)
	states, fixed := moore(textStates(t, atoms))
	require.Equal(t, states-fixed, reachable(g, start))
}

func TestDeterministic(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 100 {
		atoms := make([]Atom, 5)
		for i := range atoms {
			atoms[i].Patterns = []Pattern{randomPattern(r), randomPattern(r)}
		}
		a, err := Compile(atoms, Options{})
		require.NoError(t, err)
		b, err := Compile(atoms, Options{})
		require.NoError(t, err)
		require.True(t, bytes.Equal(a.Table, b.Table))
		require.Equal(t, a, b)
	}
}

// TestBlowUp compiles what would explode: it must either stay small or stop at
// a limit, in little time, and name the atom.
func TestBlowUp(t *testing.T) {
	repeat := func(s string, n int) string { return strings.Repeat(s, n) }
	letters := func(sep string, n int) string {
		s := ""
		for i := range n {
			s += sep + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		}
		return s
	}
	var products Atom
	for i := range 40 {
		products.Patterns = append(products.Patterns, Pattern{Glob, fmt.Sprintf("**<%02d>**<%02d>", i, i)})
	}
	classes := ""
	for i := range 4000 {
		classes += fmt.Sprintf(",[%c%c-Z]x%d", 'a'+i%26, 'A'+i/26%26, i)
	}
	harmless := glob("/etc/passwd")
	harmless.Name = "rules.snp:1"
	for _, c := range []struct {
		name  string
		atom  Atom
		fails bool
	}{
		{"stars in a row of letters", glob(letters("**", 200)), false},
		{"component stars", glob("/x/" + letters("*", 200)), false},
		{"stars and components", glob(repeat("/**/*a*b", 40)), false},
		{"optional letters", glob(repeat("{,a}", 300)), false},
		{"nested alternatives", glob(repeat("{a,b", 30) + repeat("}", 30)), false},
		{"row of alternatives", glob(repeat("{a,b,ab,ba}", 100)), false},
		{"nested stars", glob(repeat("{*,**,", 15) + "x" + repeat("}*", 15)), false},
		{"counting back", glob("**a" + repeat("?", 40)), true},
		{"counting back in a component", glob("*a" + repeat("[^b]", 40)), true},
		{"product of double stars", products, true},
		{"long literal in a loop", glob("**" + repeat("a", 1000)), false},
		{"very long literal in a loop", glob("**" + repeat("a", 60000)), true},
		{"many optional letters", glob(repeat("{,a}", 16000)), true},
		{"many double stars", glob(repeat("**a", 20000)), false},
		{"many stars of both kinds", glob(repeat("*a/**b", 10000)), false},
		{"optional stars", glob(repeat("{,*a}", 10000)), false},
		{"alternatives of classes", glob("**{" + classes[1:] + "}"), true},
		{"question marks", glob(repeat("?", 60000)), false},
		{"long literal", glob(repeat("ab/", 20000)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.atom.Name = "rules.snp:31"
			began := time.Now()
			atoms := []Atom{harmless, c.atom, harmless}
			a, err := Compile(atoms, Options{MaxStates: 1 << 17})
			took := time.Since(began)
			t.Logf("%v %v", took.Round(time.Millisecond), err)
			require.Less(t, took, 5*time.Second)
			if !c.fails {
				require.NoError(t, err)
				t.Logf("%+v", a.Stats)
				for _, p := range []string{"", "/etc/passwd", "aaaaaaaaaaaaaaaaaa", "/x/abcabc"} {
					check(t, a, atoms, p)
				}
				return
			}
			var le *LimitError
			require.ErrorAs(t, err, &le)
			require.Equal(t, "rules.snp:31", le.Name)
			require.Equal(t, 1, le.Index)
			require.ErrorContains(t, err, "rules.snp:31: path patterns are too complex")
		})
	}
}

func TestTableLimit(t *testing.T) {
	atoms := []Atom{glob("/a"), paths(1000, "/usr/share/application%05d/config%05d.conf")}
	atoms[1].Name = "web.snp:3"
	a, err := Compile(atoms, Options{})
	require.NoError(t, err)
	_, err = Compile(atoms, Options{MaxTable: len(a.Table)})
	require.NoError(t, err)
	for _, limit := range []int{1, 1000, len(a.Table) / 2, len(a.Table) - 1} {
		_, err = Compile(atoms, Options{MaxTable: limit})
		var le *LimitError
		require.ErrorAs(t, err, &le, "%d", limit)
		require.Equal(t, LimitError{1, "web.snp:3", "table bytes", limit}, *le)
	}
}
