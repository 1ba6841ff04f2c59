package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/ir"
	"github.com/snappy-policy/snappy/compiler/match"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// ClassFunc is the name of the routine that [Class] gives.
func ClassFunc(h *hook.Hook, c *ir.Classifier, table string) string {
	kind := map[ir.ClassifierKind]string{ir.PathClass: "path", ir.StringClass: "string", ir.AddrClass: "addr", ir.IntClass: "int"}[c.Kind]
	return "rt_class_" + h.Name + "_" + kind + "_" + identifier(c.Field) + "_" + identifier(table)
}

// Class gives the routine u32 ClassFunc(ctx) of a classifier at a hook, followed
// by the functions that it calls. It returns the class of the event's value: 0 …
// c.Classes-1, or c.Classes if the value is unresolved. table is the object's
// table with the bytes that [ClassifierTable] gives.
func Class(h *hook.Hook, c *ir.Classifier, table string) ([]object.Func, error) {
	_, err := ClassifierTable(c)
	if err != nil {
		return nil, err
	}
	f, err := field(h, c.Field)
	if err != nil {
		return nil, err
	}
	b := &classBuilder{
		routine: begin(ClassFunc(h, c, table), typeU32, "class of "+c.Field+" at "+h.Name, paramCtx),
		hook:    h, c: c, table: table,
	}
	b.unresolved = b.NewLabel()
	b.Move(emit.R6, emit.R1)
	var calls []object.Func
	switch c.Kind {
	case ir.PathClass:
		calls, err = b.path(f)
	case ir.StringClass:
		if read, ok := f.Read.(hook.Comm); ok {
			calls, err = b.comm(read)
		} else {
			calls, err = b.path(f)
		}
	case ir.AddrClass:
		calls, err = b.addr(f)
	case ir.IntClass:
		calls, err = b.int(f)
	}
	if err != nil {
		return nil, fmt.Errorf("classifier %s: %w", c.Name, err)
	}
	b.returns(b.unresolved, int64(c.Classes))
	fn, err := b.Build()
	return Merge([]object.Func{fn}, calls), err
}

// classBuilder emits a classifier's routine; the context is in R6.
type classBuilder struct {
	*routine
	hook       *hook.Hook
	c          *ir.Classifier
	table      string
	unresolved emit.Label
}

// path classifies what a path routine builds, paths and string arguments.
func (b *classBuilder) path(f hook.Field) ([]object.Func, error) {
	b.scratch(emit.R7, b.unresolved)
	b.Move(emit.R1, emit.R6)
	b.Move(emit.R2, emit.R7)
	b.CallFunc(pathFunc(b.hook, f))
	b.JumpImm(emit.JNe, emit.R0, 0, b.unresolved)
	b.Move(emit.R1, emit.R7)
	b.OpImm(emit.Add, emit.R1, int64(scratchPath(pathIndex(f.Name))))
	b.CallFunc(pathText.function(b.table))
	b.Exit()
	build, err := path(b.hook, f)
	if err != nil {
		return nil, err
	}
	match, err := automaton(b.c.Data.(*match.Automaton), pathText, b.table)
	return append(append(build, match...), poolSlot()), err
}

const commBytes = 16 // TASK_COMM_LEN

// comm classifies the name of a task, which the kernel keeps NUL-terminated.
func (b *classBuilder) comm(read hook.Comm) ([]object.Func, error) {
	const buffer = -commBytes - 8
	for off := buffer; off < 0; off += 8 {
		b.StoreImm(emit.DW, emit.FP, off, 0)
	}
	if read.Base.Current {
		b.Move(emit.R1, emit.FP)
		b.OpImm(emit.Add, emit.R1, buffer)
		b.Const(emit.R2, commBytes)
		b.Call(fnGetCurrentComm)
		b.JumpImm(emit.JNe, emit.R0, 0, b.unresolved)
	} else {
		b.loadArg(emit.R1, emit.R6, read.Base.Arg)
		b.JumpImm(emit.JEq, emit.R1, 0, b.unresolved)
		for off := 0; off < commBytes; off += 8 {
			b.loadPart(emit.DW, emit.R2, emit.R1, emit.Field("task_struct", "comm"), off)
			b.Store(emit.DW, emit.FP, buffer+off, emit.R2)
		}
		b.StoreImm(emit.B, emit.FP, buffer+commBytes-1, 0)
	}
	b.Move(emit.R1, emit.FP)
	b.OpImm(emit.Add, emit.R1, buffer)
	b.CallFunc(commText.function(b.table))
	b.Exit()
	return automaton(b.c.Data.(*match.Automaton), commText, b.table)
}

func (b *classBuilder) addr(f hook.Field) ([]object.Func, error) {
	if read, ok := f.Read.(hook.Computed); !ok || read.Name != hook.ComputedAddr && read.Name != hook.ComputedSockAddr {
		return nil, fmt.Errorf("field %s of hook %s is no address", f.Name, b.hook.Name)
	}
	data := b.c.Data.(*match.AddrClasses)
	v4, v6 := b.NewLabel(), b.NewLabel()
	b.callSockaddr(b.hook, -addrSize, b.unresolved)
	b.JumpImm(emit.JEq, emit.R1, addrV4, v4)
	b.JumpImm(emit.JEq, emit.R1, addrV6, v6)
	b.Const(emit.R0, 0) // no address is in no set
	b.Exit()
	b.Bind(v4)
	b.Load(emit.DW, emit.R7, emit.FP, addrLow-addrSize)
	b.search(b.table, 0, 4, data.V4Steps)
	b.exitClass()
	b.Bind(v6)
	b.Load(emit.DW, emit.R7, emit.FP, addrHigh-addrSize)
	b.Load(emit.DW, emit.R9, emit.FP, addrLow-addrSize)
	b.search(b.table, uint32(len(data.V4)), 16, data.V6Steps)
	b.exitClass()
	return sockaddr(b.hook)
}

func (b *classBuilder) int(f hook.Field) ([]object.Func, error) {
	var calls []object.Func
	var err error
	switch read := f.Read.(type) {
	case hook.Scalar:
		LoadScalar(b.Builder, emit.R7, emit.R6, read)
	case hook.Computed:
		switch read.Name {
		case hook.ComputedPort, hook.ComputedSockPort:
			b.callSockaddr(b.hook, -addrSize, b.unresolved)
			b.Load(emit.DW, emit.R7, emit.FP, addrPort-addrSize)
			calls, err = sockaddr(b.hook)
		default:
			b.Move(emit.R1, emit.R6)
			b.CallFunc(ComputedFunc(b.hook, read.Name))
			b.Move(emit.R7, emit.R0)
			calls, err = Computed(b.hook, read.Name)
		}
	default:
		err = fmt.Errorf("field %s of hook %s is no number", f.Name, b.hook.Name)
	}
	if err != nil {
		return nil, err
	}
	b.search(b.table, 0, 8, b.c.Data.(*match.IntClasses).Steps)
	b.exitClass()
	return calls, nil
}

// exitClass returns the class in R0, if it is one.
func (b *classBuilder) exitClass() {
	b.JumpImm(emit.JGe, emit.R0, int64(b.c.Classes), b.unresolved)
	b.Exit()
}
