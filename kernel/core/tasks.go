package core

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Control is the entry of MapControl: what Arm and Enter shall do.
type Control struct {
	// ID is the namespace to arm for or to enter.
	ID uint64
	// Clear, if not 0, makes Arm take back what it did: a task armed for ID no longer is.
	Clear uint64
	// From lists the namespaces that a task may come from: ID's ancestors, and ID
	// itself. A task in another one, or armed for another one, is refused.
	From [abi.MaxLayers]uint64
}

// Offsets in Control.
const (
	ControlID    = 0
	ControlClear = 8
	ControlFrom  = 16
	ControlSize  = ControlFrom + 8*abi.MaxLayers
)

// Outcome is what a task program did to a task.
type Outcome uint32

// The outcomes; the zero value is invalid.
const (
	Unchanged Outcome = iota + 1 // nothing had to be done
	Changed
	Refused  // the task is in, or armed for, a namespace that is not in Control.From
	NoMemory // no storage could be had
	Busy     // the storage could not be read now; see Kernel.busy
)

// Task is what a task program writes for each task that it visits.
type Task struct {
	TID, TGID uint32 // in the initial pid namespace
	Outcome   Outcome
	_         uint32
	ID        uint64 // 0: in no namespace
	PendingID uint64
}

// Offsets in Task.
const (
	taskTID     = 0
	taskTGID    = 4
	taskOutcome = 8
	taskID      = 16
	taskPending = 24
	taskSize    = 32
)

// ErrTaskList is wrapped if the output of a task program is not what it writes.
var ErrTaskList = errors.New("malformed task list")

// ReadTasks decodes the output of a task program.
func ReadTasks(b []byte) ([]Task, error) {
	if len(b)%taskSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are not a multiple of %d", ErrTaskList, len(b), taskSize)
	}
	tasks := make([]Task, 0, len(b)/taskSize)
	for ; len(b) > 0; b = b[taskSize:] {
		t := Task{
			TID:       binary.LittleEndian.Uint32(b[taskTID:]),
			TGID:      binary.LittleEndian.Uint32(b[taskTGID:]),
			Outcome:   Outcome(binary.LittleEndian.Uint32(b[taskOutcome:])),
			ID:        binary.LittleEndian.Uint64(b[taskID:]),
			PendingID: binary.LittleEndian.Uint64(b[taskPending:]),
		}
		if t.Outcome < Unchanged || t.Outcome > Busy {
			return nil, fmt.Errorf("%w: task %d has outcome %d", ErrTaskList, t.TID, t.Outcome)
		}
		tasks = append(tasks, t)
	}
	return tasks, nil
}

// The three task programs run once for each task of an iterator ("iter/task").
// They take the task from the context at 8 (struct bpf_iter__task) and keep:
const (
	iterCtx  = asm.R6
	iterTask = asm.R7
	iterRec  = asm.R8
	iterOut  = -taskSize    // a Task on the stack
	iterWalk = iterOut - 8  // for Kernel.present
	iterKey  = iterWalk - 8 // key of MapControl
	iterCtl  = iterKey - 8  // saved pointer to Control
	iterKeep = iterCtl - 8  // saved pointer to the task
)

// Members writes a Task for each task that has a record.
func (k *Kernel) Members() *ebpf.ProgramSpec {
	return iterator("snp_members", join(
		k.visit(0, "skip"),
		read(),
		k.ifBusy(asm.Instructions{asm.Ja.Label("emit")}, outcome("busy", Busy)),
		emit(),
	))
}

// Arm makes tasks enter the namespace Control.ID at their next exec, or with
// Control.Clear takes that back and frees the record if nothing is left in it.
func (k *Kernel) Arm() *ebpf.ProgramSpec {
	return iterator("snp_arm", join(
		control(),
		k.visit(storageCreate, "nomem"),
		read(),
		asm.Instructions{
			asm.LoadMem(asm.R9, asm.RFP, iterCtl, asm.DWord),
			asm.LoadMem(asm.R5, asm.R9, ControlID, asm.DWord),
			asm.LoadMem(asm.R4, asm.RFP, iterOut+taskPending, asm.DWord),
			asm.LoadMem(asm.R1, asm.R9, ControlClear, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, "set"),
			asm.JEq.Imm(asm.R4, 0, "free"),
			asm.JNE.Reg(asm.R4, asm.R5, "emit"), // armed for another one
			storeWord(iterRec, abi.TaskPendingID, 0),
			storeWord(asm.RFP, iterOut+taskPending, 0),
			asm.StoreImm(asm.RFP, iterOut+taskOutcome, int64(Changed), asm.Word),
			asm.LoadMem(asm.R1, asm.RFP, iterOut+taskID, asm.DWord).WithSymbol("free"),
			asm.JNE.Imm(asm.R1, 0, "emit"),
			// In no namespace: without a record the task's events cost less.
			loadMap(asm.R1, abi.MapTasks),
			asm.Mov.Reg(asm.R2, iterTask),
			asm.FnTaskStorageDelete.Call(),
			asm.Ja.Label("emit"),
			asm.JEq.Reg(asm.R4, asm.R5, "emit").WithSymbol("set"),
		},
		from(asm.R4, "pending"),
		asm.Instructions{asm.LoadMem(asm.R4, asm.RFP, iterOut+taskID, asm.DWord)},
		from(asm.R4, "now"),
		asm.Instructions{
			asm.StoreMem(iterRec, abi.TaskPendingID, asm.R5, asm.DWord),
			asm.StoreMem(asm.RFP, iterOut+taskPending, asm.R5, asm.DWord),
		},
		k.outcomes(),
	))
}

