// Package eval is the meaning of a policy: what it says about one kernel event,
// worked out in the plainest way and with the reasons. The compiler and the
// kernel are tested against it.
//
// Input: a checked policy (lang/check) or a stack of them, and an Event.
// Output: a Verdict with the rule or default that decides and a trace of what
// every rule said. Nothing here knows how the compiler works. Time is linear in
// the size of the policy's conditions, with the members of sets counted at each
// use.
package eval

import (
	"net/netip"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/types"
)

// Event is something that happens in the kernel, as a policy sees it.
type Event struct {
	// Op is what happens: an operation of the schema. An open of a file is
	// file.open, whatever it asks for; the field access tells. file.read and
	// file.write stand for the open that asks for at least this.
	Op string
	// Fields are those of the operation, Subject those of the caller, by name. A
	// field that is missing has its default: 0, false, "", no address.
	Fields  map[string]Value
	Subject map[string]Value
	// Exchange tells a rename that exchanges two names (RENAME_EXCHANGE).
	Exchange bool
}

// Value is the value of a field. The zero Value is not valid; make one with
// Int, Bool, Text, Addr or Unresolved.
type Value struct {
	kind valueKind
	num  int64
	text string
	addr netip.Addr
}

type valueKind uint8

const (
	intValue valueKind = iota + 1
	boolValue
	textValue
	addrValue
	unresolvedValue
)

// Int is a value of a field of kind Int or Flags.
func Int(n int64) Value { return Value{kind: intValue, num: n} }

// Bool is a value of a field of kind Bool.
func Bool(b bool) Value {
	v := Value{kind: boolValue}
	if b {
		v.num = 1
	}
	return v
}

// Text is a value of a field of kind String or Path.
func Text(s string) Value { return Value{kind: textValue, text: s} }

// Addr is a value of a field of kind Addr; the zero netip.Addr is "no address".
// IPv4-mapped IPv6 becomes IPv4, as the language has it.
func Addr(a netip.Addr) Value { return Value{kind: addrValue, addr: a.Unmap().WithZone("")} }

// Unresolved is the value of a field that the kernel could not give.
func Unresolved() Value { return Value{kind: unresolvedValue} }

// kindOf gives the kind of value that a field has.
func kindOf(k types.Kind) valueKind {
	switch k {
	case types.Bool:
		return boolValue
	case types.Int, types.Flags:
		return intValue
	case types.String, types.Path:
		return textValue
	case types.Addr:
		return addrValue
	}
	return 0
}

// Action is what happens to an event.
type Action uint8

// The actions; the zero value is invalid.
const (
	Allow Action = iota + 1
	Deny
	Kill // denied, and the process is killed
)

func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Kill:
		return "kill"
	}
	return "invalid"
}

// Reason tells why.
type Reason uint8

// The reasons; the zero value is invalid.
const (
	ByRule       Reason = iota + 1 // a rule matched
	ByDefault                      // no rule decided; the default did, or there is none
	ByUnresolved                   // a rule depends on what the kernel could not resolve
	ByInvalid                      // the event is not one of the language: denied
)

func (r Reason) String() string {
	switch r {
	case ByRule:
		return "rule"
	case ByDefault:
		return "default"
	case ByUnresolved:
		return "unresolved"
	case ByInvalid:
		return "invalid event"
	}
	return "invalid"
}

// Verdict is what one policy says about one event.
type Verdict struct {
	Action Action
	Reason Reason
	// RuleID is the ID of Rule or Default, 0 if there is neither.
	RuleID  int
	Rule    *check.Rule
	Default *check.Default
	// Op is the operation that Rule or Default decided about: the event may be
	// several, such as file.open and file.read. "" if the event is none.
	Op string
	// Errno is the number that the denied call fails with; 0 if allowed.
	Errno int
	// Audit is the ID of the audit rule that reports the event, 0 if none, and
	// AuditOp the operation that it matched.
	Audit   int
	AuditOp string
	Trace   Trace
}

