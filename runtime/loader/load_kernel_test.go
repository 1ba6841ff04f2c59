//go:build kernel

package loader

import (
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/compiler/object"
	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/kernel/core"
)

func maps(t *testing.T) map[string]*ebpf.Map {
	t.Helper()
	all := map[string]*ebpf.Map{}
	for _, spec := range core.Maps() {
		m, err := ebpf.NewMap(spec)
		require.NoError(t, err)
		t.Cleanup(func() { m.Close() })
		all[spec.Name] = m
	}
	return all
}

func declared(name string) object.Map {
	u64 := &btf.Int{Name: "unsigned long long", Size: 8}
	return object.Map{Name: name, Type: object.MapTaskStorage, Flags: 1, Key: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		Value: &btf.Struct{Name: "task_record", Size: abi.TaskRecordSize, Members: []btf.Member{
			{Name: "words", Type: &btf.Array{Index: u64, Type: u64, Nelems: abi.TaskRecordSize / 8}}}}}
}

// TestLoad: the core's maps take the place of the declared ones, and the
// configuration is what the programs see.
func TestLoad(t *testing.T) {
	f := sample(
		program("file_open", on(3,
			object.Insn{Op: object.OpLddw, Dst: 1, Ref: object.Ref{Kind: object.RefTable, Name: abi.TableConfig}},
			load(2, 1, abi.ConfigPolicyID),
			object.Insn{Op: object.OpLddw, Dst: 1, Ref: object.Ref{Kind: object.RefMap, Name: abi.MapTasks}},
			move(0, 0), exit())),
		program("file_truncate", on(5, move(0, 0), exit())))
	f.Maps = []object.Map{declared(abi.MapTasks)}
	f.Tables = []object.Table{{Name: abi.TableConfig, Data: make([]byte, abi.ConfigSize)}}
	own := maps(t)
	programs, err := read(t, f).Load(Options{Maps: own, PolicyID: 77})
	require.NoError(t, err, "%+v", err)
	for _, p := range programs {
		defer p.Close()
	}
	require.Contains(t, programs, "file_open")
	if os.Getenv("SNAPPY_KERNEL") == "6.1" {
		require.NotContains(t, programs, "file_truncate", "its operations arrive elsewhere")
	} else {
		require.Contains(t, programs, "file_truncate")
	}
	info, err := programs["file_open"].Info()
	require.NoError(t, err)
	ids, ok := info.MapIDs()
	require.True(t, ok)
	tasks, err := own[abi.MapTasks].Info()
	require.NoError(t, err)
	id, _ := tasks.ID()
	require.Contains(t, ids, id)
	configured := false
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		require.NoError(t, err)
		var c abi.Config
		if m.Type() == ebpf.Array && m.ValueSize() == abi.ConfigSize && m.Lookup(uint32(0), &c) == nil {
			require.Equal(t, uint64(77), c.PolicyID)
			require.NotZero(t, c.RenameLock)
			require.NotZero(t, c.MountLock)
			configured = true
		}
		require.NoError(t, m.Close())
	}
	require.True(t, configured)
}

func TestLoadRefuses(t *testing.T) {
	own := maps(t)
	allow := func() []object.Insn { return on(1, move(0, 0), exit()) }

	t.Run("verifier", func(t *testing.T) {
		bad := append(on(3, move(0, 0)), on(5, load(0, 1, 800), exit())...)
		_, err := read(t, sample(program("file_open", allow()), program("path_mkdir", bad))).Load(Options{Maps: own})
		var ve *VerifierError
		require.ErrorAs(t, err, &ve)
		require.Equal(t, "path_mkdir", ve.Hook)
		require.Equal(t, "sample.snp", ve.File)
		require.Equal(t, uint32(5), ve.Line)
	})
	t.Run("hook", func(t *testing.T) {
		_, err := read(t, sample(program("file_open", allow()), program("inode_permission", allow()))).Load(Options{Maps: own})
		var he *HookError
		require.ErrorAs(t, err, &he)
		require.Equal(t, "inode_permission", he.Need.Hook)
	})
	t.Run("unknown map", func(t *testing.T) {
		f := sample(program("file_open", allow()))
		f.Maps = []object.Map{declared("snp_other")}
		_, err := read(t, f).Load(Options{Maps: own})
		require.ErrorIs(t, err, ErrMap)
	})
	t.Run("other shape", func(t *testing.T) {
		f := sample(program("file_open", allow()))
		f.Maps = []object.Map{{Name: abi.MapEvents, Type: object.MapRingBuf, MaxEntries: 2 * abi.EventsBytes}}
		_, err := read(t, f).Load(Options{Maps: own})
		require.ErrorIs(t, err, ErrMap)
	})
}
