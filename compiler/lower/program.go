package lower

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// An outcome is where an entry leads: a leaf, or if negative the entry at
// place ^outcome of the program.
type outcome int32

func jumpTo(pos int) outcome   { return outcome(^int32(pos)) }
func (o outcome) isLeaf() bool { return o >= 0 }
func (o outcome) pos() int32   { return int32(^o) }

// An entry is a line of a program: if the condition holds, its outcome is taken.
type entry struct {
	cond formula
	out  outcome
	span source.Span
}

// A program is a decision as a list: the first entry whose condition holds is
// taken; jumps lead forward. After the last entry the outcome is leaf 0. Its
// order is the rank of verdicts: kills, denials, unresolved ones, then the
// instances that must be allowed, one after the other.
//
// It consists of runs: the denials, then one per instance. Entries of a run jump
// nowhere but to its end.
type program struct {
	audit   bool
	entries []entry
	runs    []int // where they start
}

// line is an entry before its condition is a formula.
type line struct {
	active *tree // and
	cond   *tree // nil: true
	guard  bool  // the condition is that the run's instance is not active
	may    bool  // taken too if the condition is unresolved
	out    outcome
	span   source.Span
}

// judgement is a rule's condition in one instance of an event.
type judgement struct {
	rule *check.Rule
	inst int
	cond *tree
}

// programs builds the lines of the audit and of the verdict for a hook.
type programs struct {
	policy *check.Policy
	hook   *target.Hook
	leaves *leafTable
	conds  *conditions
	active []*tree // per instance; nil: always
	audit  []line
	decide []line
	runs   []int // of decide
}

func buildPrograms(p *check.Policy, h *target.Hook, leaves *leafTable, conds *conditions) *programs {
	b := &programs{policy: p, hook: h, leaves: leaves, conds: conds}
	for _, inst := range h.Instances {
		b.active = append(b.active, conds.active(inst))
	}
	kills := b.judge(ast.Kill)
	denials := b.judge(ast.Deny)
	for _, j := range append(slices.Clone(kills), denials...) {
		verdict := ir.Deny
		if j.rule.Verb == ast.Kill {
			verdict = ir.Kill
		}
		b.deny(j, false, b.leaf(verdict, ir.ByRule, j))
	}
	for _, j := range byRule(append(slices.Clone(kills), denials...)) {
		if j.cond.unresolvable() {
			b.deny(j, true, b.leaf(ir.Deny, ir.Unresolved, j))
		}
	}
	b.runs = []int{0}
	for i := range h.Instances {
		b.runs = append(b.runs, len(b.decide))
		b.allowed(i)
	}
	for _, j := range b.judge(ast.Audit) {
		leaf := leaves.add(ir.Leaf{Verdict: ir.Audit, Reason: ir.ByRule, Rule: j.rule.ID, Op: h.Instances[j.inst].Op.Name})
		b.audit = append(b.audit, line{active: b.active[j.inst], cond: j.cond, out: leaf, span: j.rule.Span})
	}
	return b
}

// judge lists the rules with a verb by ID, each in the instances that it speaks of.
func (b *programs) judge(verb ast.Verb) []judgement {
	var out []judgement
	for _, r := range b.policy.Rules {
		if r.Verb != verb {
			continue
		}
		for i, inst := range b.hook.Instances {
			for _, use := range r.Ops {
				if use.Op == inst.Op {
					out = append(out, judgement{r, i, b.conds.rule(r, use, inst)})
				}
			}
		}
	}
	return byRule(out)
}

func byRule(js []judgement) []judgement {
	slices.SortStableFunc(js, func(x, y judgement) int { return x.rule.ID - y.rule.ID })
	return js
}

func (b *programs) deny(j judgement, may bool, leaf outcome) {
	b.decide = append(b.decide, line{active: b.active[j.inst], cond: j.cond, may: may, out: leaf, span: j.rule.Span})
}