// Truth is a value of Kleene's three-valued logic.
type Truth uint8

// The truth values, ordered so that `and` is the least and `or` the greatest;
// the zero value is invalid.
const (
	False Truth = iota + 1
	Unknown
	True
)

func (t Truth) String() string {
	switch t {
	case False:
		return "no"
	case Unknown:
		return "unresolved"
	case True:
		return "yes"
	}
	return "invalid"
}

// Not negates.
func (t Truth) Not() Truth { return True + False - t }

// And is true if both are.
func (t Truth) And(u Truth) Truth { return min(t, u) }

// Or is true if either is.
func (t Truth) Or(u Truth) Truth { return max(t, u) }

// instance is one operation that an event is.
type instance struct {
	op   *types.Operation
	swap bool // path and to exchanged
}

// instances splits an event into the operations that it is; nil if it is none.
func instances(p *check.Policy, ev *Event) []instance {
	op := p.Schema.Operation(ev.Op)
	if op == nil || op.Unsupported != "" {
		return nil
	}
	out := []instance{{op: op}}
	switch op.Name {
	case "file.open", "file.read", "file.write":
		access := ev.Fields["access"].num
		out[0].op = p.Schema.Operation("file.open")
		if access&1 != 0 || op.Name == "file.read" {
			out = append(out, instance{op: p.Schema.Operation("file.read")})
		}
		if access&2 != 0 || op.Name == "file.write" {
			out = append(out, instance{op: p.Schema.Operation("file.write")})
		}
	case "file.rename":
		if ev.Exchange {
			out = append(out, instance{op: op, swap: true})
		}
	}
	return out
}

// Decide gives the verdict of one policy. An event whose operation the
// language does not know or this version does not mediate is denied.
func Decide(p *check.Policy, ev Event) Verdict {
	ev = withAccess(ev)
	insts := instances(p, &ev)
	if insts == nil {
		return Verdict{Action: Deny, Reason: ByInvalid, Errno: eperm}
	}
	d := &decision{policy: p, event: &ev, insts: insts, results: make([][]Truth, len(insts))}
	for i := range insts {
		d.results[i] = make([]Truth, len(p.Rules))
		for j, r := range p.Rules {
			d.results[i][j] = d.rule(i, r)
		}
	}
	v := d.verdict()
	if r, in := d.first(True, ast.Audit); r != nil {
		v.Audit, v.AuditOp = r.ID, in.op.Name
	}
	v.Trace = Trace{Event: ev, Lines: d.trace}
	return v
}

// eperm is EPERM, for events that are none.
const eperm = 1

// withAccess makes file.read and file.write the open that they stand for.
func withAccess(ev Event) Event {
	bit := map[string]int64{"file.read": 1, "file.write": 2}[ev.Op]
	if bit == 0 {
		return ev
	}
	fields := map[string]Value{}
	for name, v := range ev.Fields {
		fields[name] = v
	}
	fields["access"] = Int(ev.Fields["access"].num | bit)
	ev.Op, ev.Fields = "file.open", fields
	return ev
}

// decision is the work of one Decide.
type decision struct {
	policy  *check.Policy
	event   *Event
	insts   []instance
	results [][]Truth // by instance and index of rule; 0: the rule is not about it
	trace   []TraceLine
}

// rule evaluates a rule for an instance.
func (d *decision) rule(i int, r *check.Rule) Truth {
	in := d.insts[i]
	for _, u := range r.Ops {
		if u.Op != in.op {
			continue
		}
		e := evaluation{decision: d, in: in}
		var t Truth
		if u.Each && len(u.Op.Paths) > 1 {
			// `path` stands for each path of the operation.
			t = False
			if r.Verb == ast.Allow {
				t = True
			}
			for _, name := range u.Op.Paths {
				e.path = name
				one := e.cond(r.Cond)
				if r.Verb == ast.Allow {
					t = t.And(one)
				} else {
					t = t.Or(one)
				}
			}
		} else {
			t = e.cond(r.Cond)
		}
		d.trace = append(d.trace, TraceLine{Rule: r, Op: in.op, Swap: in.swap, Result: t, Why: e.why})
		return t
	}
	return 0
}

