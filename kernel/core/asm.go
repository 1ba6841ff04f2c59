package core

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Values of the kernel's user API (include/uapi/linux/bpf.h, asm-generic/errno-base.h).
const (
	storageCreate = 1 // BPF_LOCAL_STORAGE_GET_F_CREATE
	eperm         = 1
	eagain        = 11
	enomem        = 12
)

const license = "GPL" // the helpers for task storage are GPL-only

// storeWord is a 64-bit store of a constant; asm.StoreImm refuses that size.
func storeWord(dst asm.Register, off int16, v int64) asm.Instruction {
	in := asm.StoreImm(dst, off, v, asm.Word)
	in.OpCode = in.OpCode.SetSize(asm.DWord)
	return in
}

// exchange swaps src with 8 bytes of memory. The library's encoder takes an
// atomic's operation from the constant, which asm.Xchg.Mem leaves 0: an addition.
func exchange(dst asm.Register, off int16, src asm.Register) asm.Instruction {
	in := asm.Xchg.Mem(dst, src, asm.DWord, off)
	in.Constant = 0xe1 // BPF_XCHG
	return in
}

// loadMap puts the address of the named map into dst.
func loadMap(dst asm.Register, name string) asm.Instruction {
	return asm.LoadMapPtr(dst, 0).WithReference(name)
}

func join(parts ...asm.Instructions) asm.Instructions {
	var out asm.Instructions
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// function marks the first instruction of a function. The kernel wants BTF for
// every function as soon as there is more than one.
func function(name string, body asm.Instructions, params ...btf.FuncParam) asm.Instructions {
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	body[0] = btf.WithFuncMetadata(body[0].WithSymbol(name),
		&btf.Func{Name: name, Linkage: btf.StaticFunc, Type: &btf.FuncProto{Return: integer, Params: params}})
	return body
}

func pointer(name string) btf.FuncParam {
	return btf.FuncParam{Name: name, Type: &btf.Pointer{Target: (*btf.Void)(nil)}}
}

func number(name string) btf.FuncParam {
	return btf.FuncParam{Name: name, Type: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}
}

// lookup is how a task's record is looked up. The code jumps to none if there is
// no record (or, with storageCreate, no memory for one), and on kernels where the
// helper may fail for another reason (Kernel.busy) to found with the address of the
// record's storage element node in register scratch, or to busy if it cannot be told.
type lookup struct {
	none, found, busy string
	scratch           asm.Register // survives calls; clobbered where Kernel.busy
	slot              int16        // 8 bytes of stack; likewise
}

// record looks up the current task's record: R0 = it. Clobbers R1 to R5.
func (k *Kernel) record(l lookup) asm.Instructions {
	in := asm.Instructions{asm.FnGetCurrentTaskBtf.Call()}
	if k.storage >= 0 {
		in = append(in,
			asm.LoadMem(asm.R2, asm.R0, k.storage, asm.DWord),
			asm.JEq.Imm(asm.R2, 0, l.none))
	}
	in = append(in, asm.Mov.Reg(asm.R2, asm.R0))
	return join(in, k.storageGet(asm.R0, 0, l))
}

// storageGet looks up the record of the task in R2: R0 = it. keep is the register
// that R2 was copied from.
func (k *Kernel) storageGet(keep asm.Register, flags int32, l lookup) asm.Instructions {
	var in asm.Instructions
	if k.busy {
		in = append(in, asm.Mov.Reg(l.scratch, keep))
	}
	in = append(in,
		loadMap(asm.R1, abi.MapTasks),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, flags),
		asm.FnTaskStorageGet.Call())
	if !k.busy {
		return append(in, asm.JEq.Imm(asm.R0, 0, l.none))
	}
	have := "have_" + l.none
	in = append(in, asm.JNE.Imm(asm.R0, 0, have))
	in = join(in, k.present(l))
	return append(in, nop().WithSymbol(have))
}

// nop carries a label.
func nop() asm.Instruction { return asm.Mov.Reg(asm.R0, asm.R0) }

// elements bounds the search of a task's storage: one element per map that the
// task is in, so this many users of task storage on one host. Beyond it the
// answer is busy.
const elements = 32

// present searches the storage of the task in l.scratch without the helper. The
// list is under RCU, and LSM programs and iterators run under its read lock: an
// element may be stale but not garbage; loads through BTF pointers and
// bpf_probe_read_kernel do not fault.
func (k *Kernel) present(l lookup) asm.Instructions {
	node := l.scratch
	in := asm.Instructions{
		asm.LoadMem(asm.R1, l.scratch, k.storage, asm.DWord),
		asm.JEq.Imm(asm.R1, 0, l.none),
		asm.LoadMem(node, asm.R1, k.walk.first, asm.DWord),
	}
	for range elements {
		in = append(in, asm.JEq.Imm(node, 0, l.none))
		// container_of(node, struct bpf_local_storage_elem, snode)->sdata.smap
		in = append(in, readNode(l.slot, 8, node, k.walk.smap-k.walk.node)...)
		in = append(in,
			asm.JNE.Imm(asm.R0, 0, l.busy),
			asm.LoadMem(asm.R2, asm.RFP, l.slot, asm.DWord),
			loadMap(asm.R3, abi.MapTasks),
			asm.JEq.Reg(asm.R2, asm.R3, l.found),
			asm.LoadMem(node, node, k.walk.next, asm.DWord))
	}
	return append(in, asm.Ja.Label(l.busy))
}

// readNode copies size bytes at an offset from a pointer to the stack: R0 = 0, or
// an error.
func readNode(to int16, size int32, node asm.Register, off int16) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.RFP),
		asm.Add.Imm(asm.R1, int32(to)),
		asm.Mov.Imm(asm.R2, size),
		asm.Mov.Reg(asm.R3, node),
		asm.Add.Imm(asm.R3, int32(off)),
		asm.FnProbeReadKernel.Call(),
	}
}

func lsm(name, hookName string, in asm.Instructions) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: hookName, License: license, Instructions: in}
}
