package rt

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/compiler/emit"
	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// Numbers of helpers (include/uapi/linux/bpf.h), all of Linux 6.1 or older.
const (
	fnMapLookupElem      = 1
	fnGetCurrentPidTgid  = 14
	fnGetCurrentUidGid   = 15
	fnGetCurrentComm     = 16
	fnProbeReadKernel    = 113
	fnProbeReadKernelStr = 115
	fnKtimeGetBootNs     = 125
	fnRingbufReserve     = 131
	fnRingbufSubmit      = 132
	fnDPath              = 147
	fnTaskStorageGet     = 156
	fnGetCurrentTaskBTF  = 158
	fnLoop               = 181

	storageCreate = 1 // BPF_LOCAL_STORAGE_GET_F_CREATE
)

// Types in the signatures of the routines.
var (
	typeU32  = &btf.Int{Name: "unsigned int", Size: 4}
	typeS32  = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	typeU64  = &btf.Int{Name: "unsigned long long", Size: 8}
	typeS64  = &btf.Int{Name: "long long", Size: 8, Encoding: btf.Signed}
	typePtr  = &btf.Pointer{Target: &btf.Void{}}
	typeCtx  = &btf.Pointer{Target: typeU64}
	paramCtx = param("ctx", typeCtx)
)

func param(name string, t btf.Type) btf.FuncParam { return btf.FuncParam{Name: name, Type: t} }

// routine is a function under construction, with the idioms of this package.
type routine struct{ *emit.Builder }

// begin starts a routine. text stands where generated code has its source line.
func begin(name string, ret btf.Type, text string, params ...btf.FuncParam) *routine {
	return &routine{emit.New(name, params, ret, object.Line{Line: 1, Text: "runtime: " + text})}
}

// identifier makes part of a function's name of a field's or table's name.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// field finds a field of a hook, the subject's included.
func field(h *hook.Hook, name string) (hook.Field, error) {
	for _, f := range h.Fields {
		if f.Name == name {
			return f, nil
		}
	}
	for _, f := range hook.Subject() {
		if f.Name == name {
			return f, nil
		}
	}
	return hook.Field{}, fmt.Errorf("hook %s has no field %q", h.Name, name)
}

// Merge joins lists of functions. Functions of equal name are equal, as all
// routines of this package are, and kept once, at their first place.
func Merge(lists ...[]object.Func) []object.Func {
	var out []object.Func
	seen := map[string]bool{}
	for _, l := range lists {
		for _, f := range l {
			if !seen[f.Name] {
				seen[f.Name] = true
				out = append(out, f)
			}
		}
	}
	return out
}

// currentTask sets R0 to the current task. R1 to R5 are lost.
func (r *routine) currentTask() { r.Call(fnGetCurrentTaskBTF) }

// loadArg is dst = argument n of the hook, all 8 bytes of it.
func (r *routine) loadArg(dst, ctx emit.Reg, n int) { r.Load(emit.DW, dst, ctx, 8*n) }

// follow is dst = the pointer that steps lead to from the pointer in dst; a NULL
// on the way leads to null. Some kernels want that check before each load.
func (r *routine) follow(dst emit.Reg, steps []hook.Step, null emit.Label) {
	for _, s := range steps {
		r.LoadField(emit.DW, dst, dst, emit.Field(s.Struct, s.Members...))
		r.JumpImm(emit.JEq, dst, 0, null)
	}
}

// loadPart is dst = the first bytes of a kernel field that is larger than the
// access or of a type that the access must not be checked against.
func (r *routine) loadPart(s emit.Size, dst, src emit.Reg, f *object.CoreField, off int) {
	r.Move(dst, src)
	r.AddField(dst, f)
	r.Load(s, dst, dst, off)
}

// probe calls probe_read_kernel(dst+off, size, src+field). dst and src are kept
// if they are R6 to R9 or FP; R0 is 0 or an error.
func (r *routine) probe(dst emit.Reg, off int, size int64, src emit.Reg, f *object.CoreField) {
	r.Move(emit.R3, src)
	if f != nil {
		r.AddField(emit.R3, f)
	}
	r.Move(emit.R1, dst)
	r.OpImm(emit.Add, emit.R1, int64(off))
	r.Const(emit.R2, size)
	r.Call(fnProbeReadKernel)
}

