package lower

import (
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/eval"
	"github.com/snappy-policy/snappy/lang/types"
)

var allowLeaf = ir.Leaf{Verdict: ir.Allow, Reason: ir.ByDefault}

func holds(g hook.Guard, ev *Values) bool {
	return slices.Contains(g.Values, ev.Ints[g.Field]&target.Effective(g)) != g.Not
}

// oracle gives the leaves that the reference evaluator wants for an event of a
// hook: that of the audit and that of the verdict, the allowing leaf for none.
func oracle(p *check.Policy, h *target.Hook, ev *Values) (audit, verdict ir.Leaf) {
	for _, g := range h.Skip {
		if holds(g, ev) {
			return allowLeaf, allowLeaf
		}
	}
	event, ok := languageEvent(p, h, ev)
	if !ok {
		return allowLeaf, allowLeaf
	}
	v := eval.Decide(p, event)
	audit, verdict = allowLeaf, allowLeaf
	if v.Audit != 0 {
		audit = ir.Leaf{Verdict: ir.Audit, Reason: ir.ByRule, Rule: v.Audit, Op: v.AuditOp}
	}
	if v.Action != eval.Allow {
		verdict = ir.Leaf{
			Verdict: map[eval.Action]ir.Verdict{eval.Deny: ir.Deny, eval.Kill: ir.Kill}[v.Action],
			Reason:  map[eval.Reason]ir.Reason{eval.ByRule: ir.ByRule, eval.ByDefault: ir.ByDefault, eval.ByUnresolved: ir.Unresolved}[v.Reason],
			Rule:    v.RuleID, Op: v.Op, Errno: v.Errno,
		}
	}
	return audit, verdict
}

// languageEvent says what an event of a hook is in the language; ok is false if
// it is no operation.
func languageEvent(p *check.Policy, h *target.Hook, ev *Values) (event eval.Event, ok bool) {
	var op *types.Operation
	for _, inst := range h.Instances {
		if !slices.ContainsFunc(inst.Guards, func(g hook.Guard) bool { return !holds(g, ev) }) {
			if inst.Swap {
				event.Exchange = true
			} else if op == nil {
				op = inst.Op
			}
		}
	}
	if op == nil {
		return event, false
	}
	event.Op, event.Fields, event.Subject = op.Name, map[string]eval.Value{}, map[string]eval.Value{}
	for _, f := range h.AllFields() {
		if f.Type == nil {
			continue
		}
		v := eval.Int(ev.Ints[f.Name])
		switch f.Type.Kind {
		case types.Bool:
			v = eval.Bool(ev.Ints[f.Name] != 0)
		case types.Path, types.String:
			v = eval.Text(ev.Strings[f.Name])
		case types.Addr:
			v = eval.Addr(ev.Addrs[f.Name])
		}
		if ev.Unresolved[f.Name] {
			v = eval.Unresolved()
		}
		if p.Schema.SubjectField(f.Name) == nil {
			event.Fields[f.Name] = v
		} else {
			event.Subject[f.Name] = v
		}
	}
	return event, true
}
