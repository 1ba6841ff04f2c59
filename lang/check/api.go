package check

import (
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/types"
)

// Check checks a policy with its imports. The policy is nil if there is any
// error. The list holds warnings and notes too, in source order, the policy's
// own file first; it does not repeat what loading reported. Call it after a
// load with errors only to find more of them, and do not use the policy then.
func Check(u *load.Unit, schema *types.Schema) (*Policy, diag.List) {
	return Tree(u.Main, u.Imports, schema)
}

// Library checks a library by itself: what it declares and imports, without
// the policy that would import it.
func Library(u *load.Unit, schema *types.Schema) diag.List {
	c := newChecker(unit{main: u.Main, imports: u.Imports, library: true}, schema)
	_, list := c.run()
	return list
}

// Tree is Check for files that were parsed in another way. imports gives the
// file of each import statement, of the main file and of imports alike; one
// that is missing was reported by whoever looked for it. A tree with Bad nodes
// is checked as far as it goes.
func Tree(main *ast.File, imports map[*ast.ImportStmt]*ast.File, schema *types.Schema) (*Policy, diag.List) {
	return newChecker(unit{main: main, imports: imports}, schema).run()
}
