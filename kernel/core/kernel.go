package core

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf/btf"
)

// ErrKernel is wrapped by errors that name what the running kernel lacks.
var ErrKernel = errors.New("kernel lacks what the core needs")

// Kernel is what the core programs must know of the running kernel.
type Kernel struct {
	pid, tgid, realParent int16 // in task_struct
	// storage is the offset of task_struct.bpf_storage, -1 if there is none. A
	// task for which it is NULL has no record: the dispatcher leaves after one load.
	storage int16
	// busy: a lookup in task storage may fail although the record exists, because
	// a task that was preempted in the middle of one holds the processor's lock.
	// So it is before 6.2 (kernel/bpf/bpf_task_storage.c, bpf_task_storage_get).
	busy bool
	walk walk
	// What leads to the kind of a filesystem: inode.i_sb, vfsmount.mnt_sb and
	// super_block.s_magic.
	inodeSuper, mountSuper, superMagic int16
}

// walk are the offsets by which the list of a task's storage is searched
// without the helper; see Kernel.busy.
type walk struct {
	first int16 // bpf_local_storage.list.first
	next  int16 // hlist_node.next
	node  int16 // bpf_local_storage_elem.snode
	smap  int16 // bpf_local_storage_elem.sdata.smap
	data  int16 // bpf_local_storage_elem.sdata.data: the value
}

// Pool tells whether policies need abi.MapPool: scratch memory in task storage
// could be refused for a moment.
func (k *Kernel) Pool() bool { return k.busy }

// NewKernel reads the offsets from the kernel's BTF.
func NewKernel(types *btf.Spec) (*Kernel, error) {
	task, err := structure(types, "task_struct")
	if err != nil {
		return nil, err
	}
	k := &Kernel{storage: -1}
	for _, f := range []struct {
		to   *int16
		name string
	}{{&k.pid, "pid"}, {&k.tgid, "tgid"}, {&k.realParent, "real_parent"}} {
		if *f.to, err = offset(task, f.name); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		to       *int16
		of, name string
	}{{&k.inodeSuper, "inode", "i_sb"}, {&k.mountSuper, "vfsmount", "mnt_sb"}, {&k.superMagic, "super_block", "s_magic"}} {
		s, err := structure(types, f.of)
		if err != nil {
			return nil, err
		}
		if *f.to, err = offset(s, f.name); err != nil {
			return nil, err
		}
	}
	if off, err := offset(task, "bpf_storage"); err == nil {
		k.storage = off
	}
	var fn *btf.Func
	err = types.TypeByName("bpf_task_storage_get_recur", &fn)
	switch {
	case errors.Is(err, btf.ErrNotFound):
		k.busy = true
		if k.walk, err = newWalk(types); err != nil {
			return nil, err
		}
		if k.storage < 0 {
			return nil, fmt.Errorf("%w: task_struct.bpf_storage", ErrKernel)
		}
	case err != nil:
		return nil, err
	}
	return k, nil
}

func newWalk(types *btf.Spec) (walk, error) {
	var w walk
	for _, f := range []struct {
		to   *int16
		of   string
		path []string
	}{
		{&w.first, "bpf_local_storage", []string{"list", "first"}},
		{&w.next, "hlist_node", []string{"next"}},
		{&w.node, "bpf_local_storage_elem", []string{"snode"}},
		{&w.smap, "bpf_local_storage_elem", []string{"sdata", "smap"}},
		{&w.data, "bpf_local_storage_elem", []string{"sdata", "data"}},
	} {
		s, err := structure(types, f.of)
		if err != nil {
			return walk{}, err
		}
		if *f.to, err = offset(s, f.path...); err != nil {
			return walk{}, err
		}
	}
	return w, nil
}

func structure(types *btf.Spec, name string) (*btf.Struct, error) {
	var s *btf.Struct
	if err := types.TypeByName(name, &s); err != nil {
		return nil, fmt.Errorf("%w: struct %s: %w", ErrKernel, name, err)
	}
	return s, nil
}

// offset is the byte offset of a member path, through anonymous members.
func offset(s *btf.Struct, path ...string) (int16, error) {
	var typ btf.Type = s
	total := uint32(0)
	for _, name := range path {
		off, member, ok := find(typ, name)
		if !ok {
			return 0, fmt.Errorf("%w: struct %s has no member %s", ErrKernel, s.Name, name)
		}
		total += off
		typ = member
	}
	if total > math.MaxInt16 {
		return 0, fmt.Errorf("%w: struct %s: member %v lies beyond the reach of a load", ErrKernel, s.Name, path)
	}
	return int16(total), nil
}

func find(typ btf.Type, name string) (uint32, btf.Type, bool) {
	var members []btf.Member
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	}
	for _, m := range members {
		if m.Name == name {
			return m.Offset.Bytes(), m.Type, true
		}
		if m.Name == "" {
			if off, t, ok := find(m.Type, name); ok {
				return m.Offset.Bytes() + off, t, true
			}
		}
	}
	return 0, nil, false
}
