package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// A path is the name that d_path gives: absolute, without symbolic links, seen
// from the root directory of the task, or from the root of its mount namespace
// for what lies outside of that. Apart from d_path:
//
//   - " (deleted)" is stripped, but only if the dentry is unlinked;
//   - what has no name in a filesystem has the path "": files on internal mounts
//     (memfd, pipes, sockets, anonymous inodes, namespaces) and O_TMPFILE files;
//   - a path is unresolved if it is longer than 4,095 bytes, if the mount is
//     detached or of another mount namespace, or if the dentry is outside of
//     the part of the filesystem that the mount shows;
//   - a path in a directory that is unlinked is unresolved.
//
// Hooks where every supported kernel lets programs call bpf_d_path use that
// (btf_allowlist_d_path, kernel/trace/bpf_trace.c); elsewhere it is our own
// walk. file_truncate belongs to the latter: 6.12 refuses bpf_d_path there.
var dPathHooks = map[string]bool{"file_open": true, "bprm_check_security": true}

// pathIndex is the index in Scratch.Path of a field with a path or string:
// path is 0; the second name of a hook, "to" or "target", is 1.
func pathIndex(name string) int {
	if name == "path" {
		return 0
	}
	return 1
}

func scratchPath(i int) int    { return abi.ScratchPath0 + i*abi.PathBuffer }
func scratchPathLen(i int) int { return abi.ScratchPathLen0 + 4*i }

// pathFunc is the name of the routine that builds a path.
func pathFunc(h *hook.Hook, f hook.Field) string {
	return "rt_path_" + h.Name + "_" + identifier(f.Name)
}

// path gives u32 pathFunc(ctx, scratch) and the functions that it calls. It
// builds the path of a field in its place in the scratch memory and sets its
// length; it returns 0, or 1 if the path is unresolved.
func path(h *hook.Hook, f hook.Field) ([]object.Func, error) {
	return pathBy(h, f, dPathHooks[h.Name])
}

// pathBy is path with the choice how the path of a file is built.
func pathBy(h *hook.Hook, f hook.Field, helper bool) ([]object.Func, error) {
	b := &pathBuilder{
		routine: begin(pathFunc(h, f), typeU32, f.Name+" at "+h.Name, paramCtx, param("scratch", typePtr)),
		index:   pathIndex(f.Name),
	}
	b.empty, b.unresolved = b.NewLabel(), b.NewLabel()
	b.Move(emit.R6, emit.R1)
	b.Move(emit.R7, emit.R2)
	var calls []object.Func
	var err error
	switch read := f.Read.(type) {
	case hook.FilePath:
		if helper {
			calls, err = b.dPath(read)
		} else {
			calls, err = b.walkFile(read)
		}
	case hook.PathPath:
		calls, err = b.walkPath(read)
	case hook.EntryPath:
		calls, err = b.walkEntry(read)
	case hook.LinkPath:
		calls, err = b.walkLink(read)
	case hook.ArgString:
		b.argString(read)
	default:
		err = fmt.Errorf("field %s of hook %s is no path", f.Name, h.Name)
	}
	if err != nil {
		return nil, err
	}
	if _, text := f.Read.(hook.ArgString); !text { // verifiers refuse code that is never reached
		b.Bind(b.empty)
		b.Const(emit.R1, 0)
		b.storeLength(emit.R1)
		b.Const(emit.R0, 0)
		b.Exit()
	}
	b.Bind(b.unresolved)
	b.Const(emit.R1, abi.PathUnresolved)
	b.Store(emit.W, emit.R7, scratchPathLen(b.index), emit.R1)
	b.Const(emit.R0, 1)
	b.Exit()
	fn, err := b.Build()
	return append([]object.Func{fn}, calls...), err
}

// pathBuilder emits a path routine: the context is in R6, the scratch memory in R7.
type pathBuilder struct {
	*routine
	index             int
	empty, unresolved emit.Label
}

// moveWork copies a path of length R0, as rt_walk returns it, from the end of
// Work to its place, with zeros behind.
func (b *pathBuilder) moveWork() {
	b.JumpImm(emit.JEq, emit.R0, 0, b.empty)
	b.JumpImm(emit.JGe, emit.R0, abi.PathMax, b.unresolved) // unsigned: -1 too
	b.Store(emit.W, emit.R7, scratchPathLen(b.index), emit.R0)
	b.Move(emit.R3, emit.R7)
	b.OpImm(emit.Add, emit.R3, abi.ScratchWork+workEnd)
	b.Op(emit.Sub, emit.R3, emit.R0)
	b.Move(emit.R2, emit.R0)
	b.OpImm(emit.Add, emit.R2, 1+abi.PathPad)
	b.Move(emit.R1, emit.R7)
	b.OpImm(emit.Add, emit.R1, int64(scratchPath(b.index)))
	b.Call(fnProbeReadKernel)
	b.JumpImm(emit.JNe, emit.R0, 0, b.unresolved)
	b.Const(emit.R0, 0)
	b.Exit()
}

// walkFrom calls rt_walk for dentry R8 on mount R9 and ends the routine.
func (b *pathBuilder) walkFrom(entry int64) {
	b.Move(emit.R1, emit.R7)
	b.Move(emit.R2, emit.R8)
	b.Move(emit.R3, emit.R9)
	b.Const(emit.R4, entry)
	b.Const(emit.R5, int64(scratchPath(b.index)))
	b.CallFunc(walkFunc)
	b.moveWork()
}

