// Package target is the only place where the language's schema and the
// kernel's tables meet: it joins each LSM hook with the operations that its
// events can be and the fields that they have.
//
// Input: a schema (lang/types) and a hook table (kernel/hook). Output: a
// Target, which lowering and code generation read, or an error if the two
// tables contradict each other.
package target

import (
	"errors"
	"fmt"

	"github.com/snappy-policy/snappy/kernel/hook"
	"github.com/snappy-policy/snappy/lang/types"
)

// Target is the joined table. It is immutable.
type Target struct {
	Schema *types.Schema
	Hooks  []*Hook // in the order of their numbers
	byOp   map[*types.Operation][]*Hook
}

// Hook is an LSM hook with the operations and fields that it delivers.
type Hook struct {
	*hook.Hook
	Instances []Instance // parallel to Hook.Instances
	fields    map[string]*Field
	order     []*Field
}

// Instance is an operation that an event of a hook may be.
type Instance struct {
	Op     *types.Operation
	Guards []hook.Guard
	Swap   bool
}

// Field is a value that events of a hook have, of the operation or the subject.
type Field struct {
	hook.Field
	// Index is the position in the hook's table, the subject's fields last.
	Index int
	// Type is the language's field; nil for an internal one. Where several
	// operations of the hook have it, it is that of the first.
	Type *types.Field
}

