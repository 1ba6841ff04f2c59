package core

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/hook"
)

// kernelTypes makes BTF with a task_struct of the given members, 8 bytes each, and
// of what else there is.
func kernelTypes(t *testing.T, members []string, more ...btf.Type) *btf.Spec {
	t.Helper()
	filesystem := []btf.Type{words("inode", "mode", "i_sb"), words("vfsmount", "mnt_sb"), words("super_block", "x", "y", "s_magic")}
	b, err := btf.NewBuilder(append(append([]btf.Type{words("task_struct", members...)}, filesystem...), more...), nil)
	require.NoError(t, err)
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	require.NoError(t, err)
	types, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	require.NoError(t, err)
	return types
}

func words(name string, members ...string) *btf.Struct {
	s := &btf.Struct{Name: name, Size: uint32(8 * len(members))}
	for i, m := range members {
		s.Members = append(s.Members, btf.Member{Name: m, Type: &btf.Int{Name: "long", Size: 8}, Offset: btf.Bits(64 * i)})
	}
	return s
}

func safeLookup() btf.Type {
	return &btf.Func{Name: "bpf_task_storage_get_recur", Type: &btf.FuncProto{Return: &btf.Int{Name: "long", Size: 8}}}
}

// storageTypes are those of an older kernel.
func storageTypes() []btf.Type {
	list, data, elem := words("hlist_head", "first"), words("bpf_local_storage_data", "smap", "data"), words("bpf_local_storage_elem", "map_node", "x", "snode", "y", "sdata")
	storage := words("bpf_local_storage", "cache", "list")
	storage.Members[1].Type = list
	elem.Members[4].Type = data
	return []btf.Type{words("hlist_node", "next", "pprev"), storage, elem}
}

func TestNewKernel(t *testing.T) {
	all := []string{"flags", "pid", "tgid", "real_parent", "bpf_storage"}
	k, err := NewKernel(kernelTypes(t, all, safeLookup()))
	require.NoError(t, err)
	require.Equal(t, &Kernel{pid: 8, tgid: 16, realParent: 24, storage: 32, inodeSuper: 8, mountSuper: 0, superMagic: 16}, k)

	k, err = NewKernel(kernelTypes(t, all[:4], safeLookup()))
	require.NoError(t, err)
	require.Equal(t, int16(-1), k.storage, "no early exit")

	k, err = NewKernel(kernelTypes(t, all, storageTypes()...))
	require.NoError(t, err)
	require.True(t, k.busy)
	require.Equal(t, walk{first: 8, next: 0, node: 16, smap: 32, data: 40}, k.walk)

	for name, types := range map[string]*btf.Spec{
		"no tgid":         kernelTypes(t, []string{"pid", "real_parent", "bpf_storage"}, safeLookup()),
		"no storage list": kernelTypes(t, all),
		"no storage":      kernelTypes(t, all[:4], storageTypes()...),
	} {
		_, err := NewKernel(types)
		require.ErrorIs(t, err, ErrKernel, name)
	}
}

// TestPrograms: every jump of every program, on either kind of kernel, reaches
// its target; only known maps are named.
func TestPrograms(t *testing.T) {
	maps := map[string]bool{Slots().Name: true}
	for _, m := range Maps() {
		maps[m.Name] = true
	}
	for _, k := range []*Kernel{{storage: 32}, {storage: -1}, {storage: 32, busy: true}} {
		specs := append(append(k.Inherit(), k.Guard()...), k.Members(), k.Arm(), k.Enter())
		for _, h := range hook.Hooks() {
			d, err := k.Dispatcher(h)
			require.NoError(t, err)
			specs = append(specs, d)
		}
		for _, spec := range specs {
			require.Equal(t, "GPL", spec.License)
			require.Less(t, len(spec.Name), 32)
			labels, names := map[string]bool{}, map[string]bool{}
			for i := range spec.Instructions {
				in := &spec.Instructions[i]
				if s := in.Symbol(); s != "" {
					require.False(t, labels[s], "%s: label %s stands twice", spec.Name, s)
					labels[s] = true
				}
			}
			for i := range spec.Instructions {
				in := &spec.Instructions[i]
				if in.IsLoadFromMap() {
					require.True(t, maps[in.Reference()], "%s: map %q", spec.Name, in.Reference())
					names[in.Reference()] = true
				} else if r := in.Reference(); r != "" {
					require.True(t, labels[r], "%s: no label %s", spec.Name, r)
				}
			}
			require.True(t, names[abi.MapTasks], spec.Name)
		}
	}
	_, err := (&Kernel{}).Dispatcher(&hook.Hook{Name: "x", Number: abi.MaxHooks})
	require.Error(t, err)
}

func TestMaps(t *testing.T) {
	last := ""
	for _, m := range Maps() {
		require.Less(t, last, m.Name, "sorted")
		last = m.Name
		require.LessOrEqual(t, len(m.Name), 15, "the kernel would cut the name")
		if m.Type == ebpf.TaskStorage {
			size, err := btf.Sizeof(m.Value)
			require.NoError(t, err)
			require.Equal(t, int(m.ValueSize), size)
		}
	}
	require.Equal(t, ControlSize, binary.Size(Control{}))
	require.Equal(t, taskSize, binary.Size(Task{}))
}

func TestReadTasks(t *testing.T) {
	want := []Task{
		{TID: 7, TGID: 5, Outcome: Changed, ID: 1 << 40, PendingID: 3},
		{TID: 8, TGID: 5, Outcome: Busy},
	}
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, binary.LittleEndian, want))
	got, err := ReadTasks(b.Bytes())
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = ReadTasks(nil)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = ReadTasks(b.Bytes()[:40])
	require.ErrorIs(t, err, ErrTaskList)
	_, err = ReadTasks(make([]byte, taskSize))
	require.ErrorIs(t, err, ErrTaskList)
}

func TestExchange(t *testing.T) {
	var b bytes.Buffer
	in := exchange(asm.R0, 8, asm.R1)
	_, err := in.Marshal(&b, binary.LittleEndian)
	require.NoError(t, err)
	require.Equal(t, []byte{0xdb, 0x10, 8, 0, 0xe1, 0, 0, 0}, b.Bytes())
}
