package lower

import (
	"net/netip"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
)

// The oracle decides events straight from the text of docs/language.md,
// verdicts: it ranks candidates as they come and knows no formulas.

type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func evalCond(c check.Cond, n names, ev *Values) truth {
	switch c := c.(type) {
	case *check.Const:
		return truthOf(c.Value)
	case *check.And:
		t := yes
		for _, x := range c.Xs {
			t = min(t, evalCond(x, n, ev))
		}
		return t
	case *check.Or:
		t := no
		for _, x := range c.Xs {
			t = max(t, evalCond(x, n, ev))
		}
		return t
	case *check.Not:
		return yes - evalCond(c.X, n, ev)
	case *check.BoolIs:
		return truthOf(ev.Ints[c.Field.Name] != 0)
	case *check.IntIn:
		if f, ok := c.X.(*check.IntField); ok && ev.Unresolved[f.Field.Name] {
			return unknown
		}
		x := evalValue(c.X, ev)
		return truthOf(slices.ContainsFunc(c.Ranges, func(r check.Range) bool { return r.Lo <= x && x <= r.Hi }))
	case *check.IntCmp:
		x, y := evalValue(c.X, ev), evalValue(c.Y, ev)
		return truthOf(map[ast.Op]bool{ast.OpEq: x == y, ast.OpNe: x != y, ast.OpLt: x < y, ast.OpLe: x <= y, ast.OpGt: x > y, ast.OpGe: x >= y}[c.Op])
	case *check.HasFlags:
		return truthOf(ev.Ints[c.Field.Name]&c.Mask == c.Mask)
	case *check.PathIn:
		return evalPatterns(c.Patterns, n.of(c.Field.Name), ev)
	case *check.StringIn:
		return evalPatterns(c.Patterns, c.Field.Name, ev)
	case *check.AddrIn:
		if ev.Unresolved[c.Field.Name] {
			return unknown
		}
		a := ev.Addrs[c.Field.Name]
		return truthOf(slices.ContainsFunc(c.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }))
	}
	panic("condition")
}

func evalPatterns(ps []check.Pattern, field string, ev *Values) truth {
	if ev.Unresolved[field] {
		return unknown
	}
	atom := match.Atom{}
	for _, p := range ps {
		atom.Patterns = append(atom.Patterns, match.Pattern{Kind: patternKinds[p.Kind], Text: p.Text})
	}
	return truthOf(len(match.MatchAtoms([]match.Atom{atom}, []byte(ev.Strings[field]))) > 0)
}

func evalValue(v check.Value, ev *Values) int64 {
	switch v := v.(type) {
	case *check.IntConst:
		return v.Value
	case *check.IntField:
		return ev.Ints[v.Field.Name]
	case *check.Arith:
		return ir.Eval(arithOps[v.Op], evalValue(v.X, ev), evalValue(v.Y, ev))
	}
	panic("value")
}

// judgeRule evaluates a rule for one instance; ok is false if it is not about it.
func judgeRule(r *check.Rule, inst target.Instance, ev *Values) (t truth, ok bool) {
	for _, use := range r.Ops {
		if use.Op != inst.Op {
			continue
		}
		if !use.Each || len(use.Op.Paths) == 0 {
			return evalCond(r.Cond, names{"path", inst.Swap}, ev), true
		}
		t = no
		if r.Verb == ast.Allow {
			t = yes
		}
		for _, p := range use.Op.Paths {
			one := evalCond(r.Cond, names{p, inst.Swap}, ev)
			if r.Verb == ast.Allow {
				t = min(t, one)
			} else {
				t = max(t, one)
			}
		}
		return t, true
	}
	return no, false
}

// oracle gives the audit leaf and the verdict's leaf of an event; the zero leaf
// where nothing is audited and the allowing leaf where it is allowed.
func oracle(p *check.Policy, h *target.Hook, ev *Values) (audit, verdict ir.Leaf) {
	allow := ir.Leaf{Verdict: ir.Allow, Reason: ir.ByDefault}
	for _, g := range h.Skip {
		if holds(g.Not, slices.Contains(g.Values, ev.Ints[g.Field]&target.Effective(g))) {
			return allow, allow
		}
	}
	var active []target.Instance
	for _, inst := range h.Instances {
		ok := true
		for _, g := range inst.Guards {
			ok = ok && holds(g.Not, slices.Contains(g.Values, ev.Ints[g.Field]&target.Effective(g)))
		}
		if ok {
			active = append(active, inst)
		}
	}
	audit, verdict = allow, allow
	type candidate struct {
		class, rule int
		leaf        ir.Leaf
	}
	best := candidate{class: 99}
	consider := func(class int, r *check.Rule, inst target.Instance, v ir.Verdict, why ir.Reason) {
		if class > best.class || class == best.class && r.ID >= best.rule {
			return
		}
		errno, _ := p.Schema.Errnos.Lookup(inst.Op.Errno)
		if r.Errno != 0 {
			errno = int64(r.Errno)
		}
		best = candidate{class, r.ID, ir.Leaf{Verdict: v, Reason: why, Rule: r.ID, Op: inst.Op.Name, Errno: int(errno)}}
	}
	for _, inst := range active {
		for _, r := range p.Rules {
			t, ok := judgeRule(r, inst, ev)
			if !ok || t == no {
				continue
			}
			switch {
			case r.Verb == ast.Kill && t == yes:
				consider(1, r, inst, ir.Kill, ir.ByRule)
			case r.Verb == ast.Deny && t == yes:
				consider(2, r, inst, ir.Deny, ir.ByRule)
			case r.Verb == ast.Kill || r.Verb == ast.Deny:
				consider(3, r, inst, ir.Deny, ir.Unresolved)
			case r.Verb == ast.Audit && t == yes && (audit.Rule == 0 || r.ID < audit.Rule):
				audit = ir.Leaf{Verdict: ir.Audit, Reason: ir.ByRule, Rule: r.ID, Op: inst.Op.Name}
			}
		}
	}
	if best.class < 99 {
		return audit, best.leaf
	}
	for _, inst := range active {
		allowed, firstUnknown := false, (*check.Rule)(nil)
		for _, r := range p.Rules {
			if r.Verb != ast.Allow {
				continue
			}
			t, ok := judgeRule(r, inst, ev)
			switch {
			case ok && t == yes:
				allowed = true
			case ok && t == unknown && (firstUnknown == nil || r.ID < firstUnknown.ID):
				firstUnknown = r
			}
		}
		d := p.DefaultFor(inst.Op)
		if allowed || d == nil || !d.Deny {
			continue
		}
		errno, _ := p.Schema.Errnos.Lookup(inst.Op.Errno)
		if firstUnknown != nil {
			if firstUnknown.Errno != 0 {
				errno = int64(firstUnknown.Errno)
			}
			return audit, ir.Leaf{Verdict: ir.Deny, Reason: ir.Unresolved, Rule: firstUnknown.ID, Op: inst.Op.Name, Errno: int(errno)}
		}
		return audit, ir.Leaf{Verdict: ir.Deny, Reason: ir.ByDefault, Rule: d.ID, Op: inst.Op.Name, Errno: int(errno)}
	}
	return audit, verdict
}

func holds(not, in bool) bool { return not != in }