// first gives the first rule of a verb with a result on any instance, and that
// instance. Rules are in the order of their IDs.
func (d *decision) first(result Truth, verbs ...ast.Verb) (*check.Rule, instance) {
	for j, r := range d.policy.Rules {
		for _, verb := range verbs {
			if r.Verb != verb {
				continue
			}
			for i, in := range d.insts {
				if d.results[i][j] == result {
					return r, in
				}
			}
		}
	}
	return nil, instance{}
}

func (d *decision) verdict() Verdict {
	if r, in := d.first(True, ast.Kill); r != nil {
		return d.byRule(Kill, ByRule, r, in)
	}
	if r, in := d.first(True, ast.Deny); r != nil {
		return d.byRule(Deny, ByRule, r, in)
	}
	if r, in := d.first(Unknown, ast.Kill, ast.Deny); r != nil {
		return d.byRule(Deny, ByUnresolved, r, in)
	}
	for i, in := range d.insts {
		if d.allowed(i) != nil {
			continue
		}
		def := d.policy.DefaultFor(in.op)
		if def == nil || !def.Deny {
			continue
		}
		for j, r := range d.policy.Rules {
			if r.Verb == ast.Allow && d.results[i][j] == Unknown {
				return d.byRule(Deny, ByUnresolved, r, in)
			}
		}
		return Verdict{Action: Deny, Reason: ByDefault, RuleID: def.ID, Default: def, Op: in.op.Name, Errno: d.errno(in)}
	}
	op := d.insts[0].op
	if r := d.allowed(0); r != nil {
		return Verdict{Action: Allow, Reason: ByRule, RuleID: r.ID, Rule: r, Op: op.Name}
	}
	v := Verdict{Action: Allow, Reason: ByDefault, Default: d.policy.DefaultFor(op), Op: op.Name}
	if v.Default != nil {
		v.RuleID = v.Default.ID
	}
	return v
}

// allowed gives the first allow rule that matches an instance.
func (d *decision) allowed(i int) *check.Rule {
	for j, r := range d.policy.Rules {
		if r.Verb == ast.Allow && d.results[i][j] == True {
			return r
		}
	}
	return nil
}

func (d *decision) byRule(a Action, why Reason, r *check.Rule, in instance) Verdict {
	errno := r.Errno
	if errno == 0 {
		errno = d.errno(in)
	}
	return Verdict{Action: a, Reason: why, RuleID: r.ID, Rule: r, Op: in.op.Name, Errno: errno}
}

// errno is the default errno of an operation.
func (d *decision) errno(in instance) int {
	n, ok := d.policy.Schema.Errnos.Lookup(in.op.Errno)
	if !ok {
		return eperm
	}
	return int(n)
}

// DecideStack gives the verdict of a stack of policies, the outermost first.
// layer is the index of the policy that does not allow the event, or -1 if all
// allow it; then the verdict is that of the last policy. An empty stack allows.
func DecideStack(stack []*check.Policy, ev Event) (layer int, v Verdict) {
	all := DecideLayers(stack, ev)
	if len(all) == 0 {
		return -1, Verdict{Action: Allow, Reason: ByDefault}
	}
	v = all[len(all)-1]
	if v.Action == Allow {
		return -1, v
	}
	return len(all) - 1, v
}

// DecideLayers gives the verdicts of the policies of a stack that are asked:
// from the outermost to the first that does not allow the event. The audit
// rules of later ones do not report.
func DecideLayers(stack []*check.Policy, ev Event) []Verdict {
	var all []Verdict
	for _, p := range stack {
		v := Decide(p, ev)
		all = append(all, v)
		if v.Action != Allow {
			break
		}
	}
	return all
}