// scratch sets dst to the current task's scratch memory, or counts the failure
// and goes to none. The function poolSlot must be added.
func (r *routine) scratch(dst emit.Reg, none emit.Label) {
	storage, got, have := r.NewLabel(), r.NewLabel(), r.NewLabel()
	r.TableAddr(emit.R1, abi.TableConfig, 0)
	r.Load(emit.DW, emit.R1, emit.R1, abi.ConfigPool)
	r.JumpImm(emit.JEq, emit.R1, 0, storage)
	r.CallFunc(poolSlotFunc)
	r.Goto(got)
	r.Bind(storage)
	r.storage(abi.MapScratch, storageCreate)
	r.Bind(got)
	r.Move(dst, emit.R0)
	r.JumpImm(emit.JNe, dst, 0, have)
	r.count(abi.CounterNoScratch)
	r.Goto(none)
	r.Bind(have)
}

const poolSlotFunc = "rt_pool_slot"

// poolSlot gives the routine poolSlotFunc(): the scratch memory of the slot of
// abi.MapPool that the task holds, or now claims, or NULL. The dispatcher sets it free.
func poolSlot() object.Func {
	b := begin(poolSlotFunc, typePtr, "scratch memory from the pool")
	free, have := b.NewLabel(), b.NewLabel()
	b.Call(fnGetCurrentPidTgid)
	b.Move(emit.R6, emit.R0)
	b.OpImm(emit.Lsh, emit.R6, 32)
	b.OpImm(emit.Rsh, emit.R6, 32) // the thread
	slot := func(i int64, none emit.Label) {
		b.Move(emit.R1, emit.R6)
		b.OpImm(emit.Add, emit.R1, i)
		b.OpImm(emit.And, emit.R1, abi.PoolSlots-1)
		b.Store(emit.W, emit.FP, -4, emit.R1)
		b.MapAddr(emit.R1, abi.MapPool)
		b.Move(emit.R2, emit.FP)
		b.OpImm(emit.Add, emit.R2, -4)
		b.Call(fnMapLookupElem)
		b.JumpImm(emit.JEq, emit.R0, 0, none)
		b.Move(emit.R7, emit.R0)
	}
	for i := range int64(abi.PoolProbes) {
		next := b.NewLabel()
		slot(i, next)
		b.Load(emit.DW, emit.R1, emit.R7, abi.PoolOwner)
		b.Jump(emit.JEq, emit.R1, emit.R6, have)
		b.Bind(next)
	}
	for i := range int64(abi.PoolProbes) {
		next := b.NewLabel()
		slot(i, next)
		b.Const(emit.R0, 0)
		b.Atomic(object.AtomicCmpXchg, emit.DW, emit.R7, abi.PoolOwner, emit.R6)
		b.JumpImm(emit.JEq, emit.R0, 0, free)
		b.Bind(next)
	}
	b.Const(emit.R0, 0)
	b.Exit()
	b.Bind(free)
	for i := range 2 {
		b.StoreImm(emit.W, emit.R7, abi.PoolScratch+abi.ScratchPathLen0+4*i, -1) // abi.PathUnresolved
	}
	b.Bind(have)
	b.Move(emit.R0, emit.R7)
	b.OpImm(emit.Add, emit.R0, abi.PoolScratch)
	b.Exit()
	f, err := b.Build()
	if err != nil {
		panic("rt: " + err.Error()) // nothing in it depends on input
	}
	return f
}

// storage sets R0 to the current task's entry of a task storage map, or NULL.
func (r *routine) storage(name string, flags int64) {
	r.currentTask()
	r.MapAddr(emit.R1, name)
	r.Move(emit.R2, emit.R0)
	r.Const(emit.R3, 0)
	r.Const(emit.R4, flags)
	r.Call(fnTaskStorageGet)
}

// count adds one to a counter. It needs 4 bytes of stack, at the frame's start.
// The addition is atomic because programs are preemptible.
func (r *routine) count(counter int64) {
	skip := r.NewLabel()
	r.StoreImm(emit.W, emit.FP, -4, counter)
	r.MapAddr(emit.R1, abi.MapCounters)
	r.Move(emit.R2, emit.FP)
	r.OpImm(emit.Add, emit.R2, -4)
	r.Call(fnMapLookupElem)
	r.JumpImm(emit.JEq, emit.R0, 0, skip)
	r.Const(emit.R1, 1)
	r.Atomic(object.AtomicAdd, emit.DW, emit.R0, 0, emit.R1)
	r.Bind(skip)
}

// returns ends the routine with a constant at label l.
func (r *routine) returns(l emit.Label, v int64) {
	r.Bind(l)
	r.Const(emit.R0, v)
	r.Exit()
}
