// Package check resolves and type-checks a parsed policy with its imports.
//
// Input: syntax trees (lang/ast) and the schema (lang/types). Output: a Policy
// and all diagnostics found. What parses but cannot be enforced yet is an
// error with its own code, never ignored.
package check
