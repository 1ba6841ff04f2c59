// Package codegen turns a module of the intermediate representation into the
// functions and tables of a policy object.
//
// Input: ir.Module and the hook table. Output: object.File without its Meta,
// which the driver fills. Each hook becomes one program; classifiers and
// reports become subprograms from compiler/rt; decision tables and leaves
// become read-only data.
//
// A program keeps its context in R6. R7 to R9 and stack slots hold values, by
// linear scan over the blocks, which are in topological order (alloc.go); R0 to
// R2 are for the instruction at hand. Every path ends in the common tail, which
// reports and clamps, so that an index out of range denies (tail.go).
package codegen

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/compiler/rt"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/source"
)

// TableDecisions is the table that holds all decision tables of the module,
// one behind the other, as 32-bit words.
const TableDecisions = "decisions"

// Helper number, include/uapi/linux/bpf.h.
const helperSendSignal = 109

const sigkill = 9

// ErrTooLarge is a policy whose program does not fit into what the kernel's
// jumps and stack reach.
var ErrTooLarge = errors.New("program too large")

// MaxSlots is how many instruction slots (8 bytes each) a hook's program may
// have, without the routines of compiler/rt. The kernel takes 1,000,000 and its
// verifier walks no more than that (BPF_COMPLEXITY_LIMIT_INSNS), some of them twice.
const MaxSlots = 250_000

// LimitError is a program that is too long. It wraps ErrTooLarge.
type LimitError struct {
	Hook  string
	Slots int         // that it needs
	Span  source.Span // what caused most of them
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the program of hook %s needs %d instructions, at most %d", e.Hook, e.Slots, MaxSlots)
}

func (e *LimitError) Unwrap() error { return ErrTooLarge }

// Input is what Generate needs beside the module.
type Input struct {
	Module *ir.Module
	Hooks  []*hook.Hook
	// Files are the policy's sources; line records refer to them by index.
	Files []*source.File
	// Operations gives each operation's number in events.
	Operations []string
}

// Generate makes the object's programs, subprograms, maps and tables.
func Generate(in Input) (*object.File, error) {
	g := &generator{Input: in, files: map[*source.File]uint32{}, file: &object.File{License: "GPL", Maps: rt.Maps(), Structs: rt.Structs()}, have: map[string]bool{}}
	for i, f := range in.Files {
		g.files[f] = uint32(i)
	}
	if len(in.Files) == 0 {
		return nil, errors.New("codegen: no source file")
	}
	if err := g.tables(); err != nil {
		return nil, err
	}
	for _, f := range in.Module.Funcs {
		i := slices.IndexFunc(in.Hooks, func(h *hook.Hook) bool { return h.Name == f.Hook })
		if i < 0 {
			return nil, fmt.Errorf("codegen: no hook %q", f.Hook)
		}
		if err := g.program(f, in.Hooks[i]); err != nil {
			return nil, err
		}
	}
	g.dropUnused()
	return g.file, nil
}

type generator struct {
	Input
	files map[*source.File]uint32
	file  *object.File
	have  map[string]bool // subprograms generated so far
	base  []int           // of each decision table, in words
	words int             // of all decision tables
	class []string        // table of each classifier
}