// Enter puts tasks into the namespace Control.ID at once.
func (k *Kernel) Enter() *ebpf.ProgramSpec {
	return iterator("snp_enter", join(
		control(),
		k.visit(storageCreate, "nomem"),
		read(),
		asm.Instructions{
			asm.LoadMem(asm.R9, asm.RFP, iterCtl, asm.DWord),
			asm.LoadMem(asm.R5, asm.R9, ControlID, asm.DWord),
			// What it is armed for must be above the namespace too, else the exec
			// that follows would lead out of it.
			asm.LoadMem(asm.R4, asm.RFP, iterOut+taskPending, asm.DWord),
		},
		from(asm.R4, "pending"),
		asm.Instructions{asm.LoadMem(asm.R4, asm.RFP, iterOut+taskID, asm.DWord)},
		from(asm.R4, "now"),
		asm.Instructions{
			storeWord(iterRec, abi.TaskPendingID, 0),
			storeWord(asm.RFP, iterOut+taskPending, 0),
			asm.JEq.Reg(asm.R4, asm.R5, "emit"),
			asm.StoreMem(iterRec, abi.TaskID, asm.R5, asm.DWord),
			asm.StoreMem(asm.RFP, iterOut+taskID, asm.R5, asm.DWord),
		},
		k.outcomes(),
	))
}

// control saves the address of the Control entry on the stack.
func control() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(iterCtx, asm.R1),
		asm.StoreImm(asm.RFP, iterKey, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, iterKey),
		loadMap(asm.R1, MapControl),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "skip"),
		asm.StoreMem(asm.RFP, iterCtl, asm.R0, asm.DWord),
		asm.Mov.Reg(asm.R1, iterCtx),
	}
}

// visit starts a Task on the stack and finds the record: iterRec. Tasks without
// one go to none. It ends with outcome Unchanged.
func (k *Kernel) visit(flags int32, none string) asm.Instructions {
	return join(
		asm.Instructions{
			asm.Mov.Reg(iterCtx, asm.R1),
			asm.LoadMem(iterTask, iterCtx, 8, asm.DWord),
			asm.JEq.Imm(iterTask, 0, "skip"),
			asm.LoadMem(asm.R1, iterTask, k.pid, asm.Word),
			asm.StoreMem(asm.RFP, iterOut+taskTID, asm.R1, asm.Word),
			asm.LoadMem(asm.R1, iterTask, k.tgid, asm.Word),
			asm.StoreMem(asm.RFP, iterOut+taskTGID, asm.R1, asm.Word),
			storeWord(asm.RFP, iterOut+taskOutcome, int64(Unchanged)),
			storeWord(asm.RFP, iterOut+taskID, 0),
			storeWord(asm.RFP, iterOut+taskPending, 0),
			asm.Mov.Reg(asm.R2, iterTask),
		},
		k.storageGet(iterTask, flags, lookup{none: none, found: "busy", busy: "busy", scratch: iterRec, slot: iterWalk}),
		asm.Instructions{asm.Mov.Reg(iterRec, asm.R0)},
	)
}

// read copies the record's namespaces into the Task.
func read() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, iterRec, abi.TaskID, asm.DWord),
		asm.StoreMem(asm.RFP, iterOut+taskID, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, iterRec, abi.TaskPendingID, asm.DWord),
		asm.StoreMem(asm.RFP, iterOut+taskPending, asm.R1, asm.DWord),
	}
}

// from goes on if id is 0 or one of Control.From (R9 points at Control), else
// jumps to refused. Clobbers R1.
func from(id asm.Register, name string) asm.Instructions {
	ok := "from_" + name
	in := asm.Instructions{asm.JEq.Imm(id, 0, ok)}
	for i := range abi.MaxLayers {
		in = append(in,
			asm.LoadMem(asm.R1, asm.R9, int16(ControlFrom+8*i), asm.DWord),
			asm.JEq.Reg(asm.R1, id, ok))
	}
	return append(in, asm.Ja.Label("refused"), nopR5().WithSymbol(ok))
}

// nopR5 carries a label where R0 may not be set.
func nopR5() asm.Instruction { return asm.Mov.Reg(asm.R5, asm.R5) }

// outcomes ends Arm and Enter.
func (k *Kernel) outcomes() asm.Instructions {
	return join(
		outcome("changed", Changed),
		outcome("refused", Refused),
		k.ifBusy(outcome("busy", Busy)),
		outcome("nomem", NoMemory),
		emit())
}

func outcome(label string, o Outcome) asm.Instructions {
	return asm.Instructions{
		asm.StoreImm(asm.RFP, iterOut+taskOutcome, int64(o), asm.Word).WithSymbol(label),
		asm.Ja.Label("emit"),
	}
}

// ifBusy leaves parts out where nothing can jump to them: verifiers refuse
// unreachable instructions.
func (k *Kernel) ifBusy(parts ...asm.Instructions) asm.Instructions {
	if !k.busy {
		return nil
	}
	return join(parts...)
}

// emit writes the Task. The kernel runs the program again for a task that no
// longer fitted into its buffer; the programs can bear that.
func emit() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, iterCtx, 0, asm.DWord).WithSymbol("emit"),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord), // meta->seq
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, iterOut),
		asm.Mov.Imm(asm.R3, taskSize),
		asm.FnSeqWrite.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("skip"),
		asm.Return(),
	}
}

func iterator(name string, in asm.Instructions) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "task", License: license, Instructions: in}
}
