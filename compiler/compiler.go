// Package compiler drives a policy from source to object.
//
// Input: a policy file in a file system. Output: the checked policy, the
// intermediate representation, the object file's description and its bytes,
// with every diagnostic on the way. Nothing of the host is looked at: equal
// input gives equal bytes everywhere.
package compiler

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/snappy-policy/snappy/compiler/codegen"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/lower"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/compiler/opt"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/check"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// Options of a compilation; the zero value is useful.
type Options struct {
	// Version is written into the object as the compiler's.
	Version string
	// CheckPasses checks the representation after every pass.
	CheckPasses bool
	// Load says how files are named.
	Load load.Options
}

// Result is what a compilation made. After an error it holds what was made
// before it.
type Result struct {
	Unit   *load.Unit
	Policy *check.Policy
	Module *ir.Module
	File   *object.File
	Object []byte
}

// Check loads and checks a policy without compiling it.
func Check(fsys fs.FS, name string, opts Options) (*Result, diag.List) {
	r := &Result{}
	unit, list := load.Load(fsys, name, opts.Load)
	r.Unit = unit
	if unit == nil || list.HasErrors() {
		return r, list
	}
	policy, found := check.Check(unit, types.Language())
	r.Policy = policy
	return r, append(list, found...)
}

// Compile makes an object of a policy. There is none if the list has errors.
func Compile(fsys fs.FS, name string, opts Options) (*Result, diag.List) {
	r, list := Check(fsys, name, opts)
	if list.HasErrors() {
		return r, list
	}
	return r, append(list, r.compile(opts)...)
}

// compile makes an object of the checked policy. A panic behind this line is a
// broken invariant of the compiler.
func (r *Result) compile(opts Options) (list diag.List) {
	main := source.Span{File: r.Unit.Main.Source}
	defer func() {
		if p := recover(); p != nil {
			list = append(list, bug(main, fmt.Errorf("%v\n%s", p, debug.Stack())))
		}
	}()
	module, list := lower.Lower(r.Policy)
	r.Module = module
	if list.HasErrors() {
		return list
	}
	if err := opt.Run(module, opt.Options{Check: opts.CheckPasses}); err != nil {
		return append(list, bug(main, err))
	}
	file, err := codegen.Generate(codegen.Input{Module: module, Hooks: hook.Hooks(), Files: r.Policy.Files, Operations: hook.Operations()})
	if errors.Is(err, codegen.ErrTooLarge) {
		d := diag.Diagnostic{Code: diag.ProgramTooLarge, Severity: diag.Error, Span: main, Message: err.Error(),
			Help: "split the policy into two layers, which are loaded together"}
		var limit *codegen.LimitError
		if errors.As(err, &limit) && !limit.Span.IsZero() {
			d.Span = limit.Span
			d.Message += "; this rule causes most of them"
		}
		return append(list, d)
	}
	if err != nil {
		return append(list, bug(main, err))
	}
	r.File = file
	file.Meta = r.meta(opts.Version)
	data, err := object.Write(file)
	if err != nil {
		return append(list, bug(main, err))
	}
	r.Object = data
	return list
}

// bug reports a broken invariant of the compiler as a diagnostic.
func bug(at source.Span, err error) diag.Diagnostic {
	return diag.Diagnostic{Code: diag.CompilerBug, Severity: diag.Error, Span: at, Message: "BUG(snappy): " + err.Error(),
		Help: "this is a fault of the compiler, not of the policy; please report it with the policy"}
}

// meta describes the policy for the object. Sources are kept as written, so
// that events name the lines that their author sees.
func (r *Result) meta(version string) object.Meta {
	p := r.Policy
	m := object.Meta{Compiler: cmp.Or(version, "unknown"), Policy: p.Name}
	index := map[*source.File]uint32{}
	for i, f := range p.Files {
		index[f] = uint32(i)
		m.Sources = append(m.Sources, object.Source{Name: f.Name, Text: f.Text})
	}
	m.Digest = object.SourceDigest(m.Sources)
	for _, prm := range p.Params {
		m.Params = append(m.Params, object.Param{Name: prm.Name, Type: prm.Kind.String(), Value: prm.Value})
	}
	rule := func(id int, verb, name string, ops []string, sp source.Span, because string, errno int) {
		line, col := sp.File.LineCol(sp.Start)
		m.Rules = append(m.Rules, object.Rule{ID: uint32(id), Verb: verb, Name: name, Ops: ops, File: index[sp.File], Line: uint32(line), Col: uint32(col),
			Because: because, Errno: uint32(errno), Text: sp.Text()})
	}
	for _, ru := range p.Rules {
		var ops []string
		for _, u := range ru.Ops {
			ops = append(ops, u.Op.Name)
		}
		rule(ru.ID, ru.Verb.String(), ru.Name, ops, ru.Span, ru.Because, ru.Errno)
	}
	for _, d := range p.Defaults {
		verdict := ast.Allow.String()
		if d.Deny {
			verdict = ast.Deny.String()
		}
		var ops []string
		for _, op := range d.Ops {
			ops = append(ops, op.Name)
			m.Defaults = append(m.Defaults, object.Default{Op: op.Name, Verdict: verdict})
		}
		if d.Ops == nil {
			m.Defaults = append(m.Defaults, object.Default{Verdict: verdict})
		}
		rule(d.ID, "default "+verdict, "", ops, d.Span, "", 0)
	}
	slices.SortFunc(m.Rules, func(a, b object.Rule) int { return int(a.ID) - int(b.ID) })
	for _, prog := range r.File.Programs {
		m.Hooks = append(m.Hooks, object.Hook{Name: prog.Hook, Sleepable: prog.Sleepable, Program: prog.Name})
	}
	return m
}

// DumpAST is the syntax tree of the policy's own file as text.
func (r *Result) DumpAST() string {
	var b strings.Builder
	_ = ast.Fprint(&b, r.Unit.Main) // a Builder does not fail
	return b.String()
}

// DumpIR is the representation as text.
func (r *Result) DumpIR() string { return r.Module.String() }

// DumpAsm lists the object's instructions under the lines that caused them.
func (r *Result) DumpAsm() (string, error) { return object.Disassemble(r.Object) }
