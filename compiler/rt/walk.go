package rt

import (
	"errors"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
)

// The walk finds the path of a dentry on a mount as d_path does
// (__prepend_path of fs/d_path.c): from the dentry up by d_parent; from the root
// of a mount on to its mountpoint on the parent mount; until the root directory
// of the task, or the root of its mount namespace, whichever comes first. The
// path is built from its end in Scratch.Work.
//
// # Soundness
//
// The kernel's walkers hold rename_lock and mount_lock, or notice by their
// sequence words that somebody did. A program cannot take the locks. It notices:
//
//   - Mounts: the sequence word of mount_lock is even and the same before and after.
//   - The root directory: so is the sequence word of the task's fs_struct.
//   - Names, first way: so is the sequence word of rename_lock, which every
//     change of a dentry's name or parent holds (d_move, d_exchange,
//     d_splice_alias of fs/dcache.c).
//   - Names, second way, tried in turn with the first, which fails if anybody
//     on the machine renames anything: the sequence word of each dentry of the path, which
//     __d_move bumps around the change of that dentry. The first pass notes the
//     word of each dentry before it reads name and parent; a second pass,
//     started after the first is complete, climbs again and compares. So every
//     dentry had its name and parent unchanged from before the first pass read
//     them until the second pass came by, and thus all of them at the moment
//     between the passes: the path was true at that moment.
//
// The second way needs no address of rename_lock, and renames elsewhere do not
// disturb it: a busy or hostile neighbour cannot make paths unresolved. Who keeps
// renaming a directory above the path can, and who keeps mounting, both after
// walkTries tries.
//
// Memory stays readable: programs run in an RCU read section, in which dentries,
// their long names and mounts are not freed; probe_read_kernel does not fault
// in any case. What was read in vain is caught by the words.
const (
	// walkTries is large because mounts are noticed machine-wide, and somebody may
	// mount all the time: a walk takes a few microseconds and finds a gap.
	walkTries = 16
	// walkWaits bounds how often the word of mount_lock is read while it is odd,
	// some 100 microseconds in all; it is odd for one.
	walkWaits = 1 << 10
	// walkSteps bounds names and mounts together. A path of 4,095 bytes has at
	// most 2,047 names.
	walkSteps = 1 << 13

	walkFunc      = "rt_walk"
	walkTryFunc   = "rt_walk_try"
	walkWaitFunc  = "rt_walk_wait"
	walkStepFunc  = "rt_walk_step"
	walkCheckFunc = "rt_walk_check"
)

// Offsets in Scratch.Walk, from the start of Scratch.
const (
	wDentry     = abi.ScratchWalk + 8*iota // where the walk is
	wMount                                 // its struct mount
	wMountRoot                             // and the root of that
	wRootDentry                            // root directory of the task
	wRootMount                             // and its struct mount
	wPos                                   // index in Work of the path's first byte
	wCount                                 // names so far
	wStatus                                // walkX, not defined while a try fails
	wEntry                                 // 1: the first dentry is an entry to be named, whatever it is
	wOrdered                               // 1: the second way
	wBlock                                 // 24 bytes of a dentry, and other intermediate values
	_
	_
	wMountSeq // sequence words before the walk
	wRenameSeq
	wFsSeq
	wStartDentry
	wStartMount
	wStartRoot // wMountRoot of the start
	wStartEntry
	wSeqs  // where in Scratch the sequence words of dentries are noted
	wNames // wCount after the first pass
	wFence // what barriers add 0 to
)

// Values of wStatus.
const (
	walkOn = iota
	walkDone
	walkAgain // something changed under the walk
	walkFailed
	walkUnnamed // the mount is internal
)

// workEnd is where the path ends in Work, with a NUL and abi.PathPad zeros.
const workEnd = abi.PathMax

// seqsMax is how many words the second way has room for: the buffer that the path
// will be moved to, which is free until then. Paths with more names, all of them
// of a byte or two, depend on the first way.
const seqsMax = abi.PathBuffer / 4

