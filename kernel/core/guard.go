package core

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// bpffsMagic is BPF_FS_MAGIC of include/uapi/linux/magic.h.
const bpffsMagic = 0xcafe4a11

// Guard lists the programs that keep members of namespaces away from what holds
// them there, by hook name; they are attached as long as the core exists.
//
// bpf(2) asks for no capability when a pinned map is opened and written: any
// member with user id 0 could delete its own record. Nor does it when a name
// goes away, and with its last name a link is detached. So what members are
// refused, with EPERM and whatever their policies say, is bpf(2), changing names
// on a bpf filesystem, and unmounting one.
func (k *Kernel) Guard() []*ebpf.ProgramSpec {
	specs := []*ebpf.ProgramSpec{k.guard("snp_g_bpf", "bpf")}
	for _, h := range []struct{ name, hook string }{
		{"snp_g_mkdir", "inode_mkdir"},
		{"snp_g_rename", "inode_rename"},
		{"snp_g_rmdir", "inode_rmdir"},
		{"snp_g_symlink", "inode_symlink"},
		{"snp_g_unlink", "inode_unlink"},
	} {
		specs = append(specs, k.guard(h.name, h.hook, k.inodeSuper))
	}
	return append(specs, k.guard("snp_g_umount", "sb_umount", k.mountSuper))
}

// guard denies an event to members; with super, an offset in the struct that the
// first argument points to, only if the superblock there is that of a bpf filesystem.
//
//	if super && arg0->super->s_magic != BPF_FS_MAGIC  return 0
//	rec = task_storage_get(snp_tasks, current)
//	if !rec || !rec->ID                               return 0
//	return -EPERM
func (k *Kernel) guard(name, hookName string, super ...int16) *ebpf.ProgramSpec {
	var in asm.Instructions
	for _, off := range super {
		in = append(in,
			asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
			asm.LoadMem(asm.R1, asm.R1, off, asm.DWord),
			asm.LoadMem(asm.R1, asm.R1, k.superMagic, asm.DWord),
			asm.LoadImm(asm.R2, bpffsMagic, asm.DWord),
			asm.JNE.Reg(asm.R1, asm.R2, "allow"))
	}
	in = join(in,
		k.record(lookup{none: "allow", found: "deny", busy: "deny", scratch: asm.R6, slot: -8}),
		asm.Instructions{
			asm.LoadMem(asm.R1, asm.R0, abi.TaskID, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, "allow"),
			asm.Mov.Imm(asm.R0, -eperm).WithSymbol("deny"),
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("allow"),
			asm.Return(),
		})
	return lsm(name, hookName, in)
}
