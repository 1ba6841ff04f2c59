package progen

import (
	"slices"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/format"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// Shrink makes a policy smaller as long as fails says that it still fails:
// statements go, then parts of rules and conditions. fails must be false for
// texts that are no policy. It is asked at most limit times.
func Shrink(text string, limit int, fails func(text string) bool) string {
	for changed := true; changed; {
		changed = false
		for i := 0; ; {
			smaller, ok := mutate(text, i)
			if !ok {
				break
			}
			if smaller == text {
				i++
				continue
			}
			if limit--; limit < 0 {
				return text
			}
			if fails(smaller) {
				text, changed = smaller, true
			} else {
				i++
			}
		}
	}
	return text
}

// mutate applies the n-th simplification to a policy; false if there are not so many.
func mutate(text string, n int) (string, bool) {
	f, list := parser.Parse(source.New("p.snp", text))
	if list.HasErrors() {
		return "", false
	}
	m := &mutator{left: n}
	f.Stmts = m.stmts(f.Stmts)
	if !m.done {
		return "", false
	}
	f.Comments = nil
	out, err := format.Format(f)
	return out, err == nil
}

type mutator struct {
	left int
	done bool
}

// now tells whether this simplification is the one to apply.
func (m *mutator) now() bool {
	if m.done {
		return false
	}
	m.left--
	m.done = m.left < 0
	return m.done
}

func (m *mutator) stmts(list []ast.Stmt) []ast.Stmt {
	for i, s := range list {
		if _, head := s.(*ast.PolicyStmt); !head && m.now() {
			return slices.Delete(slices.Clone(list), i, i+1)
		}
		if b, ok := s.(*ast.WhenBlock); ok && m.now() {
			return slices.Concat(list[:i], b.Body, list[i+1:])
		}
	}
	for _, s := range list {
		switch s := s.(type) {
		case *ast.WhenBlock:
			s.Body = m.stmts(s.Body)
			s.Cond = m.expr(s.Cond)
		case *ast.RuleStmt:
			m.rule(s)
		case *ast.DefaultStmt:
			s.Ops = m.ops(s.Ops)
		case *ast.SetStmt:
			m.elems(s.Set)
		}
	}
	return list
}

func (m *mutator) rule(r *ast.RuleStmt) {
	r.Ops = m.ops(r.Ops)
	if r.When != nil && m.now() {
		r.When = nil
	}
	if r.Unless != nil && m.now() {
		r.Unless = nil
	}
	if r.Errno != nil && m.now() {
		r.Errno = nil
	}
	if r.Because != nil && m.now() {
		r.Because = nil
	}
	if r.Name != nil && m.now() {
		r.Name = nil
	}
	if r.When != nil {
		r.When = m.expr(r.When)
	}
	if r.Unless != nil {
		r.Unless = m.expr(r.Unless)
	}
}

func (m *mutator) ops(list []ast.Ident) []ast.Ident {
	for i := range list {
		if len(list) > 1 && m.now() {
			return slices.Delete(slices.Clone(list), i, i+1)
		}
	}
	return list
}

func (m *mutator) elems(s *ast.SetLit) {
	for i := range s.Elems {
		if len(s.Elems) > 1 && m.now() {
			s.Elems = slices.Delete(slices.Clone(s.Elems), i, i+1)
			return
		}
	}
}

func (m *mutator) expr(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if e.Op == ast.OpAnd || e.Op == ast.OpOr {
			if m.now() {
				return e.X
			}
			if m.now() {
				return e.Y
			}
		}
		e.X, e.Y = m.expr(e.X), m.expr(e.Y)
	case *ast.UnaryExpr:
		if e.Op == ast.OpNot && m.now() {
			return e.X
		}
		e.X = m.expr(e.X)
	case *ast.ParenExpr:
		if m.now() {
			return e.X
		}
		e.X = m.expr(e.X)
	case *ast.SetLit:
		m.elems(e)
	}
	return e
}
