//go:build kernel

package probe

import (
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// programs counts what is loaded and linked.
func programs(t *testing.T) (n int) {
	for id, err := ebpf.ProgramGetNextID(0); ; id, err = ebpf.ProgramGetNextID(id) {
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			break
		}
		n++
	}
	links := new(link.Iterator)
	for links.Next() {
		n++
	}
	require.NoError(t, links.Err())
	return n
}

// TestDoctor: the kernels of the rig can enforce, and looking changes nothing.
func TestDoctor(t *testing.T) {
	before := programs(t)
	r := Doctor()
	require.True(t, r.Enforces, "%+v", r)
	for _, f := range r.Findings {
		require.Equal(t, OK, f.State, "%+v", f)
	}
	require.Equal(t, before, programs(t))
	absent := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Name == "hook file_truncate" })
	require.Equal(t, os.Getenv("SNAPPY_KERNEL") == "6.1", absent, "%+v", r.Findings)
}

// TestMissingMounts: securityfs and bpffs are told apart.
func TestMissingMounts(t *testing.T) {
	require.NoError(t, unix.Unmount("/sys/kernel/security", 0))
	t.Cleanup(func() { require.NoError(t, unix.Mount("securityfs", "/sys/kernel/security", "securityfs", 0, "")) })
	r := Doctor()
	require.True(t, r.Enforces, "the trial tells: %+v", r)
	require.NoError(t, unix.Mount("tmpfs", "/sys/fs/bpf", "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount("/sys/fs/bpf", 0)) })
	r = Doctor()
	require.False(t, r.Enforces, "the bpffs is covered: %+v", r)
}

// TestUnknownHelper: the trial tells a helper that is not there from one that is
// called wrongly.
func TestUnknownHelper(t *testing.T) {
	require.ErrorIs(t, tryHelper(9999), errHelper)
	require.ErrorIs(t, tryHelper(26), errHelper, "bpf_skb_load_bytes is not for LSM programs")
	require.NoError(t, tryHelper(181), "bpf_loop")
}

// TestHiddenSymbols: with kptr_restrict=2 paths of names become unresolved, and
// the doctor says so.
func TestHiddenSymbols(t *testing.T) {
	const file = "/proc/sys/kernel/kptr_restrict"
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("2"), 0))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(file, old, 0)) })
	r := Doctor()
	require.True(t, r.Enforces)
	for _, f := range r.Findings {
		if f.Name == "symbols" {
			require.Equal(t, Limited, f.State)
			require.Equal(t, "sysctl kernel.kptr_restrict=1", f.Fix)
		}
	}
}
