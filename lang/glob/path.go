package glob

import "strings"

// Flaw tells why no canonical path can match a pattern.
type Flaw uint8

// The flaws. A pattern with several is Impossible unless it is Relative or TooLong.
const (
	Fine         Flaw = iota // some canonical path matches
	Relative                 // it matches neither "" nor anything that starts with '/'
	DoubledSlash             // "//"
	Dot                      // a component "."
	DotDot                   // a component ".."
	FinalSlash               // a '/' at the end
	TooLong                  // longer than 4,095 bytes
	Impossible               // more than one of the above
)

// maxPath is the longest canonical path in bytes: PATH_MAX without its NUL.
const maxPath = 4095

// PathFlaw tells whether the glob can match a canonical path: "" or an
// absolute name without empty, "." and ".." components and without a '/' at
// its end, of at most 4,095 bytes.
func (g *Glob) PathFlaw() Flaw {
	shortest := g.shortestPath(canonical{})
	if shortest >= 0 && shortest <= maxPath {
		return Fine
	}
	if shortest > maxPath {
		return TooLong
	}
	if g.shortestPath(canonical{doubled: true, dot: true, dotDot: true, final: true}) < 0 {
		return Relative
	}
	for _, t := range []struct {
		rules canonical
		flaw  Flaw
	}{{canonical{doubled: true}, DoubledSlash}, {canonical{dot: true}, Dot}, {canonical{dotDot: true}, DotDot}, {canonical{final: true}, FinalSlash}} {
		if g.shortestPath(t.rules) >= 0 {
			return t.flaw
		}
	}
	return Impossible
}

// LiteralFlaw is PathFlaw for one string. A NUL byte makes it Impossible.
func LiteralFlaw(s string) Flaw {
	if strings.IndexByte(s, 0) >= 0 {
		return Impossible
	}
	g := &Glob{prog: make([]inst, 0, len(s)+1)}
	for i := 0; i < len(s); i++ {
		g.prog = append(g.prog, inst{op: opByte, b: s[i]})
	}
	g.prog = append(g.prog, inst{op: opMatch})
	return g.PathFlaw()
}

// canonical is an automaton that accepts canonical paths. Each field lifts one rule.
type canonical struct {
	doubled, dot, dotDot, final bool
}

// States of canonical: what was read last.
const (
	atStart  = iota // nothing
	atRoot          // the first '/'
	atSlash         // a later '/'
	inDot           // a component that is "." up to here
	inDotDot        // a component that is ".." up to here
	inName          // any other component
	pathStates
)

// next gives the state after a byte, or -1.
func (r canonical) next(state int, b byte) int {
	switch {
	case state == atStart && b == '/':
		return atRoot
	case state == atStart:
		return -1
	case b != '/':
		switch {
		case b == '.' && (state == atRoot || state == atSlash):
			return inDot
		case b == '.' && state == inDot:
			return inDotDot
		}
		return inName
	case (state == atRoot || state == atSlash) && !r.doubled,
		state == inDot && !r.dot, state == inDotDot && !r.dotDot:
		return -1
	}
	return atSlash
}

func (r canonical) accepts(state int) bool {
	switch state {
	case atSlash:
		return r.final
	case inDot:
		return r.dot
	case inDotDot:
		return r.dotDot
	}
	return true
}

// shortestPath gives the length of the shortest string that both the glob and
// the rules accept, -1 if there is none: a breadth-first search over pairs of
// their states, one round for each byte.
func (g *Glob) shortestPath(r canonical) int {
	seen := make([]bool, len(g.prog)*pathStates)
	var round, next []int
	push := func(list []int, pc, state int) []int {
		for pending := []int{pc}; len(pending) > 0; {
			pc, pending = pending[len(pending)-1], pending[:len(pending)-1]
			if seen[pc*pathStates+state] {
				continue
			}
			seen[pc*pathStates+state] = true
			list = append(list, pc*pathStates+state)
			switch in := &g.prog[pc]; in.op {
			case opSplit:
				pending = append(pending, in.y, in.x)
			case opJump:
				pending = append(pending, in.x)
			}
		}
		return list
	}
	round = push(round, 0, atStart)
	for length := 0; len(round) > 0; length++ {
		next = next[:0]
		for _, pair := range round {
			pc, state := pair/pathStates, pair%pathStates
			in := &g.prog[pc]
			if in.op == opMatch && r.accepts(state) {
				return length
			}
			// Every byte that leads somewhere else: '/', '.', and any other one.
			for _, b := range in.samples() {
				if to := r.next(state, b); to >= 0 {
					next = push(next, pc+1, to)
				}
			}
		}
		round, next = next, round
	}
	return -1
}

// samples gives bytes that the instruction reads, one for each way in which
// canonical tells bytes apart.
func (in *inst) samples() []byte {
	switch in.op {
	case opByte:
		if in.b == 0 {
			return nil
		}
		return []byte{in.b}
	case opAny:
		return []byte{'/', '.', 'a'}
	case opComponent:
		return []byte{'.', 'a'}
	case opClass:
		var out []byte
		if in.class.has('.') {
			out = append(out, '.')
		}
		for b := 1; b < 256; b++ {
			if b != '.' && in.class.has(byte(b)) {
				return append(out, byte(b))
			}
		}
		return out
	}
	return nil
}
