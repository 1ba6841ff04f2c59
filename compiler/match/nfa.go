package match

import "strings"

// A loop is what a node of the automaton may read without being left.
type loop uint8

const (
	loopNone      loop = iota
	loopComponent      // `*`: any byte but '/'
	loopAny            // `**`: any byte
)

const none = int32(-1)

// A node of the nondeterministic automaton. Nodes form a trie of what the
// patterns have in common: a node stands for one prefix of patterns. All edges
// but a loop lead to nodes with a larger index.
type node struct {
	first  int32 // newest child reached by reading, or none
	next   int32 // next sibling
	label  int32 // read on the way here: a byte, or 256 + index of a class
	silent int32 // head of the list of edges that read nothing, or none
	accept int32 // head of the list of atoms that end here, or none
	loop   loop
}

// A silentEdge reads nothing. It leads to the loop of a star, so that equal
// patterns share it, or (star is loopNone) to the common end of braces.
type silentEdge struct {
	to, next int32
	star     loop
}

// A brace names an alternation: where it starts and its text.
type brace struct {
	at   int32
	text string
}

type acceptItem struct{ atom, next int32 }

// nfa is the union of all patterns as one trie-shaped automaton; node 0 is the start.
type nfa struct {
	nodes   []node
	eps     []silentEdge
	accepts []acceptItem
	classes []charClass
	classID map[charClass]int32
	braces  map[brace]int32 // their joins

	// What analyse computes, by node.
	owner []int32 // the only atom that can be reached from here, none or several
	pure  []bool  // only a trie of bytes below, with absorbing ends
	via   []int32 // next loop that every accepting path must pass, or none
	depth []int32 // length of the chain of via
	free  []bool  // nothing on the way to via can read '/'
	// spare is a byte that no pattern mentions, so that it stands for all such
	// bytes; -1 if there is none.
	spare int
}

const several = int32(-2) // an owner

func newNFA() *nfa {
	n := &nfa{classID: map[charClass]int32{}, braces: map[brace]int32{}}
	n.add(0, loopNone)
	return n
}

func (n *nfa) add(label int32, l loop) int32 {
	n.nodes = append(n.nodes, node{none, none, label, none, none, l})
	return int32(len(n.nodes) - 1)
}

// insert adds a pattern of the atom.
func (n *nfa) insert(p Pattern, atom int32) error {
	switch p.Kind {
	case Glob:
		parser := globParser{text: p.Text, nfa: n}
		end, err := parser.parse(0)
		if err != nil {
			return err
		}
		n.acceptAt(end, atom)
	case Literal, Under:
		if err := checkPlain(p.Text); err != nil {
			return err
		}
		text := p.Text
		if p.Kind == Under {
			if text == "" {
				return errEmpty
			}
			text = strings.TrimRight(text, "/")
		}
		at := int32(0)
		for i := 0; i < len(text); i++ {
			at = n.edge(at, int32(text[i]))
		}
		if p.Kind == Literal {
			n.acceptAt(at, atom)
			return nil
		}
		if text != "" {
			n.acceptAt(at, atom)
		}
		n.acceptAt(n.star(n.edge(at, '/'), loopAny), atom)
	default:
		return errKind
	}
	return nil
}

// edge returns the child of a node by a label, made if need be.
func (n *nfa) edge(at, label int32) int32 {
	for c := n.nodes[at].first; c != none; c = n.nodes[c].next {
		if n.nodes[c].label == label {
			return c
		}
	}
	c := n.add(label, loopNone)
	n.nodes[c].next = n.nodes[at].first
	n.nodes[at].first = c
	return c
}

func (n *nfa) classLabel(c charClass) int32 {
	id, ok := n.classID[c]
	if !ok {
		id = int32(len(n.classes))
		n.classes = append(n.classes, c)
		n.classID[c] = id
	}
	return 256 + id
}

func (n *nfa) addSilent(from, to int32, star loop) {
	n.eps = append(n.eps, silentEdge{to, n.nodes[from].silent, star})
	n.nodes[from].silent = int32(len(n.eps) - 1)
}

// star returns the looping node behind a node.
func (n *nfa) star(at int32, l loop) int32 {
	for e := n.nodes[at].silent; e != none; e = n.eps[e].next {
		if n.eps[e].star == l {
			return n.eps[e].to
		}
	}
	c := n.add(0, l)
	n.addSilent(at, c, l)
	return c
}

