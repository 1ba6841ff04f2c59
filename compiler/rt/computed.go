package rt

import (
	"fmt"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// Values of the kernel's user and internal API that the computed fields need.
// They are the same on amd64 and arm64.
const (
	fmodeRead  = 1         // FMODE_READ, include/linux/fs.h
	fmodeWrite = 2         // FMODE_WRITE
	fmodeExec  = 0x20      // __FMODE_EXEC in f_flags: the kernel opens a program (fs/exec.c, do_open_execat)
	openTrunc  = 01000     // O_TRUNC, still in f_flags when file_open runs (fs/open.c, do_dentry_open)
	openAppend = 02000     // O_APPEND
	openTmp    = 020000000 // __O_TMPFILE
	modeSetuid = 04000     // S_ISUID
	modeSetgid = 02010     // S_ISGID | S_IXGRP: without group execute it means mandatory locking
	mntNosuid  = 1         // MNT_NOSUID, include/linux/mount.h

	accessWrite, accessAppend, accessExec = 2, 4, 8 // hook.ComputedAccess
)

// computed is how a computed value is made: what the hook's first argument must
// point to, and the code. The code finds the context in R6 and leaves the value
// in R0; it may go to the label for 0. It returns the functions that it calls.
type computed struct {
	arg  string
	code func(r *routine, h *hook.Hook, zero emit.Label) ([]object.Func, error)
}

var computedValues = map[hook.ComputedName]computed{
	hook.ComputedAccess:   {"file", (*routine).access},
	hook.ComputedDeleted:  {"file", (*routine).deleted},
	hook.ComputedMemfd:    {"file", (*routine).fileUnnamed},
	hook.ComputedDev:      {"file", (*routine).dev},
	hook.ComputedExecAnon: {"linux_binprm", (*routine).programUnnamed},
	hook.ComputedSetid:    {"linux_binprm", (*routine).setid},
	hook.ComputedPort:     {"socket", (*routine).port},
	hook.ComputedSockPort: {"socket", (*routine).port},
}

// ComputedFunc is the name of the routine that [Computed] gives.
func ComputedFunc(h *hook.Hook, name hook.ComputedName) string {
	return "rt_value_" + h.Name + "_" + identifier(string(name))
}

// Computed gives the routine u64 ComputedFunc(ctx) of a computed value, followed
// by the functions that it calls. A port that cannot be had is 0. Addresses are
// no numbers: an error.
func Computed(h *hook.Hook, name hook.ComputedName) ([]object.Func, error) {
	c, ok := computedValues[name]
	if !ok || len(h.Args) == 0 || h.Args[0].Struct != c.arg {
		return nil, fmt.Errorf("hook %s has no computed number %q", h.Name, name)
	}
	r := begin(ComputedFunc(h, name), typeU64, string(name)+" at "+h.Name, paramCtx)
	zero := r.NewLabel()
	r.Move(emit.R6, emit.R1)
	calls, err := c.code(r, h, zero)
	if err != nil {
		return nil, err
	}
	r.Exit()
	if r.Used(zero) {
		r.returns(zero, 0)
	}
	f, err := r.Build()
	return append([]object.Func{f}, calls...), err
}

// access is what an open asks for. The kernel's own open of a program has
// FMODE_READ too, but the process does not get to read.
func (r *routine) access(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	write, isWrite, end := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.loadArg(emit.R1, emit.R6, 0)
	r.JumpImm(emit.JEq, emit.R1, 0, zero)
	r.LoadField(emit.W, emit.R2, emit.R1, emit.Field("file", "f_flags"))
	r.LoadField(emit.W, emit.R3, emit.R1, emit.Field("file", "f_mode"))
	r.Const(emit.R0, accessExec)
	r.JumpImm(emit.JSet, emit.R2, fmodeExec, write)
	r.Move(emit.R0, emit.R3)
	r.OpImm(emit.And, emit.R0, fmodeRead) // which is accessRead
	r.Bind(write)
	r.JumpImm(emit.JSet, emit.R3, fmodeWrite, isWrite)
	r.JumpImm(emit.JSet, emit.R2, openTrunc, isWrite)
	r.Goto(end)
	r.Bind(isWrite)
	r.OpImm(emit.Add, emit.R0, accessWrite)
	r.OpImm(emit.And, emit.R2, openAppend)
	r.JumpImm(emit.JEq, emit.R2, 0, end)
	r.OpImm(emit.Add, emit.R0, accessAppend)
	r.Bind(end)
	return nil, nil
}

// deleted is 1 if the dentry of the file is unlinked (d_unlinked of
// include/linux/dcache.h).
func (r *routine) deleted(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	r.loadArg(emit.R1, emit.R6, 0)
	r.LoadField(emit.DW, emit.R2, emit.R1, emit.Field("file", "f_path", "dentry"))
	r.JumpImm(emit.JEq, emit.R2, 0, zero)
	r.unlinked(emit.R0, emit.R2, emit.R1)
	return nil, nil
}

// unlinked is dst = 1 if the dentry, a pointer that may be loaded from, is not
// in the dentry hash and not a root, else 0. tmp is lost; the three registers differ.
func (r *routine) unlinked(dst, dentry, tmp emit.Reg) {
	end := r.NewLabel()
	r.LoadField(emit.DW, tmp, dentry, emit.Field("dentry", "d_hash", "pprev"))
	r.Const(dst, 0)
	r.JumpImm(emit.JNe, tmp, 0, end)
	r.LoadField(emit.DW, tmp, dentry, emit.Field("dentry", "d_parent"))
	r.Jump(emit.JEq, tmp, dentry, end)
	r.Const(dst, 1)
	r.Bind(end)
}

func (r *routine) fileUnnamed(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	r.loadArg(emit.R7, emit.R6, 0)
	r.JumpImm(emit.JEq, emit.R7, 0, zero)
	return r.unnamed(zero)
}

func (r *routine) programUnnamed(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	r.loadArg(emit.R7, emit.R6, 0)
	r.LoadField(emit.DW, emit.R7, emit.R7, emit.Field("linux_binprm", "file"))
	r.JumpImm(emit.JEq, emit.R7, 0, zero)
	return r.unnamed(zero)
}

// unnamed is 1 for the file in R7 if it has no name in a filesystem, for the
// reasons for which its path is empty; see path.go.
func (r *routine) unnamed(zero emit.Label) ([]object.Func, error) {
	one, end := r.NewLabel(), r.NewLabel()
	r.LoadField(emit.W, emit.R1, emit.R7, emit.Field("file", "f_flags"))
	r.JumpImm(emit.JSet, emit.R1, openTmp, one)
	r.LoadField(emit.DW, emit.R1, emit.R7, emit.Field("file", "f_path", "mnt"))
	r.CallFunc(attachedFunc)
	r.JumpImm(emit.JEq, emit.R0, mountInternal, one)
	r.LoadField(emit.DW, emit.R2, emit.R7, emit.Field("file", "f_path", "dentry"))
	r.JumpImm(emit.JEq, emit.R2, 0, zero)
	r.unlinked(emit.R0, emit.R2, emit.R1)
	r.JumpImm(emit.JEq, emit.R0, 0, end)
	r.Move(emit.R1, emit.R2)
	r.CallFunc(tmpfileFunc)
	r.Goto(end)
	r.Bind(one)
	r.Const(emit.R0, 1)
	r.Bind(end)
	attached, err := attached()
	if err != nil {
		return nil, err
	}
	tmp, err := tmpfile()
	return []object.Func{attached, tmp}, err
}

// setid is 1 if the program changes the user or group id: the bits are set and
// the mount honours them (fs/exec.c, bprm_fill_uid; mnt_may_suid).
func (r *routine) setid(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	yes, end := r.NewLabel(), r.NewLabel()
	r.loadArg(emit.R1, emit.R6, 0)
	r.LoadField(emit.DW, emit.R1, emit.R1, emit.Field("linux_binprm", "file"))
	r.JumpImm(emit.JEq, emit.R1, 0, zero)
	r.LoadField(emit.DW, emit.R2, emit.R1, emit.Field("file", "f_path", "mnt"))
	r.JumpImm(emit.JEq, emit.R2, 0, zero)
	r.LoadField(emit.W, emit.R2, emit.R2, emit.Field("vfsmount", "mnt_flags"))
	r.JumpImm(emit.JSet, emit.R2, mntNosuid, zero)
	r.LoadField(emit.DW, emit.R1, emit.R1, emit.Field("file", "f_inode"))
	r.JumpImm(emit.JEq, emit.R1, 0, zero)
	r.LoadField(emit.H, emit.R1, emit.R1, emit.Field("inode", "i_mode"))
	r.JumpImm(emit.JSet, emit.R1, modeSetuid, yes)
	r.OpImm(emit.And, emit.R1, modeSetgid)
	r.Const(emit.R0, 0)
	r.JumpImm(emit.JNe, emit.R1, modeSetgid, end)
	r.Bind(yes)
	r.Const(emit.R0, 1)
	r.Bind(end)
	return nil, nil
}

// dev is the device number as stat(2) gives it: new_encode_dev of
// include/linux/kdev_t.h over the kernel's 12 bits of major, 20 of minor.
func (r *routine) dev(_ *hook.Hook, zero emit.Label) ([]object.Func, error) {
	r.loadArg(emit.R1, emit.R6, 0)
	r.follow(emit.R1, []hook.Step{{Struct: "file", Members: []string{"f_inode"}}, {Struct: "inode", Members: []string{"i_sb"}}}, zero)
	r.LoadField(emit.W, emit.R1, emit.R1, emit.Field("super_block", "s_dev"))
	r.Move(emit.R0, emit.R1) // minor & 0xff
	r.OpImm(emit.And, emit.R0, 0xff)
	r.Move(emit.R2, emit.R1) // major << 8
	r.OpImm(emit.Rsh, emit.R2, 20)
	r.OpImm(emit.Lsh, emit.R2, 8)
	r.Op(emit.Or, emit.R0, emit.R2)
	r.OpImm(emit.And, emit.R1, 0xfff00) // (minor & ~0xff) << 12
	r.OpImm(emit.Lsh, emit.R1, 12)
	r.Op(emit.Or, emit.R0, emit.R1)
	return nil, nil
}
