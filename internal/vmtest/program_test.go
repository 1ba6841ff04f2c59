package vmtest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseLdd(t *testing.T) {
	got, err := parseLdd("\tlinux-vdso.so.1 (0x00007fff)\n\tlibelf.so.1 => /usr/lib/x86_64-linux-gnu/libelf.so.1 (0x00007f00)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f01)\n")
	require.NoError(t, err)
	require.Equal(t, []string{"/usr/lib/x86_64-linux-gnu/libelf.so.1", "/lib64/ld-linux-x86-64.so.2"}, got)
	_, err = parseLdd("\tlibnope.so => not found\n")
	require.ErrorContains(t, err, "libnope.so => not found")
}

func TestProgramFiles(t *testing.T) {
	files, err := programFiles([]string{"true", "/bin/false", "true"})
	if err != nil {
		t.Skip(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		require.False(t, seen[f.Guest], "%s twice", f.Guest)
		seen[f.Guest] = true
		require.Equal(t, f.Guest, f.Host)
	}
	_, err = programFiles([]string{"no-such-program"})
	require.ErrorContains(t, err, "no-such-program")
	_, err = programFiles([]string{"/etc/passwd"})
	require.Error(t, err)
}
