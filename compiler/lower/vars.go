package lower

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/source"
)

// A variable is something about the event that conditions test. It takes
// finitely many values, its cells: values that no condition of the hook
// distinguishes are one cell. A variable that can be unresolved has one more
// cell, the last, for that.
type variable struct {
	kind varKind
	key  string // identifies it within the hook
	// x is the value of a scalar and the left side of a comparison, y its right side.
	x, y  *expr
	cmp   ir.Cmp // Eq or Lt
	field *target.Field
	class ir.ClassifierKind
	sets  *atomSets
	part  *part
	// parts are the variables that stand for this one where its patterns take
	// several automata, by part.
	parts []*variable
	cost  hook.Cost
	uses  int // number of conditions that test it
	span  source.Span

	unresolvable bool
	order        int32 // place in the order in which variables are tested
	known        int   // number of cells without the unresolved one
	// atoms lists, per known cell, the atoms that hold in it, ascending.
	atoms [][]int
	// holders is the inverse: the known cells in which an atom holds.
	holders [][]int32
	// spans are, for a scalar, the intervals of its values in signed order.
	spans []span
	// classifier is the number of the variable's classifier in the module, -1 before it has one.
	classifier int
}

type varKind uint8

const (
	scalarVar  varKind = iota + 1 // an integer, tested by comparing it with constants
	compareVar                    // the outcome of comparing two integers
	classVar                      // a value that takes a classifier
)

// span is an interval of a scalar's values, up to hi, within one cell.
type span struct {
	hi   int64
	cell int32
}

// cells is the number of cells, the unresolved one included.
func (v *variable) cells() int {
	if v.unresolvable {
		return v.known + 1
	}
	return v.known
}

// holds tells whether an atom holds in a known cell.
func (v *variable) holds(atom int32, cell int) bool {
	_, ok := slices.BinarySearch(v.atoms[cell], int(atom))
	return ok
}

// atomSets collects the sets that conditions test membership of. The path
// fields of a hook share one, and so one automaton.
type atomSets struct {
	index    map[string]int32
	patterns []match.Atom
	spans    []source.Span // of the conditions that brought the patterns
	ranges   []match.IntSet
	prefixes []match.PrefixSet

	// uses says, by pattern atom, which rule asks for it.
	uses map[int32]atomUse

	*compiled
}

// atomUse is a rule that asks for an atom, and if that is all that the rule
// asks for, a name for the rules like it; see conditions.use.
type atomUse struct {
	rule int
	like string
}

// compiled is what a list of sets is compiled to.
type compiled struct {
	parts  []*part
	partOf []int32 // by atom; nil if there is one part
}

// part is one classifier.
type part struct {
	data  any     // *match.Automaton, *match.IntClasses or *match.AddrClasses
	lists [][]int // by class, the atoms that hold
}

// classCache keeps what was compiled, by the sets: the hooks of a group often
// ask for the same paths.
type classCache map[[sha256.Size]byte]*compiled

func newAtomSets() *atomSets {
	return &atomSets{index: map[string]int32{}, uses: map[int32]atomUse{}}
}

// add numbers a set; equal keys have equal numbers.
func (s *atomSets) add(key string, insert func()) int32 {
	id, ok := s.index[key]
	if !ok {
		id = int32(len(s.index))
		s.index[key] = id
		insert()
	}
	return id
}

func (s *atomSets) addRanges(rs []check.Range) int32 {
	key := make([]byte, 0, 16*len(rs))
	for _, r := range rs {
		key = binary.LittleEndian.AppendUint64(key, uint64(r.Lo))
		key = binary.LittleEndian.AppendUint64(key, uint64(r.Hi))
	}
	return s.add(string(key), func() { s.ranges = append(s.ranges, unsigned(rs)) })
}

// unsigned gives the same set of 64-bit patterns as unsigned numbers, which is
// how classifiers order them.
func unsigned(rs []check.Range) match.IntSet {
	var set match.IntSet
	for _, r := range rs {
		if r.Lo < 0 && r.Hi >= 0 {
			set = append(set, match.IntRange{Lo: 0, Hi: uint64(r.Hi)}, match.IntRange{Lo: uint64(r.Lo), Hi: math.MaxUint64})
		} else {
			set = append(set, match.IntRange{Lo: uint64(r.Lo), Hi: uint64(r.Hi)})
		}
	}
	return set
}

