package match

import (
	"errors"
	"slices"
	"strings"
)

// MaxParts bounds the automata of [CompileSplit].
const MaxParts = 16

// CompileSplit is like [Compile], but where one automaton would be too large it
// returns several, each for a part of the atoms: what holds for a path is what
// holds in any of them. Classes have the indexes of atoms as given. Each
// automaton costs a match of its own, so there is more than one only if the
// states of one exceed 32,768 and four for each byte of text; they number at
// most MaxParts, and MaxTable bounds the sum of their tables. Groups are heeded
// within each automaton only. Without atoms there is one automaton.
func CompileSplit(atoms []Atom, opt Options) ([]*Automaton, error) {
	opt = opt.withDefaults()
	all := make([]int, len(atoms))
	for i := range all {
		all[i] = i
	}
	maxTable := opt.MaxTable // of all together
	var done []*Automaton
	for todo := [][]int{all}; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		budget := opt
		if len(part) > 1 {
			text := 0
			for _, i := range part {
				for _, p := range atoms[i].Patterns {
					text += len(p.Text)
				}
			}
			budget.MaxStates = min(opt.MaxStates, 1<<15+4*text)
		}
		a, err := compile(atoms, part, budget)
		var limit *LimitError
		if errors.As(err, &limit) && len(part) > 1 && len(done)+len(todo)+2 <= MaxParts && limit.What != tableBytes {
			x, y := divide(atoms, part)
			todo = slices.Insert(todo, 0, x, y)
			continue
		}
		if limit != nil && limit.What == tableBytes {
			limit.Limit = maxTable
		}
		if err != nil {
			return nil, err
		}
		opt.MaxTable -= len(a.Table)
		done = append(done, a)
	}
	return done, nil
}

// divide separates the atoms that are likely to multiply each other's states,
// those with something behind a `**`, from the others, or else halves them.
func divide(atoms []Atom, part []int) (x, y []int) {
	for _, i := range part {
		if slices.ContainsFunc(atoms[i].Patterns, func(p Pattern) bool {
			at := strings.Index(p.Text, "**")
			return p.Kind == Glob && at >= 0 && at+2 < len(p.Text)
		}) {
			y = append(y, i)
		} else {
			x = append(x, i)
		}
	}
	if len(x) == 0 || len(y) == 0 {
		return part[:len(part)/2], part[len(part)/2:]
	}
	return x, y
}