// tables lays out the leaves, the decisions and the classifiers' data.
// Classifiers that share data share a table.
func (g *generator) tables() error {
	leaves := make([]byte, len(g.Module.Leaves)*abi.LeafSize)
	for i, l := range g.Module.Leaves {
		op := 0xffff
		if l.Op != "" {
			if op = slices.Index(g.Operations, l.Op); op < 0 {
				return fmt.Errorf("codegen: leaf %d: no operation %q", i, l.Op)
			}
		}
		if l.Errno < 0 || l.Errno > 4095 || l.Rule < 0 {
			return fmt.Errorf("codegen: leaf %d: errno %d, rule %d", i, l.Errno, l.Rule)
		}
		if (l.Verdict == ir.Deny || l.Verdict == ir.Kill) && l.Errno == 0 {
			return fmt.Errorf("codegen: leaf %d denies without an errno", i)
		}
		abi.Leaf{Rule: uint32(l.Rule), Errno: uint16(l.Errno), Op: uint16(op), Verdict: uint8(l.Verdict), Reason: uint8(l.Reason)}.Put(leaves[i*abi.LeafSize:])
	}
	g.file.Tables = append(g.file.Tables,
		object.Table{Name: abi.TableConfig, Data: make([]byte, abi.ConfigSize)},
		object.Table{Name: abi.TableLeaves, Data: leaves})
	var decisions []byte
	for _, t := range g.Module.Tables {
		g.base = append(g.base, g.words)
		for _, w := range t.Data {
			decisions = append(decisions, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
		}
		g.words += len(t.Data)
	}
	if g.words > 0 {
		g.file.Tables = append(g.file.Tables, object.Table{Name: TableDecisions, Data: decisions})
	}
	shared := map[any]string{}
	for _, c := range g.Module.Classifiers {
		name, ok := shared[c.Data]
		if !ok {
			name = fmt.Sprintf("class%d", len(shared))
			shared[c.Data] = name
			data, err := rt.ClassifierTable(c)
			if err != nil {
				return err
			}
			g.file.Tables = append(g.file.Tables, object.Table{Name: name, Data: data})
		}
		g.class = append(g.class, name)
	}
	return nil
}

// dropUnused removes maps and tables that nothing refers to: a loader makes a
// map of each.
func (g *generator) dropUnused() {
	used := map[string]bool{abi.TableConfig: true}
	note := func(f object.Func) {
		for _, in := range f.Code {
			used[in.Ref.Name] = true
		}
	}
	for _, p := range g.file.Programs {
		note(p.Func)
	}
	for _, f := range g.file.Subprograms {
		note(f)
	}
	g.file.Tables = slices.DeleteFunc(g.file.Tables, func(t object.Table) bool { return !used[t.Name] })
	g.file.Maps = slices.DeleteFunc(g.file.Maps, func(m object.Map) bool { return !used[m.Name] })
}

// add appends subprograms that are not there yet.
func (g *generator) add(fs ...object.Func) {
	for _, f := range fs {
		if !g.have[f.Name] {
			g.have[f.Name] = true
			g.file.Subprograms = append(g.file.Subprograms, f)
		}
	}
}

// line is the line record of a span.
func (g *generator) line(s source.Span) object.Line {
	if s.IsZero() {
		return object.Line{}
	}
	l, c := s.File.LineCol(s.Start)
	return object.Line{File: g.files[s.File], Line: uint32(l), Col: uint32(c), Text: s.File.Line(l)}
}

// firstLine stands for code that no single rule caused.
func (g *generator) firstLine() object.Line {
	return object.Line{File: 0, Line: 1, Col: 1, Text: g.Files[0].Line(1)}
}

func (g *generator) program(f *ir.Func, h *hook.Hook) error {
	reports, err := rt.Report(h, len(g.Module.Leaves))
	if err != nil {
		return err
	}
	g.add(reports...)
	p := &program{generator: g, f: f, h: h, fields: map[string]*hook.Field{}}
	for _, fields := range [][]hook.Field{hook.Subject(), h.Fields} {
		for i := range fields {
			p.fields[fields[i].Name] = &fields[i]
		}
	}
	ctx := btf.FuncParam{Name: "ctx", Type: &btf.Pointer{Target: (*btf.Void)(nil)}}
	p.Builder = emit.New(f.Hook, []btf.FuncParam{ctx}, &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}, g.firstLine())
	if err := p.generate(); err != nil {
		return fmt.Errorf("hook %s: %w", f.Hook, err)
	}
	slots := 0
	code, err := p.Build()
	for _, in := range code.Code {
		slots++
		if in.Op == object.OpLddw {
			slots++
		}
	}
	if slots > MaxSlots {
		return &LimitError{Hook: f.Hook, Slots: slots, Span: p.longest()}
	}
	if errors.Is(err, emit.ErrJumpRange) {
		return &LimitError{Hook: f.Hook, Slots: p.Len(), Span: p.longest()}
	}
	if err != nil {
		return err
	}
	code.Linkage = btf.GlobalFunc
	g.file.Programs = append(g.file.Programs, object.Program{Func: code, Hook: f.Hook})
	return nil
}
