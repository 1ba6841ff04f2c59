package core

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Inherit lists the programs that keep tasks in their namespaces, by hook name:
// both are attached as long as the core exists.
func (k *Kernel) Inherit() []*ebpf.ProgramSpec {
	return []*ebpf.ProgramSpec{k.fork(), k.exec()}
}

// fork gives a new task, process or thread, what its parent has: the namespace
// and the one it is armed for. If that cannot be had the fork fails.
//
//	rec = task_storage_get(snp_tasks, current)
//	if !rec || !(rec->ID | rec->PendingID)  return 0
//	new = task_storage_get(snp_tasks, task, F_CREATE)
//	if !new                                 return -ENOMEM; -EAGAIN if it may be there the next time
//	new->ID = rec->ID; new->PendingID = rec->PendingID
func (k *Kernel) fork() *ebpf.ProgramSpec {
	const task, id, pending = asm.R6, asm.R8, asm.R9
	errno := int32(enomem)
	if k.busy {
		errno = eagain // shells and runtimes try again
	}
	in := join(
		asm.Instructions{asm.LoadMem(task, asm.R1, 0, asm.DWord)},
		k.record(lookup{none: "done", found: "fail", busy: "fail", scratch: asm.R7, slot: -8}),
		asm.Instructions{
			asm.LoadMem(id, asm.R0, abi.TaskID, asm.DWord),
			asm.LoadMem(pending, asm.R0, abi.TaskPendingID, asm.DWord),
			asm.Mov.Reg(asm.R1, id),
			asm.Or.Reg(asm.R1, pending),
			asm.JEq.Imm(asm.R1, 0, "done"),
			loadMap(asm.R1, abi.MapTasks),
			asm.Mov.Reg(asm.R2, task),
			asm.Mov.Imm(asm.R3, 0),
			asm.Mov.Imm(asm.R4, storageCreate),
			asm.FnTaskStorageGet.Call(),
			asm.JEq.Imm(asm.R0, 0, "fail"),
			asm.StoreMem(asm.R0, abi.TaskID, id, asm.DWord),
			asm.StoreMem(asm.R0, abi.TaskPendingID, pending, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("done"),
			asm.Return(),
			asm.Mov.Imm(asm.R0, -errno).WithSymbol("fail"),
			asm.Return(),
		})
	return lsm("snp_fork", "task_alloc", in)
}

// exec makes the namespace for which a task is armed its own, before
// bprm_check_security, so that the exec itself is judged by it. An exec that
// fails afterwards leaves the task in the namespace.
func (k *Kernel) exec() *ebpf.ProgramSpec {
	in := join(
		k.record(lookup{none: "done", found: "busy", busy: "busy", scratch: asm.R6, slot: -8}),
		asm.Instructions{
			asm.LoadMem(asm.R1, asm.R0, abi.TaskPendingID, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, "done"),
			asm.StoreMem(asm.R0, abi.TaskID, asm.R1, asm.DWord),
			storeWord(asm.R0, abi.TaskPendingID, 0),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("done"),
			asm.Return(),
		})
	if k.busy {
		in = append(in, asm.Mov.Imm(asm.R0, -eagain).WithSymbol("busy"), asm.Return())
	}
	return lsm("snp_exec", "bprm_creds_for_exec", in)
}
