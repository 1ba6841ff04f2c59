// Package abi fixes the layouts that Go and the kernel programs share: maps,
// records, events and the words that a policy program is told. Every offset
// has a test that compares it with the Go struct of the same name.
//
// All integers are little endian (BPF of the supported machines) and naturally
// aligned; reserved bytes are zero.
package abi

import "encoding/binary"

// Version is part of the pin path: programs and maps of another version are
// never mixed with ours.
const Version = 1

// Names of the maps that the core creates and policy objects refer to. An
// object declares them with the same shape; the loader replaces them by the
// core's. Dispatcher-only maps are not visible to policies.
const (
	MapTasks    = "snp_tasks"    // task storage: TaskRecord
	MapScratch  = "snp_scratch"  // task storage: Scratch
	MapPool     = "snp_pool"     // array of PoolSlot: scratch memory where task storage may fail
	MapEvents   = "snp_events"   // ring buffer of Event
	MapCounters = "snp_counters" // per-CPU array of u64, index CounterX; counters only
	MapSpaces   = "snp_spaces"   // one [MaxSpaces]Space, mappable; dispatcher only
	MapSlots    = "snp_slots_"   // + hook name: prog array, index = policy slot; dispatcher only
)

// Table names in policy objects.
const (
	// TableConfig is read-only data that the loader fills before it loads: Config.
	TableConfig = "config"
	// TableLeaves holds the verdicts: array of Leaf.
	TableLeaves = "leaves"
)

// Sizes and limits.
const (
	MaxLayers   = 16    // policies in one namespace, its ancestors' included
	MaxSpaces   = 16384 // entries of MapSpaces, a power of two (4 MiB: the most that a map value may have); entry 0 is never used
	MaxSlots    = 4096  // loaded policies at one time
	MaxHooks    = 88    // entries in Space.HookLayers
	PathMax     = 4096  // longest path with its NUL
	PathBuffer  = PathMax + 8
	EventsBytes = 1 << 20 // size of the ring buffer
)

// TaskRecord is the value of MapTasks: what the kernel remembers of a thread.
// Absent, or ID == 0: the thread is in no namespace.
//
// Membership is a single word, because other processors read the record while
// it is written: a task iterator moves a thread that runs, and a fork copies.
type TaskRecord struct {
	_ uint64
	// ID is the namespace's id. Its entry of MapSpaces is SpaceIndex(ID); that
	// entry's ID must be equal, else every event is denied.
	ID        uint64
	PendingID uint64 // becomes ID at the next exec; 0 = none
	Layer     uint32 // the layer that is being evaluated, written by the dispatcher
	_         uint32
	_         [4]uint64
}

// SpaceIndex is the entry of MapSpaces that holds the namespace id. Ids count
// up and skip those whose entry is in use, or is entry 0.
func SpaceIndex(id uint64) uint32 { return uint32(id % MaxSpaces) }

// Offsets in TaskRecord.
const (
	TaskID         = 8
	TaskPendingID  = 16
	TaskLayer      = 24
	TaskRecordSize = 64
)

// Space is a policy namespace's record, an entry of the array in MapSpaces.
type Space struct {
	ID     uint64 // never reused; 0 = free entry
	Parent uint32 // index of the parent; 0 = none
	Depth  uint16 // 1 for a namespace without a parent
	Layers uint16 // number of entries of Slots in use
	// Slots are the policies, outermost first.
	Slots [MaxLayers]uint32
	// HookLayers has, per hook number, a bit for each layer that has a program there.
	HookLayers [MaxHooks]uint16
}

// Offsets in Space.
const (
	SpaceID         = 0
	SpaceParent     = 8
	SpaceDepth      = 12
	SpaceLayers     = 14
	SpaceSlots      = 16
	SpaceHookLayers = 80
	SpaceSize       = 256
)

// Scratch is the value of MapScratch: per task, because LSM programs are
// preemptible. Only hooks that run in process context and do not nest use it
// (those with paths), so that one task never runs two users of it at a time.
type Scratch struct {
	// PathLen are the lengths without NUL of Path, or PathUnresolved.
	PathLen [2]uint32
	_       [7]uint64
	// Walk is the state of a path walk, and Work where it builds the path from its
	// end; compiler/rt knows more.
	Walk [ScratchWalkWords]uint64
	Work [PathBuffer]byte
	// Path[0] is the field path, Path[1] the field to: NUL-terminated, with PathPad
	// zero bytes behind the NUL, so that 8 bytes can be read at any position of the string.
	Path [2][PathBuffer]byte
}

// Offsets in Scratch. Its size is below 16 KiB with what the kernel adds: the
// memory is allocated in one piece, and when it is scarce.
const (
	ScratchPathLen0 = 0
	ScratchPathLen1 = 4
	ScratchWalk     = 64
	ScratchWork     = ScratchWalk + 8*ScratchWalkWords
	ScratchPath0    = ScratchWork + PathBuffer
	ScratchPath1    = ScratchPath0 + PathBuffer
	ScratchSize     = ScratchPath1 + PathBuffer
	PathPad         = 8

	ScratchWalkWords = 24
	PathUnresolved   = 0xffffffff
)

