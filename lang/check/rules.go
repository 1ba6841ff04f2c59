package check

import (
	"slices"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// enclosing is a when block around a statement, with the blocks around it.
type enclosing struct {
	block *ast.WhenBlock
	outer *enclosing
}

// blockKey names the condition of a when block for rules over the same operations.
type blockKey struct {
	block *ast.WhenBlock
	ops   string
}

// statements checks a file's statements in order; those of an import where the
// first import of it stands.
func (c *checker) statements(f *ast.File, done map[*ast.File]bool) {
	if done == nil {
		done = map[*ast.File]bool{}
	}
	if done[f] {
		return
	}
	done[f] = true
	for _, s := range f.Stmts {
		if in, ok := s.(*ast.ImportStmt); ok {
			if imported := c.unit.imports[in]; imported != nil {
				c.statements(imported, done)
			}
			continue
		}
		c.statement(s, nil, f != c.unit.main || c.unit.library)
	}
}

func (c *checker) statement(s ast.Stmt, in *enclosing, library bool) {
	if c.full() {
		c.more = true
		return
	}
	switch s := s.(type) {
	case *ast.RuleStmt:
		c.rule(s, in)
	case *ast.DefaultStmt:
		if library {
			c.err(diag.LibraryStatement, s.Sp, "defaults are the business of the policy that imports it", "a library cannot have defaults")
			return
		}
		c.defaults(s)
	case *ast.WhenBlock:
		if len(s.Body) == 0 {
			c.warn(diag.EmptyBlock, s.Cond.Span(), "", "the block has no rules")
		}
		for _, b := range s.Body {
			c.statement(b, &enclosing{s, in}, library)
		}
	case *ast.TestStmt:
		if library {
			c.err(diag.LibraryStatement, s.Name.Sp, "test it in a policy that imports it", "a library cannot have tests")
			return
		}
		if first := c.tests[s.Name.Value]; first != nil {
			d := c.err(diag.DuplicateTest, s.Name.Sp, "", "there is already a test %q", s.Name.Value)
			related(d, first.Name.Sp, "the first one")
			return
		}
		c.tests[s.Name.Value] = s
		c.policy.Tests = append(c.policy.Tests, s)
	case *ast.StateStmt:
		c.err(diag.StateLater, s.Sp, "", "`state` is not supported yet")
	case *ast.OnStmt:
		c.err(diag.OnLater, s.Sp, "", "`on` is not supported yet")
	case *ast.LimitStmt:
		c.err(diag.LimitLater, s.Sp, "", "`limit` is not supported yet")
	case *ast.UnresolvedStmt:
		c.err(diag.UnresolvedLater, s.Sp, "what cannot be resolved is denied", "`on unresolved allow` is not supported yet")
	case *ast.HelperStmt:
		c.err(diag.HelperLater, s.Sp, "", "`helper` is not supported yet")
	}
	// PolicyStmt, ParamStmt and SetStmt were declared, a BadStmt was reported.
}

// nextID gives the number of the next rule or default; 0 if there are too many.
func (c *checker) nextID(sp source.Span) int {
	id := len(c.policy.Rules) + len(c.policy.Defaults) + 1
	if id > MaxRules {
		c.err(diag.TooManyRules, source.Span{File: c.unit.main.Source}, "put paths, ports and the like into sets",
			"the policy has more than %d rules and defaults", MaxRules)
		return 0
	}
	return id
}

// rule checks one rule and adds it to the policy.
func (c *checker) rule(s *ast.RuleStmt, in *enclosing) {
	uses, _, ok := c.operations(s.Ops)
	r := &Rule{ID: c.nextID(s.Sp), Verb: s.Verb, Ops: uses, Span: s.Sp}
	if r.ID == 0 {
		return
	}
	if s.Name != nil {
		r.Name = s.Name.Name
		if first := c.rules[r.Name]; first != nil {
			d := c.err(diag.DuplicateRule, s.Name.Sp, "", "there is already a rule named %s", quote(r.Name))
			related(d, first.Span, "the first one")
		} else {
			c.rules[r.Name] = r
		}
	}
	if s.Because != nil {
		r.Because = s.Because.Value
	}
	if s.Errno != nil {
		r.Errno = c.errno(*s.Errno)
		if s.Verb == ast.Allow || s.Verb == ast.Audit {
			c.err(diag.ErrnoWithoutDenial, s.Errno.Sp, "", "%s denies nothing, so it has no errno", quote(s.Verb.String()))
		}
	}
	if s.Errno != nil && s.Errno.Name == "ESRCH" && slices.ContainsFunc(uses, func(u OpUse) bool { return u.Op.Name == "process.signal" }) {
		c.err(diag.ErrnoRetried, s.Errno.Sp, "choose another one, such as EPERM", "the kernel tries again for ever when a signal fails with ESRCH")
	}
	r.Cond = &Const{Sp: s.VerbSp, Value: true}
	if ok {
		sc := newScope(uses)
		if cond := c.ruleCond(sc, s, in); cond != nil {
			r.Cond = cond
		}
		if c.nodes += size(r.Cond); c.nodes > MaxConditions {
			c.err(diag.ConditionsTooLarge, source.Span{File: c.unit.main.Source}, "put repeated conditions into sets, or split the policy",
				"the conditions of the policy have more than %d parts", MaxConditions)
		}
	}
	c.policy.Rules = append(c.policy.Rules, r)
}

// ruleCond joins the conditions of the blocks around a rule, `when` and
// `unless`; nil if it has none or an error was reported.
func (c *checker) ruleCond(sc *scope, s *ast.RuleStmt, in *enclosing) Cond {
	var xs []Cond
	ok := true
	add := func(x Cond) {
		if x == nil {
			ok = false
			return
		}
		xs = append(xs, x)
	}
	var blocks []*ast.WhenBlock
	for ; in != nil; in = in.outer {
		blocks = append(blocks, in.block)
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		k := blockKey{blocks[i], sc.key}
		x, known := c.blocks[k]
		if !known {
			x = c.cond(sc, blocks[i].Cond, 0)
			c.blocks[k] = x
		}
		add(x)
	}
	if s.When != nil {
		add(c.cond(sc, s.When, 0))
	}
	if s.Unless != nil {
		if x := c.cond(sc, s.Unless, 0); x != nil {
			add(negation(s.Unless.Span(), x))
		} else {
			ok = false
		}
	}
	if !ok || len(xs) == 0 {
		return nil
	}
	kept := xs[:0]
	for _, x := range xs {
		if k, isConst := x.(*Const); isConst {
			if !k.Value {
				return &Const{s.VerbSp, false}
			}
			continue
		}
		kept = append(kept, x)
	}
	switch len(kept) {
	case 0:
		return &Const{s.VerbSp, true}
	case 1:
		return kept[0]
	}
	return &And{s.Sp, kept}
}

// size counts the leaves and operators of a condition.
func size(x Cond) int {
	n := 0
	for pending := []Cond{x}; len(pending) > 0; n++ {
		x := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		switch x := x.(type) {
		case *And:
			pending = append(pending, x.Xs...)
		case *Or:
			pending = append(pending, x.Xs...)
		case *Not:
			pending = append(pending, x.X)
		case *IntIn:
			n += valueSize(x.X)
		case *IntCmp:
			n += valueSize(x.X) + valueSize(x.Y)
		}
	}
	return n
}

func valueSize(v Value) int {
	n := 0
	for pending := []Value{v}; len(pending) > 0; n++ {
		v := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if a, ok := v.(*Arith); ok {
			pending = append(pending, a.X, a.Y)
		}
	}
	return n
}

// defaults checks a default statement and adds it to the policy.
func (c *checker) defaults(s *ast.DefaultStmt) {
	d := &Default{ID: c.nextID(s.Sp), Deny: s.Deny, Span: s.Sp}
	if d.ID == 0 {
		return
	}
	clash := false
	if len(s.Ops) == 0 {
		clash = c.defaultClash(d, nil, 0)
	} else {
		uses, rank, ok := c.operations(s.Ops)
		if !ok {
			return
		}
		d.Rank = rank
		for _, u := range uses {
			d.Ops = append(d.Ops, u.Op)
			clash = clash || c.defaultClash(d, u.Op, rank[u.Op])
		}
	}
	if !clash {
		c.policy.Defaults = append(c.policy.Defaults, d)
	}
}

// defaultKey names what a default decides: an operation, nil for all, and how
// specific the default is.
type defaultKey struct {
	op   *types.Operation
	rank int
}

// defaultClash reports another default that is as specific for an operation.
func (c *checker) defaultClash(d *Default, op *types.Operation, rank int) bool {
	k := defaultKey{op, rank}
	other := c.defaultAt[k]
	if other == nil {
		c.defaultAt[k] = d
		return false
	}
	what := "everything"
	help := ""
	if op != nil {
		what = quote(op.Name)
		if rank == 1 {
			help = "a default that names " + what + " itself decides"
		}
	}
	if d.Deny == other.Deny {
		related(c.err(diag.DuplicateDefault, d.Span, "", "there is already a default for %s", what), other.Span, "the first one")
	} else {
		related(c.err(diag.DefaultConflict, d.Span, help, "two defaults contradict each other for %s", what), other.Span, "the other one")
	}
	return true
}
