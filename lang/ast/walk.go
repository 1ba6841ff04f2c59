package ast

import "fmt"

// Walk visits every statement, test step and expression of a file in source
// order, each before what it holds. If visit returns false, what the node holds
// is not visited. Walk panics on a node type that it does not know, so that a
// new one cannot be forgotten.
func Walk(f *File, visit func(Node) bool) {
	for _, s := range f.Stmts {
		WalkStmt(s, visit)
	}
}

// WalkStmt visits a statement as Walk does.
func WalkStmt(s Stmt, visit func(Node) bool) {
	if !visit(s) {
		return
	}
	switch s := s.(type) {
	case *PolicyStmt, *DefaultStmt, *UnresolvedStmt, *BadStmt:
	case *ImportStmt:
		WalkExpr(s.Path, visit)
	case *ParamStmt:
		walkOptional(s.Default, visit)
	case *SetStmt:
		WalkExpr(s.Set, visit)
	case *RuleStmt:
		walkOptional(s.When, visit)
		walkOptional(s.Unless, visit)
		walkString(s.Because, visit)
	case *StateStmt:
		walkOptional(s.Init, visit)
	case *OnStmt:
		walkOptional(s.When, visit)
		walkOptional(s.Value, visit)
	case *LimitStmt:
		WalkExpr(s.Count, visit)
		WalkExpr(s.Per, visit)
		walkOptional(s.When, visit)
	case *WhenBlock:
		WalkExpr(s.Cond, visit)
		for _, b := range s.Body {
			WalkStmt(b, visit)
		}
	case *HelperStmt:
		walkString(s.Kfunc, visit)
	case *TestStmt:
		WalkExpr(s.Name, visit)
		for _, step := range s.Steps {
			walkStep(step, visit)
		}
	default:
		panic(fmt.Sprintf("ast: unknown statement %T", s))
	}
}

func walkStep(s TestStep, visit func(Node) bool) {
	if !visit(s) {
		return
	}
	switch s := s.(type) {
	case *EventStep:
		walkArgs(s.Args, visit)
		if s.Expect != nil {
			visit(s.Expect)
		}
	case *SubjectStep:
		walkArgs(s.Args, visit)
	case *MoveStep:
	case *WaitStep:
		WalkExpr(s.For, visit)
	case *StackStep:
		WalkExpr(s.Path, visit)
	default:
		panic(fmt.Sprintf("ast: unknown test step %T", s))
	}
}

func walkArgs(args []TestArg, visit func(Node) bool) {
	for _, a := range args {
		for _, v := range a.Values {
			WalkExpr(v, visit)
		}
	}
}

// WalkExpr visits an expression as Walk does.
func WalkExpr(x Expr, visit func(Node) bool) {
	if !visit(x) {
		return
	}
	switch x := x.(type) {
	case *NameExpr, *IntLit, *StringLit, *BoolLit, *DurationLit, *AddrLit, *BadExpr:
	case *BinaryExpr:
		WalkExpr(x.X, visit)
		WalkExpr(x.Y, visit)
	case *UnaryExpr:
		WalkExpr(x.X, visit)
	case *ParenExpr:
		WalkExpr(x.X, visit)
	case *CallExpr:
		for _, a := range x.Args {
			WalkExpr(a, visit)
		}
	case *RangeExpr:
		WalkExpr(x.Lo, visit)
		WalkExpr(x.Hi, visit)
	case *SetLit:
		for _, e := range x.Elems {
			WalkExpr(e, visit)
		}
	default:
		panic(fmt.Sprintf("ast: unknown expression %T", x))
	}
}

func walkOptional(x Expr, visit func(Node) bool) {
	if x != nil {
		WalkExpr(x, visit)
	}
}

func walkString(s *StringLit, visit func(Node) bool) {
	if s != nil {
		WalkExpr(s, visit)
	}
}
