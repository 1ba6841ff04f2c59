package check

import (
	"slices"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// declare collects the names of all files: those of the main file, then, file
// by file, of the imports in the order in which they are first met.
func (c *checker) declare() {
	fields := func(list []*types.Field) {
		for _, f := range list {
			c.fields[f.Name] = true
		}
	}
	fields(c.schema.Subject)
	for _, o := range c.schema.Operations {
		fields(o.Fields)
	}
	for _, e := range c.schema.Enums {
		for _, v := range e.Values {
			c.fields[v.Name] = true
		}
	}
	switch p := c.unit.main.Policy(); {
	case p != nil:
		c.policy.Name = p.Name.Name
	case !c.unit.library:
		c.err(diag.MissingPolicy, source.Span{File: c.unit.main.Source}, "begin the file with `policy NAME`",
			"this file has no policy statement; it is a library and can only be imported")
	}
	c.declareFile(c.unit.main)
	for _, f := range c.files {
		c.policy.Files = append(c.policy.Files, f.Source)
	}
}

func (c *checker) declareFile(f *ast.File) {
	if c.seen[f] {
		return
	}
	c.seen[f] = true
	c.files = append(c.files, f)
	for _, s := range f.Stmts {
		switch s := s.(type) {
		case *ast.ImportStmt:
			if in := c.unit.imports[s]; in != nil {
				c.declareFile(in)
			}
		case *ast.ParamStmt:
			if c.newName(s.Name, "param") {
				p := &param{decl: s, main: f == c.unit.main}
				c.params[s.Name.Name] = p
				c.prmList = append(c.prmList, p)
			}
		case *ast.SetStmt:
			if c.newName(s.Name, "set") {
				n := &set{decl: s, main: f == c.unit.main}
				c.sets[s.Name.Name] = n
				c.setList = append(c.setList, n)
			}
		}
	}
}

// newName checks a declared name. Sets and params share one namespace.
func (c *checker) newName(id ast.Ident, what string) bool {
	first, kind := source.Span{}, ""
	if p := c.params[id.Name]; p != nil {
		first, kind = p.decl.Name.Sp, "param"
	} else if s := c.sets[id.Name]; s != nil {
		first, kind = s.decl.Name.Sp, "set"
	}
	if kind != "" {
		d := c.err(diag.DuplicateName, id.Sp, "", "there is already a %s named %s", kind, quote(id.Name))
		related(d, first, "first declared here")
		return false
	}
	if c.fields[id.Name] {
		c.err(diag.NameTaken, id.Sp, "choose another name, such as `my-"+id.Name+"`",
			"%s cannot name a %s: events have a field or constant of that name", quote(id.Name), what)
		return false
	}
	return true
}

// didYouMean is a help line with the nearest candidate, or the fallback.
func (c *checker) didYouMean(name string, candidates []string, fallback string) string {
	if !c.full() {
		if s := diag.Suggest(name, candidates); s != "" {
			return "did you mean " + quote(s) + "?"
		}
	}
	return fallback
}

// operation finds a supported operation by name; nil after reporting an error.
func (c *checker) operation(id ast.Ident) *types.Operation {
	op := c.schema.Operation(id.Name)
	switch {
	case op == nil && c.schema.Group(id.Name) != nil:
		c.err(diag.UnknownOperation, id.Sp, "name one operation", "%s is a group of operations", quote(id.Name))
	case op == nil:
		c.unknownOperation(id)
	case op.Unsupported != "":
		c.err(diag.OperationLater, id.Sp, "", "operation %s is not supported yet: %s", quote(op.Name), op.Unsupported)
		return nil
	}
	return op
}

func (c *checker) unknownOperation(id ast.Ident) {
	var names []string
	for _, o := range c.schema.Operations {
		if o.Unsupported == "" {
			names = append(names, o.Name)
		}
	}
	for _, g := range c.schema.Groups {
		names = append(names, g.Name)
	}
	help := c.didYouMean(id.Name, names, "")
	if help == "" {
		// `open` for file.open, `mount` for fs.mount
		for _, o := range c.schema.Operations {
			if _, last, ok := strings.Cut(o.Name, "."); ok && last == id.Name {
				help = "did you mean " + quote(o.Name) + "?"
				break
			}
		}
	}
	c.err(diag.UnknownOperation, id.Sp, help, "there is no operation or group named %s", quote(id.Name))
}

// operations resolves the operations of a rule or default: in schema order,
// each once. ok is false if any was refused; then the rule has no meaning.
func (c *checker) operations(ids []ast.Ident) (uses []OpUse, rank map[*types.Operation]int, ok bool) {
	ok = true
	rank = map[*types.Operation]int{}
	named := map[*types.Operation]string{}
	each := map[*types.Operation]bool{}
	add := func(op *types.Operation, id ast.Ident, group bool) (again bool) {
		_, again = named[op]
		if !again {
			named[op] = id.Name
		}
		each[op] = each[op] || group
		if !group {
			rank[op] = 2
		} else if rank[op] == 0 {
			rank[op] = 1
		}
		return again
	}
	for _, id := range ids {
		if op := c.schema.Operation(id.Name); op != nil {
			if op = c.operation(id); op == nil {
				ok = false
			} else if other := named[op]; add(op, id, false) {
				c.operationTwice(id, op, other)
			}
			continue
		}
		g := c.schema.Group(id.Name)
		if g == nil {
			c.unknownOperation(id)
			ok = false
			continue
		}
		if later := g.Unsupported(); len(later) > 0 {
			c.groupLater(id, g, later)
			ok = false
			continue
		}
		var twice *types.Operation
		other := ""
		for _, op := range g.Ops {
			before := named[op]
			if add(op, id, true) && twice == nil {
				twice, other = op, before
			}
		}
		if twice != nil && other == g.Name {
			c.operationTwice(id, nil, other)
		} else if twice != nil {
			c.operationTwice(id, twice, other)
		}
	}
	for _, op := range c.schema.Operations {
		if named[op] != "" {
			uses = append(uses, OpUse{Op: op, Each: each[op]})
		}
	}
	return uses, rank, ok && len(uses) > 0
}

func (c *checker) operationTwice(id ast.Ident, op *types.Operation, other string) {
	if other == id.Name {
		c.warn(diag.OperationTwice, id.Sp, "", "%s is named twice", quote(id.Name))
		return
	}
	c.warn(diag.OperationTwice, id.Sp, "", "%s is in both %s and %s", quote(op.Name), quote(other), quote(id.Name))
}

// groupLater refuses a group with members that this version does not mediate:
// a wildcard that quietly left some out would be weaker than it reads.
func (c *checker) groupLater(id ast.Ident, g *types.Group, later []*types.Operation) {
	help := "none of its operations is supported in this version"
	if have := c.spellOut(g); len(have) > 0 {
		help = "name what is meant: " + strings.Join(have, ", ")
	}
	c.err(diag.GroupLater, id.Sp, help, "%s has operations that are not supported yet: %s", quote(g.Name), strings.Join(opNames(later), ", "))
}

// spellOut names the supported operations of a group, by complete groups where
// these cover several.
func (c *checker) spellOut(g *types.Group) []string {
	covered := map[*types.Operation]bool{}
	var out []string
	for _, sub := range c.schema.Groups {
		inside := len(sub.Unsupported()) == 0
		for _, op := range sub.Ops {
			inside = inside && slices.Contains(g.Ops, op)
		}
		if inside {
			out = append(out, sub.Name)
			for _, op := range sub.Ops {
				covered[op] = true
			}
		}
	}
	for _, op := range g.Ops {
		if op.Unsupported == "" && !covered[op] {
			out = append(out, op.Name)
		}
	}
	return out
}

func opNames(ops []*types.Operation) []string {
	var names []string
	for _, o := range ops {
		names = append(names, o.Name)
	}
	return names
}

// errno gives the number of an errno; 0 after reporting an error.
func (c *checker) errno(id ast.Ident) int {
	n, ok := c.schema.Errnos.Lookup(id.Name)
	if !ok {
		var names []string
		for _, v := range c.schema.Errnos.Values {
			names = append(names, v.Name)
		}
		c.err(diag.UnknownErrno, id.Sp, c.didYouMean(id.Name, names, "errnos have the kernel's names, such as EACCES, EPERM or ENOENT"),
			"there is no errno named %s", quote(id.Name))
	}
	return int(n)
}
