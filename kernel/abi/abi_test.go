package abi

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The programs use the constants, Go the structs: they must agree.
func TestOffsets(t *testing.T) {
	var (
		task    TaskRecord
		space   Space
		scratch Scratch
		slot    PoolSlot
		config  Config
		leaf    Leaf
		event   Event
	)
	for _, c := range []struct {
		what     string
		got, abi uintptr
	}{
		{"TaskRecord.ID", unsafe.Offsetof(task.ID), TaskID},
		{"TaskRecord.PendingID", unsafe.Offsetof(task.PendingID), TaskPendingID},
		{"TaskRecord.Layer", unsafe.Offsetof(task.Layer), TaskLayer},
		{"TaskRecord", unsafe.Sizeof(task), TaskRecordSize},
		{"Space.ID", unsafe.Offsetof(space.ID), SpaceID},
		{"Space.Parent", unsafe.Offsetof(space.Parent), SpaceParent},
		{"Space.Depth", unsafe.Offsetof(space.Depth), SpaceDepth},
		{"Space.Layers", unsafe.Offsetof(space.Layers), SpaceLayers},
		{"Space.Slots", unsafe.Offsetof(space.Slots), SpaceSlots},
		{"Space.HookLayers", unsafe.Offsetof(space.HookLayers), SpaceHookLayers},
		{"Space", unsafe.Sizeof(space), SpaceSize},
		{"Scratch.PathLen", unsafe.Offsetof(scratch.PathLen), ScratchPathLen0},
		{"Scratch.Path", unsafe.Offsetof(scratch.Path), ScratchPath0},
		{"Scratch.Path[1]", unsafe.Offsetof(scratch.Path) + unsafe.Sizeof(scratch.Path[0]), ScratchPath1},
		{"Scratch.Work", unsafe.Offsetof(scratch.Work), ScratchWork},
		{"Scratch.Walk", unsafe.Offsetof(scratch.Walk), ScratchWalk},
		{"Scratch", unsafe.Sizeof(scratch), ScratchSize},
		{"PoolSlot.Owner", unsafe.Offsetof(slot.Owner), PoolOwner},
		{"PoolSlot.Scratch", unsafe.Offsetof(slot.Scratch), PoolScratch},
		{"PoolSlot", unsafe.Sizeof(slot), PoolSlotSize},
		{"Config.Pool", unsafe.Offsetof(config.Pool), ConfigPool},
		{"Config.PolicyID", unsafe.Offsetof(config.PolicyID), ConfigPolicyID},
		{"Config.RenameLock", unsafe.Offsetof(config.RenameLock), ConfigRenameLock},
		{"Config.MountLock", unsafe.Offsetof(config.MountLock), ConfigMountLock},
		{"Config", unsafe.Sizeof(config), ConfigSize},
		{"Leaf.Rule", unsafe.Offsetof(leaf.Rule), LeafRule},
		{"Leaf.Errno", unsafe.Offsetof(leaf.Errno), LeafErrno},
		{"Leaf.Op", unsafe.Offsetof(leaf.Op), LeafOp},
		{"Leaf.Verdict", unsafe.Offsetof(leaf.Verdict), LeafVerdict},
		{"Leaf.Reason", unsafe.Offsetof(leaf.Reason), LeafReason},
		{"Leaf", unsafe.Sizeof(leaf), LeafSize},
		{"Event.Version", unsafe.Offsetof(event.Version), EventVersion},
		{"Event.Verdict", unsafe.Offsetof(event.Verdict), EventVerdict},
		{"Event.Reason", unsafe.Offsetof(event.Reason), EventReason},
		{"Event.Layer", unsafe.Offsetof(event.Layer), EventLayer},
		{"Event.Errno", unsafe.Offsetof(event.Errno), EventErrno},
		{"Event.Time", unsafe.Offsetof(event.Time), EventTime},
		{"Event.Namespace", unsafe.Offsetof(event.Namespace), EventNamespace},
		{"Event.Policy", unsafe.Offsetof(event.Policy), EventPolicy},
		{"Event.Rule", unsafe.Offsetof(event.Rule), EventRule},
		{"Event.Hook", unsafe.Offsetof(event.Hook), EventHook},
		{"Event.Op", unsafe.Offsetof(event.Op), EventOp},
		{"Event.PID", unsafe.Offsetof(event.PID), EventPID},
		{"Event.TID", unsafe.Offsetof(event.TID), EventTID},
		{"Event.PPID", unsafe.Offsetof(event.PPID), EventPPID},
		{"Event.UID", unsafe.Offsetof(event.UID), EventUID},
		{"Event.Comm", unsafe.Offsetof(event.Comm), EventComm},
		{"Event.Args", unsafe.Offsetof(event.Args), EventArgs},
		{"Event.Path0Len", unsafe.Offsetof(event.Path0Len), EventPath0Len},
		{"Event.Path1Len", unsafe.Offsetof(event.Path1Len), EventPath1Len},
		{"Event.Data", unsafe.Offsetof(event.Data), EventHeader},
		{"Event", unsafe.Sizeof(event), EventMax},
	} {
		require.Equal(t, c.abi, c.got, c.what)
	}
}

func TestPutLeaf(t *testing.T) {
	b := make([]byte, LeafSize)
	for i := range b {
		b[i] = 0xff
	}
	Leaf{Rule: 0x01020304, Errno: 13, Op: 7, Verdict: VerdictDeny, Reason: ReasonRule}.Put(b)
	require.Equal(t, []byte{4, 3, 2, 1, 13, 0, 7, 0, 2, 1, 0, 0, 0, 0, 0, 0}, b)
}
