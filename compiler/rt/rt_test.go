package rt

import (
	"bytes"
	"math"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// classifiersOf gives a classifier for each field of a hook, of the kind that
// goes with how the field is read.
func classifiersOf(t *testing.T, h *hook.Hook) []*ir.Classifier {
	a, err := match.Compile([]match.Atom{{Patterns: []match.Pattern{{Kind: match.Glob, Text: "/a/**/b*"}}}}, match.Options{})
	require.NoError(t, err)
	ints, err := match.Partition([]match.IntSet{{{Lo: 3, Hi: 1000}}, {{Lo: 7, Hi: math.MaxUint64}}})
	require.NoError(t, err)
	addrs, err := match.AddrPartition([]match.PrefixSet{{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	require.NoError(t, err)
	var out []*ir.Classifier
	for _, f := range append(hook.Subject(), h.Fields...) {
		c := &ir.Classifier{Name: f.Name, Field: f.Name}
		switch read := f.Read.(type) {
		case hook.Comm:
			c.Kind, c.Classes, c.Data = ir.StringClass, len(a.Classes), a
		case hook.Scalar:
			c.Kind, c.Classes, c.Data = ir.IntClass, len(ints.Classes), ints
		case hook.Computed:
			c.Kind, c.Classes, c.Data = ir.IntClass, len(ints.Classes), ints
			if read.Name == hook.ComputedAddr || read.Name == hook.ComputedSockAddr {
				c.Kind, c.Classes, c.Data = ir.AddrClass, len(addrs.Classes), addrs
			}
		default:
			c.Kind, c.Classes, c.Data = ir.PathClass, len(a.Classes), a
		}
		out = append(out, c)
	}
	return out
}

// everything lists all routines of a hook, with the tables for them.
func everything(t *testing.T, h *hook.Hook) ([]object.Func, []object.Table) {
	report, err := Report(h, 2)
	require.NoError(t, err, h.Name)
	funcs := [][]object.Func{report}
	tables := []object.Table{{Name: abi.TableConfig, Data: make([]byte, abi.ConfigSize)}, {Name: abi.TableLeaves, Data: make([]byte, 2*abi.LeafSize)}}
	for _, c := range classifiersOf(t, h) {
		table := "tab_" + identifier(c.Field)
		data, err := ClassifierTable(c)
		require.NoError(t, err)
		tables = append(tables, object.Table{Name: table, Data: data})
		fns, err := Class(h, c, table)
		require.NoError(t, err, "%s %s", h.Name, c.Field)
		require.Equal(t, ClassFunc(h, c, table), fns[0].Name)
		funcs = append(funcs, fns)
	}
	for _, f := range h.Fields {
		if read, ok := f.Read.(hook.Computed); ok && read.Name != hook.ComputedAddr && read.Name != hook.ComputedSockAddr {
			fns, err := Computed(h, read.Name)
			require.NoError(t, err, "%s %s", h.Name, f.Name)
			require.Equal(t, ComputedFunc(h, read.Name), fns[0].Name)
			funcs = append(funcs, fns)
		}
	}
	return Merge(funcs...), tables
}

// Every routine of every hook assembles into an object, has no code that is
// never reached (verifiers refuse it), and equal names mean equal functions.
func TestEveryRoutine(t *testing.T) {
	seen := map[string]object.Func{}
	for _, h := range hook.Hooks() {
		funcs, tables := everything(t, h)
		for _, f := range funcs {
			if old, ok := seen[f.Name]; ok {
				require.Equal(t, old, f, f.Name)
			}
			seen[f.Name] = f
			requireReachable(t, f)
		}
		sources := []object.Source{{Name: "s", Text: "s\n"}}
		r := begin("entry", typeS32, "entry", paramCtx)
		for _, f := range funcs { // calls in name only: the object is not run
			if len(f.Params) == 1 && f.Params[0].Name == "ctx" {
				r.CallFunc(f.Name)
			}
		}
		r.returns(r.NewLabel(), 0)
		entry, err := r.Build()
		require.NoError(t, err)
		raw, err := object.Write(&object.File{Programs: []object.Program{{Func: entry, Hook: h.Name}}, Subprograms: funcs,
			Maps: Maps(), Tables: tables, Structs: Structs(), License: "GPL",
			Meta: object.Meta{Compiler: "t", Policy: "t", Digest: object.SourceDigest(sources), Sources: sources}})
		require.NoError(t, err, h.Name)
		again, err := object.Write(&object.File{Programs: []object.Program{{Func: entry, Hook: h.Name}}, Subprograms: funcs,
			Maps: Maps(), Tables: tables, Structs: Structs(), License: "GPL",
			Meta: object.Meta{Compiler: "t", Policy: "t", Digest: object.SourceDigest(sources), Sources: sources}})
		require.NoError(t, err)
		require.True(t, bytes.Equal(raw, again))
	}
}

// requireReachable fails if control can never come to an instruction.
func requireReachable(t *testing.T, f object.Func) {
	t.Helper()
	at := map[int]int{} // slot → instruction
	slots := make([]int, len(f.Code)+1)
	for i, in := range f.Code {
		at[slots[i]] = i
		slots[i+1] = slots[i] + 1
		if in.Op == object.OpLddw {
			slots[i+1]++
		}
	}
	reached := make([]bool, len(f.Code))
	pending := []int{0}
	for len(pending) > 0 {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if reached[i] {
			continue
		}
		reached[i] = true
		in := f.Code[i]
		class, op := in.Op&7, in.Op&0xf0
		jump := (class == object.ClassJMP || class == object.ClassJMP32) && op != object.OpCall && op != object.OpExit
		if jump {
			pending = append(pending, at[slots[i+1]+int(in.Off)])
		}
		if class == object.ClassJMP && (op == object.OpExit || op == object.OpJa) {
			continue
		}
		pending = append(pending, i+1)
	}
	for i, ok := range reached {
		require.True(t, ok, "function %s: instruction %d is never reached", f.Name, i)
	}
}

func TestClassifierTable(t *testing.T) {
	for _, c := range classifiersOf(t, hookByName("socket_bind")) {
		data, err := ClassifierTable(c)
		require.NoError(t, err)
		switch d := c.Data.(type) {
		case *match.Automaton:
			require.Equal(t, d.Table, data)
		case *match.IntClasses:
			require.Equal(t, d.Table, data)
		case *match.AddrClasses:
			require.Equal(t, d.V4, data[:len(d.V4)])
			require.Equal(t, d.V6, data[len(d.V4):])
		}
		c.Classes++
		_, err = ClassifierTable(c)
		require.ErrorIs(t, err, ErrData)
	}
}

func TestErrors(t *testing.T) {
	var none *match.Automaton
	for _, c := range []*ir.Classifier{
		{Kind: ir.PathClass, Field: "path"},
		{Kind: ir.PathClass, Field: "path", Data: none},
		{Kind: ir.PathClass, Field: "path", Data: &match.Automaton{}},
		{Kind: ir.PathClass, Field: "path", Data: &match.IntClasses{}},
		{Kind: ir.IntClass, Field: "mode", Data: &match.IntClasses{Table: []byte{1}}},
		{Kind: ir.AddrClass, Field: "addr", Data: &match.AddrClasses{V4: []byte{1}}},
		{Field: "path", Data: &match.Automaton{Table: make([]byte, 64)}},
	} {
		_, err := Class(hookByName("file_open"), c, "t")
		require.ErrorIs(t, err, ErrData)
	}
	good := classifiersOf(t, hookByName("socket_bind"))
	for _, c := range good { // fields that the hook lacks, or of another kind
		c.Field = "path"
		_, err := Class(hookByName("socket_bind"), c, "t")
		require.Error(t, err)
		if c.Kind != ir.PathClass && c.Kind != ir.StringClass {
			_, err = Class(hookByName("file_open"), c, "t")
			require.Error(t, err)
		}
	}
	_, err := Computed(hookByName("path_mkdir"), hook.ComputedAccess)
	require.Error(t, err)
	_, err = Computed(hookByName("socket_bind"), hook.ComputedAddr)
	require.Error(t, err)
	_, err = Computed(hookByName("task_kill"), hook.ComputedPort)
	require.Error(t, err)
	_, err = Report(hookByName("file_open"), 0)
	require.Error(t, err)
}

func TestBuilt(t *testing.T) {
	require.EqualValues(t, BuiltPath, Built(hookByName("path_rename"), "path"))
	require.EqualValues(t, BuiltTo, Built(hookByName("path_rename"), "to"))
	require.EqualValues(t, BuiltTo, Built(hookByName("path_symlink"), "target"))
	require.Zero(t, Built(hookByName("path_mkdir"), "to"))
	require.Zero(t, Built(hookByName("path_mkdir"), "comm"))
	require.Equal(t, abi.EventMax, EventSize(hookByName("file_open")))
	require.Equal(t, abi.EventHeader, EventSize(hookByName("capable")))
}

func hookByName(name string) *hook.Hook {
	for _, h := range hook.Hooks() {
		if h.Name == name {
			return h
		}
	}
	panic(name)
}
