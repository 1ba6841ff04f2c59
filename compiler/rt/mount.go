package rt

import (
	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
)

// Results of rt_attached.
const (
	mountAttached  = 0 // in the mount namespace of the current task
	mountInternal  = 1 // a filesystem that no namespace shows: memfd, pipes, sockets, anonymous inodes
	mountElsewhere = 2 // detached, or of another namespace
)

const (
	attachedFunc = "rt_attached"
	tmpfileFunc  = "rt_tmpfile"

	// nsInternal is MNT_NS_INTERNAL, ERR_PTR(-EINVAL) (fs/mount.h).
	nsInternal = -22
)

// attached gives u32 rt_attached(struct vfsmount *): where the mount is. The
// argument is only ever read through probe_read_kernel.
func attached() (object.Func, error) {
	r := begin(attachedFunc, typeU32, "is a mount in the namespace of the task", param("mnt", typePtr))
	internal, elsewhere, same := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.StoreImm(emit.DW, emit.FP, -8, 0)
	r.Move(emit.R3, emit.R1)
	r.JumpImm(emit.JEq, emit.R3, 0, elsewhere)
	r.mountOf(emit.R3, emit.R4)
	r.probe(emit.FP, -8, 8, emit.R3, emit.Field("mount", "mnt_ns"))
	r.JumpImm(emit.JNe, emit.R0, 0, elsewhere)
	r.compareNamespace(emit.FP, -8, same, internal, elsewhere)
	r.returns(elsewhere, mountElsewhere)
	r.returns(internal, mountInternal)
	r.returns(same, mountAttached)
	return r.Build()
}

// mountOf turns a pointer to the struct vfsmount of a mount into one to the
// struct mount around it (real_mount of fs/mount.h).
func (r *routine) mountOf(p, tmp emit.Reg) {
	r.ConstField(tmp, emit.Field("mount", "mnt"))
	r.Op(emit.Sub, p, tmp)
}

// compareNamespace goes where a mount belongs whose mount namespace is the word
// at base+off; base is one of R6 to R9 or FP. A mount that was detached has none;
// one that was never attached is in an anonymous namespace.
func (r *routine) compareNamespace(base emit.Reg, off int, same, internal, elsewhere emit.Label) {
	r.currentTask()
	r.Load(emit.DW, emit.R2, base, off)
	r.JumpImm(emit.JEq, emit.R2, nsInternal, internal)
	r.JumpImm(emit.JEq, emit.R2, 0, elsewhere)
	r.LoadField(emit.DW, emit.R1, emit.R0, emit.Field("task_struct", "nsproxy"))
	r.JumpImm(emit.JEq, emit.R1, 0, elsewhere)
	r.LoadField(emit.DW, emit.R1, emit.R1, emit.Field("nsproxy", "mnt_ns"))
	r.Jump(emit.JEq, emit.R1, emit.R2, same)
	r.Goto(elsewhere)
}

// tmpfile gives u32 rt_tmpfile(struct dentry *): 1 if an unlinked dentry is
// that of an O_TMPFILE file, which never had a name. The kernel marks it with
// the name "#" + inode number (d_mark_tmpfile of fs/dcache.c). A file that was
// created by this very name and unlinked is taken for one as well: it has no
// name either.
func tmpfile() (object.Func, error) {
	const (
		digits = 20 // of the largest inode number
		name   = -32
		word   = -40
	)
	r := begin(tmpfileFunc, typeU32, "is an unlinked dentry an O_TMPFILE", param("dentry", typePtr))
	no, ended := r.NewLabel(), r.NewLabel()
	r.Move(emit.R6, emit.R1)
	for off := word; off < 0; off += 8 {
		r.StoreImm(emit.DW, emit.FP, off, 0)
	}
	r.probe(emit.FP, word, 4, emit.R6, emit.Field("dentry", "d_name", "len"))
	r.JumpImm(emit.JNe, emit.R0, 0, no)
	r.Load(emit.W, emit.R7, emit.FP, word)
	r.JumpImm(emit.JGt, emit.R7, 1+digits, no)
	r.probe(emit.FP, word, 8, emit.R6, emit.Field("dentry", "d_name", "name"))
	r.JumpImm(emit.JNe, emit.R0, 0, no)
	r.Load(emit.DW, emit.R3, emit.FP, word)
	r.Move(emit.R1, emit.FP)
	r.OpImm(emit.Add, emit.R1, name)
	r.Move(emit.R2, emit.R7)
	r.Call(fnProbeReadKernel)
	r.JumpImm(emit.JNe, emit.R0, 0, no)
	r.Load(emit.B, emit.R1, emit.FP, name)
	r.JumpImm(emit.JNe, emit.R1, '#', no)
	r.Load(emit.B, emit.R1, emit.FP, name+1) // no leading zeros, and at least a digit
	r.JumpImm(emit.JLe, emit.R1, '0', no)
	r.Const(emit.R8, 0)
	for i := 1; i <= digits; i++ {
		r.Load(emit.B, emit.R1, emit.FP, name+i)
		r.JumpImm(emit.JEq, emit.R1, 0, ended)
		r.OpImm(emit.Sub, emit.R1, '0')
		r.JumpImm(emit.JGt, emit.R1, 9, no)
		r.OpImm(emit.Mul, emit.R8, 10)
		r.Op(emit.Add, emit.R8, emit.R1)
	}
	r.Bind(ended)
	r.probe(emit.FP, word, 8, emit.R6, emit.Field("dentry", "d_inode"))
	r.JumpImm(emit.JNe, emit.R0, 0, no)
	r.Load(emit.DW, emit.R6, emit.FP, word)
	r.JumpImm(emit.JEq, emit.R6, 0, no)
	r.probe(emit.FP, word, 8, emit.R6, emit.Field("inode", "i_ino"))
	r.JumpImm(emit.JNe, emit.R0, 0, no)
	r.Load(emit.DW, emit.R1, emit.FP, word)
	r.Const(emit.R0, 1)
	yes := r.NewLabel()
	r.Jump(emit.JEq, emit.R1, emit.R8, yes)
	r.Const(emit.R0, 0)
	r.Bind(yes)
	r.Exit()
	r.returns(no, 0)
	return r.Build()
}