// allowed adds the lines that deny unless an instance is allowed.
func (b *programs) allowed(i int) {
	op := b.hook.Instances[i].Op
	def := b.policy.DefaultFor(op)
	if def == nil || !def.Deny {
		return
	}
	var allows []judgement
	for _, r := range b.policy.Rules {
		if r.Verb != ast.Allow {
			continue
		}
		for _, use := range r.Ops {
			if use.Op == op {
				allows = append(allows, judgement{r, i, b.conds.rule(r, use, b.hook.Instances[i])})
			}
		}
	}
	byRule(allows)
	var unresolved []judgement
	for _, j := range allows {
		if j.cond.unresolvable() {
			unresolved = append(unresolved, j)
		}
	}
	end := len(b.decide) + len(allows) + len(unresolved) + 1
	if b.active[i] != nil {
		end++
		b.decide = append(b.decide, line{guard: true, cond: &tree{op: treeNot, kids: []*tree{b.active[i]}}, out: jumpTo(end), span: def.Span})
	}
	for _, j := range allows {
		b.decide = append(b.decide, line{cond: j.cond, out: jumpTo(end), span: j.rule.Span})
	}
	for _, j := range unresolved {
		b.decide = append(b.decide, line{cond: j.cond, may: true, out: b.leaf(ir.Deny, ir.Unresolved, j), span: j.rule.Span})
	}
	leaf := ir.Leaf{Verdict: ir.Deny, Reason: ir.ByDefault, Rule: def.ID, Op: op.Name, Errno: b.errno(op)}
	b.decide = append(b.decide, line{out: b.leaves.add(leaf), span: def.Span})
}

func (b *programs) leaf(v ir.Verdict, r ir.Reason, j judgement) outcome {
	op := b.hook.Instances[j.inst].Op
	errno := j.rule.Errno
	if errno == 0 {
		errno = b.errno(op)
	}
	return b.leaves.add(ir.Leaf{Verdict: v, Reason: r, Rule: j.rule.ID, Op: op.Name, Errno: errno})
}

func (b *programs) errno(op *types.Operation) int {
	n, ok := b.policy.Schema.Errnos.Lookup(op.Errno)
	if !ok {
		panic(fmt.Sprintf("lower: operation %s has the unknown errno %s", op.Name, op.Errno))
	}
	return int(n)
}

// finish turns lines into a program over formulas. An entry whose condition,
// guards apart, is that of an earlier one in its run that has no guards never
// decides, nor does a run that repeats one without guards: the two directions of
// an exchange often ask the same.
func finish(fs *formulas, lines []line, runs []int, audit bool) *program {
	p := &program{audit: audit, runs: runs, entries: make([]entry, len(lines))}
	formulaOf := func(t *tree, may bool) formula {
		if t == nil {
			return isTrue
		}
		return fs.fromTree(t, false, may)
	}
	asked := map[string]bool{} // the conditions of runs without guards
	for r, start := range runs {
		end := len(lines)
		if r+1 < len(runs) {
			end = runs[r+1]
		}
		seen := map[formula]bool{}
		var key []byte
		guarded := false
		for i := start; i < end; i++ {
			l := lines[i]
			cond := formulaOf(l.cond, l.may)
			skip := l.cond != nil && l.out == jumpTo(end) && l.active == nil && l.guard
			guarded = guarded || l.active != nil || skip
			switch {
			case skip:
			case seen[cond]:
				cond = isFalse
			default:
				seen[cond] = l.active == nil
				if cond != isFalse {
					key = binary.LittleEndian.AppendUint32(key, uint32(cond))
					key = append(key, byte(min(int32(l.out), 0)>>31)) // whether it jumps
				}
			}
			p.entries[i] = entry{fs.join(andOp, []formula{formulaOf(l.active, false), cond}), l.out, l.span}
		}
		if asked[string(key)] && r > 0 {
			for i := start; i < end; i++ {
				p.entries[i].cond = isFalse
			}
		}
		asked[string(key)] = asked[string(key)] || !guarded && r > 0
	}
	return p
}

// leafTable numbers the verdicts of a module.
type leafTable struct {
	leaves []ir.Leaf
	index  map[ir.Leaf]outcome
}

func newLeafTable() *leafTable {
	allow := ir.Leaf{Verdict: ir.Allow, Reason: ir.ByDefault}
	return &leafTable{[]ir.Leaf{allow}, map[ir.Leaf]outcome{allow: 0}}
}

func (t *leafTable) add(l ir.Leaf) outcome {
	n, ok := t.index[l]
	if !ok {
		n = outcome(len(t.leaves))
		t.leaves = append(t.leaves, l)
		t.index[l] = n
	}
	return n
}