// walkNamed is walkFrom, after a look whether the dentry, which may be loaded
// from, never had a name.
func (b *pathBuilder) walkNamed() ([]object.Func, error) {
	named := b.NewLabel()
	b.JumpImm(emit.JEq, emit.R8, 0, b.unresolved)
	b.unlinked(emit.R1, emit.R8, emit.R2)
	b.JumpImm(emit.JEq, emit.R1, 0, named)
	b.Move(emit.R1, emit.R8)
	b.CallFunc(tmpfileFunc)
	b.JumpImm(emit.JNe, emit.R0, 0, b.empty)
	b.Bind(named)
	b.walkFrom(0)
	fns, err := walk()
	if err != nil {
		return nil, err
	}
	tmp, err := tmpfile()
	return append(fns, tmp), err
}

func (b *pathBuilder) walkPath(read hook.PathPath) ([]object.Func, error) {
	b.loadArg(emit.R1, emit.R6, read.Arg)
	b.LoadField(emit.DW, emit.R8, emit.R1, emit.Field("path", "dentry"))
	b.LoadField(emit.DW, emit.R9, emit.R1, emit.Field("path", "mnt"))
	return b.walkNamed()
}

func (b *pathBuilder) walkLink(read hook.LinkPath) ([]object.Func, error) {
	b.loadArg(emit.R1, emit.R6, read.Dir)
	b.LoadField(emit.DW, emit.R9, emit.R1, emit.Field("path", "mnt"))
	b.loadArg(emit.R8, emit.R6, read.Dentry)
	return b.walkNamed()
}

// file sets R8 to the file of the recipe, and goes to empty if it was opened
// with O_TMPFILE.
func (b *pathBuilder) file(read hook.FilePath) {
	if read.Base.Current {
		b.Errorf("a file of the current task")
	}
	b.loadArg(emit.R8, emit.R6, read.Base.Arg)
	b.follow(emit.R8, read.Steps, b.unresolved)
	b.LoadField(emit.W, emit.R1, emit.R8, emit.Field("file", "f_flags"))
	b.JumpImm(emit.JSet, emit.R1, openTmp, b.empty)
}

func (b *pathBuilder) walkFile(read hook.FilePath) ([]object.Func, error) {
	b.file(read)
	b.LoadField(emit.DW, emit.R9, emit.R8, emit.Field("file", "f_path", "mnt"))
	b.LoadField(emit.DW, emit.R8, emit.R8, emit.Field("file", "f_path", "dentry"))
	return b.walkNamed()
}

const inodeDead = 16 // S_DEAD, include/linux/fs.h: a directory that was removed

func (b *pathBuilder) walkEntry(read hook.EntryPath) ([]object.Func, error) {
	b.loadArg(emit.R1, emit.R6, read.Dir)
	b.LoadField(emit.DW, emit.R9, emit.R1, emit.Field("path", "mnt"))
	b.LoadField(emit.DW, emit.R8, emit.R1, emit.Field("path", "dentry"))
	b.JumpImm(emit.JEq, emit.R8, 0, b.unresolved)
	b.unlinked(emit.R1, emit.R8, emit.R2)
	b.JumpImm(emit.JNe, emit.R1, 0, b.unresolved)
	b.LoadField(emit.DW, emit.R1, emit.R8, emit.Field("dentry", "d_inode"))
	b.JumpImm(emit.JEq, emit.R1, 0, b.unresolved)
	b.LoadField(emit.W, emit.R1, emit.R1, emit.Field("inode", "i_flags"))
	b.JumpImm(emit.JSet, emit.R1, inodeDead, b.unresolved)
	// The entry's parent is the directory: the kernel holds the directory's
	// inode lock around the hook (fs/namei.c), so that it cannot move away.
	b.loadArg(emit.R1, emit.R6, read.Dentry)
	b.LoadField(emit.DW, emit.R2, emit.R1, emit.Field("dentry", "d_parent"))
	b.Jump(emit.JNe, emit.R2, emit.R8, b.unresolved)
	b.Move(emit.R8, emit.R1)
	b.walkFrom(1)
	return walk()
}

// argString copies a kernel string. A longer one than a path can be would have
// been refused by the system call (fs/namei.c, getname_flags).
func (b *pathBuilder) argString(read hook.ArgString) {
	b.loadArg(emit.R3, emit.R6, read.Arg)
	b.Move(emit.R1, emit.R7)
	b.OpImm(emit.Add, emit.R1, int64(scratchPath(b.index)))
	b.Const(emit.R2, abi.PathMax+1)
	b.Call(fnProbeReadKernelStr)
	b.OpImm(emit.Sub, emit.R0, 1)
	b.JumpImm(emit.JGe, emit.R0, abi.PathMax, b.unresolved) // unsigned: errors too
	b.storeLength(emit.R0)
	b.Const(emit.R0, 0)
	b.Exit()
}

// storeLength sets the length of the path in place to n, at most 4,095, and
// writes the NUL and the abi.PathPad zeros behind it. R2 is lost.
func (b *pathBuilder) storeLength(n emit.Reg) {
	b.Store(emit.W, emit.R7, scratchPathLen(b.index), n)
	b.Move(emit.R2, emit.R7)
	b.Op(emit.Add, emit.R2, n)
	b.StoreImm(emit.DW, emit.R2, scratchPath(b.index), 0)
	b.StoreImm(emit.B, emit.R2, scratchPath(b.index)+abi.PathPad, 0)
}
