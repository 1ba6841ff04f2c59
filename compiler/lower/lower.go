// Package lower turns a checked policy into the intermediate representation:
// for each LSM hook at which the policy can deny, kill or report anything, one
// function that decides the hook's events.
//
// Input: a check.Policy and a target. Output: an ir.Module, and diagnostics for
// what is beyond the limits or cannot be enforced.
//
// The meaning of a policy for one event (docs/language.md, verdicts) becomes
// two ranked lists, the audit and the verdict, whose first entry that holds is
// taken (program.go). Three-valued conditions become pairs of two-valued ones
// over variables with finitely many cells (formula.go, vars.go). A list is
// decided by a multiway decision DAG, which tests what is cheap first (dag.go),
// and the DAG is written as blocks (emit.go).
package lower

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/target"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// MaxTableBytes is the most that the decision tables of one hook may take;
// those of the classifiers are not counted.
const MaxTableBytes = 4 << 20

// Lower compiles a policy for the hooks of kernel/hook. If the diagnostics have
// errors, the module is nil. It panics if the policy's schema does not agree
// with the hook table, which a test of compiler/target excludes.
func Lower(p *check.Policy) (*ir.Module, diag.List) {
	t, err := target.New(p.Schema, hook.Hooks())
	if err != nil {
		panic(fmt.Sprintf("lower: %v", err))
	}
	return lowerTo(p, t, usualWork)
}

func lowerTo(p *check.Policy, t *target.Target, w work) (*ir.Module, diag.List) {
	m := &moduleBuilder{work: w, cache: classCache{}, ints: map[string]int{}, intData: map[string]*match.IntClasses{}, mod: &ir.Module{Policy: p.Name}, leaves: newLeafTable(), tables: map[string]int{}}
	for _, h := range t.Hooks {
		m.function(p, h)
	}
	if m.diags.HasErrors() {
		return nil, m.diags
	}
	m.mod.Leaves = m.leaves.leaves
	compactLeaves(m.mod)
	return m.mod, m.diags
}

// moduleBuilder collects what functions share.
type moduleBuilder struct {
	work   work
	cache  classCache
	mod    *ir.Module
	leaves *leafTable
	tables map[string]int
	diags  diag.List
	// bytes is what the tables of the present hook take; over is set when that is too much.
	bytes int
	over  bool
	// ints are the classifiers made for single nodes, intCount how many the present hook has.
	ints     map[string]int
	intData  map[string]*match.IntClasses
	intCount int
}

func (m *moduleBuilder) function(p *check.Policy, h *target.Hook) {
	conds := newConditions(h, &m.diags)
	ps := buildPrograms(p, h, m.leaves, conds)
	if conds.failed || len(ps.decide) == 0 && len(ps.audit) == 0 {
		return
	}
	vars, failed, err := splitVars(conds.vars, m.cache)
	if err != nil {
		m.diags = append(m.diags, limitDiagnostic(h, failed, err))
		return
	}
	orderVars(vars)
	for _, v := range vars {
		v.finish()
	}
	fs := newFormulas(vars, m.work)
	audit := buildProgram(fs, finish(fs, ps.audit, []int{0}, true))
	decide := buildProgram(fs, finish(fs, ps.decide, ps.runs, false))
	if audit == nil && decide == nil {
		return
	}
	m.bytes, m.over, m.intCount = 0, false, 0
	f := emitFunc(m, hookInfo{h.Name, h.Skip}, fs, audit, decide)
	if m.over {
		m.tooLarge(h, firstRule(p, h))
		return
	}
	m.mod.Funcs = append(m.mod.Funcs, f)
}

func (m *moduleBuilder) tooLarge(h *target.Hook, sp source.Span) {
	m.diags = append(m.diags, diag.Diagnostic{Code: diag.TablesTooLarge, Severity: diag.Error, Span: sp,
		Message: fmt.Sprintf("the decision tables of hook %s need more than %d bytes", h.Name, MaxTableBytes),
		Help:    "conditions on two paths that overlap in many ways multiply: use fewer distinct patterns, or the same ones for both paths"})
}

// buildProgram builds the stages of a program; nil if it always ends in leaf 0.
func buildProgram(fs *formulas, p *program) *stage {
	if len(p.entries) == 0 {
		return nil
	}
	s := buildStages(fs, p, 0)
	if s.ranks == nil && s.kids == nil && s.nodes[s.root].v < 0 && s.nodes[s.root].out == 0 {
		return nil
	}
	return s
}

// firstRule is the span of the first rule over one of the hook's operations.
func firstRule(p *check.Policy, h *target.Hook) source.Span {
	for _, r := range p.Rules {
		for _, use := range r.Ops {
			for _, inst := range h.Instances {
				if use.Op == inst.Op {
					return r.Span
				}
			}
		}
	}
	return source.Span{}
}

// limitDiagnostic tells which condition made a classifier too large.
func limitDiagnostic(h *target.Hook, v *variable, err error) diag.Diagnostic {
	d := diag.Diagnostic{Code: diag.SetsTooComplex, Severity: diag.Error, Span: v.span,
		Message: fmt.Sprintf("the conditions on %s at hook %s overlap in too many ways: %v", v.key, h.Name, err)}
	var limit *match.LimitError
	var bad *match.PatternError
	switch {
	case errors.As(err, &limit):
		d.Code, d.Span = diag.PatternsTooComplex, v.sets.spans[limit.Index]
		d.Message = fmt.Sprintf("the patterns of hook %s need more than %d %s; this condition needs most", h.Name, limit.Limit, limit.What)
		d.Help = "`**` and `*` in the middle of many patterns multiply: name directories exactly, or use fewer of them"
	case errors.As(err, &bad):
		d.Code, d.Span = diag.PatternsTooComplex, v.sets.spans[bad.Index]
		d.Message = fmt.Sprintf("pattern %q cannot be compiled: %v", bad.Text, bad.Err)
	}
	return d
}