// New joins the tables. The error lists every disagreement: an operation or
// field that one side has and the other lacks or refuses, different kinds,
// guards over fields that a hook does not read.
func New(schema *types.Schema, hooks []*hook.Hook) (*Target, error) {
	t := &Target{Schema: schema, byOp: map[*types.Operation][]*Hook{}}
	j := &joiner{t: t}
	for i, h := range hooks {
		if int(h.Number) != i {
			j.fail("hook %s has number %d at place %d", h.Name, h.Number, i)
		}
		t.Hooks = append(t.Hooks, j.hook(h))
	}
	for _, op := range schema.Operations {
		switch hooks := t.byOp[op]; {
		case op.Unsupported == "" && len(hooks) == 0:
			j.fail("operation %s has no hook", op.Name)
		case op.Unsupported != "" && len(hooks) > 0:
			j.fail("hook %s delivers %s, which the schema refuses", hooks[0].Name, op.Name)
		}
	}
	if err := errors.Join(j.errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// HooksOf lists the hooks at which an operation arrives, in the order of their numbers.
func (t *Target) HooksOf(op *types.Operation) []*Hook { return t.byOp[op] }

// Hook finds a hook by name; nil if there is none.
func (t *Target) Hook(name string) *Hook {
	for _, h := range t.Hooks {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Field finds a field of the hook's events by name; nil if there is none.
func (h *Hook) Field(name string) *Field { return h.fields[name] }

// AllFields lists the hook's fields in table order, the subject's last.
func (h *Hook) AllFields() []*Field { return h.order }

type joiner struct {
	t    *Target
	errs []error
}

func (j *joiner) fail(format string, args ...any) {
	j.errs = append(j.errs, fmt.Errorf("target: "+format, args...))
}

func (j *joiner) hook(kh *hook.Hook) *Hook {
	h := &Hook{Hook: kh, fields: map[string]*Field{}}
	for _, f := range append(kh.Fields[:len(kh.Fields):len(kh.Fields)], hook.Subject()...) {
		if h.fields[f.Name] != nil {
			j.fail("hook %s has field %s twice", h.Name, f.Name)
		}
		field := &Field{Field: f, Index: len(h.order)}
		h.fields[f.Name] = field
		h.order = append(h.order, field)
	}
	for _, ki := range kh.Instances {
		op := j.t.Schema.Operation(ki.Op)
		if op == nil {
			j.fail("hook %s: the schema has no operation %s", h.Name, ki.Op)
			continue
		}
		h.Instances = append(h.Instances, Instance{op, ki.Guards, ki.Swap})
		j.guards(h, ki.Guards)
		j.fields(h, op)
		if ki.Swap && (op.Field("path") == nil || op.Field("to") == nil) {
			j.fail("hook %s: %s has no two paths to exchange", h.Name, op.Name)
		}
		if known := j.t.byOp[op]; len(known) == 0 || known[len(known)-1] != h {
			j.t.byOp[op] = append(known, h)
		}
	}
	j.guards(h, kh.Skip)
	for _, name := range kh.EventArgs {
		if f := h.fields[name]; f == nil || kindOf(f.Read) != types.Int {
			j.fail("hook %s: event argument %s is no scalar field", h.Name, name)
		}
	}
	for _, f := range h.order {
		if f.Type == nil && !f.Internal {
			j.fail("hook %s: the schema has no field %s", h.Name, f.Name)
		}
		if f.Type != nil && f.Internal {
			j.fail("hook %s: internal field %s is in the schema", h.Name, f.Name)
		}
	}
	return h
}

// fields compares an operation's fields, and the subject's, with what the hook reads.
func (j *joiner) fields(h *Hook, op *types.Operation) {
	for _, f := range append(op.Fields[:len(op.Fields):len(op.Fields)], j.t.Schema.Subject...) {
		k := h.fields[f.Name]
		if f.Unsupported != "" {
			if k != nil {
				j.fail("hook %s reads %s of %s, which the schema refuses", h.Name, f.Name, op.Name)
			}
			continue
		}
		if k == nil {
			j.fail("hook %s does not read %s of %s", h.Name, f.Name, op.Name)
			continue
		}
		if have := kindOf(k.Read); have != storage(f.Kind) {
			j.fail("hook %s: field %s of %s is %v in the schema, %v in the kernel", h.Name, f.Name, op.Name, f.Kind, have)
		}
		if canFail(k.Read) != f.Unresolvable {
			j.fail("hook %s: the tables disagree whether %s of %s can be unresolved", h.Name, f.Name, op.Name)
		}
		if k.Type == nil {
			k.Type = f
		} else if k.Type.Kind != f.Kind || k.Type.Unresolvable != f.Unresolvable {
			j.fail("hook %s: field %s differs between its operations", h.Name, f.Name)
		}
	}
}

func (j *joiner) guards(h *Hook, guards []hook.Guard) {
	for _, g := range guards {
		f := h.fields[g.Field]
		if f == nil || kindOf(f.Read) != types.Int || canFail(f.Read) {
			j.fail("hook %s: guard over %s, which is no scalar field", h.Name, g.Field)
		}
	}
}

// storage is the kind that recipes deliver for a kind of the language.
func storage(k types.Kind) types.Kind {
	if k == types.Bool || k == types.Flags {
		return types.Int
	}
	return k
}

// kindOf is what a recipe yields: Int, Path, String or Addr.
func kindOf(r hook.Read) types.Kind {
	switch r := r.(type) {
	case hook.Scalar:
		return types.Int
	case hook.Computed:
		if r.Name == hook.ComputedAddr || r.Name == hook.ComputedSockAddr {
			return types.Addr
		}
		return types.Int
	case hook.FilePath, hook.PathPath, hook.EntryPath, hook.LinkPath, hook.ArgString:
		return types.Path
	case hook.Comm:
		return types.String
	}
	panic(fmt.Sprintf("target: unknown recipe %T", r))
}

// canFail tells whether a recipe can leave its value unresolved.
func canFail(r hook.Read) bool {
	switch r := r.(type) {
	case hook.Computed:
		return r.Name == hook.ComputedAddr || r.Name == hook.ComputedPort
	case hook.FilePath, hook.PathPath, hook.EntryPath, hook.LinkPath, hook.ArgString:
		return true
	}
	return false
}

// Effective is the mask of a guard: all bits where the table names none.
func Effective(g hook.Guard) int64 {
	if g.Mask == 0 {
		return -1
	}
	return g.Mask
}
