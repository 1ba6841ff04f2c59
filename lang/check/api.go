package check

import (
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/types"
)

// Tree checks a policy that was parsed file by file. imports gives the file of
// each import statement, of the main file and of imports alike; an import that
// is missing was reported by whoever loads files. The policy is nil if there is
// any error. Warnings and notes are in the list too. Errors of the parser are
// not looked at; a tree with Bad nodes is checked as far as it goes.
func Tree(main *ast.File, imports map[*ast.ImportStmt]*ast.File, schema *types.Schema) (*Policy, diag.List) {
	u := unit{main: main, imported: func(s *ast.ImportStmt) *ast.File { return imports[s] }}
	return newChecker(u, schema).run()
}
