package core

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// slotsMap is how programs and specifications name the prog array of their
// hook; in the kernel, names have no more than 15 bytes.
const slotsMap = "snp_slots"

// spaceShift turns the index of a Space into its offset.
const spaceShift = 8

var _ = [1]struct{}{}[abi.SpaceSize-1<<spaceShift] // compiles only if it is so

// Dispatcher is the program that is attached to an LSM hook:
//
//	rec = task_storage_get(snp_tasks, current)
//	if !rec || !rec->ID                   return 0
//	space = snp_spaces[rec->ID % MaxSpaces]
//	if space->ID != rec->ID               report(ReasonBroken), return -EPERM
//	for each bit i of space->HookLayers[hook], from 0 up
//		rec->Layer = i
//		r = call_slot(ctx, space->Slots[i])   // a tail call in a function of its own
//		if r > 0 (nothing in the slot)    report(ReasonNoPolicy), return -EPERM
//		if r < -4095, or hook.Retried     report(ReasonBroken), return -EPERM
//		if r                              return r
//	return 0
//
// Where policies take their scratch memory from the pool (Kernel.Pool), the task's
// slot there is set free before the return.
//
// It names three maps: abi.MapTasks, abi.MapSpaces and, as snp_slots, the prog
// array of its hook; to report, abi.MapEvents and abi.MapCounters.
//
// Every task of the host runs its first instructions, which therefore use no
// register that would have to be saved: what survives a call is on the stack.
func (k *Kernel) Dispatcher(h *hook.Hook) (*ebpf.ProgramSpec, error) {
	if h.Number >= abi.MaxHooks {
		return nil, fmt.Errorf("hook %s: number %d is beyond the %d of a namespace record", h.Name, h.Number, abi.MaxHooks)
	}
	const ctx, slot, copied = -8, -16, -16 - abi.TaskRecordSize
	main := join(
		asm.Instructions{asm.StoreMem(asm.RFP, ctx, asm.R1, asm.DWord)},
		k.record(lookup{none: "allow", found: "found", busy: "busy", scratch: asm.R6, slot: slot}),
		asm.Instructions{
			asm.LoadMem(asm.R1, asm.R0, abi.TaskID, asm.DWord).WithSymbol("member"),
			asm.JEq.Imm(asm.R1, 0, "allow"),
			asm.Mov.Reg(asm.R2, asm.R1),
			asm.And.Imm(asm.R2, abi.MaxSpaces-1),
			asm.LSh.Imm(asm.R2, spaceShift),
			asm.LoadMapValue(asm.R3, 0, 0).WithReference(abi.MapSpaces),
			asm.Add.Reg(asm.R3, asm.R2),
			asm.LoadMem(asm.R2, asm.R3, abi.SpaceID, asm.DWord),
			asm.JNE.Reg(asm.R1, asm.R2, "broken"),
			asm.LoadMem(asm.R4, asm.R3, int16(abi.SpaceHookLayers+2*h.Number), asm.Half),
			asm.JEq.Imm(asm.R4, 0, "allow"),
			asm.Mov.Reg(asm.R2, asm.R0),
			asm.LoadMem(asm.R1, asm.RFP, ctx, asm.DWord),
			asm.Call.Label("run_layers"),
		}, k.release(h), asm.Instructions{
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("allow"),
			asm.Return(),
			asm.Mov.Imm(asm.R1, abi.ReasonBroken).WithSymbol("broken"),
			asm.Mov.Reg(asm.R2, asm.R0),
			asm.Call.Label("report"),
			asm.Mov.Imm(asm.R0, -eperm),
			asm.Return(),
		})
	if k.busy {
		// The verdict needs no more than a copy of the record. What is written to it,
		// the layer, is lost to the policy's report.
		main = join(main, asm.Instructions{asm.Mov.Reg(asm.R6, asm.R6).WithSymbol("found")},
			readNode(copied, abi.TaskRecordSize, asm.R6, k.walk.data-k.walk.node),
			asm.Instructions{
				asm.JNE.Imm(asm.R0, 0, "busy"),
				asm.Mov.Reg(asm.R0, asm.RFP),
				asm.Add.Imm(asm.R0, copied),
				asm.Ja.Label("member"),
				asm.Mov.Imm(asm.R0, -eperm).WithSymbol("busy"),
				asm.Return(),
			})
	}
	name := "snp_" + h.Name
	return lsm(name, h.Name, join(
		function(name, main, pointer("ctx")),
		function("run_layers", runLayers(h), pointer("ctx"), pointer("task"), pointer("space"), number("layers")),
		function("call_slot", callSlot(), pointer("ctx"), number("slot")),
		function("report", k.report(h), number("reason"), pointer("task")),
	)), nil
}