// walk gives s64 rt_walk(scratch, struct dentry *, struct vfsmount *, entry,
// seqs) and its callbacks. seqs is the offset in Scratch of the path's buffer. It returns the length of the path that now ends at
// Work[workEnd], 0 for something on an internal mount, which has no path, or -1
// if the path is unresolved: too long, not in the mount namespace of the task,
// outside of its mount ("escaped"), or changing all the time. With entry = 1 the
// dentry is one of a directory, and named even if it is a root. Dentry and
// mount are only ever read through probe_read_kernel.
func walk() ([]object.Func, error) {
	r := begin(walkFunc, typeS64, "path of a dentry by way of its parents",
		param("scratch", typePtr), param("dentry", typePtr), param("mnt", typePtr), param("entry", typeU64), param("seqs", typeU64))
	root, unnamed, unresolved := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.Move(emit.R6, emit.R1)
	r.Store(emit.DW, emit.R6, wSeqs, emit.R5)
	r.mountOf(emit.R3, emit.R5)
	r.Store(emit.DW, emit.R6, wStartDentry, emit.R2)
	r.Store(emit.DW, emit.R6, wStartMount, emit.R3)
	r.Store(emit.DW, emit.R6, wStartEntry, emit.R4)
	r.StoreImm(emit.DW, emit.R6, wStatus, walkAgain)
	r.loop(walkTries, walkTryFunc)
	r.Load(emit.DW, emit.R1, emit.R6, wStatus)
	r.JumpImm(emit.JEq, emit.R1, walkUnnamed, unnamed)
	r.JumpImm(emit.JNe, emit.R1, walkDone, unresolved)
	r.Load(emit.DW, emit.R1, emit.R6, wPos)
	r.Const(emit.R0, workEnd)
	r.JumpImm(emit.JEq, emit.R1, workEnd, root)
	r.Op(emit.Sub, emit.R0, emit.R1)
	r.Exit()
	r.Bind(root)
	r.StoreImm(emit.B, emit.R6, abi.ScratchWork+workEnd-1, '/')
	r.Const(emit.R0, 1)
	r.Exit()
	r.returns(unresolved, -1)
	r.returns(unnamed, 0)
	f, err := r.Build()
	out := []object.Func{f}
	for _, callback := range []func() (object.Func, error){walkTry, walkWait, walkStep, walkCheck} {
		f, e := callback()
		out, err = append(out, f), errors.Join(err, e)
	}
	return out, err
}

// loop calls bpf_loop(n, callback, &scratch, 0) with the scratch memory in R6. It
// uses the 8 bytes of stack at the frame's start.
func (r *routine) loop(n int64, callback string) {
	r.Store(emit.DW, emit.FP, -8, emit.R6)
	r.Const(emit.R1, n)
	r.FuncAddr(emit.R2, callback)
	r.Move(emit.R3, emit.FP)
	r.OpImm(emit.Add, emit.R3, -8)
	r.Const(emit.R4, 0)
	r.Call(fnLoop)
}

// beginCallback starts a callback of loop: the scratch memory is in R6.
func beginCallback(name, text string) *routine {
	r := begin(name, typeS64, text, param("index", typeU32), param("ctx", typePtr))
	r.Load(emit.DW, emit.R6, emit.R2, 0)
	return r
}

// walkTry is one attempt: it ends the loop of attempts unless something changed.
func walkTry() (object.Func, error) {
	r := beginCallback(walkTryFunc, "try to walk")
	again, unnamed, unresolved := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.Move(emit.R9, emit.R1)
	r.Load(emit.DW, emit.R7, emit.R6, wStartDentry)
	r.Load(emit.DW, emit.R8, emit.R6, wStartMount)
	r.noteWords(again, unresolved)
	r.startWalk(again, unnamed, unresolved)
	r.climb(walkStepFunc)
	r.recheck(again)
	r.checkWords(again)
	r.Const(emit.R0, 1) // with the status of the walk
	r.Exit()
	r.Bind(again)
	r.StoreImm(emit.DW, emit.R6, wStatus, walkAgain)
	r.Const(emit.R0, 0)
	r.Exit()
	r.stops(unnamed, walkUnnamed)
	r.stops(unresolved, walkFailed)
	return r.Build()
}

