package audit

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPrune: what is not kept goes, also if somebody else takes it away first.
func TestPrune(t *testing.T) {
	a, err := OpenArchive(t.TempDir())
	require.NoError(t, err)
	for id := range uint64(4) {
		require.NoError(t, a.Put(id, []byte("object")))
	}
	require.NoError(t, a.Prune(func(id uint64) bool {
		if id == 2 {
			require.NoError(t, os.Remove(a.file(id)))
		}
		return id == 3
	}))
	entries, err := os.ReadDir(a.dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "3.bpf.o", entries[0].Name())
}
