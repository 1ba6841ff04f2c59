package check

import (
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/types"
)

// lint warns about a policy without errors that cannot do what it seems to
// say. Of imports only what is wrong wherever they are imported is reported.
func (c *checker) lint() {
	main := c.unit.main.Source
	defaults := map[*types.Operation]*Default{}
	for _, op := range c.schema.Operations {
		defaults[op] = c.policy.DefaultFor(op)
	}
	// The first rule that denies an operation whatever the event.
	always := map[*types.Operation]*Rule{}
	for _, r := range c.policy.Rules {
		if k, ok := r.Cond.(*Const); ok && k.Value && (r.Verb == ast.Deny || r.Verb == ast.Kill) {
			for _, u := range r.Ops {
				if always[u.Op] == nil {
					always[u.Op] = r
				}
			}
		}
	}
	for _, r := range c.policy.Rules {
		if k, ok := r.Cond.(*Const); ok && !k.Value {
			c.warn(diag.RuleNeverMatches, r.Span, "", "this rule never matches")
			continue
		}
		switch r.Verb {
		case ast.Allow:
			if by := shadowing(r, always); by != nil {
				d := c.warn(diag.RuleShadowed, r.Span, "", "this rule has no effect: what it allows is always denied")
				related(d, by.Span, "by this rule")
			} else if r.Span.File == main && !c.unit.library {
				c.repeatsDefault(r, defaults)
			}
		case ast.Deny, ast.Kill:
			c.onlyWrite(r, defaults)
			if r.Errno != 0 {
				for _, u := range r.Ops {
					if u.Op.Name == "capability" {
						c.warn(diag.ErrnoIgnored, r.Span, "", "the errno has no effect on `capability`: the system call that needs it chooses its own")
					}
				}
			}
		}
	}
	if c.unit.library {
		return // what it leaves unused or undecided is for the policies that import it
	}
	for _, s := range c.setList {
		if s.main && !s.used {
			c.warn(diag.SetUnused, s.decl.Name.Sp, "", "set %s is not used", quote(s.decl.Name.Name))
		}
	}
	for _, p := range c.prmList {
		if p.main && !p.used {
			c.warn(diag.ParamUnused, p.decl.Name.Sp, "", "param %s is not used", quote(p.decl.Name.Name))
		}
	}
	c.defaultDeny()
	c.pathsMovable()
}

// shadowing gives a rule that always denies, if each operation of r has one.
func shadowing(r *Rule, always map[*types.Operation]*Rule) *Rule {
	for _, u := range r.Ops {
		if always[u.Op] == nil {
			return nil
		}
	}
	return always[r.Ops[0].Op]
}

// repeatsDefault warns about an allow rule for what is allowed anyway. Deny
// rules win over it, so it changes no verdict.
func (c *checker) repeatsDefault(r *Rule, defaults map[*types.Operation]*Default) {
	for _, u := range r.Ops {
		if d := defaults[u.Op]; d != nil && d.Deny {
			return
		}
	}
	d := c.warn(diag.RepeatsDefault, r.Span, "did you mean a `default deny` for it as well?", "this rule has no effect: the default allows it already")
	if def := defaults[r.Ops[0].Op]; def != nil {
		related(d, def.Span, "the default")
	}
}

// onlyWrite warns about a path that is protected against writing alone: a file
// may still be put in its place.
func (c *checker) onlyWrite(r *Rule, defaults map[*types.Operation]*Default) {
	denies := map[string]bool{}
	for _, u := range r.Ops {
		denies[u.Op.Name] = true
	}
	if !denies["file.write"] || !usesPath(r.Cond) {
		return
	}
	var open []string
	for _, name := range []string{"file.create", "file.rename", "file.link"} {
		op := c.schema.Operation(name)
		if d := defaults[op]; !denies[name] && (d == nil || !d.Deny) {
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		c.warn(diag.OnlyWrite, r.Span, "did you mean `file.change`?", "the path is protected against writing, but %s can still replace it", strings.Join(open, ", "))
	}
}

// usesPath tells whether a condition looks at a path.
func usesPath(x Cond) bool {
	found := false
	Walk(x, func(x Cond) {
		_, isPath := x.(*PathIn)
		found = found || isPath
	})
	return found
}

// defaultDeny tells what a global `default deny` leaves open in this version.
func (c *checker) defaultDeny() {
	for _, d := range c.policy.Defaults {
		if d.Ops != nil || !d.Deny {
			continue
		}
		var later []string
		for i := 0; i < len(c.schema.Operations); i++ {
			op := c.schema.Operations[i]
			if op.Unsupported == "" {
				continue
			}
			if g := c.wholeGroup(op); g != nil {
				if g.Ops[0] == op {
					later = append(later, g.Name)
				}
				continue
			}
			later = append(later, op.Name)
		}
		c.warn(diag.DefaultDenyOpen, d.Span, "", "operations that this version does not mediate stay open: %s", strings.Join(later, ", "))
	}
}

// wholeGroup gives the group of an operation if all of it is unsupported.
func (c *checker) wholeGroup(op *types.Operation) *types.Group {
	family, _, _ := strings.Cut(op.Name, ".")
	if g := c.schema.Group(family + ".*"); g != nil && len(g.Unsupported()) == len(g.Ops) && len(g.Ops) > 1 {
		return g
	}
	return nil
}

// pathsMovable notes that paths depend on mounts and roots, which this version
// guards only through the capabilities that changing them takes.
func (c *checker) pathsMovable() {
	var first *Rule
	for _, r := range c.policy.Rules {
		for _, u := range r.Ops {
			if u.Op.Name == "capability" {
				return // the author has decided
			}
		}
		if first == nil && usesPath(r.Cond) {
			first = r
		}
	}
	if d := c.policy.DefaultFor(c.schema.Operation("capability")); first == nil || d != nil && d.Deny {
		return
	}
	c.report(diag.Note, diag.PathsMovable, first.Span, "deny capability when cap in { CAP_SYS_ADMIN, CAP_SYS_CHROOT }",
		"a process that may mount or change its root can give files other paths; this version does not mediate mount and chroot")
}

// Walk calls f for a condition and all conditions inside it, in order.
func Walk(x Cond, f func(Cond)) {
	f(x)
	switch x := x.(type) {
	case *And:
		for _, y := range x.Xs {
			Walk(y, f)
		}
	case *Or:
		for _, y := range x.Xs {
			Walk(y, f)
		}
	case *Not:
		Walk(x.X, f)
	}
}