// tableKind says what a table's entries are. Only equal tables of one kind are
// one, because leaves are renumbered at the end.
type tableKind byte

const (
	leafTableKind tableKind = iota + 1
	numberTableKind
)

// table numbers a table; equal ones are one.
func (m *moduleBuilder) table(hook string, kind tableKind, data []uint32) int {
	key := make([]byte, 1, 1+4*len(data))
	key[0] = byte(kind)
	var most uint32
	for _, d := range data {
		key = binary.LittleEndian.AppendUint32(key, d)
		most = max(most, d)
	}
	id, ok := m.tables[string(key)]
	if ok {
		return id
	}
	m.bytes += 4 * len(data)
	if m.bytes > MaxTableBytes {
		m.over = true
		return 0
	}
	id = len(m.mod.Tables)
	m.tables[string(key)] = id
	m.mod.Tables = append(m.mod.Tables, &ir.Table{Name: fmt.Sprintf("%s.%d", hook, id), Data: data, Max: most})
	return id
}

// classifierOf gives the number of a variable's classifier.
func (m *moduleBuilder) classifierOf(hook string, v *variable) int {
	if v.classifier < 0 {
		v.classifier = m.classifier(&ir.Classifier{Kind: v.class, Field: v.field.Name, Classes: v.known, Data: v.part.data, Span: v.span}, hook)
	}
	return v.classifier
}

// maxIntClassifiers bounds those made for single nodes of one hook: a program
// can use only so many maps.
const maxIntClassifiers = 8

// intClassifier numbers a classifier made for a node; ok is false if there are too many.
func (m *moduleBuilder) intClassifier(hook string, v *variable, data *match.IntClasses) (id int, ok bool) {
	shared := string(data.Table)
	if old := m.intData[shared]; old != nil {
		data = old // so that it is one table
	}
	key := hook + " " + v.key + " " + shared
	if id, ok := m.ints[key]; ok {
		return id, true
	}
	if m.intCount == maxIntClassifiers {
		return 0, false
	}
	m.intCount++
	m.intData[shared] = data
	m.ints[key] = m.classifier(&ir.Classifier{Kind: ir.IntClass, Field: v.x.field.Name, Classes: len(data.Classes), Data: data, Span: v.span}, hook)
	return m.ints[key], true
}

func (m *moduleBuilder) classifier(c *ir.Classifier, hook string) int {
	id := len(m.mod.Classifiers)
	c.Name = classifierName(hook, id)
	m.mod.Classifiers = append(m.mod.Classifiers, c)
	return id
}

func classifierName(hook string, id int) string { return fmt.Sprintf("%s.c%d", hook, id) }

// compactLeaves drops leaves that nothing decides or reports.
func compactLeaves(m *ir.Module) {
	used := make([]bool, len(m.Leaves))
	used[0] = true
	leafTables := map[int]bool{}
	visitLeaves(m, func(f *ir.Func, imm *int64, table int) {
		if imm != nil {
			used[*imm] = true
			return
		}
		if !leafTables[table] {
			leafTables[table] = true
			for _, d := range m.Tables[table].Data {
				used[d] = true
			}
		}
	})
	number := make([]uint32, len(m.Leaves))
	var leaves []ir.Leaf
	for i, l := range m.Leaves {
		if used[i] {
			number[i] = uint32(len(leaves))
			leaves = append(leaves, l)
		}
	}
	m.Leaves = leaves
	visitLeaves(m, func(f *ir.Func, imm *int64, table int) {
		if imm != nil {
			*imm = int64(number[*imm])
			return
		}
		if leafTables[table] {
			leafTables[table] = false
			t := m.Tables[table]
			t.Max = 0
			for i, d := range t.Data {
				t.Data[i] = number[d]
				t.Max = max(t.Max, t.Data[i])
			}
		}
	})
}

// visitLeaves calls visit with every place that holds the number of a leaf: a
// constant, or a table whose entries are leaves.
func visitLeaves(m *ir.Module, visit func(f *ir.Func, imm *int64, table int)) {
	for _, f := range m.Funcs {
		defs := make([]*ir.Instr, f.NumValues)
		for _, b := range f.Blocks {
			for i := range b.Instrs {
				if d := b.Instrs[i].Def; d >= 0 {
					defs[d] = &b.Instrs[i]
				}
			}
		}
		value := func(v ir.Value) {
			switch in := defs[v]; in.Op {
			case ir.Const:
				visit(f, &in.Imm, -1)
			case ir.Lookup:
				visit(f, nil, in.ID)
			default:
				panic("lower: leaf is neither a constant nor from a table")
			}
		}
		for _, b := range f.Blocks {
			for _, in := range b.Instrs {
				if in.Op == ir.Report {
					value(in.X)
				}
			}
			if b.Term.Kind == ir.Decide {
				if b.Term.X >= 0 {
					value(b.Term.X)
				} else {
					visit(f, &b.Term.Imm, -1)
				}
			}
		}
	}
}
