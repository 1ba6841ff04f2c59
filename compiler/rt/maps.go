package rt

import (
	"github.com/cilium/ebpf/btf"

	"strings"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

const noPrealloc = 1 // BPF_F_NO_PREALLOC, which local storage demands

// Maps lists the maps of the core that the routines refer to, in the shape that
// kernel/abi fixes. The loader replaces each by the core's map of that name.
func Maps() []object.Map {
	u32s := func(n uint32) btf.Type { return &btf.Array{Index: typeU32, Type: typeU32, Nelems: n} }
	u64s := func(n uint32) btf.Type { return &btf.Array{Index: typeU32, Type: typeU64, Nelems: n} }
	char := &btf.Int{Name: "unsigned char", Size: 1}
	buffers := func(n uint32) btf.Type { return &btf.Array{Index: typeU32, Type: char, Nelems: n * abi.PathBuffer} }
	record := func(name string, size uint32, members ...btf.Member) *btf.Struct {
		return &btf.Struct{Name: name, Size: size, Members: members}
	}
	at := func(name string, offset uint32, t btf.Type) btf.Member {
		return btf.Member{Name: name, Type: t, Offset: btf.Bits(8 * offset)}
	}
	return []object.Map{
		{Name: abi.MapTasks, Type: object.MapTaskStorage, Flags: noPrealloc, Key: typeS32,
			Value: record("snp_task", abi.TaskRecordSize,
				at("id", abi.TaskID, typeU64), at("pending_id", abi.TaskPendingID, typeU64),
				at("layer", abi.TaskLayer, typeU32))},
		{Name: abi.MapScratch, Type: object.MapTaskStorage, Flags: noPrealloc, Key: typeS32,
			Value: record("snp_scratch", abi.ScratchSize,
				at("path_len", abi.ScratchPathLen0, u32s(2)), at("walk", abi.ScratchWalk, u64s(abi.ScratchWalkWords)),
				at("work", abi.ScratchWork, buffers(1)), at("path", abi.ScratchPath0, buffers(2)))},
		{Name: abi.MapPool, Type: object.MapArray, KeySize: 4, ValueSize: abi.PoolSlotSize, MaxEntries: abi.PoolSlots},
		{Name: abi.MapEvents, Type: object.MapRingBuf, MaxEntries: abi.EventsBytes},
		{Name: abi.MapCounters, Type: object.MapPerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: abi.Counters},
	}
}

// Structs describes the kernel structs that recipes and routines name, for
// object.File.Structs.
func Structs() []object.Struct {
	var out []object.Struct
	known, named := map[string]bool{}, []string{}
	for _, s := range hook.Structs() {
		o := object.Struct{Name: s.Name}
		for _, m := range s.Members {
			t := memberType(m.Type)
			if t.Kind == object.KindStruct {
				named = append(named, t.Name)
			}
			o.Members = append(o.Members, object.Member{Name: m.Name, Type: t})
		}
		known[s.Name] = true
		out = append(out, o)
	}
	// Structs that are only ever skipped over need no members.
	for _, n := range named {
		if !known[n] {
			known[n] = true
			out = append(out, object.Struct{Name: n})
		}
	}
	return out
}

// memberType translates hook.Member.Type; hook's tests vouch for its form.
func memberType(t string) object.FieldType {
	kind, name, ok := strings.Cut(t, ":")
	switch {
	case ok && kind == "ptr":
		if name == "void" {
			name = ""
		}
		return object.PointerTo(name)
	case ok && kind == "struct":
		return object.Embedded(name)
	case t == "char[16]":
		return object.ArrayOf(object.Uint(1), 16)
	}
	sizes := map[byte]uint32{'8': 1, '6': 2, '2': 4, '4': 8} // last digit of 8, 16, 32, 64
	size := sizes[t[len(t)-1]]
	if size == 0 {
		panic("rt: kernel member of unknown type " + t)
	}
	if t[0] == 's' {
		return object.Sint(size)
	}
	return object.Uint(size)
}
