package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// ReportFunc is the name of the routine that [Report] gives.
func ReportFunc(h *hook.Hook) string { return "rt_report_" + h.Name }

// Bits of the third argument of a report routine: the paths that a Class
// routine has built for this event already.
const (
	BuiltPath = 1 << iota // the field path
	BuiltTo               // the field to, or target
)

// Built gives the bit of a field, 0 if it is none that a report carries as text.
func Built(h *hook.Hook, fieldName string) uint32 {
	for _, f := range reported(h) {
		if f.Name == fieldName {
			return 1 << pathIndex(f.Name)
		}
	}
	return 0
}

// reported lists the fields whose text an event carries: path, and to or target.
func reported(h *hook.Hook) []hook.Field {
	var out []hook.Field
	for _, f := range h.Fields {
		switch f.Read.(type) {
		case hook.FilePath, hook.PathPath, hook.EntryPath, hook.LinkPath, hook.ArgString:
			out = append(out, f)
		}
	}
	return out
}

// EventSize is the size of the events that a hook's reports have, in bytes.
func EventSize(h *hook.Hook) int {
	if len(reported(h)) > 0 {
		return abi.EventMax
	}
	return abi.EventHeader
}

// Report gives the routine u32 ReportFunc(ctx, leaf, built), followed by the
// functions that it calls: it writes one abi.Event about leaf number leaf of
// the table abi.TableLeaves, which has leaves entries. built tells which
// paths need not be built again. It returns 0 and changes no verdict: what
// cannot be had is left out or marked, a full ring is counted.
//
// The second text of an event is the field to, or the target of a symbolic link.
func Report(h *hook.Hook, leaves int) ([]object.Func, error) {
	if leaves <= 0 || leaves > 1<<26 {
		return nil, fmt.Errorf("a table of %d leaves", leaves)
	}
	b := &reportBuilder{hook: h, texts: reported(h), routine: begin(ReportFunc(h), typeU32, "report an event of "+h.Name,
		paramCtx, param("leaf", typeU32), param("built", typeU32))}
	// R6 context, R7 offset of the leaf, R8 scratch or 0, R9 event.
	end := b.NewLabel()
	b.JumpImm(emit.JGe, emit.R2, int64(leaves), end)
	b.Move(emit.R6, emit.R1)
	b.Move(emit.R7, emit.R2)
	b.OpImm(emit.Lsh, emit.R7, 4) // abi.LeafSize
	calls, err := b.build()
	if err != nil {
		return nil, err
	}
	lost := b.NewLabel()
	b.MapAddr(emit.R1, abi.MapEvents)
	b.Const(emit.R2, int64(EventSize(h)))
	b.Const(emit.R3, 0)
	b.Call(fnRingbufReserve)
	b.JumpImm(emit.JEq, emit.R0, 0, lost)
	b.Move(emit.R9, emit.R0)
	b.header()
	more, err := b.args()
	if err != nil {
		return nil, err
	}
	for _, f := range b.texts {
		b.text(pathIndex(f.Name))
	}
	b.Move(emit.R1, emit.R9)
	b.Const(emit.R2, 0)
	b.Call(fnRingbufSubmit)
	b.Goto(end)
	b.Bind(lost)
	b.count(abi.CounterEventsLost)
	b.returns(end, 0)
	fn, err := b.Build()
	return Merge([]object.Func{fn}, calls, more), err
}

type reportBuilder struct {
	*routine
	hook  *hook.Hook
	texts []hook.Field
}

// build builds the paths that are not built yet, and sets R8 to the scratch memory, or 0. It comes before the event is
// reserved, so that no path routine runs while the ring waits for it.
func (b *reportBuilder) build() ([]object.Func, error) {
	if len(b.texts) == 0 {
		return nil, nil
	}
	none, end := b.NewLabel(), b.NewLabel()
	b.Move(emit.R9, emit.R3)
	b.scratch(emit.R8, none)
	calls := []object.Func{poolSlot()}
	for _, f := range b.texts {
		built := b.NewLabel()
		b.JumpImm(emit.JSet, emit.R9, 1<<pathIndex(f.Name), built)
		b.Move(emit.R1, emit.R6)
		b.Move(emit.R2, emit.R8)
		b.CallFunc(pathFunc(b.hook, f))
		b.Bind(built)
		fns, err := path(b.hook, f)
		if err != nil {
			return nil, err
		}
		calls = append(calls, fns...)
	}
	b.Goto(end)
	b.Bind(none)
	b.Const(emit.R8, 0)
	b.Bind(end)
	return calls, nil
}

