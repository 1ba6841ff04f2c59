//go:build kernel

package core

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/kernel/hook"
)

// TestVerify loads every core program, with and without the search that older
// kernels need.
func TestVerify(t *testing.T) {
	cache := btf.NewCache()
	types, err := cache.Kernel()
	require.NoError(t, err)
	k, err := NewKernel(types)
	require.NoError(t, err)
	maps := map[string]*ebpf.Map{}
	create := func(t *testing.T, spec *ebpf.MapSpec) {
		t.Helper()
		m, err := ebpf.NewMap(spec)
		require.NoError(t, err, spec.Name)
		t.Cleanup(func() { m.Close() })
		maps[spec.Name] = m
	}
	for _, spec := range Maps() {
		create(t, spec)
	}
	load := func(t *testing.T, spec *ebpf.ProgramSpec) {
		t.Helper()
		require.NotNil(t, spec)
		for name, m := range maps {
			_ = spec.Instructions.AssociateMap(name, m)
		}
		coll, err := ebpf.NewCollectionWithOptions(
			&ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{spec.Name: spec}},
			ebpf.CollectionOptions{Cache: cache})
		require.NoError(t, err, "%+v", err)
		defer coll.Close()
		info, err := coll.Programs[spec.Name].Info()
		require.NoError(t, err)
		n, _ := info.VerifiedInstructions()
		t.Logf("%s: %d instructions verified", spec.Name, n)
	}
	walk, err := newWalk(types)
	require.NoError(t, err)
	withWalk := *k
	withWalk.busy, withWalk.walk = true, walk
	for name, k := range map[string]*Kernel{"as found": k, "with search": &withWalk} {
		t.Run(name, func(t *testing.T) {
			t.Log("busy", k.busy)
			for _, spec := range append(append(k.Inherit(), k.Guard()...), k.Members(), k.Arm(), k.Enter()) {
				load(t, spec)
			}
			for _, h := range hook.Hooks() {
				var fn *btf.Func
				if types.TypeByName("bpf_lsm_"+h.Name, &fn) != nil && h.Absent != "" {
					continue
				}
				spec, err := k.Dispatcher(h)
				require.NoError(t, err)
				create(t, Slots()) // a prog array belongs to one hook
				load(t, spec)
			}
		})
	}
}