// Registers of run_layers.
const (
	regCtx   = asm.R6
	regTask  = asm.R7 // the task record
	regMask  = asm.R8 // a bit for each layer that has a program at this hook
	regSpace = asm.R9
)

// runLayers gives the verdict of the layers: 0 or a negative error number.
func runLayers(h *hook.Hook) asm.Instructions {
	var retried asm.Instructions
	if h.Retried != 0 {
		retried = asm.Instructions{asm.JEq.Imm(asm.R0, -h.Retried, "out_of_range")}
	}
	return join(
		asm.Instructions{
			asm.Mov.Reg(regCtx, asm.R1),
			asm.Mov.Reg(regTask, asm.R2),
			asm.Mov.Reg(regSpace, asm.R3),
			asm.Mov.Reg(regMask, asm.R4),
		},
		layers(),
		asm.Instructions{
			asm.Mov.Imm(asm.R0, 0).WithSymbol("passed"),
			asm.Return(),
			asm.JSGT.Imm(asm.R0, 0, "missing").WithSymbol("verdict"),
			asm.JSLT.Imm(asm.R0, -4095, "out_of_range"), // MAX_ERRNO
		},
		retried,
		asm.Instructions{
			asm.Return(),
			asm.Mov.Imm(asm.R1, abi.ReasonNoPolicy).WithSymbol("missing"),
			asm.Ja.Label("deny"),
			asm.Mov.Imm(asm.R1, abi.ReasonBroken).WithSymbol("out_of_range"),
			asm.Mov.Reg(asm.R2, regTask).WithSymbol("deny"),
			asm.Call.Label("report"),
			asm.Mov.Imm(asm.R0, -eperm),
			asm.Return(),
		})
}

// layers runs the policies; unrolled, so that a namespace pays only for its own.
func layers() asm.Instructions {
	var in asm.Instructions
	label := func(kind string, i int) string { return fmt.Sprintf("%s_%d", kind, i) }
	for i := range abi.MaxLayers {
		next := "passed"
		if i+1 < abi.MaxLayers {
			next = label("layer", i+1)
		}
		in = append(in,
			asm.JSet.Imm(regMask, 1<<i, label("run", i)).WithSymbol(label("layer", i)),
			asm.Ja.Label(next),
			asm.StoreImm(regTask, abi.TaskLayer, int64(i), asm.Word).WithSymbol(label("run", i)),
			asm.LoadMem(asm.R2, regSpace, int16(abi.SpaceSlots+4*i), asm.Word),
			asm.Mov.Reg(asm.R1, regCtx),
			asm.Call.Label("call_slot"),
			asm.JNE.Imm(asm.R0, 0, "verdict"))
		if i+1 < abi.MaxLayers {
			in = append(in, asm.JLT.Imm(regMask, 1<<(i+1), "passed"))
		}
	}
	return in
}

// pooled tells whether a policy's program at the hook may hold a slot of
// abi.MapPool. Other hooks must not release it: they may run in an interrupt, in
// the middle of the event of the task that was interrupted.
func (k *Kernel) pooled(h *hook.Hook) bool {
	return k.busy && slices.ContainsFunc(h.Fields, func(f hook.Field) bool { return f.Cost == hook.CostPath })
}

