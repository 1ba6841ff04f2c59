package core

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/snappy-policy/snappy/kernel/abi"
)

// Names of the maps that only the manager and the core programs see.
const (
	// MapMeta is an array of u64, index MetaX: what must survive the manager.
	MapMeta = "snp_meta"
	// MapControl is an array with one Control: what the task programs shall do.
	MapControl = "snp_control"
)

// Entries of MapMeta.
const (
	MetaLastSpace  = 0 // the namespace id that was given last
	MetaLastPolicy = 1 // the policy id that was given last
	metaEntries    = 8
)

// Map flags (include/uapi/linux/bpf.h).
const (
	noPrealloc = 1 << 0  // BPF_F_NO_PREALLOC
	mappable   = 1 << 10 // BPF_F_MMAPABLE
)

// Maps lists the maps that exist as long as the core does, sorted by name. Prog
// arrays come and go with the hooks: Slots. abi.MapPool may have a single entry
// where Kernel.Pool says so.
func Maps() []*ebpf.MapSpec {
	return []*ebpf.MapSpec{
		{Name: MapControl, Type: ebpf.Array, KeySize: 4, ValueSize: ControlSize, MaxEntries: 1},
		{Name: abi.MapCounters, Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: abi.Counters},
		{Name: abi.MapEvents, Type: ebpf.RingBuf, MaxEntries: abi.EventsBytes},
		{Name: MapMeta, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: metaEntries},
		{Name: abi.MapPool, Type: ebpf.Array, KeySize: 4, ValueSize: abi.PoolSlotSize, MaxEntries: abi.PoolSlots},
		storage(abi.MapScratch, abi.ScratchSize),
		// A single value, so that programs get at an entry by arithmetic alone. System
		// calls cannot handle values of this size: the manager maps it.
		{Name: abi.MapSpaces, Type: ebpf.Array, KeySize: 4, ValueSize: abi.MaxSpaces * abi.SpaceSize, MaxEntries: 1, Flags: mappable},
		storage(abi.MapTasks, abi.TaskRecordSize),
	}
}

// Slots is the prog array of one hook; its dispatcher calls it by this name.
func Slots() *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: slotsMap, Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: abi.MaxSlots}
}

// storage is a task storage map; the kernel insists on BTF for key and value.
func storage(name string, size uint32) *ebpf.MapSpec {
	word := &btf.Int{Name: "unsigned long long", Size: 8}
	index := &btf.Int{Name: "unsigned int", Size: 4}
	return &ebpf.MapSpec{Name: name, Type: ebpf.TaskStorage, KeySize: 4, ValueSize: size, Flags: noPrealloc,
		Key: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		Value: &btf.Struct{Name: name, Size: size, Members: []btf.Member{
			{Name: "words", Type: &btf.Array{Index: index, Type: word, Nelems: size / 8}}}}}
}