// header fills in what all events have.
func (b *reportBuilder) header() {
	for off := 0; off < EventSize(b.hook); off += 8 {
		b.StoreImm(emit.DW, emit.R9, off, 0)
	}
	b.StoreImm(emit.H, emit.R9, abi.EventSize, int64(EventSize(b.hook)))
	b.StoreImm(emit.B, emit.R9, abi.EventVersion, 1)
	b.StoreImm(emit.H, emit.R9, abi.EventHook, int64(b.hook.Number))
	b.TableAddr(emit.R1, abi.TableLeaves, 0)
	b.Op(emit.Add, emit.R1, emit.R7)
	for _, c := range []struct {
		size     emit.Size
		from, to int
	}{
		{emit.B, abi.LeafVerdict, abi.EventVerdict}, {emit.B, abi.LeafReason, abi.EventReason},
		{emit.H, abi.LeafErrno, abi.EventErrno}, {emit.H, abi.LeafOp, abi.EventOp}, {emit.W, abi.LeafRule, abi.EventRule},
	} {
		b.Load(c.size, emit.R2, emit.R1, c.from)
		b.Store(c.size, emit.R9, c.to, emit.R2)
	}
	b.TableAddr(emit.R1, abi.TableConfig, abi.ConfigPolicyID)
	b.Load(emit.DW, emit.R2, emit.R1, 0)
	b.Store(emit.DW, emit.R9, abi.EventPolicy, emit.R2)
	b.Call(fnKtimeGetBootNs)
	b.Store(emit.DW, emit.R9, abi.EventTime, emit.R0)
	b.Call(fnGetCurrentPidTgid)
	b.Store(emit.W, emit.R9, abi.EventTID, emit.R0)
	b.OpImm(emit.Rsh, emit.R0, 32)
	b.Store(emit.W, emit.R9, abi.EventPID, emit.R0)
	b.Call(fnGetCurrentUidGid)
	b.Store(emit.W, emit.R9, abi.EventUID, emit.R0)
	b.Move(emit.R1, emit.R9)
	b.OpImm(emit.Add, emit.R1, abi.EventComm)
	b.Const(emit.R2, commBytes)
	b.Call(fnGetCurrentComm)

	orphan, stranger := b.NewLabel(), b.NewLabel()
	b.currentTask()
	b.LoadField(emit.DW, emit.R1, emit.R0, emit.Field("task_struct", "real_parent"))
	b.JumpImm(emit.JEq, emit.R1, 0, orphan)
	b.LoadField(emit.W, emit.R1, emit.R1, emit.Field("task_struct", "tgid"))
	b.Store(emit.W, emit.R9, abi.EventPPID, emit.R1)
	b.Bind(orphan)
	b.storage(abi.MapTasks, 0)
	b.JumpImm(emit.JEq, emit.R0, 0, stranger)
	b.Load(emit.DW, emit.R1, emit.R0, abi.TaskID)
	b.Store(emit.DW, emit.R9, abi.EventNamespace, emit.R1)
	b.Load(emit.W, emit.R1, emit.R0, abi.TaskLayer)
	b.Store(emit.B, emit.R9, abi.EventLayer, emit.R1)
	b.Bind(stranger)
}

// args fills in the hook's numeric fields. R7 is lost.
func (b *reportBuilder) args() ([]object.Func, error) {
	var calls []object.Func
	if len(b.hook.EventArgs) > 4 {
		return nil, fmt.Errorf("hook %s has %d event arguments", b.hook.Name, len(b.hook.EventArgs))
	}
	for i, name := range b.hook.EventArgs {
		f, err := field(b.hook, name)
		if err != nil {
			return nil, err
		}
		switch read := f.Read.(type) {
		case hook.Scalar:
			LoadScalar(b.Builder, emit.R7, emit.R6, read)
			b.Store(emit.DW, emit.R9, abi.EventArgs+8*i, emit.R7)
		case hook.Computed:
			b.Move(emit.R1, emit.R6)
			b.CallFunc(ComputedFunc(b.hook, read.Name))
			b.Store(emit.DW, emit.R9, abi.EventArgs+8*i, emit.R0)
			fns, err := Computed(b.hook, read.Name)
			if err != nil {
				return nil, err
			}
			calls = append(calls, fns...)
		default:
			return nil, fmt.Errorf("event argument %s of hook %s is no number", name, b.hook.Name)
		}
	}
	return calls, nil
}

// text copies the end of path i into the event.
func (b *reportBuilder) text(i int) {
	unresolved, whole, copied, end := b.NewLabel(), b.NewLabel(), b.NewLabel(), b.NewLabel()
	lengthAt := []int{abi.EventPath0Len, abi.EventPath1Len}[i]
	dataAt := []int{abi.EventPath0, abi.EventPath1}[i]
	b.JumpImm(emit.JEq, emit.R8, 0, unresolved)
	b.Load(emit.W, emit.R2, emit.R8, scratchPathLen(i))
	b.Move(emit.R3, emit.R8)
	b.OpImm(emit.Add, emit.R3, int64(scratchPath(i)))
	b.JumpImm(emit.JGe, emit.R2, abi.PathMax, unresolved)
	b.JumpImm(emit.JLe, emit.R2, abi.EventPathBytes, whole)
	b.OpImm(emit.Sub, emit.R2, abi.EventPathBytes)
	b.Op(emit.Add, emit.R3, emit.R2)
	b.Const(emit.R2, abi.EventPathBytes)
	b.StoreImm(emit.H, emit.R9, lengthAt, abi.EventPathBytes|abi.EventTruncated)
	b.Goto(copied)
	b.Bind(whole)
	b.Store(emit.H, emit.R9, lengthAt, emit.R2)
	b.Bind(copied)
	b.Move(emit.R1, emit.R9)
	b.OpImm(emit.Add, emit.R1, int64(dataAt))
	b.Call(fnProbeReadKernel)
	b.JumpImm(emit.JEq, emit.R0, 0, end)
	b.Bind(unresolved)
	b.StoreImm(emit.H, emit.R9, lengthAt, abi.EventUnresolved)
	b.Bind(end)
}