// PoolSlot is an entry of MapPool. Before 6.2, bpf_task_storage_get fails for a
// task that runs while another was preempted inside it on the same processor
// (kernel/bpf/bpf_task_storage.c, bpf_task_storage_trylock). There a task claims a slot
// for the time of one event: one of PoolProbes, from the thread id modulo PoolSlots on, or, if others
// hold them all, none, and the path is unresolved.
type PoolSlot struct {
	Owner   uint64 // thread id; 0 = free
	_       [7]uint64
	Scratch Scratch
}

// Offsets in PoolSlot, and the size of the pool.
const (
	PoolOwner    = 0
	PoolScratch  = 64
	PoolSlotSize = PoolScratch + ScratchSize

	PoolSlots  = 256 // a power of two; 1 where task storage does not fail
	PoolProbes = 8
)

// Config is the content of TableConfig.
type Config struct {
	PolicyID uint64 // unique per loaded policy on this host
	// RenameLock and MountLock are the kernel addresses of the sequence words of
	// rename_lock and mount_lock, 0 if unknown: then a path that had to be walked
	// by the program itself is unresolved.
	RenameLock uint64
	MountLock  uint64
	Pool       uint64 // 1: scratch memory comes from MapPool, 0: from MapScratch
}

// Offsets in Config.
const (
	ConfigPolicyID   = 0
	ConfigRenameLock = 8
	ConfigMountLock  = 16
	ConfigPool       = 24
	ConfigSize       = 32
)

// Leaf is a verdict: what to do and what to report. Leaf 0 allows and reports nothing.
type Leaf struct {
	Rule    uint32 // rule or default id in the policy; 0 = none
	Errno   uint16 // 1..4095, positive; 0 for allow and audit
	Op      uint16 // operation number, index into the object's operation table
	Verdict uint8  // VerdictX
	Reason  uint8  // ReasonX
	_       [6]uint8
}

// Offsets in Leaf.
const (
	LeafRule    = 0
	LeafErrno   = 4
	LeafOp      = 6
	LeafVerdict = 8
	LeafReason  = 9
	LeafSize    = 16
)

// Verdicts.
const (
	VerdictAllow = 1
	VerdictDeny  = 2
	VerdictKill  = 3
	VerdictAudit = 4
)

// Reasons.
const (
	ReasonRule       = 1 // a rule matched
	ReasonDefault    = 2 // the default of the operation
	ReasonUnresolved = 3 // a value that the rule needs could not be had
	ReasonNoPolicy   = 4 // a slot that should be filled is not; reported by the dispatcher
	ReasonBroken     = 5 // a record of the core is inconsistent; reported by the dispatcher
)

// Event is what the ring buffer carries: a header and the event's values.
type Event struct {
	Size      uint16 // bytes in all
	Version   uint8  // 1
	Verdict   uint8
	Reason    uint8
	Layer     uint8
	Errno     uint16
	Time      uint64 // ktime_get_boot_ns
	Namespace uint64 // namespace id
	Policy    uint64 // Config.PolicyID; 0 from the dispatcher
	Rule      uint32
	Hook      uint16 // hook number
	Op        uint16 // Leaf.Op; 0xffff from the dispatcher
	PID       uint32 // process (tgid)
	TID       uint32
	PPID      uint32
	UID       uint32
	Comm      [16]byte
	Args      [4]uint64 // the hook's numeric fields, as its table says (hook.Hook.EventArgs)
	Path0Len  uint16    // bytes stored of path; EventTruncated set if cut (its end is kept)
	Path1Len  uint16
	_         uint32
	Data      [EventMax - EventHeader]byte // path at 0, to at EventPath1
}

// Sizes and offsets in Event.
const (
	EventSize      = 0
	EventVersion   = 2
	EventVerdict   = 3
	EventReason    = 4
	EventLayer     = 5
	EventErrno     = 6
	EventTime      = 8
	EventNamespace = 16
	EventPolicy    = 24
	EventRule      = 32
	EventHook      = 36
	EventOp        = 38
	EventPID       = 40
	EventTID       = 44
	EventPPID      = 48
	EventUID       = 52
	EventComm      = 56
	EventArgs      = 72
	EventPath0Len  = 104
	EventPath1Len  = 106
	EventHeader    = 112
	EventPathBytes = 200 // room for each path; a longer one keeps its last bytes
	EventPath0     = EventHeader
	EventPath1     = EventHeader + EventPathBytes
	EventMax       = 512
	// EventTruncated is the flag in Path0Len and Path1Len of a cut path.
	EventTruncated = 0x8000
	// EventUnresolved in Path0Len or Path1Len: the kernel could not give the path.
	EventUnresolved = 0x4000
)

// Counters.
const (
	CounterEventsLost = 0 // ring buffer was full
	CounterNoScratch  = 1 // scratch memory could not be had
	Counters          = 16
)

// Put writes the leaf's LeafSize bytes to b.
func (l Leaf) Put(b []byte) {
	clear(b[:LeafSize])
	binary.LittleEndian.PutUint32(b[LeafRule:], l.Rule)
	binary.LittleEndian.PutUint16(b[LeafErrno:], l.Errno)
	binary.LittleEndian.PutUint16(b[LeafOp:], l.Op)
	b[LeafVerdict], b[LeafReason] = l.Verdict, l.Reason
}
