package lower

import (
	"fmt"
	"slices"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// conditions turns the conditions of one hook into trees over its variables.
type conditions struct {
	hook                  *target.Hook
	diags                 *diag.List
	vars                  []*variable
	byKey                 map[string]*variable
	paths, strings, addrs *atomSets
	ranges                map[string]*atomSets // by field, of the IntClass variables
	// failed tells that something was complained about.
	failed bool
	using  atomUse // by the present rule
}

func newConditions(h *target.Hook, diags *diag.List) *conditions {
	return &conditions{hook: h, diags: diags, byKey: map[string]*variable{},
		paths: newAtomSets(), strings: newAtomSets(), addrs: newAtomSets()}
}

// names maps the field names of a condition to those of the hook: `path`
// stands for a path of the operation in a rule over a group, and an exchanged
// instance has path and to swapped.
type names struct {
	path string // what `path` stands for
	swap bool
}

func (n names) of(name string) string {
	if name == "path" {
		name = n.path
	}
	if n.swap {
		switch name {
		case "path":
			return "to"
		case "to":
			return "path"
		}
	}
	return name
}

// rule gives the condition of a rule for one use of an operation in one instance.
func (c *conditions) rule(r *check.Rule, use check.OpUse, inst target.Instance) *tree {
	c.using = atomUse{r.ID, c.likeness(r)}
	if !use.Each || len(use.Op.Paths) == 0 {
		return c.tree(r.Cond, names{"path", inst.Swap})
	}
	t := &tree{op: treeOr}
	if r.Verb == ast.Allow {
		t.op = treeAnd
	}
	for _, p := range use.Op.Paths {
		t.kids = append(t.kids, c.tree(r.Cond, names{p, inst.Swap}))
	}
	if len(t.kids) == 1 {
		return t.kids[0]
	}
	return t
}

// likeness names the rules that a path atom of this rule may hide atoms of, if
// it holds: of rules that ask for nothing but one path, for the same instances,
// the first that holds decides, and whether later ones hold does not matter. It
// is "" if that is not so. A rule over both paths that needs both is no such rule.
func (c *conditions) likeness(r *check.Rule) string {
	cond, ok := r.Cond.(*check.PathIn)
	if !ok {
		return ""
	}
	verb := r.Verb
	if verb == ast.Kill {
		verb = ast.Deny // kills come first, in the order of atoms too
	}
	like := fmt.Sprint(verb, " ", cond.Field.Name)
	for _, use := range r.Ops {
		if slices.ContainsFunc(c.hook.Instances, func(in target.Instance) bool { return in.Op == use.Op }) {
			if verb == ast.Allow && use.Each && len(use.Op.Paths) > 1 {
				return ""
			}
			like += fmt.Sprint(" ", use.Op.Name, use.Each)
		}
	}
	return like
}

// use notes that the present rule asks for an atom. If several do, none can be hidden.
func (c *conditions) use(atom int32) {
	if old, ok := c.paths.uses[atom]; ok && old != c.using {
		c.using.like = ""
	}
	c.paths.uses[atom] = c.using
}

// guard gives the condition under which a guard holds.
func (c *conditions) guard(g hook.Guard) *tree {
	ranges := make([]check.Range, 0, len(g.Values))
	for _, v := range slices.Sorted(slices.Values(g.Values)) {
		ranges = append(ranges, check.Range{Lo: v, Hi: v})
	}
	x := fieldExpr(c.hook.Field(g.Field))
	if m := target.Effective(g); m != -1 {
		x = arithExpr(ir.And, x, constExpr(m))
	}
	t := c.inRanges(x, ranges, source.Span{})
	if g.Not {
		return &tree{op: treeNot, kids: []*tree{t}}
	}
	return t
}

// active gives the condition under which an event is an instance; nil if it always is.
func (c *conditions) active(inst target.Instance) *tree {
	t := &tree{op: treeAnd}
	for _, g := range inst.Guards {
		t.kids = append(t.kids, c.guard(g))
	}
	switch len(t.kids) {
	case 0:
		return nil
	case 1:
		return t.kids[0]
	}
	return t
}

func (c *conditions) tree(cond check.Cond, n names) *tree {
	switch cond := cond.(type) {
	case *check.Const:
		if cond.Value {
			return &tree{op: treeTrue}
		}
		return &tree{op: treeFalse}
	case *check.And:
		return &tree{op: treeAnd, kids: c.trees(cond.Xs, n)}
	case *check.Or:
		return &tree{op: treeOr, kids: c.trees(cond.Xs, n)}
	case *check.Not:
		return &tree{op: treeNot, kids: []*tree{c.tree(cond.X, n)}}
	case *check.BoolIs:
		// Any bit makes a bool true, so that a kernel value other than 1 cannot hide it.
		zero := c.inRanges(c.scalar(cond.Field, cond.Sp), []check.Range{{}}, cond.Sp)
		return &tree{op: treeNot, kids: []*tree{zero}}
	case *check.HasFlags:
		x := arithExpr(ir.And, c.scalar(cond.Field, cond.Sp), constExpr(cond.Mask))
		return c.inRanges(x, []check.Range{{Lo: cond.Mask, Hi: cond.Mask}}, cond.Sp)
	case *check.IntIn:
		if f, ok := cond.X.(*check.IntField); ok && f.Field.Unresolvable {
			v := c.classVar(ir.IntClass, f.Field.Name, c.rangeSets(f.Field.Name), cond.Sp)
			return c.leaf(v, v.sets.addRanges(cond.Ranges))
		}
		return c.inRanges(c.value(cond.X), cond.Ranges, cond.Sp)
	case *check.IntCmp:
		return c.compare(cond)
	case *check.PathIn:
		v := c.classVar(ir.PathClass, n.of(cond.Field.Name), c.paths, cond.Sp)
		atom := c.paths.addPatterns(cond.Patterns, cond.Sp)
		c.use(atom)
		return c.leaf(v, atom)
	case *check.StringIn:
		v := c.classVar(ir.StringClass, cond.Field.Name, c.strings, cond.Sp)
		return c.leaf(v, c.strings.addPatterns(cond.Patterns, cond.Sp))
	case *check.AddrIn:
		v := c.classVar(ir.AddrClass, cond.Field.Name, c.addrs, cond.Sp)
		return c.leaf(v, c.addrs.addPrefixes(cond.Prefixes))
	}
	panic(fmt.Sprintf("lower: unknown condition %T", cond))
}

func (c *conditions) trees(xs []check.Cond, n names) []*tree {
	out := make([]*tree, len(xs))
	for i, x := range xs {
		out[i] = c.tree(x, n)
	}
	return out
}

func (c *conditions) leaf(v *variable, atom int32) *tree {
	v.uses++
	return &tree{op: treeLeaf, v: v, atom: atom}
}

// compare is a comparison of two values: x == y and x < y are the variables,
// the rest follows from them.
func (c *conditions) compare(cond *check.IntCmp) *tree {
	x, y := c.value(cond.X), c.value(cond.Y)
	cmp, negate := ir.Lt, false
	switch cond.Op {
	case ast.OpEq, ast.OpNe:
		cmp, negate = ir.Eq, cond.Op == ast.OpNe
		if x.key > y.key {
			x, y = y, x
		}
	case ast.OpLt:
	case ast.OpGe:
		negate = true
	case ast.OpGt:
		x, y = y, x
	case ast.OpLe:
		x, y, negate = y, x, true
	default:
		panic(fmt.Sprintf("lower: comparison %v", cond.Op))
	}
	var t *tree
	if x.key == y.key {
		t = &tree{op: treeFalse}
		if cmp == ir.Eq {
			t.op = treeTrue
		}
	} else {
		v := c.variable(fmt.Sprintf("%s %v %s", x.key, cmp, y.key), func() *variable {
			return &variable{kind: compareVar, x: x, y: y, cmp: cmp, sets: newAtomSets(), cost: max(x.cost, y.cost), span: cond.Sp}
		})
		t = c.leaf(v, v.sets.add("", func() {}))
	}
	if negate {
		return &tree{op: treeNot, kids: []*tree{t}}
	}
	return t
}

func (c *conditions) variable(key string, make func() *variable) *variable {
	v := c.byKey[key]
	if v == nil {
		v = make()
		v.key = key
		c.byKey[key] = v
		c.vars = append(c.vars, v)
	}
	return v
}

func (c *conditions) inRanges(x *expr, rs []check.Range, sp source.Span) *tree {
	if x.isConst() {
		for _, r := range rs {
			if r.Lo <= x.imm && x.imm <= r.Hi {
				return &tree{op: treeTrue}
			}
		}
		return &tree{op: treeFalse}
	}
	v := c.variable(x.key, func() *variable {
		return &variable{kind: scalarVar, x: x, sets: newAtomSets(), cost: x.cost, span: sp}
	})
	return c.leaf(v, v.sets.addRanges(rs))
}

func (c *conditions) classVar(kind ir.ClassifierKind, field string, sets *atomSets, sp source.Span) *variable {
	f := c.hook.Field(field)
	return c.variable(fmt.Sprintf("%v of %s", kind, field), func() *variable {
		return &variable{kind: classVar, class: kind, field: f, sets: sets, cost: f.Cost, unresolvable: f.Type.Unresolvable, span: sp}
	})
}

func (c *conditions) rangeSets(field string) *atomSets {
	if c.ranges == nil {
		c.ranges = map[string]*atomSets{}
	}
	if c.ranges[field] == nil {
		c.ranges[field] = newAtomSets()
	}
	return c.ranges[field]
}

var arithOps = map[ast.Op]ir.Opcode{
	ast.OpAdd: ir.Add, ast.OpSub: ir.Sub, ast.OpMul: ir.Mul, ast.OpDiv: ir.Div, ast.OpMod: ir.Mod,
	ast.OpBitAnd: ir.And, ast.OpBitOr: ir.Or, ast.OpBitXor: ir.Xor, ast.OpShl: ir.Shl, ast.OpShr: ir.Shr,
}

func (c *conditions) value(v check.Value) *expr {
	switch v := v.(type) {
	case *check.IntConst:
		return constExpr(v.Value)
	case *check.IntField:
		return c.scalar(v.Field, v.Sp)
	case *check.Arith:
		op, ok := arithOps[v.Op]
		if !ok {
			panic(fmt.Sprintf("lower: arithmetic %v", v.Op))
		}
		return arithExpr(op, c.value(v.X), c.value(v.Y))
	}
	panic(fmt.Sprintf("lower: unknown value %T", v))
}

// scalar reads a field as an integer. A value that can be unresolved has no
// integer to compute with; comparing it with constants goes through a classifier.
func (c *conditions) scalar(f *types.Field, sp source.Span) *expr {
	if f.Unresolvable {
		*c.diags = append(*c.diags, diag.Diagnostic{Code: diag.UnresolvableValue, Severity: diag.Error, Span: sp,
			Message: fmt.Sprintf("%s cannot be computed with or compared with another field in this version", f.Name),
			Help:    fmt.Sprintf("the kernel may fail to give %s; compare it with constants, ranges or sets", f.Name)})
		c.failed = true
		return constExpr(0)
	}
	return fieldExpr(c.hook.Field(f.Name))
}
