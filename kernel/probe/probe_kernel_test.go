//go:build kernel

package probe

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
)

// TestRun: the kernels of the rig can do everything, and nothing stays behind.
func TestRun(t *testing.T) {
	before := inventory(t)
	r := Run(Options{})
	t.Log(r)
	require.True(t, r.Ready())
	for _, f := range r.Findings {
		if f.Name == "hook.file_truncate" && os.Getenv("SNAPPY_KERNEL") == "6.1" {
			require.Equal(t, Missing, f.Status)
			require.False(t, f.Required)
			continue
		}
		require.Equal(t, OK, f.Status, "%+v", f)
		require.Empty(t, f.Fix)
	}
	require.NotNil(t, r.Finding("lsm.runs"))
	require.Eventually(t, func() bool { return slices.Equal(before, inventory(t)) },
		5*time.Second, 20*time.Millisecond, "nothing stays")
}

// inventory lists the programs, maps and links of the kernel.
func inventory(t *testing.T) []string {
	t.Helper()
	var all []string
	for id := ebpf.ProgramID(0); ; {
		var err error
		if id, err = ebpf.ProgramGetNextID(id); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			break
		}
		all = append(all, fmt.Sprintf("program %d", id))
	}
	for id := ebpf.MapID(0); ; {
		var err error
		if id, err = ebpf.MapGetNextID(id); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
			break
		}
		all = append(all, fmt.Sprintf("map %d", id))
	}
	links := new(link.Iterator)
	defer links.Close()
	for links.Next() {
		all = append(all, fmt.Sprintf("link %d", links.ID))
	}
	require.NoError(t, links.Err())
	return all
}

// TestNoTrials: without trials nothing is loaded; a folder that is no bpffs is told.
func TestNoTrials(t *testing.T) {
	r := Run(Options{NoTrials: true, BPFFS: "/proc"})
	require.Nil(t, r.Finding("lsm.load"))
	require.Equal(t, Missing, r.Finding("bpffs").Status)
	require.False(t, r.Ready())
	r = Run(Options{NoTrials: true, BPFFS: "/does/not/exist"})
	require.Contains(t, r.Finding("bpffs").Fix, "mkdir -p /does/not/exist && mount -t bpf")
}

// TestActiveByTrial: the list of security modules and the trial say the same.
func TestActiveByTrial(t *testing.T) {
	require.NoError(t, Active())
	require.NoError(t, active(fstest.MapFS{}))
}
