// Package check resolves and type-checks a parsed policy with its imports.
//
// Input: syntax trees (lang/ast) and the schema (lang/types). Output: a Policy
// and all diagnostics found. What parses but cannot be enforced yet is an
// error with its own code, never ignored.
//
// The work goes in this order: names are declared (names.go); sets and params
// get their values (sets.go); rules, defaults and tests are checked in source
// order (rules.go, tests.go), which builds the conditions (cond.go, value.go);
// at last the whole policy is looked at for rules that cannot do what they
// seem to say (lint.go). All messages point at the text that causes them.
package check

import (
	"fmt"
	"sort"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// Limits of one policy with its imports (docs/language.md, limits).
const (
	MaxRules   = 10_000  // rules and defaults together
	MaxMembers = 100_000 // members of all sets, nested sets counted where they are named
	// MaxConditions bounds the leaves and operators of all conditions, those of
	// a when block counted once for each rule inside.
	MaxConditions = 1_000_000
	// MaxErrors is how many errors, and how many warnings, are reported; a note
	// tells when there were more.
	MaxErrors = 100
)

// maxDepth bounds the recursion over one expression. The parser's own limits
// are lower; this one is for trees made in other ways.
const maxDepth = 5000

// checker holds the state of one Check.
type checker struct {
	schema *types.Schema
	unit   unit
	list   diag.List
	errors int
	warned int
	more   bool // more were found than are reported
	found  map[finding]bool

	policy  *Policy
	files   []*ast.File // in the order of first import
	seen    map[*ast.File]bool
	params  map[string]*param
	sets    map[string]*set
	setList []*set // in source order
	prmList []*param
	rules   map[string]*Rule // by name
	tests   map[string]*ast.TestStmt
	// defaultAt holds the defaults found, to tell those that clash.
	defaultAt map[defaultKey]*Default
	fields    map[string]bool // names that fields and lower-case constants have

	members int  // of all sets
	tooMany bool // members or rules went over a limit; reported
	nodes   int  // of all conditions
	blocks  map[blockKey]Cond
}

// finding tells diagnostics apart.
type finding struct {
	code    diag.Code
	span    source.Span
	message string
}

// unit is what is checked: the policy's file and what its imports are.
type unit struct {
	main    *ast.File
	imports map[*ast.ImportStmt]*ast.File // those missing could not be loaded, which was reported
	library bool                          // main is a library, checked by itself
}

func newChecker(u unit, schema *types.Schema) *checker {
	c := &checker{
		schema: schema, unit: u, policy: &Policy{Schema: schema}, seen: map[*ast.File]bool{},
		params: map[string]*param{}, sets: map[string]*set{}, rules: map[string]*Rule{},
		tests: map[string]*ast.TestStmt{}, blocks: map[blockKey]Cond{}, fields: map[string]bool{},
		found: map[finding]bool{}, defaultAt: map[defaultKey]*Default{},
	}
	return c
}

// run checks everything. The policy is nil if there was any error.
func (c *checker) run() (*Policy, diag.List) {
	c.declare()
	c.resolveSets()
	c.statements(c.unit.main, nil)
	c.checkTests()
	if c.errors == 0 {
		c.lint()
	}
	c.sort()
	if c.errors > 0 {
		return nil, c.list
	}
	return c.policy, c.list
}

// report adds a diagnostic unless there are too many already, and gives it for
// adding related places. Equal findings at one place are reported once: the
// condition of a when block is checked for each rule inside.
func (c *checker) report(sev diag.Severity, code diag.Code, sp source.Span, help, format string, args ...any) *diag.Diagnostic {
	d := diag.Diagnostic{Code: code, Severity: sev, Span: sp, Help: help, Message: fmt.Sprintf(format, args...)}
	k := finding{code, sp, d.Message}
	if c.found[k] {
		return &diag.Diagnostic{}
	}
	n := &c.warned
	if sev == diag.Error {
		n = &c.errors
	}
	*n++
	if *n > MaxErrors {
		c.more = true
		return &diag.Diagnostic{}
	}
	c.found[k] = true
	c.list = append(c.list, d)
	return &c.list[len(c.list)-1]
}

func (c *checker) err(code diag.Code, sp source.Span, help, format string, args ...any) *diag.Diagnostic {
	return c.report(diag.Error, code, sp, help, format, args...)
}

func (c *checker) warn(code diag.Code, sp source.Span, help, format string, args ...any) *diag.Diagnostic {
	return c.report(diag.Warning, code, sp, help, format, args...)
}

// related adds a second place to a diagnostic.
func related(d *diag.Diagnostic, sp source.Span, message string) {
	d.Related = append(d.Related, diag.Related{Span: sp, Message: message})
}

// full tells that further errors would not be shown, so that looking for them is in vain.
func (c *checker) full() bool { return c.errors > MaxErrors }

// sort puts the findings in source order, file by file.
func (c *checker) sort() {
	order := map[*source.File]int{}
	for i, f := range c.files {
		order[f.Source] = i + 1
	}
	sort.SliceStable(c.list, func(i, j int) bool {
		a, b := c.list[i].Span, c.list[j].Span
		if order[a.File] != order[b.File] {
			return order[a.File] < order[b.File]
		}
		return a.Start < b.Start
	})
	if c.more {
		end := source.Span{File: c.unit.main.Source}
		if n := len(c.list); n > 0 {
			end = c.list[n-1].Span
		}
		c.list = append(c.list, diag.Diagnostic{Code: diag.TooManyErrors, Severity: diag.Note, Span: end,
			Message: fmt.Sprintf("there are more findings; at most %d errors and %d warnings are shown", MaxErrors, MaxErrors)})
	}
}

// quote sets off source text in a message, shortened if it is long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		n := most
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return "`" + s + "`"
}