// walkWait ends its loop when the word of mount_lock is even or cannot be read.
func walkWait() (object.Func, error) {
	r := beginCallback(walkWaitFunc, "wait for a mount")
	on, stop := r.NewLabel(), r.NewLabel()
	r.lockWord(wMountSeq, abi.ConfigMountLock, stop)
	r.Load(emit.W, emit.R1, emit.R6, wMountSeq)
	r.JumpImm(emit.JSet, emit.R1, 1, on)
	r.returns(stop, 1)
	r.returns(on, 0)
	return r.Build()
}

// noteWords reads the sequence words before a walk and chooses the way: the
// first in even tries, the second in odd ones. R6 is the scratch memory, R9 the
// number of tries before.
func (r *routine) noteWords(again, unresolved emit.Label) {
	ordered, chosen := r.NewLabel(), r.NewLabel()
	settled := r.NewLabel()
	r.lockWord(wMountSeq, abi.ConfigMountLock, unresolved)
	r.Load(emit.W, emit.R1, emit.R6, wMountSeq)
	r.OpImm(emit.And, emit.R1, 1)
	r.JumpImm(emit.JEq, emit.R1, 0, settled)
	r.loop(walkWaits, walkWaitFunc)
	r.Load(emit.W, emit.R1, emit.R6, wMountSeq)
	r.JumpImm(emit.JSet, emit.R1, 1, again)
	r.Bind(settled)

	r.JumpImm(emit.JSet, emit.R9, 1, ordered)
	r.lockWord(wRenameSeq, abi.ConfigRenameLock, ordered)
	r.Load(emit.W, emit.R1, emit.R6, wRenameSeq)
	r.JumpImm(emit.JSet, emit.R1, 1, ordered)
	r.StoreImm(emit.DW, emit.R6, wOrdered, 0)
	r.Goto(chosen)
	r.Bind(ordered)
	r.StoreImm(emit.DW, emit.R6, wOrdered, 1)
	r.Bind(chosen)

	r.fsWord(unresolved)
	r.Store(emit.DW, emit.R6, wFsSeq, emit.R2)
	r.JumpImm(emit.JSet, emit.R2, 1, again)
	r.barrier()
	r.currentTask()
	r.LoadField(emit.DW, emit.R1, emit.R0, emit.Field("task_struct", "fs"))
	r.JumpImm(emit.JEq, emit.R1, 0, unresolved)
	r.LoadField(emit.DW, emit.R2, emit.R1, emit.Field("fs_struct", "root", "dentry"))
	r.Store(emit.DW, emit.R6, wRootDentry, emit.R2)
	r.LoadField(emit.DW, emit.R2, emit.R1, emit.Field("fs_struct", "root", "mnt"))
	r.mountOf(emit.R2, emit.R3)
	r.Store(emit.DW, emit.R6, wRootMount, emit.R2)
}

// lockWord reads the first word of a lock, whose address is in the
// configuration, into a Walk word. It goes to unknown if there is no address.
func (r *routine) lockWord(word int, config uint32, unknown emit.Label) {
	r.TableAddr(emit.R3, abi.TableConfig, config)
	r.Load(emit.DW, emit.R3, emit.R3, 0)
	r.JumpImm(emit.JEq, emit.R3, 0, unknown)
	r.probe(emit.R6, word, 4, emit.R3, nil)
	r.JumpImm(emit.JNe, emit.R0, 0, unknown)
}

// fsWord sets R2 to the sequence word of the task's fs_struct, which guards its
// root directory (fs/fs_struct.c, set_fs_root).
func (r *routine) fsWord(unresolved emit.Label) {
	r.currentTask()
	r.LoadField(emit.DW, emit.R1, emit.R0, emit.Field("task_struct", "fs"))
	r.JumpImm(emit.JEq, emit.R1, 0, unresolved)
	r.loadPart(emit.W, emit.R2, emit.R1, emit.Field("fs_struct", "seq"), 0)
}