// join returns the common end of alternatives that start at a node. The same
// braces at the same node have the same ends, hence the same join.
func (n *nfa) join(at int32, text string, ends []int32) int32 {
	key := brace{at, text}
	if c, ok := n.braces[key]; ok {
		return c
	}
	c := n.add(0, loopNone)
	n.braces[key] = c
	for _, e := range ends {
		n.addSilent(e, c, loopNone)
	}
	return c
}

func (n *nfa) acceptAt(at, atom int32) {
	if h := n.nodes[at].accept; h != none && n.accepts[h].atom == atom {
		return
	}
	n.accepts = append(n.accepts, acceptItem{atom, n.nodes[at].accept})
	n.nodes[at].accept = int32(len(n.accepts) - 1)
}

// absorbing reports whether the node is the end of a pattern in `**`: once
// reached, its atoms hold whatever follows, and it leads nowhere else.
func (n *nfa) absorbing(p int32) bool {
	d := &n.nodes[p]
	return d.loop == loopAny && d.first == none && d.silent == none
}

// weights counts the nodes that belong to one atom alone.
func (n *nfa) weights(atoms int) []int64 {
	if n.owner == nil {
		n.analyse()
	}
	w := make([]int64, atoms)
	for _, o := range n.owner {
		if o >= 0 {
			w[o]++
		}
	}
	return w
}

// analyse computes what determinisation needs to know about each node. Nodes
// are visited from the largest index, so that successors come first.
func (n *nfa) analyse() {
	size := len(n.nodes)
	n.owner = make([]int32, size)
	n.pure = make([]bool, size)
	n.via = make([]int32, size)
	n.depth = make([]int32, size)
	n.free = make([]bool, size)
	for p := int32(size - 1); p >= 0; p-- {
		n.analyseOwner(p)
		n.analyseVia(p)
	}
	n.findSpare()
}

func (n *nfa) analyseOwner(p int32) {
	d := &n.nodes[p]
	owner := none
	merge := func(o int32) {
		switch {
		case o == none || o == owner:
		case owner == none:
			owner = o
		default:
			owner = several
		}
	}
	pure := d.loop == loopNone
	for a := d.accept; a != none; a = n.accepts[a].next {
		merge(n.accepts[a].atom)
	}
	for c := d.first; c != none; c = n.nodes[c].next {
		merge(n.owner[c])
		pure = pure && n.pure[c] && n.nodes[c].label < 256
	}
	for e := d.silent; e != none; e = n.eps[e].next {
		merge(n.owner[n.eps[e].to])
		pure = pure && n.absorbing(n.eps[e].to)
	}
	n.owner[p], n.pure[p] = owner, pure
}

// analyseVia finds the next loop that every accepting path from p passes: the
// nearest common one of the successors.
func (n *nfa) analyseVia(p int32) {
	d := &n.nodes[p]
	via, free, known := none, true, false
	merge := func(q int32, slash bool) {
		v, f := n.via[q], n.free[q]
		if n.nodes[q].loop != loopNone {
			v, f = q, true
		}
		f = f && !slash
		if !known {
			via, free, known = v, f, true
			return
		}
		free = free && f
		for via != v {
			// Move the one that is farther from the end of its chain.
			if via != none && (v == none || n.depth[via] >= n.depth[v]) {
				free = free && n.free[via]
				via = n.via[via]
			} else {
				free = free && n.free[v]
				v = n.via[v]
			}
		}
	}
	for c := d.first; c != none && d.accept == none; c = n.nodes[c].next {
		merge(c, n.nodes[c].label == '/')
	}
	for e := d.silent; e != none && d.accept == none; e = n.eps[e].next {
		merge(n.eps[e].to, false)
	}
	n.via[p] = via
	n.free[p] = free && d.loop != loopAny
	n.depth[p] = 0
	if via != none {
		n.depth[p] = n.depth[via] + 1
	}
}

// findSpare looks for a byte that behaves like all unmentioned ones everywhere.
func (n *nfa) findSpare() {
	var mentioned byteSet
	mentioned.add(0)
	mentioned.add('/')
	for i := range n.nodes {
		if l := n.nodes[i].label; l < 256 && n.nodes[i].loop == loopNone {
			mentioned.add(byte(l))
		}
	}
	for i := range n.classes {
		c := n.classes[i]
		if c.negated {
			c.complement()
		}
		for w := range mentioned {
			mentioned[w] |= c.bytes[w]
		}
	}
	n.spare = -1
	for b := 255; b > 0; b-- {
		if !mentioned.has(byte(b)) {
			n.spare = b
			return
		}
	}
}
