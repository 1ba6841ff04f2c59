package match

import "fmt"

// PatternKind says how the text of a [Pattern] is read.
type PatternKind uint8

const (
	// Glob is a glob as package documentation defines it, anchored at both ends.
	Glob PatternKind = iota + 1
	// Literal matches exactly its text; no byte of it is special.
	Literal
	// Under matches a directory and everything below it, by whole components:
	// Under "/a" matches "/a" and "/a/b", not "/ab". Trailing slashes of the
	// text are ignored; "/" matches every path that starts with '/'. An empty
	// text is an error.
	Under
)

func (k PatternKind) String() string {
	switch k {
	case Glob:
		return "glob"
	case Literal:
		return "literal"
	case Under:
		return "under"
	}
	return fmt.Sprintf("PatternKind(%d)", uint8(k))
}

// A Pattern describes a set of paths. Its text holds no NUL byte and at most
// [MaxPattern] bytes.
type Pattern struct {
	Kind PatternKind
	Text string
}

// An Atom is a condition on a path: it holds if any of its patterns matches.
// An atom without patterns never holds. Name is for error messages only.
//
// Of the atoms with the same Group, if that is not 0, only the first that
// matches holds; it hides the later ones. Where later ones cannot change the
// verdict, a group keeps tables small: without it, n atoms like `**/x/**` have
// 2^n classes, since a path may have any of these components; with it, n+1.
type Atom struct {
	Patterns []Pattern
	Name     string
	Group    int
}

// Limits of a pattern and of what the table format can express.
const (
	MaxPattern  = 64 << 10 // bytes in the text of one pattern
	MaxNesting  = 32       // depth of nested braces in a glob
	MaxPath     = 4095     // bytes of the longest path that the kernel can name
	MaxClasses  = 1 << 23  // accept classes of one automaton
	maxTableCap = 64 << 20 // bytes that a 23-bit state index of 8-byte units reaches
)

// Defaults of [Options].
const (
	DefaultMaxStates = 1 << 20
	DefaultMaxTable  = 4 << 20
)

// Options bound the work and the result of [Compile].
type Options struct {
	// MaxStates bounds the states that determinisation creates; 0 means
	// DefaultMaxStates. States that stand for the tail of a literal alone are
	// not counted, because their number is linear in the text. All other work
	// is bounded by a multiple of it: 8 nodes of patterns, 8 transitions, 16 set
	// members, 32 visits of nodes and 4 members of classes for each.
	MaxStates int
	// MaxTable bounds the table, in bytes; 0 means DefaultMaxTable. No table
	// can be larger than 64 MiB, whatever is asked.
	MaxTable int
}

// LimitError says that the patterns need more states or a larger table than
// the options allow. Index and Name are of the atom that contributed most.
type LimitError struct {
	Index int
	Name  string
	What  string // what ran out: "states", "transitions", "table bytes", …
	Limit int
}

func (e *LimitError) Error() string {
	name := e.Name
	if name == "" {
		name = fmt.Sprintf("atom %d", e.Index)
	}
	return fmt.Sprintf("%s: path patterns are too complex: more than %d %s", name, e.Limit, e.What)
}

// PatternError says which pattern of which atom is malformed.
type PatternError struct {
	Index   int // of the atom
	Name    string
	Pattern int // index in the atom
	Text    string
	Err     error // *GlobError for a glob
}

func (e *PatternError) Error() string {
	name := e.Name
	if name == "" {
		name = fmt.Sprintf("atom %d", e.Index)
	}
	return fmt.Sprintf("%s: pattern %q: %v", name, e.Text, e.Err)
}

func (e *PatternError) Unwrap() error { return e.Err }

// Stats are figures of a compilation, for tests and dumps.
type Stats struct {
	Nodes       int // of the nondeterministic automaton
	Subsets     int // states that determinisation created
	States      int // of the minimal automaton, those with a fixed outcome not counted
	Records     int // in the table; runs make them fewer than states
	Runs, Scans int // of these records, runs and scanning branches
	Rows        int // distinct branch rows
	Entries     int // branch entries
	CombSlots   int // slots that the rows occupy, holes included
	Bytes       int // of the table
	Retries     int // longest chain of steps that consume nothing
	ClassItems  int // sum of len(Classes[c])
}

// An Automaton is the compiled form of a list of atoms. It is immutable.
type Automaton struct {
	Table []byte // see the package documentation
	Start uint32 // state in which a match starts; may be a final one
	// Classes lists, for each accept class, the indexes of the atoms that hold,
	// ascending. Classes[0] is empty.
	Classes [][]int
	// MaxSteps bounds the steps that a path of at most MaxPath bytes takes.
	MaxSteps int
	Stats    Stats
}

// Limit returns the largest state that is a record of the table; all other
// states are final. It is 2 or more below FinalState.
func (a *Automaton) Limit() uint32 { return uint32(len(a.Table)-Guard) / StateSize }

// Compile builds the automaton of the atoms. It returns a *PatternError for a
// malformed pattern and a *LimitError when the options' limits do not suffice;
// work and memory are bounded by the limits and the size of the text.
// Equal input gives a byte-identical table.
func Compile(atoms []Atom, opt Options) (*Automaton, error) {
	all := make([]int, len(atoms))
	for i := range all {
		all[i] = i
	}
	return compile(atoms, all, opt.withDefaults())
}

func (opt Options) withDefaults() Options {
	if opt.MaxStates <= 0 {
		opt.MaxStates = DefaultMaxStates
	}
	if opt.MaxTable <= 0 {
		opt.MaxTable = DefaultMaxTable
	}
	opt.MaxStates = min(opt.MaxStates, 1<<25)
	opt.MaxTable = min(opt.MaxTable, maxTableCap)
	return opt
}

// compile builds the automaton of some of the atoms, by their indexes.
func compile(atoms []Atom, some []int, opt Options) (*Automaton, error) {
	n := newNFA()
	blame := func(what string, limit int, counts []int64) error {
		return limitError(atoms, what, limit, counts)
	}
	for _, i := range some {
		for j, p := range atoms[i].Patterns {
			if err := n.insert(p, int32(i)); err != nil {
				return nil, &PatternError{i, atoms[i].Name, j, p.Text, err}
			}
			if limit := 8 * opt.MaxStates; len(n.nodes) > limit || len(n.eps) > limit {
				return nil, blame("nodes", limit, n.weights(len(atoms)))
			}
		}
	}
	n.analyse()

	d := newDeterminiser(n, newAtomSets(atoms), opt)
	start, over := d.run()
	if over != nil {
		return nil, blame(over.what, over.limit, d.blamed())
	}
	g, start := d.minimise(start)
	a, over := encode(g, d.sets, start, opt.MaxTable)
	if over != nil {
		return nil, blame(over.what, over.limit, n.weights(len(atoms)))
	}
	a.Stats.Nodes = len(n.nodes)
	a.Stats.Subsets = len(d.states)
	return a, nil
}

const tableBytes = "table bytes"

// overrun tells which limit was hit.
type overrun struct {
	what  string
	limit int
}

// limitError blames the atom with the largest count, the first of equals.
func limitError(atoms []Atom, what string, limit int, counts []int64) error {
	e := &LimitError{What: what, Limit: limit}
	for i, c := range counts {
		if c > counts[e.Index] {
			e.Index = i
		}
	}
	if e.Index < len(atoms) {
		e.Name = atoms[e.Index].Name
	}
	return e
}