func (s *atomSets) addPatterns(ps []check.Pattern, sp source.Span) int32 {
	size := 0
	for _, p := range ps {
		size += len(p.Text) + 8
	}
	key := make([]byte, 0, size)
	for _, p := range ps {
		key = append(key, byte(p.Kind))
		key = binary.LittleEndian.AppendUint32(key, uint32(len(p.Text)))
		key = append(key, p.Text...)
	}
	return s.add(string(key), func() {
		atom := match.Atom{Name: sp.String(), Patterns: make([]match.Pattern, len(ps))}
		for i, p := range ps {
			atom.Patterns[i] = match.Pattern{Kind: patternKinds[p.Kind], Text: p.Text}
		}
		s.patterns = append(s.patterns, atom)
		s.spans = append(s.spans, sp)
	})
}

var patternKinds = map[check.PatternKind]match.PatternKind{check.Literal: match.Literal, check.Glob: match.Glob, check.Under: match.Under}

func (s *atomSets) addPrefixes(ps []netip.Prefix) int32 {
	var key []byte
	for _, p := range ps {
		key = append(key, p.String()...)
		key = append(key, ' ')
	}
	return s.add(string(key), func() { s.prefixes = append(s.prefixes, ps) })
}

// digest identifies the sets, in their order.
func (s *atomSets) digest(kind ir.ClassifierKind) [sha256.Size]byte {
	keys := make([]string, len(s.index))
	for key, i := range s.index {
		keys[i] = key
	}
	h := sha256.New()
	word := func(n int) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	if kind == ir.StringClass {
		kind = ir.PathClass // patterns, too
	}
	word(int(kind))
	for i, key := range keys {
		word(len(key))
		h.Write([]byte(key))
		if i < len(s.patterns) {
			word(s.patterns[i].Group)
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// group lets the first of several rules hide the others, where they are alike
// and nothing else asks for their atoms.
func (s *atomSets) group() {
	numbers := map[string]int{}
	for i := range s.patterns {
		like := s.uses[int32(i)].like
		if like == "" {
			continue
		}
		n, ok := numbers[like]
		if !ok {
			n = len(numbers) + 1
			numbers[like] = n
		}
		s.patterns[i].Group = n
	}
}

// build computes the classes, once.
func (s *atomSets) build(kind ir.ClassifierKind, cache classCache) error {
	if s.compiled != nil {
		return nil
	}
	s.group()
	digest := s.digest(kind)
	if c := cache[digest]; c != nil {
		s.compiled = c
		return nil
	}
	c := &compiled{}
	switch kind {
	case ir.PathClass, ir.StringClass:
		as, err := match.CompileSplit(s.patterns, match.Options{})
		if err != nil {
			return err
		}
		for _, a := range as {
			c.parts = append(c.parts, &part{a, a.Classes})
		}
	case ir.AddrClass:
		a, err := match.AddrPartition(s.prefixes)
		if err != nil {
			return err
		}
		c.parts = []*part{{a, a.Classes}}
	case ir.IntClass:
		a, err := match.Partition(s.ranges)
		if err != nil {
			return err
		}
		c.parts = []*part{{a, a.Classes}}
	}
	if len(c.parts) > 1 {
		c.partOf = make([]int32, len(s.index))
		for i, p := range c.parts {
			for _, atoms := range p.lists {
				for _, a := range atoms {
					c.partOf[a] = int32(i)
				}
			}
		}
	}
	s.compiled = c
	cache[digest] = c
	return nil
}

// splitVars builds the classes of all variables and puts in place of one whose
// patterns take several automata one variable for each.
func splitVars(vars []*variable, cache classCache) (out []*variable, failed *variable, err error) {
	for _, v := range vars {
		if v.kind != compareVar {
			kind := v.class
			if v.kind == scalarVar {
				kind = ir.IntClass
			}
			if err := v.sets.build(kind, cache); err != nil {
				return nil, v, err
			}
			v.part = v.sets.compiled.parts[0]
			if all := v.sets.compiled.parts; len(all) > 1 {
				for i, p := range all {
					w := *v
					w.part, w.key = p, fmt.Sprintf("%s, part %d", v.key, i)
					v.parts = append(v.parts, &w)
				}
				out = append(out, v.parts...)
				continue
			}
		}
		out = append(out, v)
	}
	return out, nil, nil
}

// finish computes the cells of a variable.
func (v *variable) finish() {
	v.classifier = -1
	if v.kind == compareVar {
		v.known, v.atoms = 2, [][]int{{}, {0}}
	} else {
		v.known, v.atoms = len(v.part.lists), v.part.lists
	}
	if v.kind == scalarVar {
		v.spans = signedSpans(v.part.data.(*match.IntClasses))
		if m, ok := v.x.mask(); ok {
			v.spans = possibleSpans(v.spans, m)
		}
	}
	var n int
	for _, as := range v.atoms {
		for _, a := range as {
			n = max(n, a+1)
		}
	}
	v.holders = make([][]int32, max(n, len(v.sets.index)))
	for c, as := range v.atoms {
		for _, a := range as {
			v.holders[a] = append(v.holders[a], int32(c))
		}
	}
}

// signedSpans gives the intervals in signed order.
func signedSpans(c *match.IntClasses) []span {
	var low, high []span // not negative, negative
	for i, start := range c.Starts {
		end := uint64(math.MaxUint64)
		if i+1 < len(c.Starts) {
			end = c.Starts[i+1] - 1
		}
		cell := int32(c.Class[i])
		if int64(start) >= 0 {
			low = append(low, span{int64(min(end, math.MaxInt64)), cell})
		}
		if int64(end) < 0 {
			high = append(high, span{int64(end), cell})
		}
	}
	return append(high, low...)
}

// anyCell marks values that do not occur.
const anyCell = -1

// possibleSpans marks the intervals that hold no subset of a mask's bits.
func possibleSpans(spans []span, mask int64) []span {
	if mask < 0 {
		return spans
	}
	out := slices.Clone(spans)
	lo := int64(math.MinInt64)
	for i, s := range out {
		if s.hi < 0 || lo > mask || firstSubset(uint64(mask), uint64(max(lo, 0))) > uint64(s.hi) {
			out[i].cell = anyCell
		}
		lo = s.hi + 1 // after the last interval it wraps, and is not used
	}
	return out
}

// firstSubset is the smallest number not below lo whose bits all are in mask;
// lo is at most mask.
func firstSubset(mask, lo uint64) uint64 {
	var found, raised uint64
	for bit := uint64(1) << 62; bit > 0; bit >>= 1 {
		switch {
		case lo&bit != 0 && mask&bit != 0:
			found |= bit
		case lo&bit != 0:
			return raised
		case mask&bit != 0:
			raised = found | bit
		}
	}
	return found
}

// orderVars fixes the order in which variables are tested: what costs least
// first, then what most conditions ask for, then by the tables' order.
func orderVars(vars []*variable) {
	slices.SortStableFunc(vars, func(a, b *variable) int {
		return cmp.Or(
			cmp.Compare(a.cost, b.cost),
			cmp.Compare(a.stage(), b.stage()),
			-cmp.Compare(a.uses, b.uses),
			cmp.Compare(a.firstField(), b.firstField()),
			cmp.Compare(a.key, b.key))
	})
	for i, v := range vars {
		v.order = int32(i)
	}
}

// stage puts classifiers after other values of the same cost, and paths in the
// order of the table, whatever their number of uses.
func (v *variable) stage() int {
	switch {
	case v.kind != classVar:
		return 0
	case v.class == ir.PathClass:
		return 1 + v.field.Index
	}
	return 1
}

func (v *variable) firstField() int {
	if v.kind == classVar {
		return v.field.Index
	}
	return v.x.firstField()
}
