package check

import (
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/glob"
	"github.com/snappy-policy/snappy/lang/types"
)

// checkTests checks the names and values of test blocks. What they claim is
// not looked at here.
func (c *checker) checkTests() {
	for _, t := range c.policy.Tests {
		for _, s := range t.Steps {
			if c.full() {
				c.more = true
				return
			}
			switch s := s.(type) {
			case *ast.EventStep:
				c.eventStep(s)
			case *ast.SubjectStep:
				c.testArgs(nil, s.Args)
			}
			// fork, exit, wait and stack name nothing of the policy.
		}
	}
}

func (c *checker) eventStep(s *ast.EventStep) {
	op := c.operation(s.Op)
	if op == nil {
		return
	}
	c.testArgs(op, s.Args)
	e := s.Expect
	if e == nil {
		return
	}
	if e.Errno != nil {
		c.errno(*e.Errno)
		if e.Verdict == ast.Allow {
			c.err(diag.ErrnoWithoutDenial, e.Errno.Sp, "", "an event that is allowed has no errno")
		}
	}
	// file.read and file.write stand for the open that asks for them.
	ops := []*types.Operation{op}
	if op.Name == "file.read" || op.Name == "file.write" {
		ops = append(ops, c.schema.Operation("file.open"))
	}
	if op.Name == "file.open" {
		ops = append(ops, c.schema.Operation("file.read"), c.schema.Operation("file.write"))
	}
	if e.By != nil {
		c.decidedBy(*e.By, ops, e.Verdict)
	}
	for _, a := range e.AuditedBy {
		c.decidedBy(a, ops, ast.Audit)
	}
}

// decidedBy checks that the rule named in a test exists and can give the verdict.
func (c *checker) decidedBy(id ast.Ident, ops []*types.Operation, verdict ast.Verb) {
	r := c.rules[id.Name]
	if r == nil {
		var names []string
		for _, r := range c.policy.Rules {
			if r.Name != "" {
				names = append(names, r.Name)
			}
		}
		c.err(diag.UnknownRule, id.Sp, c.didYouMean(id.Name, names, "rules are named with `as`"), "there is no rule named %s", quote(id.Name))
		return
	}
	// An unresolved allow or kill rule denies; no test line can bring that about.
	if r.Verb != verdict {
		d := c.err(diag.RuleCannotDecide, id.Sp, "", "%s is a rule that says %s, not %s", quote(id.Name), r.Verb, verdict)
		related(d, r.Span, "the rule")
		return
	}
	for _, u := range r.Ops {
		for _, op := range ops {
			if u.Op == op {
				return
			}
		}
	}
	if len(r.Ops) > 0 {
		d := c.err(diag.RuleCannotDecide, id.Sp, "", "rule %s is not about %s", quote(id.Name), ops[0].Name)
		related(d, r.Span, "the rule")
	}
}

// testArgs checks field=value pairs; op is nil for those of the subject alone.
func (c *checker) testArgs(op *types.Operation, args []ast.TestArg) {
	seen := map[string]bool{}
	for _, a := range args {
		name := a.Field.Name
		if seen[name] {
			c.err(diag.TestArgument, a.Field.Sp, "", "field %s is given twice", quote(name))
			continue
		}
		seen[name] = true
		f := c.schema.SubjectField(name)
		if f == nil && op != nil {
			f = op.Field(name)
		}
		if f == nil {
			c.noSuchArgument(op, a.Field)
			continue
		}
		if c.supported(f, a.Field) != nil {
			c.testValues(f, a)
		}
	}
}

func (c *checker) noSuchArgument(op *types.Operation, id ast.Ident) {
	var names []string
	what := "the subject"
	if op != nil {
		what = op.Name
		for _, f := range op.Fields {
			names = append(names, f.Name)
		}
	}
	for _, f := range c.schema.Subject {
		names = append(names, f.Name)
	}
	code := diag.UnknownName
	if c.anyField(id.Name) {
		code = diag.FieldNotThere
	}
	c.err(code, id.Sp, c.didYouMean(id.Name, names, ""), "%s has no field %s", what, quote(id.Name))
}

// testValues checks the values given for a field.
func (c *checker) testValues(f *types.Field, a ast.TestArg) {
	if len(a.Values) > 1 && f.Kind != types.Flags {
		c.err(diag.TestArgument, a.Sp, "only flags can have several values", "field %s has one value", quote(f.Name))
		return
	}
	h := enumHint{enum: f.Enum}
	if f.Enum == nil {
		h.plain = f
	}
	for _, e := range a.Values {
		v := c.operand(nil, e, h, 0)
		fits := false
		switch f.Kind {
		case types.Bool:
			_, fits = v.cond.(*Const)
		case types.Int, types.Flags:
			_, fits = v.constant()
			if n, ok := v.constant(); ok && f.Min != f.Max && (n < f.Min || n > f.Max) {
				c.err(diag.TestArgument, v.sp, "", "%s is between %d and %d", quote(f.Name), f.Min, f.Max)
				continue
			}
		case types.String, types.Path:
			fits = v.kind == textOperand || v.kind == pathOperand && f.Kind == types.Path || v.kind == stringOperand && f.Kind == types.String
			if fits && len(v.text) > f.MaxLen {
				c.err(diag.TestArgument, v.sp, "", "%s has at most %d bytes", quote(f.Name), f.MaxLen)
				continue
			}
			if fits && f.Kind == types.Path && !f.Verbatim && !c.reportFlaw(v.sp, v.text, glob.LiteralFlaw(v.text), false) {
				continue
			}
		case types.Addr:
			fits = v.kind == addrOperand && v.prefix.IsSingleIP()
		}
		if !fits && v.kind != badOperand {
			c.err(diag.TestArgument, v.sp, "", "%s is %s; this is %s", quote(f.Name), describe(f), strings.Replace(v.typeName(), "an addr", "a prefix", 1))
		}
	}
}
