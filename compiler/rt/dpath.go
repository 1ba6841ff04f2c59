package rt

import (
	"encoding/binary"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

const (
	deletedSuffix = " (deleted)" // fs/d_path.c, prepend_path's caller
	dPathTries    = 3

	// dPathBytes leaves room for the suffix behind the longest path. The
	// kernel uses the buffer from its end, so this reaches 2 bytes into what
	// follows Scratch.Path[0]; hooks with a FilePath have no second path.
	dPathBytes = abi.PathMax + len(deletedSuffix)
)

// dPath builds the path by the helper bpf_d_path, which is atomic against
// renames, mounts and chroot. What d_path does not tell is looked at before and
// after it:
//
//   - The mount is in the task's mount namespace. A mount goes from anonymous to
//     attached to detached and never back (fs/namespace.c), so if it is attached
//     before and after, it was so in between.
//   - The suffix " (deleted)" may be part of the name. It is not if the dentry
//     is unlinked before and after, it is if the dentry is linked at both times.
//     Otherwise d_path is called again; after dPathTries times the path is
//     unresolved.
//   - "/" may stand for a dentry outside of its mount. Unless the file is a
//     root, the path is unresolved.
func (b *pathBuilder) dPath(read hook.FilePath) ([]object.Func, error) {
	const wasUnlinked = -8 // stack slot
	path := scratchPath(b.index)
	again, keep, suffix, changed := b.NewLabel(), b.NewLabel(), b.NewLabel(), b.NewLabel()
	b.file(read)
	b.Const(emit.R9, 0)

	b.Bind(again)
	b.checkAttached()
	b.LoadField(emit.DW, emit.R1, emit.R8, emit.Field("file", "f_path", "dentry"))
	b.JumpImm(emit.JEq, emit.R1, 0, b.unresolved)
	b.unlinked(emit.R2, emit.R1, emit.R3)
	b.Store(emit.DW, emit.FP, wasUnlinked, emit.R2)
	b.Move(emit.R1, emit.R8)
	b.AddField(emit.R1, emit.Field("file", "f_path"))
	b.Move(emit.R2, emit.R7)
	b.OpImm(emit.Add, emit.R2, int64(path))
	b.Const(emit.R3, int64(dPathBytes))
	b.Call(fnDPath)
	b.Move(emit.R6, emit.R0)
	b.JumpImm(emit.JSLe, emit.R6, 1, b.unresolved) // an error; it counts the NUL
	b.OpImm(emit.Sub, emit.R6, 1)
	b.JumpImm(emit.JGe, emit.R6, int64(dPathBytes), b.unresolved)
	b.Load(emit.B, emit.R1, emit.R7, path)
	b.JumpImm(emit.JNe, emit.R1, '/', b.empty) // the filesystem makes up names

	b.JumpImm(emit.JLe, emit.R6, int64(len(deletedSuffix)), keep)
	b.Move(emit.R1, emit.R7)
	b.Op(emit.Add, emit.R1, emit.R6)
	b.Load(emit.DW, emit.R2, emit.R1, path-8)
	b.Const(emit.R3, int64(binary.LittleEndian.Uint64([]byte(deletedSuffix[2:]))))
	b.Jump(emit.JNe, emit.R2, emit.R3, keep)
	b.Load(emit.H, emit.R2, emit.R1, path-10)
	b.JumpImm(emit.JEq, emit.R2, int64(binary.LittleEndian.Uint16([]byte(deletedSuffix))), suffix)

	b.Bind(keep)
	b.JumpImm(emit.JGe, emit.R6, abi.PathMax, b.unresolved)
	b.checkRoot()
	b.checkAttached()
	b.storeLength(emit.R6)
	b.Const(emit.R0, 0)
	b.Exit()

	b.Bind(suffix)
	b.LoadField(emit.DW, emit.R1, emit.R8, emit.Field("file", "f_path", "dentry"))
	b.unlinked(emit.R2, emit.R1, emit.R3)
	b.Load(emit.DW, emit.R3, emit.FP, wasUnlinked)
	b.Jump(emit.JNe, emit.R2, emit.R3, changed)
	b.JumpImm(emit.JEq, emit.R2, 0, keep)
	b.CallFunc(tmpfileFunc)
	b.JumpImm(emit.JNe, emit.R0, 0, b.empty)
	b.OpImm(emit.Sub, emit.R6, int64(len(deletedSuffix)))
	b.Goto(keep)

	b.Bind(changed)
	b.OpImm(emit.Add, emit.R9, 1)
	b.JumpImm(emit.JLt, emit.R9, dPathTries, again)
	b.Goto(b.unresolved)

	attached, err := attached()
	if err != nil {
		return nil, err
	}
	tmp, err := tmpfile()
	return []object.Func{attached, tmp}, err
}

// checkAttached goes to empty or unresolved unless the mount of the file in R8
// is in the task's mount namespace.
func (b *pathBuilder) checkAttached() {
	b.LoadField(emit.DW, emit.R1, emit.R8, emit.Field("file", "f_path", "mnt"))
	b.CallFunc(attachedFunc)
	b.JumpImm(emit.JEq, emit.R0, mountInternal, b.empty)
	b.JumpImm(emit.JNe, emit.R0, mountAttached, b.unresolved)
}

// checkRoot goes to unresolved if the path, of length R6, is "/" and the file in
// R8 is neither the task's root directory nor the root of the namespace. R9 is lost.
func (b *pathBuilder) checkRoot() {
	end, global := b.NewLabel(), b.NewLabel()
	b.JumpImm(emit.JNe, emit.R6, 1, end)
	b.currentTask()
	b.LoadField(emit.DW, emit.R1, emit.R8, emit.Field("file", "f_path", "dentry"))
	b.LoadField(emit.DW, emit.R9, emit.R8, emit.Field("file", "f_path", "mnt"))
	b.LoadField(emit.DW, emit.R2, emit.R0, emit.Field("task_struct", "fs"))
	b.JumpImm(emit.JEq, emit.R2, 0, global)
	b.LoadField(emit.DW, emit.R3, emit.R2, emit.Field("fs_struct", "root", "dentry"))
	b.Jump(emit.JNe, emit.R3, emit.R1, global)
	b.LoadField(emit.DW, emit.R3, emit.R2, emit.Field("fs_struct", "root", "mnt"))
	b.Jump(emit.JEq, emit.R3, emit.R9, end)
	b.Bind(global)
	b.JumpImm(emit.JEq, emit.R9, 0, b.unresolved)
	b.LoadField(emit.DW, emit.R2, emit.R9, emit.Field("vfsmount", "mnt_root"))
	b.Jump(emit.JNe, emit.R2, emit.R1, b.unresolved)
	b.mountOf(emit.R9, emit.R2)
	b.StoreImm(emit.DW, emit.FP, -16, 0)
	b.probe(emit.FP, -16, 8, emit.R9, emit.Field("mount", "mnt_parent"))
	b.JumpImm(emit.JNe, emit.R0, 0, b.unresolved)
	b.Load(emit.DW, emit.R1, emit.FP, -16)
	b.Jump(emit.JNe, emit.R1, emit.R9, b.unresolved)
	b.Bind(end)
}