// barrier orders the loads before it and after it. x86 needs none, but a
// portable object has no other means than an atomic operation with a result,
// which is fully ordered on every machine. R1 is lost.
func (r *routine) barrier() {
	r.Const(emit.R1, 0)
	r.Atomic(object.AtomicFetchAdd, emit.DW, emit.R6, wFence, emit.R1)
}

// startWalk puts the walk at its start: dentry R7 on mount R8.
func (r *routine) startWalk(again, unnamed, unresolved emit.Label) {
	attached := r.NewLabel()
	r.probe(emit.R6, wBlock, 8, emit.R8, emit.Field("mount", "mnt_ns"))
	r.JumpImm(emit.JNe, emit.R0, 0, unresolved)
	r.compareNamespace(emit.R6, wBlock, attached, unnamed, unresolved)
	r.Bind(attached)
	r.probe(emit.R6, wStartRoot, 8, emit.R8, emit.Field("mount", "mnt", "mnt_root"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.StoreImm(emit.DW, emit.R6, wPos, workEnd)
	r.StoreImm(emit.DW, emit.R6, abi.ScratchWork+workEnd, 0)
	r.StoreImm(emit.B, emit.R6, abi.ScratchWork+workEnd+abi.PathPad, 0)
}

// climb runs a callback from the start to the end of the walk.
func (r *routine) climb(callback string) {
	r.Store(emit.DW, emit.R6, wDentry, emit.R7)
	r.Store(emit.DW, emit.R6, wMount, emit.R8)
	for _, w := range [][2]int{{wStartRoot, wMountRoot}, {wStartEntry, wEntry}} {
		r.Load(emit.DW, emit.R1, emit.R6, w[0])
		r.Store(emit.DW, emit.R6, w[1], emit.R1)
	}
	r.StoreImm(emit.DW, emit.R6, wCount, 0)
	r.StoreImm(emit.DW, emit.R6, wStatus, walkOn)
	r.loop(walkSteps, callback)
	r.barrier()
}

// recheck makes the second pass of the second way; again if a name changed.
func (r *routine) recheck(again emit.Label) {
	end := r.NewLabel()
	r.Load(emit.DW, emit.R1, emit.R6, wStatus)
	r.JumpImm(emit.JEq, emit.R1, walkAgain, again)
	r.Load(emit.DW, emit.R2, emit.R6, wOrdered)
	r.JumpImm(emit.JEq, emit.R2, 0, end)
	r.JumpImm(emit.JNe, emit.R1, walkDone, again)
	r.Load(emit.DW, emit.R1, emit.R6, wCount)
	r.Store(emit.DW, emit.R6, wNames, emit.R1)
	r.climb(walkCheckFunc)
	r.Load(emit.DW, emit.R1, emit.R6, wStatus)
	r.JumpImm(emit.JNe, emit.R1, walkDone, again)
	r.Load(emit.DW, emit.R1, emit.R6, wCount)
	r.Load(emit.DW, emit.R2, emit.R6, wNames)
	r.Jump(emit.JNe, emit.R1, emit.R2, again)
	r.Bind(end)
}

// checkWords goes to again unless the sequence words are those of before.
func (r *routine) checkWords(again emit.Label) {
	compare := func(now, before int) {
		r.Load(emit.W, emit.R1, emit.R6, now)
		r.Load(emit.W, emit.R2, emit.R6, before)
		r.Jump(emit.JNe, emit.R1, emit.R2, again)
	}
	r.lockWord(wBlock, abi.ConfigMountLock, again)
	compare(wBlock, wMountSeq)
	r.fsWord(again)
	r.Load(emit.DW, emit.R1, emit.R6, wFsSeq)
	r.Jump(emit.JNe, emit.R1, emit.R2, again)
	end := r.NewLabel()
	r.Load(emit.DW, emit.R1, emit.R6, wOrdered)
	r.JumpImm(emit.JNe, emit.R1, 0, end)
	r.lockWord(wBlock, abi.ConfigRenameLock, again)
	compare(wBlock, wRenameSeq)
	r.Bind(end)
}

// ascend emits what the callbacks of a pass do first: end at the root, cross a
// mount, or fall through with a dentry to name, in R7, on the mount in R8.
func (r *routine) ascend(again emit.Label) {
	notRoot, name, done := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.Load(emit.DW, emit.R7, emit.R6, wDentry)
	r.Load(emit.DW, emit.R8, emit.R6, wMount)
	r.Load(emit.DW, emit.R1, emit.R6, wEntry)
	r.StoreImm(emit.DW, emit.R6, wEntry, 0)
	r.JumpImm(emit.JNe, emit.R1, 0, name)
	r.Load(emit.DW, emit.R1, emit.R6, wRootDentry)
	r.Jump(emit.JNe, emit.R1, emit.R7, notRoot)
	r.Load(emit.DW, emit.R1, emit.R6, wRootMount)
	r.Jump(emit.JEq, emit.R1, emit.R8, done)
	r.Bind(notRoot)
	r.Load(emit.DW, emit.R1, emit.R6, wMountRoot)
	r.Jump(emit.JNe, emit.R1, emit.R7, name)

	r.probe(emit.R6, wBlock, 8, emit.R8, emit.Field("mount", "mnt_parent"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.Load(emit.DW, emit.R9, emit.R6, wBlock)
	r.Jump(emit.JEq, emit.R9, emit.R8, done) // the root of the namespace
	r.probe(emit.R6, wDentry, 8, emit.R8, emit.Field("mount", "mnt_mountpoint"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.probe(emit.R6, wMountRoot, 8, emit.R9, emit.Field("mount", "mnt", "mnt_root"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.Store(emit.DW, emit.R6, wMount, emit.R9)
	r.Const(emit.R0, 0)
	r.Exit()

	r.Bind(done)
	r.StoreImm(emit.DW, emit.R6, wStatus, walkDone)
	r.Const(emit.R0, 1)
	r.Exit()
	r.Bind(name)
}

// next ends a callback after a name: on to the parent in wBlock.
func (r *routine) next() {
	r.Load(emit.DW, emit.R1, emit.R6, wBlock)
	r.Store(emit.DW, emit.R6, wDentry, emit.R1)
	r.Load(emit.DW, emit.R1, emit.R6, wCount)
	r.OpImm(emit.Add, emit.R1, 1)
	r.Store(emit.DW, emit.R6, wCount, emit.R1)
	r.Const(emit.R0, 0)
	r.Exit()
}

// stops ends a callback and the walk with a status.
func (r *routine) stops(l emit.Label, status int64) {
	r.Bind(l)
	r.StoreImm(emit.DW, emit.R6, wStatus, status)
	r.Const(emit.R0, 1)
	r.Exit()
}

// seqSlot sets dst to the place of the current dentry's sequence word. R4 is lost.
func (r *routine) seqSlot(dst emit.Reg, failed emit.Label) {
	r.Load(emit.DW, dst, emit.R6, wCount)
	r.JumpImm(emit.JGe, dst, seqsMax, failed)
	r.OpImm(emit.Lsh, dst, 2)
	r.Load(emit.DW, emit.R4, emit.R6, wSeqs)
	r.JumpImm(emit.JGt, emit.R4, abi.ScratchPath1, failed)
	r.Op(emit.Add, dst, emit.R4)
	r.Op(emit.Add, dst, emit.R6)
}

func walkStep() (object.Func, error) {
	r := beginCallback(walkStepFunc, "prepend a name to the path")
	again, failed, named := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.ascend(again)

	r.Load(emit.DW, emit.R1, emit.R6, wOrdered)
	r.JumpImm(emit.JEq, emit.R1, 0, named)
	r.probe(emit.R6, wBlock, 4, emit.R7, emit.Field("dentry", "d_seq"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.Load(emit.W, emit.R2, emit.R6, wBlock)
	r.JumpImm(emit.JSet, emit.R2, 1, again)
	r.seqSlot(emit.R3, failed)
	r.Store(emit.W, emit.R3, 0, emit.R2)
	r.barrier()
	r.Bind(named)

	r.readDentry(again)
	r.Load(emit.DW, emit.R1, emit.R6, wBlock)
	r.Jump(emit.JEq, emit.R1, emit.R7, failed) // a root, but not of its mount: escaped
	r.JumpImm(emit.JEq, emit.R9, 0, failed)
	r.JumpImm(emit.JGe, emit.R9, abi.PathMax-1, failed)
	r.Load(emit.DW, emit.R2, emit.R6, wPos)
	r.Op(emit.Sub, emit.R2, emit.R9)
	r.OpImm(emit.Sub, emit.R2, 1)
	r.JumpImm(emit.JGe, emit.R2, abi.PathMax, failed) // wrapped: too long
	r.JumpImm(emit.JEq, emit.R2, 0, failed)
	r.Store(emit.DW, emit.R6, wPos, emit.R2)
	r.Move(emit.R1, emit.R6)
	r.Op(emit.Add, emit.R1, emit.R2)
	r.StoreImm(emit.B, emit.R1, abi.ScratchWork, '/')
	r.OpImm(emit.Add, emit.R1, abi.ScratchWork+1)
	r.Move(emit.R2, emit.R9)
	r.Move(emit.R3, emit.R8)
	r.Call(fnProbeReadKernel)
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.next()
	r.stops(failed, walkFailed)
	r.stops(again, walkAgain)
	return r.Build()
}

// readDentry reads parent (to wBlock), address of the name (to R8) and its
// length (to R9) of the dentry in R7: in one call if they are close together,
// which is known when the object is loaded, as they are in all kernels so far.
func (r *routine) readDentry(again emit.Label) {
	const room = 24
	parent := emit.Field("dentry", "d_parent")
	length, name := emit.Field("dentry", "d_name", "len"), emit.Field("dentry", "d_name", "name")
	single, end := r.NewLabel(), r.NewLabel()
	distance := func(dst emit.Reg, f *object.CoreField) {
		r.ConstField(dst, f)
		r.ConstField(emit.R2, parent)
		r.Op(emit.Sub, dst, emit.R2)
	}
	distance(emit.R1, length)
	r.JumpImm(emit.JGt, emit.R1, room-4, single) // unsigned: also if it comes before
	distance(emit.R1, name)
	r.JumpImm(emit.JGt, emit.R1, room-8, single)
	r.probe(emit.R6, wBlock, room, emit.R7, parent)
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	distance(emit.R1, name)
	r.Op(emit.Add, emit.R1, emit.R6)
	r.Load(emit.DW, emit.R8, emit.R1, wBlock)
	distance(emit.R1, length)
	r.Op(emit.Add, emit.R1, emit.R6)
	r.Load(emit.W, emit.R9, emit.R1, wBlock)
	r.Goto(end)

	r.Bind(single)
	for i, f := range []struct {
		field *object.CoreField
		size  int64
	}{{parent, 8}, {length, 4}, {name, 8}} {
		r.probe(emit.R6, wBlock+8*i, f.size, emit.R7, f.field)
		r.JumpImm(emit.JNe, emit.R0, 0, again)
	}
	r.Load(emit.W, emit.R9, emit.R6, wBlock+8)
	r.Load(emit.DW, emit.R8, emit.R6, wBlock+16)
	r.Bind(end)
}

func walkCheck() (object.Func, error) {
	r := beginCallback(walkCheckFunc, "check that a name did not change")
	again := r.NewLabel()
	r.ascend(again)
	r.probe(emit.R6, wBlock, 8, emit.R7, emit.Field("dentry", "d_parent"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.barrier()
	r.probe(emit.R6, wBlock+8, 4, emit.R7, emit.Field("dentry", "d_seq"))
	r.JumpImm(emit.JNe, emit.R0, 0, again)
	r.seqSlot(emit.R3, again)
	r.Load(emit.W, emit.R1, emit.R6, wBlock+8)
	r.Load(emit.W, emit.R2, emit.R3, 0)
	r.Jump(emit.JNe, emit.R1, emit.R2, again)
	r.next()
	r.stops(again, walkAgain)
	return r.Build()
}