// release sets the task's slot of abi.MapPool free, if it has one; R0 survives.
func (k *Kernel) release(h *hook.Hook) asm.Instructions {
	if !k.pooled(h) {
		return nil
	}
	const key = -4
	in := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.FnGetCurrentPidTgid.Call(),
		asm.Mov.Reg32(asm.R7, asm.R0), // the thread
	}
	for i := range int32(abi.PoolProbes) {
		next := fmt.Sprintf("probe_%d", i+1)
		in = append(in,
			asm.Mov.Reg(asm.R1, asm.R7).WithSymbol(fmt.Sprintf("probe_%d", i)),
			asm.Add.Imm(asm.R1, i),
			asm.And.Imm(asm.R1, abi.PoolSlots-1),
			asm.StoreMem(asm.RFP, key, asm.R1, asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, key),
			loadMap(asm.R1, abi.MapPool),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, next),
			asm.LoadMem(asm.R1, asm.R0, abi.PoolOwner, asm.DWord),
			asm.JEq.Reg(asm.R1, asm.R7, "release"))
	}
	return append(in,
		asm.Ja.Label("released").WithSymbol(fmt.Sprintf("probe_%d", abi.PoolProbes)),
		// Atomic, so that no store to the slot comes later.
		asm.Mov.Imm(asm.R1, 0).WithSymbol("release"),
		exchange(asm.R0, abi.PoolOwner, asm.R1),
		asm.Mov.Reg(asm.R0, asm.R6).WithSymbol("released"))
}

// callSlot returns what the program in the slot returns, or a positive number
// if there is none.
//
// Verifiers up to 6.18 or so follow only the way past the tail call, and take
// what this function returns there for all that it ever returns. A constant
// would let them remove the caller's checks as dead code. Hence the time: the
// verifier knows nothing of it, and it is positive.
func callSlot() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R3, asm.R2),
		loadMap(asm.R2, slotsMap),
		asm.FnTailCall.Call(),
		asm.FnKtimeGetNs.Call(),
		asm.Return(),
	}
}

// report(reason, task record) emits an event that has only a header.
func (k *Kernel) report(h *hook.Hook) asm.Instructions {
	const event = asm.R8
	in := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Reg(asm.R7, asm.R2),
		loadMap(asm.R1, abi.MapEvents),
		asm.Mov.Imm(asm.R2, abi.EventHeader),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, "lost"),
		asm.Mov.Reg(event, asm.R0),
		asm.StoreImm(event, abi.EventSize, abi.EventHeader, asm.Half),
		asm.StoreImm(event, abi.EventVersion, abi.Version, asm.Byte),
		asm.StoreImm(event, abi.EventVerdict, abi.VerdictDeny, asm.Byte),
		asm.StoreMem(event, abi.EventReason, asm.R6, asm.Byte),
		asm.LoadMem(asm.R1, asm.R7, abi.TaskLayer, asm.Word),
		asm.StoreMem(event, abi.EventLayer, asm.R1, asm.Byte),
		asm.StoreImm(event, abi.EventErrno, eperm, asm.Half),
		asm.LoadMem(asm.R1, asm.R7, abi.TaskID, asm.DWord),
		asm.StoreMem(event, abi.EventNamespace, asm.R1, asm.DWord),
		storeWord(event, abi.EventPolicy, 0),
		asm.StoreImm(event, abi.EventRule, 0, asm.Word),
		asm.StoreImm(event, abi.EventHook, int64(h.Number), asm.Half),
		asm.StoreImm(event, abi.EventOp, -1, asm.Half),
		asm.FnKtimeGetBootNs.Call(),
		asm.StoreMem(event, abi.EventTime, asm.R0, asm.DWord),
		asm.FnGetCurrentPidTgid.Call(),
		asm.StoreMem(event, abi.EventTID, asm.R0, asm.Word),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(event, abi.EventPID, asm.R0, asm.Word),
		asm.FnGetCurrentTaskBtf.Call(),
		asm.LoadMem(asm.R1, asm.R0, k.realParent, asm.DWord),
		asm.LoadMem(asm.R1, asm.R1, k.tgid, asm.Word),
		asm.StoreMem(event, abi.EventPPID, asm.R1, asm.Word),
		asm.FnGetCurrentUidGid.Call(),
		asm.StoreMem(event, abi.EventUID, asm.R0, asm.Word),
		asm.Mov.Reg(asm.R1, event),
		asm.Add.Imm(asm.R1, abi.EventComm),
		asm.Mov.Imm(asm.R2, 16),
		asm.FnGetCurrentComm.Call(),
	}
	for off := abi.EventArgs; off < abi.EventHeader; off += 8 {
		in = append(in, storeWord(event, int16(off), 0))
	}
	return append(in,
		asm.Mov.Reg(asm.R1, event),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.Ja.Label("reported"),

		asm.StoreImm(asm.RFP, -4, abi.CounterEventsLost, asm.Word).WithSymbol("lost"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		loadMap(asm.R1, abi.MapCounters),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "reported"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("reported"),
		asm.Return())
}
